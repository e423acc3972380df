//! One level of a layer: what changes decide, in the structures of a table.
//!
//! Invariant: a [`Cell`] has the length of the subject that it was laid for, so that what two levels find can be told
//! apart by who is longer. `adds` has what is listed by changes and nothing else: it is asked what exists below a name.

use std::collections::HashMap;

use super::{Effect, Held, Subject};
use crate::dataset::blocks::{self, Address, Run, Statement, prefixes};
use crate::dataset::hashes::HashStatements;
use crate::dataset::names::NameStatements;
use crate::dataset::never::{NeverList, is_mapped_test_entry, is_test_entry};
use crate::dataset::values::{self, ListId, Lists, Met, TooManyValues};
use crate::dataset::{Defaults, Values};
use crate::dnsxl::subject::{mask4, mask6};
use crate::feed;
use crate::table::{Hashes, Ip4, Ip6, Names, Prefix6, Run4, Table, ValueId};

/// What changes decide.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Subjects to cells, by their number counted from one.
    pub(super) said: Table,
    /// The same, as far as the cells list anything; none if all of them do.
    adds: Option<Table>,
    cells: Box<[Cell]>,
    /// What the cells' ids stand for.
    pub(super) values: Values,
}

/// What is decided of the subjects of one length with one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    /// The length of the subject that it was laid for.
    pub(super) rank: u8,
    /// How many labels the name has that `$` names; 0 for what is no name.
    pub(super) depth: u8,
    /// Whether what the dataset itself lists is hidden.
    pub(super) hides: bool,
    /// What is listed besides.
    pub(super) values: ValueId,
    /// When it ends; `i64::MAX` for never.
    pub(super) expires: i64,
}

impl Level {
    /// Lays places, each of them once, with what decides of all of each; nothing may do so, which is a decision too.
    pub(super) fn build<'h>(
        laid: impl Iterator<Item = (Subject, Option<&'h Held>)>,
        defaults: &Defaults,
        never: &NeverList,
    ) -> Result<Self, TooManyValues> {
        let mut draft = Draft::default();
        let places: Vec<(Subject, Met)> = laid
            .map(|(place, held)| {
                let met = draft.cell(place.rank(), held, defaults);
                (place, met)
            })
            .collect();
        let (values, ids) = draft.lists.finish(&draft.encoded)?;
        let cells: Box<[Cell]> =
            draft.cells.iter().map(|(cell, list)| Cell { values: ids.of(*list), ..*cell }).collect();
        // a table's number has no more bits
        if cells.len() > crate::table::MAX_VALUES as usize {
            return Err(TooManyValues);
        }
        let said = table(&places, never, Some);
        let lists_any = |cell: &Cell| cell.values.is_listed();
        let adding = |met: Met| Some(met).filter(|met| lists_any(&cells[met.0 as usize]));
        let adds = (!cells.iter().all(lists_any)).then(|| table(&places, never, adding));
        Ok(Self { said, adds, cells, values })
    }

    /// The cell that a table's number stands for.
    pub(super) fn cell(&self, number: ValueId) -> Option<&Cell> {
        self.cells.get((number.0 as usize).checked_sub(1)?)
    }

    /// What is listed.
    pub(super) fn adds(&self) -> &Table {
        self.adds.as_ref().unwrap_or(&self.said)
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.said.bytes() + self.adds.as_ref().map_or(0, Table::bytes) + self.values.bytes() + size_of_val(&*self.cells)
    }
}

/// Cells and values while they are numbered.
#[derive(Default)]
struct Draft {
    cells: Vec<(Cell, Option<ListId>)>,
    cell_numbers: HashMap<(Cell, Option<ListId>), Met>,
    encoded: Vec<Box<[u8]>>,
    value_numbers: HashMap<Box<[u8]>, Met>,
    lists: Lists,
}

impl Draft {
    /// The number of what decides of a place.
    fn cell(&mut self, rank: u8, held: Option<&Held>, defaults: &Defaults) -> Met {
        let nothing = Cell { rank, depth: 0, hides: false, values: ValueId::NONE, expires: i64::MAX };
        let (mut cell, mut list) = (nothing, None);
        if let Some(Held { change, .. }) = held {
            let Effect { hides, values } = &change.effect;
            let mut mets: Vec<Met> = values.iter().map(|value| self.value(value, defaults)).collect();
            list = (!mets.is_empty()).then(|| self.lists.intern(&mut mets));
            let is_name = matches!(change.subject, Subject::Name { .. });
            let depth = if is_name { change.subject.rank() } else { 0 };
            cell = Cell { depth, hides: *hides, expires: change.expires.unwrap_or(i64::MAX), ..nothing };
        }
        *self.cell_numbers.entry((cell, list)).or_insert_with(|| {
            self.cells.push((cell, list));
            Met(self.cells.len() as u32 - 1)
        })
    }

    fn value(&mut self, value: &super::OwnedValue, defaults: &Defaults) -> Met {
        let text = value.text.as_deref().map_or(feed::Text::Unsaid, feed::Text::Template);
        let encoded = values::encode(feed::Value { a: value.a, text }, value.ttl.or(defaults.ttl), defaults);
        let next = Met(self.encoded.len() as u32);
        *self.value_numbers.entry(encoded).or_insert_with_key(|encoded| {
            self.encoded.push(encoded.clone());
            next
        })
    }
}

/// The table of places, each with the number of its cell as far as `said` has one.
fn table(places: &[(Subject, Met)], never: &NeverList, said: impl Fn(Met) -> Option<Met>) -> Table {
    let (mut ip4, mut ip6, mut kept4, mut kept6) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut names, mut hashes) = (NameStatements::default(), HashStatements::default());
    for (place, met) in places {
        let said = said(*met);
        match place {
            &Subject::Ip4 { bits, length } => {
                ip4.push(Statement { first: bits, last: bits | !mask4(length), said, at: 0 });
                kept4.extend(Some(bits).filter(|&bits| length == 32 && is_test_entry(bits)));
            }
            &Subject::Ip6 { bits, length } => {
                ip6.push(Statement { first: bits, last: bits | !mask6(length), said, at: 0 });
                kept6.extend(Some(bits).filter(|&bits| length == 128 && is_mapped_test_entry(bits)));
            }
            Subject::Name { name, scope } => names.push(name.as_wire(), *scope, said),
            Subject::Hash { key, .. } => hashes.push(key.as_bytes(), said),
        }
    }
    // here a list is one cell, and has its number
    let mut lists = Lists::default();
    let id = |list: ListId| ValueId(list.0 + 1);
    let numbered = |list: Option<ListId>| list.map_or(ValueId::NONE, id);
    let (ip4, ip6) = (laid(ip4, &never.ip4(), kept4), laid(ip6, &never.ip6(), kept6));
    let (names, hashes) = (names.resolve(&mut lists), hashes.resolve(&mut lists));
    Table {
        ip4: Ip4::build(ip4.iter().map(|run| Run4 { first: run.first, last: run.last, value: numbered(run.list) })),
        ip6: Ip6::build(ip6.iter().flat_map(|run| {
            let value = numbered(run.list);
            prefixes(run.first, run.last).map(move |(bits, length)| Prefix6 { bits, length, value })
        })),
        names: Names::build(names.iter().map(|(wire, key)| (wire, key.numbered(numbered)))),
        hashes: Hashes::build(hashes.iter().map(|(key, list)| (key, id(list)))),
    }
}

/// The longest prefix lays, and what no list may list is cut out.
fn laid<T: Address>(statements: Vec<Statement<T>>, never: &[(T, T)], mut kept: Vec<T>) -> Vec<Run<T>> {
    kept.sort_unstable();
    kept.dedup();
    let (runs, _) = blocks::longest_prefix(statements, &mut Lists::default());
    blocks::listed_outside(&runs, never, &kept)
}
