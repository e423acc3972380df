//! What reports of names and URLs come to.

use proptest::prelude::*;

use super::*;
use crate::evidence::{SECONDS_A_DAY, Time};

/// 2026-07-10T12:00:00Z.
const NOW: Time = Time(1_783_684_800);

fn days_ago(days: u32) -> Time {
    Time(NOW.0 - days * SECONDS_A_DAY)
}

/// Everything that a case is made of.
struct Case {
    evidence: NameEvidence,
    suffixes: Suffixes,
    popularity: Popularity,
    safe: KnownSafe,
    observations: Observations,
}

impl Case {
    fn new() -> Self {
        Self {
            evidence: NameEvidence::until(NOW),
            suffixes: Suffixes::built_in(),
            popularity: Popularity::default(),
            safe: KnownSafe::default(),
            observations: Observations::until(NOW),
        }
    }

    /// Reports by group, all of a trusted source, from yesterday.
    fn of(reports: &[(&str, &str)]) -> Self {
        let mut case = Self::new();
        for (group, subject) in reports {
            case.report(subject, group, 0.6, days_ago(1));
        }
        case
    }

    fn report(&mut self, subject: &str, group: &str, trust: f64, time: Time) {
        let statement = Statement { group, trust, spoofable: false, time };
        self.evidence.add(subject, statement).unwrap_or_else(|error| panic!("{subject}: {error}"));
    }

    fn see(&mut self, host: &str, at: &str) {
        self.observations.add(host, at, days_ago(2), &self.suffixes).unwrap();
    }

    fn facts(&self) -> Facts<'_> {
        let Self { suffixes, popularity, safe, observations, .. } = self;
        Facts { suffixes, popularity, safe, observations }
    }

    fn judge(&self) -> NameJudgement {
        judge(&self.evidence, self.facts(), &NoAddressFacts)
    }

    /// What is listed: level and name.
    fn listed(&self) -> Vec<(Level, String)> {
        self.judge().listed().map(|verdict| (verdict.level, verdict.name.to_string())).collect()
    }

    fn names_at(&self, level: Level) -> Vec<String> {
        self.listed().into_iter().filter(|(listed, _)| *listed == level).map(|(_, name)| name).collect()
    }
}

#[test]
fn two_urls_by_two_groups_or_three_by_one_are_held_against_a_domain() {
    let two_of_two = Case::of(&[("a", "http://x.evil.example/1"), ("b", "http://evil.example/2"), ("c", "c.example")]);
    assert!(two_of_two.names_at(Level::Domain).contains(&"evil.example".to_owned()));
    let two_of_one = Case::of(&[("a", "http://x.evil.example/1"), ("a", "http://evil.example/2"), ("c", "c.example")]);
    assert_eq!(two_of_one.names_at(Level::Domain), [""; 0]);
    let three_of_one = Case::of(&[
        ("a", "http://evil.example/1"),
        ("a", "http://evil.example/2"),
        ("a", "http://evil.example/3"),
        ("c", "c.example"),
    ]);
    assert_eq!(three_of_one.names_at(Level::Domain), ["evil.example"]);
}

#[test]
fn a_trusted_source_is_taken_at_its_word_where_there_is_no_other() {
    let reports = [("a", "http://x.evil.example/1"), ("a", "http://evil.example/2")];
    assert_eq!(Case::of(&reports).names_at(Level::Domain), ["evil.example"]);
    let mut doubtful = Case::new();
    reports.iter().for_each(|(group, subject)| doubtful.report(subject, group, 0.3, days_ago(1)));
    assert_eq!(doubtful.names_at(Level::Domain), [""; 0]);
}

#[test]
fn the_same_url_however_written_is_one() {
    let case = Case::of(&[
        ("a", "http://EVIL.example:80/a/./b?q#x"),
        ("a", "https://evil.example/a/b?q"),
        ("a", "http://user:password@evil.example:8443/a//b?q"),
    ]);
    let judgement = case.judge();
    assert_eq!(judgement.of("evil.example").iter().map(|verdict| verdict.urls).max(), Some(1));
    assert_eq!(case.listed(), []);
}

#[test]
fn tenants_are_not_held_against_their_landlord() {
    for landlord in ["pages.dev", "github.io", "co.uk", "s3.amazonaws.com", "weebly.com", "duckdns.org"] {
        let mut case = Case::new();
        for tenant in 0..40 {
            for group in ["a", "b"] {
                case.report(&format!("http://t{tenant}.{landlord}/login"), group, 0.9, days_ago(1));
                case.report(&format!("http://{landlord}/t{tenant}/login"), group, 0.9, days_ago(1));
            }
        }
        let listed = case.listed();
        let is_hazard = |(level, name): &(Level, String)| *level == Level::Hazard && name == landlord;
        let others: Vec<_> = listed.iter().filter(|one| !is_hazard(one)).collect();
        assert!(others.iter().all(|(_, name)| name != landlord), "{landlord}: {others:?}");
        // and a registry's suffix has no hazard either, where nothing is known of the good names below it
        assert_eq!(listed.iter().any(is_hazard), landlord != "co.uk", "{landlord}: {listed:?}");
    }
}

#[test]
fn a_bucket_is_a_tenant_by_name_and_by_path() {
    let mut case = Case::new();
    for group in ["a", "b"] {
        case.report("https://bucket.s3.amazonaws.com/a.html", group, 0.6, days_ago(1));
        case.report("https://bucket.s3.amazonaws.com/b.html", group, 0.6, days_ago(1));
        for page in 0..5 {
            case.report(&format!("https://s3.amazonaws.com/one/{page}.html"), group, 0.6, days_ago(1));
        }
    }
    assert_eq!(case.listed(), [(Level::Domain, "bucket.s3.amazonaws.com".to_owned())]);
}

#[test]
fn an_international_name_is_one_in_either_form() {
    let case = Case::of(&[("a", "http://b\u{fc}cher.example/1"), ("b", "http://xn--bcher-kva.example/2")]);
    assert_eq!(case.names_at(Level::Domain), ["xn--bcher-kva.example"]);
}

#[test]
fn a_url_at_an_address_is_about_the_address() {
    let case =
        Case::of(&[("a", "http://203.0.113.9/x"), ("b", "http://3405803785:8080/y"), ("a", "http://[2001:db8::9]/")]);
    assert_eq!(case.evidence.hosts(), 0);
    let addresses: Vec<String> =
        case.evidence.addresses().map(|(address, group, _)| format!("{address} {group}")).collect();
    assert_eq!(addresses, ["203.0.113.9 a", "203.0.113.9 b", "2001:db8::9 a"]);
}

#[test]
fn subjects_that_are_none_are_told() {
    let mut evidence = NameEvidence::until(NOW);
    let statement = Statement { group: "a", trust: 0.6, spoofable: false, time: NOW };
    for subject in ["", "http://", "http://a.example:x/", "two words", "a..example", "203.0.113.9"] {
        assert!(evidence.add(subject, statement).is_err(), "{subject}");
    }
    assert_eq!(evidence.hosts(), 0);
}

#[test]
fn the_more_popular_a_domain_the_more_it_takes() {
    let mut names = vec![String::new(); 300_000];
    names.iter_mut().enumerate().for_each(|(index, name)| *name = format!("rank{}.example", index + 1));
    let popularity = Popularity::of(names.iter().map(String::as_str));
    for (domain, enough) in
        [("unranked.example", 2), ("rank200000.example", 5), ("rank50000.example", 20), ("rank9999.example", 1000)]
    {
        let urls = |count: u32| {
            let mut case = Case::new();
            for url in 0..count {
                case.report(&format!("http://{domain}/{url}"), if url % 2 == 0 { "a" } else { "b" }, 0.6, days_ago(1));
            }
            case
        };
        let (mut few, mut many) = (urls(enough - 1), urls(enough));
        // ranks last, as they are large
        few.popularity = Popularity::of(names.iter().map(String::as_str));
        assert_eq!(few.names_at(Level::Domain), [""; 0], "{domain}");
        many.popularity = Popularity::of(names.iter().map(String::as_str));
        let is_listed = many.names_at(Level::Domain) == [domain];
        assert_eq!(is_listed, popularity.rank(domain) != Some(9999), "{domain}");
    }
}

#[test]
fn whom_the_operator_vouches_for_is_not_listed() {
    let reports: Vec<(&str, String)> =
        (0..9).map(|n| (["a", "b"][n % 2], format!("http://www.list.example/{n}"))).collect();
    let mut case = Case::new();
    for (group, subject) in &reports {
        case.report(subject, group, 0.9, days_ago(1));
        case.report("www.list.example", group, 0.9, days_ago(1));
    }
    assert!(!case.listed().is_empty());
    case.safe = KnownSafe::of(["list.example"]);
    assert_eq!(case.listed(), []);
    let rules: Vec<String> = case
        .judge()
        .explain("www.list.example", &case.suffixes, &MovedNames::default())
        .chain
        .into_iter()
        .map(|step| step.rule)
        .collect();
    assert!(!rules.is_empty() && rules.iter().all(|rule| rule == "known safe: list.example"), "{rules:?}");
}

#[test]
fn a_safe_name_below_a_bad_one_is_exempt() {
    let mut case = Case::of(&[("a", "http://evil.example/1"), ("b", "http://x.evil.example/2")]);
    case.safe = KnownSafe::of(["good.evil.example", "other.example"]);
    let exempt = case.judge().exempt;
    assert_eq!(exempt, ["good.evil.example".into()]);
}

#[test]
fn a_forged_or_doubtful_report_needs_a_second_group() {
    let mut case = Case::new();
    let forged = Statement { group: "a", trust: 0.9, spoofable: true, time: days_ago(1) };
    for subject in ["victim.example", "http://victim.example/", "http://victim.example/1", "http://victim.example/2"] {
        case.evidence.add(subject, forged).unwrap();
    }
    assert_eq!(case.listed(), []);
    case.report("victim.example", "b", 0.3, days_ago(1));
    assert_eq!(case.names_at(Level::Exact), ["victim.example"]);
    assert_eq!(case.names_at(Level::Domain), [""; 0]);
}

#[test]
fn a_verdict_leaves_when_it_says() {
    let mut case = Case::of(&[("a", "http://evil.example/1"), ("b", "http://x.evil.example/2")]);
    let judgement = case.judge();
    let Some(&Outcome::Listed { until }) = judgement.listed().next().map(|verdict| &verdict.outcome) else {
        panic!("{judgement:?}")
    };
    let listed_at = |time: Time| {
        let mut later = NameEvidence::until(time);
        for (group, subject) in [("a", "http://evil.example/1"), ("b", "http://x.evil.example/2")] {
            later.add(subject, Statement { group, trust: 0.6, spoofable: false, time: days_ago(1) }).unwrap();
        }
        judge(&later, case.facts(), &NoAddressFacts).listed().count()
    };
    assert_eq!([listed_at(Time(until.0 - SECONDS_A_DAY)), listed_at(Time(until.0 + 3600))], [1, 0]);
    // what comes after the time of judgement is not read
    case.report("http://later.example/1", "a", 0.9, Time(NOW.0 + 1));
    assert_eq!(case.judge(), judgement);
}

#[test]
fn an_address_with_mostly_bad_names_is_a_bad_host() {
    let mut case = Case::new();
    for name in 0..4 {
        case.report(&format!("http://bad{name}.example/"), "a", 0.6, days_ago(1));
        case.see(&format!("www.bad{name}.example"), "203.0.113.9");
        case.see(&format!("bad{name}.example"), "198.51.100.1");
        case.see(&format!("bad{name}.example"), "ns.bad-hoster.example");
    }
    for name in 0..100 {
        case.see(&format!("good{name}.example"), "198.51.100.1");
    }
    let arrivals = host_arrivals(&case.evidence, case.facts(), &NoAddressFacts);
    let [arrival] = &arrivals[..] else { panic!("{arrivals:?}") };
    assert_eq!((arrival.address.to_string(), arrival.bad, arrival.domains), ("203.0.113.9".to_owned(), 4, 4));
    assert_eq!(arrival.time, days_ago(1));
    assert!((arrival.weight - 0.6).abs() < 0.02, "{}", arrival.weight);

    struct Shared;
    impl AddressFacts for Shared {
        fn is_shared(&self, _: std::net::IpAddr) -> bool {
            true
        }
        fn lift(&self, _: std::net::IpAddr) -> f64 {
            10.0
        }
    }
    assert_eq!(host_arrivals(&case.evidence, case.facts(), &Shared), []);
}

#[test]
fn bad_company_lifts_what_was_reported_and_nothing_else() {
    let mut case = Case::new();
    for name in 0..12 {
        case.report(&format!("http://bad{name}.example/"), "a", 0.6, days_ago(1));
        case.see(&format!("bad{name}.example"), "203.0.113.9");
    }
    for name in 0..1000 {
        case.see(&format!("good{name}.example"), "198.51.100.1");
    }
    case.report("http://doubted.example/a/deep/path", "a", 0.6, days_ago(1));
    case.report("http://alone.example/a/deep/path", "a", 0.6, days_ago(1));
    case.see("doubted.example", "203.0.113.9");
    case.see("unheard.example", "203.0.113.9");
    case.see("alone.example", "198.51.100.1");
    let judgement = case.judge();
    let listed: Vec<&str> = judgement.listed().map(|verdict| &*verdict.name).collect();
    assert!(listed.contains(&"doubted.example"), "{listed:?}");
    assert!(!listed.contains(&"alone.example") && !listed.contains(&"unheard.example"), "{listed:?}");
    let lift = judgement.of("doubted.example")[0].lift.clone().unwrap();
    assert_eq!((lift.factor, &*lift.by), (10.0, "203.0.113.9"));
}

#[test]
fn a_hazard_is_the_share_of_bad_tenants() {
    let mut case = Case::new();
    for tenant in 0..100 {
        case.report(&format!("http://bad{tenant}.pages.dev/"), "a", 0.9, NOW);
    }
    let hazard = |case: &Case| {
        let judgement = case.judge();
        judgement.of("pages.dev").iter().find(|verdict| verdict.level == Level::Hazard).map(|verdict| verdict.score())
    };
    // with nothing known of the good ones, no more than a warning
    assert_eq!(hazard(&case), Some(49));
    for tenant in 0..100 {
        case.see(&format!("good{tenant}.pages.dev"), "192.0.2.1");
    }
    assert_eq!(hazard(&case), Some(45));
    for tenant in 0..2000 {
        case.see(&format!("fine{tenant}.pages.dev"), "192.0.2.1");
    }
    assert_eq!(hazard(&case), Some(4));
    assert!(case.names_at(Level::Hazard).is_empty());
}

#[test]
fn what_is_explained_is_what_was_judged_by() {
    let case = Case::of(&[
        ("a", "http://www.evil.example/1"),
        ("b", "http://evil.example/2"),
        ("c", "http://evil.example/3"),
        ("a", "evil.example"),
    ]);
    let explanation = case.judge().explain("www.evil.example", &case.suffixes, &MovedNames::default());
    let steps: Vec<(&str, &str)> = explanation.chain.iter().map(|step| (step.level, &*step.node)).collect();
    assert_eq!(
        steps,
        [("host", "www.evil.example"), ("exact", "evil.example"), ("host", "evil.example"), ("domain", "evil.example")]
    );
    for step in &explanation.chain {
        let sum: f64 = step.terms.iter().map(|term| term.value).sum();
        assert!((sum + (1.0 - step.probability).ln()).abs() < 1e-9, "{step:?}");
        assert!((step.terms.iter().map(|term| term.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn texts_fit_a_character_string_and_are_printable() {
    let label = "a".repeat(63);
    let host = format!("{label}.{label}.{label}.example");
    let case = Case::of(&[("a", &format!("http://{host}/")), ("b", &format!("http://{host}/2"))]);
    for verdict in case.judge().listed() {
        let text = verdict.to_string();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert!(text.find(" node=").is_some_and(|at| at < 150), "{text}");
    }
}

const HOSTS: &[&str] =
    &["evil.example", "a.evil.example", "b.a.evil.example", "c.github.io", "d.c.github.io", "e.co.uk"];

/// One of few hosts, URLs, groups and times, so that they meet.
fn reports() -> impl Strategy<Value = Vec<(String, u8, u32)>> {
    let subject = (proptest::sample::select(HOSTS), 0..5_u8).prop_map(|(host, path): (&str, u8)| match path {
        0 => host.to_owned(),
        1 => format!("http://{host}/"),
        path => format!("http://{host}/{path}"),
    });
    proptest::collection::vec((subject, 0..3_u8, 0..100_u32), 0..30)
}

proptest! {
    #[test]
    fn the_order_of_reports_does_not_matter((sorted, shuffled) in reports().prop_flat_map(|all| {
        (Just(all.clone()), Just(all).prop_shuffle())
    })) {
        let judged = |reports: &[(String, u8, u32)]| {
            let mut case = Case::new();
            for (subject, group, days) in reports {
                case.report(subject, ["a", "b", "c"][usize::from(*group)], 0.5, days_ago(*days));
            }
            case.judge()
        };
        prop_assert_eq!(judged(&sorted), judged(&shuffled));
    }

    /// The rules once more, without any of the tables: count for each name.
    #[test]
    fn domains_agree_with_the_naive_model(reports in reports()) {
        let mut case = Case::new();
        for (subject, group, days) in &reports {
            case.report(subject, ["a", "b", "c"][usize::from(*group)], 0.5, days_ago(*days));
        }
        let judgement = case.judge();
        let current: Vec<_> = reports.iter().filter(|(_, _, days)| *days <= rules::COUNT_DAYS).collect();
        let groups = |of: &dyn Fn(&str) -> bool| {
            let mut groups: Vec<u8> = current.iter().filter(|(s, ..)| of(s)).map(|(_, group, _)| *group).collect();
            groups.sort_unstable();
            groups.dedup();
            groups
        };
        for domain in ["evil.example", "c.github.io", "e.co.uk"] {
            let is_in = |subject: &str| subject.contains(domain);
            let mut urls: Vec<String> = current
                .iter()
                .filter(|(subject, ..)| is_in(subject))
                .map(|(subject, ..)| if subject.starts_with("http") { subject.clone() } else { format!("http://{subject}/") })
                .collect();
            urls.sort_unstable();
            urls.dedup();
            let who = groups(&is_in);
            let needed = if who.len() >= 2 || groups(&|_| true).len() < 2 { 2 } else { 3 };
            let mut not_bad = 1.0;
            for group in &who {
                let last = current.iter().filter(|(s, g, _)| is_in(s) && g == group).map(|(.., days)| *days).min();
                not_bad *= 1.0 - 0.5 * 0.5_f64.powf(f64::from(last.unwrap()) / rules::HALF_LIFE_DAYS);
            }
            let expected = urls.len() >= needed && (100.0 * (1.0 - not_bad)).round() >= f64::from(LEAST_SCORE);
            let found = judgement.of(domain).iter().find(|verdict| verdict.level == Level::Domain);
            let is_decided = found.is_some_and(|verdict| {
                matches!(verdict.outcome, Outcome::Listed { .. } | Outcome::Covered)
            });
            prop_assert_eq!(is_decided, expected, "{} {:?} {:?}", domain, urls, found);
            prop_assert!(found.is_none_or(|verdict| (verdict.probability - (1.0 - not_bad)).abs() < 1e-9));
        }
    }
}
