//! Frame Streams over a Unix socket, the side that sends: a handshake both ways, frames, and an end that is agreed upon.
//!
//! A frame is its length in four bytes, big-endian, and its bytes. A length of zero leads a control frame: its own length,
//! its type, and fields of type, length and bytes.
//!
//! Invariant: no wait is without a limit, so that a collector that hangs holds up its own frames and no more. Without a
//! collector frames are lost and counted, and it is looked for once a second.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::Tell;
use super::outage::Outage;
use super::spool::Sink;

/// Appends a frame of what `put` appends.
pub(super) fn put_frame(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    put(out);
    let length = (out.len() - begin - LENGTH) as u32;
    out[begin..begin + LENGTH].copy_from_slice(&length.to_be_bytes());
}

/// Keeps a connection to a collector.
pub(super) struct Connector {
    socket: PathBuf,
    content_type: &'static str,
    stream: Option<UnixStream>,
    next_try: Option<Instant>,
    outage: Outage,
}

impl Connector {
    pub(super) fn new(socket: PathBuf, content_type: &'static str, tell: Tell) -> Self {
        let outage = Outage::none(socket.display().to_string(), tell);
        Self { socket, content_type, stream: None, next_try: None, outage }
    }

    fn connect(&mut self) {
        let clock = Instant::now();
        if self.next_try.is_some_and(|next_try| clock < next_try) {
            return;
        }
        self.next_try = Some(clock + RETRY);
        match open(&self.socket).and_then(|stream| greet(stream, self.content_type)) {
            Ok(stream) => {
                self.stream = Some(stream);
                self.outage.ends();
            }
            Err(why) => self.outage.begins("connecting to", &why),
        }
    }
}

impl Sink for Connector {
    fn take(&mut self, frames: &[u8], dropped: u64) -> u64 {
        if self.stream.is_none() {
            self.connect();
        }
        // what a broken connection had taken of them nobody knows
        let lost = match self.stream.as_mut().map(|stream| stream.write_all(frames)) {
            Some(Ok(())) => 0,
            Some(Err(why)) => {
                self.stream = None;
                self.outage.begins("writing to", &why);
                count(frames)
            }
            None => count(frames),
        };
        if self.stream.is_some() && lost + dropped == 0 && !frames.is_empty() {
            self.outage.ends();
        }
        self.outage.loses("writing to", lost, dropped);
        lost
    }

    fn reopen(&mut self) {}

    fn end(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        // a collector that does not answer has everything all the same
        let _ = stream.write_all(&control(STOP, None)).and_then(|()| read_control(stream));
    }
}

/// Connects. A collector whose queue is full is as good as none: waiting for it has no limit in connect(2).
fn open(path: &PathBuf) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(OwnedFd::from(socket).into())
}

/// Says what comes, and hears whether it is wanted.
fn greet(mut stream: UnixStream, content_type: &str) -> io::Result<UnixStream> {
    stream.write_all(&control(READY, Some(content_type)))?;
    let answer = read_control(&mut stream)?;
    let (kind, mut rest) = answer.split_first_chunk().ok_or_else(|| foreign("a control frame without a type"))?;
    if u32::from_be_bytes(*kind) != ACCEPT {
        return Err(foreign("something else than ACCEPT"));
    }
    let (mut any, mut ours) = (false, false);
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (text, after) = after.split_at_checked(length).ok_or_else(|| foreign("a field that is cut off"))?;
        any = true;
        ours |= head[..4] == CONTENT_TYPE.to_be_bytes() && text == content_type.as_bytes();
        rest = after;
    }
    if any && !ours {
        return Err(foreign("another type of content"));
    }
    stream.write_all(&control(START, Some(content_type)))?;
    Ok(stream)
}

fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it answers with {what}: does it take dnstap?"))
}

/// A control frame, with a field for the type of content if there is one.
fn control(kind: u32, content_type: Option<&str>) -> Vec<u8> {
    let mut frame = vec![0; LENGTH];
    put_frame(&mut frame, |out| {
        out.extend_from_slice(&kind.to_be_bytes());
        if let Some(text) = content_type {
            out.extend_from_slice(&CONTENT_TYPE.to_be_bytes());
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    });
    frame
}

/// Reads a control frame: type and fields.
fn read_control(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 2 * LENGTH];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if head[..LENGTH] != [0; LENGTH] || length > MAX_CONTROL {
        return Err(foreign("no control frame"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// How many frames there are.
fn count(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((length, after)) = frames.split_first_chunk() {
        frames = after.get(u32::from_be_bytes(*length) as usize..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Bytes of a length.
const LENGTH: usize = 4;
/// Types of control frames.
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
/// The one type of field.
const CONTENT_TYPE: u32 = 1;
/// The longest control frame that is read: that of the protocol.
const MAX_CONTROL: usize = 512;
/// How long a collector may take to read, or to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a collector is looked for.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::query_log::News;

    const TYPE: &str = "protobuf:dnstap.Dnstap";

    fn quiet() -> Tell {
        Box::new(|_, _| {})
    }

    fn frames(bodies: &[&[u8]]) -> Vec<u8> {
        let mut all = Vec::new();
        bodies.iter().for_each(|body| put_frame(&mut all, |out| out.extend_from_slice(body)));
        all
    }

    /// A collector that takes one connection: what it got between the handshake and the end.
    fn collect(listener: &UnixListener) -> Vec<u8> {
        let (mut stream, _) = listener.accept().unwrap();
        let ready = read_control(&mut stream).unwrap();
        assert_eq!(ready, control(READY, Some(TYPE))[2 * LENGTH..]);
        stream.write_all(&control(ACCEPT, Some(TYPE))).unwrap();
        assert_eq!(read_control(&mut stream).unwrap()[..LENGTH], START.to_be_bytes());
        let mut got = Vec::new();
        loop {
            let mut length = [0; LENGTH];
            stream.read_exact(&mut length).unwrap();
            if length == [0; LENGTH] {
                break;
            }
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut body).unwrap();
            got.extend_from_slice(&frames(&[&body]));
        }
        let mut stop = [0; 2 * LENGTH];
        stream.read_exact(&mut stop).unwrap();
        assert_eq!(stop[LENGTH..], STOP.to_be_bytes());
        // FINISH
        stream.write_all(&control(5, None)).unwrap();
        got
    }

    #[test]
    fn frames_go_through_a_handshake_to_an_agreed_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap");
        let listener = UnixListener::bind(&path).unwrap();
        let collector = thread::spawn(move || collect(&listener));
        let mut connector = Connector::new(path, TYPE, quiet());
        let sent = frames(&[b"one", &[0; 70_000], b""]);
        // an empty frame would be a control frame's mark
        let sent = &sent[..sent.len() - LENGTH];
        assert_eq!(connector.take(sent, 0), 0);
        connector.end();
        assert_eq!(collector.join().unwrap(), sent);
    }

    #[test]
    fn without_a_collector_frames_are_counted_and_it_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap");
        let (told, news) = channel();
        let tell = move |_: &str, news: News<'_>| told.send(format!("{news:?}")).unwrap();
        let mut connector = Connector::new(path.clone(), TYPE, Box::new(tell));
        assert_eq!(connector.take(&[], 0), 0);
        assert_eq!(connector.take(&frames(&[b"one", b"two"]), 1), 2);
        assert!(news.recv().unwrap().contains("connecting to"));
        let listener = UnixListener::bind(&path).unwrap();
        let collector = thread::spawn(move || collect(&listener));
        connector.next_try = None;
        assert_eq!(connector.take(&frames(&[b"three"]), 0), 0);
        assert_eq!(news.recv().unwrap(), "Again { lost: 3 }");
        connector.end();
        assert_eq!(collector.join().unwrap(), frames(&[b"three"]));
        // it is gone, and nothing was left in its queue
        assert_eq!(connector.take(&frames(&[b"four"]), 0), 1);
        assert!(news.recv().unwrap().contains("writing to"));
    }

    #[test]
    fn a_collector_that_is_too_slow_is_told_of_once_and_when_it_has_caught_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tap");
        let listener = UnixListener::bind(&path).unwrap();
        let collector = thread::spawn(move || collect(&listener));
        let (told, news) = channel();
        let tell = move |_: &str, news: News<'_>| told.send(format!("{news:?}")).unwrap();
        let mut connector = Connector::new(path, TYPE, Box::new(tell));
        let frame = frames(&[b"one"]);
        for dropped in [0, 7, 2, 0, 0] {
            assert_eq!(connector.take(&frame, dropped), 0);
        }
        connector.end();
        assert_eq!(collector.join().unwrap(), frame.repeat(5));
        drop(connector);
        let told: Vec<String> = news.iter().collect();
        assert!(told[0].contains("too slow"), "{told:?}");
        assert_eq!(told[1..], ["Again { lost: 9 }"]);
    }

    #[test]
    fn a_peer_that_speaks_otherwise_gets_nothing() {
        let answers = [
            control(START, Some(TYPE)),
            control(ACCEPT, Some("protobuf:other")),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            [&[0; LENGTH][..], &u32::MAX.to_be_bytes(), &[0; 600]].concat(),
            [&[0; LENGTH][..], &12_u32.to_be_bytes(), &ACCEPT.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]]
                .concat(),
            Vec::new(),
        ];
        for answer in answers {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&answer).unwrap();
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(greet(ours, TYPE).is_err(), "{}", answer.escape_ascii());
        }
    }
}
