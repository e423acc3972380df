//! Values as a list's lines have them, each kept once, until what the whole dataset says is known.
//!
//! Invariant: a value has one number however often it is met, and its number is never over [`MAX_VALUES`].

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::pieces::Pieces;
use super::{HAS_ADDRESS, HAS_TEXT, TooManyValues};
use crate::feed;
use crate::table::MAX_VALUES;

/// Values as they are collected, by the order they were met in.
#[derive(Debug, Default)]
pub struct Collected {
    ids: HashMap<Box<[u8]>, Met>,
    raw: Vec<Raw>,
    /// Values met lately, where [`place_of`] puts them: lists repeat a few, and comparing one is cheaper than hashing.
    recent: Vec<Met>,
    scratch: Vec<u8>,
}

/// A value by the order in which it was first met, starting from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Met(pub u32);

#[derive(Debug)]
struct Raw {
    a: Option<Ipv4Addr>,
    text: RawText,
}

#[derive(Debug)]
enum RawText {
    Unsaid,
    None,
    Template(Box<[u8]>),
}

impl Collected {
    /// The number of a value, new or met before.
    ///
    /// # Errors
    ///
    /// More distinct values than an id can name.
    pub fn intern(&mut self, value: feed::Value<'_>) -> Result<Met, TooManyValues> {
        let place = place_of(&value);
        if let Some(&met) = self.recent.get(place)
            && self.raw.get(met.0 as usize).is_some_and(|raw| raw.is(&value))
        {
            return Ok(met);
        }
        let met = self.number(value)?;
        self.recent.resize(RECENT, Met(u32::MAX));
        self.recent[place] = met;
        Ok(met)
    }

    fn number(&mut self, value: feed::Value<'_>) -> Result<Met, TooManyValues> {
        self.scratch.clear();
        match value.a {
            Some(a) => {
                self.scratch.push(1);
                self.scratch.extend_from_slice(&a.octets());
            }
            None => self.scratch.push(0),
        }
        match value.text {
            feed::Text::Unsaid => self.scratch.push(0),
            feed::Text::None => self.scratch.push(1),
            feed::Text::Template(text) => {
                self.scratch.push(2);
                self.scratch.extend_from_slice(text);
            }
        }
        if let Some(&met) = self.ids.get(&*self.scratch) {
            return Ok(met);
        }
        let met = Met(u32::try_from(self.raw.len()).ok().filter(|&n| n < MAX_VALUES).ok_or(TooManyValues)?);
        let text = match value.text {
            feed::Text::Unsaid => RawText::Unsaid,
            feed::Text::None => RawText::None,
            feed::Text::Template(text) => RawText::Template(text.into()),
        };
        self.raw.push(Raw { a: value.a, text });
        self.ids.insert(self.scratch.as_slice().into(), met);
        Ok(met)
    }

    /// Takes over the values of another part of the list: their numbers here, by their numbers there.
    ///
    /// # Errors
    ///
    /// As [`Self::intern`].
    pub fn absorb(&mut self, other: &Self) -> Result<Vec<Met>, TooManyValues> {
        other.raw.iter().map(|raw| self.intern(raw.value())).collect()
    }

    /// Encodes every collected value with what the whole dataset says, by [`Met`].
    pub fn encode(&self, defaults: &Defaults) -> Vec<Box<[u8]>> {
        self.raw.iter().map(|raw| encode(raw.value(), defaults.ttl, defaults)).collect()
    }
}

/// Where a value stands among the recent ones, by what values of one list differ in.
#[inline]
fn place_of(value: &feed::Value<'_>) -> usize {
    let a = value.a.map_or(0, |a| u32::from(a) as usize);
    let text = match value.text {
        feed::Text::Template(text) => text.last().map_or(0, |&last| usize::from(last) * 31 + text.len()),
        feed::Text::None => 1,
        feed::Text::Unsaid => 2,
    };
    (a ^ text) % RECENT
}

/// What a dataset as a whole says of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// The address of entries that give none.
    pub a: Ipv4Addr,
    /// Whether entries that give no address have none: there are texts only, and an A query gets NODATA.
    pub only_texts: bool,
    /// The text of entries that say nothing of one.
    pub text: Option<Box<[u8]>>,
    /// The template around every text (`$=`).
    pub base: Option<Box<[u8]>>,
    /// What `$0` to `$9` stand for.
    pub variables: [Option<Box<[u8]>>; 10],
    /// Seconds; `None` is the zone's own.
    pub ttl: Option<u32>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { a: DEFAULT_ADDRESS, only_texts: false, text: None, base: None, variables: Default::default(), ttl: None }
    }
}

impl Raw {
    #[inline]
    fn is(&self, value: &feed::Value<'_>) -> bool {
        self.a == value.a && self.value().text == value.text
    }

    fn value(&self) -> feed::Value<'_> {
        let text = match &self.text {
            RawText::Unsaid => feed::Text::Unsaid,
            RawText::None => feed::Text::None,
            RawText::Template(text) => feed::Text::Template(text),
        };
        feed::Value { a: self.a, text }
    }
}

/// A value in its encoded form, with what the whole dataset says of what it leaves open; `ttl` is in seconds, and none
/// is the zone's.
pub fn encode(value: feed::Value<'_>, ttl: Option<u32>, defaults: &Defaults) -> Box<[u8]> {
    let text = match value.text {
        feed::Text::Unsaid => defaults.text.as_deref(),
        feed::Text::None => None,
        feed::Text::Template(text) => Some(text),
    };
    let text = Pieces::of(text.unwrap_or_default(), defaults);
    let a = value.a.or_else(|| (!defaults.only_texts).then_some(defaults.a));
    let flag = |is_there, flag| if is_there { flag } else { 0 };
    let mut out = vec![flag(a.is_some(), HAS_ADDRESS) | flag(text.is_some(), HAS_TEXT)];
    out.extend_from_slice(&ttl.unwrap_or(0).to_le_bytes());
    out.extend(a.iter().flat_map(Ipv4Addr::octets));
    if let Some(text) = text {
        text.write(&mut out);
    }
    out.into()
}

/// RFC 5782, section 2.1: the customary value of a listing.
pub const DEFAULT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// A list with a value per entry has them by the hundred, and this many slots stay in the first-level cache.
const RECENT: usize = 256;
