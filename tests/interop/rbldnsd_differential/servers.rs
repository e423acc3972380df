//! The two that are asked: rbldnsd over UDP, infamy in this process.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use infamy::answer::{Outcome, Transport, respond};
use infamy::reload::Store;
use infamy::snapshot::Snapshot;
use infamy::zone::UnixTime;

use super::Case;
use super::allowed::NXDOMAIN;
use super::message::{Reply, query};
use crate::harness;

/// rbldnsd.
pub(super) struct Theirs {
    server: SocketAddr,
    sockets: HashMap<Ipv4Addr, UdpSocket>,
    /// Names that were asked for, with whether they exist for that client.
    known: HashMap<(Ipv4Addr, String), bool>,
    pub(super) asked: usize,
}

impl Theirs {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, sockets: HashMap::new(), known: HashMap::new(), asked: 0 }
    }

    /// The reply to one query; none if there is none.
    pub(super) fn ask(&mut self, case: &Case<'_>) -> Option<Reply> {
        self.ask_all(case.client, &[(&case.name(), case.qtype, case.class)]).pop().flatten()
    }

    /// The replies to queries of one client, in their order.
    ///
    /// A server with one thread answers in order, so that what has no reply when a last query has is never replied to.
    pub(super) fn ask_all(&mut self, client: Ipv4Addr, questions: &[(&str, u16, u16)]) -> Vec<Option<Reply>> {
        let socket = self.sockets.entry(client).or_insert_with(|| {
            let socket = UdpSocket::bind((client, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(self.server).unwrap();
            socket
        });
        let mut replies = Vec::new();
        for some in questions.chunks(AT_ONCE) {
            let base = replies.len();
            for (index, (name, qtype, class)) in some.iter().enumerate() {
                socket.send(&query(index as u16, name, *qtype, *class)).unwrap();
            }
            socket.send(&query(LAST, "last.invalid", 1, 1)).unwrap();
            replies.resize(base + some.len(), None);
            let mut buffer = [0; 4096];
            loop {
                let length = socket.recv(&mut buffer).unwrap();
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if id == LAST {
                    break;
                }
                replies[base + usize::from(id)] = Some(Reply::read(&buffer[..length]));
            }
        }
        self.asked += questions.len();
        replies
    }

    /// Whether rbldnsd knows any name below the case's.
    pub(super) fn has_anything_below(&mut self, case: &Case<'_>) -> bool {
        let name = case.name().to_lowercase();
        let (below, below_number) = (format!(".{name}"), format!(".{}", without_zeros(&name)));
        let suffixes = case.zone.suffixes();
        let is_ip4 = |name: &str| {
            suffixes.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|front| front.split('.').count() == 4))
        };
        let is_below = |name: &&String| name.ends_with(&below) || is_ip4(name) && name.ends_with(&below_number);
        let mut names: Vec<String> = case.zone.names_to_try.iter().filter(is_below).cloned().collect();
        names.extend(edges_below(case));
        names.push(format!("zz{below}"));
        let unknown: Vec<String> =
            names.iter().filter(|name| !self.known.contains_key(&(case.client, (*name).clone()))).cloned().collect();
        let questions: Vec<(&str, u16, u16)> = unknown.iter().map(|name| (&**name, 1, 1)).collect();
        for (name, reply) in unknown.iter().zip(self.ask_all(case.client, &questions)) {
            let exists = reply.is_some_and(|reply| reply.rcode != NXDOMAIN);
            self.known.insert((case.client, name.clone()), exists);
        }
        names.into_iter().any(|name| self.known[&(case.client, name)])
    }
}

/// The reply of rbldnsd to a client that may be ignored: with one thread it answers in order, so that there is none if
/// somebody else's query behind it has one.
pub(super) fn ask_past(server: SocketAddr, case: &Case<'_>) -> Option<Reply> {
    let socket = UdpSocket::bind((case.client, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.send(&query(1, &case.name(), case.qtype, case.class)).unwrap();
    harness::ask(server, &query(LAST, "last.invalid", 1, 1)).expect("a reply to the last query");
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    socket.recv(&mut buffer).ok().map(|length| Reply::read(&buffer[..length]))
}

/// An octet of a name; up to three digits, of which some may lead in vain.
fn octet(label: &str) -> Option<u8> {
    if label.len() <= 3 { label.parse().ok() } else { None }
}

/// The name as it would be written without leading zeros.
fn without_zeros(name: &str) -> String {
    let labels: Vec<String> =
        name.split('.').map(|label| octet(label).map_or_else(|| label.to_owned(), |octet| octet.to_string())).collect();
    labels.join(".")
}

/// The first and the last address of the block that a name is, under every name that it may be below.
fn edges_below(case: &Case<'_>) -> Vec<String> {
    let mut edges = Vec::new();
    for suffix in case.zone.suffixes() {
        let name = case.name().to_lowercase();
        let Some(relative) = name.strip_suffix(&suffix) else { continue };
        let labels: Vec<&str> =
            relative.trim_end_matches('.').split('.').rev().filter(|label| !label.is_empty()).collect();
        let octets: Vec<u8> = labels.iter().map_while(|label| octet(label)).collect();
        if octets.len() == labels.len() && octets.len() < 4 {
            for fill in [0, 255] {
                let mut all = [fill; 4];
                all[..octets.len()].copy_from_slice(&octets);
                edges.push(name4(all.into(), &suffix));
            }
        }
        let nibbles: Vec<u8> = labels
            .iter()
            .filter(|label| label.len() == 1)
            .map_while(|label| u8::from_str_radix(label, 16).ok())
            .collect();
        if nibbles.len() == labels.len() && nibbles.len() < 32 {
            for fill in [0, 15] {
                let all = (0..32)
                    .fold(0, |bits: u128, index| bits << 4 | u128::from(nibbles.get(index).copied().unwrap_or(fill)));
                edges.push(name6(all.into(), &suffix));
            }
        }
    }
    edges
}

/// The name of an IPv4 address in front of a suffix that begins with a dot.
pub(super) fn name4(address: Ipv4Addr, suffix: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}{suffix}")
}

/// The name of an IPv6 address in front of a suffix that begins with a dot.
pub(super) fn name6(address: Ipv6Addr, suffix: &str) -> String {
    let bits = u128::from(address);
    let nibbles: Vec<String> = (0..32).map(|nibble| format!("{:x}", bits >> (4 * nibble) & 15)).collect();
    nibbles.join(".") + suffix
}

/// infamy, from the same command line.
pub(super) struct Ours {
    snapshot: Snapshot,
    now: UnixTime,
}

impl Ours {
    pub(super) fn new(arguments: &[String]) -> Self {
        let plan = infamy::rbldnsd::plan(arguments.iter().map(Into::into)).unwrap();
        let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64);
        let mut store = Store::new(plan);
        store.load(now);
        Self { snapshot: store.snapshot().unwrap(), now }
    }

    pub(super) fn ask(&self, case: &Case<'_>) -> Option<Reply> {
        let mut out = vec![0; 65_535];
        let bytes = query(7, &case.name(), case.qtype, case.class);
        let client = IpAddr::V4(case.client);
        // over a stream nothing is truncated: how that is done is not compared
        match respond(&self.snapshot, &bytes, client, Transport::Stream, self.now, &mut out) {
            Outcome::Reply { length, .. } => Some(Reply::read(&out[..length])),
            Outcome::Drop(_) => None,
        }
    }
}

/// Queries under way at most: what a socket holds without losing any.
const AT_ONCE: usize = 40;
/// The id of the query that comes last.
const LAST: u16 = 0xffff;
const PATIENCE: Duration = Duration::from_secs(10);
