//! Ten million reports over 1.2 million routes, judged in ten seconds of one core.
//!
//! `cargo test --release --test it judge_speed -- --ignored --nocapture` prints the time and the memory. What it judges
//! is made up: a heavy-tailed number of reports for each /24, as it is in the field.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

const REPORTS: u64 = 10_000_000;
const ROUTES: u64 = 1_200_000;
const SECONDS: f64 = 10.0;

/// SplitMix64 (Steele et al. 2014): equal numbers at every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }

    /// An address in one of half a million /24s, the first of them with most of the reports.
    pub(crate) fn address(&mut self) -> Ipv4Addr {
        let rank = self.below(1 << 20).pow(3) >> 41;
        let block = 1 << 16 | Self(rank).below(0xdf_0000);
        Ipv4Addr::from((block << 8 | self.below(256)) as u32)
    }

    /// Writes a table of so many announced prefixes.
    pub(crate) fn write_routes(&mut self, path: &Path, count: u64) {
        let mut out = BufWriter::new(File::create(path).unwrap());
        for _ in 0..count {
            // two of three are /24s, as in the tables of today
            let length = if self.below(3) > 0 { 24 } else { 14 + self.below(10) };
            let first = (1 << 24 | self.below(0xdf00_0000)) >> (32 - length) << (32 - length);
            let asn = 1 + self.below(80_000).pow(2) / 80_000;
            writeln!(out, "{}/{length}\t{asn}", Ipv4Addr::from(first as u32)).unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
#[ignore = "writes half a gigabyte and takes a minute; its figure is for an optimised build"]
fn ten_million_reports_are_judged_in_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let (routes, reports) = (folder.path().join("routes.tsv"), folder.path().join("reports.csv"));
    let mut numbers = Numbers(7);
    numbers.write_routes(&routes, ROUTES);
    let mut out = BufWriter::new(File::create(&reports).unwrap());
    writeln!(out, "time,source,subject,category").unwrap();
    for _ in 0..REPORTS {
        let (day, hour, minute) = (1 + numbers.below(30), numbers.below(24), numbers.below(60));
        let (month, source) = (3 + numbers.below(3), numbers.below(5));
        let address = numbers.address();
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
