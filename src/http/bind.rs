//! Opening the sockets of the control interface.
//!
//! Invariant: the Unix socket has its permissions before it has its name, a name that is something else's is left alone,
//! and only the socket that was opened is taken away at the end.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::Error;

/// The Unix socket; dropping it takes its path away.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    listener: UnixListener,
    /// Which file it is, so that another server's is not taken away.
    inode: u64,
}

impl Socket {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |why| Error::Socket { path: path.to_owned(), why };
        match fs::symlink_metadata(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(failed(why)),
            Ok(found) if !found.file_type().is_socket() => return Err(Error::NoSocket { path: path.to_owned() }),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(Error::Taken { path: path.to_owned() }),
            // one that a server left behind
            Ok(_) => {}
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let open = || {
            let listener = UnixListener::bind(&temporary)?;
            fs::set_permissions(&temporary, Permissions::from_mode(MODE))?;
            listener.set_nonblocking(true)?;
            let inode = fs::symlink_metadata(&temporary)?.ino();
            fs::rename(&temporary, path)?;
            Ok(Self { path: path.to_owned(), listener, inode })
        };
        open().map_err(|why| {
            let _ = fs::remove_file(&temporary);
            failed(why)
        })
    }

    /// The socket, within an event loop.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a TCP socket, for an event loop.
pub(super) fn tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|why| Error::Address { address, why })
}

/// The owner and its group may ask; others may not even connect.
const MODE: u32 = 0o660;
