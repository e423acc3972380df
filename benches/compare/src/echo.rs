//! The floor: takes up to 32 datagrams with one recvmmsg, makes each an NXDOMAIN of at least so many bytes, and sends them
//! with one sendmmsg. What a DNS server costs beyond this is its own doing.

use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::Result;

/// Serves until it is killed.
pub fn serve(address: SocketAddr, size: usize) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut packets = vec![[0_u8; PACKET]; BATCH];
    // SAFETY: plain integers, for which all zeroes is a value
    let mut names: Vec<libc::sockaddr_in6> = vec![unsafe { zeroed() }; BATCH];
    let part = |packet: &mut [u8; PACKET]| libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: PACKET };
    let mut parts: Vec<libc::iovec> = packets.iter_mut().map(part).collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(BATCH);
    for (part, name) in parts.iter_mut().zip(&mut names) {
        // SAFETY: as above, and null pointers
        let mut header: libc::mmsghdr = unsafe { zeroed() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
        header.msg_hdr.msg_namelen = NAME;
        headers.push(header);
    }
    loop {
        let (all, wait) = (BATCH as libc::c_uint, libc::MSG_WAITFORONE);
        // SAFETY: all that the headers point to lives as long as they do
        let got =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), all, wait as _, std::ptr::null_mut()) };
        let got = usize::try_from(got).unwrap_or(0);
        for at in 0..got {
            packets[at][2] |= 0x84;
            packets[at][3] = 3;
            parts[at].iov_len = (headers[at].msg_len as usize).max(size).min(PACKET);
        }
        let mut sent = 0;
        while sent < got {
            let rest = &mut headers[sent..got];
            // SAFETY: as above
            let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as _, 0) };
            let Ok(taken @ 1..) = usize::try_from(taken) else { break };
            sent += taken;
        }
        for at in 0..got {
            parts[at].iov_len = PACKET;
            headers[at].msg_hdr.msg_namelen = NAME;
        }
    }
}

const BATCH: usize = 32;
const PACKET: usize = 1344;
const NAME: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
