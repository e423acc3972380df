//! Which stream connections are open, and which one has to go when there are too many.
//!
//! Invariant: at most `total` connections are counted, and at most `per_client` of one client. Who comes when the door
//! is full gets in, and the connection idle longest goes: a client that holds connections and asks nothing cannot
//! keep out one that asks (RFC 7766, section 6.2.3 lets a server close idle connections at any time). Who has
//! `per_client` open already is refused, as otherwise one client could push out all others.
//!
//! Idle counts from the last complete query, not from the last byte: a query sent byte by byte is no activity.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The open connections of one door.
#[derive(Debug)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Open>>,
    next: RefCell<u64>,
    total: usize,
    per_client: usize,
}

/// One open connection; dropping it gives its place back.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Rc<Connections>,
    number: u64,
    /// Rings when the connection has to go.
    pub(crate) eviction: Rc<Notify>,
}

/// What becomes of a new connection.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It has a place.
    Free(Place),
    /// It has the place of another that was idle longest.
    Evicting(Place),
    /// Its client has as many open as it may, or all that are open are in use.
    Refused,
}

#[derive(Debug)]
struct Open {
    client: IpAddr,
    /// None while it is in use.
    active: Option<Instant>,
    eviction: Rc<Notify>,
}

impl Connections {
    pub(crate) fn new(total: usize, per_client: usize) -> Rc<Self> {
        Rc::new(Self { open: RefCell::default(), next: RefCell::new(0), total, per_client })
    }

    /// Lets a new connection in, or not.
    pub(crate) fn enter(self: &Rc<Self>, client: IpAddr) -> Entry {
        let client = site(client);
        if self.open.borrow().values().filter(|open| open.client == client).count() >= self.per_client {
            return Entry::Refused;
        }
        let full = self.open.borrow().len() >= self.total;
        if full && !self.evict() {
            return Entry::Refused;
        }
        let number = self.next.replace_with(|next| *next + 1);
        let eviction = Rc::new(Notify::new());
        let open = Open { client, active: Some(Instant::now()), eviction: eviction.clone() };
        self.open.borrow_mut().insert(number, open);
        let place = Place { connections: self.clone(), number, eviction };
        if full { Entry::Evicting(place) } else { Entry::Free(place) }
    }

    /// Has the connection idle longest close itself; whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let idle = open.iter().filter_map(|(number, open)| Some((open.active?, *number)));
        let Some((_, number)) = idle.min() else { return false };
        // it no longer counts from here on, and is gone as soon as its task has run
        open.remove(&number).is_some_and(|open| {
            open.eviction.notify_one();
            true
        })
    }
}

impl Place {
    /// Notes that it is in use, so that it is not evicted, until it is touched.
    pub(crate) fn hold(&self) {
        self.set(None);
    }

    /// Notes that a whole query came in.
    pub(crate) fn touch(&self) {
        self.set(Some(Instant::now()));
    }

    fn set(&self, active: Option<Instant>) {
        if let Some(open) = self.connections.open.borrow_mut().get_mut(&self.number) {
            open.active = active;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, of which a host has all addresses to itself.
pub(crate) fn site(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_idle_longest_makes_room() {
        let connections = Connections::new(2, 2);
        let Entry::Free(first) = connections.enter(client(1)) else { panic!("there is room") };
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let Entry::Free(second) = connections.enter(client(2)) else { panic!("there is room") };
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        first.touch();
        let Entry::Evicting(_third) = connections.enter(client(3)) else { panic!("one has to go") };
        second.eviction.notified().await;
        drop(second);
        assert_eq!(connections.open.borrow().len(), 2);
    }

    #[tokio::test]
    async fn what_is_in_use_is_not_evicted() {
        let connections = Connections::new(2, 2);
        let Entry::Free(first) = connections.enter(client(1)) else { panic!("there is room") };
        let Entry::Free(second) = connections.enter(client(2)) else { panic!("there is room") };
        first.hold();
        second.hold();
        assert!(matches!(connections.enter(client(3)), Entry::Refused));
        second.touch();
        assert!(matches!(connections.enter(client(3)), Entry::Evicting(_)));
        second.eviction.notified().await;
    }

    #[test]
    fn a_client_is_refused_beyond_its_share_and_an_ipv6_network_is_one_client() {
        let connections = Connections::new(9, 1);
        let Entry::Free(first) = connections.enter("2001:db8::1".parse().unwrap()) else { panic!("there is room") };
        assert!(matches!(connections.enter("2001:db8::2".parse().unwrap()), Entry::Refused));
        assert!(matches!(connections.enter("2001:db8:0:1::2".parse().unwrap()), Entry::Free(_)));
        drop(first);
        assert!(matches!(connections.enter("2001:db8::2".parse().unwrap()), Entry::Free(_)));
    }
}
