//! Real lists as they are published, all in one zone: `INFAMY_DATA` names the folder that has them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use infamy::answer::Transport;
use infamy::feed::Format;
use ipnet::Ipv4Net;

use crate::wire::{Message, Query, TYPE_A};
use crate::world::{self, NOW, World};

#[test]
#[ignore = "needs real lists, in the folder that INFAMY_DATA names"]
fn real_lists_are_checked_and_served_with_nothing_left_out_but_the_never_list() {
    let Some(data) = std::env::var_os("INFAMY_DATA").map(PathBuf::from) else {
        eprintln!("INFAMY_DATA is not set: no real list was read");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let domains = folder.path().join("domains");
    fs::write(&domains, scam_domains(&data)).unwrap();
    let mut lists: Vec<(PathBuf, &str)> = firehol(&data).into_iter().map(|path| (path, "plain")).collect();
    lists.push((data.join("drop/2026-07-12.txt.gz"), "drop"));
    lists.push((data.join("drop/2024-07-02-drop_v6.txt.gz"), "drop"));
    lists.push((domains, "plain"));
    let said = check(&lists, folder.path());
    let problems = said.lines().filter(|line| line.contains(".gz:") || line.contains("domains:"));
    for problem in problems {
        assert!(problem.contains("is on the never-list"), "{problem}");
    }
    eprintln!("{said}");
    spot_answers(&data);
}

/// Runs `infamy check` over a zone of all the lists; what it says.
fn check(lists: &[(PathBuf, &str)], folder: &Path) -> String {
    let mut config = String::from("version = 1\n[listen]\naddresses = [\"127.0.0.1:5300\"]\n");
    for (number, (path, format)) in lists.iter().enumerate() {
        writeln!(config, "[[dataset]]\nname = \"d{number}\"\nformat = \"{format}\"\nfiles = {path:?}").unwrap();
    }
    let names: Vec<String> = (0..lists.len()).map(|number| format!("\"d{number}\"")).collect();
    writeln!(config, "[[zone]]\napex = \"bl.example\"\ndatasets = [{}]", names.join(", ")).unwrap();
    let path = folder.join("infamy.toml");
    fs::write(&path, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_infamy")).arg("check").arg(&path).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{}: {said}", output.status);
    said
}

/// Asks for addresses on the lists, beside them and by chance, and compares with the lists read line by line.
fn spot_answers(data: &Path) {
    let mut world = World::new();
    let (mut nets, mut datasets) = (Vec::new(), Vec::new());
    for path in firehol(data) {
        let text = inflated(&path);
        let index = world.dataset(&path.file_name().unwrap().to_string_lossy(), Format::Plain, &text);
        datasets.push((index, "."));
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        nets.extend(lines.map(|line| match line.contains('/') {
            true => line.parse::<Ipv4Net>().unwrap(),
            false => Ipv4Net::from(line.parse::<Ipv4Addr>().unwrap()),
        }));
    }
    world.zone("bl.example", &datasets);
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    // sorted by first address; ends only grow, so that the nets around an address are found by a search
    nets.sort_unstable();
    let nets = Ipv4Net::aggregate(&nets);
    let is_listed = |address: Ipv4Addr| {
        let index = nets.partition_point(|net| net.network() <= address);
        index > 0 && nets[index - 1].contains(&address)
    };
    let (mut listed, mut asked) = (0, 0);
    let around = nets.iter().step_by(53).flat_map(|net| {
        let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
        [first, last, first.wrapping_sub(1), last.wrapping_add(1), first / 2 + last / 2]
    });
    let by_chance = (0..20_000_u32).map(|number| number.wrapping_mul(0x9e37_79b9));
    for address in around.chain(by_chance).map(Ipv4Addr::from) {
        // the test entry is listed in any case
        if address == Ipv4Addr::new(127, 0, 0, 2) {
            continue;
        }
        let [a, b, c, d] = address.octets();
        let query = Query::new(&format!("{d}.{c}.{b}.{a}.bl.example"), TYPE_A).bytes();
        let reply = world::ask(&snapshot, &query, CLIENT, Transport::Udp, NOW).unwrap();
        let reply = Message::read(&reply).unwrap();
        assert_eq!(reply.rcode() == 0, is_listed(address), "{address}");
        assert_eq!(!reply.sections[0].is_empty(), is_listed(address), "{address}");
        listed += u32::from(is_listed(address));
        asked += 1;
    }
    eprintln!("{asked} addresses asked for, {listed} of them listed");
    assert!(listed > 1000 && asked - listed > 1000);
}

fn firehol(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("firehol")).expect("INFAMY_DATA has a folder firehol");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    paths.sort();
    paths
}

/// The domains that are still listed, one a line.
fn scam_domains(data: &Path) -> String {
    let rows = inflated(&data.join("domains/raw-events-to-2024-10-31.tsv.gz"));
    let still = rows.lines().filter(|row| !row.starts_with('#')).filter_map(|row| {
        let mut columns = row.split('\t');
        let domain = columns.next()?;
        columns.nth(1).unwrap_or_default().is_empty().then_some(domain)
    });
    still.fold(String::new(), |text, domain| text + domain + "\n")
}

fn inflated(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
