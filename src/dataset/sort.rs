//! Sorting by digits, in place: most significant byte first, "American flag" (McIlroy, Bostic, McIlroy, 1993).
//!
//! A load sorts tens of millions of small rows. A comparison sort touches each of them log₂ n times; here every pass
//! splits 256 ways, so that after one or two the rest fits a cache and is left to the standard library. In place, as a
//! second array would be the largest thing in memory. Invariant: the order is that of `Ord`; equal rows are alike, so
//! that stability means nothing.

/// A row whose order is that of its bytes.
pub(super) trait Digits: Copy + Ord {
    /// How many bytes there are.
    const COUNT: usize;

    /// The byte at `index`, the most significant being 0.
    fn digit(&self, index: usize) -> u8;
}

impl Digits for u64 {
    const COUNT: usize = 8;

    fn digit(&self, index: usize) -> u8 {
        (self >> (56 - 8 * index)) as u8
    }
}

/// Sorts rows in ascending order.
pub(super) fn sort<T: Digits>(rows: &mut [T]) {
    sort_from(rows, 0);
}

/// Sorts rows that have the first `index` bytes in common.
fn sort_from<T: Digits>(rows: &mut [T], index: usize) {
    if rows.len() < SMALL || index == T::COUNT {
        return rows.sort_unstable();
    }
    let mut counts = [0_usize; 256];
    for row in &*rows {
        counts[usize::from(row.digit(index))] += 1;
    }
    if !counts.contains(&rows.len()) {
        distribute(rows, index, &counts);
    }
    let mut rest = rows;
    for count in counts {
        let (same, after) = rest.split_at_mut(count);
        if count > 1 {
            sort_from(same, index + 1);
        }
        rest = after;
    }
}

/// Moves every row into the stretch of its digit.
fn distribute<T: Digits>(rows: &mut [T], index: usize, counts: &[usize; 256]) {
    let (mut next, mut ends) = ([0; 256], [0; 256]);
    let mut sum = 0;
    for ((next, end), count) in next.iter_mut().zip(&mut ends).zip(counts) {
        *next = sum;
        sum += count;
        *end = sum;
    }
    for digit in 0..256 {
        while next[digit] < ends[digit] {
            let mut row = rows[next[digit]];
            // follow the chain of displaced rows until one belongs here
            loop {
                let home = usize::from(row.digit(index));
                let place = next[home];
                next[home] += 1;
                if home == digit {
                    rows[place] = row;
                    break;
                }
                std::mem::swap(&mut row, &mut rows[place]);
            }
        }
    }
}

/// Fewer rows than this are compared: they fit the first-level cache, and counting 256 digits would cost as much.
const SMALL: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Digits for [u8; 4] {
        const COUNT: usize = 4;

        fn digit(&self, index: usize) -> u8 {
            self[index]
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn agrees_with_the_standard_library(
            mut rows in prop::collection::vec(any::<[u8; 4]>(), 0..6 * SMALL),
            masks: [u8; 4],
            constant: bool,
        ) {
            // few distinct bytes, and columns that are all the same
            for row in &mut rows {
                row.iter_mut().zip(masks).for_each(|(byte, mask)| *byte &= mask);
                if constant {
                    row[0] = 7;
                }
            }
            let mut expected = rows.clone();
            expected.sort_unstable();
            sort(&mut rows);
            prop_assert!(rows == expected);
        }
    }
}
