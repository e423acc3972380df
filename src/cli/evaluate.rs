//! `infamy evaluate`: how well judgements of the past foresaw what came after them.
//!
//! Invariant: stdout has one figure a line, as CSV: the time, the days, what is measured, of what, the value and where
//! there is one its interval. Equal input gives equal output. A picture is written where `--plot` says.

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
use crate::neighborhood::evaluate::{
    Counting, Figure, Flapping, Good, Hit, Outcome, Ranking, StateSpace, Week, compare, plot,
};
use crate::neighborhood::{Guards, Judgement, Parameters, Previous, Routes, State};

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
    /// When is judged, ascending.
    times: Vec<Time>,
}

impl World {
    fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let inputs = &arguments.inputs;
        let mut times: Vec<Time> = arguments.train_until.iter().map(|date| date.end()).collect();
        times.sort_unstable();
        times.dedup();
        let last = times.last().copied().context("--train-until: no date")?;
        let end = Time(last.0.saturating_add(arguments.days * SECONDS_A_DAY));
        let routes = Arc::new(announcing("reading routes", || inputs.read_routes())?);
        let mut skipped = Skipped::default();
        let mut split = false;
        let good = arguments.good.as_ref().map(|path| {
            split = inputs.guards.iter().any(|guards| fs::canonicalize(guards).ok() == fs::canonicalize(path).ok());
            Good::parse_file(path, split, &mut skipped)
        });
        let good = good.transpose()?;
        tell_skipped(&skipped);
        let guards = Arc::new(inputs.read_guards(split)?);
        let evidence = announcing("reading evidence", || inputs.read_evidence(end))?;
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
        Ok(Self { routes, guards, good, evidence, tested, family: arguments.family, times })
    }

    fn last(&self) -> Time {
        self.times.last().copied().unwrap_or(Time(0))
    }

    fn judge(&self, at: Time, previous: &Arc<Previous>) -> Judgement {
        let parameters = Parameters::default();
        Judgement::judge(&self.evidence, self.family, &self.routes, &self.guards, &parameters, at, previous)
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

/// Days over which comings and goings are counted.
const FLAPPING_DAYS: u32 = 30;
/// Points of a curve.
const CURVE_STEPS: u32 = 200;
