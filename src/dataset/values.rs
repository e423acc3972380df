//! What a listing answers: interned lists of (A, TXT template, TTL).
//!
//! Listings are many and values few, so a table holds an id and the value stands here once. Several values of one
//! subject are one id: the list is interned, not the value.
//!
//! Layout: `ends[id]` is where the encoded list of `id` ends in `bytes` and the next begins; id 0 is the empty list.
//! A list is its values one after the other, sorted, each `flags | ttl | a | pieces`: one byte of flags (1: has an
//! address, 2: has a text), four bytes of TTL (0: the zone's), four of address if there is one, and a text as its number
//! of pieces and then each piece behind a length byte. Between two pieces stands the subject. Ids follow the order of
//! the encoded lists, so that equal content has equal ids whatever order it was read in.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::Ipv4Addr;

use arrayvec::ArrayVec;
use zerocopy::little_endian::U32;

use crate::feed;
use crate::table::memory::Array;
use crate::table::{Compiled, Kind, MAX_VALUES, Malformed, Place, Sections, ValueId};

/// The interned values of one part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    ends: Array<U32>,
    bytes: Array<u8>,
}

impl Default for Values {
    fn default() -> Self {
        Self::of(vec![0], Vec::new())
    }
}

impl Values {
    fn of(ends: Vec<u32>, bytes: Vec<u8>) -> Self {
        Self { ends: ends.into_iter().map(U32::new).collect::<Vec<_>>().into(), bytes: bytes.into() }
    }

    /// Adds the sections of values.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        if self.count() > 0 {
            out.array(place, Kind::ValueEnds, &self.ends);
            out.array(place, Kind::ValueBytes, &self.bytes);
        }
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let ends: Array<U32> = file.array(place, Kind::ValueEnds)?;
        if ends.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { ends, bytes: file.array(place, Kind::ValueBytes)? })
    }

    /// The values of an id; none for [`ValueId::NONE`].
    pub fn list(&self, id: ValueId) -> impl Iterator<Item = Value<'_>> + Clone {
        let index = id.0 as usize;
        let end = self.ends.get(index).map_or(0, |end| end.get() as usize);
        let begin = if index == 0 { 0 } else { self.ends.get(index - 1).map_or(end, |begin| begin.get() as usize) };
        Encoded { rest: self.bytes.get(begin..end).unwrap_or_default() }
    }

    /// Values with a single one, and its id; `text` without holes.
    pub fn of_one(a: Ipv4Addr, text: &[u8]) -> (Self, ValueId) {
        let mut value = vec![HAS_ADDRESS | HAS_TEXT, 0, 0, 0, 0];
        value.extend_from_slice(&a.octets());
        Pieces { done: Vec::new(), open: text.into() }.write(&mut value);
        (Self::of(vec![0, value.len() as u32], value), ValueId(1))
    }

    /// How many distinct lists of values there are.
    pub fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.memory_bytes() + self.ends.memory_bytes()
    }
}

/// One value of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'v> {
    /// What an A query gets.
    pub a: Option<Ipv4Addr>,
    /// Seconds; `None` is the zone's own.
    pub ttl: Option<u32>,
    /// What a TXT query gets.
    pub text: Option<Template<'v>>,
}

/// A text with holes for the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'v> {
    /// The number of pieces, then each behind a length byte.
    encoded: &'v [u8],
}

impl Template<'_> {
    /// The text about `subject`, cut at the 255 bytes that a character-string holds.
    pub fn render(&self, subject: &[u8], out: &mut ArrayVec<u8, MAX_TEXT>) {
        let mut rest = &self.encoded[1..];
        let mut first = true;
        while let Some((&length, after)) = rest.split_first() {
            if !first {
                append(out, subject);
            }
            let (piece, next) = after.split_at(usize::from(length));
            append(out, piece);
            rest = next;
            first = false;
        }
    }

    /// Whether the subject occurs in the text.
    pub fn names_subject(&self) -> bool {
        self.encoded[0] > 1
    }
}

/// Appends as much of `bytes` as there is room for.
fn append(out: &mut ArrayVec<u8, MAX_TEXT>, bytes: &[u8]) {
    let room = bytes.len().min(out.remaining_capacity());
    out.extend(bytes[..room].iter().copied());
}

/// Reads encoded values one after the other.
#[derive(Clone)]
struct Encoded<'v> {
    rest: &'v [u8],
}

impl<'v> Iterator for Encoded<'v> {
    type Item = Value<'v>;

    fn next(&mut self) -> Option<Value<'v>> {
        let (&flags, rest) = self.rest.split_first()?;
        let (ttl, mut rest) = rest.split_first_chunk()?;
        let ttl = u32::from_le_bytes(*ttl);
        let mut a = None;
        if flags & HAS_ADDRESS != 0 {
            let (octets, after) = rest.split_first_chunk::<4>()?;
            a = Some(Ipv4Addr::from(*octets));
            rest = after;
        }
        let mut text = None;
        if flags & HAS_TEXT != 0 {
            let pieces = *rest.first()?;
            let mut end = 1;
            for _ in 0..pieces {
                end += 1 + usize::from(*rest.get(end)?);
            }
            text = Some(Template { encoded: rest.get(..end)? });
            rest = &rest[end..];
        }
        self.rest = rest;
        Some(Value { a, ttl: (ttl != 0).then_some(ttl), text })
    }
}

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

/// More distinct values than 24 bits number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over {MAX_VALUES} distinct values: give entries fewer texts of their own")]
pub struct TooManyValues;

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

/// A template while its holes are looked for.
struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

impl Pieces {
    /// Applies the base template, of which a leading `=` opts out, and puts in the variables; none if nothing is left.
    ///
    /// An entry without a text still has the base template's, with the subject for `$=`.
    fn of(text: &[u8], defaults: &Defaults) -> Option<Self> {
        let mut pieces = Self { done: Vec::new(), open: Vec::new() };
        let own = text.strip_prefix(b"=");
        match &defaults.base {
            Some(base) if own.is_none() => pieces.expand(base, defaults, text),
            _ => pieces.expand(own.unwrap_or(text), defaults, own.unwrap_or(text)),
        }
        (!pieces.done.is_empty() || !pieces.open.is_empty()).then_some(pieces)
    }

    /// `$=` in the template is the text as it is, also where that is the template itself.
    fn expand(&mut self, template: &[u8], defaults: &Defaults, text: &[u8]) {
        let mut rest = template;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'$' {
                self.open.push(byte);
                continue;
            }
            match after.first() {
                Some(b'$') => {
                    self.open.push(b'$');
                    rest = &after[1..];
                }
                Some(&digit @ b'0'..=b'9') => {
                    rest = &after[1..];
                    match &defaults.variables[usize::from(digit - b'0')] {
                        Some(text) => self.open.extend_from_slice(text),
                        None => self.open.extend_from_slice(&[b'$', digit]),
                    }
                }
                Some(b'=') => {
                    rest = &after[1..];
                    match text {
                        [] => self.hole(),
                        text => self.open.extend_from_slice(text),
                    }
                }
                _ => self.hole(),
            }
        }
    }

    fn hole(&mut self) {
        self.done.push(std::mem::take(&mut self.open));
    }

    fn write(mut self, out: &mut Vec<u8>) {
        self.hole();
        // what cannot be within the first 255 bytes whatever the subject is, is never seen
        self.done.truncate(MAX_PIECES);
        out.push(self.done.len() as u8);
        for piece in &self.done {
            let length = piece.len().min(MAX_TEXT);
            out.push(length as u8);
            out.extend_from_slice(&piece[..length]);
        }
    }
}

/// Interns lists of values while what is listed is resolved, and numbers them at the end.
///
/// A list of one value, as nearly all are, has that value's number and costs nothing.
#[derive(Debug, Default)]
pub struct Lists {
    /// Which values are a list by themselves.
    ones: Vec<bool>,
    ids: HashMap<Box<[Met]>, u32>,
    /// The lists of several, numbered from `FIRST_OF_MANY` on.
    many: Vec<Box<[Met]>>,
}

impl Lists {
    /// The number of a list; its order and repetitions do not matter.
    pub fn intern(&mut self, list: &mut Vec<Met>) -> ListId {
        list.sort_unstable();
        list.dedup();
        if let [one] = **list {
            return self.of_one(one);
        }
        if let Some(&id) = self.ids.get(list.as_slice()) {
            return ListId(id);
        }
        let id = FIRST_OF_MANY + self.many.len() as u32;
        self.many.push(list.as_slice().into());
        self.ids.insert(list.as_slice().into(), id);
        ListId(id)
    }

    /// The number of the list of that one value.
    #[inline]
    pub fn of_one(&mut self, met: Met) -> ListId {
        let index = met.0 as usize;
        if index >= self.ones.len() {
            self.ones.resize(index + 1, false);
        }
        self.ones[index] = true;
        ListId(met.0)
    }

    /// The value of a list of one, or the first.
    pub fn first(&self, list: ListId) -> Met {
        self.of_many(list).and_then(|list| list.first().copied()).unwrap_or(Met(list.0))
    }

    /// How many values a list has.
    pub fn values_of(&self, list: ListId) -> u64 {
        self.of_many(list).map_or(1, |list| list.len() as u64)
    }

    fn of_many(&self, list: ListId) -> Option<&[Met]> {
        self.many.get(list.0.checked_sub(FIRST_OF_MANY)? as usize).map(|list| &**list)
    }

    /// Numbers the lists by their content: the values, and which id each list has.
    ///
    /// # Errors
    ///
    /// More distinct lists than an id can name, or over 4 GiB of texts.
    pub fn finish(self, encoded: &[Box<[u8]>]) -> Result<(Values, Ids), TooManyValues> {
        let encoded_of = |met: Met| encoded.get(met.0 as usize).map_or(&[][..], |value| value);
        let mut contents: Vec<(Cow<'_, [u8]>, ListId)> = Vec::new();
        for (met, _) in (0..).zip(&self.ones).filter(|&(_, &is_list)| is_list) {
            contents.push((encoded_of(Met(met)).into(), ListId(met)));
        }
        for (id, list) in (FIRST_OF_MANY..).zip(&self.many) {
            let mut values: Vec<&[u8]> = list.iter().map(|&met| encoded_of(met)).collect();
            values.sort_unstable();
            values.dedup();
            contents.push((values.concat().into(), ListId(id)));
        }
        contents.sort_unstable();
        let mut ids = Ids {
            ones: vec![ValueId::NONE; self.ones.len()].into(),
            many: vec![ValueId::NONE; self.many.len()].into(),
        };
        let (mut ends, mut bytes) = (vec![0], Vec::new());
        let mut previous: Option<&[u8]> = None;
        for (content, list) in &contents {
            // values that differ as written can be the same once the defaults are in
            if previous != Some(&**content) {
                bytes.extend_from_slice(content);
                ends.push(u32::try_from(bytes.len()).map_err(|_| TooManyValues)?);
                previous = Some(content);
            }
            *ids.place(*list) = ValueId(ends.len() as u32 - 1);
        }
        if ends.len() - 1 > MAX_VALUES as usize {
            return Err(TooManyValues);
        }
        Ok((Values::of(ends, bytes), ids))
    }
}

/// The ids of lists.
#[derive(Debug, Default)]
pub struct Ids {
    ones: Box<[ValueId]>,
    many: Box<[ValueId]>,
}

impl Ids {
    /// The id of a list, or of nothing.
    #[inline]
    pub fn of(&self, list: Option<ListId>) -> ValueId {
        let Some(ListId(list)) = list else { return ValueId::NONE };
        let id = match list.checked_sub(FIRST_OF_MANY) {
            None => self.ones.get(list as usize),
            Some(index) => self.many.get(index as usize),
        };
        id.copied().unwrap_or_default()
    }

    fn place(&mut self, ListId(list): ListId) -> &mut ValueId {
        match list.checked_sub(FIRST_OF_MANY) {
            None => &mut self.ones[list as usize],
            Some(index) => &mut self.many[index as usize],
        }
    }
}

/// A list of values: the number of a value, or from `FIRST_OF_MANY` on the order in which a list was interned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub u32);

/// Values have numbers below.
const FIRST_OF_MANY: u32 = MAX_VALUES + 1;
/// RFC 1035, section 3.3: a character-string is at most 255 bytes.
pub const MAX_TEXT: usize = 255;
/// RFC 5782, section 2.1: the customary value of a listing.
pub const DEFAULT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The most pieces that one count byte numbers, and more than 255 bytes of `$` can need.
const MAX_PIECES: usize = 255;
/// A list with a value per entry has them by the hundred, and this many slots stay in the first-level cache.
const RECENT: usize = 256;
const HAS_ADDRESS: u8 = 1;
const HAS_TEXT: u8 = 2;

#[cfg(test)]
mod tests;
