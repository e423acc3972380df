//! What verdicts say for themselves: texts of TXT records, and reasons for people and programs.
//!
//! A text is one string of at most 255 printable bytes, `key=value` words; times in it are absolute, so that it changes
//! with news alone. What is long stands last. `$` is the subject.

use std::fmt::Write;
use std::net::IpAddr;

use serde_json::json;

use super::super::names::NameExplanation;
use super::super::units::Run6;
use super::super::{Bits, Class, Counts, Exact, Explanation, Increment, Level, Run, State, node_name};
use crate::dataset::never::{prefix4_text, prefix6_text};
use crate::dataset::{Asked, Reasons};
use crate::evidence::Family;

/// Of an address or prefix that was reported itself.
pub(super) fn exact<A: Bits>(exact: &Exact<A>) -> String {
    let Exact { family, groups, last, until, length, .. } = exact;
    let mut text = format!("S={} state=exact family={family} groups={groups}", exact.score());
    let _ = write!(text, " last={} until={}", last.to_hour(), until.to_date());
    // a prefix is the same text for all of its addresses, and an address is the subject
    let _ = if *length == A::WIDTH { write!(text, " node=$") } else { write!(text, " length={length} subject=$") };
    text
}

/// Of a block in a state: the same for all /28s of a /24, as a state is decided there.
pub(super) fn state(run: &Run, family: Family) -> String {
    let node = match run.level {
        Level::Leaf | Level::Block => prefix4_text(run.first & !0xff, 24),
        _ => node_name(run),
    };
    let level = if run.level == Level::Leaf { Level::Block } else { run.level };
    described(
        format!("state={} family={family} level={}", run.state, word(level)),
        &run.counts,
        run.class,
        run.asn,
        &node,
    )
}

/// As [`state`], of IPv6.
pub(super) fn state6(run: &Run6, family: Family) -> String {
    let text = format!("state={} family={family} level={}", run.state, word(run.level));
    described(text, &run.counts, run.class, run.asn, &prefix6_text(run.node.0, run.node.1))
}

/// Of a block with its score; the lift in two digits, as more of them are no news.
pub(super) fn score(run: &Run, family: Family) -> String {
    let text = format!(
        "S={} lift={} state={} family={family} level={}",
        run.score(),
        two_digits(run.lift),
        run.state,
        word(run.level)
    );
    described(text, &run.counts, run.class, run.asn, &node_name(run))
}

/// As [`score`], of IPv6, which has no lift.
pub(super) fn score6(run: &Run6, family: Family) -> String {
    let text = format!("S={} state={} family={family} level={}", run.score, run.state, word(run.level));
    described(text, &run.counts, run.class, run.asn, &prefix6_text(run.node.0, run.node.1))
}

fn described(mut text: String, counts: &Counts, class: Class, asn: u32, node: &str) -> String {
    let _ = write!(text, " n={} days={} groups={}", counts.addresses, counts.days(), counts.groups());
    if let Some(last) = counts.last() {
        let _ = write!(text, " last={}", last.to_hour());
    }
    if class != Class::Normal {
        let _ = write!(text, " class={}", class.name());
    }
    if asn != 0 && !node.starts_with("AS") {
        let _ = write!(text, " asn={asn}");
    }
    let _ = write!(text, " node={node}");
    text
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Exact => "exact",
        Level::Leaf => "leaf",
        Level::Block => "block",
        Level::Prefix => "prefix",
        Level::Asn => "asn",
    }
}

fn two_digits(lift: f64) -> f64 {
    let unit = 10f64.powf(lift.max(1.0).log10().floor() - 1.0);
    (lift / unit).round() * unit
}

/// Why an address or name is where it is, whoever said something around it.
pub(super) fn reasons(increment: &Increment, family: Option<Family>, subject: &Asked) -> Option<Reasons> {
    let address = match subject {
        Asked::Name(name) => return Some(name_reasons(increment, name)),
        Asked::Address(address) => address.to_canonical(),
    };
    let told = exact_at(increment, address);
    let families = Family::ALL.into_iter().filter(|one| family.is_none_or(|wanted| wanted == *one));
    match address {
        IpAddr::V4(address) => {
            let mut all: Vec<Explanation> =
                families.map(|family| increment.judgement(family).explain(address)).collect();
            // a family that has no evidence has no terms either, and nothing to say beside one that has
            all.sort_by(|a, b| (b.state, b.lift).partial_cmp(&(a.state, a.lift)).unwrap_or(std::cmp::Ordering::Equal));
            if all.iter().any(|explanation| !explanation.groups.is_empty()) {
                all.retain(|explanation| !explanation.groups.is_empty());
            } else {
                all.truncate(1);
            }
            let node = all.first().map(|explanation| explanation.node.clone()).unwrap_or_default();
            let mut text = lines(&told);
            for explanation in &all {
                // all terms where they come to something, or where there is something to come to
                let speaks = explanation.state > State::None || explanation.evidence.reports > 0;
                let most = if speaks { usize::MAX } else { SHORT };
                explanation.to_string().lines().take(most).for_each(|line| text.extend([line, "\n"]));
            }
            Some(Reasons { node, text, json: json!({ "exact": told, "families": all }) })
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            let runs = families.filter_map(|family| {
                let run = increment.survey().runs6[family.index()]
                    .iter()
                    .find(|run| (run.first..=run.last).contains(&bits))?;
                Some((prefix6_text(run.node.0, run.node.1), state6(run, family)))
            });
            let (nodes, texts): (Vec<String>, Vec<String>) = runs.unzip();
            let text = [lines(&told), lines(&texts)].concat();
            let text = if text.is_empty() { "nothing was reported at or around it\n".to_owned() } else { text };
            let node = nodes.into_iter().next().unwrap_or_else(|| address.to_string());
            Some(Reasons { node, text, json: json!({ "exact": told, "blocks": texts }) })
        }
    }
}

/// What was said of an address itself, or of a prefix around it.
fn exact_at(increment: &Increment, address: IpAddr) -> Vec<String> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let told = |exact: Exact<u32>| said(&exact, &prefix4_text(exact.first, exact.length));
            increment.exact4_at(address.into()).map(told).collect()
        }
        IpAddr::V6(address) => {
            let told = |exact: Exact<u128>| said(&exact, &prefix6_text(exact.first, exact.length));
            increment.exact6_at(address.into()).map(told).collect()
        }
    }
}

fn said<A>(exact: &Exact<A>, node: &str) -> String {
    let Exact { family, probability, groups, last, until, .. } = exact;
    format!(
        "{node} {family}: exact, P = {probability:.2} by {groups} groups, last {last}, leaves {until} if nothing is added"
    )
}

fn name_reasons(increment: &Increment, name: &str) -> Reasons {
    let survey = increment.survey();
    let explanation: NameExplanation = survey.names.explain(name, &survey.name_facts.suffixes, increment.names());
    let node =
        explanation.chain.iter().find(|step| step.listed).map_or_else(|| name.to_owned(), |step| step.node.clone());
    Reasons { node, text: explanation.to_string(), json: json!({ "name": explanation }) }
}

fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text}\n")).collect()
}

/// The lines of an explanation that say what it comes to: state, announcement, rule.
const SHORT: usize = 3;
