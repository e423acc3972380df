//! Queries over plain TCP: messages come over the accepted connection as it is, and are answered bytes to bytes.

use std::io;

use tokio::net::TcpStream;

use crate::server::stream::Underlay;

/// The accepted connection as it is.
pub(super) struct Tcp;

impl Underlay for Tcp {
    type Stream = TcpStream;

    async fn open(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        Ok(accepted)
    }
}
