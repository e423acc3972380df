//! Known-good space: how much of it a list hits.
//!
//! A line is `cidr <TAB> category <TAB> source`, as in a file of guards. Where both are one file each range is on one
//! side by a hash of it, so that a guard is not measured by the ranges that it was made from. Invariant: in each
//! category an address counts once.

use std::collections::BTreeMap;
use std::path::Path;

use crate::feed::{Addresses, Compression, FileError, Lines, Skipped};
use crate::neighborhood::bits::Bits;
use crate::neighborhood::guards::GoodRange;

/// Known-good IPv4 space.
#[derive(Clone, Debug, Default)]
pub struct Good {
    by_category: BTreeMap<String, Vec<(u32, u32)>>,
}

/// How much of a category's space is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The category.
    pub category: String,
    /// Its addresses.
    pub space: u64,
    /// Those that are listed.
    pub listed: u64,
}

impl Good {
    /// Parses a file; with `held_out`, the half that the guards are not made from.
    ///
    /// # Errors
    ///
    /// The file cannot be read to its end. Wrong lines are left out and stand in `skipped`.
    pub fn parse_file(path: &Path, held_out: bool, skipped: &mut Skipped) -> Result<Self, FileError> {
        let mut by_category: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        Lines::open(path, Compression::Detect)?.each_or_skip(skipped, |line| {
            let Some(range) = GoodRange::parse(line)? else { return Ok(()) };
            if let Addresses::Ip4(first, last) = range.addresses
                && (!held_out || is_held_out(range))
            {
                let category = String::from_utf8_lossy(range.category).into_owned();
                by_category.entry(category).or_default().push((first, last));
            }
            Ok(())
        })?;
        for ranges in by_category.values_mut() {
            *ranges = merged(std::mem::take(ranges));
        }
        Ok(Self { by_category })
    }

    /// What ranges, ascending and disjoint, hit.
    pub fn hits(&self, listed: &[(u32, u32)]) -> Vec<Hit> {
        let hit = |(category, ranges): (&String, &Vec<(u32, u32)>)| Hit {
            category: category.clone(),
            space: size(ranges),
            listed: size(&common(ranges, listed)),
        };
        self.by_category.iter().map(hit).collect()
    }
}

/// Whether a range is of the half that is held out when guards and known-good space are one file.
pub fn is_held_out(range: GoodRange<'_>) -> bool {
    let (bits, length) = match range.addresses {
        Addresses::Ip4(first, last) => (u128::from(first), u128::from(last - first).leading_zeros()),
        Addresses::Ip6(first, length) => (first, u32::from(length)),
    };
    let mixed = (bits ^ bits >> 64) as u64 ^ u64::from(length) << 56;
    super::bootstrap::SplitMix(mixed).next() & 1 == 1
}

/// The addresses of ascending disjoint ranges.
pub(super) fn size(ranges: &[(u32, u32)]) -> u64 {
    ranges.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
}

/// Ascending and disjoint.
pub(super) fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut out: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if before.1.successor().is_none_or(|next| first <= next) => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

/// What two lists of ascending disjoint ranges have in common.
fn common(a: &[(u32, u32)], b: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        let (first, last) = (left.0.max(right.0), left.1.min(right.1));
        if first <= last {
            out.push((first, last));
        }
        if left.1 < right.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_hit_if_both_have_it(
            a in proptest::collection::vec((0_u32..60, 0_u32..9), 0..9),
            b in proptest::collection::vec((0_u32..60, 0_u32..9), 0..9),
        ) {
            let ranges = |of: &[(u32, u32)]| merged(of.iter().map(|&(first, more)| (first, first + more)).collect());
            let has = |of: &[(u32, u32)], at: u32| of.iter().any(|&(first, more)| (first..=first + more).contains(&at));
            let both = (0..100).filter(|&at| has(&a, at) && has(&b, at)).count() as u64;
            prop_assert_eq!(size(&common(&ranges(&a), &ranges(&b))), both);
            prop_assert_eq!(size(&ranges(&a)), (0..100).filter(|&at| has(&a, at)).count() as u64);
        }
    }

    #[test]
    fn one_half_is_held_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("good.tsv");
        let lines: String = (0..1000).map(|i| format!("10.{}.{}.0/24\tmail\tx\n", i / 250, i % 250)).collect();
        std::fs::write(&path, lines).unwrap();
        let mut skipped = Skipped::default();
        let all = Good::parse_file(&path, false, &mut skipped).unwrap().hits(&[]);
        let half = Good::parse_file(&path, true, &mut skipped).unwrap().hits(&[]);
        assert_eq!(all[0].space, 256_000);
        assert!((100_000..156_000).contains(&half[0].space), "{half:?}");
    }
}
