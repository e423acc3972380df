//! Queries over plain TCP: messages come over the accepted connection as it is, and are answered bytes to bytes.

use std::io;
use std::net::IpAddr;

use tokio::net::TcpStream;

use crate::answer::Transport;
use crate::server::observe::{Answering, Counters, Respond, Silence};
use crate::server::stream::Door;

/// The plain stream door.
pub(super) struct Tcp<R>(pub(super) Answering<R>);

impl<R: Respond> Door for Tcp<R> {
    type Stream = TcpStream;

    async fn open(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        Ok(accepted)
    }

    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence> {
        self.0.respond(&self.0.published.load(), message, client, Transport::Stream, out)
    }

    fn counters(&self) -> &Counters {
        &self.0.counters
    }
}
