//! Why a block is judged as it is: the terms of its rate, which add up to the logarithm of its lift.
//!
//! Nothing is stored for this. The terms are made by the functions that judged, so that an explanation cannot differ
//! from its verdict. For a reader they are grouped: a block's own record, its neighbors, its network, and the shape of
//! its prefix; what every block has is the base.

use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::emit::{Level, Run, cap};
use super::guards::Class;
use super::judgement::Judgement;
use super::model::{Terms, shares};
use super::moved::Own;
use super::parameters::{MOST_UNTOUCHED, RETURNING_TERMS, TOUCHED_TERMS, UNTOUCHED_TERMS};
use super::states::{self, State, score};
use super::sums::unscaled;
use crate::evidence::Family;

/// Why an address stands where it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The address.
    pub subject: Ipv4Addr,
    /// Whose evidence.
    pub family: Family,
    /// The state, guards considered.
    pub state: State,
    /// Its score.
    pub score: u8,
    /// The node that has the state.
    pub level: Level,
    /// The node: a prefix, or `AS64496`.
    pub node: String,
    /// How many times the mean rate it is, for its space.
    pub lift: f64,
    /// Expected new bad addresses in its /24, or its /28's or remaining part of it, in the next 7 days.
    pub rate: f64,
    /// The announced prefix around it; none if nobody announces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Its ASN.
    pub asn: u32,
    /// The class of its guard.
    pub class: Class,
    /// What says so: category and source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<(String, String)>,
    /// The evidence of the node in the last 45 days.
    pub evidence: NodeEvidence,
    /// The rule that the state comes by, or what is missing.
    pub rule: String,
    /// When the state is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
    /// Rates from everything down to the block: what is known of each node, and what it comes to.
    pub chain: Vec<NodeRate>,
    /// The terms, grouped; their sums add up to ln(lift).
    pub groups: Vec<TermGroup>,
}

/// Evidence of the last 45 days.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeEvidence {
    /// Distinct addresses.
    pub reports: u32,
    /// Distinct days.
    pub days: u32,
    /// Distinct groups.
    pub groups: u32,
    /// The last arrival, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// A node above or at a block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeRate {
    /// `all`, `AS64496`, or a prefix.
    pub node: String,
    /// Decayed arrivals, half-life 120 days.
    pub arrivals: f64,
    /// Announced /24s.
    pub blocks: u32,
    /// Arrivals for each /24, drawn to the node above.
    pub rate: f64,
}

/// Terms of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TermGroup {
    /// The kind.
    pub name: &'static str,
    /// What the terms come to together.
    pub sum: f64,
    /// The terms.
    pub terms: Vec<Term>,
}

/// A term of the logarithm of the lift.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// Its name in the parameters.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    /// The value.
    pub value: f64,
    /// What it is multiplied by.
    pub coefficient: f64,
    /// The product.
    pub product: f64,
}

impl Judgement {
    /// Explains the verdict on an address.
    pub fn explain(&self, address: Ipv4Addr) -> Explanation {
        let bits = u32::from(address);
        let block = bits >> 8;
        let guard = self.guards.guard4(bits);
        let class = guard.map_or(Class::Normal, |guard| guard.class);
        let mut explanation = Explanation {
            subject: address,
            family: self.family,
            state: State::None,
            score: 0,
            level: Level::Block,
            node: format!("{}/24", Ipv4Addr::from(block << 8)),
            lift: 0.0,
            rate: 0.0,
            route: None,
            asn: 0,
            class,
            guard: guard.map(|guard| {
                let (category, source) = self.guards.origin(guard);
                (category.to_owned(), source.to_owned())
            }),
            evidence: NodeEvidence::default(),
            rule: "nobody announces the address, so it is not judged".to_owned(),
            leaves: None,
            chain: Vec::new(),
            groups: Vec::new(),
        };
        let Some(route) = self.routes.find4(bits, 24) else { return explanation };
        let announced = &self.routes.routes4()[route];
        explanation.route = Some(format!("{}/{}", Ipv4Addr::from(announced.first), announced.length));
        explanation.asn = announced.asn;
        if self.is_empty() {
            explanation.rule = "there is no evidence".to_owned();
            return explanation;
        }
        if !class.inherits() {
            explanation.rule = "guarded: no verdict of a block covers it".to_owned();
            return explanation;
        }
        let Some(run) = self.run_of(bits) else {
            explanation.rule = "guarded: the whole /24 does not count".to_owned();
            return explanation;
        };
        explanation.state = run.state;
        explanation.score = score(run.lift, run.state);
        explanation.level = run.level;
        explanation.node = node_name(&run);
        explanation.lift = run.lift;
        explanation.rate = run.rate;
        explanation.evidence = NodeEvidence {
            reports: run.counts.addresses,
            days: run.counts.days(),
            groups: run.counts.groups(),
            last: run.counts.last().map(|time| time.to_string()),
        };
        explanation.chain = self.chain(block, route);
        explanation.groups = self.term_groups(bits, route, run.node.1 == 32);
        (explanation.rule, explanation.leaves) = self.rule(&run, block);
        explanation
    }

    /// The run that an address is in; none if its /24 is not judged.
    fn run_of(&self, address: u32) -> Option<Run> {
        let mut found = None;
        self.each_run_of_block(address >> 8, true, |run| {
            if (run.first..=run.last).contains(&address) {
                found = Some(run);
            }
        });
        found
    }

    fn chain(&self, block: u32, route: usize) -> Vec<NodeRate> {
        let model = self.model(block, route);
        let index = self.nodes.asn_index(route);
        let (asn, root) = (self.asn_now(index), self.root_now());
        let asn_rates = model.asn_rates();
        let exposure = self.nodes.exposures[route];
        let prefix = self.prefix_now(route);
        let prefix_rate = model.prefix_rate(&asn_rates);
        let own = self.own(block).map_or(0, |own| own.block.decayed.d120);
        let announced = &self.routes.routes4()[route];
        let all = unscaled(root.sums.d120);
        vec![
            NodeRate {
                node: "all".to_owned(),
                arrivals: all,
                blocks: root.exposure,
                rate: all / f64::from(root.exposure.max(1)),
            },
            NodeRate {
                node: format!("AS{}", asn.asn),
                arrivals: unscaled(asn.sums.d120),
                blocks: asn.exposure,
                rate: asn_rates.d120,
            },
            NodeRate {
                node: format!("{}/{}", Ipv4Addr::from(announced.first), announced.length),
                arrivals: prefix.map_or(0.0, |prefix| unscaled(prefix.sums.d120)),
                blocks: exposure,
                rate: prefix_rate,
            },
            NodeRate {
                node: format!("{}/24", Ipv4Addr::from(block << 8)),
                arrivals: unscaled(own),
                blocks: 1,
                rate: model.block_rate(own, prefix_rate),
            },
        ]
    }

    fn term_groups(&self, address: u32, route: usize, is_address: bool) -> Vec<TermGroup> {
        let block = address >> 8;
        let (model, coefficients) = (self.model(block, route), &self.parameters.coefficients);
        let mut terms: Vec<(&'static str, Term)> = Vec::new();
        let mut push = |name: &'static str, value: f64, coefficient: f64| {
            let (group, what) = meaning(name);
            terms.push((group, Term { name, what, value, coefficient, product: value * coefficient }));
        };
        push("mean", self.mean.ln(), -1.0);
        let returning = self.returning_at(address).filter(|_| is_address);
        let returning = returning.and_then(|returning| self.returning_terms(returning));
        let own = self.own(block).filter(|_| returning.is_none());
        let values = match own {
            _ if returning.is_some() => None,
            Some(own) => Some(model.terms(own.block)),
            None => Some(Terms::Untouched(model.untouched_terms(None))),
        };
        if let Some(values) = returning {
            push("space32", 256f64.ln(), 1.0);
            push("intercept", 1.0, coefficients.returning[RETURNING_TERMS.len()]);
            for (at, name) in RETURNING_TERMS.into_iter().enumerate() {
                push(name, values[at], coefficients.returning[at]);
            }
        }
        match values {
            None => {}
            Some(Terms::Touched(values)) => {
                push("intercept", 1.0, coefficients.touched[TOUCHED_TERMS.len()]);
                for (at, name) in TOUCHED_TERMS.into_iter().enumerate() {
                    push(name, values[at], coefficients.touched[at]);
                }
            }
            Some(Terms::Untouched(values)) => {
                push("intercept", 1.0, coefficients.untouched[UNTOUCHED_TERMS.len()]);
                for (at, name) in UNTOUCHED_TERMS.into_iter().enumerate() {
                    push(name, values[at], coefficients.untouched[at]);
                }
                let over = super::model::dot(&coefficients.untouched, &values) - MOST_UNTOUCHED.ln();
                if over > 0.0 {
                    push("most", over, -1.0);
                }
            }
        }
        if let Some(Own { block, leaves, .. }) = own {
            let (shares, other) = shares(&coefficients.leaf, block, leaves);
            let share = leaves.iter().position(|leaf| leaf.leaf == address >> 4).map_or(other, |leaf| shares[leaf]);
            push("share28", (share * super::model::LEAVES_A_BLOCK).ln(), 1.0);
        }
        let group = |name: &'static str| {
            let terms: Vec<Term> = terms.iter().filter(|term| term.0 == name).map(|term| term.1.clone()).collect();
            TermGroup { name, sum: terms.iter().map(|term| term.product).sum(), terms }
        };
        GROUPS.into_iter().map(group).filter(|group| !group.terms.is_empty()).collect()
    }

    /// The rule that a run's state comes by, and when it is left.
    fn rule(&self, run: &Run, block: u32) -> (String, Option<String>) {
        let (thresholds, groups) = (&self.parameters.thresholds, self.groups_of(block));
        let threshold = |state| match state {
            State::Bad | State::Exact => thresholds.bad,
            State::Suspicious => thresholds.suspicious,
            State::Watch | State::None => thresholds.watch,
        };
        let uncapped = match self.own(block) {
            Some(own) => own.verdict.state,
            None => run.state,
        };
        let returning = self.returning_at(run.first).filter(|_| run.node.1 == 32 && run.state > uncapped);
        if let Some(returning) = returning {
            let (entered, record) = (thresholds.watch, &returning.record);
            let (times, absent) = (record.arrivals, record.absent);
            let rule = format!("watch: lift ≥ {entered}, came {times} times in a year, gone for {absent:.0} days");
            return (rule, Some(format!("when its lift falls below {entered}, or when it comes back")));
        }
        let capped = cap(uncapped, run.class, self.parameters.in_clouds) < uncapped;
        let entered = threshold(uncapped);
        let mut rule = match (uncapped, run.level) {
            (State::None, _) => format!("none: watch takes lift ≥ {} and 2 addresses", thresholds.watch),
            (state, Level::Prefix | Level::Asn) => {
                format!("{state}: the {} around it has lift ≥ {entered} and enough breadth", run.level.name())
            }
            (State::Watch, _) if run.counts.addresses == 0 => {
                format!("watch: lift ≥ {entered}, without a report of its own")
            }
            (State::Watch, _) => {
                let missing = self.missing(run, groups);
                format!("watch: lift ≥ {entered}, {} addresses{missing}", states::WATCH_ADDRESSES)
            }
            (state, _) => {
                let agree = if groups >= 2 {
                    format!("{} days, {} groups", states::DAYS, states::GROUPS)
                } else {
                    format!("{} days, as one group feeds the family", states::DAYS_OF_ONE_GROUP)
                };
                format!("{state}: lift ≥ {entered}, {} addresses, {agree}", states::ADDRESSES)
            }
        };
        if capped {
            rule.push_str(&format!("; {} is {} at most", run.class.name(), State::Watch));
        }
        let leaves = (run.state > State::None)
            .then(|| format!("when the lift of its {} falls below {}", run.level.whole(), thresholds.leave * entered));
        (rule, leaves)
    }

    /// What a watched block with enough lift for more lacks.
    fn missing(&self, run: &Run, groups: u32) -> String {
        let (counts, needed) = (&run.counts, self.parameters.thresholds.suspicious);
        if run.lift < needed {
            return String::new();
        }
        let mut lacks = Vec::new();
        if counts.addresses < states::ADDRESSES {
            lacks.push("addresses");
        }
        let days = if groups >= 2 { states::DAYS } else { states::DAYS_OF_ONE_GROUP };
        if counts.days() < days {
            lacks.push("days");
        }
        if groups >= 2 && counts.groups() < states::GROUPS {
            lacks.push("groups");
        }
        if lacks.is_empty() && groups >= 2 {
            lacks.push("others beside the loudest group");
        }
        if lacks.is_empty() { String::new() } else { format!("; for more it lacks {}", lacks.join(", ")) }
    }
}

impl Level {
    /// What the level is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "address",
            Self::Leaf => "/28",
            Self::Block => "/24",
            Self::Prefix => "announced prefix",
            Self::Asn => "ASN",
        }
    }

    /// The node whose lift decides the state of this level.
    fn whole(self) -> &'static str {
        if self == Self::Leaf { "/24" } else { self.name() }
    }
}

impl Class {
    /// What the class is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Research => "research",
            Self::ResolverMixed => "resolver-mixed",
            Self::Shared => "shared",
            Self::Pool => "pool",
            Self::Cloud => "cloud",
            Self::Normal => "normal",
        }
    }
}

/// The name of the node that has a run's verdict.
pub fn node_name(run: &Run) -> String {
    match run.level {
        Level::Asn => format!("AS{}", run.node.0),
        _ => format!("{}/{}", Ipv4Addr::from(run.node.0), run.node.1),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, family, state, score, node, lift, rate, .. } = self;
        writeln!(f, "{subject} {family}: {state}, score {score}, by {node}")?;
        if let Some(route) = &self.route {
            writeln!(f, "  announced as {route} by AS{}", self.asn)?;
        }
        if let Some((category, source)) = &self.guard {
            writeln!(f, "  guarded as {} ({category}, {source})", self.class.name())?;
        }
        writeln!(f, "  rule: {}", self.rule)?;
        if let Some(leaves) = &self.leaves {
            writeln!(f, "  leaves: {leaves}")?;
        }
        let NodeEvidence { reports, days, groups, last } = &self.evidence;
        if *reports > 0 {
            let last = last.as_deref().unwrap_or("-");
            writeln!(f, "  evidence: {reports} addresses on {days} days from {groups} groups, last {last}")?;
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        writeln!(f, "  expected: {rate:.4} new bad addresses in 7 days, {lift:.1} times the mean")?;
        for NodeRate { node, arrivals, blocks, rate } in &self.chain {
            writeln!(f, "  {node}: {arrivals:.2} arrivals in {blocks} /24s, shrunk to {rate:.5} for each")?;
        }
        for group in &self.groups {
            writeln!(f, "  {:+.3} {}", group.sum, group.name)?;
            for Term { name, what, value, coefficient, product } in &group.terms {
                writeln!(f, "    {product:+.3} = {coefficient:+.3} × {value:.3} {name}: {what}")?;
            }
        }
        let sum: f64 = self.groups.iter().map(|group| group.sum).sum();
        writeln!(f, "  {sum:+.3} = ln {lift:.1}")
    }
}

/// The kinds of terms, in the order in which they are told.
const GROUPS: [&str; 5] = ["own record", "neighbors", "network", "prefix shape", "base"];

/// The kind of a term, and what it measures.
fn meaning(name: &str) -> (&'static str, &'static str) {
    match name {
        "log24_120" => ("own record", "long-run rate of the /24, drawn to its prefix"),
        "trend" => ("own record", "last week against last month"),
        "laddr" => ("own record", "distinct addresses: takes back what old bursts add"),
        "newsh7" => ("own record", "share of last week's arrivals that are new"),
        "lwk" => ("own record", "weeks with an arrival"),
        "arrivals" => ("own record", "arrivals of the address in a year"),
        "returns" => ("own record", "those after an absence of 30 days or more"),
        "absent" => ("own record", "how long it has been gone"),
        "age" => ("own record", "how long ago it came first"),
        "others" => ("neighbors", "addresses of the /24 that may come back"),
        "rate24" => ("neighbors", "the rate of the /24"),
        "most" => ("base", "what is over the most that surroundings alone can promise"),
        "space32" => ("base", "a /24 has 256 addresses"),
        "share28" => ("own record", "the /28's share of its /24"),
        "b20_60" => ("neighbors", "long-run level of the /20 around"),
        "b20_14" => ("neighbors", "fresh arrivals in the /20 around"),
        "logP_14" => ("neighbors", "siblings in the announced prefix"),
        "b22_act" => ("neighbors", "/24s with history in the /22"),
        "b20_act" => ("neighbors", "/24s with history in the /20"),
        "logA_60" => ("network", "long-run rate of the ASN"),
        "logA_1" => ("network", "what the ASN did in the last day"),
        "s_actsh" => ("network", "share of the ASN's /24s with history"),
        "is24" => ("prefix shape", "announced as a /24 of its own"),
        "lpc" => ("prefix shape", "size of the announced prefix"),
        "plen" => ("prefix shape", "length of the announced prefix"),
        "p_ent" => ("prefix shape", "how evenly the prefix's evidence is spread"),
        "intercept" => ("base", "what every such block has"),
        _ => ("base", "the mean rate of an announced /24"),
    }
}
