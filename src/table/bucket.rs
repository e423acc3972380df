//! A hash set in cache lines that keeps fingerprints instead of keys: the ground under names and hashes.
//!
//! A key comes as 128 bits of a keyed hash. The upper 64 choose its home line, the lower 80 are kept as its
//! fingerprint beside a small number, the payload:
//!
//! ```text
//! 0   slots in use      1  24-bit filter
//! 4   five slots: fingerprint 10 bytes, payload 2 bytes; ascending fingerprints
//! 4   or, if a payload needs more than 16 bits, four slots with a payload of 4 bytes
//! ```
//!
//! A key that finds its home full lives in the next line with room, round the end. Every line it passes has its bit
//! set, fingerprint mod 24, so that a search leaves a full line only when the key may be further on, and is larger than
//! all fingerprints there. At 85 % full a key costs 15.1 bytes, 18.9 with wide payloads; a search for what is not there
//! reads 1.05 lines, for what is there 1.45, which are adjacent.
//!
//! 80 bits and the home are enough never to be wrong in practice: a probe meets some four fingerprints, so one in
//! 3·10^23 probes of unlisted names finds what is not there. 64 bits would be wrong once a day on a busy server. The
//! hash is keyed, as otherwise names that are wrongly listed could be computed.
//!
//! Invariant: of the keys that pass a line, it keeps those with the smallest fingerprints (ordered hash tables: Amble
//! and Knuth, 1974). That makes the lines a function of the set of keys alone, whatever the order of insertion.
//!
//! It cannot list its keys, nor remove one.

use super::file::{Compiled, Kind, Malformed, Place, Sections};
use super::line::{LINE_BYTES, Line};
use super::memory::{self, Array};

/// Fingerprints with payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Buckets {
    lines: Array<Line>,
    wide: bool,
}

impl Buckets {
    /// Empty lines for a number of keys whose largest payload is known.
    pub(super) fn with_room(keys: u64, largest_payload: u32) -> Self {
        let wide = largest_payload > u16::MAX.into();
        let slots = (keys * 100).div_ceil(LOAD_PERCENT);
        let lines = slots.div_ceil(slots_per_line(wide) as u64) as usize;
        Self { lines: Array::zeroed(lines), wide }
    }

    /// Adds a key to lines; `false` if another one has its fingerprint, in which case the smaller payload stays.
    ///
    /// There has to be room: no more keys than were announced.
    fn insert(lines: &mut [Line], wide: bool, hash: u128, payload: u32) -> bool {
        let (slots, stride) = (slots_per_line(wide), stride(wide));
        let mut at = home(lines, hash);
        let mut key = Slot { fingerprint: hash & FINGERPRINT_MASK, payload };
        for _ in 0..lines.len() {
            let Some(line) = lines.get_mut(at) else { break };
            let used = usize::from(line.u8(0));
            let slot = rank(line, used, wide, key.fingerprint);
            if slot < used && fingerprint(line, slot, stride) == key.fingerprint {
                key.payload = key.payload.min(read(line, slot, wide).payload);
                write(line, slot, key, wide);
                return false;
            }
            let last = (used == slots).then(|| if slot == used { key } else { read(line, used - 1, wide) });
            if slot < slots {
                let moved = used.min(slots - 1) - slot;
                line.shift(SLOTS_AT + slot * stride, SLOTS_AT + (slot + 1) * stride, moved * stride);
                write(line, slot, key, wide);
            }
            match last {
                Some(passing) => {
                    let filter = line.uint(FILTER_AT, FILTER_BYTES) | u64::from(filter_bit(passing.fingerprint));
                    line.put_uint(FILTER_AT, FILTER_BYTES, filter);
                    key = passing;
                }
                None => {
                    line.put(0, &[used as u8 + 1]);
                    return true;
                }
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
        }
        debug_assert!(false, "more keys than announced");
        true
    }

    /// Adds keys and leaves none behind; `false` as [`Self::insert`].
    ///
    /// The home lines are asked for first, all of them, as waiting for memory one key at a time is most of a large build.
    pub(super) fn insert_all(&mut self, keys: &mut Vec<(u128, u32)>) -> bool {
        let (lines, wide) = (self.lines.to_mut(), self.wide);
        keys.iter().for_each(|key| memory::prefetch_at(lines, home(lines, key.0)));
        keys.drain(..).fold(true, |distinct, (hash, payload)| Self::insert(lines, wide, hash, payload) & distinct)
    }

    /// The payload of a key; nothing if it was not added.
    pub(super) fn find(&self, hash: u128) -> Option<u32> {
        self.search(hash, |_| ())
    }

    /// Asks for the line that a search for the key begins with.
    pub(super) fn prefetch(&self, hash: u128) {
        memory::prefetch_at(&self.lines, home(&self.lines, hash));
    }

    /// As [`Self::find`]; `touch` sees each line that is read.
    fn search<'t>(&'t self, hash: u128, mut touch: impl FnMut(&'t Line)) -> Option<u32> {
        let slots = slots_per_line(self.wide);
        let wanted = hash & FINGERPRINT_MASK;
        let mut at = home(&self.lines, hash);
        for _ in 0..self.lines.len() {
            let line = self.lines.get(at)?;
            touch(line);
            let used = usize::from(line.u8(0)).min(slots);
            let slot = rank(line, used, self.wide, wanted);
            if slot < used {
                // the line would have kept the key and passed on a larger one
                let key = read(line, slot, self.wide);
                return (key.fingerprint == wanted).then_some(key.payload);
            }
            if line.u32(0) >> 8 & filter_bit(wanted) == 0 {
                return None;
            }
            at = if at + 1 == self.lines.len() { 0 } else { at + 1 };
        }
        None
    }

    /// Whether payloads have 32 bits: what the lines do not tell.
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// Adds the lines as a section.
    pub(super) fn write<'s>(&'s self, place: Place, kind: Kind, out: &mut Sections<'s>) {
        out.array(place, kind, &self.lines);
    }

    /// Opens what [`Self::write`] wrote.
    pub(super) fn open(file: &Compiled, place: Place, kind: Kind, wide: bool) -> Result<Self, Malformed> {
        Ok(Self { lines: file.array(place, kind)?, wide })
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lines.memory_bytes()
    }
}

/// The upper half of the hash as a fraction of the lines.
fn home(lines: &[Line], hash: u128) -> usize {
    (((hash >> 64) * lines.len() as u128) >> 64) as usize
}

#[derive(Clone, Copy)]
struct Slot {
    fingerprint: u128,
    payload: u32,
}

fn slots_per_line(wide: bool) -> usize {
    (LINE_BYTES - SLOTS_AT) / stride(wide)
}

fn stride(wide: bool) -> usize {
    FINGERPRINT_BYTES + if wide { 4 } else { 2 }
}

fn fingerprint(line: &Line, slot: usize, stride: usize) -> u128 {
    let at = SLOTS_AT + slot * stride;
    u128::from(line.u64(at)) | u128::from(line.u16(at + 8)) << 64
}

fn read(line: &Line, slot: usize, wide: bool) -> Slot {
    let at = SLOTS_AT + slot * stride(wide) + FINGERPRINT_BYTES;
    let payload = if wide { line.u32(at) } else { line.u16(at).into() };
    Slot { fingerprint: fingerprint(line, slot, stride(wide)), payload }
}

fn write(line: &mut Line, slot: usize, key: Slot, wide: bool) {
    let at = SLOTS_AT + slot * stride(wide);
    line.put(at, &key.fingerprint.to_le_bytes()[..FINGERPRINT_BYTES]);
    line.put_uint(at + FINGERPRINT_BYTES, stride(wide) - FINGERPRINT_BYTES, key.payload.into());
}

/// How many of the fingerprints in use are smaller; all slots are compared, as that takes no branch.
fn rank(line: &Line, used: usize, wide: bool, wanted: u128) -> usize {
    let smaller = |slot| usize::from((slot < used) & (fingerprint(line, slot, stride(wide)) < wanted));
    (0..slots_per_line(wide)).map(smaller).sum()
}

fn filter_bit(fingerprint: u128) -> u32 {
    1 << (fingerprint as u32 % FILTER_BITS)
}

/// How many keys are best added at once: as many as a core has memory reads under way, and some.
pub(super) const BATCH: usize = 64;
/// Fuller lines save a byte a key and double the searches that go on to a second line.
const LOAD_PERCENT: u64 = 85;
/// One false listing in 3·10^23 probes; see the head of this file.
const FINGERPRINT_BYTES: usize = 10;
const FINGERPRINT_MASK: u128 = (1 << (8 * FINGERPRINT_BYTES)) - 1;
const FILTER_AT: usize = 1;
const FILTER_BYTES: usize = 3;
const FILTER_BITS: u32 = 24;
const SLOTS_AT: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hashes of which few bits vary, so that homes overflow and fingerprints meet.
    fn crowded() -> impl Strategy<Value = Vec<(u128, u32)>> {
        let hash = (0_u128..4, 0_u128..40).prop_map(|(home, fingerprint)| home << 126 | fingerprint);
        prop::collection::vec((hash, 1_u32..70_000), 0..60)
    }

    fn build(keys: &[(u128, u32)], largest: u32) -> (Buckets, bool) {
        let mut buckets = Buckets::with_room(keys.len() as u64, largest);
        let distinct = buckets.insert_all(&mut keys.to_vec());
        (buckets, distinct)
    }

    proptest! {
        #[test]
        fn keys_are_found_whatever_their_order(mut keys in crowded(), wide: bool) {
            if !wide {
                keys.iter_mut().for_each(|key| key.1 %= 1 << 16);
            }
            let largest = if wide { u32::MAX } else { 65_535 };
            let (forward, distinct) = build(&keys, largest);
            for &(hash, payload) in keys.iter().filter(|_| distinct) {
                prop_assert_eq!(forward.find(hash), Some(payload));
            }
            keys.reverse();
            let (backward, still_distinct) = build(&keys, largest);
            prop_assert_eq!(distinct, still_distinct);
            prop_assert!(!distinct || forward == backward);
        }

        #[test]
        fn equal_fingerprints_in_reach_are_noticed(keys in crowded()) {
            let (buckets, distinct) = build(&keys, u32::MAX);
            let all_found = keys.iter().all(|&(hash, payload)| buckets.find(hash) == Some(payload));
            prop_assert!(all_found || !distinct);
        }
    }

    fn mixed(seed: u64) -> u128 {
        siphasher::sip128::SipHasher13::new().hash(&seed.to_le_bytes()).as_u128()
    }

    #[test]
    fn nearly_all_searches_read_one_line() {
        let keys: Vec<_> = (0..100_000).map(|seed| (mixed(seed), seed as u32 % 9)).collect();
        let (buckets, distinct) = build(&keys, 8);
        assert!(distinct);
        let lines = |hash: u128| {
            let mut lines = 0;
            buckets.search(hash, |_| lines += 1);
            lines
        };
        let listed: u32 = keys.iter().map(|key| lines(key.0)).sum();
        let unlisted: u32 = (100_000..200_000).map(|seed| lines(mixed(seed))).sum();
        assert!(listed < 150_000, "{listed}");
        assert!(unlisted < 107_000, "{unlisted}");
        assert!(buckets.bytes() < 1_510_000);
    }

    #[test]
    fn nothing_is_in_no_lines() {
        assert_eq!(Buckets::default().find(5), None);
        assert_eq!(Buckets::with_room(0, 0).bytes(), 0);
    }
}
