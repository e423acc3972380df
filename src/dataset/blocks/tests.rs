//! Every rule against a naive model that looks at one address.

use proptest::prelude::*;

use super::*;

/// What one address comes to, looked up in the runs.
fn at(runs: &[Run<u32>], address: u32) -> Option<ListId> {
    runs.iter().find(|run| (run.first..=run.last).contains(&address)).and_then(|run| run.list)
}

fn statement(first: u32, last: u32, said: Option<u32>, at: u32) -> Statement<u32> {
    Statement { first, last, said: said.map(Met), at }
}

fn is_sorted_and_disjoint<T: Address>(runs: &[Run<T>]) -> bool {
    runs.iter().all(|run| run.first <= run.last) && runs.windows(2).all(|pair| pair[0].last < pair[1].first)
}

/// Ranges in a small corner of the space, so that they overlap, with both ends of the space in reach.
fn ranges() -> impl Strategy<Value = Vec<Statement<u32>>> {
    let edge = prop_oneof![0_u32..1200, (u32::MAX - 1200)..=u32::MAX, (0_u32..40).prop_map(|n| n << 14)];
    let one = (edge, 0_u32..5000, proptest::option::of(0_u32..3));
    proptest::collection::vec(one, 0..30).prop_map(|all| {
        let cut = |(n, (first, length, said)): (usize, (u32, u32, Option<u32>))| {
            statement(first, first.saturating_add(length), said, n as u32)
        };
        all.into_iter().enumerate().map(cut).collect()
    })
}

fn nested() -> impl Strategy<Value = Vec<Statement<u32>>> {
    let one = (any::<u32>(), 0_u32..=32, proptest::option::of(0_u32..3));
    proptest::collection::vec(one, 0..30).prop_map(|all| {
        let mask = |length| u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let cut = |(n, (bits, length, said)): (usize, (u32, u32, Option<u32>))| {
            // few leading bits differ, so that prefixes nest
            let first = bits & 0x8000_0307 & mask(length);
            statement(first, first | !mask(length), said, n as u32)
        };
        all.into_iter().enumerate().map(cut).collect()
    })
}

fn probes(statements: &[Statement<u32>]) -> Vec<u32> {
    let edges = statements
        .iter()
        .flat_map(|s| [s.first, s.last, s.first.wrapping_sub(1), s.last.wrapping_add(1), s.first / 2 + s.last / 2]);
    edges.chain([0, u32::MAX]).collect()
}

/// The octet class in which rbldnsd stores this address of the statement: the widest whole block around it.
fn class(statement: &Statement<u32>, address: u32) -> u32 {
    let inside = |length: &u32| {
        let mask = u32::MAX << (32 - length);
        statement.first <= (address & mask) && (address | !mask) <= statement.last
    };
    [8, 16, 24, 32].into_iter().find(inside).unwrap()
}

fn joined<'s>(said: impl Iterator<Item = &'s Statement<u32>>, lists: &mut Lists) -> Option<ListId> {
    let said: Vec<_> = said.map(|statement| statement.said).collect();
    if said.is_empty() || said.contains(&None) {
        return None;
    }
    Some(lists.intern(&mut said.into_iter().flatten().collect()))
}

proptest! {
    #[test]
    fn octet_classes_agree_with_the_naive_model(statements in ranges()) {
        let mut lists = Lists::default();
        let (runs, _) = by_octet_class(statements.clone(), &mut lists);
        prop_assert!(is_sorted_and_disjoint(&runs));
        for address in probes(&statements) {
            let around = || statements.iter().filter(|s| (s.first..=s.last).contains(&address));
            let best = around().map(|s| class(s, address)).max();
            let expected = joined(around().filter(|s| Some(class(s, address)) == best), &mut lists);
            prop_assert_eq!(at(&runs, address), expected, "{}", address);
        }
    }

    #[test]
    fn plain_rule_agrees_with_the_naive_model(statements in ranges()) {
        let mut lists = Lists::default();
        let runs = exclusion_wins(statements.clone(), &mut lists);
        prop_assert!(is_sorted_and_disjoint(&runs));
        for address in probes(&statements) {
            let around = statements.iter().filter(|s| (s.first..=s.last).contains(&address));
            let expected = joined(around, &mut lists);
            prop_assert_eq!(at(&runs, address), expected, "{}", address);
        }
    }

    #[test]
    fn longest_prefix_agrees_with_the_naive_model(statements in nested()) {
        let mut lists = Lists::default();
        let (runs, repeated) = longest_prefix(statements.clone(), &mut lists);
        prop_assert!(is_sorted_and_disjoint(&runs));
        for address in probes(&statements) {
            let around = statements.iter().filter(|s| (s.first..=s.last).contains(&address));
            let best = around.min_by_key(|s| (s.last - s.first, s.at));
            let expected = best.and_then(|s| s.said).map(|met| lists.intern(&mut vec![met]));
            prop_assert_eq!(at(&runs, address), expected, "{}", address);
        }
        for again in repeated {
            prop_assert!(statements.iter().any(|s| (s.first, s.last) == (again.first, again.last) && s.at < again.at));
        }
    }

    #[test]
    fn what_is_cut_is_not_listed(statements in ranges(), keep in proptest::collection::btree_set(0_u32..1200, 0..4)) {
        let mut lists = Lists::default();
        let runs = exclusion_wins(statements.clone(), &mut lists);
        let cut = [(0, 3), (500, 900), (u32::MAX - 7, u32::MAX)];
        let keep: Vec<u32> = keep.into_iter().collect();
        let outside = listed_outside(&runs, &cut, &keep);
        prop_assert!(is_sorted_and_disjoint(&outside));
        for address in probes(&statements).into_iter().chain([0, 3, 4, 499, 500, 900, 901]).chain(keep.clone()) {
            let is_cut = cut.iter().any(|&(first, last)| (first..=last).contains(&address)) && !keep.contains(&address);
            let expected = if is_cut { None } else { at(&runs, address) };
            prop_assert_eq!(at(&outside, address), expected, "{}", address);
        }
    }

    #[test]
    fn prefixes_cover_a_run_and_nothing_else(first: u128, length in 0_u32..128) {
        let last = first.saturating_add(1_u128.checked_shl(length).unwrap_or(0));
        let mut next = Some(first);
        for (bits, length) in prefixes(first, last) {
            prop_assert_eq!(Some(bits), next);
            prop_assert_eq!(bits & !mask6(length), 0);
            next = (bits | !mask6(length)).successor();
        }
        prop_assert_eq!(next, last.successor());
    }
}
