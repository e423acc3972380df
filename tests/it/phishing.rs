//! How many of next week's phishing URLs stand in domains that were judged bad, on a real feed.
//!
//! `INFAMY_DATA=… cargo test --release --test it phishing -- --ignored --nocapture` prints a line for each week.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use infamy::dnsxl::url::{CanonicalUrl, Host};
use infamy::evidence::{SECONDS_A_DAY, Time, Written};
use infamy::feed::{Compression, Lines};
use infamy::neighborhood::names::{
    Facts, KnownSafe, Level, NameEvidence, NoAddressFacts, Observations, Outcome, Popularity, Statement, Suffixes,
    judge, rules,
};

/// The Saturdays of the development window.
const WEEKS: [&str; 3] = ["2026-06-20", "2026-06-27", "2026-07-04"];
/// What the domains must catch of the URLs that are new in the next seven days.
const LEAST_CATCH: f64 = 0.17;
/// At the most this part of the domains that one URL would be enough for.
const MOST_DOMAINS: f64 = 0.20;

#[test]
#[ignore = "needs the files that INFAMY_DATA names"]
fn a_few_domains_catch_what_comes_next() {
    let Some(data) = std::env::var_os("INFAMY_DATA").map(PathBuf::from) else {
        eprintln!("INFAMY_DATA is not set: no feed was read");
        return;
    };
    let urls = first_seen(&data);
    let mut suffixes = Suffixes::built_in();
    suffixes.open_list(&data.join("psl/public_suffix_list-2026-06-15.dat")).unwrap();
    let (popularity, _) = Popularity::open(&data.join("misp/tranco10k.txt.gz")).unwrap();
    let (mut caught_by, mut domains_by) = (0.0, 0.0);
    for week in WEEKS {
        let at = Written::parse(week.as_bytes()).unwrap().end();
        let mut evidence = NameEvidence::until(at);
        for (url, time) in &urls {
            let statement = Statement { group: "openphish", trust: 0.6, spoofable: false, time: *time };
            // what is no URL is counted as missed below
            let _ = evidence.add(url, statement);
        }
        let (safe, observations) = (KnownSafe::default(), Observations::until(at));
        let facts = Facts { suffixes: &suffixes, popularity: &popularity, safe: &safe, observations: &observations };
        let judgement = judge(&evidence, facts, &NoAddressFacts);
        let domain = |outcome: fn(&Outcome) -> bool| -> HashSet<&str> {
            let of_domains = judgement.names.iter().filter(|verdict| verdict.level == Level::Domain);
            of_domains.filter(|verdict| outcome(&verdict.outcome)).map(|verdict| &*verdict.name).collect()
        };
        let listed = domain(|outcome| matches!(outcome, Outcome::Listed { .. } | Outcome::Covered));
        let since = at.days_before(rules::COUNT_DAYS);
        let one_is_enough: HashSet<&str> = judgement
            .names
            .iter()
            .filter(|verdict| verdict.level == Level::Domain && verdict.last().is_some_and(|last| last >= since))
            .filter(|verdict| verdict.outcome != Outcome::Popular)
            .map(|verdict| &*verdict.name)
            .collect();
        let next: Vec<&str> = urls
            .iter()
            .filter(|(_, time)| **time > at && time.0 <= at.0 + 7 * SECONDS_A_DAY)
            .map(|(url, _)| &**url)
            .collect();
        let catch = |domains: &HashSet<&str>| {
            let caught = next.iter().filter(|url| {
                let host = host(url);
                host.as_deref().and_then(|host| suffixes.split(host).registrable).is_some_and(|d| domains.contains(d))
            });
            caught.count() as f64 / next.len() as f64
        };
        let (caught, part) = (catch(&listed), listed.len() as f64 / one_is_enough.len() as f64);
        eprintln!(
            "{week}: {} domains, {:.1} % of {}, catch {:.1} % of {} new URLs (all of them: {:.1} %)",
            listed.len(),
            100.0 * part,
            one_is_enough.len(),
            100.0 * caught,
            next.len(),
            100.0 * catch(&one_is_enough)
        );
        caught_by += caught / WEEKS.len() as f64;
        domains_by += part / WEEKS.len() as f64;
    }
    eprintln!("mean: {:.1} % of the domains catch {:.1} % of new URLs", 100.0 * domains_by, 100.0 * caught_by);
    assert!(caught_by >= LEAST_CATCH && domains_by <= MOST_DOMAINS, "{caught_by} {domains_by}");
}

/// Every URL of the feed with the time at which it came up.
fn first_seen(data: &std::path::Path) -> HashMap<String, Time> {
    let mut all = HashMap::new();
    for file in fs::read_dir(data.join("openphish")).unwrap() {
        let mut lines = Lines::open(&file.unwrap().path(), Compression::Detect).unwrap();
        while let Some((_, line)) = lines.next_line().unwrap() {
            let line = String::from_utf8_lossy(line.unwrap()).into_owned();
            let mut columns = line.splitn(3, '\t');
            let (Some(first), Some(_), Some(url)) = (columns.next(), columns.next(), columns.next()) else { continue };
            let Some(Written::Second(time)) = Written::parse(first.as_bytes()) else { continue };
            let known = all.entry(url.to_owned()).or_insert(time);
            *known = time.min(*known);
        }
    }
    all
}

fn host(url: &str) -> Option<String> {
    let url = CanonicalUrl::of(url.as_bytes()).ok()?;
    match url.host() {
        Host::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
        Host::Address(_) => None,
    }
}
