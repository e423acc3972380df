//! What holds for any evidence.

use proptest::prelude::*;

use super::naive;
use super::*;

/// A /16 in which everything happens.
pub(super) const SPACE: u32 = 0xc633_0000;

/// Spells of one source and address: gaps and lengths in days, backwards from some days ago.
fn spells() -> impl Strategy<Value = Vec<(u32, usize, u32, Option<u32>)>> {
    // few /24s of one /20 and few /28s, so that neighbors meet
    let address = (0u32..24, 0u32..3, 0u32..6).prop_map(|(block, leaf, host)| {
        SPACE | (if block < 16 { block } else { 40 + 11 * block }) << 8 | leaf << 4 | host
    });
    let one = (address, 0usize..4, 0u32..150, proptest::collection::vec((0u32..25, 2u32..60), 1..3), any::<bool>());
    let many = proptest::collection::vec(one, 0..40);
    many.prop_map(|many| {
        let mut all: Vec<(u32, usize, u32, Option<u32>)> = Vec::new();
        for (bits, source, ago, spells, is_listed) in many {
            // one history a source and address, so that spells never touch
            if all.iter().any(|spell| (spell.0, spell.1) == (bits, source)) {
                continue;
            }
            let mut end = TODAY + 20 - ago;
            for (index, (length, gap)) in spells.into_iter().enumerate() {
                let removed = (index > 0 || !is_listed).then_some(end);
                all.push((bits, source, end - length, removed));
                end -= length + gap;
            }
        }
        all
    })
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let route = (16u8..=25, 0u32..256, 64496u32..64499);
    let routes = proptest::collection::vec(route, 1..12);
    (routes, spells()).prop_map(|(routes, spells)| {
        let mask = |bits: u32, length: u8| bits & (u32::MAX << (32 - length));
        let routes = routes.into_iter().map(|(length, block, asn)| (mask(SPACE | block << 8, length), length, asn));
        let mut routes: Vec<(u32, u8, u32)> = routes.collect();
        routes.sort_unstable();
        routes.dedup_by_key(|route| (route.0, route.1));
        Case { routes, spells, guards: String::new() }
    })
}

/// As near as sums are exact, which round what an address adds to four million parts.
fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-12)
}

proptest! {
    #[test]
    fn rates_are_those_of_the_slow_model(case in case()) {
        let judgement = case.judge();
        let naive = naive::rates(&case);
        prop_assert_eq!(judgement.is_empty(), judgement.touched().count() == 0);
        if judgement.is_empty() {
            return Ok(());
        }
        let mut rates: Vec<(u32, f64)> = judgement.touched().map(|block| (block.block, block.rate)).collect();
        judgement.each_untouched(|_, _| false, |first, last, rate, _| rates.extend((first..=last).map(|block| (block, rate))));
        rates.sort_by_key(|rate| rate.0);
        prop_assert_eq!(rates.len(), naive.blocks.len());
        for ((block, rate), (of_naive, expected)) in rates.iter().zip(&naive.blocks) {
            prop_assert_eq!(block, of_naive);
            prop_assert!(is_near(*rate, *expected), "{:x}: {} is not {}", block, rate, expected);
        }
        let mean = naive.blocks.values().sum::<f64>() / naive.blocks.len() as f64;
        prop_assert!(is_near(judgement.mean_rate(), mean));
        let mut seen = std::collections::BTreeSet::new();
        for &block in naive.blocks.keys() {
            judgement.each_run_of_block(block, true, |run| {
                // an address that may come back has a rate of its own
                if run.node.1 == 32 {
                    return;
                }
                for leaf in run.first >> 4..=run.last >> 4 {
                    let rate = run.rate * 16.0 / run.size() as f64;
                    assert!(is_near(rate, naive.leaves[&leaf]), "{leaf:x}: {rate} is not {}", naive.leaves[&leaf]);
                    seen.insert(leaf);
                }
            });
        }
        prop_assert_eq!(seen.len(), naive.leaves.len());
    }

    #[test]
    fn what_happened_later_is_not_looked_at(case in case(), later in proptest::collection::vec((0u32..4096, 1u32..30), 0..9)) {
        let mut known = case.clone();
        known.spells.retain(|spell| spell.2 <= TODAY);
        for spell in &mut known.spells {
            spell.3 = spell.3.filter(|&day| day <= TODAY);
        }
        let mut more = case.clone();
        more.spells.extend(later.into_iter().map(|(host, days)| (SPACE | host, 3, TODAY + days, None)));
        prop_assert_eq!(known.judge().runs(true), case.judge().runs(true));
        // a spell of the future may come to an end before one that is under way, but it is not one of today's
        prop_assert_eq!(known.judge().runs(true), more.judge().runs(true));
    }

    #[test]
    fn neither_the_order_nor_a_second_time_matters(mut case in case()) {
        let runs = case.judge().runs(true);
        prop_assert_eq!(&format!("{runs:?}"), &format!("{:?}", case.judge().runs(true)));
        case.spells.reverse();
        case.routes.reverse();
        prop_assert_eq!(format!("{runs:?}"), format!("{:?}", case.judge().runs(true)));
    }

    #[test]
    fn one_more_new_bad_address_never_lowers_its_block(case in case(), host in 0u32..4096, source in 0usize..4) {
        let bits = SPACE | host;
        prop_assume!(case.spells.iter().all(|spell| spell.0 != bits));
        let rate = |case: &Case| {
            let judgement = case.judge();
            if judgement.is_empty() {
                return 0.0;
            }
            let mut rate = judgement.touched().find(|block| block.block == bits >> 8).map(|block| block.rate);
            judgement.each_untouched(|_, _| false, |first, last, of_run, _| {
                if (first..=last).contains(&(bits >> 8)) {
                    rate = Some(of_run);
                }
            });
            rate.unwrap_or_default()
        };
        let before = rate(&case);
        let mut more = case;
        more.spells.push((bits, source, TODAY, None));
        // the two models reach the same number by different roundings
        prop_assert!(rate(&more) >= before * (1.0 - 1e-12), "{} after {}", rate(&more), before);
    }

    #[test]
    fn shrunk_rates_lie_between_their_own_and_that_above(case in case()) {
        let judgement = case.judge();
        if judgement.is_empty() {
            return Ok(());
        }
        for block in judgement.touched() {
            let explanation = judgement.explain((block.block << 8).into());
            let chain = &explanation.chain;
            prop_assert_eq!(chain.len(), 4);
            for pair in chain.windows(2) {
                let (above, node) = (pair[0].rate, &pair[1]);
                let own = node.arrivals / f64::from(node.blocks);
                let (least, most) = (own.min(above), own.max(above));
                prop_assert!(least * (1.0 - 1e-9) <= node.rate && node.rate <= most * (1.0 + 1e-9), "{:?}", chain);
            }
        }
        // without evidence of its own a block has the rate above it
        let mut quiet = None;
        judgement.each_untouched(|_, _| true, |first, _, _, terms| quiet = quiet.or_else(|| terms.map(|_| first)));
        if let Some(block) = quiet {
            let chain = judgement.explain((block << 8).into()).chain;
            prop_assert!(is_near(chain[3].rate * 2.2, chain[2].rate * 1.2));
        }
    }

    #[test]
    fn the_terms_of_an_explanation_add_up(case in case()) {
        let judgement = case.judge();
        prop_assume!(!judgement.is_empty());
        for run in judgement.runs(true) {
            for address in [run.first, run.last] {
                let explanation = judgement.explain(address.into());
                let sum: f64 = explanation.groups.iter().map(|group| group.sum).sum();
                prop_assert!((sum - run.lift.ln()).abs() < 1e-9, "{}: {} is not {}", address, sum, run.lift.ln());
                prop_assert_eq!((explanation.state, explanation.lift), (run.state, run.lift));
            }
        }
    }

    #[test]
    fn runs_are_disjoint_and_keep_out_of_holes(
        mut case in case(),
        guards in proptest::collection::vec((0u32..8192, 20u8..=32, 0usize..5), 0..8),
    ) {
        const CATEGORIES: [&str; 5] = ["mail", "research-scanner", "resolver-mixed", "cloud-mixed", "vpn-mixed"];
        for (host, length, category) in guards {
            let first = (SPACE | host) & (u32::MAX << (32 - u32::from(length)));
            case.guards += &format!("{}/{length}\t{}\tx\n", std::net::Ipv4Addr::from(first), CATEGORIES[category]);
        }
        let (judgement, guards) = (case.judge(), case.guards());
        let runs = judgement.runs(true);
        for pair in runs.windows(2) {
            prop_assert!(pair[0].last < pair[1].first);
        }
        for run in &runs {
            prop_assert!(run.first <= run.last && run.rate.is_finite());
            for address in [run.first, run.last] {
                prop_assert_eq!(guards.class4(address), run.class);
                prop_assert!(run.class.inherits());
            }
            let is_capped = run.class == Class::Normal || run.state <= State::Watch;
            prop_assert!(is_capped && run.score() <= run.state.most_score());
        }
    }

    #[test]
    fn of_two_families_the_worse_holds(
        a in proptest::collection::vec((0u32..9, 1u32..9, 0u8..4), 0..9),
        b in proptest::collection::vec((0u32..9, 1u32..9, 0u8..4), 0..9),
    ) {
        let runs = |parts: &[(u32, u32, u8)]| {
            let mut next = 0;
            let mut runs = Vec::new();
            for &(gap, size, state) in parts {
                let first = next + gap;
                next = first + size;
                let state = [State::None, State::Watch, State::Suspicious, State::Bad][usize::from(state)];
                runs.push(Run {
                    first,
                    last: next - 1,
                    state,
                    level: Level::Block,
                    node: (first, 24),
                    class: Class::Normal,
                    rate: f64::from(size),
                    lift: f64::from(gap + 1),
                    counts: Counts::default(),
                    asn: 0,
                });
            }
            runs
        };
        let (a, b) = (runs(&a), runs(&b));
        let both = worse_of(a.clone(), b.clone());
        let at = |runs: &[Run], address: u32| {
            let run = runs.iter().find(|run| (run.first..=run.last).contains(&address));
            run.map(|run| (run.state, run.lift))
        };
        for pair in both.windows(2) {
            prop_assert!(pair[0].last < pair[1].first);
        }
        for address in 0..200 {
            let worse = [at(&a, address), at(&b, address)].into_iter().flatten().max_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(at(&both, address), worse);
        }
    }
}
