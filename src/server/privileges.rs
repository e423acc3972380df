//! Giving up what only binding needed: chroot, working folder, groups, user, system calls; and the pid file.
//!
//! Invariant: the order is bind, [`confine`], load, so that list files are parsed without privileges and their paths,
//! now and at every reload, mean the same thing: inside the new root. Names of users are looked up before it, as there
//! is usually no /etc/passwd in there.
//!
//! It must be called before any thread is started: a thread that runs on keeps its view of the old root's folders open.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, chroot, getgid, getuid, setgid, setgroups, setuid};

use super::seccomp::{SeccompError, close_system_calls};

/// What to give up.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// `user` or `user:group`, by name or number.
    pub user: Option<String>,
    /// The folder that becomes `/`.
    pub root: Option<PathBuf>,
    /// The working folder, inside the new root.
    pub directory: Option<PathBuf>,
}

impl Confinement {
    /// Whether the account is known, and one without privileges.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken.
    pub fn check(&self) -> Result<(), ConfineError> {
        self.user.as_deref().map_or(Ok(()), |user| account(user).map(drop))
    }
}

/// Why privileges were not given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// No such user, by name.
    #[error("user {0}: not known to this host")]
    UnknownUser(String),
    /// No such group, by name.
    #[error("group {0}: not known to this host")]
    UnknownGroup(String),
    /// A number without an account, so that there is no group that belongs to it.
    #[error("user {0}: has no account, so name the group too: {0}:GROUP")]
    NoGroup(u32),
    /// It would be root as before.
    #[error("user {0}: is root; name an account without privileges")]
    Root(String),
    /// A step failed.
    #[error("{step}: {why}")]
    Step {
        /// What was tried.
        step: String,
        /// What the kernel says.
        why: io::Error,
    },
    /// The change of user can be taken back.
    #[error("user {0}: the way back to root stayed open")]
    NotFinal(String),
    /// System calls that are not needed any more stayed open.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
}

/// Gives up privileges, for good.
///
/// # Errors
///
/// [`ConfineError`]; the program must end then, as some steps may have been done.
pub fn confine(confinement: &Confinement) -> Result<(), ConfineError> {
    let account = confinement.user.as_deref().map(account).transpose()?;
    if let Some(root) = &confinement.root {
        let step = || format!("chroot to {}", root.display());
        chroot(root).map_err(|why| failed(step(), why))?;
        // without this the working folder stays outside, and `..` leads anywhere
        std::env::set_current_dir("/").map_err(|why| ConfineError::Step { step: step(), why })?;
    }
    if let Some(directory) = &confinement.directory {
        std::env::set_current_dir(directory)
            .map_err(|why| ConfineError::Step { step: format!("chdir to {}", directory.display()), why })?;
    }
    let Some((uid, gid)) = account else { return Ok(()) };
    // started as this account already: there is nothing to give up, and no right to try
    if getuid() == uid && getgid() == gid {
        return Ok(());
    }
    let user = confinement.user.as_deref().unwrap_or_default();
    let step = |what: &str| format!("{what} of {user}");
    // the user last: without root the other two are not allowed any more
    setgroups(&[gid]).map_err(|why| failed(step("taking the groups"), why))?;
    setgid(gid).map_err(|why| failed(step("taking the group"), why))?;
    setuid(uid).map_err(|why| failed(step("taking the user id"), why))?;
    if setuid(Uid::from_raw(0)).is_ok() {
        return Err(ConfineError::NotFinal(user.to_owned()));
    }
    // last, as a chroot is one of the calls
    close_system_calls()?;
    Ok(())
}

/// A file with the process id, emptied at the end.
///
/// Emptied, not removed: by then the path may lead elsewhere, in another root, and the folder is root's.
#[derive(Debug)]
pub struct PidFile(File);

impl PidFile {
    /// Writes the file; before [`confine`], as /run belongs to root.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or is a symbolic link.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = create_no_link(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

/// Creates or empties a file, but never through a link: whoever may write to its folder could otherwise have root write
/// over any file there is.
///
/// # Errors
///
/// The file cannot be opened, or is a symbolic link.
pub fn create_no_link(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW);
    options.open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::new(error.kind(), "is a symbolic link; remove it"),
        _ => error,
    })
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // a stale number would be worse than none, but there is nobody to tell of a failure
        let _ = self.0.set_len(0);
    }
}

/// The ids of `user` or `user:group`.
fn account(text: &str) -> Result<(Uid, Gid), ConfineError> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let lookup = |why| failed(format!("looking up {text}"), why);
    let (uid, own) = match user.parse() {
        Ok(number) => {
            let uid = Uid::from_raw(number);
            (uid, User::from_uid(uid).map_err(lookup)?.map(|user| user.gid))
        }
        Err(_) => {
            let known = User::from_name(user).map_err(lookup)?;
            let known = known.ok_or_else(|| ConfineError::UnknownUser(user.to_owned()))?;
            (known.uid, Some(known.gid))
        }
    };
    if uid.is_root() {
        return Err(ConfineError::Root(user.to_owned()));
    }
    let gid = match group.map(|group| (group, group.parse())) {
        None => own.ok_or(ConfineError::NoGroup(uid.as_raw()))?,
        Some((_, Ok(number))) => Gid::from_raw(number),
        Some((group, Err(_))) => {
            let known = Group::from_name(group).map_err(lookup)?;
            known.ok_or_else(|| ConfineError::UnknownGroup(group.to_owned()))?.gid
        }
    };
    Ok((uid, gid))
}

fn failed(step: String, why: nix::Error) -> ConfineError {
    ConfineError::Step { step, why: why.into() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn accounts_by_name_and_number_but_never_root() {
        assert_eq!(account("4711:4712").unwrap(), (Uid::from_raw(4711), Gid::from_raw(4712)));
        let error = |text| account(text).unwrap_err().to_string();
        assert_eq!(error("0:4712"), "user 0: is root; name an account without privileges");
        assert_eq!(error("root"), "user root: is root; name an account without privileges");
        assert_eq!(error("no-such-user"), "user no-such-user: not known to this host");
        assert_eq!(error("4711:no-such-group"), "group no-such-group: not known to this host");
        assert_eq!(error("4294967000"), "user 4294967000: has no account, so name the group too: 4294967000:GROUP");
    }

    #[test]
    fn the_pid_file_is_emptied_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("infamy.pid");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn the_pid_file_is_written_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let [link, target] = ["infamy.pid", "shadow"].map(|name| folder.path().join(name));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(PidFile::create(&link).unwrap_err().to_string(), "is a symbolic link; remove it");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }

    /// Privileges are the whole process's, so that a process of its own gives them up.
    #[test]
    fn a_confined_process_sees_its_root_alone_and_cannot_go_back() {
        if !getuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("lists")).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::privileges::tests::confined_child", "--ignored", "--test-threads=1"])
            .env(CHILD_ROOT, root.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
    }

    #[test]
    #[ignore = "the other half of the test above"]
    fn confined_child() {
        let Some(root) = std::env::var_os(CHILD_ROOT) else { return };
        let confinement = Confinement {
            user: Some("4711:4712".to_owned()),
            root: Some(root.into()),
            directory: Some("lists".into()),
        };
        confine(&confinement).unwrap();
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/lists"));
        assert!(!Path::new("/etc/passwd").exists());
        assert_eq!((getuid(), getgid()), (Uid::from_raw(4711), Gid::from_raw(4712)));
        assert_eq!(nix::unistd::getgroups().unwrap(), [Gid::from_raw(4712)]);
        assert!(setuid(Uid::from_raw(0)).is_err());
        assert!(chroot("/").is_err() && Command::new("/lists").status().is_err());
    }

    const CHILD_ROOT: &str = "INFAMY_TEST_CHILD_ROOT";
}
