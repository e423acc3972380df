//! One generation of everything that is served, and the one place where the next takes over.
//!
//! Invariant (the generation rule): the data of a generation never changes; only newer generations arrive; the move
//! is one pointer swap, so that a query sees one generation whole. Building and checking happen aside, elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::dnsxl::Labels;
use crate::zone::{Access, Zone};

/// All zones of one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    zones: Vec<Zone>,
    /// Apexes in wire form to the zone's index.
    by_apex: HashMap<Box<[u8]>, usize>,
    /// The label counts that apexes have, the longest first: no other suffix of a QNAME need be looked up.
    apex_labels: Vec<usize>,
    /// Who may ask anything at all.
    pub access: Access,
    /// What `version.bind` gets.
    pub version: Version,
}

/// What a question about the server's version gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// REFUSED.
    #[default]
    Refused,
    /// This text.
    Text(String),
}

impl Snapshot {
    /// A generation of these zones; of two with one apex the later holds.
    pub fn new(zones: Vec<Zone>, access: Access, version: Version) -> Self {
        let by_apex = zones.iter().enumerate().map(|(index, zone)| (zone.apex.as_wire().into(), index)).collect();
        let mut apex_labels: Vec<usize> = zones.iter().map(|zone| zone.apex_labels).collect();
        apex_labels.sort_unstable_by(|a, b| b.cmp(a));
        apex_labels.dedup();
        Self { zones, by_apex, apex_labels, access, version }
    }

    /// The zones, as [`Self::zone_of`] numbers them.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The zone that a name in lower case is in: the one with the longest apex.
    pub fn zone_of(&self, name: Labels<'_>) -> Option<(usize, &Zone)> {
        let count = name.count();
        let suffixes = self.apex_labels.iter().filter(|&&labels| labels <= count).map(|&labels| name.suffix(labels));
        let index = suffixes.filter_map(|suffix| self.by_apex.get(suffix)).copied().next()?;
        Some((index, &self.zones[index]))
    }

    /// The zone that is above `name`, where `name` is the apex of one: the zone that its DS would be in.
    pub fn zone_above(&self, name: Labels<'_>) -> Option<(usize, &Zone)> {
        let count = name.count();
        let suffixes = self.apex_labels.iter().filter(|&&labels| labels < count).map(|&labels| name.suffix(labels));
        let index = suffixes.filter_map(|suffix| self.by_apex.get(suffix)).copied().next()?;
        Some((index, &self.zones[index]))
    }
}

/// The generation that is being served.
#[derive(Debug)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// Starts with a first generation.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The current generation, to be kept for one batch of queries and no longer.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Makes `snapshot` the current generation and returns the one before, for the caller to drop off the query path.
    pub fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.0.swap(Arc::new(snapshot))
    }
}
