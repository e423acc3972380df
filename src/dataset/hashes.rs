//! Statements about digests come to one list a digest; an exclusion wins, several values join.
//!
//! A statement is the digest and behind it four bytes: 0 for an exclusion, else 1 + the number of the value, and once
//! resolved 1 + the number of the list. Statements are parted by the first byte of the digest, which makes pieces that
//! fit a cache. Invariant: resolved, parts are sorted and hold each digest once.

use super::room::make_room;
use super::sort;
use super::values::{ListId, Lists, Met};

/// What a list says of digests, all of one length.
#[derive(Debug, Default)]
pub struct HashStatements {
    /// Bytes of every key; 0 until the first.
    width: usize,
    parts: Vec<Vec<u8>>,
    count: usize,
}

impl HashStatements {
    /// Takes a statement about a digest. All have the dataset's one length; another one is left out.
    pub fn push(&mut self, key: &[u8], said: Option<Met>) {
        if self.count == 0 {
            self.width = key.len();
            self.parts.resize(PARTS, Vec::new());
        }
        if key.len() == self.width {
            let part = &mut self.parts[usize::from(key.first().copied().unwrap_or_default())];
            push(part, key, said.map_or(0, |met| met.0 + 1));
            self.count += 1;
        }
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes over what another thread collected of the same list, its values numbered anew by `met`.
    pub fn absorb(&mut self, other: Self, met: impl Fn(Met) -> Met) {
        for part in other.parts {
            for (key, code) in rows(&part, other.width) {
                self.push(key, code.checked_sub(1).map(|value| met(Met(value))));
            }
        }
    }

    /// Resolves the statements.
    pub fn resolve(self, lists: &mut Lists) -> HashKeys {
        let width = self.width;
        let mut keys = HashKeys { width, parts: Vec::with_capacity(self.parts.len()) };
        let mut order = Vec::new();
        for part in self.parts {
            let row = |index: usize| row(&part, width, index);
            order.clear();
            order.extend((0..part.len() / (width + CODE)).map(|index| beginning(row(index).0) | index as u64));
            sort::sort(&mut order);
            // what comes behind the first bytes is left
            for same in order.chunk_by_mut(|a, b| a >> INDEX_BITS == b >> INDEX_BITS) {
                same.sort_unstable_by_key(|place| row((place & INDEX_MASK) as usize).0);
            }
            let mut out = Vec::new();
            make_room(&mut out, part.len());
            let at = |place: &u64| row((place & INDEX_MASK) as usize);
            for same in order.chunk_by(|a, b| at(a).0 == at(b).0) {
                let said: Option<Vec<Met>> = same.iter().map(|place| at(place).1.checked_sub(1).map(Met)).collect();
                if let Some(mut list) = said {
                    push(&mut out, at(&same[0]).0, lists.intern(&mut list).0 + 1);
                }
            }
            keys.parts.push(out);
        }
        keys
    }
}

/// The listed digests, sorted.
#[derive(Debug, Default)]
pub struct HashKeys {
    width: usize,
    parts: Vec<Vec<u8>>,
}

impl HashKeys {
    /// The digests with their lists, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], ListId)> + Clone {
        let listed = |(key, code): (_, u32)| Some((key, ListId(code.checked_sub(1)?)));
        self.parts.iter().flat_map(|part| rows(part, self.width)).filter_map(listed)
    }

    /// Whether a digest is listed.
    pub fn contains(&self, key: &[u8]) -> bool {
        let part = key.first().and_then(|&first| self.parts.get(usize::from(first)));
        let Some(part) = part.filter(|_| key.len() == self.width) else { return false };
        let (mut begin, mut end) = (0, part.len() / (self.width + CODE));
        while begin < end {
            let middle = usize::midpoint(begin, end);
            if row(part, self.width, middle).0 < key { begin = middle + 1 } else { end = middle }
        }
        rows(part, self.width).nth(begin).is_some_and(|(found, _)| found == key)
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Vec::is_empty)
    }
}

fn push(part: &mut Vec<u8>, key: &[u8], code: u32) {
    make_room(part, key.len() + CODE);
    part.extend_from_slice(key);
    part.extend_from_slice(&code.to_le_bytes());
}

/// A digest of a part, and what stands behind it.
fn row(part: &[u8], width: usize, index: usize) -> (&[u8], u32) {
    let (key, code) = part[index * (width + CODE)..][..width + CODE].split_at(width);
    (key, u32::from_le_bytes(code.first_chunk().copied().unwrap_or_default()))
}

fn rows(part: &[u8], width: usize) -> impl Iterator<Item = (&[u8], u32)> + Clone {
    (0..part.len() / (width + CODE)).map(move |index| row(part, width, index))
}

/// The bytes of a digest behind the first, which is a part's own, as the upper bits of a number.
fn beginning(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let behind = key.get(1..).unwrap_or_default();
    let taken = behind.len().min(4);
    bytes[..taken].copy_from_slice(&behind[..taken]);
    u64::from_be_bytes(bytes)
}

/// A part for each first byte.
const PARTS: usize = 256;
/// Bytes behind a digest.
const CODE: usize = 4;
/// A part has fewer than 2^32 digests.
const INDEX_BITS: u32 = 32;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusion_wins_and_values_join() {
        let mut statements = HashStatements::default();
        for (key, said) in [(b"bb", Some(0)), (b"aa", Some(1)), (b"aa", Some(0)), (b"cc", Some(0)), (b"cc", None)] {
            statements.push(key, said.map(Met));
        }
        let mut lists = Lists::default();
        let keys = statements.resolve(&mut lists);
        let both = lists.intern(&mut vec![Met(0), Met(1)]);
        let one = lists.intern(&mut vec![Met(0)]);
        assert_eq!(keys.iter().collect::<Vec<_>>(), [(&b"aa"[..], both), (&b"bb"[..], one)]);
        assert_eq!([b"aa", b"bb", b"cc", b"dd"].map(|key| keys.contains(key)), [true, true, false, false]);
    }
}
