//! The control interface: HTTP/1.1 and JSON over a Unix socket or TCP, by which a running server is told what to do.
//!
//! ```text
//!  connection ─► door: limits, deadlines ─► guard: who asks ─► routes: form ─► Control: the server behind it
//!                                                                └─ intake: streams of reports
//! ```
//!
//! [`Listen`] says where, [`bind()`] opens the sockets, [`Bound::run`] starts the one thread that serves. [`Control`] is all
//! that this room knows of the server; [`api`] is what is said, and [`client`] is the other end, which the commands use.
//!
//! Invariant: an answer that says done (2xx) means that it is durable. A request that is refused changes nothing. What a
//! client sends can neither end the thread nor make it hold more than the named limits.
//!
//! The lookup [`page`] is another interface, for anybody, on sockets of its own, and reaches nothing of this one.
//!
//! It encrypts nothing: over TCP it belongs on loopback, or behind a proxy that does.

pub mod api;
mod bind;
pub mod client;
mod control;
mod door;
mod guard;
#[cfg(fuzzing)]
pub mod in_memory;
mod intake;
pub mod page;
mod problem;
mod routes;
mod tokens;

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use bind::Socket;
pub use control::{Control, Refusal, Reply, Until, Who};
use door::{House, Interface, Scraped};
use guard::Guard;
pub use problem::Details;
use tokens::Tokens;
pub use tokens::{TokensError, check_tokens};

/// Where to listen, and within which limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// The Unix socket.
    pub socket: Option<PathBuf>,
    /// TCP.
    pub addresses: Vec<SocketAddr>,
    /// Names by which this server may be asked over TCP, besides `localhost` and all addresses.
    pub hosts: Vec<String>,
    /// The tokens of those who may ask over TCP; without it nobody may.
    pub tokens: Option<PathBuf>,
    /// TCP where there are metrics and nothing else, for whoever can connect.
    pub metrics: Vec<SocketAddr>,
    /// What connections may hold.
    pub limits: Limits,
}

impl Listen {
    /// Whether there is no interface at all.
    pub fn is_off(&self) -> bool {
        self.socket.is_none() && self.addresses.is_empty() && self.metrics.is_empty()
    }
}

/// What connections may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of the Unix socket, and as many again of each address; beyond it the one idle longest is closed.
    pub connections: usize,
    /// Open connections of one user, IPv4 address or IPv6 /64; beyond it new ones are refused.
    pub connections_per_client: usize,
    /// How long the first head of a connection may take.
    pub head: Duration,
    /// How long a body, or the next whole line of one, may take.
    pub body: Duration,
    /// How long it may take from an answer's begin until it is read and the next head is there.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_per_client: CONNECTIONS_PER_CLIENT,
            head: HEAD,
            body: BODY,
            idle: IDLE,
        }
    }
}

/// Why there is no control interface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A TCP socket cannot be opened.
    #[error("{address}: {why}")]
    Address {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the kernel says.
        why: io::Error,
    },
    /// The Unix socket cannot be opened.
    #[error("{}: {why}", path.display())]
    Socket {
        /// Where it should have been.
        path: PathBuf,
        /// What the kernel says.
        why: io::Error,
    },
    /// Another server has the Unix socket.
    #[error("{}: another server listens there: end it, or name another socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has its name.
    #[error("{}: is no socket, and stays: move it away, or name another socket", path.display())]
    NoSocket {
        /// What it is.
        path: PathBuf,
    },
    /// The tokens cannot be used.
    #[error("tokens: {0}")]
    Tokens(#[from] TokensError),
    /// The thread or its event loop cannot be started.
    #[error("starting the control thread: {0}")]
    Thread(io::Error),
}

/// Opens the sockets, and reads the tokens.
///
/// It is done after privileges were given up, so that the Unix socket is the server's own and can be taken away by it. A
/// socket that a server left behind is replaced.
///
/// # Errors
///
/// The first of them that cannot be opened.
pub fn bind(listen: &Listen) -> Result<Bound, Error> {
    let tokens = listen.tokens.clone().map(Tokens::open);
    if let Some(error) = tokens.as_ref().and_then(|tokens| tokens.error.clone()) {
        return Err(error.into());
    }
    let socket = listen.socket.as_deref().map(Socket::open).transpose()?;
    let open = |addresses: &[SocketAddr]| -> Result<Vec<_>, Error> {
        addresses.iter().map(|address| bind::tcp(*address)).collect()
    };
    let (addresses, metrics) = (open(&listen.addresses)?, open(&listen.metrics)?);
    Ok(Bound { socket, addresses, metrics, hosts: listen.hosts.clone(), tokens, limits: listen.limits })
}

/// Open sockets, and nobody answering yet.
#[derive(Debug)]
pub struct Bound {
    socket: Option<Socket>,
    addresses: Vec<TcpListener>,
    metrics: Vec<TcpListener>,
    hosts: Vec<String>,
    tokens: Option<Tokens>,
    limits: Limits,
}

impl Bound {
    /// Starts answering, on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Thread`].
    pub fn run(self, control: Arc<dyn Control>) -> Result<Running, Error> {
        let Self { socket, addresses, metrics, hosts, tokens, limits } = self;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let registered = runtime.enter();
        let path = socket.as_ref().map(|socket| socket.path.clone());
        let unix = socket.as_ref().map(Socket::listener).transpose().map_err(Error::Thread)?;
        let tcp = registered_listeners(addresses)?;
        let scraped = registered_listeners(metrics)?;
        drop(registered);
        let bound = local_addresses(&tcp);
        let metrics = local_addresses(&scraped);
        let (stop, stopped) = watch::channel(false);
        let serve = move || {
            let guard = Guard { hosts, tokens: tokens.map(RefCell::new) };
            let router = routes::router(control.clone(), limits.body);
            let answers = Interface { router, guard };
            let house = Rc::new(House { answers, limits, stop: stopped.clone() });
            // one thread for all: what connections share needs no lock, and parsing is what it does
            let local = LocalSet::new();
            if let Some(unix) = unix {
                local.spawn_local(door::serve(unix, house.clone()));
            }
            for listener in tcp {
                local.spawn_local(door::serve(listener, house.clone()));
            }
            drop(house);
            let (router, guard) = (routes::metrics_router(control), Guard { hosts: Vec::new(), tokens: None });
            let house = Rc::new(House { answers: Interface { router, guard }, limits, stop: stopped });
            for listener in scraped {
                local.spawn_local(door::serve(Scraped(listener), house.clone()));
            }
            drop(house);
            runtime.block_on(local);
            // the path goes when nobody listens any more
            drop(socket);
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(serve).map_err(Error::Thread)?;
        Ok(Running { socket: path, addresses: bound, metrics, stop, thread: Some(thread) })
    }
}

/// Takes sockets into the event loop that is entered.
fn registered_listeners(listeners: Vec<TcpListener>) -> Result<Vec<tokio::net::TcpListener>, Error> {
    listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<Result<_, _>>().map_err(Error::Thread)
}

fn local_addresses(listeners: &[tokio::net::TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// An interface that answers; dropping it is a shutdown.
#[derive(Debug)]
pub struct Running {
    socket: Option<PathBuf>,
    addresses: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// The Unix socket.
    pub fn socket(&self) -> Option<&std::path::Path> {
        self.socket.as_deref()
    }

    /// Where TCP is open, in the order of [`Listen::addresses`], with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where there are metrics and nothing else, in the order of [`Listen::metrics`].
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// Ends: what has been asked is answered, new connections are not taken, and the socket's path is gone.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread had ended by a panic");
        }
    }
}

/// Open connections: operators and a few programs; each may hold its buffers, some 300 KiB at worst.
const CONNECTIONS: usize = 64;
/// Open connections of one client: a quarter, so that one program that leaks them keeps no other out.
const CONNECTIONS_PER_CLIENT: usize = 16;
/// A head is a packet or two.
const HEAD: Duration = Duration::from_secs(10);
/// Time for a pause of what a stream's lines come from.
const BODY: Duration = Duration::from_secs(60);
/// Programs that ask now and then need no new connection each time.
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
