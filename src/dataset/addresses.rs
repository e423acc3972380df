//! Statements about addresses as they are collected: packed, parted by the first octet, and settled by a rule.
//!
//! Listings come by the hundred million, so what is kept of a line decides how much memory a load takes. A single IPv4
//! address with one of the first 256 values, which is nearly every line of nearly every list, is four bytes: its
//! octet is where it stands. Everything else is whole prefixes in rows of a few words:
//!
//! ```text
//! IPv4                  address, then 7 bits of length, 25 of value                     8 bytes
//! IPv6, /64 or shorter  upper half of the address, the same                            12
//! IPv6, longer          address, the same, the length less 64                          20
//! where the first of two equal prefixes holds: one word more, the line number before the value
//! ```
//!
//! Parting IPv4 by the first octet is the first pass of the sort, done while parsing, and leaves pieces that fit a
//! cache and can be sorted by several threads. *Settling* then walks each piece once, in order: what overlaps nothing
//! stays where it is, and only what overlaps is unpacked for the format's rule. Invariant: settled, a piece's blocks
//! are disjoint and listed, and came to the same whatever the order they were pushed in; only where the first of two
//! equal prefixes holds does the line number tell.

use std::sync::Mutex;

use super::blocks::{Address, Run, Statement, prefixes};
use super::room::make_room;
use super::sort::{self, Digits};
use super::values::{ListId, Lists, Met};

/// A prefix with what is said of it, packed.
pub(super) trait Row<T>: Digits + Send {
    /// The row, if one of this kind can hold it.
    fn pack(block: &Block<T>) -> Option<Self>;

    /// What was packed; `base` is the first address of the piece.
    fn unpack(self, base: T) -> Block<T>;
}

/// A prefix with what is said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<T> {
    pub(super) first: T,
    pub(super) last: T,
    pub(super) length: u8,
    /// 0: an exclusion; else one more than a [`Met`], or, settled, a [`ListId`].
    code: u32,
    /// The line, counted through all files; 0 where it does not matter.
    at: u32,
}

impl<T: Address> Block<T> {
    fn statement(&self) -> Statement<T> {
        Statement { first: self.first, last: self.last, said: self.code.checked_sub(1).map(Met), at: self.at }
    }

    fn run(&self) -> Run<T> {
        Run { first: self.first, last: self.last, list: self.code.checked_sub(1).map(ListId) }
    }
}

/// A single IPv4 address within a known octet, and one of the first 256 values: 24 bits and 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Single(u32);

impl Digits for Single {
    const COUNT: usize = 4;

    fn digit(&self, index: usize) -> u8 {
        (self.0 >> (24 - 8 * index)) as u8
    }
}

impl Row<u32> for Single {
    fn pack(block: &Block<u32>) -> Option<Self> {
        let value = block.code.checked_sub(1).filter(|&value| value < 256 && block.length == 32)?;
        Some(Self(block.first << 8 | value))
    }

    fn unpack(self, base: u32) -> Block<u32> {
        let address = base | self.0 >> 8;
        Block { first: address, last: address, length: 32, code: (self.0 & 0xff) + 1, at: 0 }
    }
}

/// A prefix in words: `A` of its address, then one for length and value, or two with the line between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed<const A: usize, const N: usize>([u32; N]);

impl<const A: usize, const N: usize> Packed<A, N> {
    const HAS_LINE: bool = N == A + 2;
    /// The shortest length: with four words, those up to /64 have rows of their own.
    const SHORTEST: u8 = if A == 4 { 64 } else { 0 };
}

impl<const A: usize, const N: usize> Digits for Packed<A, N> {
    const COUNT: usize = 4 * N;

    fn digit(&self, index: usize) -> u8 {
        (self.0[index / 4] >> (24 - 8 * (index % 4))) as u8
    }
}

impl<T: Address, const A: usize, const N: usize> Row<T> for Packed<A, N> {
    fn pack(block: &Block<T>) -> Option<Self> {
        let length = block.length.checked_sub(Self::SHORTEST)?;
        if u32::from(length) > 32 * A as u32 {
            return None;
        }
        let mut words = [0; N];
        words[..A].copy_from_slice(&block.first.to_words()[..A]);
        let length = u32::from(length) << VALUE_BITS;
        if Self::HAS_LINE {
            words[A] = length | block.at >> (32 - VALUE_BITS);
            words[A + 1] = block.at << VALUE_BITS | block.code;
        } else {
            words[A] = length | block.code;
        }
        Some(Self(words))
    }

    fn unpack(self, _base: T) -> Block<T> {
        let mut words = [0; 4];
        words[..A].copy_from_slice(&self.0[..A]);
        let first = T::from_words(words);
        let length = (self.0[A] >> VALUE_BITS) as u8 + Self::SHORTEST;
        let (code, at) = if Self::HAS_LINE {
            (self.0[A + 1] & VALUE_MASK, self.0[A] << (32 - VALUE_BITS) | self.0[A + 1] >> VALUE_BITS)
        } else {
            (self.0[A] & VALUE_MASK, 0)
        };
        Block { first, last: first.last_of(length), length, code, at }
    }
}

/// The statements about the addresses of one piece of the space, and later what they came to.
#[derive(Debug)]
struct Piece<T, A, B> {
    base: T,
    narrow: Vec<A>,
    wide: Vec<B>,
    /// Settled runs that are not one prefix, or for which no row was free.
    rest: Vec<Run<T>>,
}

impl<T: Address, A: Row<T>, B: Row<T>> Piece<T, A, B> {
    fn at(base: T) -> Self {
        Self { base, narrow: Vec::new(), wide: Vec::new(), rest: Vec::new() }
    }

    fn push(&mut self, block: &Block<T>) {
        if let Some(row) = A::pack(block) {
            make_room(&mut self.narrow, 1);
            self.narrow.push(row);
        } else if let Some(row) = B::pack(block) {
            make_room(&mut self.wide, 1);
            self.wide.push(row);
        }
    }

    fn sort(&mut self) {
        sort::sort(&mut self.narrow);
        sort::sort(&mut self.wide);
    }

    /// Leaves disjoint listed blocks. What is kept takes the place of rows already seen, so that nothing is added.
    fn settle(&mut self, rule: &mut impl Rule<T>, lists: &mut Lists) {
        let base = self.base;
        let (mut narrow, mut wide) = (0, 0);
        let (mut narrow_kept, mut wide_kept) = (0, 0);
        loop {
            let (begin, wide_begin) = (narrow, wide);
            let next_narrow = self.narrow.get(narrow).map(|row| row.unpack(base));
            let next_wide = self.wide.get(wide).map(|row| row.unpack(base));
            let (is_narrow, block) = match (next_narrow, next_wide) {
                (None, None) => break,
                (Some(block), None) => (true, block),
                (Some(block), Some(other)) if block.first <= other.first => (true, block),
                (_, Some(block)) => (false, block),
            };
            if is_narrow {
                narrow += 1;
                // a line that stands twice is no news; where its number tells, the rows differ
                while self.narrow.get(narrow) == self.narrow.get(begin) {
                    narrow += 1;
                }
            } else {
                wide += 1;
                while self.wide.get(wide) == self.wide.get(wide_begin) {
                    wide += 1;
                }
            }
            let mut last = block.last;
            let mut alone = true;
            loop {
                if let Some(more) = self.narrow.get(narrow).map(|row| row.unpack(base)).filter(|m| m.first <= last) {
                    last = last.max(more.last);
                    narrow += 1;
                } else if let Some(more) = self.wide.get(wide).map(|row| row.unpack(base)).filter(|m| m.first <= last) {
                    last = last.max(more.last);
                    wide += 1;
                } else {
                    break;
                }
                alone = false;
            }
            if alone && rule.stands(&block) {
                if let Some(value) = block.code.checked_sub(1) {
                    lists.of_one(Met(value));
                    if is_narrow {
                        self.narrow[narrow_kept] = self.narrow[begin];
                        narrow_kept += 1;
                    } else {
                        self.wide[wide_kept] = self.wide[wide_begin];
                        wide_kept += 1;
                    }
                }
                continue;
            }
            let narrow_rows = self.narrow[begin..narrow].iter().map(|row| row.unpack(base));
            let wide_rows = self.wide[wide_begin..wide].iter().map(|row| row.unpack(base));
            let statements = narrow_rows.chain(wide_rows).map(|block| block.statement()).collect();
            for run in rule.resolve(statements, lists) {
                let Some(list) = run.list else { continue };
                let mut covering = prefixes(run.first, run.last);
                if let (Some((first, length)), None) = (covering.next(), covering.next()) {
                    let block = Block { first, last: run.last, length, code: list.0 + 1, at: 0 };
                    if narrow_kept < narrow
                        && let Some(row) = A::pack(&block)
                    {
                        self.narrow[narrow_kept] = row;
                        narrow_kept += 1;
                        continue;
                    }
                    if wide_kept < wide
                        && let Some(row) = B::pack(&block)
                    {
                        self.wide[wide_kept] = row;
                        wide_kept += 1;
                        continue;
                    }
                }
                self.rest.push(run);
            }
        }
        self.narrow.truncate(narrow_kept);
        self.wide.truncate(wide_kept);
    }

    /// The settled runs, in order.
    fn runs(&self) -> Runs<'_, T, A, B> {
        Runs { base: self.base, narrow: &self.narrow, wide: &self.wide, rest: &self.rest }
    }

    fn into_runs(self) -> impl Iterator<Item = Run<T>> {
        let base = self.base;
        let narrow = Drained::of(self.narrow).map(move |row| row.unpack(base).run());
        let wide = Drained::of(self.wide).map(move |row| row.unpack(base).run());
        Merge::of(Merge::of(narrow, wide), self.rest.into_iter())
    }
}

/// The settled runs of a piece, in order.
#[derive(Clone)]
struct Runs<'p, T, A, B> {
    base: T,
    narrow: &'p [A],
    wide: &'p [B],
    rest: &'p [Run<T>],
}

impl<T: Address, A: Row<T>, B: Row<T>> Iterator for Runs<'_, T, A, B> {
    type Item = Run<T>;

    #[inline]
    fn next(&mut self) -> Option<Run<T>> {
        let narrow = self.narrow.split_first();
        let first = narrow.map(|(row, _)| row.unpack(self.base));
        let is_before = |other: T| first.is_none_or(|block| other < block.first);
        if !self.wide.is_empty() || !self.rest.is_empty() {
            let wide = self.wide.first().map(|row| row.unpack(self.base)).filter(|block| is_before(block.first));
            let rest = self.rest.split_first().filter(|(run, _)| is_before(run.first));
            match (wide, rest) {
                (wide, Some((run, rest))) if wide.is_none_or(|block| run.first < block.first) => {
                    self.rest = rest;
                    return Some(*run);
                }
                (Some(block), _) => {
                    self.wide = &self.wide[1..];
                    return Some(block.run());
                }
                _ => {}
            }
        }
        self.narrow = narrow?.1;
        Some(first?.run())
    }

    fn fold<F, G: FnMut(F, Run<T>) -> F>(mut self, first: F, mut add: G) -> F {
        // most pieces have narrow rows alone
        if self.wide.is_empty() && self.rest.is_empty() {
            return self.narrow.iter().map(|row| row.unpack(self.base).run()).fold(first, add);
        }
        let mut folded = first;
        // `for` is this very function where the compiler sees through it, and the pieces that come here have few runs
        for run in self.by_ref() {
            folded = add(folded, run);
        }
        folded
    }
}

/// What a format makes of statements that overlap.
pub(super) trait Rule<T> {
    /// Whether a block that overlaps no other statement is as it was said to be.
    fn stands(&mut self, block: &Block<T>) -> bool;

    /// The runs that statements come to which overlap each other, sorted by their first address.
    fn resolve(&mut self, statements: Vec<Statement<T>>, lists: &mut Lists) -> Vec<Run<T>>;
}

/// Two ascending sequences of runs as one.
struct Merge<I: Iterator, J: Iterator> {
    one: I,
    other: J,
    next: Option<I::Item>,
    next_other: Option<J::Item>,
}

impl<T, I: Iterator<Item = Run<T>>, J: Iterator<Item = Run<T>>> Merge<I, J> {
    fn of(mut one: I, mut other: J) -> Self {
        let (next, next_other) = (one.next(), other.next());
        Self { one, other, next, next_other }
    }
}

impl<T: Address, I: Iterator<Item = Run<T>>, J: Iterator<Item = Run<T>>> Iterator for Merge<I, J> {
    type Item = Run<T>;

    fn next(&mut self) -> Option<Run<T>> {
        match (self.next, self.next_other) {
            (Some(run), Some(other)) if other.first < run.first => {
                std::mem::replace(&mut self.next_other, self.other.next())
            }
            (Some(_), _) => std::mem::replace(&mut self.next, self.one.next()),
            (None, _) => std::mem::replace(&mut self.next_other, self.other.next()),
        }
    }
}

/// All statements about addresses of one kind, and later what they came to.
#[derive(Debug)]
pub(super) struct Addresses<T, A, B> {
    pieces: Vec<Piece<T, A, B>>,
    /// How many entries were pushed.
    pub(super) count: u64,
    /// How many of them are exclusions.
    pub(super) excluded: u64,
    /// Whether prefixes stay whole, as their length decides; a piece then need not be all there is of its addresses.
    whole: bool,
    /// Whether a prefix was pushed that reaches beyond its piece.
    reaches: bool,
}

/// IPv4 where statements that overlap have no order.
pub(super) type Addresses4 = Addresses<u32, Single, Packed<1, 2>>;
/// IPv4 where of two equal prefixes the first holds.
pub(super) type Prefixes4 = Addresses<u32, Packed<1, 3>, Packed<1, 3>>;
/// IPv6 where statements that overlap have no order.
pub(super) type Addresses6 = Addresses<u128, Packed<2, 3>, Packed<4, 5>>;
/// IPv6 where of two equal prefixes the first holds.
pub(super) type Prefixes6 = Addresses<u128, Packed<2, 4>, Packed<4, 6>>;

impl<T: Address, A: Row<T>, B: Row<T>> Addresses<T, A, B> {
    /// None yet; `whole` if the length of a prefix matters, so that it must not be parted.
    pub(super) fn new(whole: bool) -> Self {
        Self { pieces: Vec::new(), count: 0, excluded: 0, whole, reaches: false }
    }

    /// Takes a statement; `at` is the line, counted through all files.
    pub(super) fn push(&mut self, first: T, last: T, said: Option<Met>, at: u32) {
        self.count += 1;
        self.excluded += u64::from(said.is_none());
        if self.pieces.is_empty() {
            self.pieces.extend(T::pieces().map(Piece::at));
        }
        let code = said.map_or(0, |met| met.0 + 1);
        if first == last {
            let block = Block { first, last, length: T::BITS, code, at };
            return self.pieces[first.piece()].push(&block);
        }
        for (bits, length) in prefixes(first, last) {
            let last = bits.last_of(length);
            if bits.piece() == last.piece() {
                self.pieces[bits.piece()].push(&Block { first: bits, last, length, code, at });
            } else if self.whole {
                self.reaches = true;
                self.pieces[bits.piece()].push(&Block { first: bits, last, length, code, at });
            } else {
                for piece in &mut self.pieces[bits.piece()..=last.piece()] {
                    let first = piece.base;
                    let length = T::PIECE_LENGTH;
                    piece.push(&Block { first, last: first.last_of(length), length, code, at });
                }
            }
        }
    }

    /// Takes over what another thread collected of the same list, its values numbered anew by `met`.
    pub(super) fn absorb(&mut self, other: Self, met: impl Fn(Met) -> Met) {
        self.count += other.count;
        self.excluded += other.excluded;
        self.reaches |= other.reaches;
        if self.pieces.is_empty() && !other.pieces.is_empty() {
            self.pieces.extend(T::pieces().map(Piece::at));
        }
        for (mine, theirs) in self.pieces.iter_mut().zip(other.pieces) {
            let base = theirs.base;
            let numbered = |block: Block<T>| match block.code.checked_sub(1) {
                Some(value) => Block { code: met(Met(value)).0 + 1, ..block },
                None => block,
            };
            // at once, as a vector that grows by steps leaves its former places behind
            mine.narrow.reserve_exact(theirs.narrow.len());
            mine.wide.reserve_exact(theirs.wide.len());
            theirs.narrow.into_iter().for_each(|row| mine.push(&numbered(row.unpack(base))));
            theirs.wide.into_iter().for_each(|row| mine.push(&numbered(row.unpack(base))));
        }
    }

    /// Sorts the statements, by so many threads, and settles them by a rule.
    pub(super) fn settle(&mut self, rule: &mut impl Rule<T>, lists: &mut Lists, threads: usize) {
        if self.reaches {
            // rows of whole prefixes say their address in full, so that any piece can hold them
            let mut all = Piece::at(T::default());
            for piece in self.pieces.drain(..) {
                all.narrow.extend(piece.narrow);
                all.wide.extend(piece.wide);
            }
            self.pieces.push(all);
        }
        let threads = if self.count < ALONE_BELOW { 1 } else { threads };
        let queue = Mutex::new(self.pieces.iter_mut());
        let sort = || {
            while let Some(piece) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                piece.sort();
            }
        };
        std::thread::scope(|scope| {
            // a thread that cannot be had is done without
            (1..threads).for_each(|_| _ = std::thread::Builder::new().spawn_scoped(scope, sort));
            sort();
        });
        for piece in &mut self.pieces {
            piece.settle(rule, lists);
        }
    }

    /// The settled runs, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run<T>> + Clone {
        self.pieces.iter().flat_map(Piece::runs)
    }

    /// The settled runs, in order; memory is given back as they are taken.
    pub(super) fn into_runs(self) -> impl Iterator<Item = Run<T>> {
        self.pieces.into_iter().flat_map(Piece::into_runs)
    }
}

/// Rows taken from the front of a vector, which gets shorter.
struct Drained<R> {
    reversed: Vec<R>,
}

impl<R> Drained<R> {
    fn of(mut rows: Vec<R>) -> Self {
        rows.reverse();
        Self { reversed: rows }
    }
}

impl<R> Iterator for Drained<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let row = self.reversed.pop();
        if self.reversed.len().is_multiple_of(GIVEN_BACK) {
            self.reversed.shrink_to_fit();
        }
        row
    }
}

/// Fewer statements are sorted sooner than a thread is started.
const ALONE_BELOW: u64 = 1 << 16;
/// Rows whose memory is given back at once.
const GIVEN_BACK: usize = 1 << 16;
const VALUE_BITS: u32 = 25;
const VALUE_MASK: u32 = (1 << VALUE_BITS) - 1;
