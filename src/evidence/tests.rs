//! Evidence from text: what is taken, what is not, and that order does not matter.

use proptest::prelude::*;

use super::*;
use crate::feed::{Compression, Lines};

fn at(text: &str) -> Time {
    Written::parse(text.as_bytes()).expect("a time").end()
}

fn history(text: &str, until: &str) -> (Evidence, Problems) {
    let mut collector = Collector::default();
    let source = collector.sources.find_or_add("list").expect("room for a source");
    let lines = Lines::from_bytes(text.as_bytes(), Compression::Off).unwrap();
    let problems = history::read_lines(lines, source, at(until), &mut collector).unwrap();
    (collector.build(), problems)
}

fn reports(text: &str, until: &str) -> (Evidence, Problems) {
    let mut collector = Collector::default();
    let lines = Lines::from_bytes(text.as_bytes(), Compression::Off).unwrap();
    let problems = report::read_lines(lines, at(until), &mut collector).unwrap();
    (collector.build(), problems)
}

#[test]
fn a_history_is_read_up_to_a_time_and_its_removals_too() {
    let text = "#ip\tlisted_on\tremoved_on\n\
                192.0.2.1\t2026-06-01\t2026-06-10\n\
                192.0.2.2\t2026-06-01\t\n\
                192.0.2.3\t2026-06-20\t2026-06-25\n\
                192.0.2.4\t2026-06-21\t\n";
    let (evidence, problems) = history(text, "2026-06-20");
    assert_eq!((problems.taken, problems.later, problems.total), (3, 1, 0));
    let listed: Vec<bool> = evidence.ip4.iter().map(|spell| spell.is_listed(at("2026-06-20"))).collect();
    // that the third is taken off five days later is not known yet
    assert_eq!(listed, [false, true, true]);
    assert_eq!(evidence.ip4[0].end(at("2026-06-20")), at("2026-06-10"));
    assert_eq!(evidence.ip4[0].end(at("2026-06-05")), at("2026-06-05"));
}

#[test]
fn a_history_may_name_its_columns() {
    let text = "ip,category,note,first_seen,last_seen\n192.0.2.1,phishing,\"a, b\",2026-06-01,2026-06-10\n";
    let (evidence, problems) = history(text, "2026-06-20");
    assert_eq!(problems.total, 0);
    assert_eq!(evidence.ip4[0].family, Family::Host);
    assert_eq!(evidence.ip4[0].begin, at("2026-06-01"));
}

#[test]
fn a_wrong_line_costs_itself_and_says_why() {
    let text = "192.0.2.1\n192.0.2.1\tyesterday\t\nword\t2026-06-01\t\n192.0.2.9\t2026-06-03\t2026-06-01\n\
                192.0.2.2\t2026-06-01\t\n";
    let (evidence, problems) = history(text, "2026-06-20");
    let said: Vec<String> = problems.first.iter().map(|(line, error)| format!("{line}: {error}")).collect();
    assert_eq!(
        said,
        [
            "1: no column `listed_on`: write subject <TAB> listed_on <TAB> removed_on",
            "2: invalid time `yesterday`: write 2026-07-12, 2026-07-12T10:00:00Z or seconds since 1970",
            "3: `word` is no address, prefix, domain or URL",
            "4: removed_on 2026-06-01 is before listed_on 2026-06-03",
        ]
    );
    assert_eq!(evidence.ip4.len(), 1);
}

#[test]
fn reports_are_csv_or_json_lines() {
    let csv = "time,source,subject,category,weight\n\
               2026-06-01T10:00:00Z,trap,192.0.2.1,spam,\n\
               2026-06-02,trap,2001:db8::1,phishing,0.5\n\
               2026-06-03,trap,http://list.example/x,phishing,\n\
               2026-07-03,trap,192.0.2.1,spam,\n";
    let json = r#"{"time":"2026-06-01T10:00:00Z","source":"trap","subject":"192.0.2.1","category":"spam"}
{"time":"2026-06-02","source":"trap","subject":"2001:db8::1","category":"phishing","weight":0.5,"more":[1]}
{"time":"2026-06-03","source":"trap","subject":"http:\/\/list.example/x","category":"phishing"}
{"time":1783080000,"source":"trap","subject":"192.0.2.1","category":"spam"}
"#;
    for text in [csv, json] {
        let (evidence, problems) = reports(text, "2026-06-20");
        assert_eq!((problems.taken, problems.later, problems.total), (3, 1, 0), "{problems:?}");
        assert_eq!(evidence.ip4[0].family, Family::Send);
        assert_eq!((evidence.ip6[0].family, evidence.ip6[0].weight().round()), (Family::Host, 1.0));
        assert!((evidence.ip6[0].weight() - 0.5).abs() < 0.01);
        assert_eq!(&*evidence.names[0].subject, "http://list.example/x");
    }
}

#[test]
fn reports_without_a_header_are_told_what_to_write() {
    let (evidence, problems) = reports("2026-06-01,trap,192.0.2.1,spam\n", "2026-06-20");
    assert_eq!((evidence.ip4.len(), problems.total), (0, 1));
    assert!(problems.first[0].1.to_string().starts_with("no column `time`: write a header"));
    let (_, problems) = reports("time,subject\n2026-06-01,192.0.2.1\n", "2026-06-20");
    assert!(problems.first[0].1.to_string().starts_with("no column `source`"));
    for wrong in ["{\"time\":", "{}", "{\"time\":[],\"source\":\"a\",\"subject\":\"192.0.2.1\"}"] {
        assert_eq!(reports(wrong, "2026-06-20").1.total, 1, "{wrong}");
    }
}

#[test]
fn a_stream_arrives_anew_after_a_week_and_a_list_after_a_day() {
    let spells = |days: &[u32], speech: Speech| {
        let mut collector = Collector::default();
        let source = collector.sources.find_or_add("a").expect("room for a source");
        for &day in days {
            let begin = Time::end_of_day(day);
            let subject = Subject::Ip4 { bits: 1, length: 32 };
            let (family, end) = (Family::Send, Some(begin));
            collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech });
        }
        collector.build().ip4.iter().map(|spell| spell.begin.day()).collect::<Vec<_>>()
    };
    assert_eq!(spells(&[100, 106, 112, 119, 140], Speech::Stream), [100, 119, 140]);
    assert_eq!(spells(&[100, 101, 103], Speech::List), [100, 101, 103]);
}

proptest! {
    #[test]
    fn the_order_of_statements_does_not_matter(
        mut said in proptest::collection::vec((0u32..4, 100u32..140, 0u32..9, 0usize..2, any::<bool>()), 0..40),
    ) {
        let build = |said: &[(u32, u32, u32, usize, bool)]| {
            let mut collector = Collector::default();
            let sources = ["a", "b"].map(|name| collector.sources.find_or_add(name).expect("room for a source"));
            for &(bits, day, days, source, is_stream) in said {
                let begin = Time::end_of_day(day);
                let speech = if is_stream { Speech::Stream } else { Speech::List };
                let end = Some(Time::end_of_day(day + days));
                let subject = Subject::Ip4 { bits, length: 32 };
                let (source, family) = (sources[source], Family::Send);
                collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech });
            }
            collector.build()
        };
        let forwards = build(&said);
        said.reverse();
        prop_assert_eq!(forwards.ip4, build(&said).ip4);
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = [b"time,source,subject,category,weight\n", &bytes[..]].concat();
        let until = at("2026-06-20");
        let lines = Lines::from_bytes(&text, Compression::Off).unwrap();
        report::read_lines(lines, until, &mut Collector::default()).unwrap();
        let mut collector = Collector::default();
        let source = collector.sources.find_or_add("list").expect("room for a source");
        let lines = Lines::from_bytes(&text, Compression::Off).unwrap();
        history::read_lines(lines, source, until, &mut collector).unwrap();
    }
}
