//! A machine of its own for a test: this one's files below an overlay, booted by systemd-nspawn into namespaces.
//!
//! Invariant: nothing that is done in it is seen outside, and nothing of it is left when the value is gone: its files are
//! in a mount namespace of its own, its network is a loopback that nobody else has.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A booted machine; killed when dropped.
pub(crate) struct Machine {
    nspawn: Child,
    /// The process that is number 1 inside.
    init: u32,
    /// Where its files are mounted, as it alone sees it.
    _folder: TempDir,
}

impl Machine {
    /// Boots as far as to where services can be started; none is, and packages may start theirs.
    pub(crate) fn boot() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "/bin/sh", "-ec", BOOT, "sh"]).arg(folder.path());
        let output = folder.path().join("boot");
        let log = fs::File::create(&output).unwrap();
        unshare.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // a test that is killed takes its machine with it, and its machine only
        unshare.process_group(0);
        let nspawn = unshare.spawn().expect("unshare is part of util-linux");
        let mut machine = Self { nspawn, init: 0, _folder: folder };
        let booted = within(BOOTED, || {
            assert_eq!(machine.nspawn.try_wait().unwrap(), None, "{}", fs::read_to_string(&output).unwrap());
            machine.init = child_of(machine.nspawn.id()).unwrap_or(0);
            // what else of this machine does not start there is not looked at
            let state = (machine.init != 0).then(|| machine.run("systemctl is-system-running").stdout);
            state.is_some_and(|state| [&b"running\n"[..], b"degraded\n"].contains(&&*state))
        });
        let printed = fs::read_to_string(&output).unwrap();
        assert!(booted, "systemd is not up: {printed}");
        // where services of packages are kept from starting, it was said for the machine outside
        machine.must("rm -f /usr/sbin/policy-rc.d");
        machine
    }

    /// Runs a line of bash inside.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.init.to_string(), "--all", "/bin/bash", "-c", line]);
        nsenter.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output().unwrap()
    }

    /// What a line printed that has to succeed.
    pub(crate) fn must(&self, line: &str) -> String {
        let output = self.run(line);
        let [printed, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{line}\n{printed}\n{errors}\n{}", self.journal());
        printed.trim().to_owned()
    }

    /// Runs a line until it prints what is expected.
    pub(crate) fn until(&self, line: &str, expected: &str) {
        let mut last = String::new();
        let came = within(PATIENCE, || {
            last = String::from_utf8_lossy(&self.run(line).stdout).trim().to_owned();
            last == expected
        });
        assert!(came, "{line}: {last}, and never {expected}\n{}", self.journal());
    }

    /// Writes a file inside, and the folders it is in.
    pub(crate) fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let outside = format!("/proc/{}/root{path}", self.init);
        fs::create_dir_all(Path::new(&outside).parent().unwrap()).unwrap();
        fs::write(&outside, contents).unwrap();
    }

    fn journal(&self) -> String {
        let output = self.run("journalctl --no-pager --quiet --lines 60").stdout;
        String::from_utf8_lossy(&output).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.nspawn.kill();
        // with number 1 everything inside ends
        if self.init != 0 {
            let _ = Command::new("kill").args(["-s", "KILL", &self.init.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.nspawn.wait();
    }
}

/// Mounts and boots in `$1`. Changes are kept in memory; the overlay's own folders cannot be on what is below it.
const BOOT: &str = r#"
mount -t tmpfs -o size=1g,mode=755 tmpfs "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root"
exec systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --private-network --console=pipe \
    --machine=trial --directory="$1/root" --boot -- systemd.unit=basic.target quiet
"#;

fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Whether something became so in time.
fn within(time: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if begin.elapsed() > time {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// How long systemd may take to come up.
const BOOTED: Duration = Duration::from_secs(60);
/// How long something inside may take to become so.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long until it is looked at again.
const PAUSE: Duration = Duration::from_millis(50);
