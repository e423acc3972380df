//! Opening sockets: the one part of a server that may need privileges.
//!
//! Invariant: a socket that is returned is this program's alone, also where several workers share its port: the first
//! is bound exclusively, and lets the others in only then. A second server started by mistake gets an error, not half of
//! the queries.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::server::{Encrypted, Error, Listen, udp};

/// The sockets of one plain address: the same port for both transports.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) address: SocketAddr,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: TcpListener,
    /// Whether the datagram sockets are somebody else's too, who may hand them to the next server.
    pub(super) is_inherited: bool,
}

/// Sockets that a service manager opened for this program (sd_listen_fds(3)), until they are taken.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Inherited {
    /// Takes the sockets that the environment announces; those that are neither UDP nor listening TCP stay closed.
    pub(super) fn from_env() -> Self {
        let mut announced = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..announced.len() {
            if let Ok(Some(socket)) = announced.take_udp_socket(index) {
                inherited.udp.push(socket);
            } else if let Ok(Some(socket)) = announced.take_tcp_listener(index) {
                inherited.tcp.push(socket);
            }
        }
        inherited
    }

    /// Where a socket is that no door is to have; what is sent there would wait for ever.
    pub(super) fn unclaimed(&self, listen: &Listen) -> Option<SocketAddr> {
        let of_door = |door: &Option<Encrypted>, address: SocketAddr| {
            door.as_ref().is_some_and(|door| door.addresses.contains(&address))
        };
        let has_udp = |address| listen.plain.contains(&address) || of_door(&listen.quic, address);
        let has_tcp = |address| {
            listen.plain.contains(&address) || of_door(&listen.encrypted, address) || of_door(&listen.https, address)
        };
        let udp = self.udp.iter().filter_map(|socket| socket.local_addr().ok()).find(|address| !has_udp(*address));
        let tcp = || self.tcp.iter().filter_map(|socket| socket.local_addr().ok()).find(|address| !has_tcp(*address));
        udp.or_else(tcp)
    }

    fn take_udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        self.udp.extract_if(.., |socket| socket.local_addr().is_ok_and(|local| local == address)).collect()
    }

    fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|socket| socket.local_addr().is_ok_and(|local| local == address))?;
        Some(self.tcp.swap_remove(at))
    }
}

/// Lets the process have as many files open as its hard limit says.
///
/// The usual soft limit of 1024 is there for programs that use select(2); [`Limits`](crate::server::Limits) lets in
/// more connections than that.
pub(super) fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it was, which may be too low for all connections");
    }
}

/// Opens `workers` datagram sockets and a listener at one address, or takes the inherited ones, which all workers share.
///
/// With port 0 the kernel chooses one that is free for both transports.
///
/// # Errors
///
/// [`Error::Bind`] with the address.
pub(super) fn plain(
    address: SocketAddr,
    all: &[SocketAddr],
    workers: usize,
    inherited: &mut Inherited,
) -> Result<Plain, Error> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let inherited_udp = inherited.take_udp(address);
        let is_inherited = !inherited_udp.is_empty();
        let udp = match is_inherited {
            true => shared(inherited_udp, workers).map_err(|why| Error::bind(address, why))?,
            false => datagram(address, all, workers)?,
        };
        let bound = udp.first().map_or(Ok(address), UdpSocket::local_addr).map_err(|why| Error::bind(address, why))?;
        match listener(bound, all, inherited) {
            Ok(tcp) => {
                for socket in &udp {
                    udp::ready(socket).map_err(|why| Error::bind(bound, why))?;
                }
                return Ok(Plain { address: bound, udp, tcp, is_inherited });
            }
            // the port that UDP was given is taken for TCP: another will be given next time
            Err(Error::Bind { why, .. }) if why.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a listener for stream connections, or takes the inherited one.
///
/// # Errors
///
/// [`Error::Bind`] with the address.
pub(super) fn listener(
    address: SocketAddr,
    all: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<TcpListener, Error> {
    let open = || {
        let socket = socket(address, all, Type::STREAM, Protocol::TCP)?;
        // a restart need not wait for the connections of the last run to time out
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    let listener = inherited.take_tcp(address).map_or_else(open, Ok);
    listener
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .map_err(|why| Error::bind(address, why))
}

/// Opens the datagram socket of one address for QUIC, or takes the inherited one.
///
/// # Errors
///
/// [`Error::Bind`] with the address.
pub(super) fn quic(address: SocketAddr, all: &[SocketAddr], inherited: &mut Inherited) -> Result<UdpSocket, Error> {
    let open = || Ok(exclusive(address, all)?.into());
    inherited.take_udp(address).pop().map_or_else(open, Ok).map_err(|why| Error::bind(address, why))
}

/// Opens the datagram sockets of one address.
fn datagram(address: SocketAddr, all: &[SocketAddr], workers: usize) -> Result<Vec<UdpSocket>, Error> {
    let open = || {
        let first = exclusive(address, all)?;
        let bound = first.local_addr()?;
        // set after the bind: the bind itself was exclusive
        first.set_reuse_port(workers > 1)?;
        let mut sockets = vec![first.into()];
        for _ in 1..workers {
            let next = socket(address, all, Type::DGRAM, Protocol::UDP)?;
            next.set_reuse_port(true)?;
            next.bind(&bound)?;
            sockets.push(next.into());
        }
        Ok(sockets)
    };
    open().map_err(|why| Error::bind(address, why))
}

/// A datagram socket that nobody else has bound, and nobody else can.
fn exclusive(address: SocketAddr, all: &[SocketAddr]) -> io::Result<Socket> {
    let socket = socket(address, all, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// As many handles as there are workers, to the sockets that are given: more cannot be opened where a service manager did.
fn shared(mut sockets: Vec<UdpSocket>, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let given = sockets.len();
    for index in given..workers {
        sockets.push(sockets[index % given].try_clone()?);
    }
    Ok(sockets)
}

/// A socket for `address`, not bound yet.
fn socket(address: SocketAddr, all: &[SocketAddr], kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // `::` takes IPv4 too, unless the configuration has a wildcard for it beside this one
        let separate = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        socket.set_only_v6(all.contains(&separate))?;
    }
    Ok(socket)
}

/// Connections that wait to be accepted; the kernel caps it by net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// How often a port free for both transports is looked for.
const PORT_ATTEMPTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn both_transports_get_one_port() {
        let plain = plain(LOOPBACK, &[], 2, &mut Inherited::default()).unwrap();
        assert_ne!(plain.address.port(), 0);
        assert_eq!(plain.tcp.local_addr().unwrap(), plain.address);
        assert!(plain.udp.iter().all(|socket| socket.local_addr().unwrap() == plain.address));
    }

    #[test]
    fn a_second_server_is_told_of_the_first_even_though_workers_share_the_port() {
        let first = plain(LOOPBACK, &[], 2, &mut Inherited::default()).unwrap();
        let error = plain(first.address, &[], 2, &mut Inherited::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: address in use: another server listens there", first.address));
    }

    #[test]
    fn the_limit_of_open_files_becomes_the_hard_one() {
        raise_open_files();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }

    #[test]
    fn inherited_sockets_are_used_where_their_address_is_asked_for_and_all_workers_share_them() {
        let Plain { address, udp, tcp, .. } = plain(LOOPBACK, &[], 1, &mut Inherited::default()).unwrap();
        let mut inherited = Inherited { udp, tcp: vec![tcp] };
        // a second bind of this address would fail
        let taken = plain(address, &[], 3, &mut inherited).unwrap();
        assert!(inherited.udp.is_empty() && inherited.tcp.is_empty());
        assert_eq!((taken.address, taken.udp.len()), (address, 3));
        taken.udp[0].send_to(b"for whoever looks first", address).unwrap();
        assert_eq!(taken.udp[2].recv(&mut [0; 64]).unwrap(), 23);
    }

    #[test]
    fn an_inherited_socket_that_nobody_asks_for_is_found() {
        let Plain { address, udp, tcp, .. } = plain(LOOPBACK, &[], 1, &mut Inherited::default()).unwrap();
        let datagrams = Inherited { udp, tcp: Vec::new() };
        let stream = Inherited { udp: Vec::new(), tcp: vec![tcp] };
        let wanted = Listen { plain: vec![address], ..Listen::default() };
        for inherited in [datagrams, stream] {
            assert_eq!(inherited.unclaimed(&wanted), None);
            assert_eq!(inherited.unclaimed(&Listen::default()), Some(address));
        }
    }
}
