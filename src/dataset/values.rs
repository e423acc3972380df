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

mod collected;
mod lists;
mod pieces;

use std::net::Ipv4Addr;

use arrayvec::ArrayVec;
pub use collected::{Collected, DEFAULT_ADDRESS, Defaults, Met, encode};
pub use lists::{Ids, ListId, Lists};
use pieces::Pieces;
use zerocopy::little_endian::U32;

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
    /// Lists that end there, encoded.
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
        Pieces::from(text).write(&mut value);
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

/// More distinct values than 24 bits number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over {MAX_VALUES} distinct values: give entries fewer texts of their own")]
pub struct TooManyValues;

/// RFC 1035, section 3.3: a character-string is at most 255 bytes.
pub const MAX_TEXT: usize = 255;
const HAS_ADDRESS: u8 = 1;
const HAS_TEXT: u8 = 2;

#[cfg(test)]
mod tests;
