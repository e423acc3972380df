//! Queries over QUIC (RFC 9250): one message a stream, each way with a two-byte length before it.
//!
//! Invariant: what a connection can hold is bounded whatever it sends: [`Limits::streams`](crate::server::Limits) streams at
//! a time, each with one query of at most [`MAX_QUERY`] bytes, and [`SEND_WINDOW`] of replies; and it ends some time after
//! its last whole query. Addresses that nobody has proven to be his hold fewer places than one client may, so that forged
//! ones can keep no client out: beyond that a new one has to come back with a token (RFC 9000, section 8.1.2).
//!
//! quinn does the transport, and warns of what clients do wrong, so the program's log filter has to leave that out. There
//! is no early data, no datagram, no stream of the server's own, and no change of address: a client is counted, and let
//! in, by the one that it came from.
//!
//! What RFC 9250, section 4.3.3 calls an error of the protocol ends the connection.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, ReadExactError, ReadToEndError, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::DropReason;
use crate::server::accept::{Answers, Deadline, LINGER, MAX_DRAIN, MAX_MESSAGE, MAX_QUERY, QUIET, Stop, enter};
use crate::server::certificate::Certificate;
use crate::server::connections::{Connections, Place};
use crate::server::hickory::has_keepalive;
use crate::server::observe::{Silence, unmapped};
use crate::server::{Error, Limits, tls};

/// Opens an endpoint for each socket; within an event loop, which is the one that has to serve them.
pub(super) fn endpoints(
    sockets: Vec<UdpSocket>,
    certificate: Arc<Certificate>,
    limits: &Limits,
) -> Result<Vec<Endpoint>, Error> {
    let config = config(certificate, limits).map_err(|why| Error::Thread(std::io::Error::other(why)))?;
    let open = |socket| {
        let runtime = Arc::new(TokioRuntime);
        Endpoint::new(EndpointConfig::default(), Some(config.clone()), socket, runtime).map_err(Error::Thread)
    };
    sockets.into_iter().map(open).collect()
}

fn config(
    certificate: Arc<Certificate>,
    limits: &Limits,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let tls = tls::config(certificate, DOQ, &[&rustls::version::TLS13])?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::try_from(limits.streams as u64).unwrap_or(VarInt::MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        // RFC 9250, section 5.4: the length of a packet is not to tell what was asked, whether the client pads or not
        .pad_to_mtu(true)
        .max_idle_timeout(Some(limits.idle.try_into()?));
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER * MAX_INCOMING as u64);
    Ok(config)
}

/// Answers queries on all endpoints until `stop` turns true and the connections are done.
pub(super) async fn serve(endpoints: Vec<Endpoint>, answers: impl Answers, limits: Limits, stop: Stop) {
    let shared = Rc::new(Shared {
        answers,
        limits,
        connections: Connections::new(limits.connections, limits.connections_per_client),
        unproven: Rc::default(),
        scratch: RefCell::new(vec![0; MAX_MESSAGE]),
    });
    let local = LocalSet::new();
    for endpoint in endpoints {
        local.spawn_local(accept(endpoint, shared.clone(), stop.clone()));
    }
    local.await;
}

/// What all connections share.
struct Shared<A> {
    answers: A,
    limits: Limits,
    connections: Rc<Connections>,
    /// Handshakes under way with addresses that nobody has proven to be his.
    unproven: Rc<Cell<usize>>,
    /// Where a reply is written before its length is known; no stream keeps it across a wait.
    scratch: RefCell<Vec<u8>>,
}

/// Accepts connections until the stop, then waits for those that are open.
async fn accept<A: Answers>(endpoint: Endpoint, shared: Rc<Shared<A>>, stop: Stop) {
    let mut stopped = stop.clone();
    let mut open = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            tracing::error!("the socket for QUIC failed; nobody is answered over it until a restart");
            break;
        };
        let is_proven = incoming.remote_address_validated();
        if !is_proven && shared.unproven.get() >= shared.limits.connections_per_client / 2 {
            // an address that is not proven may always be asked to come back
            let _ = incoming.retry();
            continue;
        }
        let client = unmapped(incoming.remote_address());
        let Some(place) = enter(&shared.connections, client, shared.answers.counters()) else {
            incoming.refuse();
            continue;
        };
        let unproven = (!is_proven).then(|| Unproven::one_more(&shared.unproven));
        open.spawn_local(shared.clone().converse(incoming, client, place, unproven, stop.clone()));
    }
    // whoever comes now is told to go elsewhere
    endpoint.set_server_config(None);
    while open.join_next().await.is_some() {}
    let _ = timeout(LINGER, endpoint.wait_idle()).await;
}

/// A handshake with an address that nobody has proven to be his; dropping it is the end of that.
struct Unproven(Rc<Cell<usize>>);

impl Unproven {
    fn one_more(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<A: Answers> Shared<A> {
    /// Serves one connection to its end.
    async fn converse(
        self: Rc<Self>,
        incoming: Incoming,
        client: IpAddr,
        place: Place,
        unproven: Option<Unproven>,
        mut stop: Stop,
    ) {
        let idle = self.limits.idle;
        let handshake = async { incoming.accept()?.await };
        let opened = tokio::select! {
            () = place.eviction.notified() => return,
            opened = timeout(idle, handshake) => opened,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        // a finished handshake is the proof
        drop(unproven);
        let connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                tracing::debug!(%client, %error, "a handshake failed");
                return;
            }
            Err(_) => return,
        };
        let (place, deadline) = (Rc::new(place), Rc::new(Deadline::after(idle)));
        let mut streams = JoinSet::new();
        let code = loop {
            tokio::select! {
                biased;
                () = place.eviction.notified() => break EXCESSIVE_LOAD,
                Some(ended) = streams.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(Broken)) => break PROTOCOL_ERROR,
                    Err(_) => break INTERNAL_ERROR,
                },
                stream = connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return };
                    let asked = Asked { client, place: place.clone(), deadline: deadline.clone() };
                    streams.spawn_local(self.clone().exchange(send, receive, asked));
                }
                () = deadline.passed() => break NO_ERROR,
                _ = stop.wait_for(|stop| *stop) => {
                    self.drain(&connection, &mut streams, client, &place, &deadline).await;
                    break NO_ERROR;
                }
            }
        };
        connection.close(code, b"");
    }

    /// Answers what has arrived, and waits until the client has the replies.
    async fn drain(
        self: &Rc<Self>,
        connection: &Connection,
        streams: &mut JoinSet<Result<(), Broken>>,
        client: IpAddr,
        place: &Rc<Place>,
        deadline: &Rc<Deadline>,
    ) {
        let end = Instant::now() + MAX_DRAIN;
        let mut quiet = Instant::now() + QUIET;
        loop {
            tokio::select! {
                biased;
                Some(_) = streams.join_next() => {}
                stream = connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return };
                    let asked = Asked { client, place: place.clone(), deadline: deadline.clone() };
                    streams.spawn_local(self.clone().exchange(send, receive, asked));
                    quiet = Instant::now() + QUIET;
                }
                () = sleep_until(quiet.min(end)) => {
                    if streams.is_empty() || Instant::now() >= end {
                        return;
                    }
                    quiet = Instant::now() + QUIET;
                }
            }
        }
    }

    /// Answers the one query of a stream, and waits until the client has the reply.
    async fn exchange(
        self: Rc<Self>,
        mut send: SendStream,
        mut receive: RecvStream,
        asked: Asked,
    ) -> Result<(), Broken> {
        let idle = self.limits.idle;
        let query = match timeout(idle, read(&mut receive)).await {
            Ok(Ok(query)) => query,
            Ok(Err(Unread::Broken)) => return Err(Broken),
            // the client has given it up, or is gone
            Ok(Err(Unread::Cancelled)) => return Ok(()),
            Ok(Err(Unread::Long)) | Err(_) => {
                let _ = receive.stop(EXCESSIVE_LOAD);
                let _ = send.reset(EXCESSIVE_LOAD);
                return Ok(());
            }
        };
        asked.place.touch();
        asked.deadline.renew(idle);
        let is_id_zero = query.starts_with(&[0, 0]);
        if !is_id_zero || has_keepalive(&query) {
            return Err(Broken);
        }
        let answered = {
            let mut scratch = self.scratch.borrow_mut();
            let length = self.answers.answer(&query, asked.client, &mut scratch);
            // the scratch buffer is as long as a message can be
            length.map(|length| [&(length as u16).to_be_bytes()[..], &scratch[..length]].concat())
        };
        let reply = match answered {
            Ok(reply) => reply,
            Err(Silence::Meant(DropReason::Short | DropReason::Response)) => return Err(Broken),
            Err(Silence::Meant(DropReason::Access { .. } | DropReason::Limited)) => {
                let _ = send.reset(UNSPECIFIED_ERROR);
                return Ok(());
            }
            Err(Silence::Panic) => {
                let _ = send.reset(INTERNAL_ERROR);
                return Ok(());
            }
        };
        let sent = timeout(idle, async {
            send.write_all(&reply).await.ok()?;
            send.finish().ok()?;
            send.stopped().await.ok()
        });
        if sent.await.is_err() {
            let _ = send.reset(EXCESSIVE_LOAD);
        }
        Ok(())
    }
}

/// One query's surroundings.
struct Asked {
    client: IpAddr,
    place: Rc<Place>,
    deadline: Rc<Deadline>,
}

/// Reads the one query of a stream, up to the end that the client has to set (section 4.2).
async fn read(receive: &mut RecvStream) -> Result<Vec<u8>, Unread> {
    let mut prefix = [0; 2];
    receive.read_exact(&mut prefix).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => Unread::Broken,
        ReadExactError::ReadError(_) => Unread::Cancelled,
    })?;
    let length = usize::from(u16::from_be_bytes(prefix));
    if length > MAX_QUERY {
        return Err(Unread::Long);
    }
    match receive.read_to_end(length).await {
        Ok(query) if query.len() == length => Ok(query),
        Ok(_) | Err(ReadToEndError::TooLong) => Err(Unread::Broken),
        Err(ReadToEndError::Read(_)) => Err(Unread::Cancelled),
    }
}

/// Why a stream has no query.
enum Unread {
    Broken,
    Cancelled,
    Long,
}

/// The client breaks the rules of section 4.3.3.
struct Broken;

/// The registered name of DNS over QUIC.
const DOQ: &[u8] = b"doq";

// section 4.3
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);

/// What a client may have under way, on one stream and on all: sixteen of the longest queries, or hundreds of usual ones.
const WINDOW: u32 = 64 * 1024;

/// What a connection holds of replies that its client has not confirmed: two of the longest.
const SEND_WINDOW: u64 = 128 * 1024;

/// Connections that wait for their turn: as many as datagrams come while one handshake is reckoned.
const MAX_INCOMING: usize = 256;

/// What is kept of further datagrams of each of them: those of one first flight.
const INCOMING_BUFFER: u64 = 8 * 1024;

#[cfg(test)]
mod tests;
