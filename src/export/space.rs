//! Which owners a list of addresses needs: addresses by themselves, wildcards for whole blocks.
//!
//! A wildcard stands at an octet or nibble, and reaches only where no other name is (RFC 4592, section 2.2.1): one
//! explicit address inside 192.0.0.0/16 makes the name of its /24 exist, and `*.0.192` no longer reaches into it. Hence
//! the rule: *every block that has an owner of its own has its own wildcard, or all its listed children are owners.*
//!
//! Invariant: a block has a wildcard only if something is listed in each of its children, and those that are not listed
//! whole are owners; so what is not listed is never reached by one, and stays NXDOMAIN. Nor does a wildcard stand where it would reach the other family's addresses: `*.0.2` for
//! 2.0.0.0/16 would list all of 2000::/8, and a wildcard of under five nibbles reaches four octets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::dataset::blocks::{self, Address, Run};
use crate::dataset::values::ListId;
use crate::zone::Listed;

/// The listed addresses of one family that stand under one name, all parts of a zone laid over each other.
pub(super) struct Space<T> {
    family: Family,
    runs: Vec<Run<T>>,
    /// What is listed, by [`ListId`]: the part's index in the zone, and what it gives.
    lists: Vec<Box<[(usize, Listed)]>>,
    /// By [`ListId`], whether its addresses are to be written one by one.
    enumerated: Vec<bool>,
}

/// Ranges of addresses, sorted and disjoint.
pub(super) type Ranges<'r, T> = Box<dyn Iterator<Item = (T, T)> + 'r>;

/// How addresses are names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Four octets in decimal.
    Octets,
    /// 32 nibbles in hexadecimal.
    Nibbles,
}

/// The addresses below a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The first address.
    pub(super) first: u128,
    /// How many bits are given.
    pub(super) length: u8,
}

impl Block {
    const ALL: Self = Self { first: 0, length: 0 };
}

impl Family {
    const fn width(self) -> u8 {
        match self {
            Self::Octets => 32,
            Self::Nibbles => 128,
        }
    }

    const fn bits_per_label(self) -> u8 {
        match self {
            Self::Octets => 8,
            Self::Nibbles => 4,
        }
    }

    /// How far the last address of a block is from the first.
    fn span(self, length: u8) -> u128 {
        u128::MAX.checked_shr(128 - u32::from(self.width() - length)).unwrap_or(0)
    }

    /// The values of a block's labels, the first label's first.
    fn labels(self, block: Block) -> impl Iterator<Item = u8> {
        let (width, bits) = (self.width(), self.bits_per_label());
        let mask = (1_u16 << bits) - 1;
        (1..=block.length / bits).rev().map(move |index| (block.first >> (width - bits * index)) as u8 & mask as u8)
    }

    /// Appends a block's name in wire form.
    pub(super) fn write_wire(self, block: Block, wire: &mut Vec<u8>) {
        for label in self.labels(block) {
            let length_at = wire.len();
            wire.push(0);
            match self {
                Self::Octets => wire.extend_from_slice(label.to_string().as_bytes()),
                Self::Nibbles => wire.push(HEX[usize::from(label)]),
            }
            wire[length_at] = (wire.len() - length_at - 1) as u8;
        }
    }

    /// The block as it is written in a text.
    pub(super) fn net(self, block: Block) -> Option<IpNet> {
        let address: IpAddr = match self {
            Self::Octets => Ipv4Addr::from(block.first as u32).into(),
            Self::Nibbles => Ipv6Addr::from(block.first).into(),
        };
        IpNet::new(address, block.length).ok()
    }

    /// Whether a wildcard may stand at the block's name.
    fn allows_wildcard(self, block: Block) -> bool {
        match self {
            // a name of single digits has IPv6 addresses below it
            Self::Octets => block.length < self.width() && self.labels(block).any(|octet| octet > 9),
            Self::Nibbles => (LEAST_NIBBLE_WILDCARD..self.width()).contains(&block.length),
        }
    }

    /// Whether a block is small enough to be enumerated.
    fn can_enumerate(self, block: Block) -> bool {
        self.width() - block.length <= 32 && (self == Self::Octets || block.length >= LEAST_ENUMERATED_PREFIX6)
    }
}

impl<T: Address + Into<u128>> Space<T> {
    /// Joins ranges within each of which the same is listed, each sequence of them sorted and disjoint; `listed` gives what
    /// is listed of an address.
    pub(super) fn merge<'r>(
        family: Family,
        ranges: impl Iterator<Item = Ranges<'r, T>>,
        listed: impl Fn(T, &mut Vec<(usize, Listed)>),
    ) -> Self {
        let mut heads: Vec<_> = ranges.map(|mut ranges| (ranges.next(), ranges)).collect();
        let (mut runs, mut lists, mut ids) = (Vec::new(), Vec::new(), HashMap::new());
        let mut said: Vec<(usize, Listed)> = Vec::new();
        while let Some(first) = heads.iter().filter_map(|(head, _)| Some(head.as_ref()?.0)).min() {
            let ends = heads.iter().filter_map(|(head, _)| {
                let &(begin, last) = head.as_ref()?;
                if begin == first { Some(last) } else { begin.predecessor() }
            });
            let Some(last) = ends.min() else { break };
            for (head, rest) in &mut heads {
                if let Some((begin, end)) = *head
                    && begin == first
                {
                    *head = match last.successor().filter(|_| end > last) {
                        Some(next) => Some((next, end)),
                        None => rest.next(),
                    };
                }
            }
            said.clear();
            listed(first, &mut said);
            if said.is_empty() {
                continue;
            }
            let list = *ids.entry(said.clone().into_boxed_slice()).or_insert_with_key(|said| {
                lists.push(said.clone());
                ListId(lists.len() as u32 - 1)
            });
            blocks::push(&mut runs, Run { first, last, list: Some(list) });
        }
        let enumerated = vec![false; lists.len()];
        Self { family, runs, lists, enumerated }
    }

    /// Leaves out the addresses from `first` to `last`.
    pub(super) fn cut(&mut self, first: T, last: T) {
        self.runs = blocks::listed_outside(&self.runs, &[(first, last)], &[]);
    }

    /// Writes addresses one by one where `is_exact` holds of what parts list.
    pub(super) fn enumerate(&mut self, is_exact: impl Fn(&[(usize, Listed)]) -> bool) {
        self.enumerated = self.lists.iter().map(|said| is_exact(said)).collect();
    }

    /// What a part gives of the addresses that the wildcard at a block is for.
    pub(super) fn listed(&self, list: ListId, part: usize) -> impl Iterator<Item = Listed> {
        self.lists[list.0 as usize].iter().filter(move |(index, _)| *index == part).map(|(_, listed)| *listed)
    }

    /// How addresses are names here.
    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Whether nothing is listed.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Gives every block that needs an owner, and the blocks above them; a block before those in it.
    pub(super) fn visit<E>(&self, visit: &mut impl FnMut(Block) -> Result<(), E>) -> Result<(), E> {
        if self.is_empty() { Ok(()) } else { self.visit_in(Block::ALL, &self.runs, visit) }
    }

    fn visit_in<E>(
        &self,
        block: Block,
        runs: &[Run<T>],
        visit: &mut impl FnMut(Block) -> Result<(), E>,
    ) -> Result<(), E> {
        if block.length > 0 {
            visit(block)?;
        }
        if block.length == self.family.width() {
            return Ok(());
        }
        let wildcard = self.wildcard_in(block, runs);
        let last = block.first | self.family.span(block.length);
        let is_whole = |run: &Run<T>| run.first.into() <= block.first && last <= run.last.into();
        if wildcard.is_some() && runs.first().is_some_and(is_whole) {
            return Ok(());
        }
        let length = block.length + self.family.bits_per_label();
        let mut next = Some(block.first).filter(|_| !runs.is_empty());
        while let Some(from) = next {
            let rest = &runs[runs.partition_point(|run| run.last.into() < from)..];
            let Some(run) = rest.first().filter(|run| run.first.into() <= last) else { break };
            let child = Block { first: run.first.into().max(from) & !self.family.span(length), length };
            let inside = self.within(child, rest);
            if !self.is_left(wildcard, child, inside) {
                self.visit_in(child, inside, visit)?;
            }
            next = (child.first | self.family.span(length)).checked_add(1).filter(|&next| next <= last);
        }
        Ok(())
    }

    /// Whether [`Self::visit`] gives a block.
    pub(super) fn visits(&self, block: Block) -> bool {
        let (mut at, mut runs) = (Block::ALL, &*self.runs);
        while at.length < block.length {
            let length = at.length + self.family.bits_per_label();
            let child = Block { first: block.first & !self.family.span(length), length };
            let inside = self.within(child, runs);
            if inside.is_empty() || self.is_left(self.wildcard_in(at, runs), child, inside) {
                return false;
            }
            (at, runs) = (child, inside);
        }
        true
    }

    /// What the wildcard at a block is for, if there is to be one.
    pub(super) fn wildcard(&self, block: Block) -> Option<ListId> {
        self.wildcard_in(block, self.within(block, &self.runs))
    }

    /// The wildcard of a block whose runs are known: what is listed most, if nothing is listed in no child.
    fn wildcard_in(&self, block: Block, runs: &[Run<T>]) -> Option<ListId> {
        if !self.family.allows_wildcard(block) {
            return None;
        }
        let last = block.first | self.family.span(block.length);
        let child = self.family.span(block.length + self.family.bits_per_label()) + 1;
        let has_child = |from: u128, to: u128| from.div_ceil(child) < to / child;
        let mut counts: BTreeMap<u32, u128> = BTreeMap::new();
        let mut next = 0;
        for run in runs {
            let from = run.first.into().max(block.first) - block.first;
            let to = run.last.into().min(last) - block.first + 1;
            if has_child(next, from) {
                return None;
            }
            next = to;
            let Some(list) = run.list else { continue };
            // a child that is listed by itself is written by itself, so that its text names it
            let is_wider = run.last.into() - run.first.into() >= child;
            if is_wider
                && has_child(from, to)
                && !(self.enumerated[list.0 as usize] && self.family.can_enumerate(block))
            {
                *counts.entry(list.0).or_default() += to / child - from.div_ceil(child);
            }
        }
        if has_child(next, last - block.first + 1) {
            return None;
        }
        let (list, count) = counts.into_iter().max_by_key(|&(list, count)| (count, Reverse(list)))?;
        (count > 1).then_some(ListId(list))
    }

    /// Whether a child, with the runs inside it, is left to the wildcard of its parent.
    fn is_left(&self, wildcard: Option<ListId>, child: Block, inside: &[Run<T>]) -> bool {
        let [run] = inside else { return false };
        let last = child.first | self.family.span(child.length);
        let covers = run.first.into() <= child.first && last <= run.last.into();
        let is_wider = run.first.into() < child.first || last < run.last.into();
        wildcard.is_some() && run.list == wildcard && covers && is_wider
    }

    fn within<'r>(&self, block: Block, runs: &'r [Run<T>]) -> &'r [Run<T>] {
        let last = block.first | self.family.span(block.length);
        let begin = runs.partition_point(|run| run.last.into() < block.first);
        let end = begin + runs[begin..].partition_point(|run| run.first.into() <= last);
        &runs[begin..end]
    }
}

/// The shortest IPv6 prefix with a wildcard: four nibbles, as IPv4 addresses are names of four labels.
const LEAST_NIBBLE_WILDCARD: u8 = 16;
/// The shortest IPv6 prefix whose 65,536 addresses are written one by one; of a shorter one they would never end.
const LEAST_ENUMERATED_PREFIX6: u8 = 112;
const HEX: &[u8; 16] = b"0123456789abcdef";
