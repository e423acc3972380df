//! How fast a text list becomes a table, and in how much memory.
//!
//! `cargo bench --bench load -- [LIST[:LINES] …]` makes up each list, loads it as the server does, and prints lines a second of
//! processor time and of wall time, what parsing alone takes, the table's bytes, and the most memory that loading took
//! beside what was there before. Not criterion's: a load of minutes is measured once, and memory is not its subject.

#![allow(clippy::print_stdout, reason = "its output is a table")]

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::time::Instant;

use common::List;
use infamy::dataset;
use infamy::feed::{self, Entry, LineError, Sink, Special};

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [word] = &asked[..] {
        return measure(word);
    }
    let all = List::ALL.iter().map(|(name, _)| format!("{name}:1000000")).collect();
    println!("list            lines   M lines/s  M lines/cpu-s  parse ns  load ns  table B/line  peak / table");
    // one process each, as memory that was given back may still be there
    let myself = std::env::current_exe().expect("this program has a path");
    for word in if asked.is_empty() { all } else { asked } {
        let status = std::process::Command::new(&myself).arg(word).status().expect("this program can be run again");
        assert!(status.success());
    }
}

fn measure(word: &str) {
    let (name, lines) = word.split_once(':').unwrap_or((word, "1000000"));
    let (Some(list), Ok(lines)) = (List::named(name), lines.parse()) else {
        eprintln!("error: {word}: no list: write one of {:?}, or LIST:LINES", List::ALL.map(|known| known.0));
        std::process::exit(2);
    };
    let folder = tempfile::tempdir().expect("a folder for the list");
    let path = folder.path().join("list");
    list.write(&path, lines).expect("the list can be written");
    let spec = list.spec(&path);

    let started = cpu_seconds();
    feed::parse_file(&path, spec.format, &spec.reading, &mut Nothing(0)).expect("the list can be parsed");
    let parse = cpu_seconds() - started;

    let before = memory("VmRSS");
    // the high-water mark starts again
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let (started, begun) = (cpu_seconds(), Instant::now());
    let (dataset, report) = dataset::load(&spec, &common::never(), 0).expect("the list can be loaded");
    let (cpu, wall) = (cpu_seconds() - started, begun.elapsed().as_secs_f64());
    let peak = memory("VmHWM") - before;
    assert_eq!(report.entries, lines, "{:?}", report.problems.first());
    let bytes = dataset.bytes() as f64;
    let count = lines as f64;
    println!(
        "{name:12} {lines:9} {:11.1} {:14.1} {:9.1} {:8.1} {:13.2} {:13.2}",
        count / wall / 1e6,
        count / cpu / 1e6,
        parse * 1e9 / count,
        cpu * 1e9 / count,
        bytes / count,
        peak as f64 / bytes,
    );
}

/// Takes statements and keeps none.
struct Nothing(u64);

impl Sink for Nothing {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        self.0 ^= line;
        std::hint::black_box(entry);
    }

    fn special(&mut self, _line: u64, _special: Special<'_>) {}

    fn problem(&mut self, line: u64, problem: LineError) {
        panic!("line {line}: {problem}");
    }
}

/// Processor time of all threads so far, those that ended too.
fn cpu_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("usage is known");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// A line of this process's status, in bytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kilobytes * 1024
}
