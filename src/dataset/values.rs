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
    last: Option<(Box<[u8]>, Met)>,
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
        // most lines of a list say the same as the line before
        if let Some((key, met)) = &self.last
            && **key == *self.scratch
        {
            return Ok(*met);
        }
        let key: Box<[u8]> = self.scratch.as_slice().into();
        let met = match self.ids.get(&key) {
            Some(&met) => met,
            None => {
                let met = Met(u32::try_from(self.raw.len()).ok().filter(|&n| n < MAX_VALUES).ok_or(TooManyValues)?);
                let text = match value.text {
                    feed::Text::Unsaid => RawText::Unsaid,
                    feed::Text::None => RawText::None,
                    feed::Text::Template(text) => RawText::Template(text.into()),
                };
                self.raw.push(Raw { a: value.a, text });
                self.ids.insert(key.clone(), met);
                met
            }
        };
        self.last = Some((key, met));
        Ok(met)
    }

    /// Encodes every collected value with what the whole dataset says, by [`Met`].
    pub fn encode(&self, defaults: &Defaults) -> Vec<Box<[u8]>> {
        self.raw.iter().map(|raw| raw.encode(defaults)).collect()
    }
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
    fn encode(&self, defaults: &Defaults) -> Box<[u8]> {
        let text = match &self.text {
            RawText::Unsaid => defaults.text.as_deref(),
            RawText::None => None,
            RawText::Template(text) => Some(&**text),
        };
        let text = Pieces::of(text.unwrap_or_default(), defaults);
        let a = self.a.or((!defaults.only_texts).then_some(defaults.a));
        let flag = |is_there, flag| if is_there { flag } else { 0 };
        let mut out = vec![flag(a.is_some(), HAS_ADDRESS) | flag(text.is_some(), HAS_TEXT)];
        out.extend_from_slice(&defaults.ttl.unwrap_or(0).to_le_bytes());
        out.extend(a.iter().flat_map(Ipv4Addr::octets));
        if let Some(text) = text {
            text.write(&mut out);
        }
        out.into()
    }
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
#[derive(Debug, Default)]
pub struct Lists {
    ids: HashMap<Box<[Met]>, u32>,
    lists: Vec<Box<[Met]>>,
}

impl Lists {
    /// The number of a list; its order and repetitions do not matter.
    pub fn intern(&mut self, list: &mut Vec<Met>) -> ListId {
        list.sort_unstable();
        list.dedup();
        if let Some(&id) = self.ids.get(list.as_slice()) {
            return ListId(id);
        }
        let id = self.lists.len() as u32;
        self.lists.push(list.as_slice().into());
        self.ids.insert(list.as_slice().into(), id);
        ListId(id)
    }

    /// The value of a list of one, or the first.
    pub fn first(&self, list: ListId) -> Met {
        self.lists[list.0 as usize][0]
    }

    /// How many values a list has.
    pub fn values_of(&self, list: ListId) -> u64 {
        self.lists[list.0 as usize].len() as u64
    }

    /// Numbers the lists by their content: the values, and the id of each list by its [`ListId`].
    ///
    /// # Errors
    ///
    /// More distinct lists than an id can name, or over 4 GiB of texts.
    pub fn finish(self, encoded: &[Box<[u8]>]) -> Result<(Values, Box<[ValueId]>), TooManyValues> {
        let mut contents: Vec<(Vec<u8>, u32)> = Vec::with_capacity(self.lists.len());
        for (id, list) in self.lists.iter().enumerate() {
            let mut values: Vec<&[u8]> = list.iter().map(|met| &*encoded[met.0 as usize]).collect();
            values.sort_unstable();
            values.dedup();
            contents.push((values.concat(), id as u32));
        }
        contents.sort_unstable();
        let mut ids = vec![ValueId::NONE; self.lists.len()].into_boxed_slice();
        let (mut ends, mut bytes) = (vec![0], Vec::new());
        let mut previous: Option<&[u8]> = None;
        for (content, list) in &contents {
            // values that differ as written can be the same once the defaults are in
            if previous != Some(content) {
                bytes.extend_from_slice(content);
                ends.push(u32::try_from(bytes.len()).map_err(|_| TooManyValues)?);
                previous = Some(content);
            }
            ids[*list as usize] = ValueId(ends.len() as u32 - 1);
        }
        if ends.len() - 1 > MAX_VALUES as usize {
            return Err(TooManyValues);
        }
        Ok((Values::of(ends, bytes), ids))
    }
}

/// A list of values by the order it was interned in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListId(pub u32);

/// RFC 1035, section 3.3: a character-string is at most 255 bytes.
pub const MAX_TEXT: usize = 255;
/// RFC 5782, section 2.1: the customary value of a listing.
pub const DEFAULT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The most pieces that one count byte numbers, and more than 255 bytes of `$` can need.
const MAX_PIECES: usize = 255;
const HAS_ADDRESS: u8 = 1;
const HAS_TEXT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &[u8], defaults: &Defaults) -> String {
        let mut collected = Collected::default();
        let value = feed::Value { a: None, text: feed::Text::Template(text) };
        let met = collected.intern(value).unwrap();
        let mut lists = Lists::default();
        let list = lists.intern(&mut vec![met]);
        let (values, ids) = lists.finish(&collected.encode(defaults)).unwrap();
        let value = values.list(ids[list.0 as usize]).next().unwrap();
        let mut out = ArrayVec::new();
        value.text.unwrap().render(b"192.0.2.1", &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn templates_are_filled_in() {
        let mut defaults = Defaults::default();
        defaults.variables[1] = Some(b"one $".as_slice().into());
        assert_eq!(rendered(b"see http://ex/?$", &defaults), "see http://ex/?192.0.2.1");
        assert_eq!(rendered(b"$ and $", &defaults), "192.0.2.1 and 192.0.2.1");
        assert_eq!(rendered(b"$1 $9 $$", &defaults), "one $ $9 $");
        assert_eq!(rendered(&b"$ ".repeat(150), &defaults).len(), 255);
        assert_eq!(rendered(&[b'x'; 300], &defaults).len(), 255);
    }

    #[test]
    fn the_base_template_surrounds_the_text() {
        let defaults = Defaults { base: Some(b"See $= ($)".as_slice().into()), ..Defaults::default() };
        assert_eq!(rendered(b"why $", &defaults), "See why $ (192.0.2.1)");
        assert_eq!(rendered(b"=own $", &defaults), "own 192.0.2.1");
        assert_eq!(rendered(b"", &defaults), "See 192.0.2.1 (192.0.2.1)");
    }

    #[test]
    fn an_equals_sign_alone_is_no_text() {
        let mut collected = Collected::default();
        collected.intern(feed::Value { a: None, text: feed::Text::Template(b"=") }).unwrap();
        let encoded = collected.encode(&Defaults::default());
        assert!(Encoded { rest: &encoded[0] }.all(|value| value.text.is_none()));
    }

    #[test]
    fn equal_content_has_equal_ids_in_any_order() {
        let build = |texts: &[&[u8]]| {
            let mut collected = Collected::default();
            let mut lists = Lists::default();
            for text in texts {
                let met = collected.intern(feed::Value { a: None, text: feed::Text::Template(text) }).unwrap();
                lists.intern(&mut vec![met]);
            }
            lists.finish(&collected.encode(&Defaults::default())).unwrap()
        };
        let (forward, ids) = build(&[b"a", b"b", b"c"]);
        let (backward, reversed) = build(&[b"c", b"b", b"a"]);
        assert_eq!(forward, backward);
        assert_eq!(ids.iter().rev().collect::<Vec<_>>(), reversed.iter().collect::<Vec<_>>());
        assert_eq!(forward.list(ValueId::NONE).count(), 0);
    }
}
