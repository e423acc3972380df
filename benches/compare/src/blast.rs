//! The load: four sockets with 32 queries each under way, sent and received by the batch, by a loop that never sleeps, as a
//! client that must be woken is woken on the server's bill.

use std::fmt;
use std::fs;
use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What a load came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Queries with a reply.
    pub answered: u64,
    /// Queries without one for a second.
    pub lost: u64,
    /// Replies a second.
    pub rate: f64,
    /// Microseconds that 99 of 100 replies took at most.
    pub p99: f64,
    /// Nanoseconds of the server's processor for each reply; the load itself does not know them.
    pub nanoseconds: f64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.answered, self.lost, self.rate, self.p99)
    }
}

impl FromStr for Load {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next().context("the load said less than it should");
        Ok(Self {
            answered: next()?.parse()?,
            lost: next()?.parse()?,
            rate: next()?.parse()?,
            p99: next()?.parse()?,
            nanoseconds: 0.0,
        })
    }
}

/// Reads questions, `name type` a line, as the messages that ask them.
pub fn read_questions(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(name, kind)| message(name, kind)).collect())
}

fn message(name: &str, kind: &str) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    let kind = match kind {
        "SOA" => 6,
        "TXT" => 16,
        _ => 1,
    };
    message.extend_from_slice(&[0, 0, kind, 0, 1]);
    message
}

/// Whether a server answers for a zone.
pub fn answers(address: SocketAddr, zone: &str) -> bool {
    ask_each(address, &[message(zone, "SOA")]).is_ok_and(|answers| answers[0].bytes > 0)
}

/// An answer, as far as servers agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// RCODE, and the bytes of the first record of the answer behind its TTL.
    pub says: (u8, Vec<u8>),
    /// How long it is.
    pub bytes: usize,
}

/// Asks questions one after the other.
///
/// # Errors
///
/// No reply within a second, three times.
pub fn ask_each(address: SocketAddr, questions: &[Vec<u8>]) -> Result<Vec<Answer>> {
    let socket = connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [0; 4096];
    let mut ask = |question: &[u8]| {
        for _ in 0..3 {
            socket.send(question)?;
            match socket.recv(&mut buffer) {
                Ok(length) => return Ok(answer(&buffer[..length], question.len())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // nobody listens there yet
                Err(error) => {
                    std::thread::sleep(Duration::from_millis(50));
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    };
    questions.iter().map(|question| Ok(ask(question)?)).collect()
}

fn answer(reply: &[u8], question: usize) -> Answer {
    let is_positive = reply.len() > 12 && reply[6..8] != [0, 0];
    // the owner is a pointer to the question; type and class; TTLs may differ
    let record = reply.get(question + 10..).filter(|_| is_positive);
    let length = record.map_or(0, |record| 2 + usize::from(u16::from_be_bytes([record[0], record[1]])));
    let data = record.and_then(|record| record.get(..length)).unwrap_or_default();
    Answer { says: (reply.get(3).map_or(0, |flags| flags & 15), data.to_vec()), bytes: reply.len() }
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// A socket with queries under way.
struct Lane {
    socket: UdpSocket,
    /// Ids that are not under way.
    free: Vec<u16>,
    sent_at: Vec<Option<Instant>>,
}

/// Asks for so long.
///
/// # Errors
///
/// No socket.
pub fn run(address: SocketAddr, questions: &[Vec<u8>], time: Duration) -> Result<Load> {
    let mut questions = questions.to_vec();
    let lane = |_| -> io::Result<Lane> {
        let socket = connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Lane { socket, free: (0..WINDOW as u16).collect(), sent_at: vec![None; WINDOW] })
    };
    let mut lanes = (0..LANES).map(lane).collect::<io::Result<Vec<_>>>()?;
    let mut buffers = vec![[0_u8; 1500]; WINDOW];
    let mut microseconds = vec![0_u64; LONGEST + 1];
    let mut load = Load::default();
    let (mut next, begin, mut swept) = (0, Instant::now(), Instant::now());
    while begin.elapsed() < time {
        for lane in &mut lanes {
            next = send(lane, &mut questions, next);
            let received = receive(lane, &mut buffers);
            let now = Instant::now();
            for buffer in &buffers[..received] {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                let Some(at) = lane.sent_at.get_mut(usize::from(id)).and_then(Option::take) else { continue };
                lane.free.push(id);
                load.answered += 1;
                microseconds[((now - at).as_micros() as usize).min(LONGEST)] += 1;
            }
        }
        if swept.elapsed() > PATIENCE / 2 {
            swept = Instant::now();
            for Lane { free, sent_at, .. } in &mut lanes {
                for (id, at) in (0..).zip(sent_at) {
                    if at.take_if(|at| at.elapsed() > PATIENCE).is_some() {
                        free.push(id);
                        load.lost += 1;
                    }
                }
            }
        }
    }
    load.rate = load.answered as f64 / begin.elapsed().as_secs_f64();
    let mut rest = load.answered * 99 / 100;
    let within = |&count: &u64| {
        let is_within = rest < count;
        rest = rest.saturating_sub(count);
        is_within
    };
    load.p99 = microseconds.iter().position(within).unwrap_or(LONGEST) as f64;
    Ok(load)
}

/// Sends as many questions as have a free id, from `next` on; where to go on.
fn send(lane: &mut Lane, questions: &mut [Vec<u8>], mut next: usize) -> usize {
    let mut parts = Vec::with_capacity(WINDOW);
    for id in lane.free.iter().rev() {
        let count = questions.len();
        let question = &mut questions[next];
        next = (next + 1) % count;
        question[..2].copy_from_slice(&id.to_be_bytes());
        parts.push(libc::iovec { iov_base: question.as_mut_ptr().cast(), iov_len: question.len() });
    }
    let mut headers = headers(&mut parts);
    if headers.is_empty() {
        return next;
    }
    // SAFETY: all that the headers point to is in `parts` and `questions`, which live through the call
    let sent =
        unsafe { libc::sendmmsg(lane.socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, 0) };
    let (sent, now) = (usize::try_from(sent).unwrap_or(0), Instant::now());
    let unsent = parts.len() - sent;
    for id in lane.free.split_off(unsent) {
        lane.sent_at[usize::from(id)] = Some(now);
    }
    (next + questions.len() - unsent) % questions.len()
}

fn receive(lane: &Lane, buffers: &mut [[u8; 1500]]) -> usize {
    let part = |buffer: &mut [u8; 1500]| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut parts: Vec<libc::iovec> = buffers.iter_mut().map(part).collect();
    let mut headers = headers(&mut parts);
    let (fd, count, wait) = (lane.socket.as_raw_fd(), headers.len() as libc::c_uint, libc::MSG_DONTWAIT);
    // SAFETY: all that the headers point to is in `parts` and `buffers`, which live through the call
    let received = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, wait as _, std::ptr::null_mut()) };
    usize::try_from(received).unwrap_or(0)
}

fn headers(parts: &mut [libc::iovec]) -> Vec<libc::mmsghdr> {
    let header = |part: &mut libc::iovec| {
        // SAFETY: plain integers and pointers, for which all zeroes is a value
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    parts.iter_mut().map(header).collect()
}

const LANES: usize = 4;
const WINDOW: usize = 32;
/// When a query counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// Microseconds that are told apart.
const LONGEST: usize = 2_000_000;
