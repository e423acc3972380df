//! Datagrams by the batch: recvmmsg(2) and sendmmsg(2), which std does not have.
//!
//! A [`Batch`] is the memory of one worker: slots for datagrams, the senders' addresses, and two sets of headers that point
//! to them and are written once. The kernel fills slots, replies are written over the queries in them, and the second set
//! of headers, with no holes where a query gets no reply, hands them back. After a batch only the headers it used are reset.
//!
//! On a socket bound to a wildcard address the kernel tells which of our addresses a datagram came to, and the same
//! control message, sent back with the reply, has it leave from there (RFC 2181, section 4.1): left alone, the kernel
//! picks the source by route, and a client that asked another address drops the reply.
//!
//! Invariant: every pointer in a header is to memory that the batch owns, in cells that never move and live as long as
//! it does, with its own length beside it.
//!
//! It decides nothing, and knows no DNS.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

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

/// Memory that the kernel is told of: it stays where it is, and is written to behind a shared reference.
type Cells<T> = Box<[UnsafeCell<T>]>;

/// Datagrams that were received together, and the replies to them.
pub(super) struct Batch {
    slots: Cells<Slot>,
    addresses: Cells<Address>,
    received: Box<[libc::mmsghdr]>,
    replies: Box<[libc::mmsghdr]>,
    reply_parts: Cells<libc::iovec>,
    /// What headers point to, and nobody else asks for.
    _kept: (Cells<libc::iovec>, Cells<Control>),
    /// Headers of `received` that the last call wrote to.
    used: usize,
    /// Headers of `replies` that are to be sent.
    staged: usize,
}

impl Batch {
    /// Makes room for [`BATCH`] datagrams.
    pub(super) fn new() -> Self {
        let slots = cells(|_| Slot([0; SLOT_BYTES]));
        let addresses = cells(|_| Address([0; ADDRESS_BYTES]));
        let controls = cells(|_| Control([0; CONTROL_BYTES]));
        let part = |index: usize| libc::iovec { iov_base: slots[index].get().cast(), iov_len: SLOT_BYTES };
        let (parts, reply_parts) = (cells(part), cells(part));
        let headers = |parts: &[UnsafeCell<libc::iovec>]| {
            let header = |index: usize| {
                // SAFETY: mmsghdr is plain integers and pointers, for which all zeroes is a value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = parts[index].get();
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = addresses[index].get().cast();
                header.msg_hdr.msg_namelen = ADDRESS_BYTES as _;
                header.msg_hdr.msg_control = controls[index].get().cast();
                header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
                header
            };
            (0..BATCH).map(header).collect()
        };
        let (received, replies) = (headers(&parts), headers(&reply_parts));
        Self { slots, addresses, received, replies, reply_parts, _kept: (parts, controls), used: 0, staged: 0 }
    }

    /// Waits for datagrams, and takes those that are there, in the places of what was there before; how many they are.
    /// None: the socket was shut down and nothing is left in its queue.
    ///
    /// # Errors
    ///
    /// What recvmmsg(2) says, `WouldBlock` after the socket's read timeout among it; there are no datagrams then.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        for header in &mut self.received[..self.used] {
            header.msg_hdr.msg_namelen = ADDRESS_BYTES as _;
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        (self.used, self.staged) = (0, 0);
        // SAFETY: there are BATCH headers, and by the invariant all that they point to is there, with its length. Nothing
        // borrows from the cells, as this is `&mut self`.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.received.as_mut_ptr(),
                BATCH as libc::c_uint,
                // wait for the first datagram and no longer: without it the call waits until the batch is full
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        if received < 0 {
            return Err(io::Error::last_os_error());
        }
        self.used = received as usize;
        // a datagram has a sender, the end of a socket has none: an empty datagram is told apart by this
        let is_end = |header: &libc::mmsghdr| header.msg_hdr.msg_namelen == 0;
        let count = self.received[..self.used].iter().position(is_end).unwrap_or(self.used);
        Ok(count)
    }

    /// A received datagram, as far as it fits the slot.
    pub(super) fn query(&self, index: usize) -> &[u8] {
        let length = (self.received[index].msg_len as usize).min(SLOT_BYTES);
        // SAFETY: the slot is initialised, and mutable references to it are given for `&mut self` alone.
        unsafe { &(&(*self.slots[index].get()).0)[..length] }
    }

    /// The whole slot of a received datagram, for the reply to be written over it.
    pub(super) fn slot(&mut self, index: usize) -> &mut [u8; SLOT_BYTES] {
        // SAFETY: the slot is initialised, and `&mut self` is the only borrow.
        unsafe { &mut (*self.slots[index].get()).0 }
    }

    /// Who sent a datagram; on a dual-stack socket an IPv4 address is mapped (`::ffff:a.b.c.d`).
    pub(super) fn client(&self, index: usize) -> SocketAddr {
        // SAFETY: the address is initialised, and nothing writes to it but the kernel in `receive`, for `&mut self`.
        let Address(bytes) = unsafe { &*self.addresses[index].get() };
        let [f1, f2, p1, p2, rest @ ..] = bytes;
        let port = u16::from_be_bytes([*p1, *p2]);
        if i32::from(u16::from_ne_bytes([*f1, *f2])) == libc::AF_INET {
            let [a, b, c, d, ..] = *rest;
            return (Ipv4Addr::new(a, b, c, d), port).into();
        }
        let [_, _, _, _, address @ .., s1, s2, s3, s4] = *rest;
        SocketAddrV6::new(Ipv6Addr::from(address), port, 0, u32::from_ne_bytes([s1, s2, s3, s4])).into()
    }

    /// Has the first `length` bytes of a slot sent to where the datagram came from, with the next [`Self::send`].
    pub(super) fn reply(&mut self, index: usize, length: usize) {
        let received = &mut self.received[index].msg_hdr;
        let reply = &mut self.replies[self.staged].msg_hdr;
        reply.msg_name = received.msg_name;
        reply.msg_namelen = received.msg_namelen;
        reply.msg_control = received.msg_control;
        reply.msg_controllen = if turn_back(received) { received.msg_controllen } else { 0 };
        let part = libc::iovec { iov_base: self.slots[index].get().cast(), iov_len: length.min(SLOT_BYTES) };
        // SAFETY: the cell is this batch's own, and `&mut self` is the only borrow.
        unsafe { *self.reply_parts[self.staged].get() = part };
        self.staged += 1;
    }

    /// Sends the replies; how many of them the kernel did not take, which are lost.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let (mut sent, mut lost) = (0, 0);
        while sent < self.staged {
            let rest = &mut self.replies[sent..self.staged];
            // SAFETY: as many headers as the length says, and by the invariant all that they point to is there; the
            // kernel reads it, and writes the length sent to each header.
            let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
            match taken {
                1.. => sent += taken as usize,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // the error is the first one's; those behind it have not been tried
                _ => (sent, lost) = (sent + 1, lost + 1),
            }
        }
        self.staged = 0;
        lost
    }
}

/// Makes the control message of a received datagram that of its reply: our address goes from destination to source.
/// False if there is none to send from.
fn turn_back(message: &mut libc::msghdr) -> bool {
    if message.msg_controllen == 0 {
        return false;
    }
    // SAFETY: recvmmsg has filled `message`, whose control buffer is still alive; the CMSG functions stay inside
    // msg_controllen, and a header of this level and type carries the structure that is read and written, at any
    // alignment.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null() {
            return false;
        }
        let data = libc::CMSG_DATA(header);
        // the interface is left to the route, as for any other packet: a link-local client names its own in its address
        match ((*header).cmsg_level, (*header).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let data = data.cast::<libc::in_pktinfo>();
                let mut info = data.read_unaligned();
                info.ipi_ifindex = 0;
                // ipi_spec_dst is what the kernel sends from; unlike ipi_addr it is ours even for a broadcast
                data.write_unaligned(info);
                true
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let data = data.cast::<libc::in6_pktinfo>();
                let mut info = data.read_unaligned();
                info.ipi6_ifindex = 0;
                data.write_unaligned(info);
                !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_multicast()
            }
            _ => false,
        }
    }
}

fn cells<T>(make: impl Fn(usize) -> T) -> Cells<T> {
    (0..BATCH).map(|index| UnsafeCell::new(make(index))).collect()
}

/// Room for a datagram. Whole cache lines, and an odd number of them: the beginnings of all slots, which are what is
/// read and written, fall into different sets of a first-level cache.
#[repr(C, align(64))]
struct Slot([u8; SLOT_BYTES]);

/// A sockaddr_in or sockaddr_in6, aligned as they want it.
#[repr(C, align(8))]
struct Address([u8; ADDRESS_BYTES]);

/// Room for one control message, aligned as its header wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// The most datagrams of a batch: enough that the reads from memory of one query wait beside those of the others, and
/// that their slots stay in the first-level cache.
pub(super) const BATCH: usize = 32;

/// Bytes of a datagram that are taken: more than any reply has, and more than any query needs. The records behind the
/// question of a longer one are cut off, and it is answered as the message that this makes.
pub(super) const SLOT_BYTES: usize = 21 * 64;

/// The larger of the two socket addresses: what this program opens is IPv4 or IPv6.
const ADDRESS_BYTES: usize = size_of::<libc::sockaddr_in6>();

/// The larger of the two packet information messages takes 40 bytes.
const CONTROL_BYTES: usize = 64;

const _: () = {
    // SAFETY: CMSG_SPACE only computes.
    let most = unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as libc::c_uint) };
    assert!(most as usize <= CONTROL_BYTES);
    assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());
    assert!(align_of::<Address>() >= align_of::<libc::sockaddr_in6>());
    assert!(SLOT_BYTES >= crate::answer::MAX_UDP_REPLY && (SLOT_BYTES / 64) % 2 == 1);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let [server, client] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(crate::server::tests::PATIENCE)).unwrap();
        (server, client)
    }

    #[test]
    fn a_batch_is_what_is_there_and_comes_again_with_the_next() {
        let (server, client) = pair();
        let mut batch = Batch::new();
        for round in 0..3_u8 {
            let sizes = [1, 0, SLOT_BYTES, SLOT_BYTES + 1, 65_000, 7];
            for size in sizes {
                client.send(&vec![round; size]).unwrap();
            }
            assert_eq!(batch.receive(&server).unwrap(), sizes.len());
            for (index, size) in sizes.into_iter().enumerate() {
                assert_eq!(batch.query(index), vec![round; size.min(SLOT_BYTES)]);
                assert_eq!(batch.client(index), client.local_addr().unwrap());
            }
        }
        for _ in 0..BATCH + 1 {
            client.send(b"more than a batch").unwrap();
        }
        assert_eq!(batch.receive(&server).unwrap(), BATCH);
        assert_eq!(batch.receive(&server).unwrap(), 1);
    }

    #[test]
    fn a_reply_that_the_kernel_does_not_take_costs_no_other() {
        let (server, client) = pair();
        let mut batch = Batch::new();
        for number in 0..6 {
            client.send(&[number; 3]).unwrap();
        }
        assert_eq!(batch.receive(&server).unwrap(), 6);
        for index in [0, 2, 3, 5] {
            batch.slot(index)[0] += 100;
            batch.reply(index, 2);
        }
        // the first and the third have nowhere to go
        for staged in [0, 2] {
            batch.replies[staged].msg_hdr.msg_namelen = 0;
        }
        assert_eq!(batch.send(&server), 2);
        let mut buffer = [0; 8];
        for number in [2, 5] {
            assert_eq!(client.recv(&mut buffer).unwrap(), 2);
            assert_eq!(buffer[..2], [number + 100, number]);
        }
        assert_eq!(batch.send(&server), 0, "nothing is sent twice");
    }
}
