//! Datagram system calls that std does not have: which of our addresses a query came to, and replies from there.
//!
//! Invariant: every pointer handed to the kernel is to a local or borrowed buffer that outlives the call, with its own
//! length beside it. A socket bound to a wildcard address needs this (RFC 2181, section 4.1): left alone, the kernel
//! picks the reply's source address by route, and a client that asked another one drops the reply.
//!
//! It decides nothing and keeps nothing.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::SockAddr;

/// A datagram, as the kernel describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Bytes of it in the buffer.
    pub(super) length: usize,
    /// Whence it came; on a dual-stack socket an IPv4 address is mapped (`::ffff:a.b.c.d`).
    pub(super) client: SocketAddr,
    /// Whither it went: on a wildcard bind alone, and in the same form.
    pub(super) destination: Option<IpAddr>,
}

/// Has the kernel tell the destination of every datagram on a socket bound to a wildcard address.
///
/// # Errors
///
/// What setsockopt(2) says.
pub(super) fn want_destination(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        // on a dual-stack socket it covers IPv4 datagrams too, as mapped addresses
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: libc::c_int = 1;
    // SAFETY: `on` is a c_int that lives through the call, and the length given is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits for one datagram. `None`: the socket was shut down and nothing is left in its queue.
///
/// # Errors
///
/// What recvmsg(2) says, `WouldBlock` after the socket's read timeout among it.
pub(super) fn receive_with_destination(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Received>> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; CONTROL_SPACE]);
    // SAFETY: msghdr is plain integers and pointers, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_SPACE as _;

    // SAFETY: the closure gives the kernel a zeroed sockaddr_storage with its size, and passes the size written back;
    // `part` spans `buffer`, which is borrowed for the call; `control` outlives it too.
    let (length, client) = unsafe {
        SockAddr::try_init(|storage, size| {
            message.msg_name = storage.cast();
            message.msg_namelen = *size;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
            if length < 0 {
                return Err(io::Error::last_os_error());
            }
            *size = message.msg_namelen;
            Ok(length as usize)
        })
    }?;
    // a datagram has a sender, the end of a socket has none: an empty datagram is told apart by this
    let Some(client) = client.as_socket() else { return Ok(None) };
    Ok(Some(Received { length, client, destination: destination(&message) }))
}

/// Sends one datagram, from `source` if given: the `destination` that the query had.
///
/// # Errors
///
/// What sendmsg(2) says; the reply is lost then.
pub(super) fn send_from(
    socket: &UdpSocket,
    reply: &[u8],
    client: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let Some(source) = source else { return socket.send_to(reply, client).map(drop) };
    let client = SockAddr::from(client);
    let mut part = libc::iovec { iov_base: reply.as_ptr().cast_mut().cast(), iov_len: reply.len() };
    let mut control = Control([0; CONTROL_SPACE]);
    // SAFETY: msghdr is plain integers and pointers, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = client.as_ptr().cast_mut().cast();
    message.msg_namelen = client.len();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_SPACE as _;
    match source {
        IpAddr::V4(address) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0, // the route decides the interface, as for any other packet
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            write_control(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0, // a link-local client names its interface in its own address
            };
            write_control(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    // SAFETY: all that `message` points to (`client`, `part`, through it `reply`, `control`) outlives the call, and the
    // kernel only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `info` the one control message of `message`.
fn write_control<T>(message: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, info: T) {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: `message` points to a `Control`, aligned for cmsghdr and, by the assertion below, larger than the space of
    // either structure that is written; CMSG_DATA need not be aligned for T, hence the unaligned write.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
    }
}

/// The local address in the control messages of a received datagram.
fn destination(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: recvmsg has filled `message`, whose control buffer is still alive; the CMSG functions stay inside
    // msg_controllen, and a header of this level and type carries the structure that is read, at any alignment.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // not ipi_addr: for a broadcast that is no address to send from
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let address = Ipv6Addr::from(data.cast::<libc::in6_pktinfo>().read_unaligned().ipi6_addr.s6_addr);
                    return (!address.is_multicast()).then_some(address.into());
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

/// Room for one control message, aligned as its header wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_SPACE]);

/// The larger of the two packet information messages takes 40 bytes.
const CONTROL_SPACE: usize = 64;

const _: () = {
    // SAFETY: CMSG_SPACE only computes.
    let most = unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as libc::c_uint) };
    assert!(most as usize <= CONTROL_SPACE);
    assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());
};
