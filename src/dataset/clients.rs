//! What the clients of an `acl` dataset may ask: the longest prefix that has the address decides.

use super::values::{Value, Values};
use crate::table::{Table, ValueId};

/// An access list, resolved.
#[derive(Debug, Default, PartialEq)]
pub struct Clients {
    /// Addresses to the index of an action, counted from one.
    pub table: Table,
    /// What becomes of queries.
    pub actions: Vec<ClientAction>,
    /// The values that [`ClientAction::Always`] names.
    pub values: Values,
}

/// What becomes of a client's queries.
///
/// Ordered by what wins when a zone's list and the list for all zones both have the client: the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientAction {
    /// No reply at all.
    Ignore,
    /// REFUSED for everything in the zone.
    Refuse,
    /// Addresses and names look unlisted, and names of `generic` records have no data; SOA and NS are answered.
    Empty,
    /// As usual.
    Pass,
    /// Every query is listed with this value.
    Always(ValueId),
}

impl Clients {
    /// What becomes of queries from this address; IPv4 addresses mapped into IPv6 are IPv4.
    pub fn find(&self, client: std::net::IpAddr) -> Option<ClientAction> {
        let id = match client.to_canonical() {
            std::net::IpAddr::V4(address) => self.table.ip4.find(address.into()),
            std::net::IpAddr::V6(address) => self.table.ip6.find(address.into()),
        };
        self.actions.get((id.0 as usize).checked_sub(1)?).copied()
    }

    /// The values of an action's id.
    pub fn list(&self, id: ValueId) -> impl Iterator<Item = Value<'_>> + Clone {
        self.values.list(id)
    }
}
