//! The doors: opens all DNS sockets, has queries answered, and ends without losing one.
//!
//! [`Listen`] says where; [`bind()`] opens the sockets, the only step that may need privileges; [`Bound::run`] starts the
//! threads; [`Running::shutdown`] drains. Queries over UDP and TCP go through [`crate::answer::respond`], bytes to bytes.
//!
//! Invariant: no query and no client can end a thread here, hold more than the named limits, or delay a change of
//! generation: a door loads the generation anew for every query and keeps it no longer.
//!
//! It does not decide what an answer is, and reads no list files.

mod bind;
mod certificate;
pub(crate) mod connections;
mod guard;
mod hickory;
mod mmsg;
pub mod notify;
mod observe;
mod panics;
pub mod privileges;
mod quotas;
mod rates;
pub mod seccomp;
pub mod signals;
mod stream;
mod tally;
mod tcp;
mod tls;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

use crate::answer::{self, Query};
use crate::snapshot::{Published, Snapshot};

use bind::{Inherited, Plain};
use certificate::Certificate;
pub use certificate::{CertificateError, CertificatePaths};
pub use guard::Desk;
use guard::Guard;
use hickory::Decide;
use observe::{Answering, FromSnapshot, Respond};
pub use observe::{Counters, Exchange, Observer};
use quotas::Quotas;
pub use rates::RateLimits;
pub use tally::{
    Abuse, Carrier, CarrierCounts, DURATION_BOUNDS, DurationCounts, Finding, OTHER_TYPE, TYPES, Tallies, Tally,
    ZoneCounts,
};

/// Where to listen, and within which limits.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Addresses for UDP and TCP. `[::]` covers IPv4 too, unless `0.0.0.0` with the same port is here as well.
    pub plain: Vec<SocketAddr>,
    /// DNS over TLS, if there is to be any.
    pub encrypted: Option<Encrypted>,
    /// Threads that answer UDP queries, for each address; at least 1.
    pub udp_workers: usize,
    /// What stream connections may hold.
    pub limits: Limits,
    /// How many replies alike go to one network over UDP, if that is bounded.
    pub rate_limits: Option<RateLimits>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { plain: Vec::new(), encrypted: None, udp_workers: 1, limits: Limits::default(), rate_limits: None }
    }
}

/// DNS over TLS (RFC 7858).
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// Addresses, usually with port 853.
    pub addresses: Vec<SocketAddr>,
    /// What the server proves itself with.
    pub certificate: CertificatePaths,
}

/// What stream connections may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections on all plain addresses, and as many again on all encrypted ones; beyond it, the one idle longest
    /// is closed.
    pub connections: usize,
    /// Open connections of one client (IPv4 address or IPv6 /64), plain and encrypted ones counted apart; beyond it new
    /// ones are refused.
    pub connections_per_client: usize,
    /// How long a connection may go without a whole query, from its beginning and so with the handshake, and how long a
    /// client may take to read a batch of replies.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: CONNECTIONS, connections_per_client: CONNECTIONS_PER_CLIENT, idle: IDLE }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A socket cannot be opened.
    #[error("{address}: {}", reason(why))]
    Bind {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the kernel says.
        why: io::Error,
    },
    /// The certificate of the encrypted addresses cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A thread or its event loop cannot be started.
    #[error("starting a server thread: {0}")]
    Thread(io::Error),
}

impl Error {
    fn bind(address: SocketAddr, why: io::Error) -> Self {
        Self::Bind { address, why }
    }
}

/// What the kernel says, and how to mend it.
fn reason(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::PermissionDenied => "permission denied: needs root or CAP_NET_BIND_SERVICE".to_owned(),
        io::ErrorKind::AddrInUse => "address in use: another server listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "address not available: no interface of this host has it".to_owned(),
        _ => why.to_string(),
    }
}

/// Opens all sockets, or takes those that a service manager handed over (LISTEN_FDS) where the addresses agree.
///
/// The certificate is read here as well, as its key often is root's alone. The process may have as many files open from
/// here on as its hard limit lets it. Afterwards privileges can be dropped. Queries that arrive before [`Bound::run`] wait
/// in the sockets.
///
/// # Errors
///
/// [`Error::Bind`] for the first address that cannot be opened, [`Error::Certificate`].
pub fn bind(listen: &Listen) -> Result<Bound, Error> {
    bind::raise_open_files();
    let mut inherited = Inherited::from_env();
    let plain = listen
        .plain
        .iter()
        .map(|address| bind::plain(*address, &listen.plain, listen.udp_workers.max(1), &mut inherited))
        .collect::<Result<_, _>>()?;
    let encrypted = match &listen.encrypted {
        None => None,
        Some(Encrypted { addresses, certificate }) => {
            let listeners = addresses
                .iter()
                .map(|address| bind::listener(*address, addresses, &mut inherited))
                .collect::<Result<_, _>>()?;
            Some((listeners, Arc::new(Certificate::open(certificate.clone())?)))
        }
    };
    Ok(Bound { plain, encrypted, limits: listen.limits, rate_limits: listen.rate_limits, quotas: Arc::default() })
}

/// Open sockets, and nobody answering yet.
#[derive(Debug)]
pub struct Bound {
    plain: Vec<Plain>,
    encrypted: Option<(Vec<TcpListener>, Arc<Certificate>)>,
    limits: Limits,
    rate_limits: Option<RateLimits>,
    quotas: Arc<Quotas>,
}

impl Bound {
    /// Where UDP and TCP are open, in the order of [`Listen::plain`], with the ports that the kernel chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.plain.iter().map(|plain| plain.address).collect()
    }

    /// Where DNS over TLS is open, in the order of [`Encrypted::addresses`].
    pub fn encrypted_addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.encrypted.iter().flat_map(|(listeners, _)| listeners);
        listeners.filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Starts answering from `published`; `observer` sees every query.
    ///
    /// # Errors
    ///
    /// [`Error::Thread`].
    pub fn run(self, published: Arc<Published>, observer: Option<Arc<dyn Observer>>) -> Result<Running, Error> {
        let respond = FromSnapshot(self.quotas.clone());
        let meter = self.quotas.clone();
        let decide = move |snapshot: &Snapshot, query: &Query<'_>, reply: &mut hickory::Reply| {
            answer::answer(snapshot, &Query { meter: Some(&*meter), ..*query }, reply)
        };
        self.run_with(published, observer, respond, decide)
    }

    fn run_with(
        self,
        published: Arc<Published>,
        observer: Option<Arc<dyn Observer>>,
        respond: impl Respond,
        decide: impl Decide,
    ) -> Result<Running, Error> {
        panics::quieten();
        let counters = Arc::new(Counters::default());
        let guard = Guard::new(self.rate_limits);
        let mut tallies = Tallies::default();
        let mut answering = |carrier| Answering {
            published: published.clone(),
            observer: observer.clone(),
            counters: counters.clone(),
            tally: tallies.open(carrier),
            guard: guard.clone(),
            respond: respond.clone(),
        };
        let (addresses, encrypted_addresses) = (self.addresses(), self.encrypted_addresses());
        let (mut sockets, mut own_sockets, mut listeners) = (Vec::new(), Vec::new(), Vec::new());
        for Plain { udp, tcp, is_inherited, .. } in self.plain {
            let udp: Vec<_> = udp.into_iter().map(Arc::new).collect();
            if !is_inherited {
                own_sockets.extend_from_slice(&udp);
            }
            sockets.extend(udp);
            listeners.push(tcp);
        }
        let udp_stop = Arc::new(udp::Stop::new(own_sockets));
        let (stream_stop, _) = watch::channel(false);
        // from here on an early return drops `running`, which stops the threads that are there
        let mut running = Running {
            addresses,
            encrypted_addresses,
            certificate: None,
            counters: counters.clone(),
            tallies: Tallies::default(),
            quotas: self.quotas.clone(),
            udp_stop,
            stream_stop,
            threads: Vec::new(),
        };
        for socket in sockets {
            let (answering, stop) = (answering(Carrier::Udp), running.udp_stop.clone());
            running.start("udp", move || udp::serve(&socket, &answering, &stop))?;
        }
        if let Some((listeners, certificate)) = self.encrypted {
            running.certificate = Some(certificate.clone());
            let acceptor = tls::acceptor(certificate).map_err(|error| Error::Thread(io::Error::other(error)))?;
            let door = hickory::Tls::new(acceptor, answering(Carrier::Tls), decide);
            running.start_streams("tls", listeners, door, self.limits)?;
        }
        running.start_streams("tcp", listeners, tcp::Tcp(answering(Carrier::Tcp)), self.limits)?;
        running.tallies = tallies;
        Ok(running)
    }
}

/// A server that answers; dropping it is a shutdown.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    encrypted_addresses: Vec<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
    counters: Arc<Counters>,
    tallies: Tallies,
    quotas: Arc<Quotas>,
    udp_stop: Arc<udp::Stop>,
    stream_stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where UDP and TCP are open, in the order of [`Listen::plain`].
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where DNS over TLS is open, in the order of [`Encrypted::addresses`].
    pub fn encrypted_addresses(&self) -> &[SocketAddr] {
        &self.encrypted_addresses
    }

    /// Reads the certificate's files again, for handshakes from now on; open connections stay.
    ///
    /// # Errors
    ///
    /// [`CertificateError`]; the certificate stays the one it was.
    pub fn reload_certificate(&self) -> Result<(), CertificateError> {
        self.certificate.as_ref().map_or(Ok(()), |certificate| certificate.reload())
    }

    /// What went wrong so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What queries came to so far.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// What was counted of cookies, limits and quotas so far.
    pub fn abuse(&self) -> Abuse {
        Abuse { over_quota: self.quotas.refused(), ..self.tallies.abuse() }
    }

    /// Drains and ends: queries that have arrived are answered, new ones are not, all threads are gone afterwards.
    ///
    /// Takes about half a second under load or with clients that keep their connection open, and [`Limits::idle`]
    /// with one that does not read its replies.
    pub fn shutdown(self) {
        drop(self);
    }

    fn start_streams(
        &mut self,
        name: &str,
        listeners: Vec<TcpListener>,
        door: impl stream::Door,
        limits: Limits,
    ) -> Result<(), Error> {
        if listeners.is_empty() {
            return Ok(());
        }
        let runtime = event_loop()?;
        let registered = runtime.enter();
        let listeners = listeners
            .into_iter()
            .map(tokio::net::TcpListener::from_std)
            .collect::<Result<_, _>>()
            .map_err(Error::Thread)?;
        drop(registered);
        let stop = self.stream_stop.subscribe();
        self.start(name, move || runtime.block_on(stream::serve(listeners, door, limits, stop)))
    }

    fn start(&mut self, name: &str, serve: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(serve).map_err(Error::Thread)?);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.udp_stop.stop();
        self.stream_stop.send_replace(true);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("the {name} thread had ended by a panic");
            }
        }
    }
}

/// An event loop for one thread: what streams ask is little beside UDP, and one thread needs no lock.
fn event_loop() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)
}

/// Connections at most: 150 MiB if every client sends and asks for the longest messages, 2 MiB with usual ones. TLS adds
/// 10 KiB to a usual connection, and some 100 KiB at worst.
const CONNECTIONS: usize = 1024;

/// Connections of one client at most: a resolver farm behind one address needs a few.
const CONNECTIONS_PER_CLIENT: usize = 32;

/// The idle timeout: RFC 7766, section 6.2.3 asks for "a few seconds".
const IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
