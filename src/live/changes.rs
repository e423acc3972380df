//! The changes of one dataset while they come and go, and how they become layers.
//!
//! Invariant: of one subject there is at most one change, the one with the greatest number. Every place that was touched
//! since the fold that is in use was begun is in `folding` or `recent`, and so in the recent level of the next layer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::level::Level;
use super::{Change, Layer, Subject};
use crate::dataset::values::TooManyValues;
use crate::dataset::{Defaults, NeverList};

/// A dataset's changes.
#[derive(Debug)]
pub struct Changes {
    defaults: Defaults,
    never: NeverList,
    held: HashMap<Subject, Arc<Held>>,
    by_number: HashMap<u64, Arc<Held>>,
    /// Times and numbers of what ends.
    expiries: BTreeSet<(i64, u64)>,
    folded: Option<Arc<Level>>,
    /// The places that a fold on its way has taken over.
    folding: HashSet<Subject>,
    /// The places touched since.
    recent: HashSet<Subject>,
    /// The last layer; none if anything has changed since.
    layer: Option<Arc<Layer>>,
}

/// A change with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Later changes have greater numbers.
    pub number: u64,
    /// The change.
    pub change: Change,
}

impl Changes {
    /// No changes yet of a dataset with these defaults that lists nothing of the never-list.
    pub fn new(defaults: Defaults, never: NeverList) -> Self {
        Self {
            defaults,
            never,
            held: HashMap::new(),
            by_number: HashMap::new(),
            expiries: BTreeSet::new(),
            folded: None,
            folding: HashSet::new(),
            recent: HashSet::new(),
            layer: None,
        }
    }

    /// Takes a change, in the place of the one about the very same subject; if that has a greater number, it stays.
    ///
    /// # Errors
    ///
    /// There are too many, and nothing is changed.
    pub fn apply(&mut self, number: u64, change: Change) -> Result<(), Full> {
        match self.held.get(&change.subject).map(|before| before.number) {
            Some(before) if before >= number => return Ok(()),
            Some(before) => _ = self.withdraw(before),
            None if self.held.len() >= MAX_CHANGES => return Err(Full),
            None => {}
        }
        self.touch(&change.subject);
        self.expiries.extend(change.expires.map(|expires| (expires, number)));
        let held = Arc::new(Held { number, change });
        self.held.insert(held.change.subject.clone(), held.clone());
        self.by_number.insert(number, held);
        Ok(())
    }

    /// Takes a change back; whether it was there.
    pub fn withdraw(&mut self, number: u64) -> bool {
        let Some(held) = self.by_number.remove(&number) else { return false };
        let change = &held.change;
        self.held.remove(&change.subject);
        if let Some(expires) = change.expires {
            self.expiries.remove(&(expires, number));
        }
        self.touch(&change.subject);
        true
    }

    /// Drops the changes that have ended by a Unix time in seconds; whether there were any.
    pub fn expire(&mut self, now: i64) -> bool {
        let mut any = false;
        while let Some(&(_, number)) = self.expiries.first().filter(|(expires, _)| *expires <= now) {
            any |= self.withdraw(number);
        }
        any
    }

    /// When the next change ends, as a Unix time in seconds.
    pub fn next_expiry(&self) -> Option<i64> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// What decides of all of a subject. Of a domain with all below it the name itself is meant.
    pub fn find(&self, subject: &Subject) -> Option<&Held> {
        subject.places().next().and_then(|place| self.decides(&place))
    }

    /// The changes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values().map(|held| &**held)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The layer of the changes as they are now; none if there are none. Only what is recent is built anew.
    ///
    /// # Errors
    ///
    /// More distinct values than an id can name.
    pub fn layer(&mut self) -> Result<Option<Arc<Layer>>, TooManyValues> {
        if self.held.is_empty() {
            return Ok(None);
        }
        if self.layer.is_none() {
            let places: HashSet<&Subject> = self.folding.iter().chain(&self.recent).collect();
            let laid = places.into_iter().map(|place| (place.clone(), self.decides(place)));
            let recent = Level::build(laid, &self.defaults, &self.never)?;
            self.layer = Some(Arc::new(Layer::new(self.folded.clone(), recent)));
        }
        Ok(self.layer.clone())
    }

    /// Begins a fold if so much is recent that it pays: it is to be built on another thread, and comes back by
    /// [`Self::take_fold`] or [`Self::give_up_fold`]. One at a time is on its way.
    pub fn begin_fold(&mut self) -> Option<Fold> {
        self.begin_fold_at(FOLD_AT)
    }

    pub(super) fn begin_fold_at(&mut self, least: usize) -> Option<Fold> {
        if self.recent.len() < least || !self.folding.is_empty() {
            return None;
        }
        self.folding = std::mem::take(&mut self.recent);
        let held = self.held.values().cloned().collect();
        Some(Fold { held, defaults: self.defaults.clone(), never: self.never.clone() })
    }

    /// Takes the fold over that was begun last.
    pub fn take_fold(&mut self, Folded(level): Folded) {
        self.folded = Some(Arc::new(level));
        self.folding.clear();
        self.layer = None;
    }

    /// Goes on without the fold that was begun last: nothing is lost, and another can be begun.
    pub fn give_up_fold(&mut self) {
        self.recent.extend(self.folding.drain());
    }

    /// Whether the next layer has one level only, so that nothing in it is out of date.
    #[cfg(test)]
    pub(super) fn has_one_level(&self) -> bool {
        self.folded.is_none() || self.folding.is_empty() && self.recent.is_empty()
    }

    /// What decides of all of a place.
    fn decides(&self, place: &Subject) -> Option<&Held> {
        let mut at = Some(place.clone());
        while let Some(place) = at {
            let own = self.held.get(&place);
            let of_whole = place.whole().and_then(|whole| self.held.get(&whole));
            if let Some(held) = own.into_iter().chain(of_whole).max_by_key(|held| held.number) {
                return Some(held);
            }
            at = place.above();
        }
        None
    }

    fn touch(&mut self, subject: &Subject) {
        self.recent.extend(subject.places());
        self.layer = None;
    }
}

/// A fold that is to be built, away from the changes that it was begun of.
#[derive(Debug)]
pub struct Fold {
    held: Vec<Arc<Held>>,
    defaults: Defaults,
    never: NeverList,
}

/// A fold that was built.
#[derive(Debug)]
pub struct Folded(Level);

impl Fold {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// More distinct values than an id can name.
    pub fn build(self) -> Result<Folded, TooManyValues> {
        // of a name's two changes with one part in common, the later decides of it
        let mut places: HashMap<Subject, &Held> = HashMap::with_capacity(self.held.len());
        for held in &self.held {
            for place in held.change.subject.places() {
                let decides = places.entry(place).or_insert(held);
                if decides.number < held.number {
                    *decides = held;
                }
            }
        }
        let laid = places.into_iter().map(|(place, held)| (place, Some(held)));
        Level::build(laid, &self.defaults, &self.never).map(Folded)
    }
}

/// There are too many live changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over {MAX_CHANGES} live changes of one dataset: put them into its files and withdraw them")]
pub struct Full;

/// The most changes of one dataset: a list of so many is better a file, and this many take a gigabyte while they are folded.
pub const MAX_CHANGES: usize = 1 << 20;
/// Recent places that make a fold pay: so many are built into a level in some ten milliseconds.
pub const FOLD_AT: usize = 1 << 13;
