//! Who may ask: the access lists of a zone and of all zones.
//!
//! Invariant: the address judged is the one that the query came from. What a client says of itself, such as an EDNS
//! client subnet, opens nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::dataset::{ClientAction, Clients, Dataset, Value};
use crate::table::ValueId;

/// An access list, or none.
#[derive(Clone, Debug, Default)]
pub struct Access(Option<Arc<Dataset>>);

/// What a client may have of a zone.
#[derive(Clone, Copy, Debug)]
pub enum Permit<'a> {
    /// No reply at all.
    Ignore,
    /// REFUSED.
    Refuse,
    /// Addresses and names look unlisted.
    Empty,
    /// Everything.
    Pass,
    /// Every name is listed with these values; `$` in a text is the client's address.
    Always(&'a Clients, ValueId),
}

impl Access {
    /// Access by the `acl` dataset.
    pub fn by(dataset: Arc<Dataset>) -> Self {
        Self(Some(dataset))
    }

    fn action(&self, client: IpAddr) -> Option<(&Clients, ClientAction)> {
        let clients = self.0.as_ref()?.clients.as_ref()?;
        Some((clients, clients.find(client)?))
    }

    /// What the client may have, by this list and the list for all zones; the more severe of the two holds.
    pub fn permit<'a>(&'a self, for_all: &'a Self, client: IpAddr) -> Permit<'a> {
        if self.0.is_none() && for_all.0.is_none() {
            return Permit::Pass;
        }
        let actions = [self.action(client), for_all.action(client)];
        match actions.into_iter().flatten().min_by_key(|(_, action)| *action) {
            Some((_, ClientAction::Ignore)) => Permit::Ignore,
            Some((_, ClientAction::Refuse)) => Permit::Refuse,
            Some((_, ClientAction::Empty)) => Permit::Empty,
            Some((clients, ClientAction::Always(id))) => Permit::Always(clients, id),
            Some((_, ClientAction::Pass)) | None => Permit::Pass,
        }
    }
}

impl<'a> Permit<'a> {
    /// The values with which everything is listed, if it is.
    pub fn always(self) -> Option<impl Iterator<Item = Value<'a>> + Clone> {
        match self {
            Permit::Always(clients, id) => Some(clients.list(id)),
            _ => None,
        }
    }
}
