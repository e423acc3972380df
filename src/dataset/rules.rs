//! The rules by which statements about addresses are settled, format by format, with what no list may list cut out.
//!
//! Each is asked first about a block that overlaps nothing, which is most of every list, and then about the rest. The
//! rules themselves are in [`super::blocks`]; here they are tallied, cut, and told from which format.

use super::addresses::{Addresses, Addresses4, Addresses6, Block, Prefixes4, Prefixes6, Row, Rule};
use super::blocks::{self, Address, Run, Statement};
use super::tally::Tally;
use super::values::{ListId, Lists, Met};
use crate::feed::Format;
use crate::table::{Ip4, Ip6, Prefix6, Run4, ValueId};

/// Ranges that are not listed whatever was said, and single addresses in them that are.
#[derive(Clone, Copy)]
pub(super) struct Cut<'c, T> {
    /// Sorted and disjoint.
    ranges: &'c [(T, T)],
    /// Sorted.
    kept: &'c [T],
    /// The first range that does not end before the blocks seen so far, which ascend.
    next: usize,
}

impl<'c, T: Address> Cut<'c, T> {
    pub(super) fn new(ranges: &'c [(T, T)], kept: &'c [T]) -> Self {
        Self { ranges, kept, next: 0 }
    }

    /// The ranges that have any of these addresses.
    fn within(&self, first: T, last: T) -> &'c [(T, T)] {
        let begin = self.ranges.partition_point(|range| range.1 < first);
        let end = self.ranges.partition_point(|range| range.0 <= last);
        self.ranges.get(begin..end).unwrap_or_default()
    }

    /// Whether all of a block stays; blocks come in ascending order.
    fn spares(&mut self, block: &Block<T>) -> bool {
        while self.ranges.get(self.next).is_some_and(|range| range.1 < block.first) {
            self.next += 1;
        }
        let is_met = self.ranges.get(self.next).is_some_and(|range| range.0 <= block.last);
        !is_met || block.first == block.last && self.kept.binary_search(&block.first).is_ok()
    }

    fn outside(&self, runs: &[Run<T>]) -> Vec<Run<T>> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Vec::new() };
        blocks::listed_outside(runs, self.within(first.first, last.last), self.kept)
    }
}

/// rbldnsd's `ip4set`: the most specific octet class decides.
struct OctetClasses<'c> {
    cut: Cut<'c, u32>,
    /// Entries by class, from /8 to /32.
    entries: [u64; 4],
}

impl Rule<u32> for OctetClasses<'_> {
    fn stands(&mut self, block: &Block<u32>) -> bool {
        let stands = self.cut.spares(block);
        if stands {
            let class = usize::from(block.length.div_ceil(8)).saturating_sub(1);
            self.entries[class] += (u64::from(block.last - block.first) + 1) >> (24 - 8 * class);
        }
        stands
    }

    fn resolve(&mut self, statements: Vec<Statement<u32>>, lists: &mut Lists) -> Vec<Run<u32>> {
        let (runs, entries) = blocks::by_octet_class(statements, lists);
        self.entries.iter_mut().zip(entries).for_each(|(sum, more)| *sum += more);
        self.cut.outside(&runs)
    }
}

/// rbldnsd's tries: the longest prefix decides, and of equal ones the first.
struct LongestPrefix<'c, T> {
    cut: Cut<'c, T>,
    /// Prefixes that were said again.
    repeated: Vec<Statement<T>>,
}

impl<T: Address> Rule<T> for LongestPrefix<'_, T> {
    fn stands(&mut self, block: &Block<T>) -> bool {
        self.cut.spares(block)
    }

    fn resolve(&mut self, statements: Vec<Statement<T>>, lists: &mut Lists) -> Vec<Run<T>> {
        let (runs, repeated) = blocks::longest_prefix(statements, lists);
        self.repeated.extend(repeated);
        self.cut.outside(&runs)
    }
}

/// Every other format: an exclusion wins.
struct ExclusionWins<'c, T> {
    cut: Cut<'c, T>,
}

impl<T: Address> Rule<T> for ExclusionWins<'_, T> {
    fn stands(&mut self, block: &Block<T>) -> bool {
        self.cut.spares(block)
    }

    fn resolve(&mut self, statements: Vec<Statement<T>>, lists: &mut Lists) -> Vec<Run<T>> {
        self.cut.outside(&blocks::exclusion_wins(statements, lists))
    }
}

/// Statements about addresses of one family, kept as the format's rule needs them.
#[derive(Debug)]
pub(super) enum Statements<A, P> {
    /// Their order does not matter.
    Unordered(A),
    /// Of two equal prefixes the first holds.
    Ordered(P),
}

/// About IPv4 addresses.
pub(super) type Statements4 = Statements<Addresses4, Prefixes4>;
/// About IPv6 addresses.
pub(super) type Statements6 = Statements<Addresses6, Prefixes6>;

impl Statements4 {
    /// None yet, of a list of that format.
    pub(super) fn of_ip4(format: Format) -> Self {
        match format {
            Format::Ip4Trie => Self::Ordered(Addresses::new(true)),
            _ => Self::Unordered(Addresses::new(false)),
        }
    }

    /// Settles them; prefixes that were said again.
    pub(super) fn settle(
        &mut self,
        format: Format,
        cut: Cut<'_, u32>,
        lists: &mut Lists,
        threads: usize,
        tally: &mut Tally,
    ) -> Vec<Statement<u32>> {
        tally.prefixes4 = self.count();
        match self {
            Self::Ordered(prefixes) => {
                let mut rule = LongestPrefix { cut, repeated: Vec::new() };
                prefixes.settle(&mut rule, lists, threads);
                tally.prefixes4 -= rule.repeated.len() as u64;
                rule.repeated
            }
            Self::Unordered(addresses) if matches!(format, Format::Ip4Set | Format::Ip4Tset) => {
                let mut rule = OctetClasses { cut, entries: [0; 4] };
                addresses.settle(&mut rule, lists, threads);
                tally.octet_classes = rule.entries;
                Vec::new()
            }
            Self::Unordered(addresses) => {
                addresses.settle(&mut ExclusionWins { cut }, lists, threads);
                Vec::new()
            }
        }
    }

    /// The table of settled statements.
    pub(super) fn build(self, id: impl Fn(Option<ListId>) -> ValueId + Copy) -> Ip4 {
        match self {
            Self::Unordered(addresses) => table4(addresses.runs(), id),
            Self::Ordered(prefixes) => table4(prefixes.runs(), id),
        }
    }
}

impl Statements6 {
    /// None yet, of a list of that format.
    pub(super) fn of_ip6(format: Format) -> Self {
        match format {
            Format::Ip6Trie | Format::Ip6Tset => Self::Ordered(Addresses::new(true)),
            _ => Self::Unordered(Addresses::new(false)),
        }
    }

    /// Settles them; prefixes that were said again.
    pub(super) fn settle(
        &mut self,
        cut: Cut<'_, u128>,
        lists: &mut Lists,
        threads: usize,
        tally: &mut Tally,
    ) -> Vec<Statement<u128>> {
        tally.prefixes6 = self.count();
        tally.excluded6 = match self {
            Self::Unordered(addresses) => addresses.excluded,
            Self::Ordered(prefixes) => prefixes.excluded,
        };
        match self {
            Self::Ordered(prefixes) => {
                let mut rule = LongestPrefix { cut, repeated: Vec::new() };
                prefixes.settle(&mut rule, lists, threads);
                tally.prefixes6 -= rule.repeated.len() as u64;
                rule.repeated
            }
            Self::Unordered(addresses) => {
                addresses.settle(&mut ExclusionWins { cut }, lists, threads);
                Vec::new()
            }
        }
    }

    /// The table of settled statements, whose memory is given back on the way.
    pub(super) fn build(self, id: impl Fn(Option<ListId>) -> ValueId + Copy) -> Ip6 {
        match self {
            Self::Unordered(addresses) => table6(addresses.into_runs(), id),
            Self::Ordered(prefixes) => table6(prefixes.into_runs(), id),
        }
    }
}

impl<T: Address, A, B, P, Q> Statements<Addresses<T, A, B>, Addresses<T, P, Q>>
where
    A: Row<T>,
    B: Row<T>,
    P: Row<T>,
    Q: Row<T>,
{
    /// Takes a statement; `at` is the line, counted through all files.
    #[inline]
    pub(super) fn push(&mut self, first: T, last: T, said: Option<Met>, at: u32) {
        match self {
            Self::Unordered(addresses) => addresses.push(first, last, said, at),
            Self::Ordered(prefixes) => prefixes.push(first, last, said, at),
        }
    }

    /// Takes over what another thread collected of the same list, its values numbered anew by `met`.
    pub(super) fn absorb(&mut self, other: Self, met: impl Fn(Met) -> Met) {
        match (self, other) {
            (Self::Unordered(addresses), Self::Unordered(other)) => addresses.absorb(other, met),
            (Self::Ordered(prefixes), Self::Ordered(other)) => prefixes.absorb(other, met),
            _ => debug_assert!(false, "one list has one format"),
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many entries were pushed.
    fn count(&self) -> u64 {
        match self {
            Self::Unordered(addresses) => addresses.count,
            Self::Ordered(prefixes) => prefixes.count,
        }
    }
}

/// The table of ascending, disjoint runs.
pub(super) fn table4(
    runs: impl Iterator<Item = Run<u32>> + Clone,
    id: impl Fn(Option<ListId>) -> ValueId + Copy,
) -> Ip4 {
    Ip4::build(runs.map(|run| Run4 { first: run.first, last: run.last, value: id(run.list) }))
}

/// The table of ascending, disjoint runs.
pub(super) fn table6(runs: impl Iterator<Item = Run<u128>>, id: impl Fn(Option<ListId>) -> ValueId + Copy) -> Ip6 {
    Ip6::build(runs.flat_map(move |run| {
        let value = id(run.list);
        blocks::prefixes(run.first, run.last).map(move |(bits, length)| Prefix6 { bits, length, value })
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::never::range4_text;
    use super::*;
    use crate::dnsxl::subject::{mask4, mask6};

    type Said = (u32, u32, Option<Met>);

    /// Ranges of which many overlap, with values beyond what a narrow row holds.
    fn ranges() -> impl Strategy<Value = Vec<Said>> {
        let edge = prop_oneof![
            0_u32..1200,
            (u32::MAX - 1200)..=u32::MAX,
            (0_u32..40).prop_map(|n| n << 14),
            (0_u32..9).prop_map(|n| n << 28),
            any::<u32>(),
        ];
        let length = prop_oneof![4 => Just(0_u32), 2 => 0_u32..5000, 1 => (0_u32..30).prop_map(|bits| 1 << bits)];
        let said = proptest::option::weighted(0.8, prop_oneof![0_u32..3, 254_u32..258]);
        proptest::collection::vec((edge, length, said), 0..40).prop_map(|all| {
            let range =
                |(first, length, said): (u32, u32, Option<u32>)| (first, first.saturating_add(length), said.map(Met));
            all.into_iter().map(range).collect()
        })
    }

    fn settled(format: Format, said: &[Said], cut: Cut<'_, u32>, threads: usize) -> (Vec<Run<u32>>, Lists, Tally) {
        let (mut statements, mut lists, mut tally) =
            (Statements4::of_ip4(format), Lists::default(), Tally::new(format));
        for (at, &(first, last, said)) in (1..).zip(said) {
            statements.push(first, last, said, at);
        }
        statements.settle(format, cut, &mut lists, threads, &mut tally);
        let runs: Vec<_> = match &statements {
            Statements::Unordered(addresses) => addresses.runs().collect(),
            Statements::Ordered(prefixes) => prefixes.runs().collect(),
        };
        (joined(runs), lists, tally)
    }

    fn joined(runs: Vec<Run<u32>>) -> Vec<Run<u32>> {
        let mut out = Vec::new();
        runs.into_iter().for_each(|run| blocks::push(&mut out, run));
        out
    }

    /// Runs with the values of their lists, as two sets of lists may number them differently.
    fn told(runs: &[Run<u32>], lists: &Lists) -> Vec<String> {
        let list = |list: ListId| format!("{:?} of {}", lists.first(list), lists.values_of(list));
        runs.iter().map(|run| format!("{} {:?}", range4_text(run.first, run.last), run.list.map(list))).collect()
    }

    fn statements(said: &[Said]) -> Vec<Statement<u32>> {
        (1..).zip(said).map(|(at, &(first, last, said))| Statement { first, last, said, at }).collect()
    }

    const CUT: Cut<'_, u32> =
        Cut { ranges: &[(3, 9), (600, 700), (1 << 28, (1 << 28) + 99)], kept: &[5, 650], next: 0 };

    proptest! {
        #[test]
        fn packing_changes_nothing(said in ranges(), reversed: bool) {
            // single addresses that must not be listed are left out before they are pushed
            let mut said = said;
            said.retain(|&(first, last, _)| first != last || CUT.within(first, last).is_empty());
            let mut lists = Lists::default();
            let (runs, entries) = blocks::by_octet_class(statements(&said), &mut lists);
            let octets = told(&joined(blocks::listed_outside(&runs, CUT.ranges, CUT.kept)), &lists);
            let mut plain_lists = Lists::default();
            let runs = blocks::exclusion_wins(statements(&said), &mut plain_lists);
            let plain = told(&joined(blocks::listed_outside(&runs, CUT.ranges, CUT.kept)), &plain_lists);
            if reversed {
                said.reverse();
            }
            let (runs, lists, tally) = settled(Format::Ip4Set, &said, CUT, 2);
            prop_assert_eq!(told(&runs, &lists), octets);
            prop_assert_eq!(tally.octet_classes, entries);
            let (runs, lists, _) = settled(Format::Plain, &said, CUT, 1);
            prop_assert_eq!(told(&runs, &lists), plain);
        }

        #[test]
        fn packing_keeps_the_order_where_it_matters(
            said in prop::collection::vec((any::<u32>(), 0_u8..=32, prop::option::of(0_u32..3)), 0..40),
        ) {
            // few leading bits differ, so that prefixes nest
            let prefix = |(bits, length, said): (u32, u8, Option<u32>)| {
                let first = bits & 0x8100_0307 & mask4(length);
                (first, first | !mask4(length), said.map(Met))
            };
            let said: Vec<Said> = said.into_iter().map(prefix).collect();
            let mut lists = Lists::default();
            let (runs, repeated) = blocks::longest_prefix(statements(&said), &mut lists);
            let expected = told(&joined(blocks::listed_outside(&runs, &[], &[])), &lists);
            let nothing = Cut::new(&[], &[]);
            let (runs, lists, tally) = settled(Format::Ip4Trie, &said, nothing, 2);
            prop_assert_eq!(told(&runs, &lists), expected);
            prop_assert_eq!(tally.prefixes4, (said.len() - repeated.len()) as u64);
        }

        #[test]
        fn ip6_agrees_with_the_plain_rule(
            said in prop::collection::vec((any::<u128>(), 0_u8..=128, prop::option::of(0_u32..3)), 0..40),
        ) {
            let mut lists = Lists::default();
            let (mut packed, mut tally) = (Statements6::of_ip6(Format::Plain), Tally::new(Format::Plain));
            let cut = Cut::new(&[(1, 5)], &[2]);
            let mut all = Vec::new();
            for (bits, length, said) in said {
                let first = bits & (0x8000_0003_0000_0001 << 64 | 0x8000_0000_0000_0301) & mask6(length);
                let (last, said) = (first | !mask6(length), said.map(Met));
                // single addresses that must not be listed are left out before they are pushed
                if first != last || cut.within(first, last).is_empty() {
                    packed.push(first, last, said, 0);
                    all.push(Statement { first, last, said, at: 0 });
                }
            }
            let mut expected = Vec::new();
            let runs = blocks::exclusion_wins(all, &mut lists);
            blocks::listed_outside(&runs, cut.ranges, cut.kept).into_iter().for_each(|run| blocks::push(&mut expected, run));
            packed.settle(cut, &mut lists, 1, &mut tally);
            let mut found = Vec::new();
            let Statements::Unordered(addresses) = packed else { unreachable!("a plain list has no order") };
            addresses.into_runs().for_each(|run| blocks::push(&mut found, run));
            prop_assert_eq!(found, expected);
        }
    }
}
