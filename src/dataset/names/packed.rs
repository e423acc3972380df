//! Names in few bytes, one behind the other: a length, a number, and the name in wire form.
//!
//! ```text
//! statement  length 1   value and scope, LEB128: (0 for an exclusion, else 1 + Met) · 4 + scope   name
//! key        length 1   kind, LEB128: index of what it says                                      name
//! ```

use super::super::room::make_room;
use super::super::values::Met;
use crate::feed::Scope;

/// A statement as it was packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'s> {
    pub(super) wire: &'s [u8],
    pub(super) scope: Scope,
    pub(super) said: Option<Met>,
}

/// Appends a length, a number and a name.
pub(super) fn pack(out: &mut Vec<u8>, mut number: u64, wire: &[u8]) {
    make_room(out, wire.len() + LARGEST_HEAD);
    // a name has at most 254 bytes
    out.push(wire.len() as u8);
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out.extend_from_slice(wire);
}

/// Takes from the front what [`pack`] appended.
pub(super) fn unpack<'s>(rest: &mut &'s [u8]) -> Option<(u64, &'s [u8])> {
    let (&length, mut after) = rest.split_first()?;
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, behind) = after.split_first()?;
        after = behind;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let (wire, behind) = after.split_at_checked(length.into())?;
    *rest = behind;
    Some((number, wire))
}

pub(super) fn pack_statement(out: &mut Vec<u8>, statement: Statement<'_>) {
    let said = u64::from(statement.said.map_or(0, |met| met.0 + 1));
    pack(out, said << 2 | statement.scope as u64, statement.wire);
}

pub(super) fn read_statement<'s>(rest: &mut &'s [u8]) -> Option<Statement<'s>> {
    let (number, wire) = unpack(rest)?;
    let scope = [Scope::Exact, Scope::Below, Scope::Both][(number & 3) as usize % 3];
    let said = ((number >> 2) as u32).checked_sub(1).map(Met);
    Some(Statement { wire, scope, said })
}

pub(super) fn statements(mut rest: &[u8]) -> impl Iterator<Item = Statement<'_>> {
    std::iter::from_fn(move || read_statement(&mut rest))
}

/// A length, and a number of up to 64 bits in pieces of seven.
const LARGEST_HEAD: usize = 11;
