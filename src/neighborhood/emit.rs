//! A judgement painted onto addresses: disjoint runs, each with the verdict of the most specific node that has evidence
//! of its own.
//!
//! From below: a /28 with history, else the /24 with history around it, else the state of the announced prefix or of the
//! ASN, else what is to be expected of the /24. A /28 inherits its /24's state and has its own part of the rate. Guards
//! cut holes, or cap the state of what they cover.
//!
//! Invariant: runs are ascending and disjoint; their rates add up to those of the /24s less the holes. Runs are not
//! merged here; exports do that.

use serde::Serialize;

use super::guards::Class;
use super::judgement::{Judgement, Piece};
use super::model::shares;
use super::moved::Own;
use super::parameters::InClouds;
use super::returning::Returning;
use super::states::{State, score};
use super::{Bits, Counts};

/// Addresses with one verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// The first address.
    pub first: u32,
    /// The last address.
    pub last: u32,
    /// The state, guards considered.
    pub state: State,
    /// The node that says so.
    pub level: Level,
    /// The node's own prefix, 32 bits and length; of an ASN, its number and 0.
    pub node: (u32, u8),
    /// The guard's class.
    pub class: Class,
    /// Expected new bad addresses in the run in the next 7 days.
    pub rate: f64,
    /// How many times the mean that is for the run's space.
    pub lift: f64,
    /// The evidence that the state has: of the /24, or of the prefix or ASN whose state it is.
    pub counts: Counts,
    /// Which ASN announces the addresses.
    pub asn: u32,
}

impl Run {
    /// `25·log10(lift)`, as far as the state allows.
    pub fn score(&self) -> u8 {
        score(self.lift, self.state)
    }

    /// How many addresses the run has.
    pub fn size(&self) -> u64 {
        u64::from(self.last - self.first) + 1
    }
}

/// Which node has the verdict of a run; the numbers are those of the `score` zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The address itself.
    Exact = 1,
    /// A /28, or an IPv6 /64.
    Leaf = 2,
    /// A /24, or an IPv6 /56 or /48.
    Block = 3,
    /// An announced prefix.
    Prefix = 4,
    /// An ASN.
    Asn = 5,
}

impl Judgement {
    /// Hands on all runs in a state, ascending; with `all`, also those without one whose rate is above the mean.
    pub fn each_run(&self, all: bool, mut take: impl FnMut(Run)) {
        if self.is_empty() {
            return;
        }
        let least_lift = if all { Some(1.0) } else { None };
        let mut painter =
            Painter { judgement: self, least_lift, guard: 0, returning: &self.returning, take: &mut take };
        let mut next = 0;
        self.nodes.each_run(&self.routes, |first, last, route| {
            self.each_piece(first, last, &mut next, |first, last, piece| match piece {
                Piece::Touched(index) => painter.touched(self.own_at(index), route),
                Piece::Untouched(around) => painter.untouched(first, last, route, around),
            });
        });
    }

    /// Hands on the runs of one /24 in a state, with `all` those without one too, whatever their rate.
    pub(super) fn each_run_of_block(&self, block: u32, all: bool, mut take: impl FnMut(Run)) {
        let Some(route) = self.routes.find4(block << 8, 24).filter(|_| !self.is_empty() && self.nodes.counts(block))
        else {
            return;
        };
        let guard = self.guards.ranges4().partition_point(|range| range.last < block << 8);
        let least_lift = if all { Some(0.0) } else { None };
        let returning = self.returning_in(block);
        let mut painter = Painter { judgement: self, least_lift, guard, returning, take: &mut take };
        match self.own(block) {
            Some(own) => painter.touched(own, route),
            None => painter.untouched(block, block, route, self.nodes.active_around(block)),
        }
    }

    /// All runs, as [`Self::each_run`] hands them on.
    pub fn runs(&self, all: bool) -> Vec<Run> {
        let mut runs = Vec::new();
        self.each_run(all, |run| runs.push(run));
        runs
    }

    /// The verdict of the route around a /24 without history: the state of its prefix, or else of its ASN.
    pub(super) fn inherited(&self, route: usize) -> (State, Level, (u32, u8), Counts) {
        let asn_index = self.nodes.asn_index(route);
        let asn = &self.nodes.asns[asn_index];
        let of_asn = self.asns.get(asn_index).map_or(State::None, |&(_, state)| state);
        let (index, prefix) = self
            .nodes
            .prefix(route)
            .map_or((usize::MAX, None), |prefix| (self.nodes.prefix_index(route), Some(prefix)));
        let of_prefix = self.prefixes.get(index).map_or(State::None, |&(_, state)| state);
        match prefix {
            Some(prefix) if of_prefix > State::None => {
                let node = &self.routes.routes4()[route];
                (of_prefix, Level::Prefix, (node.first, node.length), prefix.counts)
            }
            _ => (of_asn, Level::Asn, (asn.asn, 0), asn.counts),
        }
    }
}

struct Painter<'j, 't> {
    judgement: &'j Judgement,
    /// The lift above which runs without a state are handed on; none of them if there is no such lift.
    least_lift: Option<f64>,
    /// The first guard that may cover what comes next.
    guard: usize,
    /// The addresses that may come back of what comes next.
    returning: &'j [Returning],
    take: &'t mut dyn FnMut(Run),
}

impl Painter<'_, '_> {
    fn touched(&mut self, own: Own<'_>, route: usize) {
        let judgement = self.judgement;
        let Own { block, leaves, verdict } = own;
        if verdict.state == State::None && self.least_lift.is_none() {
            return;
        }
        let (shares, other) = shares(&judgement.parameters.coefficients.leaf, block, leaves);
        let first = block.block << 8;
        let run = |first: u32, last: u32, level, node, rate| Run {
            first,
            last,
            state: verdict.state,
            level,
            node,
            class: Class::Normal,
            rate,
            lift: judgement.lift(rate, f64::from(last - first + 1) / 256.0),
            counts: block.counts,
            asn: judgement.routes.routes4()[route].asn,
        };
        let rest = |first_rest: u32, last_rest: u32| {
            let rate = verdict.rate * other * (f64::from(last_rest - first_rest) + 1.0) / 16.0;
            run(first_rest, last_rest, Level::Block, (first, 24), rate)
        };
        let mut at = first;
        for (leaf, share) in leaves.iter().zip(shares) {
            let begin = leaf.leaf << 4;
            if at < begin {
                self.paint(rest(at, begin - 1));
            }
            self.paint(run(begin, begin + 15, Level::Leaf, (begin, 28), verdict.rate * share));
            at = begin.wrapping_add(16);
        }
        if leaves.last().is_none_or(|leaf| leaf.leaf & 15 != 15) {
            self.paint(rest(at, first + 255));
        }
    }

    fn untouched(&mut self, first: u32, last: u32, route: usize, around: (u32, u32)) {
        let judgement = self.judgement;
        let rate = judgement.untouched_rate(route, around);
        let lift = judgement.lift(rate, 1.0);
        let (inherited, level, node, counts) = judgement.inherited(route);
        let asn = judgement.routes.routes4()[route].asn;
        let begins_watch = judgement.parameters.thresholds.watch * judgement.parameters.thresholds.leave;
        let paint = |painter: &mut Self, first: u32, last: u32, own: State| {
            let blocks = f64::from(last - first + 1);
            let (state, level, node, counts) = if inherited > State::None && inherited >= own {
                (inherited, level, node, counts)
            } else {
                (own, Level::Block, (first << 8, 24), Counts::default())
            };
            let run = Run {
                first: first << 8,
                last: last << 8 | 255,
                state,
                level,
                node,
                class: Class::Normal,
                rate: rate * blocks,
                lift,
                counts,
                asn,
            };
            painter.paint(run);
        };
        let rules = judgement.rules();
        // where nobody reported anything in the whole network and around, a lift is only the shape of the prefix
        let is_alone = around == (0, 0) && judgement.nodes.asn(route).active == 0;
        if is_alone {
            paint(self, first, last, State::None);
            return;
        }
        if lift < begins_watch || judgement.previous.is_empty() || lift >= judgement.parameters.thresholds.watch {
            paint(self, first, last, rules.untouched(lift, State::None));
            return;
        }
        for block in first..=last {
            paint(self, block, block, rules.untouched(lift, judgement.previous.state(block)));
        }
    }

    fn wants(&self, state: State, lift: f64) -> bool {
        state > State::None || self.least_lift.is_some_and(|least| lift > least)
    }

    /// Cuts a run at the guards that it meets.
    fn paint(&mut self, run: Run) {
        if !self.wants(run.state, run.lift) && !self.has_returning(&run) {
            return;
        }
        let guards = self.judgement.guards.ranges4();
        while guards.get(self.guard).is_some_and(|range| range.last < run.first) {
            self.guard += 1;
        }
        let mut next = Some(run.first);
        for range in guards[self.guard..].iter().take_while(|range| range.first <= run.last) {
            if let Some(begin) = next.filter(|&begin| begin < range.first) {
                self.part(&run, begin, range.first - 1, Class::Normal);
            }
            self.part(&run, range.first.max(run.first), range.last.min(run.last), range.value.class);
            next = range.last.min(run.last).successor();
        }
        if let Some(begin) = next.filter(|&begin| begin <= run.last) {
            self.part(&run, begin, run.last, Class::Normal);
        }
    }

    /// Hands on a part of a run that has one class.
    fn part(&mut self, run: &Run, first: u32, last: u32, class: Class) {
        if !class.inherits() {
            return;
        }
        let state = cap(run.state, class, self.judgement.parameters.in_clouds);
        let density = run.rate / run.size() as f64;
        let mut next = Some(first);
        let all = self.returning;
        let all = &all[all.partition_point(|returning| returning.address < first)..];
        for returning in all.iter().take_while(|returning| returning.address <= last) {
            let own = self.returned(run, returning, class);
            if returning.rate <= density || !self.wants(own.state, own.lift) {
                continue;
            }
            if let Some(begin) = next.filter(|&begin| begin < returning.address) {
                self.hand_on(run, begin, returning.address - 1, class, state);
            }
            (self.take)(own);
            next = returning.address.successor();
        }
        if let Some(begin) = next.filter(|&begin| begin <= last) {
            self.hand_on(run, begin, last, class, state);
        }
    }

    fn hand_on(&mut self, run: &Run, first: u32, last: u32, class: Class, state: State) {
        if self.wants(state, run.lift) {
            let part = (f64::from(last - first) + 1.0) / run.size() as f64;
            (self.take)(Run { first, last, class, state, rate: run.rate * part, ..*run });
        }
    }

    /// Whether an address that may come back is in a run; moves on to the first one that may be.
    fn has_returning(&mut self, run: &Run) -> bool {
        let passed = self.returning.iter().take_while(|returning| returning.address < run.first).count();
        self.returning = &self.returning[passed..];
        self.returning.first().is_some_and(|returning| returning.address <= run.last)
    }

    /// The verdict on an address that may come back: its block's state, or `watch` if it came more than once.
    fn returned(&self, run: &Run, returning: &Returning, class: Class) -> Run {
        let judgement = self.judgement;
        let rate = returning.rate;
        let lift = judgement.lift(rate, 1.0 / 256.0);
        let own = judgement.rules().returning(lift, returning.record.arrivals);
        let state = cap(run.state.max(own), class, judgement.parameters.in_clouds);
        let (first, node) = (returning.address, (returning.address, 32));
        Run { first, last: first, state, level: Level::Leaf, node, class, rate, lift, ..*run }
    }
}

/// The state that a class allows.
pub(super) fn cap(state: State, class: Class, in_clouds: InClouds) -> State {
    match (class, in_clouds) {
        (Class::Never | Class::Research | Class::ResolverMixed, _) | (Class::Cloud, InClouds::Off) => State::None,
        (Class::Shared | Class::Pool, _) | (Class::Cloud, InClouds::Watch) => state.min(State::Watch),
        (Class::Normal, _) | (Class::Cloud, InClouds::Full) => state,
    }
}
