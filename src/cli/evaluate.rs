//! `infamy evaluate`: how well judgements of the past foresaw what came after them.
//!
//! Invariant: stdout has one figure a line, as CSV: the time, the days, what is measured, of what, the value and where
//! there is one its interval. Equal input gives equal output. A picture is written where `--plot` says.

use std::cmp::Ordering;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};

use super::inputs::{Inputs, parse_time, tell_skipped};
use super::load::announcing;
use crate::evidence::{Evidence, Family, SECONDS_A_DAY, Spell4, Time, Written};
use crate::feed::Skipped;
use crate::neighborhood::evaluate::tune::{INTERCEPT_SHIFTS, Samples};
use crate::neighborhood::evaluate::{
    Counting, Figure, Flapping, Good, Hit, Outcome, Ranking, Rule, StateSpace, Week, compare, plot,
};
use crate::neighborhood::{
    Coefficients, Guards, HORIZON_DAYS, Judgement, LEAF_TERMS, Parameters, Previous, RETURNING_TERMS, Routes, State,
    TOUCHED_TERMS, UNTOUCHED_TERMS,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    /// Known-good ranges, which should not be hit: `cidr <TAB> category <TAB> source`; if it is a file of guards too, one
    /// half of it is guards and the other is measured
    #[arg(long, value_name = "FILE")]
    good: Option<PathBuf>,
    /// The date up to which evidence is read; several, or with commas between them
    #[arg(long, value_name = "DATE", required = true, value_delimiter = ',', value_parser = parse_time)]
    train_until: Vec<Written>,
    /// How many days after that are foreseen
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
    /// The sources whose new addresses are the test; all if none is named
    #[arg(long, value_name = "NAME")]
    test: Vec<String>,
    /// Whose evidence: send or host
    #[arg(long, default_value = "send", value_parser = parse_family)]
    family: Family,
    /// Judges every so many days of the month before the last date, each time after the last, and counts the blocks
    /// that enter a state twice
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=15))]
    flapping: Option<u32>,
    /// Fits coefficients on the ten weeks before the week before the last date, and prints them as configuration if they
    /// foresee that week better than those in use; exits 1 if they do not
    #[arg(long)]
    tune: bool,
    /// Draws recall against space
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

fn parse_family(text: &str) -> Result<Family, String> {
    let found = Family::ALL.into_iter().find(|family| family.to_string() == text);
    found.ok_or_else(|| "write send or host".to_owned())
}

/// Judges at each date, and prints what came of it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let world = World::read(arguments)?;
    if arguments.tune {
        return tune(&world);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "until,days,measure,of,value,low,high")?;
    let mut weeks = Vec::new();
    for at in &world.times {
        let judgement = announcing(&format!("judging {}", at.to_date()), || world.judge(*at, &Arc::default()));
        let ranking = Ranking::of_judgement(&judgement);
        let outcome = Outcome::new(world.tested.iter(), &world.routes, *at, arguments.days);
        ensure!(
            !outcome.new.is_empty(),
            "{}: no new address in the {} days after it: is the evidence as long?",
            at.to_date(),
            arguments.days
        );
        let space = StateSpace::of_judgement(&judgement);
        let figures = space.figures(&outcome);
        let week = announcing("comparing", || Week::new(&ranking, &world.tested, &world.routes, outcome));
        let mut table = Table { out: &mut out, until: at.to_date(), days: arguments.days };
        table.figure("new", "addresses", week.outcome.new.len() as f64)?;
        for figure in figures {
            let (name, blocks) = (figure.state.name(), figure.blocks.max(1) as f64);
            table.figure("blocks", name, figure.blocks as f64)?;
            table.figure("space_24", name, figure.space as f64 / 256.0)?;
            table.figure("confirmed", name, figure.confirmed as f64 / blocks)?;
            table.figure("recall", name, figure.caught as f64 / week.outcome.new.len() as f64)?;
        }
        if let Some(good) = &world.good {
            table.hits("good", "bad+suspicious", &good.hits(&space.ranges(State::Suspicious)))?;
            for baseline in week.baselines.iter().filter(|baseline| baseline.counting == Counting::Stock) {
                let mut ours: Vec<(u32, u32)> =
                    ranking.within(baseline.space).iter().map(|row| (row.first, row.last)).collect();
                ours.sort_unstable();
                let rule = baseline.rule.name();
                table.hits("good", &format!("ours at {rule}"), &good.hits(&ours))?;
                table.hits("good", &rule, &good.hits(&baseline.ranges))?;
            }
        }
        weeks.push(week);
    }
    let (by_week, means) = announcing("drawing samples of networks", || compare(&weeks));
    for (at, figures) in world.times.iter().zip(&by_week) {
        let mut table = Table { out: &mut out, until: at.to_date(), days: arguments.days };
        figures.iter().try_for_each(|figure| table.comparison(figure))?;
    }
    let mut table = Table { out: &mut out, until: "mean".to_owned(), days: arguments.days };
    means.iter().try_for_each(|figure| table.comparison(figure))?;
    if let Some(every) = arguments.flapping {
        let mut table = Table { until: world.last().to_date(), ..table };
        for (name, flapping) in announcing("judging day after day", || flapping(&world, every)) {
            table.figure("flapping", name, flapping.share())?;
            table.figure("mean_blocks", name, flapping.mean_size())?;
        }
    }
    out.flush()?;
    if let Some(path) = &arguments.plot {
        fs::write(path, picture(&weeks, &means)).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All that is read.
struct World {
    routes: Arc<Routes>,
    guards: Arc<Guards>,
    good: Option<Good>,
    evidence: Evidence,
    /// The spells that the test is made of, sorted by address.
    tested: Vec<Spell4>,
    family: Family,
    /// The numbers of the method, as they are set.
    parameters: Parameters,
    /// When is judged, ascending.
    times: Vec<Time>,
}

impl World {
    fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let inputs = &arguments.inputs;
        let judging = inputs.judging()?;
        let mut times: Vec<Time> = arguments.train_until.iter().map(|date| date.end()).collect();
        times.sort_unstable();
        times.dedup();
        let last = times.last().copied().context("--train-until: no date")?;
        let end = Time(last.0.saturating_add(arguments.days * SECONDS_A_DAY));
        let routes = Arc::new(announcing("reading routes", || inputs.read_routes(&judging))?);
        let mut skipped = Skipped::default();
        let mut split = false;
        let good = arguments.good.as_ref().map(|path| {
            split = judging
                .guards
                .iter()
                .chain(&inputs.guards)
                .any(|guards| fs::canonicalize(guards).ok() == fs::canonicalize(path).ok());
            Good::parse_file(path, split, &mut skipped)
        });
        let good = good.transpose()?;
        tell_skipped(&skipped);
        let guards = Arc::new(inputs.read_guards(&judging, split)?);
        let parameters = judging.parameters.clone();
        let evidence = announcing("reading evidence", || inputs.read_evidence(judging, end))?;
        for name in &arguments.test {
            ensure!(evidence.sources.iter().any(|source| source.name == *name), "--test {name}: no such source");
        }
        let is_tested = |spell: &&Spell4| {
            let name = &evidence.sources.get(spell.source).name;
            spell.family == arguments.family && (arguments.test.is_empty() || arguments.test.contains(name))
        };
        let tested: Vec<Spell4> = evidence.ip4.iter().filter(is_tested).copied().collect();
        if tested.is_empty() {
            bail!("no evidence: name a --history, a --list or --reports");
        }
        Ok(Self { routes, guards, good, evidence, tested, family: arguments.family, parameters, times })
    }

    fn last(&self) -> Time {
        self.times.last().copied().unwrap_or(Time(0))
    }

    fn judge(&self, at: Time, previous: &Arc<Previous>) -> Judgement {
        self.judge_by(&self.parameters, at, previous)
    }

    fn judge_by(&self, parameters: &Parameters, at: Time, previous: &Arc<Previous>) -> Judgement {
        Judgement::judge(&self.evidence, self.family, &self.routes, &self.guards, parameters, at, previous)
    }

    /// The mean over the counting rules of how much more is foreseen with the same space.
    fn gain(&self, parameters: &Parameters, at: Time) -> f64 {
        let ranking = Ranking::of_judgement(&self.judge_by(parameters, at, &Arc::default()));
        let outcome = Outcome::new(self.tested.iter(), &self.routes, at, HORIZON_DAYS);
        let week = Week::new(&ranking, &self.tested, &self.routes, outcome);
        let counted = week
            .baselines
            .iter()
            .filter(|baseline| baseline.counting == Counting::Stock && matches!(baseline.rule, Rule::Count24(_)));
        let ratios: Vec<f64> = counted
            .map(|baseline| {
                let covered = baseline.covers.iter().filter(|covers| **covers).count();
                week.recall(baseline.space) * week.outcome.new.len() as f64 / covered.max(1) as f64
            })
            .collect();
        ratios.iter().sum::<f64>() / ratios.len() as f64
    }
}

/// Blocks that come and go in the month before the last time, by the least state that counts.
fn flapping(world: &World, every: u32) -> [(&'static str, Flapping); 2] {
    let mut bad = Flapping::default();
    let mut suspicious = Flapping::default();
    let mut previous = Arc::default();
    for age in (0..=FLAPPING_DAYS).rev().filter(|age| age % every == 0) {
        let judgement = world.judge(world.last().days_before(age), &previous);
        let blocks = StateSpace::of_judgement(&judgement).blocks();
        let within = |least: State| blocks.iter().filter(move |(_, state)| *state >= least).map(|&(block, _)| block);
        bad.add(within(State::Bad));
        suspicious.add(within(State::Suspicious));
        previous = Arc::new(Previous::of(blocks.iter().map(|&(block, state)| (block, block, state)).collect()));
    }
    [("bad", bad), ("bad+suspicious", suspicious)]
}

/// Fits coefficients, and prints them if they are better.
fn tune(world: &World) -> anyhow::Result<ExitCode> {
    let held_out = world.last().days_before(HORIZON_DAYS);
    let mut samples = Samples::default();
    for week in 1..=TUNED_WEEKS {
        let at = held_out.days_before(week * HORIZON_DAYS);
        let judgement = announcing(&format!("judging {}", at.to_date()), || world.judge(at, &Arc::default()));
        if judgement.is_empty() {
            bail!("{}: no evidence before it: --tune takes {TUNED_WEEKS} weeks and the history in front", at.to_date());
        }
        let outcome = Outcome::new(world.tested.iter(), &world.routes, at, HORIZON_DAYS);
        samples.add(&judgement, &outcome);
    }
    let fitted = announcing("fitting", || samples.fit());
    let shipped = world.gain(&world.parameters, held_out);
    let mut best: Option<(f64, Coefficients)> = None;
    for shift in INTERCEPT_SHIFTS {
        let mut coefficients = fitted.clone();
        coefficients.untouched[UNTOUCHED_TERMS.len()] += shift;
        let parameters = Parameters { coefficients, ..world.parameters.clone() };
        let gain = world.gain(&parameters, held_out);
        if best.as_ref().is_none_or(|(known, _)| gain > *known) {
            best = Some((gain, parameters.coefficients));
        }
    }
    let Some((gain, coefficients)) = best else { bail!("no window to fit on") };
    eprintln!("{}: ratio {gain:.4}, with the coefficients in use {shipped:.4}", held_out.to_date());
    // a gain that is no number, as nothing new came that week, is none
    if gain.partial_cmp(&shipped) != Some(Ordering::Greater) {
        eprintln!("the coefficients in use are as good: nothing to change");
        return Ok(ExitCode::FAILURE);
    }
    let mut out = io::stdout().lock();
    let intercept = "intercept";
    for (section, names, values) in [
        ("touched", &TOUCHED_TERMS[..], &coefficients.touched[..]),
        ("untouched", &UNTOUCHED_TERMS, &coefficients.untouched),
        ("leaf", &LEAF_TERMS, &coefficients.leaf),
        ("returning", &RETURNING_TERMS, &coefficients.returning),
    ] {
        writeln!(out, "[neighborhood.{section}]")?;
        for (name, value) in names.iter().chain([&intercept]).zip(values) {
            writeln!(out, "{name} = {value:?}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes lines of figures.
struct Table<'o, W> {
    out: &'o mut W,
    until: String,
    days: u32,
}

impl<W: Write> Table<'_, W> {
    fn figure(&mut self, measure: &str, of: &str, value: f64) -> io::Result<()> {
        writeln!(self.out, "{},{},{measure},{of},{value:.6},,", self.until, self.days)
    }

    fn comparison(&mut self, figure: &Figure) -> io::Result<()> {
        let of = format!("{} {}", figure.rule.name(), figure.counting.name());
        self.figure("space_24", &of, figure.space / 256.0)?;
        self.figure("recall", &of, figure.baseline_recall)?;
        self.figure("recall", &format!("ours at {of}"), figure.recall)?;
        let (low, high) = figure.interval;
        let (until, days, ratio) = (&self.until, self.days, figure.ratio);
        writeln!(self.out, "{until},{days},ratio,{of},{ratio:.6},{low:.6},{high:.6}")?;
        self.figure("gain_from_time", &of, figure.gain_from_time)?;
        self.figure("gain_from_space", &of, figure.gain_from_space)
    }

    fn hits(&mut self, measure: &str, of: &str, hits: &[Hit]) -> io::Result<()> {
        for hit in hits {
            let share = hit.listed as f64 / hit.space.max(1) as f64;
            self.figure(measure, &format!("{}: {of}", hit.category), share)?;
        }
        Ok(())
    }
}

/// Recall against space: the mean over the weeks.
fn picture(weeks: &[Week], means: &[Figure]) -> String {
    let most = weeks.iter().flat_map(|week| &week.baselines).map(|baseline| baseline.space).max().unwrap_or(0);
    let spaces: Vec<u64> = (0..=CURVE_STEPS)
        .map(|step| (most.max(512) as f64 / 256.0 * 2.0).powf(f64::from(step) / f64::from(CURVE_STEPS)) * 256.0)
        .map(|space| space as u64)
        .collect();
    let curve = |name: &str, recall: fn(&Week, u64) -> f64| {
        let mean = |space: u64| weeks.iter().map(|week| recall(week, space)).sum::<f64>() / weeks.len().max(1) as f64;
        let points = spaces.iter().map(|&space| (space as f64 / 256.0, mean(space))).collect();
        plot::Line { name: name.to_owned(), points }
    };
    let lines = [curve("infamy", Week::recall), curve("addresses of a /24, counted and decayed", Week::counted_recall)];
    let stock = means.iter().filter(|figure| figure.counting == Counting::Stock);
    let marks: Vec<plot::Mark> = stock
        .map(|figure| plot::Mark {
            name: figure.rule.name(),
            point: (figure.space / 256.0, figure.baseline_recall),
            is_hollow: figure.rule.name().starts_with("uceprotect"),
        })
        .collect();
    plot::draw("New bad addresses foreseen, against the space it takes", &lines, &marks)
}

/// Weeks that coefficients are fitted on; five would do.
const TUNED_WEEKS: u32 = 10;
/// Days over which comings and goings are counted.
const FLAPPING_DAYS: u32 = 30;
/// Points of a curve.
const CURVE_STEPS: u32 = 200;
