//! Room for what is collected: vectors by the hundred, that grow by the gigabyte and leave nothing behind.
//!
//! A vector that doubles leaves its former places behind in the heap, as large together as what it holds in the end.
//! From a few kilobytes on, a vector here takes so much at once that the allocator gives it pages of its own (see
//! [`keep_large_apart`]), which grow in place, are not there before they are touched, and go back when it is dropped. Small
//! lists stay small.

use crate::table::memory::LARGE;
pub(super) use crate::table::memory::keep_large_apart;

/// Sees to it that a vector has room for so many more.
#[inline]
pub(super) fn make_room<T>(rows: &mut Vec<T>, more: usize) {
    if rows.capacity() - rows.len() < more {
        grow(rows, more);
    }
}

#[cold]
fn grow<T>(rows: &mut Vec<T>, more: usize) {
    let size = size_of::<T>().max(1);
    let bytes = rows.len() * size;
    let room = if bytes < SMALL { bytes } else { bytes.max(LARGE) } / size;
    rows.reserve_exact(room.max(more).max(FEWEST));
}

/// What doubles: what it leaves behind is as small.
const SMALL: usize = 4 << 10;
/// Elements of the smallest vector.
const FEWEST: usize = 8;
