//! Two families, or two levels, painted over each other: of what both say of an address the worse holds.
//!
//! Invariant: ascending disjoint runs go in and come out; no address is lost and none is said twice.

use super::emit::Run;

/// Of two families' runs, for each address the one with the worse state, or of equal states the higher lift.
pub fn worse_of(a: Vec<Run>, b: Vec<Run>) -> Vec<Run> {
    if a.is_empty() {
        return b;
    }
    if b.is_empty() {
        return a;
    }
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let (mut next_a, mut next_b) = (a.next(), b.next());
    loop {
        let (one, other) = match (next_a, next_b) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => {
                out.extend(one.into_iter().chain(a).chain(other).chain(b));
                return out;
            }
        };
        if one.last < other.first {
            out.push(one);
            next_a = a.next();
        } else if other.last < one.first {
            out.push(other);
            next_b = b.next();
        } else if one.first < other.first {
            out.push(part(&one, one.first, other.first - 1));
            next_a = Some(part(&one, other.first, one.last));
        } else if other.first < one.first {
            out.push(part(&other, other.first, one.first - 1));
            next_b = Some(part(&other, one.first, other.last));
        } else {
            let last = one.last.min(other.last);
            let worse = if (other.state, other.lift) > (one.state, one.lift) { &other } else { &one };
            out.push(part(worse, one.first, last));
            next_a = if one.last > last { Some(part(&one, last + 1, one.last)) } else { a.next() };
            next_b = if other.last > last { Some(part(&other, last + 1, other.last)) } else { b.next() };
        }
    }
}

/// A part of a run, with its part of the rate.
fn part(run: &Run, first: u32, last: u32) -> Run {
    let share = (f64::from(last - first) + 1.0) / run.size() as f64;
    Run { first, last, rate: run.rate * share, ..*run }
}
