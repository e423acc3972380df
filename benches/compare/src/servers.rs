//! The servers: each with the same lists, one thread for UDP, no log and no limit of responses, on processor 0.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::blast;
use crate::lists::{BL, DBL};

/// Gives the path if it is there, and else leaves the function with none.
macro_rules! installed {
    ($path:literal) => {{
        if !Path::new($path).exists() {
            return Ok(None);
        }
        $path
    }};
}

/// What servers are started from.
pub struct Setup {
    /// Lists and questions, and where configurations go.
    pub folder: PathBuf,
    /// The program to measure.
    pub infamy: PathBuf,
    /// Whether there are domains besides addresses.
    pub with_names: bool,
}

/// A server that answers; it ends when this is dropped.
pub struct Running {
    /// What it is called in the table.
    pub name: String,
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
}

impl Running {
    /// Nanoseconds that all its threads and processes have run.
    pub fn cpu(&self) -> u64 {
        let of_thread = |thread: &Path| {
            let text = fs::read_to_string(thread.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        let threads = |process: u32| fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        family(self.child.id()).into_iter().flat_map(threads).filter_map(|thread| of_thread(&thread.path())).sum()
    }

    /// Bytes of memory that all its processes have to themselves or share, counted once.
    pub fn resident(&self) -> u64 {
        let of_process = |process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        family(self.child.id()).into_iter().filter_map(of_process).sum::<u64>() << 10
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in family(self.child.id()) {
            // SAFETY: a signal to a process that this program started, or to its children
            unsafe { libc::kill(process as libc::pid_t, libc::SIGTERM) };
        }
        let _ = self.child.wait();
    }
}

/// A process and its descendants.
fn family(first: u32) -> Vec<u32> {
    let mut members = vec![first];
    let mut at = 0;
    while let Some(&member) = members.get(at) {
        for thread in fs::read_dir(format!("/proc/{member}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            members.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    members
}

/// Starts a server by its name in the table and waits until it answers; none if it is not installed.
pub fn start(name: &str, setup: &Setup) -> Result<Option<Running>> {
    let address = free_address()?;
    let folder = setup.folder.as_path();
    let own = folder.join(name);
    fs::create_dir_all(&own)?;
    let zones: Vec<&str> = if setup.with_names { vec![BL, DBL] } else { vec![BL] };
    let command = match name {
        "rbldnsd" => rbldnsd(Command::new(installed!("/usr/sbin/rbldnsd")), folder, address, &zones),
        "infamy-rbldnsd" => {
            let mut command = Command::new(&setup.infamy);
            command.arg("rbldnsd");
            rbldnsd(command, folder, address, &zones)
        }
        "infamy" => {
            let mut command = Command::new(&setup.infamy);
            command.arg("serve").arg(infamy_configuration(folder, address, &zones)?);
            command
        }
        "nsd" => {
            let program = installed!("/usr/sbin/nsd");
            master_files(setup, &zones)?;
            let text = format!(
                "server:\n ip-address: {ip}@{port}\n port: {port}\n username: \"\"\n database: \"\"\n zonesdir: \"{all}\"\n \
                 pidfile: \"{own}/pid\"\n xfrdfile: \"{own}/xfrd\"\n zonelistfile: \"{own}/zones\"\n xfrdir: \"{own}\"\n \
                 server-count: 1\n reuseport: yes\n minimal-responses: yes\n rrl-ratelimit: 0\n \
                 rrl-whitelist-ratelimit: 0\nremote-control:\n control-enable: no\n{zones}",
                ip = address.ip(),
                port = address.port(),
                all = folder.display(),
                own = own.display(),
                zones = each(&zones, |zone| format!("zone:\n name: {zone}\n zonefile: \"{zone}.zone\"\n")),
            );
            let mut command = Command::new(program);
            command.arg("-d").arg("-c").arg(written(&own, &text)?);
            command
        }
        "knot" => {
            let program = installed!("/usr/sbin/knotd");
            master_files(setup, &zones)?;
            let text = format!(
                "server:\n  listen: {}@{}\n  rundir: \"{own}\"\n  udp-workers: 1\n  tcp-workers: 1\n\
                 database:\n  storage: \"{own}\"\n\
                 template:\n  - id: default\n    zonefile-sync: -1\n    journal-content: none\nzone:\n{zones}",
                address.ip(),
                address.port(),
                own = own.display(),
                zones = each(&zones, |zone| {
                    format!("  - domain: {zone}\n    storage: \"{}\"\n    file: \"{zone}.zone\"\n", folder.display())
                }),
            );
            let mut command = Command::new(program);
            command.arg("-c").arg(written(&own, &text)?);
            command
        }
        _ => bail!("{name}: known are echo, rbldnsd, infamy, infamy-rbldnsd, nsd and knot"),
    };
    let mut running = Running { name: name.to_owned(), address, child: on_processor_0(&command).spawn()? };
    wait_for(&mut running, &zones)?;
    Ok(Some(running))
}

/// Starts the floor.
pub fn start_echo(size: usize) -> Result<Running> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("echo").arg(address.to_string()).arg(size.to_string());
    let mut running = Running { name: "echo".to_owned(), address, child: on_processor_0(&command).spawn()? };
    wait_for(&mut running, &[BL])?;
    Ok(running)
}

fn rbldnsd(mut command: Command, folder: &Path, address: SocketAddr, zones: &[&str]) -> Command {
    // -a: replies without the NS records, as the others'; -c 0: no look at the files while it is measured
    command.args(["-n", "-a", "-c", "0", "-w"]).arg(folder);
    command.arg("-b").arg(format!("{}/{}", address.ip(), address.port()));
    for (zone, (kind, file)) in zones.iter().zip(KINDS) {
        command.arg(format!("{zone}:{kind}:{file}"));
    }
    command
}

fn infamy_configuration(folder: &Path, address: SocketAddr, zones: &[&str]) -> Result<PathBuf> {
    let mut text =
        format!("version = 1\n[listen]\naddresses = [\"{address}\"]\nudp-workers = 1\n[never-list]\nenabled = false\n");
    for (kind, file) in KINDS.iter().take(zones.len()) {
        text += &format!("[[dataset]]\nname = \"{file}\"\nformat = \"{kind}\"\nfiles = \"{file}\"\n");
    }
    for (zone, (_, file)) in zones.iter().zip(KINDS) {
        text += &format!("[[zone]]\napex = \"{zone}\"\ndatasets = [\"{file}\"]\ntest-entries = false\n");
    }
    let path = folder.join("infamy.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Has the zones as master files, written by infamy itself.
fn master_files(setup: &Setup, zones: &[&str]) -> Result<()> {
    let configuration = infamy_configuration(&setup.folder, SocketAddr::from(([127, 0, 0, 1], 0)), zones)?;
    for zone in zones {
        let path = setup.folder.join(format!("{zone}.zone"));
        if path.exists() {
            continue;
        }
        let mut command = Command::new(&setup.infamy);
        command.args(["dump", "--config"]).arg(&configuration).arg(zone).stdout(fs::File::create(&path)?);
        ensure!(command.status()?.success(), "infamy dump {zone} failed");
    }
    Ok(())
}

fn each(zones: &[&str], text: impl Fn(&str) -> String) -> String {
    zones.iter().map(|zone| text(zone)).collect()
}

fn written(folder: &Path, text: &str) -> Result<PathBuf> {
    let path = folder.join("conf");
    fs::write(&path, text)?;
    Ok(path)
}

fn on_processor_0(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    pinned
}

fn wait_for(running: &mut Running, zones: &[&str]) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < LONGEST_START {
        if let Some(status) = running.child.try_wait()? {
            bail!("{} ended at once: {status}", running.name);
        }
        if zones.iter().all(|zone| blast::answers(running.address, zone)) {
            return Ok(());
        }
    }
    bail!("{} does not answer", running.name)
}

fn free_address() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

/// The processor, and how many there are.
pub fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {count} processors, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

/// The date.
pub fn today() -> String {
    let output = Command::new("date").arg("+%Y-%m-%d").output().context("date");
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// rbldnsd's types, and the files.
const KINDS: [(&str, &str); 2] = [("ip4set", "addresses"), ("dnset", "domains")];
/// NSD and Knot take their time with millions of names.
const LONGEST_START: Duration = Duration::from_secs(300);
