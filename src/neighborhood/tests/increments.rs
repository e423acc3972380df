//! Reports between two surveys against a survey that has them all.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::properties::{SPACE, case};
use super::*;
use crate::dataset::{Extent, Listing};
use crate::evidence::join;
use crate::neighborhood::listings::revise::{Statements, revision};
use crate::neighborhood::listings::{Emission, verdicts};
use crate::neighborhood::names::{KnownSafe, NameFacts, Observations, Popularity, Suffixes};
use crate::neighborhood::nodes::{Asn, Block};
use crate::neighborhood::survey::{Findings, Told};

/// A report of a case: address, source, hours ago.
type Said = (u32, usize, u32);

const NAMES: [&str; 4] = ["a", "b", "copy", "weak"];

fn now() -> Time {
    Time::end_of_day(TODAY)
}

fn when(hours_ago: u32) -> Time {
    Time(now().0 - 3600 * hours_ago)
}

fn survey(case: &Case, evidence: Evidence, previous: [Arc<Previous>; 2]) -> Survey {
    let findings = Findings {
        routes: case.routes(),
        guards: case.guards(),
        allocations: Allocations::default(),
        evidence,
        names: NameFacts {
            suffixes: Suffixes::built_in(),
            popularity: Popularity::default(),
            safe: KnownSafe::default(),
            observations: Observations::until(now()),
        },
    };
    Survey::judge(findings, &Parameters::default(), now(), previous, Told::default())
}

/// A survey of the case alone, moved by the reports; and one of both, in the states after the first.
fn both(case: &Case, said: &[Said]) -> (Increment, Survey) {
    let base = Arc::new(survey(case, case.evidence(), Default::default()));
    let mut increment = Increment::begin(Arc::clone(&base), 0);
    for &(bits, source, hours_ago) in said {
        report(&mut increment, bits, NAMES[source], when(hours_ago));
    }
    let mut evidence = case.evidence();
    for &(bits, source, hours_ago) in said {
        let (begin, subject) = (when(hours_ago), Subject::Ip4 { bits, length: 32 });
        let source = evidence.sources.find_or_add(NAMES[source]).expect("a known source");
        let (family, end, speech) = (Family::Send, Some(begin), Speech::Stream);
        let statement = Statement { source, family, subject, begin, end, weight: 1.0, speech };
        evidence.ip4.push(crate::evidence::Spell::new(bits, &statement));
    }
    join(&mut evidence.ip4);
    let previous = Family::ALL.map(|family| Arc::new(Previous::of_runs(&base.runs[family.index()])));
    (increment, survey(case, evidence, previous))
}

fn report(increment: &mut Increment, bits: u32, source: &str, time: Time) {
    let subject = std::net::Ipv4Addr::from(bits).to_string();
    let report = Report { time, source, subject: &subject, category: "scan", weight: 1.0 };
    increment.report([report], now());
}

/// The survey as it would be if the mean were another one: rates stay, and states are decided anew.
fn at_mean_of(mut survey: Survey, base: &Survey) -> Survey {
    for family in Family::ALL {
        let judgement = &mut survey.judgements[family.index()];
        judgement.mean = base.judgements[family.index()].mean;
        let blocks = judgement.nodes.blocks.iter().zip(&*judgement.verdicts);
        let verdicts = blocks.map(|(block, verdict)| {
            let before = judgement.previous.state(block.block);
            let state = judgement.rules().block(judgement.lift(verdict.rate, 1.0), &block.counts, before);
            judgement::BlockVerdict { rate: verdict.rate, state }
        });
        judgement.verdicts = Arc::new(verdicts.collect());
        survey.runs[family.index()] = judgement.runs(false);
    }
    survey
}

/// What a dataset lists in some /24s, address by address.
fn listed(survey: &Survey, emission: Emission, blocks: &BTreeSet<u32>) -> Vec<(u32, Listing)> {
    let mut statements = Statements::default();
    verdicts::emit(survey, emission, &mut statements);
    let mut all = spread(statements.0);
    all.retain(|(address, _)| blocks.contains(&(address >> 8)));
    all
}

/// What it says of the regions that were touched.
fn revised(increment: &Increment, emission: Emission) -> Vec<(u32, Listing)> {
    let mut regions: Vec<&Region> = increment.touched_after(0).collect();
    regions.sort_unstable();
    let revisions = regions.into_iter().filter_map(|region| revision(increment, emission, region, true));
    spread(revisions.flat_map(|revision| revision.listings))
}

fn spread(statements: impl IntoIterator<Item = (Extent, Listing)>) -> Vec<(u32, Listing)> {
    let mut all = Vec::new();
    for (extent, listing) in statements {
        if let Extent::Ip4 { first, length } = extent {
            all.extend((first..=first.last_of(length)).map(|address| (address, listing.clone())));
        }
    }
    all
}

fn reports(blocks: impl Strategy<Value = u32>) -> impl Strategy<Value = Vec<Said>> {
    // some of them about long ago, which may join spells that were two
    let hours = prop_oneof![3 => 0u32..48, 1 => 0u32..130 * 24];
    let one = (0u32..3, 0u32..6, 0usize..4, hours);
    (blocks, proptest::collection::vec(one, 1..12)).prop_map(|(block, all)| {
        let said = |(leaf, host, source, hours): (u32, u32, usize, u32)| {
            (SPACE | block << 8 | leaf << 4 | host, source, hours)
        };
        all.into_iter().map(said).collect()
    })
}

fn has_no_less(now: &Counts, full: &Counts) -> bool {
    (now.addresses, now.sole) == (full.addresses, full.sole)
        && now.days() >= full.days()
        && now.groups() >= full.groups()
        && now.last() >= full.last()
}

proptest! {
    #[test]
    fn the_sums_of_all_five_nodes_are_those_of_a_full_judgement(
        case in case(),
        said in proptest::collection::vec(reports(0u32..24), 1..4),
    ) {
        let said: Vec<Said> = said.concat();
        let (increment, full) = both(&case, &said);
        let (moved, full) = (increment.judgement(Family::Send), &full.judgements[0]);
        prop_assume!(!moved.is_empty());
        for block in said.iter().map(|said| said.0 >> 8) {
            let own = moved.own(block).map(|own| (Block { leaf: 0, ..own.block.clone() }, own.leaves.to_vec()));
            let of_full = full.own(block).map(|own| (Block { leaf: 0, ..own.block.clone() }, own.leaves.to_vec()));
            prop_assert_eq!(own, of_full);
            let Some(route) = moved.routes.find4(block << 8, 24) else { continue };
            let of_prefix = (moved.prefix_now(route), full.nodes.prefix(route));
            if let (Some(now), Some(full)) = of_prefix {
                prop_assert_eq!((now.sums, now.active, now.a_ln_a), (full.sums, full.active, full.a_ln_a));
                prop_assert!(has_no_less(&now.counts, &full.counts));
            }
            prop_assert!(of_prefix.0.is_none_or(|now| now.active == 0) || of_prefix.1.is_some());
            let index = moved.nodes.asn_index(route);
            for (now, full) in [(moved.asn_now(index), &full.nodes.asns[index]), (moved.root_now(), &full.nodes.root)] {
                let sums = |node: &Asn| (node.asn, node.exposure, node.sums, node.active, node.active_prefixes);
                prop_assert_eq!(sums(now), sums(full));
                prop_assert!(has_no_less(&now.counts, &full.counts));
            }
        }
    }

    #[test]
    fn a_block_is_judged_and_listed_as_by_a_full_judgement(case in case(), said in reports(0u32..24)) {
        let (increment, full) = both(&case, &said);
        let moved = increment.judgement(Family::Send);
        prop_assume!(!moved.is_empty());
        let full = at_mean_of(full, increment.survey());
        let block = said[0].0 >> 8;
        let verdict = |judgement: &Judgement| judgement.own(block).map(|own| own.verdict);
        prop_assert_eq!(verdict(moved), verdict(&full.judgements[0]));
        let runs = |judgement: &Judgement| {
            let mut runs = Vec::new();
            judgement.each_run_of_block(block, true, |run| runs.push(run));
            runs
        };
        prop_assert_eq!(runs(moved), runs(&full.judgements[0]));
        for emission in [Emission::Exact, Emission::Verdicts(None), Emission::Verdicts(Some(Family::Send)), Emission::Score] {
            prop_assert_eq!(revised(&increment, emission), listed(&full, emission, &[block].into()));
        }
    }

    #[test]
    fn neither_the_order_of_reports_nor_saying_them_twice_matters(
        case in case(),
        said in proptest::collection::vec(reports(0u32..24), 1..4),
        seed in any::<u64>(),
    ) {
        let mut said: Vec<Said> = said.concat();
        let (increment, _) = both(&case, &said);
        let repeated: Vec<Said> = said.iter().step_by(2).copied().collect();
        said.extend(repeated);
        said.sort_by_key(|&(bits, source, hours)| (u64::from(bits) << 8 ^ u64::from(hours) ^ source as u64).wrapping_mul(seed | 1));
        let (other, _) = both(&case, &said);
        for emission in [Emission::Exact, Emission::Score] {
            prop_assert_eq!(revised(&increment, emission), revised(&other, emission));
        }
        let states = |increment: &Increment| increment.previous();
        prop_assert_eq!(states(&increment), states(&other));
    }
}
