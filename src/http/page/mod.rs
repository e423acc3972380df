//! The lookup page: who is listed sees so, and why, since when and until when, and may ask to be removed.
//!
//! ```text
//!  connection ─► door ─► Site: rate, path, form ─► Public: the server behind it ─► Found ─► html or JSON
//! ```
//!
//! [`Listen`] says where, [`bind()`] opens the sockets, [`Bound::run`] starts the one thread that answers. [`Public`] is
//! all that visitors can reach of the server, and none of it changes what is served.
//!
//! Invariant: anybody may ask, so that nothing here is believed and everything is bounded: connections, requests of a
//! network, lookups at once, bodies, requests for a removal. What a visitor wrote gets into a page as text alone. A page
//! is one answer: it has no script, and loads nothing.
//!
//! It encrypts nothing; a proxy does that. It has no cookie, and keeps nothing of who looks what up.

mod cooldown;
mod form;
mod found;
mod html;
mod kept;
mod public;
mod rate;
mod refusal;
pub(super) mod site;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::task::LocalSet;

pub use cooldown::OF_EVERYBODY as MAX_REQUESTED;
pub use found::{
    Around, Evidence, Found, InZone, Kind, NoSubject, Node, Reason, Role, Standing, Subject, TermSum, Verdict,
};
pub use public::{Edition, Public, Removal, Requested};

use super::door::{House, serve};
use super::{Error, Limits, bind as sockets, local_addresses, registered_listeners};
use site::Site;

/// Where the page is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TCP.
    pub addresses: Vec<SocketAddr>,
    /// How it is reached from outside, `https://lists.example` without a slash at its end.
    pub url: Option<String>,
    /// What it is called.
    pub name: String,
    /// Where its operator can be asked: a mailbox or a URL.
    pub contact: Option<String>,
    /// Whether visitors may ask for a removal.
    pub removal: bool,
    /// Seconds until a removal of the same subject can be asked for again.
    pub cooldown: u32,
    /// Who is believed about the addresses of others.
    pub proxies: Vec<IpNet>,
    /// Requests a minute of one IPv4 address or IPv6 /64.
    pub requests: u32,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one IPv4 address or IPv6 /64.
    pub connections_per_client: usize,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            url: None,
            name: NAME.to_owned(),
            contact: None,
            removal: true,
            cooldown: COOLDOWN,
            proxies: Vec::new(),
            requests: REQUESTS,
            connections: CONNECTIONS,
            connections_per_client: CONNECTIONS_PER_CLIENT,
        }
    }
}

impl Listen {
    /// Whether there is no page.
    pub fn is_off(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Who somebody is, given the addresses that proxies say they were asked by: the last that is no proxy's.
    fn client(&self, caller: IpAddr, forwarded: &[&str]) -> IpAddr {
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|proxy| proxy.contains(address));
        let mut client = caller;
        let mut said = forwarded.iter().rev().flat_map(|list| list.rsplit(','));
        while is_proxy(&client)
            && let Some(next) = said.next().and_then(forwarded_for)
        {
            client = next.to_canonical();
        }
        client
    }

    fn limits(&self) -> Limits {
        // behind a proxy all connections are the proxy's
        let per_client = if self.proxies.is_empty() { self.connections_per_client } else { self.connections };
        Limits { connections: self.connections, connections_per_client: per_client, head: HEAD, body: BODY, idle: IDLE }
    }
}

/// An address in `X-Forwarded-For`: some proxies write its port too, or an IPv6 address in brackets.
fn forwarded_for(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

/// Opens the sockets.
///
/// # Errors
///
/// The first of them that cannot be opened.
pub fn bind(listen: &Listen) -> Result<Bound, Error> {
    let sockets = listen.addresses.iter().map(|address| sockets::tcp(*address)).collect::<Result<_, _>>()?;
    Ok(Bound { sockets, listen: listen.clone() })
}

/// Open sockets, and nobody answering yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<TcpListener>,
    listen: Listen,
}

impl Bound {
    /// Starts answering, on a thread of its own; `requested` is what was asked for lately.
    ///
    /// # Errors
    ///
    /// [`Error::Thread`].
    pub fn run(self, public: Arc<dyn Public>, requested: Vec<Requested>) -> Result<Running, Error> {
        let Self { sockets, listen } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let registered = runtime.enter();
        let sockets = registered_listeners(sockets)?;
        drop(registered);
        let addresses = local_addresses(&sockets);
        let (stop, stopped) = watch::channel(false);
        let run = move || {
            let limits = listen.limits();
            let answers = Site::new(listen, public, requested);
            let house = Rc::new(House { answers, limits, stop: stopped });
            let local = LocalSet::new();
            for socket in sockets {
                local.spawn_local(serve(socket, house.clone()));
            }
            drop(house);
            runtime.block_on(local);
        };
        let thread = thread::Builder::new().name("page".to_owned()).spawn(run).map_err(Error::Thread)?;
        Ok(Running { addresses, stop, thread: Some(thread) })
    }
}

/// A page that answers; dropping it is a shutdown.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it is, in the order of [`Listen::addresses`], with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the page's thread had ended by a panic");
        }
    }
}

/// What a page is called that has no name.
const NAME: &str = "Reputation lookup";
/// A day: long enough for an operator to look, short enough for whoever has mended something since.
const COOLDOWN: u32 = 86_400;
/// A person clicks less, and a program that asks more has the zones for it.
const REQUESTS: u32 = 60;
/// Open connections; a browser has one or two.
const CONNECTIONS: usize = 64;
/// Open connections of one client: an office behind one address.
const CONNECTIONS_PER_CLIENT: usize = 8;
/// A head is a packet.
const HEAD: Duration = Duration::from_secs(5);
/// A body has at most [`form::MAX_BODY`].
const BODY: Duration = Duration::from_secs(10);
/// A browser keeps a connection for the next click.
const IDLE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
