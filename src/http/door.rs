//! Connections: accepted, kept within their limits, and ended.
//!
//! Invariant: at any moment a connection has a deadline, or is in the hands of a route that has one for each of its waits.
//! Single bytes move none. A connection on which a request is being answered is never closed for another's sake.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Limits;
use super::control::Who;
use super::guard::{Guard, Peer};
use super::problem::of_method;
use crate::server::connections::{Connections, Entry, Place};

/// What all connections share.
pub(super) struct House<A> {
    pub(super) answers: A,
    pub(super) limits: Limits,
    pub(super) stop: watch::Receiver<bool>,
}

/// What answers the requests that come through a door.
pub(super) trait Answers: 'static {
    /// The whole answer. A request whose connection must not be closed for another's sake holds its place.
    async fn respond(&self, request: Request<Incoming>, caller: &Caller, place: &Place) -> Response;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// What its connections count for.
    pub(super) client: IpAddr,
    pub(super) peer: Peer,
}

/// The control interface.
pub(super) struct Interface {
    pub(super) router: Router,
    pub(super) guard: Guard,
}

/// Where connections come in.
pub(super) trait Door {
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// The next connection, the client that it counts for, and who is there.
    async fn accept(&self) -> io::Result<(Self::Stream, IpAddr, Peer)>;
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, IpAddr, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        // answers are written whole
        let _ = stream.set_nodelay(true);
        Ok((stream, address.ip().to_canonical(), Peer::Tcp))
    }
}

/// Where metrics are, for whoever can connect.
pub(super) struct Scraped(pub(super) TcpListener);

impl Door for Scraped {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, IpAddr, Peer)> {
        let (stream, client, _) = Door::accept(&self.0).await?;
        Ok((stream, client, Peer::Scraper))
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, IpAddr, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let uid = stream.peer_cred()?.uid();
        // connections are counted by client, and here a client is a user: a number of 32 bits as well
        let client = Ipv4Addr::from(uid).into();
        Ok((stream, client, Peer::Unix(Who(format!("uid:{uid}")))))
    }
}

/// Serves the connections of a door until the stop, and those that are open then to their end.
pub(super) async fn serve(door: impl Door, house: Rc<House<impl Answers>>) {
    let connections = Connections::new(house.limits.connections, house.limits.connections_per_client);
    let mut stop = house.stop.clone();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next() => continue,
            accepted = door.accept() => accepted,
        };
        let Ok((stream, client, peer)) = accepted else {
            // mostly for want of file descriptors: the backlog stays readable, so without a pause this would spin
            connections.evict();
            sleep(AFTER_ERROR).await;
            continue;
        };
        let place = match connections.enter(client) {
            Entry::Free(place) | Entry::Evicting(place) => place,
            Entry::Refused => continue,
        };
        open.spawn_local(converse(stream, Caller { client, peer }, place, house.clone()));
    }
    drop(door);
    let _ = timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
}

/// Answers the requests of one connection.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    caller: Caller,
    place: Place,
    house: Rc<House<impl Answers>>,
) {
    let (caller, place) = (Rc::new(caller), Rc::new(place));
    // none while a route has the request
    let deadline = Rc::new(Cell::new(Some(Instant::now() + house.limits.head)));
    let service = service_fn(|request: Request<Incoming>| {
        let (house, caller, place, deadline) = (house.clone(), caller.clone(), place.clone(), deadline.clone());
        let answer = async move {
            deadline.set(None);
            let response = house.answers.respond(request, &caller, &place).await;
            place.touch();
            deadline.set(Some(Instant::now() + house.limits.idle));
            Ok::<_, Infallible>(response)
        };
        Box::pin(answer) as Pin<Box<dyn Future<Output = Result<Response, Infallible>>>>
    });
    let mut builder = http1::Builder::new();
    // who has said all it has to say still gets the answers
    builder.half_close(true);
    builder.max_headers(MAX_HEADERS).max_header_size(MAX_HEAD).max_buf_size(BUFFER);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut stop = house.stop.clone();
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // whatever it comes to: a client that breaks off, or breaks the rules, is no news
            _ = poll_fn(|context| connection.poll_without_shutdown(context)) => break,
            () = place.eviction.notified() => return,
            () = overdue(&deadline) => return,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    let _ = timeout(LINGER, close(connection.into_parts().io.into_inner())).await;
}

impl Answers for Interface {
    async fn respond(&self, request: Request<Incoming>, caller: &Caller, place: &Place) -> Response {
        let mut response = match self.guard.admit(&request, &caller.peer) {
            Ok(who) => {
                // only of those who are known: a stranger's request must not hold its place
                if who.is_some() {
                    place.hold();
                }
                let mut request = request.map(Body::new);
                if let Some(who) = who {
                    request.extensions_mut().insert(who);
                }
                let Ok(response) = TowerToHyperService::new(self.router.clone()).call(request).await;
                of_method(response)
            }
            Err(problem) => problem.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// Waits until the deadline is past. It is set by the connection's own progress, which has the whole task polled again.
async fn overdue(deadline: &Cell<Option<Instant>>) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|context| {
        let Some(at) = deadline.get() else { return Poll::Pending };
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context)
    })
    .await;
}

/// Ends a connection without taking the last answer from a client that is still sending: a socket that is closed with
/// unread bytes resets the connection, which discards what the client has not read yet.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = [0; 4096];
    let mut stream = stream.take(LINGER_BYTES);
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

/// How long requests may take to come to their end after the stop; what is durable by then is told.
const GRACE: Duration = Duration::from_secs(5);
/// How long a connection that we end is read on, so that its client gets the answer.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read then: several bodies that are too long by a little.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;
/// The pause after a failed accept.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// More headers than any client sends.
const MAX_HEADERS: usize = 64;
/// The longest head in bytes: a subject in the query, escaped, and headers.
const MAX_HEAD: usize = 16 * 1024;
/// What is read of a connection at once, and so the longest chunk of a body: some thousand reports.
const BUFFER: usize = 128 * 1024;
