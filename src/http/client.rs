//! The other end of the control interface: one request at a time, for the commands.
//!
//! Invariant: every request ends, with an answer or with an error that names the server: connecting, sending and waiting
//! have their deadlines. Only a stream whose input pauses waits as long as its input does.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::problem::Details;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Its Unix socket.
    Socket(PathBuf),
    /// Host and port.
    Address(String),
}

impl Target {
    /// Parses `http://HOST:PORT`, or the path of a Unix socket.
    ///
    /// # Errors
    ///
    /// A URL that is not of this form.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Target { text: text.to_owned() };
        let Some(rest) = text.strip_prefix("http://") else {
            return if text.contains("://") || text.is_empty() { Err(wrong()) } else { Ok(Self::Socket(text.into())) };
        };
        let address = rest.strip_suffix('/').unwrap_or(rest);
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        let is_plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        if matches!(port, Some(Ok(_))) && is_plain { Ok(Self::Address(address.to_owned())) } else { Err(wrong()) }
    }

    /// The Host header.
    fn host(&self) -> &str {
        match self {
            Self::Socket(_) => "localhost",
            Self::Address(address) => address,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Address(address) => write!(f, "http://{address}"),
        }
    }
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Neither a URL of the right form nor a path.
    #[error("{text}: write http://HOST:PORT, or the path of a Unix socket")]
    Target {
        /// What is written.
        text: String,
    },
    /// A token that no header can have.
    #[error("the token has characters that no token has")]
    Token,
    /// Nobody answers there.
    #[error("{target}: {}", reason(why, target))]
    Connect {
        /// Where.
        target: Target,
        /// What the system says.
        why: io::Error,
    },
    /// The server takes too long.
    #[error("{target}: no answer within {} seconds; it may have been done", patience.as_secs())]
    Late {
        /// Who.
        target: Target,
        /// How long was waited.
        patience: Duration,
    },
    /// The connection broke.
    #[error("{target}: the connection broke: {why}")]
    Broken {
        /// To whom.
        target: Target,
        /// What happened.
        why: String,
    },
    /// The server refuses.
    #[error("{}", .0.detail)]
    Refused(Box<Details>),
    /// The answer is none of this interface.
    #[error("{target}: answers {status} and nothing that is understood: is it infamy of this version?")]
    Foreign {
        /// Who.
        target: Target,
        /// With what.
        status: StatusCode,
    },
    /// The client itself cannot run.
    #[error("starting the client: {0}")]
    Start(io::Error),
}

/// What the system says, and how to mend it.
fn reason(why: &io::Error, target: &Target) -> String {
    match (why.kind(), target) {
        (io::ErrorKind::NotFound, Target::Socket(_)) => "no such socket: is the server running?".to_owned(),
        (io::ErrorKind::ConnectionRefused, _) => "nobody listens there: is the server running?".to_owned(),
        (io::ErrorKind::PermissionDenied, Target::Socket(_)) => {
            "permission denied: only the server's user and group may ask".to_owned()
        }
        _ => why.to_string(),
    }
}

/// What is sent besides method and path.
#[derive(Debug, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    None,
    /// A media type, and all bytes.
    Whole(&'static str, Vec<u8>),
}

/// Talks to one server.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    target: Target,
    token: Option<String>,
}

impl Client {
    /// Will talk to a server, with a token over TCP. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The token is none, or the system does not let us run.
    pub fn new(target: Target, token: Option<String>) -> Result<Self, ClientError> {
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(ClientError::Token);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::Start)?;
        Ok(Self { runtime, target, token })
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> Result<T, ClientError> {
        let query = to_query(query);
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.exchange(Method::GET, &path, (None, None), Upload::None, PATIENCE)
    }

    /// Has something done, once for each `key` if there is one; `patience` is how long that may take.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Content,
        key: Option<&str>,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let (kind, upload) = match content {
            Content::None => (None, Upload::None),
            Content::Whole(kind, bytes) => (Some(kind), Upload::Whole(bytes.into())),
        };
        self.exchange(method, path, (kind, key), upload, patience)
    }

    /// Sends all that can be read, while it is read.
    ///
    /// # Errors
    ///
    /// [`ClientError`], also if it cannot be read to its end.
    pub fn stream<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &'static str,
        key: Option<&str>,
        input: impl Read + Send + 'static,
    ) -> Result<T, ClientError> {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        // the thread may be waiting for input when the server has refused already: it is left behind then
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read_all(input, &sender))
            .map_err(ClientError::Start)?;
        let upload = Upload::Stream { chunks, moved: Rc::new(Cell::new(Some(Instant::now()))) };
        self.exchange(Method::POST, path, (Some(kind), key), upload, PATIENCE)
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        (kind, key): (Option<&'static str>, Option<&str>),
        upload: Upload,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let broken = |why: &dyn std::error::Error| ClientError::Broken { target: self.target.clone(), why: last(why) };
        let moved = upload.moved();
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.target.host());
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(upload).map_err(|error| broken(&error))?;
        let local = LocalSet::new();
        let (status, body) = self.runtime.block_on(local.run_until(async {
            let exchange = async {
                match &self.target {
                    Target::Socket(path) => ask(self.connected(UnixStream::connect(path)).await?, request).await,
                    Target::Address(address) => ask(self.connected(TcpStream::connect(address)).await?, request).await,
                }
                .map_err(|error| broken(&*error))
            };
            tokio::select! {
                answer = exchange => answer,
                () = stalled(&moved, patience) => Err(ClientError::Late { target: self.target.clone(), patience }),
            }
        }))?;
        let foreign = ClientError::Foreign { target: self.target.clone(), status };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| foreign);
        }
        Err(serde_json::from_slice(&body).map_or(foreign, |details| ClientError::Refused(Box::new(details))))
    }

    async fn connected<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, ClientError> {
        let failed = |why| ClientError::Connect { target: self.target.clone(), why };
        let late = |_| failed(io::Error::from(io::ErrorKind::TimedOut));
        timeout(CONNECT, connecting).await.map_err(late)?.map_err(failed)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends a request over a connection, and reads the answer whole.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Request<Upload>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?;
    Ok((status, body.to_bytes()))
}

/// Waits until nothing has moved for a while. Waiting for input is no standstill.
async fn stalled(moved: &Cell<Option<Instant>>, patience: Duration) {
    loop {
        let left = moved.get().map_or(patience, |at| (at + patience).saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

/// What goes out.
enum Upload {
    None,
    Whole(Bytes),
    Stream {
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        /// When the last chunk went out; none while there is no other yet.
        moved: Rc<Cell<Option<Instant>>>,
    },
}

impl Upload {
    fn moved(&self) -> Rc<Cell<Option<Instant>>> {
        match self {
            Self::Stream { moved, .. } => moved.clone(),
            Self::None | Self::Whole(_) => Rc::new(Cell::new(Some(Instant::now()))),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let chunk = match &mut *self {
            Self::None => None,
            Self::Whole(bytes) => {
                Some(Ok(std::mem::take(bytes))).filter(|chunk| chunk.as_ref().is_ok_and(|b| !b.is_empty()))
            }
            Self::Stream { chunks, moved } => {
                let polled = chunks.poll_recv(context);
                moved.set(polled.is_ready().then(Instant::now));
                match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(chunk) => chunk,
                }
            }
        };
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::None => hyper::body::SizeHint::with_exact(0),
            Self::Whole(bytes) => hyper::body::SizeHint::with_exact(bytes.len() as u64),
            Self::Stream { .. } => hyper::body::SizeHint::default(),
        }
    }
}

/// Reads to the end, or until nobody takes it any more.
fn read_all(mut input: impl Read, chunks: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                Ok(chunk.into())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if chunks.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}

/// The innermost cause, which is what the system said.
fn last(mut error: &dyn std::error::Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// A query as URLs have it: `key=value&…`, each byte that is not plain as `%XX`.
fn to_query(query: &impl Serialize) -> String {
    let Ok(serde_json::Value::Object(keys)) = serde_json::to_value(query) else { return String::new() };
    let pairs = keys.iter().map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key}={}", escape(&value))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// A text as a part of a path or of a query (RFC 3986, section 2.3).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte as char),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The token that a file has alone, as `Authorization` wants it.
///
/// # Errors
///
/// The file cannot be read.
pub fn read_token(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer, or the next step of a stream, may take: longer than the server lets itself.
pub const PATIENCE: Duration = Duration::from_secs(45);
/// The same for what is to be waited for until it is served.
pub const PATIENCE_TO_SERVE: Duration = Duration::from_secs(630);
/// The longest answer, in bytes: ten thousand rows with the longest subjects.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// What is read and sent at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that may wait to be sent.
const CHUNKS: usize = 4;
