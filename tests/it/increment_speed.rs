//! How many reports a second are answered anew, over a survey of a million addresses and 1.2 million routes, if each is
//! about another network.
//!
//! `cargo test --release --test it increment_speed -- --ignored --nocapture` prints the rate on one core, and the time
//! from a single report to what is said anew.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use infamy::dataset::{Emit, Reported};
use infamy::evidence::Time;
use infamy::neighborhood::SurveyPlan;
use infamy::neighborhood::listings::{Emission, Listings, Standing};

use crate::judge_speed::Numbers;

const ADDRESSES: u64 = 1_000_000;
const ROUTES: u64 = 1_200_000;
const REPORTS: u64 = 200_000;
const BATCH: usize = 1000;
/// The server answers so many at once anew, and has a second for it.
const LEAST: f64 = 5_000.0;
/// 2026-06-01T00:00:00Z.
const NOW: u32 = 1_780_272_000;

fn plan(folder: &tempfile::TempDir) -> SurveyPlan {
    let (routes, reports): (PathBuf, PathBuf) = (folder.path().join("routes.tsv"), folder.path().join("reports.csv"));
    let mut numbers = Numbers(7);
    numbers.write_routes(&routes, ROUTES);
    let mut out = BufWriter::new(File::create(&reports).unwrap());
    writeln!(out, "time,source,subject,category").unwrap();
    for _ in 0..ADDRESSES {
        let (time, source, address) = (NOW as u64 - numbers.below(90 * 86_400), numbers.below(5), numbers.address());
        writeln!(out, "{time},source-{source},{address},scan").unwrap();
    }
    out.flush().unwrap();
    SurveyPlan { routes: vec![routes], reports: vec![reports], at: Some(Time(NOW)), ..SurveyPlan::default() }
}

#[test]
#[ignore = "takes a minute; its figure is for an optimised build"]
fn reports_are_answered_anew_within_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let standing = Arc::new(Standing::new(plan(&folder)));
    let survey = standing.survey(NOW.into()).unwrap();
    let mib = (survey.evidence.ip4.len() * infamy::evidence::SPELL_BYTES) >> 20;
    eprintln!("{} spells are kept in {mib} MiB", survey.evidence.ip4.len());
    let datasets = [Emission::Exact, Emission::Verdicts(None), Emission::Score];
    let datasets = datasets.map(|emission| Listings::new(Arc::clone(&standing), emission));
    let mut numbers = Numbers(11);
    let mut number = 0;
    let mut since = [0; 3];
    let mut revisions = [0; 3];
    let mut answer = |batch: usize| -> Duration {
        let said = (0..batch).map(|_| (numbers.address().to_string(), format!("source-{}", numbers.below(5))));
        let said: Vec<(String, String)> = said.collect();
        let reports = said.iter().map(|(subject, source)| {
            number += 1;
            Reported { number, time: NOW + (number / 1000) as u32, source, subject, category: "scan", weight: 1.0 }
        });
        let reports: Vec<Reported<'_>> = reports.collect();
        let begin = Instant::now();
        for (index, dataset) in datasets.iter().enumerate() {
            dataset.report(&reports, i64::from(NOW) + 600);
            let revised = dataset.revise(since[index]);
            since[index] = revised.until;
            revisions[index] += revised.all.len();
        }
        begin.elapsed()
    };
    let mut single: Vec<Duration> = (0..1000).map(|_| answer(1)).collect();
    single.sort_unstable();
    eprintln!("one report: median {:?}, 99 % within {:?}", single[500], single[990]);
    let time: Duration = (0..REPORTS as usize / BATCH).map(|_| answer(BATCH)).sum();
    let rate = REPORTS as f64 / time.as_secs_f64();
    eprintln!(
        "{REPORTS} reports in batches of {BATCH}: {rate:.0} a second; revisions of three datasets: {revisions:?}"
    );
    if !cfg!(debug_assertions) {
        assert!(rate >= LEAST, "{rate} a second");
    }
}
