//! One generation of everything that is served, and the one place where the next takes over.
//!
//! Invariant (the generation rule): the data of a generation never changes; only newer generations arrive; the move
//! is one pointer swap, so that a query sees one generation whole. Building and checking happen aside, elsewhere.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use arrayvec::ArrayVec;

use crate::cookie::Secrets;
use crate::dataset::{Dataset, Key};
use crate::dnsxl::Labels;
use crate::dnsxl::name::{MAX_LABEL, same_wire};
use crate::zone::{Access, Zone};

/// All zones of one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    zones: Vec<Zone>,
    /// The zones' indexes by a hash of their apexes, each at the first free place from its own on: a power of two of
    /// places, at least half of them free.
    by_apex: Box<[Option<u32>]>,
    /// The label counts that apexes have, the longest first: no other suffix of a QNAME need be looked up.
    apex_labels: Vec<usize>,
    /// The keys of all zones, each dataset once.
    keys: Vec<Arc<Dataset>>,
    /// Who may ask anything at all.
    pub access: Access,
    /// What `version.bind` gets.
    pub version: Version,
    /// What DNS Cookies are made and known by; without one there are none, and what clients send is ignored.
    pub secrets: Secrets,
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
        let mut by_apex = vec![None; (2 * zones.len()).next_power_of_two()].into_boxed_slice();
        for (index, zone) in (0..).zip(&zones) {
            let place = places(zone.apex.as_wire(), by_apex.len())
                .find(|&place| by_apex[place].is_none_or(|other: u32| zones[other as usize].apex == zone.apex));
            by_apex[place.expect("half of the places are free")] = Some(index);
        }
        let mut apex_labels: Vec<usize> = zones.iter().map(|zone| zone.apex_labels).collect();
        apex_labels.sort_unstable_by(|a, b| b.cmp(a));
        apex_labels.dedup();
        let mut keys: Vec<Arc<Dataset>> = Vec::new();
        for dataset in zones.iter().filter_map(|zone| zone.access.keys()) {
            if !keys.iter().any(|known| Arc::ptr_eq(known, dataset)) {
                keys.push(dataset.clone());
            }
        }
        Self { zones, by_apex, apex_labels, keys, access, version, secrets: Secrets::default() }
    }

    /// The same generation without its access lists and keys: what zones hold, not who may ask. It is never published.
    pub fn open_to_all(&self) -> Self {
        let open = |zone: &Zone| Zone { access: Access::default(), ..zone.clone() };
        Self::new(self.zones.iter().map(open).collect(), Access::default(), self.version.clone())
    }

    /// The zones, as [`Self::zone_of`] numbers them.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The zone that a name in lower case is in: the one with the longest apex.
    pub fn zone_of(&self, name: Labels<'_>) -> Option<(usize, &Zone)> {
        let count = name.count();
        let suffixes = self.apex_labels.iter().filter(|&&labels| labels <= count).map(|&labels| name.suffix(labels));
        suffixes.filter_map(|suffix| self.zone_at(suffix)).next()
    }

    /// The zone that is above `name`, where `name` is the apex of one: the zone that its DS would be in.
    pub fn zone_above(&self, name: Labels<'_>) -> Option<(usize, &Zone)> {
        let count = name.count();
        let suffixes = self.apex_labels.iter().filter(|&&labels| labels < count).map(|&labels| name.suffix(labels));
        suffixes.filter_map(|suffix| self.zone_at(suffix)).next()
    }

    /// Whether any zone has keys.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The key of any zone that a label is, in any case.
    pub fn key(&self, label: &[u8]) -> Option<&Key> {
        let label: ArrayVec<u8, MAX_LABEL> = label.iter().take(MAX_LABEL).map(u8::to_ascii_lowercase).collect();
        self.keys.iter().find_map(|dataset| Some(dataset.keys.as_ref()?.find(&label)?.1))
    }

    fn zone_at(&self, apex: &[u8]) -> Option<(usize, &Zone)> {
        for place in places(apex, self.by_apex.len()) {
            let index = self.by_apex.get(place).copied().flatten()? as usize;
            let zone = &self.zones[index];
            if same_wire(zone.apex.as_wire(), apex) {
                return Some((index, zone));
            }
        }
        None
    }
}

/// Where an apex may stand among so many places, the first one first.
fn places(apex: &[u8], count: usize) -> impl Iterator<Item = usize> {
    // FNV-1a by the word: apexes are the operator's, so that nobody can choose them to meet
    let (words, rest) = apex.as_chunks::<8>();
    let mut hash = rest.iter().fold(FNV_OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    hash = words.iter().fold(hash, |hash, &word| (hash ^ u64::from_le_bytes(word)).wrapping_mul(FNV_PRIME));
    let first = (hash >> 32) as usize;
    (0..count).map(move |step| first.wrapping_add(step) & (count - 1))
}

/// The two constants of the Fowler–Noll–Vo hash of 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

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
