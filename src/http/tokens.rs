//! The file of bearer tokens: lines `name token`, the name being who asks.
//!
//! Invariant: a file that cannot be read, is wrong, or that others can read lets nobody in, so that to take a token away
//! always works. The time that a comparison takes tells nothing: digests are compared, and all of them, whatever came.
//!
//! The file is looked at with each request that comes with a token, and read again when it is another one.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::api::MAX_NAME;
use super::control::Who;
use crate::dataset::{file_at, open_to_others};
use crate::feed::SystemError;

/// Why a file of tokens lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// It cannot be read.
    #[error("{}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Others can read or write it.
    #[error("{}: mode {mode:03o} lets others in: `chmod 640` it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no file of tokens.
    #[error("{}: longer than {MOST} bytes: is it a file of tokens?", path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// A line is not `name token`.
    #[error("{}:{line}: write `name token`, a token of {SHORTEST} or more visible characters", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
    },
}

/// Whether a file of tokens would let anybody in.
///
/// # Errors
///
/// Why not.
pub fn check_tokens(path: &Path) -> Result<(), TokensError> {
    parse(path).map(drop)
}

/// The tokens of a file, as it is now.
#[derive(Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    seen: Option<Stamp>,
    known: Vec<(Who, [u8; 32])>,
    /// Why nobody is let in, if so.
    pub(super) error: Option<TokensError>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([i64; 7]);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        let ids = [data.dev() as i64, data.ino() as i64, data.size() as i64];
        let [device, inode, size] = ids;
        // ctime moves with permissions too
        Some(Self([device, inode, size, data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()]))
    }
}

impl Tokens {
    pub(super) fn open(path: PathBuf) -> Self {
        let mut tokens = Self { path, seen: None, known: Vec::new(), error: None };
        tokens.read();
        tokens
    }

    /// Reads the file again if it is another one; whether it was.
    pub(super) fn refresh(&mut self) -> bool {
        let is_other = Stamp::of(&self.path) != self.seen;
        if is_other {
            self.read();
        }
        is_other
    }

    fn read(&mut self) {
        // before the text, so that what changes meanwhile is read again
        self.seen = Stamp::of(&self.path);
        (self.known, self.error) = match parse(&self.path) {
            Ok(known) => (known, None),
            Err(error) => (Vec::new(), Some(error)),
        };
    }

    /// Whose token it is; the work is the same for every token, and for none.
    pub(super) fn find(&self, token: &[u8]) -> Option<Who> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (who, known) in &self.known {
            let difference = known.iter().zip(digest).fold(0, |all, (a, b)| all | (a ^ b));
            if difference == 0 {
                found = Some(who);
            }
        }
        found.cloned()
    }
}

fn parse(path: &Path) -> Result<Vec<(Who, [u8; 32])>, TokensError> {
    let failed = |why: std::io::Error| TokensError::Read { path: path.to_owned(), why: SystemError(&why).to_string() };
    file_at(path).map_err(failed)?;
    let file = File::open(path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file.metadata().map_err(failed)?) {
        return Err(TokensError::Open { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(MOST + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MOST {
        return Err(TokensError::Long { path: path.to_owned() });
    }
    let mut known = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let (name, token) =
            parse_line(line).ok_or_else(|| TokensError::Line { path: path.to_owned(), line: index + 1 })?;
        known.push((Who(name.to_owned()), Sha256::digest(token).into()));
    }
    Ok(known)
}

fn parse_line(line: &[u8]) -> Option<(&str, &str)> {
    let (name, token) = std::str::from_utf8(line).ok()?.split_once(char::is_whitespace)?;
    let token = token.trim_start();
    let is_name = name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    // a name that looks like a peer's of the Unix socket would be told from it by nobody
    let is_own = !name.starts_with("uid:");
    let is_token = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
    (is_name && is_own && is_token).then_some((name, token))
}

/// The shortest token: 16 characters of base64 are 96 bits, which nobody guesses over a network.
const SHORTEST: usize = 16;
/// The longest file in bytes: some thousand tokens.
const MOST: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_token_is_somebodys_until_it_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        write(&path, "# ours\nmail 0123456789abcdef\nweb   fedcba9876543210\n", 0o640);
        let mut tokens = Tokens::open(path.clone());
        assert_eq!(tokens.find(b"fedcba9876543210"), Some(Who("web".to_owned())));
        assert_eq!(tokens.find(b"fedcba987654321"), None);
        assert_eq!(tokens.find(b""), None);
        assert!(!tokens.refresh());
        write(&path, "mail 0123456789abcdef\n", 0o640);
        assert!(tokens.refresh());
        assert_eq!(tokens.find(b"fedcba9876543210"), None);
        fs::remove_file(&path).unwrap();
        assert!(tokens.refresh());
        assert_eq!(tokens.find(b"0123456789abcdef"), None);
        assert!(tokens.error.as_ref().unwrap().to_string().contains("tokens: No such file"));
    }

    #[test]
    fn a_file_that_is_wrong_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        for (text, mode, why) in [
            ("mail 0123456789abcdef\n", 0o644, "mode 644 lets others in"),
            ("mail 0123456789abcdef\n", 0o602, "mode 602 lets others in"),
            ("mail 0123456789abcdef\nweb short\n", 0o600, "tokens:2: write `name token`"),
            ("uid:0 0123456789abcdef\n", 0o600, "tokens:1: write `name token`"),
            ("0123456789abcdef\n", 0o600, "tokens:1: write `name token`"),
            (&"#".repeat(300_000), 0o600, "longer than 262144 bytes"),
        ] {
            write(&path, text, mode);
            let tokens = Tokens::open(path.clone());
            assert_eq!(tokens.find(b"0123456789abcdef"), None);
            let told = tokens.error.unwrap().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
