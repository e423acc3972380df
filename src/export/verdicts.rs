//! Verdicts as lists for other programs: firewalls, Suricata, rbldnsd.
//!
//! Invariant: runs that say the same of neighboring addresses are one, and are written as the fewest prefixes; what one
//! format cannot say is left out, and is in the JSON lines of `infamy judge`.

use std::fmt;
use std::io::{self, Write};

use crate::dataset::never::{prefix4_text, prefix6_text};
use crate::neighborhood::listings::code;
use crate::neighborhood::{Bits, Run, Run6, prefixes};

/// How verdicts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictFormat {
    /// A prefix a line.
    Cidr,
    /// Suricata's `iprep` format: `prefix,category,score`, the score 1–127.
    Iprep {
        /// The number of the category in Suricata's category file.
        category: u8,
    },
    /// rbldnsd's `ip4trie` and `ip6trie`: `prefix :address:text`, with the addresses of a zone of verdicts.
    Rbldnsd,
}

/// Writes verdicts, IPv4 first, each family in the order of addresses.
///
/// # Errors
///
/// Those of `out`, which is written to in small pieces.
pub fn write_verdicts(format: VerdictFormat, runs: &[Run], runs6: &[Run6], out: &mut impl Write) -> io::Result<()> {
    let said4 = runs.iter().map(|run| {
        let words = Words { reports: run.counts.addresses, days: run.counts.days(), asn: run.asn, state: run.state };
        (run.first, run.last, says(format, run.score(), code(run.state, run.class), words))
    });
    merged(said4, |first, last, says| {
        prefixes(first, last).try_for_each(|(bits, length)| writeln!(out, "{}{says}", prefix4_text(bits, length)))
    })?;
    let said6 = runs6.iter().map(|run| {
        let words = Words { reports: run.counts.addresses, days: run.counts.days(), asn: run.asn, state: run.state };
        (run.first, run.last, says(format, run.score, code(run.state, run.class), words))
    });
    merged(said6, |first, last, says| {
        prefixes(first, last).try_for_each(|(bits, length)| writeln!(out, "{}{says}", prefix6_text(bits, length)))
    })
}

/// What stands behind a prefix.
fn says(format: VerdictFormat, score: u8, code: Option<std::net::Ipv4Addr>, words: Words) -> String {
    match format {
        VerdictFormat::Cidr => String::new(),
        VerdictFormat::Iprep { category } => {
            let score = (f64::from(score) * IPREP_MOST / 100.0).round().max(1.0);
            format!(",{category},{score}")
        }
        // what is in no state has no address there
        VerdictFormat::Rbldnsd => {
            code.map_or_else(|| " :127.0.8.0:no state".to_owned(), |code| format!(" :{code}:{words}"))
        }
    }
}

struct Words {
    reports: u32,
    days: u32,
    asn: u32,
    state: crate::neighborhood::State,
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reports, days, asn, state } = self;
        write!(f, "{state}: {reports} addresses on {days} days, AS{asn}")
    }
}

/// Joins runs that touch and say the same.
fn merged<A: Bits>(
    runs: impl Iterator<Item = (A, A, String)>,
    mut give: impl FnMut(A, A, &str) -> io::Result<()>,
) -> io::Result<()> {
    let mut open: Option<(A, A, String)> = None;
    for (first, last, says) in runs {
        match &mut open {
            Some((_, end, said)) if end.successor() == Some(first) && *said == says => *end = last,
            _ => {
                if let Some((first, last, says)) = open.replace((first, last, says)) {
                    give(first, last, &says)?;
                }
            }
        }
    }
    open.map_or(Ok(()), |(first, last, says)| give(first, last, &says))
}

/// Suricata's highest reputation.
const IPREP_MOST: f64 = 127.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(runs: &[(u32, u32, &str)]) -> Vec<String> {
        let mut out = Vec::new();
        let runs = runs.iter().map(|&(first, last, says)| (first, last, says.to_owned()));
        merged(runs, |first, last, says| {
            out.extend(prefixes(first, last).map(|(bits, length)| format!("{}{says}", prefix4_text(bits, length))));
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn what_says_the_same_is_one_prefix() {
        let base = 0xcb00_7100;
        assert_eq!(written(&[(base, base + 15, ",1,80"), (base + 16, base + 31, ",1,80")]), ["203.0.113.0/27,1,80"]);
        assert_eq!(
            written(&[(base, base + 15, ",1,80"), (base + 16, base + 31, ",1,60"), (base + 48, base + 63, ",1,60")]),
            ["203.0.113.0/28,1,80", "203.0.113.16/28,1,60", "203.0.113.48/28,1,60"]
        );
        assert_eq!(written(&[(u32::MAX - 1, u32::MAX, "")]), ["255.255.255.254/31"]);
    }
}
