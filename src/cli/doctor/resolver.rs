//! Asking a server over the network, as a patient client does.
//!
//! Invariant: a reply has the query's id and comes from whom was asked; what does not is passed over, not believed.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::super::ask::{Reply, read, write};
use crate::dnsxl::Name;

/// What is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) qtype: u16,
    pub(super) way: Way,
    /// Whether DNSSEC is to be left out of it (RFC 4035, section 3.2.2).
    pub(super) checking_disabled: bool,
}

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// UDP with EDNS and a size that no network cuts.
    Udp,
    /// UDP as before EDNS: 512 bytes, which is how mail servers ask.
    PlainUdp,
    Tcp,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    #[error("no reply within {} s", WHOLE.as_secs())]
    NoReply,
    #[error("{0}")]
    Io(io::ErrorKind),
    #[error("a reply that cannot be read")]
    Unreadable,
}

/// What a question comes to.
pub(super) type Asked = Result<Reply, Silence>;

impl Question {
    /// Over UDP with EDNS.
    pub(super) fn new(name: &Name, qtype: u16) -> Self {
        Self { name: name.clone(), qtype, way: Way::Udp, checking_disabled: false }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "",
            Self::PlainUdp => " without EDNS",
            Self::Tcp => " over TCP",
        })
    }
}

/// Asks, over UDP a few times.
pub(super) fn ask(server: SocketAddr, question: &Question) -> Asked {
    let mut query = write(&question.name, question.qtype);
    let id = id();
    query[..2].copy_from_slice(&id);
    query[2] |= RECURSION_DESIRED;
    if question.checking_disabled {
        query[3] |= CHECKING_DISABLED;
    }
    if question.way != Way::PlainUdp {
        query[11] = 1;
        query.extend_from_slice(&OPT);
    }
    let reply = match question.way {
        Way::Tcp => over_tcp(server, &query),
        Way::Udp | Way::PlainUdp => over_udp(server, &query),
    };
    let reply = reply.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Silence::NoReply,
        kind => Silence::Io(kind),
    })?;
    let is_reply = reply.starts_with(&id) && reply.get(2).is_some_and(|byte| byte & RESPONSE != 0);
    if is_reply { read(&reply).ok_or(Silence::Unreadable) } else { Err(Silence::Unreadable) }
}

fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    let mut buffer = [0; u16::MAX as usize];
    for wait in WAITS {
        socket.send(query)?;
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                // what answers another query, or none, is not the reply
                Ok(length) if buffer[..length].starts_with(&query[..2]) => return Ok(buffer[..length].to_vec()),
                Ok(_) => {}
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, WHOLE)?;
    stream.set_read_timeout(Some(WHOLE))?;
    stream.set_write_timeout(Some(WHOLE))?;
    // RFC 7766, section 8: the length and the message in one piece
    let length = query.len() as u16;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// An id that whoever does not see the query has to guess.
fn id() -> [u8; 2] {
    use std::hash::{BuildHasher, RandomState};
    let [first, second, ..] = RandomState::new().hash_one(0).to_be_bytes();
    [first, second]
}

/// How long a reply to each try over UDP is waited for: a resolver may have to ask several servers itself.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];
/// How long a reply is waited for in all.
const WHOLE: Duration = Duration::from_secs(6);
/// An OPT record that takes 1232 bytes (RFC 6891, section 6.1).
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
const RESPONSE: u8 = 0x80;
const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
