//! How often a removal may be asked for: a subject once, and a network a few times, until a cooldown is over.
//!
//! Invariant: it holds across restarts, as it begins with what the store kept, and what is remembered is bounded: beyond
//! that nothing more is taken, so that strangers cannot fill the store.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::public::Requested;
use crate::evidence::Time;

/// What was asked for lately.
#[derive(Debug)]
pub(super) struct Cooldowns {
    /// Seconds.
    length: u32,
    /// In the order of their times.
    all: VecDeque<Requested>,
    subjects: HashMap<String, Time>,
    networks: HashMap<IpAddr, u32>,
}

/// Why a removal may not be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cooling {
    /// The subject's removal was asked for.
    Subject {
        /// When it may be again.
        until: Time,
    },
    /// The network has asked for [`OF_A_NETWORK`].
    Network {
        /// When the first of them is over.
        until: Time,
    },
    /// So many have asked that no more is taken.
    Everybody {
        /// When the first of them is over.
        until: Time,
    },
}

impl Cooldowns {
    pub(super) fn new(length: u32, requested: Vec<Requested>) -> Self {
        let mut cooldowns = Self { length, all: VecDeque::new(), subjects: HashMap::new(), networks: HashMap::new() };
        requested.into_iter().for_each(|requested| cooldowns.take(requested));
        cooldowns
    }

    /// When the removal of a subject was asked for, if that is not long ago.
    pub(super) fn requested(&mut self, subject: &str, now: Time) -> Option<Time> {
        self.forget(now);
        self.subjects.get(subject).copied()
    }

    /// Whether a removal may be asked for.
    pub(super) fn check(&mut self, subject: &str, client: IpAddr, now: Time) -> Result<(), Cooling> {
        if let Some(at) = self.requested(subject, now) {
            return Err(Cooling::Subject { until: self.end(at) });
        }
        let client = network(client);
        if self.networks.get(&client).is_some_and(|count| *count >= OF_A_NETWORK) {
            let first = self.all.iter().find(|requested| requested.client.map(network) == Some(client));
            return Err(Cooling::Network { until: self.end(first.map_or(now, |requested| requested.at)) });
        }
        match self.all.front() {
            Some(first) if self.all.len() >= OF_EVERYBODY => Err(Cooling::Everybody { until: self.end(first.at) }),
            _ => Ok(()),
        }
    }

    /// When a request of some time is over.
    fn end(&self, at: Time) -> Time {
        Time(at.0.saturating_add(self.length))
    }

    /// Takes note of a request.
    pub(super) fn take(&mut self, requested: Requested) {
        self.subjects.insert(requested.subject.clone(), requested.at);
        if let Some(client) = requested.client {
            *self.networks.entry(network(client)).or_default() += 1;
        }
        self.all.push_back(requested);
    }

    /// Takes back what could not be kept.
    pub(super) fn give_back(&mut self, subject: &str) {
        if let Some(at) = self.all.iter().rposition(|requested| requested.subject == subject)
            && let Some(requested) = self.all.remove(at)
        {
            self.drop(&requested);
        }
    }

    fn forget(&mut self, now: Time) {
        while self.all.front().is_some_and(|requested| self.end(requested.at) <= now)
            && let Some(requested) = self.all.pop_front()
        {
            if self.subjects.get(&requested.subject) == Some(&requested.at) {
                self.subjects.remove(&requested.subject);
            }
            self.count_down(requested.client);
        }
    }

    fn drop(&mut self, requested: &Requested) {
        self.subjects.remove(&requested.subject);
        self.count_down(requested.client);
    }

    fn count_down(&mut self, client: Option<IpAddr>) {
        let Some(network) = client.map(network) else { return };
        if let Some(count) = self.networks.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

/// What counts as one who asks: an IPv4 /24 or an IPv6 /48, which one customer of a network may have to itself.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) & 0xffff_ff00).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 80 << 80).into()),
    }
}

/// Requests of one network within a cooldown: the servers of an office, and not a whole network's addresses.
const OF_A_NETWORK: u32 = 8;
/// Requests of all within a cooldown: more than anybody reads, some 10 MB of the store.
pub const OF_EVERYBODY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(subject: &str, client: &str, at: u32) -> Requested {
        Requested { subject: subject.to_owned(), client: client.parse().ok(), at: Time(at) }
    }

    #[test]
    fn a_subject_is_asked_for_once_and_a_network_asks_a_few_times() {
        let mut cooldowns = Cooldowns::new(100, vec![requested("a", "192.0.2.1", 1000)]);
        let client: IpAddr = "192.0.2.9".parse().unwrap();
        let cooling = Cooling::Subject { until: Time(1100) };
        assert_eq!(cooldowns.check("a", "198.51.100.1".parse().unwrap(), Time(1099)), Err(cooling));
        assert_eq!(cooldowns.requested("a", Time(1099)), Some(Time(1000)));
        for number in 1..OF_A_NETWORK {
            let subject = number.to_string();
            assert_eq!(cooldowns.check(&subject, client, Time(1001)), Ok(()));
            cooldowns.take(requested(&subject, "192.0.2.9", 1001));
        }
        assert_eq!(cooldowns.check("z", client, Time(1001)), Err(Cooling::Network { until: Time(1100) }));
        assert_eq!(cooldowns.check("z", "192.0.3.9".parse().unwrap(), Time(1001)), Ok(()));
        // the first is over
        assert_eq!(cooldowns.check("a", client, Time(1100)), Ok(()));
        cooldowns.take(requested("a", "192.0.2.9", 1100));
        assert_eq!(cooldowns.check("z", client, Time(1100)), Err(Cooling::Network { until: Time(1101) }));
        cooldowns.give_back("a");
        assert_eq!(cooldowns.check("a", client, Time(1100)), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let of = |number: usize| requested(&number.to_string(), &format!("10.{}.{}.1", number / 250, number % 250), 0);
        let mut cooldowns = Cooldowns::new(100, (0..OF_EVERYBODY).map(of).collect());
        let client = "192.0.2.1".parse().unwrap();
        assert_eq!(cooldowns.check("a", client, Time(99)), Err(Cooling::Everybody { until: Time(100) }));
        assert_eq!(cooldowns.check("a", client, Time(100)), Ok(()));
        assert!(cooldowns.subjects.is_empty() && cooldowns.networks.is_empty());
    }
}
