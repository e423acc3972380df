//! A relay that keeps what it was asked: in a resolver's place while a mail client is tested, or between a resolver and
//! the list's server.
//!
//! In a resolver's place it passes on what belongs to the lists, and says of all other names that they do not exist. A
//! resolver would ask for names above a listing too, and keep answers: here what is counted is what the client asks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::wire::{Query, type_text};

/// A running relay; it ends when dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Stands in a resolver's place: asks `server` for all names that end with one of `zones`. It takes no TCP.
    pub(crate) fn as_resolver(address: SocketAddr, server: SocketAddr, zones: &'static [&'static str]) -> Self {
        let mut relay = Self::new(address);
        relay.serve_udp(move |name, query| match zones.iter().any(|zone| name.ends_with(zone)) {
            true => forward(server, query).ok().map(with_flags_of_resolver),
            false if name.ends_with(BROKEN) => Some(without_answer(query, 2)),
            false => Some(without_answer(query, 3)),
        });
        relay
    }

    /// Stands in front of a server, for UDP and TCP; only what comes over UDP is counted.
    pub(crate) fn in_front(address: SocketAddr, server: SocketAddr) -> Self {
        let mut relay = Self::new(address);
        relay.serve_udp(move |_, query| forward(server, query).ok());
        relay.serve_tcp(server);
        relay
    }

    fn new(address: SocketAddr) -> Self {
        Self { address, asked: Arc::default(), end: Arc::default(), threads: Vec::new() }
    }

    fn serve_udp(&mut self, mut answer: impl FnMut(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static) {
        let socket = UdpSocket::bind(self.address).unwrap();
        socket.set_read_timeout(Some(NAP)).unwrap();
        let (asked, end) = (Arc::clone(&self.asked), Arc::clone(&self.end));
        self.threads.push(thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
                let query = &buffer[..length];
                let (name, rtype) = question(query);
                asked.lock().unwrap().push(format!("{rtype} {name}"));
                if let Some(reply) = answer(&name, query) {
                    let _ = socket.send_to(&reply, client);
                }
            }
        }));
    }

    fn serve_tcp(&mut self, server: SocketAddr) {
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let end = Arc::clone(&self.end);
        self.threads.push(thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => drop(thread::spawn(move || pass_on(&client, server))),
                    Err(_) => thread::sleep(NAP),
                }
            }
        }));
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked since the last call, as `A name`; in lower case.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn forward(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(REPLY))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// One question and its reply at a time, until the client closes.
fn pass_on(client: &TcpStream, server: SocketAddr) -> Option<()> {
    client.set_nonblocking(false).ok()?;
    client.set_read_timeout(Some(REPLY)).ok()?;
    let mut server = TcpStream::connect(server).ok()?;
    server.set_read_timeout(Some(REPLY)).ok()?;
    let (mut from_client, mut to_client) = (client, client);
    while let Some(query) = read_message(&mut from_client) {
        server.write_all(&query).ok()?;
        to_client.write_all(&read_message(&mut server)?).ok()?;
    }
    client.shutdown(Shutdown::Both).ok()
}

/// A message with its length in front.
fn read_message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; 2 + usize::from(u16::from_be_bytes(length))];
    message[..2].copy_from_slice(&length);
    stream.read_exact(&mut message[2..]).ok()?;
    Some(message)
}

/// The question's name in lower case, and its type.
fn question(query: &[u8]) -> (String, String) {
    let (mut labels, mut rest) = (Vec::new(), &query[12..]);
    while let [length @ 1..=63, after @ ..] = rest {
        let (label, next) = after.split_at(usize::from(*length));
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        rest = next;
    }
    (labels.join("."), type_text(u16::from_be_bytes([rest[1], rest[2]])))
}

/// An authoritative server's reply with the flags of a resolver: AA clear, RA set.
fn with_flags_of_resolver(mut reply: Vec<u8>) -> Vec<u8> {
    reply[2] &= !0x04;
    reply[3] |= 0x80;
    reply
}

/// A reply with the question and an RCODE.
fn without_answer(query: &[u8], rcode: u16) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).map_or(0, |at| at + 1);
    let id = u16::from_be_bytes([query[0], query[1]]);
    let qtype = u16::from_be_bytes([query[end], query[end + 1]]);
    let name = query[12..end].to_vec();
    Query { id, flags: 0x8180 | rcode, name, ..Query::new("", qtype) }.bytes()
}

/// Names for which nobody is there to ask.
pub(crate) const BROKEN: &str = "broken.example";
/// How long a server may take on a busy machine.
const REPLY: Duration = Duration::from_secs(3);
/// How long nobody looks whether it is time to end.
const NAP: Duration = Duration::from_millis(20);
