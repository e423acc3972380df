//! Queries over plain TCP: messages come over the accepted connection as it is, and are answered bytes to bytes.

use std::io;
use std::net::IpAddr;

use tokio::net::TcpStream;

use crate::answer::Transport;
use crate::server::accept::Answers;
use crate::server::observe::{Answering, Counters, Respond, Silence};
use crate::server::stream::Underlay;

/// The accepted connection as it is.
pub(super) struct Tcp;

impl Underlay for Tcp {
    type Stream = TcpStream;

    async fn open(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        Ok(accepted)
    }
}

impl<R: Respond> Answers for Answering<R> {
    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence> {
        self.respond(&self.published.load(), message, client, Transport::Stream, out)
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}
