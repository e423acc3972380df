//! IPv4: one bit a slot leads to one line of listings.
//!
//! The address space is cut into equal *slots*, about as many as there are points (see [`super::leaf`]). Neighboring
//! slots share a leaf for as long as their points fit its line, so leaves are full whether the list is sparse or
//! dense, and a bit a slot says where a new leaf begins. Counting the bits up to an address gives its leaf:
//!
//! ```text
//! directory line   0  u32 leaves begun before this line
//!                  4  9 bits each: leaves begun before bits 128, 256, 384 of this line
//!                  8  448 bits, one a slot, set where a leaf begins
//! leaf line        0  see leaf.rs   60  u32 address where it begins, from which its keys count
//! fork line        0  fork bit, separator width − 1   1  number of parts   4  u32 first part
//!                  8  separators: where each part begins, counted from the fork's own address   60  u32 that address
//! ```
//!
//! A slot whose points fill more than a line becomes a fork over parts, which are leaves kept apart in `parts`. A
//! lookup reads a directory line and a leaf, or these and a fork: two dependent lines, three at the most. If even a
//! fork cannot hold a slot the build starts over with smaller slots; 256 addresses always fit one.
//!
//! Invariant: a leaf begins at slot 0, at a slot with a point in it, or right behind a fork. A block that reaches past
//! the leaf it begins in therefore holds a listing, and `any_below` needs no structure of its own.
//!
//! It does not change after it is built, and it keeps no trace of the entries that its runs were painted from.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::file::{Compiled, Kind, Malformed, Place, Sections};
use super::leaf::{self, Draft, FORK_BIT, Leaf, Point, Run};
use super::line::{LINE_BYTES, Line, Lines, width_of};
use super::memory::{self, Array};
use super::{MAX_VALUES, ValueId};
use crate::dnsxl::Block4;
use crate::dnsxl::subject::mask4;

/// Addresses, first to last, with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run4 {
    /// The first listed address.
    pub first: u32,
    /// The last listed address; not before the first.
    pub last: u32,
    /// What is listed of them; not [`ValueId::NONE`].
    pub value: ValueId,
}

/// The listed IPv4 addresses of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ip4 {
    /// The low bits of an address that do not choose its slot.
    slot_bits: u32,
    directory: Array<Line>,
    leaves: Array<Line>,
    parts: Array<Line>,
    listed: u64,
}

impl Ip4 {
    /// Builds from ascending, disjoint runs. They are read twice, and again for each time the slots prove too wide.
    pub fn build<I: Iterator<Item = Run4> + Clone>(runs: I) -> Self {
        let (mut count, mut listed) = (0_u64, 0);
        let counted = widened(runs.clone()).inspect(|run| listed += run.last - run.first + 1);
        leaf::each_point(counted, |_| count += 1);
        if count == 0 {
            return Self::default();
        }
        let mut slot_bits = 32 - count.next_power_of_two().ilog2().clamp(MIN_DIRECTORY_BITS, MAX_DIRECTORY_BITS);
        loop {
            if let Some(packed) = Packer::new(slot_bits).pack(widened(runs.clone())) {
                return Self { listed, ..packed };
            }
            slot_bits = (slot_bits - REFINE_BITS).max(SAFE_SLOT_BITS);
        }
    }

    /// What is listed of an address.
    pub fn find(&self, address: u32) -> ValueId {
        self.leaf(address, |_| ()).map_or(ValueId::NONE, |line| ValueId(Leaf::read(line).find(offset(line, address))))
    }

    /// Whether any address of a block is listed.
    pub fn any_below(&self, block: Block4) -> bool {
        let (first, last) = (block.bits, block.bits | !mask4(block.length));
        let (Some(at), Some(end)) = (self.leaf(first, |_| ()), self.leaf(last, |_| ())) else { return false };
        // a leaf that begins within the block begins with a listing; see the invariant
        !std::ptr::eq(at, end) || Leaf::read(at).any(offset(at, first), offset(at, last))
    }

    /// Asks for the directory line of an address.
    pub fn prefetch(&self, address: u32) {
        memory::prefetch_at(&self.directory, (address >> self.slot_bits) as usize / SLOTS_PER_LINE);
    }

    /// Asks for the leaf of an address, by its directory line, which [`Self::prefetch`] should have had time to bring.
    pub fn prefetch_leaf(&self, address: u32) {
        if let Some(index) = self.leaf_index(address, |_| ()) {
            memory::prefetch_at(&self.leaves, index);
        }
    }

    /// The listed runs in order; those that touch differ in value.
    pub fn runs(&self) -> impl Iterator<Item = Run4> {
        let points = self.leaves().flat_map(|line| Leaf::read(line).points(line.u32(START_AT).into()));
        let within = leaf::runs(points).take_while(|run| run.last <= u32::MAX.into());
        within.map(|Run { first, last, value }| Run4 { first: first as u32, last: last as u32, value: ValueId(value) })
    }

    /// The number of listed addresses.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.listed == 0
    }

    /// Adds the sections of this structure.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        if !self.is_empty() {
            let head = Head { listed: self.listed.into(), slot_bits: self.slot_bits.into() };
            out.element(place, Kind::Ip4Head, head);
            out.array(place, Kind::Ip4Directory, &self.directory);
            out.array(place, Kind::Ip4Leaves, &self.leaves);
            out.array(place, Kind::Ip4Parts, &self.parts);
        }
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let Some(head) = file.element::<Head>(place, Kind::Ip4Head)? else { return Ok(Self::default()) };
        let slot_bits = head.slot_bits.get();
        if !(SAFE_SLOT_BITS.min(32 - MAX_DIRECTORY_BITS)..=32 - MIN_DIRECTORY_BITS).contains(&slot_bits) {
            return Err(Malformed("the IPv4 directory is of no possible size"));
        }
        let directory: Array<Line> = file.array(place, Kind::Ip4Directory)?;
        if directory.len() != (1_usize << (32 - slot_bits)).div_ceil(SLOTS_PER_LINE) {
            return Err(Malformed("the IPv4 directory has not the size that it says"));
        }
        let [leaves, parts] = [Kind::Ip4Leaves, Kind::Ip4Parts].map(|kind| file.array(place, kind));
        Ok(Self { slot_bits, directory, leaves: leaves?, parts: parts?, listed: head.listed.get() })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.directory.memory_bytes() + self.leaves.memory_bytes() + self.parts.memory_bytes()
    }

    /// The leaf that covers an address; `touch` sees each line that is read to find it, and the leaf itself.
    fn leaf<'t>(&'t self, address: u32, mut touch: impl FnMut(&'t Line)) -> Option<&'t Line> {
        let line = self.leaves.get(self.leaf_index(address, &mut touch)?)?;
        touch(line);
        if !is_fork(line) {
            return Some(line);
        }
        let width = separator_width(line);
        let rank = line.rank::<SEPARATORS_AT>(usize::from(line.u8(1)), width, offset(line, address));
        let part = self.part(line, rank.checked_sub(1)?)?;
        touch(part);
        Some(part)
    }

    /// Which leaf or fork covers an address; `touch` sees the directory line.
    fn leaf_index<'t>(&'t self, address: u32, mut touch: impl FnMut(&'t Line)) -> Option<usize> {
        let slot = (address >> self.slot_bits) as usize;
        let directory = self.directory.get(slot / SLOTS_PER_LINE)?;
        touch(directory);
        let bit = slot % SLOTS_PER_LINE;
        let pair = bit / 128;
        // shifted by one count, so that the first pair has none before it
        let counts = u64::from(directory.u32(COUNTS_AT)) << COUNT_BITS;
        let before = (counts >> (pair as u32 * COUNT_BITS) & COUNT_MASK) as u32;
        let [low, high] = [0, 8].map(|word| u128::from(directory.u64(BITS_AT + 16 * pair + word)));
        let in_pair = ((high << 64 | low) << (127 - bit % 128)).count_ones();
        (directory.u32(0) as usize + (before + in_pair) as usize).checked_sub(1)
    }

    fn part(&self, fork: &Line, index: usize) -> Option<&Line> {
        self.parts.get(fork.u32(FIRST_PART_AT) as usize + index)
    }

    /// All leaves in the order of their addresses.
    fn leaves(&self) -> impl Iterator<Item = &Line> {
        self.leaves.iter().flat_map(|line| {
            let parts = if is_fork(line) { line.u8(1) } else { 0 };
            let whole = (!is_fork(line)).then_some(line);
            whole.into_iter().chain((0..parts).filter_map(|index| self.part(line, index.into())))
        })
    }
}

/// What the arrays do not tell, in a compiled file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    listed: U64,
    slot_bits: U32,
}

/// How far an address is behind the beginning of its leaf or fork.
fn offset(line: &Line, address: u32) -> u64 {
    address.wrapping_sub(line.u32(START_AT)).into()
}

fn is_fork(line: &Line) -> bool {
    line.u8(0) & FORK_BIT != 0
}

fn separator_width(fork: &Line) -> usize {
    usize::from(fork.u8(0) & !FORK_BIT) + 1
}

/// Runs as leaves have them.
fn widened(runs: impl Iterator<Item = Run4>) -> impl Iterator<Item = Run> {
    runs.map(|run| {
        debug_assert!(run.first <= run.last && run.value.is_listed() && run.value.0 <= MAX_VALUES);
        Run { first: run.first.into(), last: run.last.into(), value: run.value.0 }
    })
}

/// Fills leaves from left to right.
struct Packer {
    slot_bits: u32,
    directory: Vec<Line>,
    leaves: Lines,
    parts: Lines,
    /// The leaf that is being filled; it starts at the beginning of a slot, and is marked where the slot at hand begins.
    open: Draft,
    /// The slot at hand; none before the first point.
    slot: Option<u64>,
    /// All points of the slot at hand, once they prove more than fill a line.
    crowd: Vec<Point>,
    /// The first slot that no leaf covers, if the next leaf has to begin there even if nothing is listed in it.
    uncovered: Option<u64>,
    /// The last point before the slot at hand; if it reaches, a leaf that begins behind it begins with its value.
    previous: Option<Point>,
    /// Whether a slot held more than a fork does.
    is_too_wide: bool,
}

impl Packer {
    fn new(slot_bits: u32) -> Self {
        Self {
            slot_bits,
            directory: Vec::new(),
            leaves: Lines::default(),
            parts: Lines::default(),
            open: Draft::new(START_AT),
            slot: None,
            crowd: Vec::new(),
            uncovered: Some(0),
            previous: None,
            is_too_wide: false,
        }
    }

    /// The table but for its number of listings, or nothing if a slot holds more than a fork does.
    fn pack(mut self, runs: impl Iterator<Item = Run>) -> Option<Ip4> {
        leaf::each_point(runs, |point| self.add(point));
        self.end_slot();
        if self.is_too_wide {
            return None;
        }
        let slots = 1 << (32 - self.slot_bits);
        if let Some(slot) = self.uncovered {
            self.open.begin(slot << self.slot_bits);
        }
        if self.uncovered != Some(slots) {
            self.close();
        }
        self.reach_line((slots as usize - 1) / SLOTS_PER_LINE);
        Some(Ip4 {
            slot_bits: self.slot_bits,
            directory: self.directory.into(),
            leaves: self.leaves.finish(),
            parts: self.parts.finish(),
            listed: 0,
        })
    }

    #[inline]
    fn add(&mut self, point: Point) {
        let slot = point.key >> self.slot_bits;
        if self.slot != Some(slot) {
            self.end_slot();
            self.slot = Some(slot);
            if let Some(uncovered) = self.uncovered.take() {
                self.begin(uncovered, point.key);
            }
            self.open.mark();
        }
        if !self.crowd.is_empty() || !self.open.push(point) {
            self.overflow(slot, point);
        }
    }

    /// Adds a point of the slot at hand that the open leaf has no room for.
    #[inline(never)]
    fn overflow(&mut self, slot: u64, point: Point) {
        if !self.crowd.is_empty() {
            return self.crowd.push(point);
        }
        self.crowd.extend(self.open.take_back());
        self.crowd.push(point);
        if self.open.start >> self.slot_bits != slot {
            self.close();
            self.begin(slot, self.crowd[0].key);
            self.open.mark();
            if self.crowd.iter().all(|&point| self.open.push(point)) {
                self.crowd.clear();
            } else {
                drop(self.open.take_back());
            }
        }
    }

    /// Does what has to wait until all points of the slot at hand are there.
    fn end_slot(&mut self) {
        self.previous = self.crowd.last().or_else(|| self.open.points().last()).copied();
        if !self.crowd.is_empty() {
            self.is_too_wide |= self.fork().is_none();
            self.crowd.clear();
            self.uncovered = self.slot.map(|slot| slot + 1);
        }
    }

    /// Opens a leaf at a slot, whose first point to come is at `next_key`.
    fn begin(&mut self, slot: u64, next_key: u64) {
        let start = slot << self.slot_bits;
        self.open.begin(start);
        if let Some(point) = self.previous.filter(|point| point.reaches && start < next_key) {
            let carried = Point { key: start, value: point.value, reaches: next_key - start > 1 };
            // one point fits every line
            let _ = self.open.push(carried);
        }
    }

    fn close(&mut self) {
        self.push(self.open.line());
    }

    /// Divides the open leaf, which holds at most a carried point, and the crowd among parts.
    fn fork(&mut self) -> Option<()> {
        let start = self.open.start;
        let mut line = Line::ZERO;
        let width = width_of((1 << self.slot_bits) - 1);
        let mut count = 0;
        line.put_uint(FIRST_PART_AT, 4, self.parts.len() as u64);
        let mut part = Draft::new(START_AT);
        part.begin(start);
        for &point in self.open.points().iter().chain(&self.crowd) {
            if !part.push(point) {
                self.parts.push(begun_at(part.line(), part.start));
                part.begin(point.key);
                let _ = part.push(point);
                count += 1;
                if SEPARATORS_AT + (count + 1) * width > START_AT {
                    return None;
                }
                line.put_uint(SEPARATORS_AT + count * width, width, point.key - start);
            }
        }
        self.parts.push(begun_at(part.line(), part.start));
        line.put(0, &[FORK_BIT | (width - 1) as u8, (count + 1) as u8]);
        self.push(line);
        Some(())
    }

    /// Appends a leaf or fork and marks the slot it begins at.
    fn push(&mut self, line: Line) {
        let slot = (self.open.start >> self.slot_bits) as usize;
        self.reach_line(slot / SLOTS_PER_LINE);
        let bit = slot % SLOTS_PER_LINE;
        let at = BITS_AT + bit / 64 * 8;
        if let Some(directory) = self.directory.last_mut() {
            directory.put(at, &(directory.u64(at) | 1 << (bit % 64)).to_le_bytes());
            // one more has begun before each pair of words that follows
            let later = (bit / 128..COUNTS).fold(0, |counts, pair| counts | 1 << (pair as u32 * COUNT_BITS));
            directory.put(COUNTS_AT, &(directory.u32(COUNTS_AT) + later).to_le_bytes());
        }
        self.leaves.push(begun_at(line, self.open.start));
    }

    /// Extends the directory up to a line.
    fn reach_line(&mut self, number: usize) {
        while self.directory.len() <= number {
            let mut line = Line::ZERO;
            line.put_uint(0, 4, self.leaves.len() as u64);
            self.directory.push(line);
        }
    }
}

/// The line with the address its keys count from.
fn begun_at(mut line: Line, start: u64) -> Line {
    line.put_uint(START_AT, 4, start);
    line
}

/// Three counts in 32 bits, so that a lookup counts the bits of two words and not of seven.
const COUNTS_AT: usize = 4;
const COUNTS: usize = 3;
/// A count is at most 384.
const COUNT_BITS: u32 = 9;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Where the bits of a directory line start.
const BITS_AT: usize = 8;
/// As many bits as fit a line beside its two numbers.
const SLOTS_PER_LINE: usize = (LINE_BYTES - BITS_AT) * 8;
/// The smallest directory is of 4,096 slots in 640 bytes; smaller ones would save nothing beside the process.
const MIN_DIRECTORY_BITS: u32 = 12;
/// The largest is of 2^26 slots in 9.6 MB: beyond, the directory grows by more than fuller leaves save.
const MAX_DIRECTORY_BITS: u32 = 26;
/// How many bits slots get narrower when one is too full for a fork: few passes, without overshooting by much.
const REFINE_BITS: u32 = 2;
/// A slot of 256 addresses has at most 256 points, 14 of which fit a part at the widest, and a fork has up to 52 parts.
const SAFE_SLOT_BITS: u32 = 8;
/// Where a leaf or fork says at which address it begins; what is before it is the leaf's own.
const START_AT: usize = LINE_BYTES - 4;
const FIRST_PART_AT: usize = 4;
const SEPARATORS_AT: usize = 8;

#[cfg(test)]
mod tests;
