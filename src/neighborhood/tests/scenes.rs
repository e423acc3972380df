//! Scenes from the field: what an operator would be angry about.

use super::*;

/// A quiet Internet: much announced space of many networks with an address here and there, from both groups.
pub(super) fn world() -> Case {
    let mut case = Case::default();
    for network in 0..400u32 {
        case.routes.push((ip("11.0.0.0") + (network << 16), 16, 64500 + network));
        let first = ip("11.0.0.0") + (network << 16);
        for host in 0..4 {
            let bits = first | (37 * host % 256) << 8 | (11 + network % 200);
            case.spells.push((bits, (host % 2) as usize, TODAY - (network + 13 * host) % 40, None));
        }
    }
    case
}

/// The worst state in a prefix.
fn worst(judgement: &Judgement, first: &str, length: u8) -> State {
    let (first, last) = (ip(first), ip(first) | (u32::MAX.checked_shr(length.into()).unwrap_or(0)));
    let runs = judgement.runs(true);
    let inside = runs.iter().filter(|run| run.first <= last && run.last >= first);
    inside.map(|run| run.state).max().unwrap_or_default()
}

#[test]
fn a_block_that_two_groups_report_day_after_day_is_bad_and_so_is_what_nobody_reported_in_it() {
    let mut case = world();
    for host in 0..40u32 {
        for source in [0, 1] {
            case.spells.push((ip("11.7.113.0") + 3 * host, source, TODAY - host % 9, None));
        }
    }
    let judgement = case.judge();
    assert_eq!(worst(&judgement, "11.7.113.0", 24), State::Bad);
    let explanation = judgement.explain("11.7.113.200".parse().unwrap());
    assert_eq!((explanation.state, explanation.level), (State::Bad, Level::Block));
    assert_eq!(explanation.evidence.reports, 40);
    assert!(explanation.rule.starts_with("bad: lift ≥ 750, 3 addresses, 2 days, 2 groups"), "{}", explanation.rule);
    let text = explanation.to_string();
    assert!(text.contains("announced as 11.7.0.0/16 by AS64507"), "{text}");
    assert!(worst(&judgement, "11.8.0.0", 16) < State::Suspicious);
}

#[test]
fn one_forging_source_gets_a_victims_network_on_watch_and_no_further() {
    let mut case = world();
    for forged in 0..10_000u32 {
        // over all of the victim's /16, spread over a week
        case.spells.push((ip("11.9.0.0") + forged * 6, 0, TODAY - forged % 7, None));
    }
    // the other group has named some of it too, in one /24 more than a few
    for host in 0..20u32 {
        case.spells.push((ip("11.9.77.0") + 7 * host, 1, TODAY - host, None));
    }
    let judgement = case.judge();
    let runs = judgement.runs(true);
    let victim = runs.iter().filter(|run| run.first >> 16 == ip("11.9.0.0") >> 16);
    let (mut space, mut most) = (0, 0);
    for run in victim {
        assert!(run.state <= State::Watch, "{run:?}");
        assert!(run.score() <= 49, "{run:?}");
        (space, most) = (space + run.size(), most.max(run.score()));
    }
    assert!(space > 0 && most > 24, "the flood was not noticed at all");
    // elsewhere the source is heard as ever
    case.spells.retain(|spell| spell.0 >> 16 != ip("11.9.0.0") >> 16 || spell.0 >> 8 == ip("11.9.77.0") >> 8);
    assert_eq!(worst(&case.judge(), "11.9.77.0", 24), State::Bad);
}

#[test]
fn two_lists_that_copy_each_other_are_one_witness() {
    let mut case = world();
    for host in 0..40u32 {
        for source in [0, 2] {
            case.spells.push((ip("11.7.113.0") + 3 * host, source, TODAY - host % 9, None));
        }
    }
    assert_eq!(worst(&case.judge(), "11.7.113.0", 24), State::Watch);
}

#[test]
fn mail_farms_and_crawlers_are_not_judged_by_their_neighbors() {
    let mut case = world();
    for host in 0..60u32 {
        for source in [0, 1] {
            case.spells.push((ip("11.7.113.0") + 4 * host + 3, source, TODAY - host % 9, None));
        }
    }
    case.guards =
        "11.7.113.0/26\tmail\tuol\n11.7.113.64/26\tcrawler\tgooglebot\n11.7.113.128/26\tvpn-mixed\tx\n".to_owned();
    let judgement = case.judge();
    for (address, state) in [
        ("11.7.113.1", State::None),
        ("11.7.113.70", State::None),
        ("11.7.113.130", State::Watch),
        ("11.7.113.200", State::Bad),
    ] {
        let explanation = judgement.explain(address.parse().unwrap());
        assert_eq!(explanation.state, state, "{address}: {explanation}");
    }
    let guarded = judgement.explain("11.7.113.1".parse().unwrap());
    assert_eq!(guarded.guard, Some(("mail".to_owned(), "uol".to_owned())));
    assert!(judgement.explain("11.7.113.130".parse().unwrap()).rule.ends_with("pool is watch at most"));
}

#[test]
fn reports_of_a_research_scanner_count_for_nobody() {
    let mut case = world();
    for host in 0..200u32 {
        for source in [0, 1] {
            case.spells.push((ip("11.7.112.0") + 5 * host, source, TODAY - host % 30, None));
        }
    }
    case.guards = "11.7.112.0/22\tresearch-scanner\tx\n".to_owned();
    assert_eq!(worst(&case.judge(), "11.7.0.0", 16), State::None);
}

#[test]
fn a_state_is_left_later_than_it_is_entered() {
    let case = {
        let mut case = world();
        for host in 0..3u32 {
            for source in [0, 1] {
                case.spells.push((ip("11.7.113.0") + 3 * host, source, TODAY - 5 - 9 * host, None));
            }
        }
        case
    };
    let block = ip("11.7.113.0") >> 8;
    let lift = {
        let judgement = case.judge();
        let found = judgement.touched().find(|found| found.block == block).map(|found| found.rate);
        found.expect("the block has history") / judgement.mean_rate()
    };
    let state = |bad: f64, before: State| {
        let thresholds = Thresholds { watch: 0.1, suspicious: 0.2, bad, leave: 0.6 };
        let parameters = Parameters { thresholds, ..Parameters::default() };
        let previous = Arc::new(Previous::of(vec![(block, block, before)]));
        let at = Time::end_of_day(TODAY);
        let judgement = Judgement::judge(
            &case.evidence(),
            Family::Send,
            &case.routes(),
            &case.guards(),
            &parameters,
            at,
            &previous,
        );
        judgement.touched().find(|found| found.block == block).map(|found| found.state)
    };
    assert_eq!(state(0.9 * lift, State::None), Some(State::Bad));
    assert_eq!(state(1.1 * lift, State::None), Some(State::Suspicious));
    assert_eq!(state(1.1 * lift, State::Bad), Some(State::Bad));
    assert_eq!(state(1.8 * lift, State::Bad), Some(State::Suspicious));
}

#[test]
fn a_prefix_with_several_origins_is_judged_once_and_a_withdrawn_one_no_more() {
    let mut case = world();
    for host in 0..40u32 {
        for source in [0, 1] {
            case.spells.push((ip("13.7.113.0") + 3 * host, source, TODAY - host % 9, None));
        }
    }
    assert_eq!(worst(&case.judge(), "13.7.113.0", 24), State::None);
    case.routes.extend([(ip("13.7.112.0"), 22, 64496), (ip("13.7.112.0"), 22, 64497)]);
    let judgement = case.judge();
    assert_eq!(worst(&judgement, "13.7.113.0", 24), State::Bad);
    assert_eq!(judgement.explain("13.7.113.9".parse().unwrap()).asn, 64496);
}

#[test]
fn without_evidence_there_is_no_judgement() {
    let case = Case { routes: vec![(ip("192.0.2.0"), 24, 64496)], ..Case::default() };
    let judgement = case.judge();
    assert!(judgement.is_empty() && judgement.runs(true).is_empty());
    assert_eq!(judgement.explain("192.0.2.1".parse().unwrap()).rule, "there is no evidence");
}

#[test]
fn an_ipv6_block_is_on_watch_by_units_and_no_further() {
    let mut collector = Collector::default();
    let ids = sources().map(|source| collector.sources.add(source).expect("room for a source"));
    let base = 0x2001_0db8_0001_0000_u128 << 64;
    for unit in 0..5u128 {
        for source in [0, 1] {
            collector.add(Statement {
                source: ids[source],
                family: Family::Send,
                subject: Subject::Ip6 { bits: base | unit << 64 | 7, length: 128 },
                begin: Time::end_of_day(TODAY - unit as u32),
                end: None,
                weight: 1.0,
                speech: Speech::List,
            });
        }
    }
    let case = Case { guards: "2001:db8:1:3::/64\tmail\tx\n".to_owned(), ..Case::default() };
    let evidence = collector.build();
    let runs = judge_units(&evidence, Family::Send, &case.routes(), &case.guards(), Time::end_of_day(TODAY));
    let at = |unit: u128| {
        let address = base | unit << 64 | 99;
        runs.iter().find(|run| (run.first..=run.last).contains(&address)).map(|run| (run.level, run.state))
    };
    assert_eq!(at(0), Some((Level::Leaf, State::Watch)));
    // never reported, but in a /56 where most units are bad
    assert_eq!(at(9), Some((Level::Block, State::Watch)));
    assert_eq!((at(3), at(256)), (None, None));
    assert!(runs.iter().all(|run| (1..=49).contains(&run.score)), "{runs:?}");
    assert!(runs.windows(2).all(|pair| pair[0].last < pair[1].first));
}
