//! Starting real programs for a test, and asking them.
//!
//! Invariant: a program that was started is gone when its value is, and every port is one that was free on loopback.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program under test, killed when dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts the program; what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let errors = out.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        Self { child: child.unwrap_or_else(|why| panic!("{command:?}: {why}")) }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has the program end by SIGTERM, and waits until it has; whether it says that all was well.
    pub(crate) fn end(mut self) -> bool {
        assert!(Command::new("kill").args(["-s", "TERM", &self.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// Waits until `is_ready`; fails with what was printed if the program ends first or takes too long.
    pub(crate) fn wait_until(&mut self, log: &Path, mut is_ready: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                panic!("not ready ({ended:?}):\n{}", std::fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address with a port that is free for UDP and TCP.
pub(crate) fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Sends a query and waits briefly for a reply.
pub(crate) fn ask(server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(REPLY)).unwrap();
    socket.connect(server).unwrap();
    socket.send(query).ok()?;
    let mut buffer = [0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    // a socket that was given the very port that nobody has yet hears itself
    let is_reply = buffer[2] & 0x80 != 0;
    is_reply.then(|| buffer[..length].to_vec())
}

/// How long a program may take to answer its first query.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long until it is asked again.
const PAUSE: Duration = Duration::from_millis(10);
/// How long one query may take; a port that nobody has yet is refused at once.
const REPLY: Duration = Duration::from_millis(100);
