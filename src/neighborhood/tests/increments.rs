//! Reports between two surveys against a survey that has them all.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::properties::{SPACE, case};
use super::scenes::world;
use super::*;
use crate::dataset::{Extent, Listing};
use crate::evidence::{Spell, join};
use crate::neighborhood::listings::revise::{Statements, revision};
use crate::neighborhood::listings::{Emission, verdicts};
use crate::neighborhood::names::{KnownSafe, NameFacts, Observations, Popularity, Suffixes};
use crate::neighborhood::nodes::{Asn, Block};
use crate::neighborhood::survey::{Findings, Told};

/// A report of a case: address, source, hours ago.
type Said = (u32, usize, u32);

/// The sources of a case by name.
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
    let previous = Family::ALL.map(|family| Arc::new(Previous::of_runs(&base.runs[family.index()])));
    (increment, survey(case, with(case, said), previous))
}

/// The evidence of a case and of reports.
fn with(case: &Case, said: &[Said]) -> Evidence {
    let mut evidence = case.evidence();
    for &(bits, source, hours_ago) in said {
        let (begin, subject) = (when(hours_ago), Subject::Ip4 { bits, length: 32 });
        let source = evidence.sources.find_or_add(NAMES[source]).expect("a known source");
        let (family, end, speech) = (Family::Send, Some(begin), Speech::Stream);
        let statement = Statement { source, family, subject, begin, end, weight: 1.0, speech };
        evidence.ip4.push(Spell::new(bits, &statement));
    }
    join(&mut evidence.ip4);
    evidence
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
    // a case is two surveys, each over everything that is announced
    #![proptest_config(ProptestConfig::with_cases(100))]

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

/// What is said of an address in a dataset, after the reports.
fn listed_at(increment: &Increment, emission: Emission, address: &str) -> Option<Listing> {
    let all = revised(increment, emission);
    all.into_iter().find(|(listed, _)| *listed == ip(address)).map(|(_, listing)| listing)
}

fn text(listing: Option<Listing>) -> String {
    match listing {
        Some(Listing::Listed { a, text }) => format!("{a} {text}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_survey_after_an_hour_of_reports_says_the_same_states() {
    let case = world();
    // a few blocks with many reports, old ones and new ones, and many with one
    let said: Vec<Said> = (0..90u32)
        .map(|report| {
            let (network, block) =
                if report % 3 > 0 { (50 * (report % 7), report % 2) } else { (4 * report, report % 256) };
            let bits = ip("11.0.0.0") + (network << 16) + (block << 8) + 5 * report % 256;
            (bits, (report % 4) as usize, 9 * report % 200)
        })
        .collect();
    let (increment, _) = both(&case, &said);
    let full = survey(&case, with(&case, &said), increment.previous());
    let (moved, full) = (increment.judgement(Family::Send), &full.judgements[0]);
    let blocks: BTreeSet<u32> = said.iter().map(|said| said.0 >> 8).collect();
    let states = |judgement: &Judgement| -> Vec<(u32, Option<State>)> {
        blocks.iter().map(|&block| (block, judgement.own(block).map(|own| own.verdict.state))).collect()
    };
    assert_eq!(states(moved), states(full));
    let seen: BTreeSet<Option<State>> = states(moved).into_iter().map(|(_, state)| state).collect();
    assert!(seen.len() >= 3, "nothing happened: {seen:?}");
}

#[test]
fn a_block_that_crosses_its_threshold_is_said_so_at_once() {
    let case = world();
    let base = Arc::new(survey(&case, case.evidence(), Default::default()));
    let mut increment = Increment::begin(base, 0);
    let verdicts = Emission::Verdicts(None);
    for host in 0..20 {
        assert_eq!(listed_at(&increment, verdicts, "11.7.113.200"), None, "{host}");
        report(&mut increment, ip("11.7.113.0") + 3 * host, NAMES[(host % 2) as usize], when(30 * (host % 3)));
        if listed_at(&increment, verdicts, "11.7.113.200").is_some() {
            break;
        }
    }
    let said_now = text(listed_at(&increment, verdicts, "11.7.113.200"));
    assert!(said_now.starts_with("127.0.8."), "{said_now}");
    let explanation = increment.judgement(Family::Send).explain("11.7.113.200".parse().unwrap());
    assert!(explanation.state > State::None && explanation.evidence.reports >= 2);
    let sum: f64 = explanation.groups.iter().map(|group| group.sum).sum();
    assert!((sum - explanation.lift.ln()).abs() < 1e-9, "{sum} is not {}", explanation.lift.ln());
}

#[test]
fn what_comes_up_after_the_survey_says_its_own_time() {
    let mut case = world();
    case.guards = "11.9.0.0/24\tmail\tx\n".to_owned();
    let base = Arc::new(survey(&case, case.evidence(), Default::default()));
    let mut increment = Increment::begin(base, 7);
    let later = Time(now().0 + 1800);
    for (address, source) in [("11.9.0.1", "b"), ("11.8.0.1", "weak"), ("11.8.0.2", "b")] {
        let report = Report { time: later, source, subject: address, category: "scan", weight: 1.0 };
        increment.report([report], later);
    }
    // guarded, hardly trusted, and listed
    assert_eq!(listed_at(&increment, Emission::Exact, "11.9.0.1"), None);
    assert_eq!(listed_at(&increment, Emission::Exact, "11.8.0.1"), None);
    let listed = text(listed_at(&increment, Emission::Exact, "11.8.0.2"));
    assert!(listed.contains(&format!("last={}", later.to_hour())), "{listed}");
    let block = increment.judgement(Family::Send).own(ip("11.8.0.0") >> 8).expect("it has history");
    assert_eq!(block.block.counts.last(), Some(later));
    // a clock that is ahead is not believed
    let ahead = Report { time: Time(later.0 + 9999), source: "b", subject: "11.8.0.3", category: "scan", weight: 1.0 };
    increment.report([ahead], later);
    let listed = text(listed_at(&increment, Emission::Exact, "11.8.0.3"));
    assert!(listed.contains(&format!("last={}", later.to_hour())), "{listed}");
    assert_eq!((increment.touched_after(7).count(), increment.number()), (2, 11));
    // a survey after this one leaves states later than it enters them
    assert_eq!(increment.previous()[0].state(ip("11.8.0.0") >> 8), block_state(&increment, "11.8.0.0"));
}

fn block_state(increment: &Increment, address: &str) -> State {
    increment.judgement(Family::Send).own(ip(address) >> 8).map_or(State::None, |own| own.verdict.state)
}

#[test]
fn a_flood_that_begins_between_surveys_is_seen_in_what_it_touched() {
    let mut case = world();
    // one address short of a flood, and all named by one group that is otherwise believed
    for host in 0..2048u32 {
        case.spells.push((ip("11.20.0.0") + 31 * host, 1, TODAY - host % 5, None));
    }
    let said = [(ip("11.20.3.3"), 1, 0), (ip("11.20.4.4"), 1, 3), (ip("11.20.4.5"), 1, 2)];
    let (increment, full) = both(&case, &said);
    for block in [ip("11.20.3.0") >> 8, ip("11.20.4.0") >> 8] {
        let counts = |judgement: &Judgement| judgement.own(block).map(|own| own.block.counts);
        assert_eq!(counts(increment.judgement(Family::Send)), counts(&full.judgements[0]));
    }
    for (bits, ..) in said {
        let address = std::net::Ipv4Addr::from(bits).to_string();
        assert_eq!(listed_at(&increment, Emission::Exact, &address), None, "{address}");
        assert!(full.exact4.iter().all(|exact| exact.first != bits), "{address}");
    }
}

#[test]
fn prefixes_and_ipv6_are_listed_at_once() {
    let case = world();
    let base = Arc::new(survey(&case, case.evidence(), Default::default()));
    let mut increment = Increment::begin(base, 0);
    for subject in ["11.30.4.0/23", "11.0.0.0/8", "2001:db8:1:2::3", "2001:db8:7::/48", "2001:db8::/32"] {
        let report = Report { time: now(), source: "b", subject, category: "scan", weight: 1.0 };
        increment.report([report], now());
    }
    assert!(listed_at(&increment, Emission::Exact, "11.30.5.200").is_some());
    assert!(listed_at(&increment, Emission::Exact, "11.30.6.0").is_none());
    let listed = |region: &Region| revision(&increment, Emission::Exact, region, true).unwrap().listings;
    let of_48 = |first: &str| Region::Ip6(first.parse::<std::net::Ipv6Addr>().unwrap().into());
    let address = Extent::Ip6 { first: "2001:db8:1:2::3".parse::<std::net::Ipv6Addr>().unwrap().into(), length: 128 };
    assert_eq!(listed(&of_48("2001:db8:1::")).into_iter().map(|said| said.0).collect::<Vec<_>>(), [address]);
    assert_eq!(listed(&of_48("2001:db8:7::")).len(), 1);
    assert_eq!(increment.touched_after(0).count(), 4);
}

#[test]
fn a_domain_is_judged_as_by_a_full_judgement() {
    let said = [
        ("http://www.bad.example/a", "a", 3),
        ("http://login.bad.example/b", "b", 2),
        ("bad.example", "a", 40),
        ("http://tenant.github.io/x", "b", 1),
        ("http://192.0.2.7/y", "b", 1),
        ("co.uk", "b", 1),
    ];
    let mut case = world();
    case.routes.push((ip("192.0.2.0"), 24, 64499));
    for known in 0..=said.len() {
        let evidence = |said: &[(&str, &str, u32)]| {
            let mut collector = Collector::new(case.evidence().sources);
            for &(text, source, hours_ago) in said {
                let source = collector.sources.find_or_add(source).expect("a known source");
                let (begin, subject, family) = (when(hours_ago), Subject::Name(text), Family::Host);
                let (end, speech) = (Some(begin), Speech::Stream);
                collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech });
            }
            case.evidence().join(collector.build())
        };
        let base = Arc::new(survey(&case, evidence(&said[..known]), Default::default()));
        let full = survey(&case, evidence(&said), Default::default());
        let mut increment = Increment::begin(base, 0);
        for &(subject, source, hours_ago) in &said[known..] {
            let report = Report { time: when(hours_ago), source, subject, category: "phishing", weight: 1.0 };
            increment.report([report], now());
        }
        for domain in ["bad.example", "tenant.github.io"] {
            let hosts = full.hosts.get(domain).map(Vec::as_slice).unwrap_or_default();
            let moved = increment.names().of_domain(domain).map(<[_]>::to_vec);
            let moved = moved.unwrap_or_else(|| increment.survey().names.of_domain(domain, hosts));
            // whether two groups report names is known from the first two on
            if known >= 2 {
                assert_eq!(moved, full.names.of_domain(domain, hosts), "{domain} after {known}");
            }
        }
        let exact: Vec<Exact<u32>> = increment.exact4_at(ip("192.0.2.7")).collect();
        assert_eq!(
            exact,
            full.exact4.iter().filter(|exact| exact.first == ip("192.0.2.7")).copied().collect::<Vec<_>>()
        );
        assert_eq!(exact.len(), 1);
    }
}
