//! What is laid over the datasets while they are served: what people changed, and what reports changed of verdicts.
//!
//! Invariant: it is a function of what the store keeps and of what the emitters say, so that a start with the same store
//! comes to the same layers. A change of a dataset that is not configured waits in the store until it is again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::dataset::values::TooManyValues;
use crate::dataset::{Emitted, Extent, Listing, Revision};
use crate::evidence::store::{Action, Numbered, StoredChange, What};
use crate::live::{By, Change, Changes, Effect, Fold, Folded, Full, Kinds, Layer, OwnedValue, Subject, SubjectError};
use crate::reload::{Plan, Store};

/// What is laid over all datasets.
#[derive(Debug, Default)]
pub(in crate::cli) struct Live {
    /// By the datasets' names.
    laid: BTreeMap<String, Laid>,
    /// The latest change of each dataset and subject, if it holds: another configuration may read it otherwise, or for the
    /// first time. What was replaced never comes back.
    kept: BTreeMap<(String, String), Numbered>,
}

/// What is laid over one dataset.
#[derive(Debug)]
struct Laid {
    index: usize,
    kinds: Kinds,
    /// What people changed.
    people: Changes,
    /// What reports changed of verdicts, if it has any.
    verdicts: Option<Verdicts>,
}

/// What reports changed of a dataset of verdicts.
#[derive(Debug)]
struct Verdicts {
    emitted: Emitted,
    changes: Changes,
    /// Counts how often all of them were dropped: a fold of those is of no use any more.
    epoch: u64,
    /// Up to which of the emitter's changes it has been asked.
    until: u64,
    /// The number of the next change here.
    next: u64,
    /// The numbers of the changes that a part was revised with.
    parts: HashMap<Subject, Vec<u64>>,
}

/// Which of a dataset's changes a fold is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    People,
    Verdicts { epoch: u64 },
}

impl Live {
    /// Begins with the changes that the store has.
    pub(in crate::cli) fn begin(store: &Store, kept: impl IntoIterator<Item = Numbered>) -> Self {
        let plan = store.plan();
        let laid = plan.datasets.iter().enumerate().map(|(index, spec)| {
            let changes = || Changes::new(spec.defaults.clone(), plan.never_of(spec));
            let verdicts = spec.emitted.clone().map(|emitted| Verdicts {
                emitted,
                changes: changes(),
                epoch: 0,
                until: 0,
                next: 1,
                parts: HashMap::new(),
            });
            let kinds = Kinds::of(spec, store.dataset(index).map(|dataset| &**dataset));
            (spec.name.clone(), Laid { index, kinds, people: changes(), verdicts })
        });
        let mut live = Self { laid: laid.collect(), kept: BTreeMap::new() };
        for change in kept {
            live.take(change, plan);
        }
        live
    }

    /// Takes a change over; the name of the dataset that is another with it.
    pub(super) fn take(&mut self, numbered: Numbered, plan: &Plan) -> Option<String> {
        let What::Change(stored) = &numbered.event.what else { return None };
        let (name, number) = (stored.dataset.clone(), numbered.number);
        let changed = self.laid.get_mut(&name).map(|laid| laid.take(&numbered, stored, plan));
        let place = (name.clone(), stored.subject.clone());
        let latest = self.kept.get(&place).map_or(0, |kept| kept.number);
        match stored.action {
            Action::Withdraw { number } if number == latest => _ = self.kept.remove(&place),
            Action::Add { .. } | Action::Remove if number > latest => _ = self.kept.insert(place, numbered),
            _ => {}
        }
        match changed? {
            Ok(is_another) => is_another.then_some(name),
            Err(why) => {
                tracing::warn!(%name, number, "change not served: {why}");
                None
            }
        }
    }

    /// Takes over what a dataset's emitter says anew; whether it said anything.
    pub(super) fn revise(&mut self, name: &str) -> Revised {
        let Some(verdicts) = self.laid.get_mut(name).and_then(|laid| laid.verdicts.as_mut()) else {
            return Revised::default();
        };
        let Emitted(emitter) = &verdicts.emitted;
        let revisions = emitter.revise(verdicts.until);
        verdicts.until = revisions.until;
        let has_news = !revisions.all.is_empty();
        let mut wants_emission = revisions.wants_emission;
        for revision in revisions.all {
            wants_emission |= verdicts.revise(revision).is_err();
        }
        Revised { has_news, wants_emission }
    }

    /// Drops what was revised of a dataset that has been emitted anew, and asks what there is besides; whether that is
    /// another thing than was laid over it before.
    pub(super) fn emitted_anew(&mut self, name: &str, plan: &Plan) -> bool {
        let mut had_any = false;
        if let Some(laid) = self.laid.get_mut(name)
            && let Some(verdicts) = &mut laid.verdicts
        {
            let spec = &plan.datasets[laid.index];
            had_any = !verdicts.changes.is_empty();
            verdicts.changes = Changes::new(spec.defaults.clone(), plan.never_of(spec));
            (verdicts.until, verdicts.next) = (0, 1);
            verdicts.epoch += 1;
            verdicts.parts.clear();
        }
        self.revise(name).has_news || had_any
    }

    /// Goes over to another plan: with all changes of the datasets that were there, and all kept ones of those that are new.
    pub(super) fn replan(&mut self, store: &Store) {
        let kept = std::mem::take(&mut self.kept);
        *self = Self::begin(store, kept.into_values());
    }

    /// Datasets that are emitted, with what emits them.
    pub(super) fn emitted(&self) -> impl Iterator<Item = (&str, &Emitted)> {
        let verdicts = self.laid.iter().filter_map(|(name, laid)| Some((name, laid.verdicts.as_ref()?)));
        verdicts.map(|(name, verdicts)| (name.as_str(), &verdicts.emitted))
    }

    /// Drops the changes that have ended by a Unix time in seconds; the datasets that had any.
    pub(super) fn expire(&mut self, now: i64) -> Vec<String> {
        if self.next_expiry().is_none_or(|expiry| expiry > now) {
            return Vec::new();
        }
        let holds = |numbered: &Numbered| match &numbered.event.what {
            What::Change(change) => change.expires.is_none_or(|expires| expires > now),
            What::Report(_) | What::Generation(_) | What::Request(_) => false,
        };
        self.kept.retain(|_, numbered| holds(numbered));
        let expired = self.laid.iter_mut().filter_map(|(name, laid)| laid.people.expire(now).then(|| name.clone()));
        expired.collect()
    }

    /// When the next change ends, as a Unix time in seconds.
    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.laid.values().filter_map(|laid| laid.people.next_expiry()).min()
    }

    /// How many listings a dataset comes to, with what people changed: a removal of a whole block counts as one.
    pub(super) fn listings(&self, name: &str, store: &Store) -> u64 {
        let Some(laid) = self.laid.get(name) else { return 0 };
        let removed = laid.people.iter().filter(|held| held.change.effect.hides).count() as u64;
        let added = laid.people.len() as u64 - removed;
        (store.entries(laid.index).unwrap_or(0) + added).saturating_sub(removed)
    }

    /// How many changes people have made of a dataset, and when the next of them ends.
    pub(super) fn changes(&self, name: &str) -> (usize, Option<i64>) {
        self.laid.get(name).map_or((0, None), |laid| (laid.people.len(), laid.people.next_expiry()))
    }

    /// Which subjects each dataset can be told of.
    pub(super) fn kinds(&self, name: &str) -> Option<Kinds> {
        self.laid.get(name).map(|laid| laid.kinds)
    }

    /// The changes over a dataset by its index in the plan, from the lowest layer up.
    pub(in crate::cli) fn over(&self, index: usize) -> Vec<&Changes> {
        let laid = self.laid.values().find(|laid| laid.index == index);
        laid.into_iter()
            .flat_map(|laid| laid.verdicts.iter().map(|verdicts| &verdicts.changes).chain([&laid.people]))
            .collect()
    }

    /// Gives away what people changed of a dataset, by its index in the plan.
    pub(in crate::cli) fn take_over(&mut self, index: usize) -> Vec<Changes> {
        let name = self.laid.iter().find(|(_, laid)| laid.index == index).map(|(name, _)| name.clone());
        name.and_then(|name| self.laid.remove(&name)).map(|laid| laid.people).into_iter().collect()
    }

    /// Lays what there is of a dataset over it.
    pub(super) fn lay(&mut self, name: &str, store: &mut Store) -> Result<(), TooManyValues> {
        let Some(laid) = self.laid.get_mut(name) else { return Ok(()) };
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        if let Some(verdicts) = &mut laid.verdicts {
            layers.extend(verdicts.changes.layer()?);
        }
        layers.extend(laid.people.layer()?);
        store.lay(laid.index, layers);
        Ok(())
    }

    /// Lays everything there is.
    pub(in crate::cli) fn lay_all(&mut self, store: &mut Store) -> Result<(), TooManyValues> {
        let names: Vec<String> = self.laid.keys().cloned().collect();
        names.iter().try_for_each(|name| self.lay(name, store))
    }

    /// Folds that pay by now, to be built on another thread.
    pub(super) fn begin_folds(&mut self) -> Vec<(String, Of, Fold)> {
        let mut folds = Vec::new();
        for (name, laid) in &mut self.laid {
            folds.extend(laid.people.begin_fold().map(|fold| (name.clone(), Of::People, fold)));
            if let Some(verdicts) = &mut laid.verdicts {
                let of = Of::Verdicts { epoch: verdicts.epoch };
                folds.extend(verdicts.changes.begin_fold().map(|fold| (name.clone(), of, fold)));
            }
        }
        folds
    }

    /// Takes a fold over that was built, or goes on without it.
    pub(super) fn end_fold(&mut self, name: &str, of: Of, folded: Option<Folded>) {
        let changes = self.laid.get_mut(name).and_then(|laid| match of {
            Of::People => Some(&mut laid.people),
            Of::Verdicts { epoch } => {
                let verdicts = laid.verdicts.as_mut().filter(|verdicts| verdicts.epoch == epoch);
                verdicts.map(|verdicts| &mut verdicts.changes)
            }
        });
        match (changes, folded) {
            (Some(changes), Some(folded)) => changes.take_fold(folded),
            (Some(changes), None) => changes.give_up_fold(),
            (None, _) => {}
        }
    }
}

/// What became of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revised {
    /// Whether anything is said anew.
    pub(super) has_news: bool,
    /// Whether the dataset is to be emitted soon.
    pub(super) wants_emission: bool,
}

impl Laid {
    /// Takes a change over; whether the dataset is another with it.
    fn take(&mut self, numbered: &Numbered, stored: &StoredChange, plan: &Plan) -> Result<bool, Unserved> {
        let effect = match &stored.action {
            &Action::Withdraw { number } => return Ok(self.people.withdraw(number)),
            Action::Remove => Effect::remove(),
            Action::Add { a, text, ttl } => {
                let text = text.as_ref().map(|text| text.as_bytes().into());
                Effect::add(OwnedValue { a: *a, text, ttl: *ttl })
            }
        };
        let never = plan.never_of(&plan.datasets[self.index]);
        let subject = Subject::parse(&stored.subject, &self.kinds, &never)?;
        let reason = stored.reason.as_deref().map(Into::into);
        let by = By { who: numbered.event.who.as_str().into(), at: numbered.event.at, reason };
        self.people.apply(numbered.number, Change { subject, effect, expires: stored.expires, by })?;
        Ok(true)
    }
}

/// Why a change that is kept is not served.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Full(#[from] Full),
}

impl Verdicts {
    /// Puts a revision in the place of what was said of its part before.
    fn revise(&mut self, revision: Revision) -> Result<(), Full> {
        let part = subject(revision.extent);
        for number in self.parts.remove(&part).unwrap_or_default() {
            self.changes.withdraw(number);
        }
        let mut numbers = Vec::with_capacity(1 + revision.listings.len());
        let listings = revision.listings.into_iter().map(|(extent, listing)| {
            let effect = match listing {
                Listing::Listed { a, text } => {
                    Effect::replace([OwnedValue { a: Some(a), text: Some(text.into_bytes().into()), ttl: None }])
                }
                Listing::Excluded => Effect::remove(),
            };
            (subject(extent), effect)
        });
        // a listing of the whole part comes later, and so in the place of the first
        for (subject, effect) in [(part.clone(), Effect::remove())].into_iter().chain(listings) {
            let by = By { who: REPORTS.into(), at: 0, reason: None };
            self.changes.apply(self.next, Change { subject, effect, expires: None, by })?;
            numbers.push(self.next);
            self.next += 1;
        }
        self.parts.insert(part, numbers);
        Ok(())
    }
}

fn subject(extent: Extent) -> Subject {
    match extent {
        Extent::Ip4 { first, length } => Subject::Ip4 { bits: first, length },
        Extent::Ip6 { first, length } => Subject::Ip6 { bits: first, length },
        Extent::Name { name, scope } => Subject::Name { name, scope },
    }
}

/// Who changes verdicts between two surveys.
pub(super) const REPORTS: &str = "reports";
