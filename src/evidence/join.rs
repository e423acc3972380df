//! Evidence that was concluded from other evidence, put beside it.

use super::spell::order;
use super::{Evidence, Spell};

impl Evidence {
    /// This evidence and other evidence that knows all of its sources by the same numbers.
    pub fn join(self, other: Self) -> Self {
        Self {
            sources: other.sources,
            ip4: merged(self.ip4, other.ip4),
            ip6: merged(self.ip6, other.ip6),
            blocks4: merged(self.blocks4, other.blocks4),
            blocks6: merged(self.blocks6, other.blocks6),
            names: merged(self.names, other.names),
        }
    }
}

fn merged<S: Ord>(mut all: Vec<Spell<S>>, more: Vec<Spell<S>>) -> Vec<Spell<S>> {
    if more.is_empty() {
        return all;
    }
    all.extend(more);
    all.sort_by(order);
    all
}
