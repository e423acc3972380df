//! A cache line: the unit in which every structure of a table is laid out and a lookup is priced.
//!
//! Layout: 64 bytes at an address that is a multiple of 64; whoever stores into it says at which offsets. Numbers are
//! little-endian and may be any whole number of bytes wide, as keys are stored no wider than their line needs.
//!
//! Invariant: none of its own. Reading past the end gives zeros and counts nothing, so that a line whose header lies
//! leads to a wrong answer and not to a panic.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::memory::Array;

/// One aligned cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(64))]
pub(super) struct Line([u8; LINE_BYTES]);

impl Line {
    /// A line of zeros.
    pub(super) const ZERO: Self = Self([0; LINE_BYTES]);

    pub(super) fn u8(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(super) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    /// The number of `width` bytes at `at`; a width of 0–8.
    pub(super) fn uint(&self, at: usize, width: usize) -> u64 {
        if width == 0 || at + width > LINE_BYTES {
            return 0;
        }
        // one load of eight bytes, moved back where it would leave the line, and no loop over the width
        let from = at.min(LINE_BYTES - 8);
        self.u64(from) >> (8 * (at - from)) & u64::MAX >> (64 - 8 * width.min(8))
    }

    /// Writes bytes at `at`. They must fit.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes the low `width` bytes of a number at `at`. They must fit.
    pub(super) fn put_uint(&mut self, at: usize, width: usize, value: u64) {
        self.put(at, &value.to_le_bytes()[..width]);
    }

    /// Writes the low `width` bytes, 1–8, of one number after the other from `at` on, as many as fit.
    ///
    /// As [`Self::rank`], with steps of a fixed width: copies of a length that is not known beforehand are calls.
    #[inline]
    pub(super) fn put_uints(&mut self, at: usize, width: usize, values: impl Iterator<Item = u64>) {
        let lanes = self.0.get_mut(at..).unwrap_or_default();
        match width {
            1 => put_lanes::<1>(lanes, values),
            2 => put_lanes::<2>(lanes, values),
            3 => put_lanes::<3>(lanes, values),
            4 => put_lanes::<4>(lanes, values),
            5 => put_lanes::<5>(lanes, values),
            6 => put_lanes::<6>(lanes, values),
            7 => put_lanes::<7>(lanes, values),
            _ => put_lanes::<8>(lanes, values),
        }
    }

    /// Moves `length` bytes from `from` to `to`, which may overlap.
    pub(super) fn shift(&mut self, from: usize, to: usize, length: usize) {
        self.0.copy_within(from..from + length, to);
    }

    /// How many of the `count` ascending keys of `width` bytes that start at `at` are `wanted` or less.
    ///
    /// All places up to the end of the line are compared, keys or not, with lanes as wide as the keys: a fixed number
    /// of steps without a branch, which the compiler turns into a few vector instructions at one, two and four bytes.
    #[inline]
    pub(super) fn rank<const AT: usize>(&self, count: usize, width: usize, wanted: u64) -> usize {
        let keys = self.0.get(AT..).unwrap_or_default();
        match width {
            1 if wanted > u8::MAX.into() => count,
            2 if wanted > u16::MAX.into() => count,
            1 => {
                let at_most = |(at, &key): (u8, &u8)| u8::from((key <= wanted as u8) & (usize::from(at) < count));
                (0..).zip(keys).map(at_most).sum::<u8>().into()
            }
            2 => {
                let (count, wanted) = (count as u16, wanted as u16);
                let at_most = |(at, &key)| u16::from((u16::from_le_bytes(key) <= wanted) & (at < count));
                (0_u16..).zip(keys.as_chunks().0).map(at_most).sum::<u16>().into()
            }
            3 => rank_of::<3>(keys, count, wanted),
            4 => rank_of::<4>(keys, count, wanted),
            5 => rank_of::<5>(keys, count, wanted),
            6 => rank_of::<6>(keys, count, wanted),
            7 => rank_of::<7>(keys, count, wanted),
            _ => rank_of::<8>(keys, count, wanted),
        }
    }
}

/// Lines as they are collected by the million. They are not aligned yet, so that a vector of them grows without a copy.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<[u8; LINE_BYTES]>);

impl Lines {
    pub(super) fn push(&mut self, line: Line) {
        self.0.push(line.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lines where they are to stay.
    pub(super) fn finish(self) -> Array<Line> {
        Array::collected(self.0)
    }
}

fn rank_of<const WIDTH: usize>(keys: &[u8], count: usize, wanted: u64) -> usize {
    let at_most = |key: &[u8; WIDTH]| {
        let mut bytes = [0; 8];
        bytes[..WIDTH].copy_from_slice(key);
        u64::from_le_bytes(bytes) <= wanted
    };
    keys.as_chunks().0.iter().take(count).map(|key| usize::from(at_most(key))).sum()
}

fn put_lanes<const WIDTH: usize>(lanes: &mut [u8], values: impl Iterator<Item = u64>) {
    for (lane, value) in lanes.as_chunks_mut::<WIDTH>().0.iter_mut().zip(values) {
        lane.copy_from_slice(&value.to_le_bytes()[..WIDTH]);
    }
}

/// How many bytes a number needs; at least one.
pub(super) fn width_of(value: u64) -> usize {
    (value.max(1).ilog2() / 8 + 1) as usize
}

/// The cache line of every processor this is likely to run on.
pub(super) const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_keys_of_every_width() {
        for width in 1..=8 {
            let mut line = Line::ZERO;
            let top = u64::MAX >> (64 - 8 * width);
            let keys = [0, 1, 7, top - 1, top];
            line.put_uints(3, width, keys.into_iter());
            for (index, &key) in keys.iter().enumerate() {
                assert_eq!(line.uint(3 + index * width, width), key);
            }
            for wanted in [0, 1, 6, 7, 8, top - 2, top - 1, top, u64::MAX] {
                let expected = keys.iter().filter(|&&key| key <= wanted).count();
                assert_eq!(line.rank::<3>(keys.len(), width, wanted), expected, "{width} bytes, {wanted}");
            }
        }
    }

    #[test]
    fn widths() {
        assert_eq!([0, 255, 256, 65_535, 65_536, u64::MAX].map(width_of), [1, 1, 2, 2, 3, 8]);
    }

    #[test]
    fn past_the_end_is_nothing() {
        assert_eq!(Line::ZERO.rank::<60>(9, 1, 1), 4);
        assert_eq!(Line::ZERO.u64(60), 0);
        assert_eq!(Line::ZERO.uint(63, 2), 0);
    }
}
