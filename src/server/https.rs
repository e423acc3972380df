//! Queries over HTTPS (RFC 8484): HTTP/2 over TLS, one message a request, GET and POST, at [`PATH`].
//!
//! Invariant: what a connection can hold is bounded whatever it sends: [`Limits::streams`](crate::server::Limits) requests
//! at a time, each with one query of at most [`MAX_QUERY`] bytes and its reply, and heads of at most [`MAX_HEAD`] bytes; and
//! it ends some time after its last whole query, which neither single bytes nor frames without a query move.
//!
//! hyper reads and writes the frames, and bounds resets and what waits to be written. It warns, by h2, of what clients do
//! wrong, so the program's log filter has to leave that out. A client that offers HTTP/1.1 alone is refused in the
//! handshake: one request after the other is what RFC 8484, section 5.2 warns of.
//!
//! A reply of any RCODE is 200 (section 4.2.1) and fresh for as long as its records (section 5.1). What is no DNS message
//! gets a status of HTTP and a sentence. There is no server push.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::answer::DropReason;
use crate::server::Limits;
use crate::server::accept::{Answers, Deadline, Door, LINGER, MAX_DRAIN, MAX_MESSAGE, MAX_QUERY, Stop};
use crate::server::connections::Place;
use crate::server::hickory::freshness;
use crate::server::observe::{Counters, Silence};
use crate::server::stream::open;

/// The door.
pub(super) struct Https<A> {
    acceptor: TlsAcceptor,
    answers: A,
    limits: Limits,
    http: http2::Builder<OnThisThread>,
    /// Where a reply is written before its length is known; no request keeps it across a wait.
    scratch: RefCell<Vec<u8>>,
}

impl<A> Https<A> {
    pub(super) fn new(acceptor: TlsAcceptor, answers: A, limits: Limits) -> Self {
        let mut http = http2::Builder::new(OnThisThread);
        http.max_concurrent_streams(u32::try_from(limits.streams).unwrap_or(u32::MAX))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(MAX_HEAD)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(MAX_RESETS)
            .max_send_buf_size(MAX_UNSENT);
        Self { acceptor, answers, limits, http, scratch: RefCell::new(vec![0; MAX_MESSAGE]) }
    }
}

impl<A: Answers> Door for Https<A> {
    async fn converse(self: Rc<Self>, accepted: TcpStream, client: IpAddr, place: Rc<Place>, mut stop: Stop) {
        let deadline = Rc::new(Deadline::after(self.limits.idle));
        let opened = tokio::select! {
            () = place.eviction.notified() => return,
            opened = open(&self.acceptor, accepted, client, Instant::now() + self.limits.idle, stop.clone()) => opened,
        };
        let Some(stream) = opened else { return };
        let service = service_fn(|request: Request<Incoming>| {
            let asked = Asked { door: self.clone(), client, place: place.clone(), deadline: deadline.clone() };
            async move {
                let is_head = request.method() == Method::HEAD;
                let mut response = asked.respond(request).await.unwrap_or_else(Fault::response);
                if is_head {
                    // a body would be an error of the protocol
                    *response.body_mut() = Full::default();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                // whatever it comes to: a client that breaks off, or breaks the rules, is no news
                _ = connection.as_mut() => return,
                () = place.eviction.notified() => return,
                () = deadline.passed() => {
                    if ending {
                        return;
                    }
                    // the client is told which of its requests are too late
                    ending = true;
                    deadline.last(LINGER);
                    connection.as_mut().graceful_shutdown();
                }
                _ = stop.wait_for(|stop| *stop), if !ending => {
                    ending = true;
                    deadline.last(MAX_DRAIN);
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn counters(&self) -> &Counters {
        self.answers.counters()
    }
}

/// One request's surroundings.
struct Asked<A> {
    door: Rc<Https<A>>,
    client: IpAddr,
    place: Rc<Place>,
    deadline: Rc<Deadline>,
}

impl<A: Answers> Asked<A> {
    /// Answers one request.
    async fn respond(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Fault> {
        let (head, body) = request.into_parts();
        // also of what is refused: not every client hears of that while it is still sending
        let body = timeout(self.door.limits.idle, in_body(body)).await.map_err(|_| Fault::Late)?;
        if head.uri.path() != PATH {
            return Err(Fault::Path);
        }
        let query = match head.method {
            Method::GET => in_url(head.uri.query().unwrap_or_default())?,
            Method::POST if head.headers.get(CONTENT_TYPE).is_some_and(is_message) => body?,
            Method::POST => return Err(Fault::Type),
            _ => return Err(Fault::Method),
        };
        self.place.touch();
        self.deadline.renew(self.door.limits.idle);
        let mut scratch = self.door.scratch.borrow_mut();
        let length = self.door.answers.answer(&query, self.client, &mut scratch)?;
        let reply = &scratch[..length];
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(reply)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
        // whoever stands in between must not give one client's listing or refusal to another
        let age = format!("private, max-age={}", freshness(reply));
        headers.insert(CACHE_CONTROL, HeaderValue::try_from(age).expect("visible characters"));
        Ok(response)
    }
}

/// The message in a URL's query: `dns=`, in base64url without padding (RFC 8484, section 4.1).
fn in_url(query: &str) -> Result<Vec<u8>, Fault> {
    let mut found = query.split('&').filter_map(|part| part.strip_prefix("dns="));
    let (Some(text), None) = (found.next(), found.next()) else { return Err(Fault::Url) };
    if text.len() > MAX_QUERY.div_ceil(3) * 4 {
        return Err(Fault::LongUrl);
    }
    let message = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Fault::Url)?;
    if message.len() > MAX_QUERY { Err(Fault::LongUrl) } else { Ok(message) }
}

/// The message that a body is, however many frames it comes in.
async fn in_body(body: Incoming) -> Result<Vec<u8>, Fault> {
    if body.size_hint().lower() > MAX_QUERY as u64 {
        return Err(Fault::LongBody);
    }
    let mut body = pin!(body);
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        // the rest of it is not to come, and neither can the response go
        let frame = frame.map_err(|_| Fault::Late)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if message.len() + data.len() > MAX_QUERY {
            return Err(Fault::LongBody);
        }
        message.extend_from_slice(data);
    }
    Ok(message)
}

/// Whether a content type is a DNS message's; it knows no parameters, and what is behind a semicolon means nothing.
fn is_message(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(MESSAGE.as_bytes())
}

/// Why a request is not answered by a DNS message.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Path,
    Method,
    Type,
    Url,
    LongUrl,
    LongBody,
    Late,
    Silence(Silence),
}

impl From<Silence> for Fault {
    fn from(silence: Silence) -> Self {
        Self::Silence(silence)
    }
}

impl Fault {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::Path => (StatusCode::NOT_FOUND, "queries go to /dns-query\n"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "queries are GET or POST\n"),
            Self::Type => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body has to be of type application/dns-message\n"),
            Self::Url => (StatusCode::BAD_REQUEST, "a query in the URL is one dns= in base64url without padding\n"),
            Self::LongUrl => (StatusCode::URI_TOO_LONG, "a query has at most 4096 bytes\n"),
            Self::LongBody => (StatusCode::PAYLOAD_TOO_LARGE, "a query has at most 4096 bytes\n"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "the query did not come whole in time\n"),
            Self::Silence(Silence::Meant(DropReason::Access { .. } | DropReason::Limited)) => {
                (StatusCode::FORBIDDEN, "not for this client\n")
            }
            Self::Silence(Silence::Meant(DropReason::Short | DropReason::Response)) => {
                (StatusCode::BAD_REQUEST, "not a DNS query\n")
            }
            Self::Silence(Silence::Panic) => (StatusCode::INTERNAL_SERVER_ERROR, "a fault of the server\n"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        response
    }
}

/// Has hyper's tasks run beside the connection's own.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        spawn_local(async {
            task.await;
        });
    }
}

/// The registered name of HTTP/2.
pub(super) const H2: &[u8] = b"h2";

/// Where queries go; the path of RFC 8484's examples, and of every client that is told none.
const PATH: &str = "/dns-query";

/// The content type of queries and replies.
const MESSAGE: &str = "application/dns-message";

/// The longest head in bytes: the longest query in a URL is 5462 of them, and browsers send a dozen headers.
const MAX_HEAD: u32 = 16 * 1024;

/// What a client may have under way of its bodies: sixteen of the longest, or hundreds of usual ones.
const WINDOW: u32 = 64 * 1024;

/// Streams that a client resets before it is their turn, or that we reset for its errors, before the connection ends.
const MAX_RESETS: usize = 20;

/// What waits to be written of one reply.
const MAX_UNSENT: usize = 16 * 1024;

#[cfg(test)]
mod tests;
