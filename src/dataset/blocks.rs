//! Statements about addresses come to disjoint runs, one value list each, in which exclusions no longer exist.
//!
//! Three rules, as the list formats have them: rbldnsd's ip4set looks at the octet class of an entry, its tries at the
//! longest prefix, and in everything else an exclusion simply wins. The same code serves IPv4 and IPv6.

use std::collections::BTreeMap;

use super::values::{ListId, Lists, Met};
use crate::dnsxl::subject::{mask4, mask6};

/// An address as a number.
pub trait Address: Copy + Ord + Default + Send {
    /// How many bits it has.
    const BITS: u8;
    /// The prefix length of the pieces that the space is collected in.
    const PIECE_LENGTH: u8;

    /// The address after this one, if there is one.
    fn successor(self) -> Option<Self>;
    /// The address before this one, if there is one.
    fn predecessor(self) -> Option<Self>;
    /// The last address of the prefix of that length that begins here.
    fn last_of(self, length: u8) -> Self;
    /// How many of the last bits are zero.
    fn trailing_zeros(self) -> u8;
    /// The bits from the top, in words; an IPv4 address is the first of them.
    fn to_words(self) -> [u32; 4];
    /// As [`Self::to_words`] gave them.
    fn from_words(words: [u32; 4]) -> Self;
    /// The number of the piece that the address is in.
    fn piece(self) -> usize;
    /// The first address of every piece.
    fn pieces() -> impl Iterator<Item = Self>;
}

impl Address for u32 {
    const BITS: u8 = 32;
    const PIECE_LENGTH: u8 = 8;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn predecessor(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn last_of(self, length: u8) -> Self {
        self | !mask4(length)
    }

    fn trailing_zeros(self) -> u8 {
        self.trailing_zeros() as u8
    }

    fn to_words(self) -> [u32; 4] {
        [self, 0, 0, 0]
    }

    fn from_words(words: [u32; 4]) -> Self {
        words[0]
    }

    fn piece(self) -> usize {
        (self >> 24) as usize
    }

    fn pieces() -> impl Iterator<Item = Self> {
        (0..256).map(|octet| octet << 24)
    }
}

impl Address for u128 {
    const BITS: u8 = 128;
    // what is listed stands below a few dozen of all 16-bit prefixes, so that parting the space would not spread it
    const PIECE_LENGTH: u8 = 0;

    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn predecessor(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn last_of(self, length: u8) -> Self {
        self | !mask6(length)
    }

    fn trailing_zeros(self) -> u8 {
        self.trailing_zeros() as u8
    }

    fn to_words(self) -> [u32; 4] {
        [self >> 96, self >> 64, self >> 32, self].map(|word| word as u32)
    }

    fn from_words(words: [u32; 4]) -> Self {
        words.into_iter().fold(0, |bits, word| bits << 32 | Self::from(word))
    }

    fn piece(self) -> usize {
        0
    }

    fn pieces() -> impl Iterator<Item = Self> {
        std::iter::once(0)
    }
}

/// What a list says of the addresses from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<T> {
    /// The first address.
    pub first: T,
    /// The last address.
    pub last: T,
    /// The value, or `None` for an exclusion.
    pub said: Option<Met>,
    /// The line, counted through all files of the dataset: of two equal prefixes the first holds.
    pub at: u32,
}

/// Addresses with the same outcome; `None`: an exclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<T> {
    /// The first address.
    pub first: T,
    /// The last address.
    pub last: T,
    /// What is listed.
    pub list: Option<ListId>,
}

/// Resolves by rbldnsd's octet classes: the most specific of /32, /24, /16 and /8 that has the address decides; there,
/// an exclusion wins and several values join. Tells besides the runs how many entries each class has, from /8 to /32.
pub fn by_octet_class(statements: Vec<Statement<u32>>, lists: &mut Lists) -> (Vec<Run<u32>>, [u64; 4]) {
    let mut classes: [Vec<Statement<u32>>; 4] = Default::default();
    for statement in statements {
        split_by_class(statement, 24, &mut classes);
    }
    let mut runs = Vec::new();
    let mut entries = [0; 4];
    // from /8 up to /32: the more specific class is laid over the wider ones
    for (class, (entries, shift)) in classes.into_iter().zip(entries.iter_mut().zip([24, 16, 8, 0])) {
        let upper = exclusion_wins(class, lists);
        let values = |run: &Run<u32>| run.list.map_or(1, |list| lists.values_of(list));
        let blocks = |run: &Run<u32>| (u64::from(run.last - run.first) + 1) >> shift;
        *entries = upper.iter().map(|run| blocks(run) * values(run)).sum();
        runs = if runs.is_empty() { upper } else { overlay(&runs, &upper) };
    }
    (runs, entries)
}

/// Cuts a range at octet boundaries into the widest whole blocks, as rbldnsd stores it.
fn split_by_class(statement: Statement<u32>, shift: u32, classes: &mut [Vec<Statement<u32>>; 4]) {
    let class = &mut classes[3 - shift as usize / 8];
    if shift == 0 {
        class.push(statement);
        return;
    }
    let size = 1_u64 << shift;
    let (first, end) = (u64::from(statement.first), u64::from(statement.last) + 1);
    let (whole, whole_end) = (first.next_multiple_of(size), end / size * size);
    if whole >= whole_end {
        split_by_class(statement, shift - 8, classes);
        return;
    }
    class.push(Statement { first: whole as u32, last: (whole_end - 1) as u32, ..statement });
    if first < whole {
        split_by_class(Statement { last: (whole - 1) as u32, ..statement }, shift - 8, classes);
    }
    if whole_end < end {
        split_by_class(Statement { first: whole_end as u32, ..statement }, shift - 8, classes);
    }
}

/// Resolves by prefix length: the longest prefix that has the address decides, and of equal ones the first.
///
/// The statements are prefixes, so that any two are nested or apart. Returns besides the runs where a prefix was said
/// again: the lines and the prefixes.
pub fn longest_prefix<T: Address>(
    mut statements: Vec<Statement<T>>,
    lists: &mut Lists,
) -> (Vec<Run<T>>, Vec<Statement<T>>) {
    statements.sort_unstable_by(|a, b| (a.first, b.last, a.at).cmp(&(b.first, a.last, b.at)));
    let mut repeated = Vec::new();
    let mut painter = Painter { runs: Vec::new(), open: Vec::new(), lists };
    let mut previous: Option<Statement<T>> = None;
    for statement in statements {
        if previous.is_some_and(|previous| (previous.first, previous.last) == (statement.first, statement.last)) {
            repeated.push(statement);
            continue;
        }
        painter.open(statement);
        previous = Some(statement);
    }
    painter.close(None);
    (painter.runs, repeated)
}

/// Lays nested statements over each other, from left to right.
struct Painter<'l, T> {
    runs: Vec<Run<T>>,
    /// The statements around the current place, each with the first address it has not been laid on yet.
    open: Vec<(T, Statement<T>)>,
    lists: &'l mut Lists,
}

impl<T: Address> Painter<'_, T> {
    fn open(&mut self, statement: Statement<T>) {
        self.close(Some(statement.first));
        if let Some(&(next, around)) = self.open.last()
            && next < statement.first
            && let Some(last) = statement.first.predecessor()
        {
            self.lay(next, last, around.said);
        }
        self.open.push((statement.first, statement));
    }

    /// Ends the statements that end before `next`, or all.
    fn close(&mut self, next: Option<T>) {
        while let Some(&(begin, statement)) = self.open.last() {
            if next.is_some_and(|next| statement.last >= next) {
                return;
            }
            self.open.pop();
            if begin <= statement.last {
                self.lay(begin, statement.last, statement.said);
            }
            let Some(after) = statement.last.successor() else { return self.open.clear() };
            if let Some((around, _)) = self.open.last_mut() {
                *around = after;
            }
        }
    }

    fn lay(&mut self, first: T, last: T, said: Option<Met>) {
        let list = said.map(|met| self.lists.of_one(met));
        push(&mut self.runs, Run { first, last, list });
    }
}

/// Resolves by the plain rule: an excluded address is not listed, and several values join.
pub fn exclusion_wins<T: Address>(mut statements: Vec<Statement<T>>, lists: &mut Lists) -> Vec<Run<T>> {
    statements.sort_unstable_by_key(|statement| (statement.first, statement.last));
    let mut runs = Vec::with_capacity(statements.len());
    let mut rest = &*statements;
    while let Some(&first) = rest.first() {
        let mut last = first.last;
        let together = 1 + rest[1..]
            .iter()
            .take_while(|next| {
                let overlaps = next.first <= last;
                last = last.max(if overlaps { next.last } else { last });
                overlaps
            })
            .count();
        let (cluster, after) = rest.split_at(together);
        if together == 1 {
            let list = first.said.map(|met| lists.of_one(met));
            push(&mut runs, Run { first: first.first, last: first.last, list });
        } else {
            sweep(cluster, lists, &mut runs);
        }
        rest = after;
    }
    runs
}

/// Joins statements that overlap: at every address, whatever is said there.
fn sweep<T: Address>(cluster: &[Statement<T>], lists: &mut Lists, runs: &mut Vec<Run<T>>) {
    let mut edges: Vec<(T, bool, Option<Met>)> = Vec::with_capacity(2 * cluster.len());
    for statement in cluster {
        edges.push((statement.first, true, statement.said));
        if let Some(after) = statement.last.successor() {
            edges.push((after, false, statement.said));
        }
    }
    edges.sort_unstable();
    let Some(end) = cluster.iter().map(|statement| statement.last).max() else { return };
    // `None`, an exclusion, sorts before every value
    let mut said: BTreeMap<Option<Met>, usize> = BTreeMap::new();
    let mut index = 0;
    while let Some(&(first, ..)) = edges.get(index) {
        while let Some(&(at, begins, value)) = edges.get(index)
            && at == first
        {
            let count = said.entry(value).or_default();
            if begins {
                *count += 1;
            } else {
                *count = count.wrapping_sub(1);
            }
            index += 1;
        }
        said.retain(|_, count| *count != 0);
        if said.is_empty() {
            continue;
        }
        let last = edges.get(index).and_then(|&(next, ..)| next.predecessor()).unwrap_or(end);
        let list = if said.contains_key(&None) {
            None
        } else {
            Some(lists.intern(&mut said.keys().copied().flatten().collect()))
        };
        push(runs, Run { first, last, list });
    }
}

/// Lays `upper` over `lower`; both sorted and disjoint.
fn overlay<T: Address>(lower: &[Run<T>], upper: &[Run<T>]) -> Vec<Run<T>> {
    let mut runs = Vec::with_capacity(lower.len() + upper.len());
    let mut uppers = upper.iter().peekable();
    for &below in lower {
        let mut first = Some(below.first);
        while let Some(&&above) = uppers.peek() {
            let Some(begin) = first else { break };
            if above.first > below.last {
                break;
            }
            if above.first > begin
                && let Some(last) = above.first.predecessor()
            {
                push(&mut runs, Run { first: begin, last, ..below });
            }
            if above.last > below.last {
                // the next lower run may be covered by it too
                first = None;
                break;
            }
            if above.last >= begin {
                first = above.last.successor();
            }
            push(&mut runs, above);
            uppers.next();
            if above.last == below.last {
                first = None;
            }
        }
        if let Some(first) = first
            && first <= below.last
        {
            push(&mut runs, Run { first, ..below });
        }
    }
    runs.extend(uppers.copied());
    runs
}

/// Appends a run, joining it to the one before if it only goes on from there.
pub fn push<T: Address>(runs: &mut Vec<Run<T>>, run: Run<T>) {
    match runs.last_mut() {
        Some(before) if before.list == run.list && before.last.successor() == Some(run.first) => before.last = run.last,
        _ => runs.push(run),
    }
}

/// Takes out exclusions, which have done their work, and `cut`, but for the single addresses in `keep`.
///
/// `cut` is sorted and disjoint, `keep` sorted.
pub fn listed_outside<T: Address>(runs: &[Run<T>], cut: &[(T, T)], keep: &[T]) -> Vec<Run<T>> {
    let mut hole_runs: Vec<Run<T>> = Vec::new();
    for &(first, last) in cut {
        let mut begin = Some(first);
        for &single in keep.iter().filter(|&&single| (first..=last).contains(&single)) {
            if let (Some(from), Some(to)) = (begin, single.predecessor())
                && from <= to
            {
                hole_runs.push(Run { first: from, last: to, list: None });
            }
            begin = single.successor();
        }
        if let Some(begin) = begin
            && begin <= last
        {
            hole_runs.push(Run { first: begin, last, list: None });
        }
    }
    let mut out = overlay(runs, &hole_runs);
    out.retain(|run| run.list.is_some());
    out
}

/// The prefixes that a run of addresses is made of, each as wide as it can be.
pub fn prefixes<T: Address>(first: T, last: T) -> impl Iterator<Item = (T, u8)> + Clone {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let bits = next.filter(|&bits| bits <= last)?;
        let mut length = T::BITS - bits.trailing_zeros();
        while bits.last_of(length) > last {
            length += 1;
        }
        next = bits.last_of(length).successor();
        Some((bits, length))
    })
}

#[cfg(test)]
mod tests;
