//! Ten million reports over 1.2 million routes, judged in ten seconds of one core.
//!
//! `cargo test --release --test it judge_speed -- --ignored --nocapture` prints the time and the memory. What it judges
//! is made up: a heavy-tailed number of reports for each /24, as it is in the field.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

const REPORTS: u64 = 10_000_000;
const ROUTES: u64 = 1_200_000;
const SECONDS: f64 = 10.0;

/// SplitMix64 (Steele et al. 2014): equal numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

#[test]
#[ignore = "writes half a gigabyte and takes a minute; its figure is for an optimised build"]
fn ten_million_reports_are_judged_in_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let (routes, reports) = (folder.path().join("routes.tsv"), folder.path().join("reports.csv"));
    let mut numbers = Numbers(7);
    let mut out = BufWriter::new(File::create(&routes).unwrap());
    for _ in 0..ROUTES {
        // two of three are /24s, as in the tables of today
        let length = if numbers.below(3) > 0 { 24 } else { 14 + numbers.below(10) };
        let first = (1 << 24 | numbers.below(0xdf00_0000)) >> (32 - length) << (32 - length);
        let asn = 1 + numbers.below(80_000).pow(2) / 80_000;
        writeln!(out, "{}/{length}\t{asn}", std::net::Ipv4Addr::from(first as u32)).unwrap();
    }
    out.flush().unwrap();
    let mut out = BufWriter::new(File::create(&reports).unwrap());
    writeln!(out, "time,source,subject,category").unwrap();
    for _ in 0..REPORTS {
        // half a million /24s, the first of them with most of the reports
        let rank = numbers.below(1 << 20).pow(3) >> 41;
        let block = 1 << 16 | Numbers(rank).below(0xdf_0000);
        let (day, hour, minute) = (1 + numbers.below(30), numbers.below(24), numbers.below(60));
        let (month, source) = (3 + numbers.below(3), numbers.below(5));
        let address = std::net::Ipv4Addr::from((block << 8 | numbers.below(256)) as u32);
        writeln!(out, "2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z,source-{source},{address},scan").unwrap();
    }
    out.flush().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_infamy"))
        .args(["judge", "--at", "2026-06-01"])
        .arg("--routes")
        .arg(&routes)
        .arg("--reports")
        .arg(&reports)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let time = seconds(usage.user_time()) + seconds(usage.system_time());
    // Linux tells kilobytes
    eprintln!("{REPORTS} reports, {ROUTES} routes: {time:.1} s of processor, {} MB", usage.max_rss() / 1024);
    if !cfg!(debug_assertions) {
        assert!(time <= SECONDS, "{time} s");
    }
}
