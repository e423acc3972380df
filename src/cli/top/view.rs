//! The picture: two readings become a text.
//!
//! Invariant: every line is printable and as long as the terminal is wide at most, whatever the server said, and there are
//! no more lines than it has rows. What is left out is marked: rows by how many there are, all else by `…`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Reading;
use crate::http::api::{DatasetStatus, Held, Traffic};
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
    let base_held = if is_same { before.status.held } else { Held::default() };
    let seconds = after.at.duration_since(before.at).as_secs_f64().max(f64::MIN_POSITIVE);
    let rates = Rates::between(base, &after.traffic, seconds);
    let mut lines = head(after, &rates);
    lines.push(durations(base, &after.traffic));
    lines.push(String::new());
    let below = [
        shares("transport", &rates.by_transport),
        shares("type", &rates.by_type),
        limits(base_held, after.status.held, seconds),
    ];
    let (zones, feeds) = (zones(&rates, size.columns), feeds(&after.status.datasets));
    // the two heads of tables, two blank lines between the parts, and the cursor's
    let taken = lines.len() + below.len() + 5;
    let (of_zones, of_feeds) = shared(size.rows.saturating_sub(taken), zones.rows.len(), feeds.rows.len());
    lines.extend(zones.within(of_zones));
    lines.push(String::new());
    lines.extend(below);
    lines.push(String::new());
    lines.extend(feeds.within(of_feeds));
    fit(lines, size)
}

/// A table, of which only so many rows may have room.
struct Table {
    head: String,
    rows: Vec<String>,
}

impl Table {
    /// The head, and so many lines: the last says how many rows are left out, if any are.
    fn within(mut self, room: usize) -> Vec<String> {
        let all = self.rows.len();
        if all > room {
            self.rows.truncate(room.saturating_sub(1));
            self.rows.push(format!("and {} more", all - self.rows.len()));
        }
        std::iter::once(self.head).chain(self.rows).collect()
    }
}

/// How many lines each of two tables gets: what the other has no need of, and the second a third at least.
fn shared(room: usize, first: usize, second: usize) -> (usize, usize) {
    let of_second = second.min(room.saturating_sub(first).max(room / 3));
    (first.min(room - of_second), of_second)
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
    for certificate in status.certificates.iter().filter(|certificate| certificate.error.is_some()) {
        let _ = write!(first, ", the certificate of {} is not read again", certificate.door);
    }
    let second = format!("generation {} since {}: {}", status.generation, status.published.0, status.cause);
    let listed: f64 = rates.by_zone.values().filter_map(|zone| zone.get("listed")).sum();
    let share = if rates.total > 0.0 { 100.0 * listed / rates.total } else { 0.0 };
    vec![first, second, String::new(), format!("{} queries/s, {share:.1} % listed", short(rates.total))]
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

/// Zones, the busiest first.
fn zones(rates: &Rates, columns: usize) -> Table {
    let mut zones: Vec<(&String, &BTreeMap<String, f64>, f64)> =
        rates.by_zone.iter().map(|(name, results)| (name, results, results.values().sum())).collect();
    zones.sort_by(|(a, _, all_a), (b, _, all_b)| all_b.total_cmp(all_a).then_with(|| a.cmp(b)));
    let of = |results: &BTreeMap<String, f64>, result| results.get(result).copied().unwrap_or(0.0);
    let sum = |result| -> f64 { zones.iter().map(|(_, results, _)| of(results, result)).sum() };
    let mut shown = RESULTS.to_vec();
    let numbers = |shown: &[&str]| NUMBER + 1 + shown.iter().map(|result| width(result) + 1).sum::<usize>();
    // the rarest makes room first, and of equals the last
    while columns < LEAST_NAME + numbers(&shown) + MARK.len()
        && let Some(rarest) = (0..shown.len()).rev().min_by(|a, b| sum(shown[*a]).total_cmp(&sum(shown[*b])))
    {
        shown.remove(rarest);
    }
    let longest = zones.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).max(LEAST_NAME);
    let room = longest.min(columns.saturating_sub(numbers(&shown) + MARK.len()));
    let mut head = format!("{:<room$} {:>NUMBER$}", "zone", "q/s");
    shown.iter().for_each(|result| _ = write!(head, " {result:>0$}", width(result)));
    if shown.len() < RESULTS.len() {
        head += MARK;
    }
    let row = |(name, results, all): &(&String, &BTreeMap<String, f64>, f64)| {
        let mut line = format!("{:<room$} {:>NUMBER$}", cut(name, room), short(*all));
        shown.iter().for_each(|result| _ = write!(line, " {:>1$}", short(of(results, result)), width(result)));
        line
    };
    Table { rows: zones.iter().map(row).collect(), head }
}

/// How wide the column of a result is.
fn width(result: &str) -> usize {
    result.len().max(NUMBER)
}

fn shares(what: &str, rates: &BTreeMap<String, f64>) -> String {
    let mut shares: Vec<_> = rates.iter().filter(|(_, of)| **of > 0.0).collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    told(what, shares.iter().map(|(name, of)| format!("{name} {}", short(**of))))
}

/// A line of some of a kind.
fn told(what: &str, shown: impl Iterator<Item = String>) -> String {
    let shown = shown.collect::<Vec<_>>().join(", ");
    format!("{what:<10} {}", if shown.is_empty() { "none" } else { &shown })
}

/// What was not answered as it would have been, what cookies showed, and what is missing in the logs, a second.
fn limits(before: Held, after: Held, seconds: f64) -> String {
    let counts = [
        ("dropped", before.rate_limited, after.rate_limited),
        ("slipped", before.slipped, after.slipped),
        ("over quota", before.over_quota, after.over_quota),
        ("lost records", before.lost_records, after.lost_records),
        ("bad cookies", before.cookies_bad, after.cookies_bad),
        ("good cookies", before.cookies_good, after.cookies_good),
    ];
    let rates = counts.map(|(what, before, after)| (what, after.saturating_sub(before) as f64 / seconds));
    told("limits", rates.iter().filter(|(_, of)| *of > 0.0).map(|(what, of)| format!("{what} {}", short(*of))))
}

/// Datasets, those that fail first.
fn feeds(datasets: &[DatasetStatus]) -> Table {
    let mut sorted: Vec<&DatasetStatus> = datasets.iter().collect();
    sorted.sort_by_key(|dataset| dataset.error.is_none());
    let longest = datasets.iter().map(|dataset| dataset.name.chars().count()).max().unwrap_or(0);
    let room = longest.clamp(LEAST_NAME, MOST_NAME);
    let row = |dataset: &&DatasetStatus| {
        let DatasetStatus { name, entries, as_of, changes, error, .. } = dataset;
        let as_of = as_of.map_or_else(|| "never".to_owned(), |at| at.0.to_string());
        let state = error.as_ref().map_or_else(String::new, |error| format!("  fails: {error}"));
        let (entries, changes) = (short(*entries as f64), short(*changes as f64));
        format!("{:<room$} {entries:>7} {changes:>NUMBER$}  {as_of}{state}", cut(name, room))
    };
    let head = format!("{:<room$} {:>7} {:>NUMBER$}  {}", "dataset", "entries", "live", "as of");
    Table { head, rows: sorted.iter().map(row).collect() }
}

/// A name that has room for so many characters.
fn cut(name: &str, room: usize) -> String {
    match name.char_indices().nth(room) {
        Some(_) => name.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        None => name.to_owned(),
    }
}

/// Cuts what has no room, and marks it.
fn fit(lines: Vec<String>, size: Size) -> String {
    // the cursor stands behind the last line
    let rows = size.rows.saturating_sub(1);
    let is_cut = lines.len() > rows;
    let mut text = String::new();
    for line in lines.iter().take(if is_cut { rows.saturating_sub(1) } else { rows }) {
        text.extend(cut(line, size.columns).chars().map(|char| if char.is_control() { '?' } else { char }));
        text.push('\n');
    }
    if is_cut && rows > 0 {
        text.push_str("…\n");
    }
    text
}

/// A number, in [`NUMBER`] characters.
fn short(number: f64) -> String {
    match number {
        number if number < 10.0 && number.fract() != 0.0 => format!("{number:.1}"),
        number if number < 99_999.5 => format!("{number:.0}"),
        number if number < 999_500.0 => format!("{:.0}k", number / 1e3),
        number if number < 9_995_000.0 => format!("{:.2}M", number / 1e6),
        number => format!("{:.0}M", number / 1e6),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// How wide a number is.
const NUMBER: usize = 5;
/// How much of a name is shown at least, and of a dataset's at most.
const LEAST_NAME: usize = 16;
const MOST_NAME: usize = 32;
/// What stands for columns that are left out.
const MARK: &str = " +";
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
                held: Held::default(),
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
        assert!(text.contains("limits     none\n"), "{text}");
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
    fn what_is_held_back_is_a_line_of_rates() {
        let begin = Instant::now();
        let held = |rate_limited, cookies_bad, lost_records| Held {
            rate_limited,
            cookies_bad,
            lost_records,
            slipped: 7,
            ..Held::default()
        };
        let [mut before, mut after] = [0, 2].map(|later| reading(begin + Duration::from_secs(later), 7, &[]));
        (before.status.held, after.status.held) = (held(100, 1, 0), held(500, 2, 1_000_000));
        let text = picture(&before, &after, Size::UNBOUNDED);
        assert!(text.contains("\nlimits     dropped 200, lost records 500k, bad cookies 0.5\n"), "{text}");
        // a server that began anew counts from zero
        after.status.pid = 8;
        assert!(picture(&before, &after, Size::UNBOUNDED).contains("\nlimits     dropped 250, slipped 3.5, "));
    }

    #[test]
    fn every_number_is_narrow() {
        let numbers = [0.0, 0.04, 1.0, 9.96, 99_999.4, 99_999.6, 999_499.0, 999_501.0, 9_994_999.0, 9_996_000.0, 4e9];
        let shown = numbers.map(short);
        assert_eq!(shown[..2], ["0", "0.0"]);
        assert_eq!(shown[4..], ["99999", "100k", "999k", "1.00M", "9.99M", "10M", "4000M"]);
        assert!(shown.iter().all(|number| number.len() <= NUMBER), "{shown:?}");
    }

    #[test]
    fn a_common_terminal_has_all_columns_and_all_parts() {
        let begin = Instant::now();
        let names: Vec<String> = (0..24).map(|number| format!("zone-{number:02}.lists.example")).collect();
        let counts: Vec<(Option<&str>, &str, u64)> =
            names.iter().zip(1..).map(|(name, count)| (Some(&**name), "dropped", count * 1000)).collect();
        let before = reading(begin, 7, &[]);
        let after = reading(begin + Duration::from_secs(1), 7, &counts);
        let text = picture(&before, &after, Size { rows: 24, columns: 80 });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 23, "{text}");
        let head = lines.iter().position(|line| line.starts_with("zone ")).unwrap();
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(columns(lines[head])[1..], [&["q/s"][..], &RESULTS].concat());
        assert_eq!(columns(lines[head + 1])[..2], ["zone-23.lists.example", "24000"], "the busiest first");
        let more = lines.iter().position(|line| line.starts_with("and ")).unwrap();
        assert_eq!(lines[more], format!("and {} more", 24 - (more - head - 1)));
        for part in ["transport  udp", "type       A", "limits     none", "dataset ", "drop ", "good "] {
            assert!(lines[more..].iter().any(|line| line.starts_with(part)), "{part}: {text}");
        }
        // the longer line is marked where it is cut
        assert!(lines[more..].iter().any(|line| line.starts_with("drop ") && line.ends_with('…')), "{text}");

        let narrow = picture(&before, &after, Size { rows: 24, columns: 48 });
        let head: Vec<String> = narrow.lines().find(|line| line.starts_with("zone ")).map(columns).unwrap();
        assert_eq!((&*head[1], &*head[head.len() - 2], &*head[head.len() - 1]), ("q/s", "dropped", "+"), "{narrow}");
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
