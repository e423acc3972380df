//! Bytes to bytes: the only place where an answer is decided.

use std::net::IpAddr;

use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: replies are bounded by what the client says it takes.
    Udp,
    /// TCP or TLS: replies are bounded by the 16-bit length prefix alone.
    Stream,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply of `length` bytes was written.
    Reply {
        /// Bytes written to the start of the output.
        length: usize,
        /// What the reply says, for counters and the query log.
        summary: Summary,
    },
    /// No reply is sent.
    Drop(DropReason),
}

/// What a reply says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The zone that answered: its index in the snapshot.
    pub zone: Option<usize>,
    /// The RCODE, with the bits from the OPT record.
    pub rcode: u16,
    /// Records in the answer section.
    pub answers: u16,
}

/// Why a query gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Under 12 bytes.
    Short,
    /// A response, not a query; answering it could start a loop.
    Response,
    /// The access list says so.
    Access,
}

/// Answers one query. Never blocks, allocates or panics; writes at most `out.len()` bytes.
///
/// `out` must hold 512 bytes; 1232 for every UDP reply and 65 535 for every TCP reply.
pub fn respond(
    _snapshot: &Snapshot,
    _query: &[u8],
    _client: IpAddr,
    _transport: Transport,
    _now: UnixTime,
    _out: &mut [u8],
) -> Outcome {
    Outcome::Drop(DropReason::Short)
}

/// The most bytes that a reply over UDP has (RFC 9715: no fragments on any usual path).
pub const MAX_UDP_REPLY: usize = 1232;
