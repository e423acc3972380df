//! What reports have moved since a judgement: single /24s, laid over those that were judged.
//!
//! Invariant: a /24 that moved is judged as a full judgement at the same time would judge it if nothing else had moved:
//! its own history moves its five nodes, and all else above and around it stays as it was. So a verdict depends on the
//! reports of its own /24 and not on the order in which those of others came, and a state that others bring about waits
//! for the next full judgement. The sums and counts of prefixes, ASNs and of everything move with each report, and are
//! there to be told; rates and states above a /24 stay.
//!
//! Days and groups above a /24 only come to more: those that a late report takes away, as it joins two spells to one,
//! go with the next full judgement.

use std::collections::HashMap;

use super::judgement::{BlockVerdict, Judgement};
use super::model::{Model, Surroundings};
use super::nodes::{Asn, Block, Leaf, Prefix};
use super::returning::{Record, Returning};
use super::states::Rules;

/// What has moved.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    blocks: HashMap<u32, MovedBlock>,
    /// By the number of the route.
    prefixes: HashMap<usize, Prefix>,
    /// By their place among the nodes.
    asns: HashMap<usize, Asn>,
    root: Option<Asn>,
}

/// A /24 that has moved.
#[derive(Clone, Debug)]
struct MovedBlock {
    /// None if nothing is left of its history.
    own: Option<(Block, Vec<Leaf>, BlockVerdict)>,
    returning: Vec<Returning>,
    /// Trusted groups that feed the family, as far as this /24 moves that.
    groups: u32,
}

/// A /24 with history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'j> {
    pub(super) block: &'j Block,
    pub(super) leaves: &'j [Leaf],
    pub(super) verdict: BlockVerdict,
}

/// The history of a /24, summed up anew.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// None if no address has any that counts.
    pub(super) own: Option<(Block, Vec<Leaf>)>,
    /// The records of addresses that may come back, ascending.
    pub(super) records: Vec<(u32, Record)>,
}

impl Judgement {
    /// A /24, if it has history.
    pub(super) fn own(&self, block: u32) -> Option<Own<'_>> {
        match self.moved.blocks.get(&block) {
            Some(moved) => {
                let (block, leaves, verdict) = moved.own.as_ref()?;
                Some(Own { block, leaves, verdict: *verdict })
            }
            None => self.nodes.find(block).map(|index| self.own_at(index)),
        }
    }

    /// The /24 with this number among the nodes, as it was judged.
    pub(super) fn own_at(&self, index: usize) -> Own<'_> {
        let (nodes, verdict) = (&self.nodes, self.verdicts[index]);
        Own { block: &nodes.blocks[index], leaves: nodes.leaves_of(index), verdict }
    }

    /// The addresses of a /24 that may come back.
    pub(super) fn returning_in(&self, block: u32) -> &[Returning] {
        if let Some(moved) = self.moved.blocks.get(&block) {
            return &moved.returning;
        }
        let begin = self.returning.partition_point(|returning| returning.address >> 8 < block);
        let length = self.returning[begin..].partition_point(|returning| returning.address >> 8 == block);
        &self.returning[begin..begin + length]
    }

    /// The trusted groups that feed the family, as a /24 was judged by.
    pub(super) fn groups_of(&self, block: u32) -> u32 {
        self.moved.blocks.get(&block).map_or(self.groups, |moved| moved.groups)
    }

    /// What makes the terms of a /24 of a route.
    pub(super) fn model(&self, block: u32, route: usize) -> Model<'_> {
        let mut surroundings = self.nodes.surroundings_of(&self.routes, route, block);
        if let Some(moved) = self.moved.blocks.get(&block) {
            surroundings = surroundings.moved(self.judged(block), moved.own.as_ref().map(|own| &own.0));
        }
        self.model_in(surroundings)
    }

    pub(super) fn model_in(&self, surroundings: Surroundings) -> Model<'_> {
        Model { surroundings, parameters: &self.parameters }
    }

    /// The sums and counts of a route's prefix as they are now.
    pub(super) fn prefix_now(&self, route: usize) -> Option<&Prefix> {
        self.moved.prefixes.get(&route).or_else(|| self.nodes.prefix(route))
    }

    /// As [`Self::prefix_now`], of an ASN.
    pub(super) fn asn_now(&self, index: usize) -> &Asn {
        self.moved.asns.get(&index).unwrap_or(&self.nodes.asns[index])
    }

    /// As [`Self::prefix_now`], of everything.
    pub(super) fn root_now(&self) -> &Asn {
        self.moved.root.as_ref().unwrap_or(&self.nodes.root)
    }

    /// Judges a /24 by its history as it is now. `trusted` are the groups that are, a bit each.
    pub(super) fn move_block(&mut self, block: u32, mut history: History, trusted: u64) {
        // where nothing was known of the family there is no mean to compare with
        let route = self.routes.find4(block << 8, 24).filter(|_| self.nodes.counts(block) && !self.is_empty());
        let Some(route) = route else { return };
        if let Some((own, _)) = &mut history.own {
            (own.route, own.leaf) = (route as u32, 0);
        }
        self.move_sums(block, route, history.own.as_ref().map(|own| &own.0));
        let mut everything = self.nodes.root.counts;
        if let Some((own, _)) = &history.own {
            everything.add(&own.counts);
        }
        let rules = Rules { groups: everything.groups_among(trusted), ..self.rules() };
        let surroundings = self.nodes.surroundings_of(&self.routes, route, block);
        let surroundings = surroundings.moved(self.judged(block), history.own.as_ref().map(|own| &own.0));
        let model = self.model_in(surroundings);
        let own = history.own.map(|(block, leaves)| {
            let rate = model.rate(&block);
            let before = self.previous.state(block.block);
            let state = rules.block(self.lift(rate, 1.0), &block.counts, before);
            (block, leaves, BlockVerdict { rate, state })
        });
        let block_rate = own.as_ref().map_or_else(|| self.untouched_rate(route, surroundings.around), |own| own.2.rate);
        let returning = self.rate_returning(&history.records, block_rate);
        self.moved.blocks.insert(block, MovedBlock { own, returning, groups: rules.groups });
    }

    /// A /24 as it was judged.
    fn judged(&self, block: u32) -> Option<&Block> {
        self.nodes.find(block).map(|index| &self.nodes.blocks[index])
    }

    /// Moves the nodes above a /24.
    fn move_sums(&mut self, block: u32, route: usize, now: Option<&Block>) {
        let before = self.own(block).map(|own| own.block.clone());
        let index = self.nodes.asn_index(route);
        let mut prefix = self.prefix_now(route).cloned().unwrap_or_else(|| Prefix::new(route as u32));
        let mut above = [self.asn_now(index).clone(), self.root_now().clone()];
        let was_active = prefix.active > 0;
        if let Some(before) = &before {
            prefix.take_back(before);
            above.iter_mut().for_each(|node| node.take_back(before));
        }
        if let Some(now) = now {
            prefix.add(now);
            above.iter_mut().for_each(|node| node.add(now));
        }
        let [mut asn, root] = above;
        asn.active_prefixes = asn.active_prefixes + u32::from(prefix.active > 0) - u32::from(was_active);
        self.moved.prefixes.insert(route, prefix);
        self.moved.asns.insert(index, asn);
        self.moved.root = Some(root);
    }
}
