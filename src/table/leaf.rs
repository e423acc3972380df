//! A leaf: the listings of a stretch of key space in one cache line.
//!
//! What is listed of an ordered space is turned into *points*. A point is a listed key, its value, and whether it
//! reaches: whether all keys strictly between it and the next point have its value too. A single address is one point,
//! a longer run two, its first (which reaches) and its last; of runs that touch, the last of the former is left out.
//! Gaps need no point, so the common list, of scattered single addresses, has one point a listing.
//!
//! ```text
//! 0       key width − 1 (bits 0–2), value width (bits 3–5; 0: one value for all), mask present (bit 6), fork (bit 7)
//! 1       number of points, n
//! 2       n keys, relative to the leaf's start
//! …       n values; or one value of 4 bytes
//! …       if there is a mask: n bits, set where a point reaches
//! ```
//!
//! Invariant: keys ascend strictly, and a leaf is no wider than its largest offset and value ask for. Nineteen
//! random IPv4 addresses with a value of one byte each fill a line.
//!
//! A leaf does not know where it starts or ends; whoever found it does. Bit 7 is the fork of [`super::ip4`].

use super::line::{Line, width_of};

/// Listed keys, first to last, with one value that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) value: u32,
}

/// A listed key, and whether its value holds up to the next point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) key: u64,
    pub(super) value: u32,
    pub(super) reaches: bool,
}

/// Joins ascending runs that touch and have one value, as equal content must have equal points.
pub(super) fn merge(runs: impl Iterator<Item = Run>) -> impl Iterator<Item = Run> {
    let mut runs = runs.peekable();
    std::iter::from_fn(move || {
        let mut run = runs.next()?;
        while let Some(next) = runs.next_if(|next| next.value == run.value && touches(run, next.first)) {
            run.last = next.last;
        }
        Some(run)
    })
}

/// Hands on the points of ascending, disjoint runs; those that touch and have one value are joined, as equal content
/// must have equal points.
///
/// It takes the iterator through to its end by itself: a hundred million runs are not to be asked for one by one.
pub(super) fn each_point(runs: impl Iterator<Item = Run>, mut each: impl FnMut(Point)) {
    let mut open: Option<Run> = None;
    let mut close = |run: Run, is_met: bool| {
        let Run { first, last, value } = run;
        let is_one = last == first || is_met;
        each(Point { key: first, value, reaches: last - first > u64::from(!is_one) });
        if !is_one {
            each(Point { key: last, value, reaches: false });
        }
    };
    runs.for_each(|run| match &mut open {
        Some(before) if before.value == run.value && touches(*before, run.first) => before.last = run.last,
        Some(before) => {
            let is_met = touches(*before, run.first);
            close(std::mem::replace(before, run), is_met);
        }
        None => open = Some(run),
    });
    if let Some(run) = open {
        close(run, false);
    }
}

/// The runs of ascending points, merged: what [`each_point`] was given.
///
/// They ascend whatever the points are: what a damaged leaf has out of order, or without a value, is left out.
pub(super) fn runs(points: impl Iterator<Item = Point>) -> impl Iterator<Item = Run> {
    let mut points = points.peekable();
    let all = std::iter::from_fn(move || {
        let Point { key, value, reaches } = points.next()?;
        let last = points.peek().filter(|_| reaches).map_or(key, |next| next.key.saturating_sub(1));
        Some(Run { first: key, last, value })
    });
    let mut end = None;
    merge(all.filter(move |run| {
        let is_behind = run.value != 0 && run.first <= run.last && end.is_none_or(|end| end < run.first);
        if is_behind {
            end = Some(run.last);
        }
        is_behind
    }))
}

fn touches(run: Run, first: u64) -> bool {
    run.last.checked_add(1) == Some(first)
}

/// The points of a leaf while it is filled, and what decides its size.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) start: u64,
    points: Vec<Point>,
    shape: Shape,
    /// How many points, of which shape, there were at the last [`Self::mark`].
    marked: (usize, Shape),
    /// Bytes of the line.
    room: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    last_key: u64,
    /// The bits of all values, and the bits in which any two differ.
    any_value: u32,
    differing: u32,
    reaches: bool,
}

impl Shape {
    fn with(mut self, first_value: u32, point: Point) -> Self {
        self.last_key = point.key;
        self.any_value |= point.value;
        self.differing |= point.value ^ first_value;
        self.reaches |= point.reaches;
        self
    }

    fn value_width(self) -> usize {
        if self.differing == 0 { 0 } else { width_of(self.any_value.into()) }
    }

    fn bytes(self, count: usize, start: u64) -> usize {
        let values = if self.differing == 0 { SHARED_BYTES } else { count * self.value_width() };
        let mask = if self.reaches { count.div_ceil(8) } else { 0 };
        KEYS_AT + count * width_of(self.last_key.saturating_sub(start)) + values + mask
    }
}

impl Draft {
    /// A draft for a leaf at the beginning of a line, of which it may fill so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { start: 0, points: Vec::new(), shape: Shape::default(), marked: (0, Shape::default()), room }
    }

    /// Empties the draft for a leaf that starts at `start`.
    pub(super) fn begin(&mut self, start: u64) {
        self.start = start;
        self.points.clear();
        self.shape = Shape::default();
        self.mark();
    }

    /// Adds a point, unless the leaf would not fit its line.
    #[must_use]
    pub(super) fn push(&mut self, point: Point) -> bool {
        let shape = self.shape.with(self.points.first().unwrap_or(&point).value, point);
        let fits = shape.bytes(self.points.len() + 1, self.start) <= self.room;
        if fits {
            self.shape = shape;
            self.points.push(point);
        }
        fits
    }

    /// Has [`Self::take_back`] go back to here.
    pub(super) fn mark(&mut self) {
        self.marked = (self.points.len(), self.shape);
    }

    /// Takes off the points that were added since the mark.
    pub(super) fn take_back(&mut self) -> impl Iterator<Item = Point> {
        self.shape = self.marked.1;
        self.points.drain(self.marked.0..)
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The leaf.
    pub(super) fn line(&self) -> Line {
        let mut line = Line::ZERO;
        let count = self.points.len();
        let key_width = width_of(self.shape.last_key.saturating_sub(self.start));
        let value_width = self.shape.value_width();
        let mask = if self.shape.reaches { MASK_BIT } else { 0 };
        line.put(0, &[(key_width - 1) as u8 | (value_width as u8) << VALUE_WIDTH_SHIFT | mask, count as u8]);
        let values_at = KEYS_AT + count * key_width;
        let mask_at = values_at + if value_width == 0 { SHARED_BYTES } else { count * value_width };
        line.put_uints(KEYS_AT, key_width, self.points.iter().map(|point| point.key - self.start));
        match value_width {
            0 => line.put_uint(values_at, SHARED_BYTES, self.shape.any_value.into()),
            width => line.put_uints(values_at, width, self.points.iter().map(|point| point.value.into())),
        }
        for (index, _) in
            self.points.iter().enumerate().filter(|_| self.shape.reaches).filter(|(_, point)| point.reaches)
        {
            let at = mask_at + index / 8;
            line.put(at, &[line.u8(at) | 1 << (index % 8)]);
        }
        line
    }
}

/// A line read as a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    line: &'a Line,
    count: usize,
    key_width: usize,
    value_width: usize,
    has_mask: bool,
}

impl<'a> Leaf<'a> {
    pub(super) fn read(line: &'a Line) -> Self {
        let head = line.u8(0);
        Self {
            line,
            count: usize::from(line.u8(1)),
            key_width: usize::from(head & KEY_WIDTH_MASK) + 1,
            value_width: usize::from(head >> VALUE_WIDTH_SHIFT & VALUE_WIDTH_MASK),
            has_mask: head & MASK_BIT != 0,
        }
    }

    /// The value of the key at `offset` from the leaf's start; 0: not listed.
    pub(super) fn find(self, offset: u64) -> u32 {
        match self.rank(offset).checked_sub(1) {
            Some(index) if self.covers(index, offset) => self.value(index),
            _ => 0,
        }
    }

    /// Whether any key of a stretch is listed; offsets from the leaf's start, both included.
    pub(super) fn any(self, first: u64, last: u64) -> bool {
        let rank = self.rank(first);
        if rank.checked_sub(1).is_some_and(|index| self.covers(index, first)) {
            return true;
        }
        rank < self.count && self.key(rank) <= last
    }

    /// The points, for a leaf that starts at `start`.
    pub(super) fn points(self, start: u64) -> impl Iterator<Item = Point> + use<'a> {
        (0..self.count).map(move |index| Point {
            key: start.wrapping_add(self.key(index)),
            value: self.value(index),
            reaches: self.reaches(index),
        })
    }

    fn rank(self, offset: u64) -> usize {
        self.line.rank::<KEYS_AT>(self.count, self.key_width, offset)
    }

    fn covers(self, index: usize, offset: u64) -> bool {
        self.key(index) == offset || self.reaches(index)
    }

    fn key(self, index: usize) -> u64 {
        self.line.uint(KEYS_AT + index * self.key_width, self.key_width)
    }

    fn value(self, index: usize) -> u32 {
        let at = self.values_at();
        match self.value_width {
            0 => self.line.u32(at),
            width => self.line.uint(at + index * width, width) as u32,
        }
    }

    fn reaches(self, index: usize) -> bool {
        let values = if self.value_width == 0 { SHARED_BYTES } else { self.count * self.value_width };
        self.has_mask && self.line.u8(self.values_at() + values + index / 8) >> (index % 8) & 1 != 0
    }

    fn values_at(self) -> usize {
        KEYS_AT + self.count * self.key_width
    }
}

/// Where the keys start.
const KEYS_AT: usize = 2;
/// A value that all points share is stored at the full width, as one is no cost.
const SHARED_BYTES: usize = 4;
const KEY_WIDTH_MASK: u8 = 0b111;
const VALUE_WIDTH_MASK: u8 = 0b111;
const VALUE_WIDTH_SHIFT: u32 = 3;
const MASK_BIT: u8 = 1 << 6;
/// Set where a line is a fork and no leaf.
pub(super) const FORK_BIT: u8 = 1 << 7;

#[cfg(test)]
mod tests {
    use super::super::line::LINE_BYTES;
    use super::*;

    fn run(first: u64, last: u64, value: u32) -> Run {
        Run { first, last, value }
    }

    fn points(listed: &[Run]) -> Vec<Point> {
        let mut all = Vec::new();
        each_point(listed.iter().copied(), |point| all.push(point));
        all
    }

    fn leaf_of(start: u64, listed: &[Run]) -> Line {
        let mut draft = Draft::new(LINE_BYTES);
        draft.begin(start);
        assert!(points(listed).into_iter().all(|point| draft.push(point)));
        draft.line()
    }

    #[test]
    fn runs_survive_being_points() {
        let listed = [run(3, 3, 1), run(5, 6, 1), run(7, 9, 2), run(10, 10, 3), run(12, u64::MAX, 1)];
        let all = points(&listed);
        assert_eq!(all.len(), 1 + 1 + 1 + 1 + 2);
        assert_eq!(runs(all.into_iter()).collect::<Vec<_>>(), listed);
    }

    #[test]
    fn touching_runs_of_one_value_merge() {
        let parts = [run(0, 4, 7), run(5, 5, 7), run(6, u64::MAX, 7)];
        assert_eq!(merge(parts.into_iter()).collect::<Vec<_>>(), [run(0, u64::MAX, 7)]);
        assert_eq!(points(&parts), points(&[run(0, u64::MAX, 7)]));
    }

    #[test]
    fn every_key_of_a_leaf_has_its_value() {
        let listed = [run(100, 100, 1), run(103, 104, 300), run(105, 110, 2), run(200, 70_000, 9)];
        let line = leaf_of(90, &listed);
        let leaf = Leaf::read(&line);
        for key in 90..70_010 {
            let value = listed.iter().find(|run| (run.first..=run.last).contains(&key)).map_or(0, |run| run.value);
            assert_eq!(leaf.find(key - 90), value, "{key}");
        }
        assert!(leaf.any(11, 13) && leaf.any(15, 15) && !leaf.any(11, 12) && !leaf.any(80_000, 90_000));
        assert_eq!(runs(leaf.points(90)).collect::<Vec<_>>(), listed);
    }

    #[test]
    fn one_value_is_stored_once_and_narrow_leaves_hold_more() {
        let fill = |step: u64, value: fn(u64) -> u32| {
            let mut draft = Draft::new(LINE_BYTES);
            (0..).take_while(|&n| draft.push(Point { key: n * step, value: value(n), reaches: false })).count()
        };
        assert_eq!(fill(2, |_| 70_000), 58);
        assert_eq!(fill(2, |n| n as u32), 31);
        assert_eq!(fill(300, |n| n as u32), 20);
        assert_eq!(fill(1 << 40, |n| n as u32 + 70_000), 6);
    }
}
