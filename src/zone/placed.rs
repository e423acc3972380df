//! A part of a dataset at its place in a zone, with the live changes laid over it.
//!
//! Invariant: what is given of a subject is what the part's dataset says of it, and what each layer over it decides,
//! from the lowest up: one that hides takes all below it away. A part without layers pays for them with one branch.
//!
//! A layer belongs to a whole dataset. What it hides is hidden in every part; what it lists is listed by the first part
//! that is about such subjects, or, if none is, by the first one.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::dataset::{Dataset, Holds, Part, Value, Values};
use crate::dnsxl::name::same_wire;
use crate::dnsxl::{Block4, Block6, Labels, Name};
use crate::live::{Decided, Layer, MAX_LAYERS};
use crate::table::{NameHashes, ValueId};

/// A part of a dataset at its place in a zone.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The name that it stands under, relative to the apex; empty for the apex itself.
    pub under: Name,
    /// How many labels that is.
    pub under_labels: usize,
    /// Whether its table is larger than a processor keeps near.
    pub is_large: bool,
    /// Whether a part under the same name is about IPv4, so that mapped IPv6 addresses are looked up there.
    pub beside_ip4: bool,
    /// The kinds of subject that it is about, those that are only listed live included.
    pub holds: Holds,
    /// The kinds of subject whose live listings are its own.
    gives: Holds,
    /// Names below this one that other parts of the same dataset stand under: what is there is theirs alone.
    pub(super) deeper: Box<[Name]>,
    dataset: Arc<Dataset>,
    part: usize,
    /// From the lowest up.
    layers: ArrayVec<Arc<Layer>, MAX_LAYERS>,
    /// The dataset's index in the zone, the same for all its parts.
    pub dataset_index: usize,
}

/// Something that lists a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// What does.
    pub teller: Teller,
    /// What is listed, as the teller numbers it.
    pub value: ValueId,
    /// How many labels the listed name has; 0 for what is no name.
    pub depth: u8,
    /// When it ends, as a Unix time in seconds; `i64::MAX` for never.
    pub expires: i64,
}

/// What lists a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Teller {
    /// The dataset.
    Dataset,
    /// A live change.
    Live {
        /// The layer, counted from the lowest.
        layer: u8,
        /// Which of its levels.
        is_recent: bool,
    },
}

impl Placed {
    /// A part of a dataset under a name relative to the apex; `layers` from the lowest up, and no more than there may be.
    pub(super) fn new(
        under: Name,
        dataset: &Arc<Dataset>,
        part: usize,
        layers: &[Arc<Layer>],
        dataset_index: usize,
    ) -> Self {
        let layers: ArrayVec<_, MAX_LAYERS> = layers.iter().take(MAX_LAYERS).cloned().collect();
        let own = dataset.parts[part].holds;
        let is_first = |holds: fn(&Holds) -> bool| {
            let mut parts = dataset.parts.iter();
            part == parts.position(|part| holds(&part.holds)).unwrap_or(0)
        };
        let gives = match layers.is_empty() {
            true => Holds::default(),
            false => Holds {
                ip4: is_first(|holds| holds.ip4),
                ip6: is_first(|holds| holds.ip6),
                names: is_first(|holds| holds.names),
                hashes: own.hashes.filter(|_| is_first(|holds| holds.hashes.is_some())),
            },
        };
        let mut holds = own;
        for live in layers.iter().map(|layer| layer.holds()) {
            holds.ip4 |= gives.ip4 && live.ip4;
            holds.ip6 |= gives.ip6 && live.ip6;
            holds.names |= gives.names && live.names;
        }
        Self {
            under_labels: under.label_count(),
            under,
            is_large: false,
            beside_ip4: false,
            holds,
            gives,
            deeper: Box::default(),
            dataset: dataset.clone(),
            part,
            layers,
            dataset_index,
        }
    }

    /// The part.
    pub fn part(&self) -> &Part {
        &self.dataset.parts[self.part]
    }

    /// The part's index in its dataset.
    pub fn part_index(&self) -> usize {
        self.part
    }

    /// The dataset that the part is of.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The live changes over it, from the lowest layer up.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// Whether live changes are laid over it.
    pub fn is_live(&self) -> bool {
        !self.layers.is_empty()
    }

    /// `name`, relative to the apex, as the part sees it; none if it is not the part's to say anything of it.
    pub fn relative<'n>(&self, name: Labels<'n>) -> Option<Labels<'n>> {
        let is_inside = |under: &Name, labels| {
            labels == 0 || name.count() >= labels && same_wire(name.suffix(labels), under.as_wire())
        };
        let is_own = is_inside(&self.under, self.under_labels)
            && !self.deeper.iter().any(|under| is_inside(under, under.label_count()));
        is_own.then(|| name.without_suffix(self.under_labels))
    }

    /// The values of what lists a subject.
    pub fn values(&self, teller: Teller, value: ValueId) -> impl Iterator<Item = Value<'_>> + Clone + use<'_> {
        let layer = |layer: u8| self.layers.get(usize::from(layer));
        let values: &Values = match teller {
            Teller::Live { layer: index, is_recent } => {
                layer(index).map_or_else(|| &self.part().values, |layer| layer.values(is_recent))
            }
            Teller::Dataset => &self.part().values,
        };
        values.list(value)
    }

    /// Gives what lists an IPv4 address.
    pub fn ip4(&self, address: u32, give: impl FnMut(Listed)) {
        let own = self.part().table.ip4.find(address);
        self.lay(own, 0, |layer| layer.ip4(address), self.gives.ip4, give);
    }

    /// Gives what lists an IPv6 address.
    pub fn ip6(&self, address: u128, give: impl FnMut(Listed)) {
        let own = self.part().table.ip6.find(address);
        self.lay(own, 0, |layer| layer.ip6(address), self.gives.ip6, give);
    }

    /// Gives what lists a name as the part sees it; whether the part itself lists names below it.
    pub fn name(&self, name: Labels<'_>, hashes: Option<&NameHashes>, give: impl FnMut(Listed)) -> bool {
        let names = &self.part().table.names;
        if names.is_empty() && self.layers.is_empty() {
            return false;
        }
        let found = match hashes {
            _ if names.is_empty() => Default::default(),
            Some(hashes) => names.find_hashed(name, hashes),
            None => names.find(name),
        };
        self.lay(found.value, found.depth, |layer| layer.name(name), self.gives.names, give);
        found.any_below
    }

    /// Gives what lists a name of which the part itself lists `own`, with the labels that `$` names.
    pub(crate) fn name_over(&self, own: ValueId, depth: u8, name: Labels<'_>, give: impl FnMut(Listed)) {
        self.lay(own, depth, |layer| layer.name(name), self.gives.names, give);
    }

    /// Gives what lists the key that a name spells, as the part sees it.
    pub fn hash(&self, name: Labels<'_>, mut give: impl FnMut(Listed)) {
        let Some(shape) = self.part().holds.hashes.filter(|_| name.count() == 1) else { return };
        let hashes = &self.part().table.hashes;
        if hashes.is_empty() && self.layers.is_empty() {
            return;
        }
        let Some(key) = shape.read_label(name.label(0)) else { return };
        let own = if hashes.is_empty() { ValueId::NONE } else { hashes.find(key.as_bytes()) };
        self.lay(
            own,
            1,
            |layer| layer.hash(key.as_bytes()),
            self.gives.hashes.is_some(),
            |listed| {
                give(Listed { depth: 1, ..listed });
            },
        );
    }

    /// Whether any address of a block is listed. What is hidden may be counted: a name above it stays NODATA.
    pub fn any_below_ip4(&self, block: Block4) -> bool {
        let is_live = |layer: &Arc<Layer>| layer.any_below_ip4(block);
        self.part().table.ip4.any_below(block) || self.gives.ip4 && self.layers.iter().any(is_live)
    }

    /// As [`Self::any_below_ip4`], for IPv6.
    pub fn any_below_ip6(&self, block: Block6) -> bool {
        let is_live = |layer: &Arc<Layer>| layer.any_below_ip6(block);
        self.part().table.ip6.any_below(block) || self.gives.ip6 && self.layers.iter().any(is_live)
    }

    /// Whether live changes list any name below one, as the part sees it.
    pub fn any_live_below(&self, name: Labels<'_>) -> bool {
        self.gives.names && self.layers.iter().any(|layer| layer.any_below_name(name))
    }

    /// Gives what the dataset says and what is laid over it.
    #[inline]
    fn lay(
        &self,
        own: ValueId,
        depth: u8,
        decided: impl Fn(&Layer) -> Option<Decided>,
        gives: bool,
        mut give: impl FnMut(Listed),
    ) {
        let own = Listed { teller: Teller::Dataset, value: own, depth, expires: i64::MAX };
        if self.layers.is_empty() {
            return if own.value.is_listed() {
                give(own)
            };
        }
        let mut listed: ArrayVec<Listed, { 1 + MAX_LAYERS }> = ArrayVec::new();
        listed.push(own);
        for (index, layer) in (0..).zip(&self.layers) {
            let Some(Decided { hides, values, is_recent, depth, expires }) = decided(layer) else { continue };
            if hides {
                listed.clear();
            }
            if gives {
                listed.push(Listed { teller: Teller::Live { layer: index, is_recent }, value: values, depth, expires });
            }
        }
        listed.into_iter().filter(|listed| listed.value.is_listed()).for_each(give);
    }
}
