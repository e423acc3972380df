//! The picture: two readings become a text.
//!
//! Invariant: every line is printable and as long as the terminal is wide at most, whatever the server said, and there are
//! no more lines than it has rows.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Reading;
use crate::http::api::{DatasetStatus, Traffic};
use crate::metrics::OUTSIDE;

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Size {
    /// As much as is needed.
    pub(super) const UNBOUNDED: Self = Self { rows: usize::MAX, columns: usize::MAX };
}

/// What happened between two readings.
pub(super) fn picture(before: &Reading, after: &Reading, size: Size) -> String {
    // a server that began anew counts from zero
    let is_same = before.status.started == after.status.started && before.status.pid == after.status.pid;
    let none = Traffic::default();
    let base = if is_same { &before.traffic } else { &none };
    let seconds = after.at.duration_since(before.at).as_secs_f64().max(f64::MIN_POSITIVE);
    let rates = Rates::between(base, &after.traffic, seconds);
    let mut lines = head(after, &rates);
    lines.push(durations(base, &after.traffic));
    lines.push(String::new());
    lines.extend(zones(&rates));
    lines.push(String::new());
    lines.push(shares("transport", &rates.by_transport));
    lines.push(shares("type", &rates.by_type));
    lines.push(String::new());
    lines.extend(feeds(&after.status.datasets));
    fit(lines, size)
}

/// Queries a second.
#[derive(Debug, Default)]
struct Rates {
    total: f64,
    by_zone: BTreeMap<String, BTreeMap<String, f64>>,
    by_transport: BTreeMap<String, f64>,
    by_type: BTreeMap<String, f64>,
}

impl Rates {
    fn between(before: &Traffic, after: &Traffic, seconds: f64) -> Self {
        let known: BTreeMap<_, u64> = before
            .queries
            .iter()
            .map(|row| ((&row.zone, &row.transport, &row.qtype, &row.result), row.count))
            .collect();
        let mut rates = Self::default();
        for row in &after.queries {
            let base = known.get(&(&row.zone, &row.transport, &row.qtype, &row.result)).copied().unwrap_or(0);
            let rate = row.count.saturating_sub(base) as f64 / seconds;
            let zone = row.zone.clone().unwrap_or_else(|| OUTSIDE.to_owned());
            rates.total += rate;
            *rates.by_zone.entry(zone).or_default().entry(row.result.clone()).or_default() += rate;
            *rates.by_transport.entry(row.transport.clone()).or_default() += rate;
            *rates.by_type.entry(row.qtype.clone()).or_default() += rate;
        }
        rates
    }
}

fn head(after: &Reading, rates: &Rates) -> Vec<String> {
    let status = &after.status;
    let mut first = format!("infamy {}, process {}, since {}", status.version, status.pid, status.started.0);
    if let Some(loading) = &status.loading {
        let _ = write!(first, ", loading {}", loading.dataset);
    }
    if let Some(error) = status.store.as_ref().and_then(|store| store.error.as_ref()) {
        let _ = write!(first, ", the store fails: {error}");
    }
    let second = format!("generation {} since {}: {}", status.generation, status.published.0, status.cause);
    let listed: f64 = rates.by_zone.values().filter_map(|zone| zone.get("listed")).sum();
    let share = if rates.total > 0.0 { 100.0 * listed / rates.total } else { 0.0 };
    vec![first, second, String::new(), format!("{} queries/s, {share:.1} % listed", rate(rates.total))]
}

/// How long queries took, of all transports.
fn durations(before: &Traffic, after: &Traffic) -> String {
    let (mut buckets, mut seconds) = (Vec::<(Option<f64>, u64)>::new(), 0.0);
    for durations in &after.durations {
        let base = before.durations.iter().find(|base| base.transport == durations.transport);
        seconds += durations.seconds - base.map_or(0.0, |base| base.seconds);
        for (place, bucket) in durations.buckets.iter().enumerate() {
            let base = base.and_then(|base| base.buckets.get(place)).map_or(0, |base| base.count);
            let count = bucket.count.saturating_sub(base);
            match buckets.get_mut(place) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bucket.up_to, count)),
            }
        }
    }
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return "no query was answered".to_owned();
    }
    let up_to = |share: f64| {
        let (mut sum, least) = (0, share * all as f64);
        let place = buckets.iter().find(|(_, count)| {
            sum += count;
            sum as f64 >= least
        });
        place.and_then(|(up_to, _)| *up_to).map_or_else(|| "more".to_owned(), |up_to| format!("up to {}", time(up_to)))
    };
    format!("took {} on average, half {}, 99 % {}", time(seconds / all as f64), up_to(0.5), up_to(0.99))
}

/// A table of zones, the busiest first.
fn zones(rates: &Rates) -> Vec<String> {
    let mut zones: Vec<(&String, &BTreeMap<String, f64>, f64)> =
        rates.by_zone.iter().map(|(name, results)| (name, results, results.values().sum())).collect();
    zones.sort_by(|(a, _, all_a), (b, _, all_b)| all_b.total_cmp(all_a).then_with(|| a.cmp(b)));
    let mut head = format!("{:<32} {:>9}", "zone", "q/s");
    RESULTS.iter().for_each(|result| _ = write!(head, " {result:>9}"));
    let line = |(name, results, all): &(&String, &BTreeMap<String, f64>, f64)| {
        let mut line = format!("{name:<32} {:>9}", rate(*all));
        for result in RESULTS {
            let _ = write!(line, " {:>9}", rate(results.get(result).copied().unwrap_or(0.0)));
        }
        line
    };
    std::iter::once(head).chain(zones.iter().map(line)).collect()
}

fn shares(what: &str, rates: &BTreeMap<String, f64>) -> String {
    let mut shares: Vec<_> = rates.iter().filter(|(_, of)| **of > 0.0).collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown: Vec<String> = shares.iter().map(|(name, of)| format!("{name} {}", rate(**of))).collect();
    format!("{what:<10} {}", if shown.is_empty() { "none".to_owned() } else { shown.join(", ") })
}

/// Datasets, those that fail first.
fn feeds(datasets: &[DatasetStatus]) -> Vec<String> {
    let mut sorted: Vec<&DatasetStatus> = datasets.iter().collect();
    sorted.sort_by_key(|dataset| dataset.error.is_none());
    let line = |dataset: &&DatasetStatus| {
        let DatasetStatus { name, entries, loaded, changes, error, .. } = dataset;
        let loaded = loaded.map_or_else(|| "never".to_owned(), |at| at.0.to_string());
        let state = error.as_ref().map_or_else(String::new, |error| format!("  fails: {error}"));
        format!("{name:<32} {entries:>10} {changes:>8}  {loaded}{state}")
    };
    let head = format!("{:<32} {:>10} {:>8}  {}", "dataset", "entries", "live", "loaded");
    std::iter::once(head).chain(sorted.iter().map(line)).collect()
}

/// Cuts what has no room; the last line says so.
fn fit(lines: Vec<String>, size: Size) -> String {
    // the cursor stands behind the last line
    let rows = size.rows.saturating_sub(1);
    let is_cut = lines.len() > rows;
    let mut text = String::new();
    for line in lines.iter().take(if is_cut { rows.saturating_sub(1) } else { rows }) {
        let printable = line.chars().map(|char| if char.is_control() { '?' } else { char });
        text.extend(printable.take(size.columns));
        text.push('\n');
    }
    if is_cut && rows > 0 {
        text.push_str("…\n");
    }
    text
}

/// A rate, in few characters.
fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate if rate < 1e5 => format!("{rate:.0}"),
        rate if rate < 1e6 => format!("{:.0}k", rate / 1e3),
        rate => format!("{:.2}M", rate / 1e6),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// The results, in the order of their columns.
const RESULTS: [&str; 7] = ["listed", "unlisted", "ent", "other", "refused", "error", "dropped"];

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::evidence::Time;
    use crate::http::api::{At, Bucket, Durations, QueryCount, Status};

    fn reading(at: Instant, pid: u32, counts: &[(Option<&str>, &str, u64)]) -> Reading {
        let all: u64 = counts.iter().map(|(.., count)| count).sum();
        let dataset = |name: &str, error: Option<&str>| DatasetStatus {
            name: name.to_owned(),
            entries: 1210,
            loaded: Some(At(Time(60))),
            as_of: Some(At(Time(3600))),
            changes: 2,
            next_expiry: None,
            failures: 1,
            error: error.map(str::to_owned),
        };
        let bad = dataset("drop", Some("lists/drop.txt:7: \x1b[2J is no address"));
        Reading {
            at,
            status: Status {
                version: "0.1.0".to_owned(),
                pid,
                started: At(Time(0)),
                generation: 18,
                published: At(Time(60)),
                cause: "watch".to_owned(),
                loading: None,
                datasets: vec![dataset("good", None), bad],
                zones: Vec::new(),
                certificates: Vec::new(),
                store: None,
            },
            traffic: Traffic {
                queries: counts
                    .iter()
                    .map(|(zone, result, count)| QueryCount {
                        zone: zone.map(str::to_owned),
                        transport: "udp".to_owned(),
                        qtype: "A".to_owned(),
                        result: (*result).to_owned(),
                        count: *count,
                    })
                    .collect(),
                durations: vec![Durations {
                    transport: "udp".to_owned(),
                    seconds: all as f64 * 20e-6,
                    buckets: vec![
                        Bucket { up_to: Some(1e-5), count: 0 },
                        Bucket { up_to: Some(2.5e-5), count: all },
                        Bucket { up_to: None, count: 0 },
                    ],
                }],
            },
        }
    }

    #[test]
    fn rates_are_what_came_between_two_readings() {
        let begin = Instant::now();
        let (bl, net) = (Some("bl.example"), Some("net.example"));
        let before = reading(begin, 7, &[(bl, "listed", 100), (net, "unlisted", 5)]);
        let end = begin + Duration::from_secs(2);
        let counts = [(bl, "listed", 150), (bl, "unlisted", 150), (net, "unlisted", 5), (None, "refused", 3)];
        let text = picture(&before, &reading(end, 7, &counts), Size::UNBOUNDED);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "102 queries/s, 24.6 % listed");
        assert_eq!(lines[4], "took 20 µs on average, half up to 25 µs, 99 % up to 25 µs");
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(columns(lines[7]), ["bl.example", "100", "25", "75", "0", "0", "0", "0", "0"]);
        assert_eq!(columns(lines[8]), ["(none)", "1.5", "0", "0", "0", "0", "1.5", "0", "0"]);
        assert_eq!(columns(lines[9])[1], "0", "{text}");
        assert!(text.contains("transport  udp 102\n") && text.contains("type       A 102\n"), "{text}");
        // what fails is in front, and no text of a list reaches the terminal as it is
        let first_feed = lines.iter().position(|line| line.starts_with("dataset")).unwrap() + 1;
        assert!(lines[first_feed].ends_with("fails: lists/drop.txt:7: ?[2J is no address"), "{text}");
    }

    #[test]
    fn a_server_that_began_anew_counts_from_zero() {
        let begin = Instant::now();
        let before = reading(begin, 7, &[(None, "refused", 1000)]);
        let after = reading(begin + Duration::from_secs(1), 8, &[(None, "refused", 30)]);
        assert!(picture(&before, &after, Size::UNBOUNDED).contains("\n30 queries/s"));
    }

    #[test]
    fn nothing_is_longer_than_the_terminal() {
        let begin = Instant::now();
        let zone = "z".repeat(300);
        let before = reading(begin, 7, &[]);
        let after = reading(begin + Duration::from_secs(1), 7, &[(Some(&zone), "listed", 1)]);
        for (rows, columns) in [(24, 80), (5, 20), (1, 1), (100, 200)] {
            let text = picture(&before, &after, Size { rows, columns });
            assert!(text.lines().count() < rows.max(2), "{rows}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        }
        assert!(picture(&before, &after, Size { rows: 8, columns: 80 }).ends_with("…\n"));
        assert!(
            picture(&before, &before, Size::UNBOUNDED).contains("0 queries/s, 0.0 % listed\nno query was answered")
        );
    }
}
