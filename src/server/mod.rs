//! The doors: opens all DNS sockets, has queries answered, and ends without losing one.
//!
//! [`Listen`] says where; [`bind()`] opens the sockets, the only step that may need privileges; [`Bound::run`] starts the
//! threads; [`Running::shutdown`] drains. Queries over UDP and TCP go through [`crate::answer::respond`], bytes to bytes;
//! those over TLS, HTTPS and QUIC are read and written by hickory.
//!
//! Invariant: no query and no client can end a thread here, hold more than the named limits, or delay a change of
//! generation: a door loads the generation anew for every query and keeps it no longer.
//!
//! It does not decide what an answer is, and reads no list files.

mod accept;
mod bind;
mod certificate;
pub(crate) mod connections;
mod guard;
mod hickory;
mod https;
mod mmsg;
pub mod notify;
mod observe;
mod panics;
pub mod privileges;
mod quic;
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
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::answer::{self, Query};
use crate::snapshot::{Published, Snapshot};

use accept::{Answers, Door};
use bind::{Inherited, Plain};
use certificate::Certificate;
pub use certificate::{CertificateError, CertificatePaths, CertificateState, Certificates};
use guard::Guard;
pub use guard::UdpWorker;
use hickory::{Decide, Hickory};
use https::Https;
use observe::{Answering, FromSnapshot, Respond};
pub use observe::{Counters, CountersByDoor, Exchange, Observer};
use quotas::Quotas;
pub use rates::RateLimits;
use stream::Framed;
pub use tally::{
    Abuse, Carrier, CarrierCounts, DurationCounts, Finding, OTHER_TYPE, TYPES, Tallies, Tally, ZoneCounts,
};

/// Where to listen, and within which limits.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Addresses for UDP and TCP. `[::]` covers IPv4 too, unless `0.0.0.0` with the same port is here as well.
    pub plain: Vec<SocketAddr>,
    /// DNS over TLS (RFC 7858), if there is to be any.
    pub encrypted: Option<Encrypted>,
    /// DNS over HTTPS (RFC 8484), at the path `/dns-query`.
    pub https: Option<Encrypted>,
    /// DNS over QUIC (RFC 9250).
    pub quic: Option<Encrypted>,
    /// Threads that answer UDP queries, for each address; at least 1.
    pub udp_workers: usize,
    /// What stream connections may hold.
    pub limits: Limits,
    /// How many replies alike go to one network over UDP, if that is bounded.
    pub rate_limits: Option<RateLimits>,
}

impl Default for Listen {
    fn default() -> Self {
        let (plain, encrypted, https, quic) = (Vec::new(), None, None, None);
        Self { plain, encrypted, https, quic, udp_workers: 1, limits: Limits::default(), rate_limits: None }
    }
}

/// An encrypted door.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// Addresses, usually with port 853, or 443 for HTTPS.
    pub addresses: Vec<SocketAddr>,
    /// What the server proves itself with.
    pub certificate: CertificatePaths,
}

/// What connections may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections on all addresses of one door (TCP, TLS, HTTPS, QUIC); beyond it, the one idle longest is closed.
    pub connections: usize,
    /// Open connections of one client (IPv4 address or IPv6 /64) on one door; beyond it new ones are refused.
    pub connections_per_client: usize,
    /// Queries that one connection over HTTPS or QUIC has under way.
    pub streams: usize,
    /// How long a connection may go without a whole query, from its beginning and so with the handshake, and how long a
    /// client may take to read a batch of replies.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: CONNECTIONS, connections_per_client: CONNECTIONS_PER_CLIENT, streams: STREAMS, idle: IDLE }
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
    /// A service manager handed over a socket where nobody would answer.
    #[error(
        "{0}: a socket for it was handed over by the service manager, and nothing is to listen there: have both name the same addresses"
    )]
    Unclaimed(SocketAddr),
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
/// [`Error::Bind`] for the first address that cannot be opened, [`Error::Unclaimed`], [`Error::Certificate`].
pub fn bind(listen: &Listen) -> Result<Bound, Error> {
    bind::raise_open_files();
    let mut inherited = Inherited::from_env();
    if let Some(address) = inherited.unclaimed(listen) {
        return Err(Error::Unclaimed(address));
    }
    let plain = listen
        .plain
        .iter()
        .map(|address| bind::plain(*address, &listen.plain, listen.udp_workers.max(1), &mut inherited))
        .collect::<Result<_, _>>()?;
    let encrypted = secured(listen.encrypted.as_ref(), |address, all| bind::listener(address, all, &mut inherited))?;
    let https = secured(listen.https.as_ref(), |address, all| bind::listener(address, all, &mut inherited))?;
    let quic = secured(listen.quic.as_ref(), |address, all| bind::quic(address, all, &mut inherited))?;
    let (limits, rate_limits, quotas) = (listen.limits, listen.rate_limits, Arc::default());
    Ok(Bound { plain, encrypted, https, quic, limits, rate_limits, quotas })
}

/// Sockets, and what the server proves itself with there.
#[derive(Debug)]
struct Secured<S> {
    sockets: Vec<S>,
    certificate: Arc<Certificate>,
}

/// Opens the sockets of an encrypted door, if there is to be one.
fn secured<S>(
    door: Option<&Encrypted>,
    mut open: impl FnMut(SocketAddr, &[SocketAddr]) -> Result<S, Error>,
) -> Result<Option<Secured<S>>, Error> {
    let Some(Encrypted { addresses, certificate }) = door else { return Ok(None) };
    let sockets = addresses.iter().map(|address| open(*address, addresses)).collect::<Result<_, _>>()?;
    Ok(Some(Secured { sockets, certificate: Arc::new(Certificate::open(certificate.clone())?) }))
}

/// Where a door's sockets are, with the ports that the kernel chose.
fn addresses_of<S>(door: Option<&Secured<S>>, address: impl Fn(&S) -> io::Result<SocketAddr>) -> Vec<SocketAddr> {
    door.iter().flat_map(|door| &door.sockets).filter_map(|socket| address(socket).ok()).collect()
}

/// Open sockets, and nobody answering yet.
#[derive(Debug)]
pub struct Bound {
    plain: Vec<Plain>,
    encrypted: Option<Secured<TcpListener>>,
    https: Option<Secured<TcpListener>>,
    quic: Option<Secured<UdpSocket>>,
    limits: Limits,
    rate_limits: Option<RateLimits>,
    quotas: Arc<Quotas>,
}

impl Bound {
    /// Where UDP and TCP are open, in the order of [`Listen::plain`], with the ports that the kernel chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.plain.iter().map(|plain| plain.address).collect()
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
        let mut counters = CountersByDoor::default();
        let guard = Guard::new(self.rate_limits);
        let mut tallies = Tallies::beside(self.quotas.clone());
        let mut answering = |carrier| Answering {
            published: published.clone(),
            observer: observer.clone(),
            counters: counters.open(carrier),
            tally: tallies.open(carrier),
            guard: guard.clone(),
            respond: respond.clone(),
        };
        let addresses = self.addresses();
        let encrypted_addresses = addresses_of(self.encrypted.as_ref(), TcpListener::local_addr);
        let https_addresses = addresses_of(self.https.as_ref(), TcpListener::local_addr);
        let quic_addresses = addresses_of(self.quic.as_ref(), UdpSocket::local_addr);
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
            https_addresses,
            quic_addresses,
            certificates: Certificates::default(),
            counters: CountersByDoor::default(),
            tallies: Tallies::default(),
            udp_stop,
            stream_stop,
            threads: Vec::new(),
        };
        for socket in sockets {
            let (answering, stop) = (answering(Carrier::Udp), running.udp_stop.clone());
            running.start("udp", move || udp::serve(&socket, &answering, &stop))?;
        }
        let limits = self.limits;
        if let Some(Secured { sockets, certificate }) = self.encrypted {
            let hickory = Hickory::new(answering(Carrier::Tls), decide.clone());
            let acceptor = running.acceptor(Carrier::Tls, certificate, tls::DOT)?;
            let door = Framed::new(acceptor, hickory, limits.idle);
            running.start_streams("tls", sockets, door, limits)?;
        }
        if let Some(Secured { sockets, certificate }) = self.https {
            let hickory = Hickory::new(answering(Carrier::Https), decide.clone());
            let door = Https::new(running.acceptor(Carrier::Https, certificate, https::H2)?, hickory, limits);
            running.start_streams("https", sockets, door, limits)?;
        }
        if let Some(Secured { sockets, certificate }) = self.quic {
            let hickory = Hickory::new(answering(Carrier::Quic), decide);
            running.start_quic(sockets, certificate, hickory, limits)?;
        }
        let plain = answering(Carrier::Tcp);
        running.start_streams("tcp", listeners, Framed::new(tcp::Tcp, plain, limits.idle), limits)?;
        (running.counters, running.tallies) = (counters, tallies);
        Ok(running)
    }
}

/// A server that answers; dropping it is a shutdown.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    encrypted_addresses: Vec<SocketAddr>,
    https_addresses: Vec<SocketAddr>,
    quic_addresses: Vec<SocketAddr>,
    certificates: Certificates,
    counters: CountersByDoor,
    tallies: Tallies,
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

    /// Where DNS over HTTPS is open, in the order of its [`Encrypted::addresses`].
    pub fn https_addresses(&self) -> &[SocketAddr] {
        &self.https_addresses
    }

    /// Where DNS over QUIC is open, in the order of its [`Encrypted::addresses`].
    pub fn quic_addresses(&self) -> &[SocketAddr] {
        &self.quic_addresses
    }

    /// What the server proves itself with.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What went wrong so far.
    pub fn counters(&self) -> &CountersByDoor {
        &self.counters
    }

    /// What queries came to so far.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// Drains and ends: queries that have arrived are answered, new ones are not, all threads are gone afterwards.
    ///
    /// Takes about half a second under load or with clients that keep their connection open, and [`Limits::idle`]
    /// with one that does not read its replies.
    pub fn shutdown(self) {
        drop(self);
    }

    /// What makes encrypted connections of accepted ones; its certificate is reloaded from here on.
    fn acceptor(
        &mut self,
        door: Carrier,
        certificate: Arc<Certificate>,
        protocol: &[u8],
    ) -> Result<TlsAcceptor, Error> {
        self.certificates.add(door, certificate.clone());
        tls::acceptor(certificate, protocol).map_err(|error| Error::Thread(io::Error::other(error)))
    }

    fn start_quic(
        &mut self,
        sockets: Vec<UdpSocket>,
        certificate: Arc<Certificate>,
        answers: impl Answers,
        limits: Limits,
    ) -> Result<(), Error> {
        self.certificates.add(Carrier::Quic, certificate.clone());
        let runtime = event_loop()?;
        let registered = runtime.enter();
        let endpoints = quic::endpoints(sockets, certificate, &limits)?;
        drop(registered);
        let stop = self.stream_stop.subscribe();
        self.start("quic", move || runtime.block_on(quic::serve(endpoints, answers, limits, stop)))
    }

    fn start_streams(
        &mut self,
        name: &str,
        listeners: Vec<TcpListener>,
        door: impl Door,
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
        self.start(name, move || runtime.block_on(accept::serve(listeners, door, limits, stop)))
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
/// 10 KiB to a usual connection, and some 100 KiB at worst. Over HTTPS and QUIC the queries of all streams can be 400 KiB
/// a connection.
const CONNECTIONS: usize = 1024;

/// Streams of one connection at most: RFC 9113, section 6.5.2 wants no fewer than a hundred.
const STREAMS: usize = 100;

/// Connections of one client at most: a resolver farm behind one address needs a few.
const CONNECTIONS_PER_CLIENT: usize = 32;

/// The idle timeout: RFC 7766, section 6.2.3 asks for "a few seconds".
const IDLE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
