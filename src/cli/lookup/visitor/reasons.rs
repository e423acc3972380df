//! Reasons of verdicts, as the emitter has them for programs, for visitors.
//!
//! Invariant: what is not known here is left out, so that nothing new of the emitter's gets onto the page by itself.

use serde::Deserialize;

use super::super::Verdict;
use super::word;
use crate::http::page::{self, Evidence, Node, TermSum};

/// A verdict, and what announces its subject.
pub(super) struct Read {
    pub(super) verdict: page::Verdict,
    pub(super) route: Option<String>,
    pub(super) asn: u32,
}

/// Reasons of verdicts as the emitter has them for programs; what is not known here is left out.
#[derive(Deserialize)]
struct Reasons {
    #[serde(default)]
    families: Vec<OfFamily>,
    #[serde(default)]
    blocks: Vec<String>,
    name: Option<OfName>,
}

#[derive(Deserialize)]
struct OfFamily {
    family: String,
    state: String,
    score: u8,
    node: String,
    lift: Option<f64>,
    route: Option<String>,
    asn: u32,
    rule: String,
    leaves: Option<String>,
    evidence: Evidence,
    chain: Vec<Rate>,
    groups: Vec<TermSum>,
}

#[derive(Deserialize)]
struct Rate {
    node: String,
    arrivals: f64,
    blocks: u32,
    rate: f64,
}

#[derive(Deserialize)]
struct OfName {
    registrable: Option<String>,
    suffix: String,
    chain: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    node: String,
    level: String,
    listed: bool,
    score: u8,
    urls: u32,
    hosts: u32,
    rule: String,
    until: Option<String>,
}

/// What verdicts come to, each once, whatever datasets say it.
pub(super) fn verdicts(found: Vec<Verdict>) -> Vec<Read> {
    let mut all: Vec<Read> = Vec::new();
    for verdict in found {
        let Ok(reasons) = serde_json::from_value::<Reasons>(verdict.detail) else { continue };
        let families = reasons.families.into_iter().map(of_family);
        let blocks = reasons.blocks.iter().map(|text| of_block(text));
        for read in families.chain(blocks).chain(reasons.name.into_iter().map(of_name)) {
            if !all.iter().any(|known| known.verdict.about == read.verdict.about) {
                all.push(read);
            }
        }
    }
    all
}

fn of_family(family: OfFamily) -> Read {
    let mean = family.chain.first().map_or(0.0, |all| all.rate);
    let node = |rate: &Rate| Node {
        what: match &*rate.node {
            node if family.route.as_deref() == Some(node) => "announced prefix",
            node if node.starts_with("AS") => "its network",
            "all" => "all that is announced",
            _ => "its /24",
        }
        .to_owned(),
        node: rate.node.clone(),
        known: match rate.blocks {
            1 => format!("{:.1} reported addresses", rate.arrivals),
            blocks => format!("{:.1} reported addresses in {blocks} /24s", rate.arrivals),
        },
        times: (mean > 0.0).then(|| rate.rate / mean),
    };
    let mut chain: Vec<Node> = family.chain.iter().rev().map(node).collect();
    // an announced /24 is one block
    chain.dedup_by(|wider, narrower| wider.node == narrower.node);
    let verdict = page::Verdict {
        about: family.family,
        state: family.state,
        score: Some(family.score),
        node: family.node,
        lift: family.lift,
        rule: family.rule,
        leaves: family.leaves,
        evidence: Some(family.evidence),
        chain,
        terms: family.groups,
        told: Vec::new(),
    };
    Read { verdict, route: family.route, asn: family.asn }
}

/// An IPv6 block by its text.
fn of_block(text: &str) -> Read {
    let said = |key| word(text, key).unwrap_or_default().to_owned();
    let number = |key| word(text, key).and_then(|value| value.parse().ok()).unwrap_or(0);
    let last = word(text, "last").map(str::to_owned);
    let evidence = Evidence { reports: number("n"), days: number("days"), groups: number("groups"), last };
    let (about, state, node) = (said("family"), said("state"), said("node"));
    Read {
        verdict: page::Verdict { about, state, node, evidence: Some(evidence), ..page::Verdict::default() },
        route: None,
        asn: number("asn"),
    }
}

fn of_name(name: OfName) -> Read {
    let node = |step: Step| {
        let listed = if step.listed { "listed" } else { "not listed" };
        let seen = match &*step.level {
            "hazard" => format!("{} bad of {} names seen", step.urls, step.hosts),
            _ => format!("reports of {} URLs or hosts", step.urls),
        };
        let until =
            step.until.map(|until| format!(", until {}", until.get(..10).unwrap_or(&until))).unwrap_or_default();
        let what = match &*step.level {
            "exact" => "the name",
            "hazard" => "suffix",
            level => level,
        };
        Node {
            node: step.node,
            what: what.to_owned(),
            known: format!("{listed}, score {}: {}; {seen}{until}", step.score, step.rule),
            times: None,
        }
    };
    let told = match &name.registrable {
        Some(domain) => format!("It is in the domain {domain}, below the suffix {}.", name.suffix),
        None => format!("It is itself a suffix, below which others have names: {}.", name.suffix),
    };
    let nothing = name.chain.is_empty().then(|| "Nothing was reported at it or around it.".to_owned());
    let verdict = page::Verdict {
        about: "name".to_owned(),
        chain: name.chain.into_iter().map(node).collect(),
        told: [told].into_iter().chain(nothing).collect(),
        ..page::Verdict::default()
    };
    Read { verdict, route: None, asn: 0 }
}
