//! What tells that a file is another one, or has other content: size and time alone miss a quick replacement.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The state of the file now; none if there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        if !metadata.is_file() {
            // the times of a pipe are those of its writers
            return Some(Self { device, inode, size: 0, modified: (0, 0), changed: (0, 0) });
        }
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self { device, inode, size: metadata.size(), modified, changed })
    }

    /// When its content was written, in seconds since 1970; none of what is no file.
    pub fn modified(&self) -> Option<i64> {
        Some(self.modified.0).filter(|_| self.modified != (0, 0))
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}
