//! Spells: a source named a subject from a time to a time.
//!
//! Invariant of [`Spells`]: what was added is never lost, only joined with what it touches, so that the order of adding
//! does not matter. Joining is done whenever twice as much has come together as there was after the last time, which
//! keeps memory within twice the distinct spells for a cost that is a few sorts of everything.

use std::cmp::Ordering;

use super::time::Time;
use super::{Family, SourceId, Speech};

/// A source named a subject from a time to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell<S> {
    /// Of what it was said.
    pub subject: S,
    /// When the subject arrived.
    pub begin: Time,
    /// Seconds since 1970: when it was named last; [`STILL_LISTED`] while a list has it.
    end: u32,
    /// Who said it.
    pub source: SourceId,
    /// What it is about.
    pub family: Family,
    /// How sure the source was, in 127ths, and above that bit how it speaks: one byte, as there are many spells.
    manner: u8,
}

/// A spell of an IPv4 address.
pub type Spell4 = Spell<u32>;
/// A spell of an IPv6 address.
pub type Spell6 = Spell<u128>;
/// A spell of a prefix: first address and length.
pub type BlockSpell<A> = Spell<(A, u8)>;
/// A spell of a domain name or URL.
pub type NameSpell = Spell<Box<str>>;

impl<S> Spell<S> {
    /// What a statement says of this subject, whatever its own is.
    pub fn new(subject: S, statement: &super::Statement<'_>) -> Self {
        let &super::Statement { source, family, begin, end, weight, speech, .. } = statement;
        let end = end.map_or(STILL_LISTED, |end| end.0.max(begin.0));
        let weight = (weight.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u8;
        let manner = weight | if speech == Speech::Stream { IS_STREAM } else { 0 };
        Self { subject, begin, end, source, family, manner }
    }

    /// When the subject was named last, as far as it is known at a time: what ends later has not ended.
    pub fn end(&self, at: Time) -> Time {
        Time(self.end.min(at.0))
    }

    /// Whether a list still has the subject at a time.
    pub fn is_listed(&self, at: Time) -> bool {
        self.begin <= at && self.end > at.0
    }

    /// How sure the source was, 0–1.
    pub fn weight(&self) -> f64 {
        f64::from(self.manner & WHOLE) / f64::from(WHOLE)
    }

    /// How the source speaks.
    pub fn speech(&self) -> Speech {
        if self.manner & IS_STREAM == 0 { Speech::List } else { Speech::Stream }
    }

    /// When the source spoke of the subject last: an event's time; a list's arrival, since that it goes on listing what
    /// it lists is no news.
    pub fn last_said(&self, at: Time) -> Time {
        match self.speech() {
            Speech::List => self.begin,
            Speech::Stream => self.end(at),
        }
    }
}

/// Spells while they come together.
#[derive(Debug)]
pub(super) struct Spells<S> {
    all: Vec<Spell<S>>,
    /// How many there may be before they are joined.
    room: usize,
}

impl<S> Default for Spells<S> {
    fn default() -> Self {
        Self { all: Vec::new(), room: LEAST_ROOM }
    }
}

impl<S: Ord> Spells<S> {
    pub(super) fn add(&mut self, spell: Spell<S>) {
        if self.all.len() >= self.room {
            self.join();
            self.room = (2 * self.all.len()).max(LEAST_ROOM);
        }
        self.all.push(spell);
    }

    pub(super) fn build(mut self) -> Vec<Spell<S>> {
        self.join();
        self.all.shrink_to_fit();
        self.all
    }

    fn join(&mut self) {
        join(&mut self.all);
    }
}

/// Sorts spells, and makes one of those that touch. What was joined before may be joined again with more.
pub fn join<S: Ord>(spells: &mut Vec<Spell<S>>) {
    // the stable sort, as it sees what is sorted from the last time
    spells.sort_by(order);
    spells.dedup_by(|next, last| {
        let is_same = next.subject == last.subject
            && (next.family, next.source) == (last.family, last.source)
            && next.speech() == last.speech();
        let joins = is_same && next.begin.0 < last.end.saturating_add(last.speech().gap());
        if joins {
            last.end = last.end.max(next.end);
            last.manner = last.manner.max(next.manner);
        }
        joins
    });
}

/// The order of spells: by subject, family, source, way of speaking, time.
pub(super) fn order<S: Ord>(a: &Spell<S>, b: &Spell<S>) -> Ordering {
    // a list's and a stream's spells are joined by different rules, each kind for itself
    let key =
        |spell: &Spell<S>| (spell.family, spell.source, spell.manner & IS_STREAM, spell.begin, spell.end, spell.manner);
    a.subject.cmp(&b.subject).then_with(|| key(a).cmp(&key(b)))
}

/// The end of a spell that has not ended.
const STILL_LISTED: u32 = u32::MAX;
/// The weight of a statement without reservation.
const WHOLE: u8 = 127;
/// The bit above the weight.
const IS_STREAM: u8 = 128;
/// What a spell of an IPv4 address takes.
pub const SPELL_BYTES: usize = size_of::<Spell4>();
/// Below this many spells joining is not worth it.
const LEAST_ROOM: usize = 1 << 20;

const _: () = assert!(SPELL_BYTES == 16);
