//! Whatever the number of threads and the order of lines, a load comes to the same.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::dnsxl::key::{Alphabet, HashKind};
use crate::feed::Compression;

fn load_text(text: &str, format: Format, threads: usize) -> (Dataset, Report) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, text).unwrap();
    let md5 = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 32 };
    let key = (format == Format::Hashes).then_some(md5);
    let spec = Spec {
        name: "list".to_owned(),
        format,
        // twice the same one, as problems of several files have an order too
        files: vec![path.clone(), path],
        emitted: None,
        reading: Reading { compression: Compression::Detect, key, ..Reading::default() },
        defaults: Defaults::default(),
        bad_lines: BadLines::Skip,
        min_entries: 0,
        bounds: Bounds::NONE,
        ttl_bounds: 0..=u32::MAX,
        heeds_never_list: true,
    };
    load_on(threads, &spec, &NeverList::with_own(&[]), 0).unwrap()
}

/// Steps of a generator that needs only to be irregular.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A list over several blocks: entries of which some are said again, and now and then a line that others depend on, is
/// wrong, or must not be listed.
fn list(format: Format, seed: u64, with_context: bool) -> Vec<String> {
    let mut dice = Dice(seed);
    let has_values = !matches!(format, Format::Plain | Format::Hashes);
    let line = |_| {
        let excluded = if dice.roll(20) == 0 { "!" } else { "" };
        let value = match dice.roll(8) {
            0 if has_values => format!(" :{}:text {}", 2 + dice.roll(90), dice.roll(700)),
            _ => String::new(),
        };
        let address = format!("{}.{}.{}.{}", 1 + dice.roll(220), dice.roll(9), dice.roll(256), dice.roll(256));
        match dice.roll(if with_context { 4000 } else { 3990 }) {
            3999 if has_values => format!(":127.0.0.{}:default {}", 3 + dice.roll(9), dice.roll(5)),
            3998 if has_values => format!("  $TTL {}", 60 + dice.roll(600)),
            3997 if has_values && format != Format::Dnset => format!("$MAXRANGE4 /{}", 8 + dice.roll(2)),
            3996 => "what is this?".to_owned(),
            3995 => "# a comment".to_owned(),
            3994 => "127.0.0.1".to_owned(),
            3993 => "x".repeat(40_000),
            3992 if has_values => format!(";$={} $=", dice.roll(4)),
            _ => match format {
                Format::Ip4Trie => format!(
                    "{excluded}{}.{}.0.0/{}{value}",
                    1 + dice.roll(220),
                    dice.roll(256) & 0xf0,
                    [12, 16, 24][dice.roll(3) as usize]
                ),
                Format::Ip6Trie => format!(
                    "{excluded}2001:db8:{:x}::/{}{value}",
                    dice.roll(30_000),
                    [48, 64, 128][dice.roll(3) as usize]
                ),
                Format::Dnset => {
                    let mark = ["", ".", "*."][dice.roll(3) as usize];
                    format!(
                        "{excluded}{mark}{}n{}.example{}.net{value}",
                        ["", "www."][dice.roll(2) as usize],
                        dice.roll(30_000),
                        dice.roll(3)
                    )
                }
                Format::Hashes => format!(
                    "{excluded}{:032x}",
                    u128::from(dice.roll(40_000)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                ),
                _ if dice.roll(30) == 0 => format!(
                    "{excluded}{}.{}.{}.0/{}{value}",
                    1 + dice.roll(220),
                    dice.roll(9),
                    dice.roll(256),
                    [24, 25][dice.roll(2) as usize]
                ),
                _ => format!("{excluded}{address}{value}"),
            },
        }
    };
    (0..60_000).map(line).collect()
}

const FORMATS: [Format; 6] =
    [Format::Ip4Set, Format::Ip4Trie, Format::Ip6Trie, Format::Plain, Format::Dnset, Format::Hashes];

fn report_text(report: &Report) -> String {
    let mut text = format!("{} entries, {} problems, {:?}\n", report.entries, report.total, report.tallies);
    for Problem { line, reason, .. } in &report.problems {
        writeln!(text, "{line}: {reason}").unwrap();
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn threads_change_nothing(seed: u64) {
        for format in FORMATS {
            let text = list(format, seed, true).join("\n");
            let (alone, report) = load_text(&text, format, 1);
            prop_assert!(!alone.parts[0].table.is_empty() && report.total > 0, "{:?}", format);
            for threads in [2, 3] {
                let (shared, shared_report) = load_text(&text, format, threads);
                prop_assert!(shared.says_what(&alone), "{:?} by {} threads", format, threads);
                prop_assert_eq!(report_text(&shared_report), report_text(&report), "{:?} by {} threads", format, threads);
            }
        }
    }

    #[test]
    fn order_changes_nothing_where_a_format_has_none(seed: u64) {
        for format in [Format::Ip4Set, Format::Plain, Format::Dnset, Format::Hashes] {
            let mut lines = list(format, seed, false);
            let (forward, _) = load_text(&lines.join("\n"), format, 1);
            lines.reverse();
            let (backward, _) = load_text(&lines.join("\n"), format, 2);
            prop_assert!(forward.says_what(&backward), "{:?}", format);
        }
    }
}
