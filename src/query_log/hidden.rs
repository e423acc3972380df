//! What of a query's name nobody is to see: keys.
//!
//! Invariant: a key that the snapshot knows is not shown in whatever place of whatever name it stands, as customers put
//! keys in wrong places too; nor is what stands in a key's place and could be meant as one.
//!
//! It costs a look at every label, so that it is for what is logged, and no answer depends on it.

use std::fmt::{self, Write};

use super::line::question_of;
use crate::dnsxl::{QueryName, name};
use crate::feed::could_be_key;
use crate::server::Exchange;
use crate::snapshot::Snapshot;

/// A query's name as it may be shown: `[NAME]` is in the place of a key, `[?]` of what was meant as one.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'s> {
    /// What was asked.
    pub snapshot: &'s Snapshot,
    /// The name in wire form with its root byte, which is whole but may be too long.
    pub wire: &'s [u8],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.wire.strip_suffix(&[0]).unwrap_or(self.wire);
        if labels.is_empty() {
            return f.write_char('.');
        }
        let place = key_place(self.snapshot, self.wire);
        for (index, label) in name::labels(labels).enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            match self.snapshot.key(label) {
                Some(key) => write!(f, "[{}]", key.name)?,
                None if place == Some(index) && could_be_key(label) => f.write_str("[?]")?,
                None => label.iter().try_for_each(|&byte| write_byte(byte, f))?,
            }
        }
        Ok(())
    }
}

/// Whether a message as it came has anything in it that is not to be seen.
pub(super) fn hides_any(exchange: &Exchange<'_>) -> bool {
    let Exchange { snapshot, query, .. } = exchange;
    let seems_keyed = || {
        let (name, _) = QueryName::read(question_of(exchange)).ok()?;
        let (_, zone) = snapshot.zone_of(name.labels())?;
        Some(zone.access.seems_keyed(name.labels().without_suffix(zone.apex_labels)))
    };
    // names that no parser reads are sent as they are, so that every byte could be a label's length
    let label_at = |at: usize| query.get(at + 1..at + 1 + usize::from(query[at]));
    let has_key = || (0..query.len()).filter_map(label_at).any(|label| snapshot.key(label).is_some());
    seems_keyed().unwrap_or(false) || snapshot.has_keys() && has_key()
}

/// Which label of a name stands where its zone has keys.
fn key_place(snapshot: &Snapshot, wire: &[u8]) -> Option<usize> {
    let (name, _) = QueryName::read(wire).ok()?;
    // by the name and not by what came of it: who is refused without a zone, or dropped, may have a good key
    let (_, zone) = snapshot.zone_of(name.labels()).filter(|(_, zone)| zone.access.has_keys())?;
    name.labels().count().checked_sub(zone.apex_labels + 1)
}

/// As rbldnsd's log has it, which escapes what [`name::fmt_wire`] does but for parentheses.
fn write_byte(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'"' | b'$' | b'.' | b';' | b'@' | b'\\' => write!(f, "\\{}", char::from(byte)),
        0x21..=0x7e => f.write_char(byte.into()),
        _ => write!(f, "\\{byte:03}"),
    }
}
