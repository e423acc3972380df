//! How fast reports are kept, durably.

use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// Reports of one request.
const REQUEST: u32 = 1000;
/// Requests that a client has under way.
const UNDER_WAY: usize = 16;

#[test]
#[ignore = "takes a minute and prints figures"]
fn reports_a_second() {
    let count: u32 = std::env::var("INFAMY_REPORTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000_000);
    // beside the build, as a temporary folder may be in memory
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("evidence.db");
    let (begin, mut said) = (Instant::now(), 0u64);
    let journal = Journal::open(Box::new(SqliteLog::open(&path).unwrap()), |_| ()).unwrap();
    let (tell, told) = mpsc::channel();
    let (mut under_way, mut slowest) = (0, 0.0f64);
    for request in 0..count / REQUEST {
        let of = |n: u32| {
            // addresses all over the place, sources and categories that repeat
            let address = std::net::Ipv4Addr::from((request * REQUEST + n).wrapping_mul(0x9e37_79b1));
            let mut event = report(&address.to_string(), 1_800_000_000 + request / 50);
            if let What::Report(report) = &mut event.what {
                report.source = format!("source {}", n % 20);
            }
            event
        };
        let (tell, sent) = (tell.clone(), Instant::now());
        let ack: Ack = Box::new(move |result| tell.send((result.unwrap().len(), sent.elapsed())).unwrap());
        journal.submit((0..REQUEST).map(of).collect(), ack);
        under_way += 1;
        if under_way == UNDER_WAY {
            let (kept, took) = told.recv().unwrap();
            (under_way, said, slowest) = (under_way - 1, said + kept as u64, slowest.max(took.as_secs_f64()));
        }
    }
    drop(journal);
    said += told.try_iter().map(|(kept, _)| kept as u64).sum::<u64>();
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(said, u64::from(count / REQUEST * REQUEST));
    let size = std::fs::metadata(&path).unwrap().len() >> 20;
    eprintln!(
        "{said} reports in {took:.1} s: {:.0} a second, the slowest request {slowest:.3} s, {size} MB",
        said as f64 / took
    );
}
