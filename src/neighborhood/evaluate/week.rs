//! One time of an evaluation: a ranking against every baseline at the baseline's own space.
//!
//! Invariant: all methods are asked about the same new addresses.

use super::baselines::{Baseline, Counted, Counting, Rule, apply};
use super::bootstrap::Clusters;
use super::outcome::Outcome;
use super::ranking::{Ranking, hits_within};
use crate::evidence::Spell4;
use crate::neighborhood::Routes;

/// What happened after a time, and how far each method got.
#[derive(Clone, Debug)]
pub struct Week {
    /// The new addresses.
    pub outcome: Outcome,
    /// For each new address the space, in addresses, at which our ranking reaches it.
    pub reach: Vec<u64>,
    /// The same for /24s ranked by decayed counts alone.
    pub counted_reach: Vec<u64>,
    /// What the rules list.
    pub baselines: Vec<Baseline>,
}

impl Week {
    /// Holds a ranking against the baselines. The spells, of those sources whose new addresses are the test, are sorted
    /// by address and reach beyond the outcome's time.
    pub fn new(ranking: &Ranking, spells: &[Spell4], routes: &Routes, outcome: Outcome) -> Self {
        let mut baselines = Vec::new();
        let mut counted_reach = Vec::new();
        for counting in Counting::ALL {
            let counts = Counted::new(spells.iter(), outcome.at, counting);
            baselines.extend(Rule::ALL.map(|rule| apply(rule, counting, &counts, routes, &outcome)));
            if counting == Counting::Decayed {
                counted_reach = counts.ranking().reach(outcome.addresses());
            }
        }
        Self { reach: ranking.reach(outcome.addresses()), counted_reach, baselines, outcome }
    }

    /// The share of new addresses that our ranking covers with `space` addresses.
    pub fn recall(&self, space: u64) -> f64 {
        share(hits_within(&self.reach, space), self.outcome.new.len())
    }

    /// The share that decayed counts alone cover with `space` addresses.
    pub fn counted_recall(&self, space: u64) -> f64 {
        share(hits_within(&self.counted_reach, space), self.outcome.new.len())
    }
}

/// A comparison with a baseline: of one time, or the mean of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The rule.
    pub rule: Rule,
    /// What it was applied to.
    pub counting: Counting,
    /// The space that it lists, in addresses.
    pub space: f64,
    /// The share of new addresses that it covers.
    pub baseline_recall: f64,
    /// The share that our ranking covers with this space.
    pub recall: f64,
    /// Our recall over the baseline's.
    pub ratio: f64,
    /// The interval of that at 95 %.
    pub interval: (f64, f64),
    /// Of that ratio the part that comes of remembering: decayed counts of /24s over the baseline.
    pub gain_from_time: f64,
    /// And the part that comes of what lies around: our ranking over decayed counts of /24s.
    pub gain_from_space: f64,
}

/// Holds every week's ranking against every baseline: the figures of each week, and their means over the weeks.
pub fn compare(weeks: &[Week]) -> (Vec<Vec<Figure>>, Vec<Figure>) {
    let clusters = Clusters::new(weeks.iter().map(|week| &week.outcome));
    let kinds = weeks.first().map_or(0, |week| week.baselines.len());
    // first the columns of single weeks, week after week, and then those of all together
    let mut columns: Vec<Vec<Vec<(f64, f64)>>> = Vec::new();
    for week in weeks {
        for baseline in &week.baselines {
            let hit = |index: usize| (week.reach[index] <= baseline.space, baseline.covers[index]);
            columns.push(vec![clusters.count(&week.outcome, hit)]);
        }
    }
    for kind in 0..kinds {
        let tables = (0..weeks.len()).map(|week| columns[week * kinds + kind][0].clone());
        columns.push(tables.collect());
    }
    let mut intervals = clusters.intervals(&columns).into_iter();
    let mut next = || intervals.next().unwrap_or((f64::NAN, f64::NAN));
    let of_week = |week: &Week| week.baselines.iter().map(|baseline| figure(week, baseline, next())).collect();
    let by_week: Vec<Vec<Figure>> = weeks.iter().map(of_week).collect();
    let means = (0..kinds).map(|kind| mean(by_week.iter().map(|figures| &figures[kind]), next()));
    let means = means.collect();
    (by_week, means)
}

fn figure(week: &Week, baseline: &Baseline, interval: (f64, f64)) -> Figure {
    let covered = baseline.covers.iter().filter(|covers| **covers).count();
    let baseline_recall = share(covered, baseline.covers.len());
    let recall = week.recall(baseline.space);
    let counted = week.counted_recall(baseline.space);
    Figure {
        rule: baseline.rule,
        counting: baseline.counting,
        space: baseline.space as f64,
        baseline_recall,
        recall,
        ratio: recall / baseline_recall,
        interval,
        gain_from_time: counted / baseline_recall,
        gain_from_space: recall / counted,
    }
}

fn mean<'f>(figures: impl Iterator<Item = &'f Figure> + Clone, interval: (f64, f64)) -> Figure {
    let mean = |value: fn(&Figure) -> f64| {
        let (sum, count) = figures.clone().fold((0.0, 0), |(sum, count), figure| (sum + value(figure), count + 1));
        sum / f64::from(count.max(1))
    };
    let kind = figures.clone().next();
    Figure {
        rule: kind.map_or(Rule::Level2, |figure| figure.rule),
        counting: kind.map_or(Counting::Stock, |figure| figure.counting),
        space: mean(|figure| figure.space),
        baseline_recall: mean(|figure| figure.baseline_recall),
        recall: mean(|figure| figure.recall),
        ratio: mean(|figure| figure.ratio),
        interval,
        gain_from_time: mean(|figure| figure.gain_from_time),
        gain_from_space: mean(|figure| figure.gain_from_space),
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
