use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::answer::{Ground, Outcome, Summary};
use crate::server::Tallies;

fn reply(qtype: u16, rcode: u16) -> Outcome {
    let ground = if rcode == 0 { Ground::Listing } else { Ground::Other };
    let summary = Summary { rcode, answers: 1, ground, qtype, ..Summary::default() };
    Outcome::Reply { length: 90, summary }
}

#[test]
fn traffic_is_told_by_zone_transport_type_and_result() {
    let mut tallies = Tallies::default();
    let (udp, tcp) = (tallies.open(Carrier::Udp), tallies.open(Carrier::Tcp));
    udp.count(None, reply(1, 0), 40);
    udp.count(None, reply(1, 0), 41);
    udp.count(None, reply(99, 3), 40);
    // of a zone that has left
    udp.count(Some(5), reply(1, 0), 40);
    tcp.count(None, reply(16, 5), 40);
    udp.time(3, Duration::from_micros(7));
    udp.time(1, Duration::from_secs(2));
    let mut exposition = Exposition::default();
    exposition.traffic(&tallies.read(), &Snapshot::default());
    let text = exposition.finish();
    for line in [
        "# TYPE infamy_queries_total counter",
        "infamy_queries_total{zone=\"(none)\",transport=\"udp\",qtype=\"A\",result=\"listed\"} 2",
        "infamy_queries_total{zone=\"(none)\",transport=\"udp\",qtype=\"other\",result=\"unlisted\"} 1",
        "infamy_queries_total{zone=\"(none)\",transport=\"tcp\",qtype=\"TXT\",result=\"refused\"} 1",
        "infamy_received_bytes_total{zone=\"(none)\",transport=\"udp\"} 121",
        "infamy_sent_bytes_total{zone=\"(none)\",transport=\"udp\"} 270",
        "# TYPE infamy_query_duration_seconds histogram",
        "infamy_query_duration_seconds_bucket{transport=\"udp\",le=\"0.000005\"} 0",
        "infamy_query_duration_seconds_bucket{transport=\"udp\",le=\"0.00001\"} 3",
        "infamy_query_duration_seconds_bucket{transport=\"udp\",le=\"0.1\"} 3",
        "infamy_query_duration_seconds_bucket{transport=\"udp\",le=\"+Inf\"} 4",
        "infamy_query_duration_seconds_sum{transport=\"udp\"} 2.000021",
        "infamy_query_duration_seconds_count{transport=\"udp\"} 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("infamy_queries_total")).count(), 3);
}

#[test]
fn no_label_leaves_its_quotes() {
    let mut exposition = Exposition::default();
    exposition.family(&family::ZONE_SERIAL).put(&["a\"} 1\ninfamy_panics_total 9\\"], 1);
    let text = exposition.finish();
    assert_eq!(text.lines().last(), Some("infamy_zone_serial{zone=\"a\\\"} 1\\ninfamy_panics_total 9\\\\\"} 1"));
}

/// The words of a text that look like our metrics, without the suffixes of histograms.
fn names(text: &str) -> BTreeSet<&str> {
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let words = text.split(|char| !is_of_name(char));
    let ours = words.filter(|word| word.starts_with("infamy_") || word.starts_with("process_"));
    ours.map(|word| {
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
        base.filter(|&base| family::ALL.iter().any(|family| family.name == base)).unwrap_or(word)
    })
    .collect()
}

fn known() -> BTreeSet<&'static str> {
    family::ALL.iter().map(|family| family.name).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../packaging/grafana/infamy.json")).unwrap();
    let mut asked = BTreeSet::new();
    let mut panels = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            let names = names(expr);
            assert!(!names.is_empty(), "{expr}");
            asked.extend(names);
            panels += 1;
        }
    }
    assert!(panels >= 8);
    let unknown: Vec<_> = asked.difference(&known()).copied().collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_documentation_has_every_metric_and_no_other() {
    let documentation = include_str!("../../docs/operations.md");
    let (_, chapter) = documentation.split_once("\n## Watching it\n").unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    assert_eq!(names(chapter), known());
    for family in family::ALL {
        let row = chapter.lines().find(|line| line.starts_with(&format!("| `{}`", family.name)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", family.name));
        let labels: Vec<&str> = row.split('|').nth(2).unwrap().split(',').map(str::trim).collect();
        let written: Vec<&str> = labels.into_iter().filter(|label| !label.is_empty()).collect();
        assert_eq!(written, family.labels, "{}", family.name);
    }
}

#[test]
fn names_are_those_that_prometheus_expects() {
    for family in family::ALL {
        let is_counter = family.kind == Kind::Counter;
        assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
        assert!(!family.help.contains('\n') && family.help.ends_with('.'), "{}", family.name);
    }
}
