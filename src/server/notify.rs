//! Telling the service manager how far we are: the protocol of sd_notify(3), one datagram a message.
//!
//! Invariant: without a service manager nothing happens, and with one that does not listen nothing fails; serving does
//! not depend on it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// Whether a service manager waits to be told.
    pub fn is_awaited() -> bool {
        std::env::var_os(SOCKET).is_some()
    }

    /// Connects to the socket that NOTIFY_SOCKET names; before a chroot, as its path is outside.
    ///
    /// # Errors
    ///
    /// The environment names a socket that cannot be connected to.
    pub fn from_env() -> io::Result<Self> {
        std::env::var(SOCKET).map_or(Ok(Self(None)), |path| Self::connect(&path))
    }

    /// Tells that queries are answered from now on.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// How often the service manager is to be told that all is well; none if it does not wait for that.
    ///
    /// Half of what it waits for, as sd_watchdog_enabled(3) wants it.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.0.as_ref()?;
        let text = |name| std::env::var(name).ok();
        let is_meant = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let microseconds: u64 = text("WATCHDOG_USEC").filter(|_| is_meant)?.parse().ok()?;
        Some(Duration::from_micros(microseconds / 2)).filter(|interval| !interval.is_zero())
    }

    /// Tells that all is well.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Tells that the end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn connect(path: &str) -> io::Result<Self> {
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok(Self(Some(socket)))
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::warn!(%error, "the service manager did not take {message}");
        }
    }
}

/// The variable that names the service manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_reaches_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::connect(path.to_str().unwrap()).unwrap();
        notifier.ready();
        notifier.alive();
        notifier.stopping();
        let mut buffer = [0; 64];
        for message in ["READY=1", "WATCHDOG=1", "STOPPING=1"] {
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], message.as_bytes());
        }
    }
}
