//! Who may ask: the access lists of a zone and of all zones, keys in query names, quotas.
//!
//! A key is the label directly in front of the apex: `<ip>.<key>.<apex>`. Whom an access list names needs none, and whom it
//! keeps out has no use for one.
//!
//! Invariant: the address judged is the one that the query came from. What a client says of itself, such as an EDNS
//! client subnet, opens nothing. A key is known by its name alone, here and behind here. Nothing is counted here: who has
//! a quota is told to a [`Meter`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::UnixTime;
use crate::dataset::{ClientAction, Clients, Dataset, Key, Keys, Value};
use crate::dnsxl::Labels;
use crate::feed::{Quota, could_be_key};
use crate::table::ValueId;

/// Who may ask, and what becomes of others.
#[derive(Clone, Debug, Default)]
pub struct Access {
    clients: Option<Arc<Dataset>>,
    keys: Option<Arc<Dataset>>,
    terms: Terms,
}

/// The terms of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What is answered to whom may not ask.
    pub refuse_with: RefuseWith,
    /// How much a client may ask that neither has a key nor is named by an access list.
    pub quota: Quota,
    /// How much may be asked with a key, as far as no line of its name says.
    pub key_quota: Quota,
}

/// What is answered to whom may not ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefuseWith {
    /// REFUSED.
    #[default]
    Refused,
    /// NXDOMAIN, as if nothing were listed.
    NxDomain,
    /// No reply at all.
    Drop,
    /// An address of 127.255.255.0/24 that says why, or 127.0.0.1 where addresses are bit masks, and a text, for
    /// everything that could be listed.
    Code,
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client may not ask.
    Client,
    /// What stands in the place of a key is none.
    Key,
    /// The client asked more than its quota has.
    Quota,
    /// More was asked with the key than the quota of its name has.
    KeyQuota,
}

/// What a client may have of a zone.
#[derive(Clone, Copy, Debug)]
pub enum Permit<'a> {
    /// No reply at all.
    Ignore,
    /// What the zone's terms say.
    Refuse(Refusal),
    /// Addresses and names look unlisted.
    Empty,
    /// Everything.
    Pass,
    /// Every name is listed with these values; `$` in a text is the client's address.
    Always(&'a Clients, ValueId),
}

/// Whom a query is from, as far as the server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The key that it came with: its index in the zone's keys.
    pub key: Option<u32>,
    /// Whether an access list lets the client pass.
    pub is_listed: bool,
}

/// What becomes of a query to a zone.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// What it may have.
    pub permit: Permit<'a>,
    /// Whom it is from.
    pub standing: Standing,
    /// How many labels in front of the apex are its key.
    pub key_labels: usize,
}

/// A query, as far as it matters whether it may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'q> {
    /// The zone's number.
    pub zone: u32,
    /// What stands in front of the apex.
    pub name: Labels<'q>,
    /// What [`Access::key_of`] says of it.
    pub key: Option<(u32, &'q Key)>,
    /// Whose packet it was.
    pub client: IpAddr,
    /// Who counts, if anybody does.
    pub meter: Option<&'q dyn Meter>,
    /// The time.
    pub now: UnixTime,
}

/// Counts what is asked, where there are quotas.
pub trait Meter: fmt::Debug {
    /// Takes one query off an account; whether there was one left.
    fn take(&self, account: Account, quota: Quota, now: UnixTime) -> bool;
}

/// Who has a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// All who have keys of one name.
    Key(u64),
    /// A client of the zone with that number.
    Client(u32, IpAddr),
}

impl Access {
    /// Access by an `acl` dataset.
    pub fn by(dataset: Arc<Dataset>) -> Self {
        Self { clients: Some(dataset), ..Self::default() }
    }

    /// The same on other terms.
    pub fn on(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The same, for clients without a place on a list by the keys of a `keys` dataset.
    pub fn with_keys(self, dataset: Arc<Dataset>) -> Self {
        Self { keys: Some(dataset), ..self }
    }

    /// What is answered to whom may not ask.
    pub fn refuse_with(&self) -> RefuseWith {
        self.terms.refuse_with
    }

    /// Whether keys are asked for.
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The dataset of the keys, if keys are asked for.
    pub fn keys(&self) -> Option<&Arc<Dataset>> {
        self.keys.as_ref()
    }

    fn has_key_quotas(&self) -> bool {
        let keys = self.keys.as_ref().and_then(|dataset| dataset.keys.as_ref());
        self.terms.key_quota.is_bound() || keys.is_some_and(Keys::has_quotas)
    }

    /// A key by its index in a [`Standing`].
    pub fn key(&self, index: u32) -> Option<&Key> {
        self.keys.as_ref()?.keys.as_ref()?.get(index)
    }

    /// The label of one of the keys, for the program to ask itself with.
    pub(crate) fn any_key(&self) -> Option<&[u8]> {
        self.keys.as_ref()?.keys.as_ref()?.any_label()
    }

    /// The key that stands in front of the apex, `name` being all that stands there.
    pub fn key_of(&self, name: Labels<'_>) -> Option<(u32, &Key)> {
        let keys = self.keys.as_ref()?.keys.as_ref()?;
        keys.find(last_label(name)?)
    }

    /// Whether what stands directly in front of the apex is a key, or was meant as one.
    pub fn seems_keyed(&self, name: Labels<'_>) -> bool {
        self.has_keys() && last_label(name).is_some_and(could_be_key)
    }

    fn action(&self, client: IpAddr) -> Option<(&Clients, ClientAction)> {
        let clients = self.clients.as_ref()?.clients.as_ref()?;
        Some((clients, clients.find(client)?))
    }

    /// What the client may have by this list and the list for all zones, if either names it; the more severe of the two
    /// holds.
    pub fn listed<'a>(&'a self, for_all: &'a Self, client: IpAddr) -> Option<Permit<'a>> {
        if self.clients.is_none() && for_all.clients.is_none() {
            return None;
        }
        let actions = [self.action(client), for_all.action(client)];
        let (clients, action) = actions.into_iter().flatten().min_by_key(|(_, action)| *action)?;
        Some(match action {
            ClientAction::Ignore => Permit::Ignore,
            ClientAction::Refuse => Permit::Refuse(Refusal::Client),
            ClientAction::Empty => Permit::Empty,
            ClientAction::Always(id) => Permit::Always(clients, id),
            ClientAction::Pass => Permit::Pass,
        })
    }

    /// What becomes of a query. `is_open`: whether its name is everybody's, as the apex is.
    #[inline]
    pub fn admit<'a>(&'a self, for_all: &'a Self, asked: &Applied<'_>, is_open: impl Fn() -> bool) -> Admission<'a> {
        let Applied { zone, name, key, client, meter, now } = *asked;
        let listed = self.listed(for_all, client);
        let standing = Standing { key: key.map(|(index, _)| index), is_listed: matches!(listed, Some(Permit::Pass)) };
        let admission = |permit| Admission { permit, standing, key_labels: key.iter().len() };
        // whom a list lets pass has no quota, with a key neither
        if let Some(permit) = listed {
            return admission(permit);
        }
        let account = match key {
            // without any quota the key's own memory is not looked at
            Some(_) if !self.has_key_quotas() => None,
            Some((_, key)) => Some((Account::Key(key.account), key.quota.or(self.terms.key_quota))),
            None if self.has_keys() && !is_open() => {
                return admission(Permit::Refuse(if self.seems_keyed(name) { Refusal::Key } else { Refusal::Client }));
            }
            None => Some((Account::Client(zone, client), self.terms.quota)),
        };
        let is_over = |(account, quota): (Account, Quota)| {
            quota.is_bound() && !is_open() && meter.is_some_and(|meter| !meter.take(account, quota, now))
        };
        let refusal = if key.is_some() { Refusal::KeyQuota } else { Refusal::Quota };
        admission(if account.is_some_and(is_over) { Permit::Refuse(refusal) } else { Permit::Pass })
    }
}

/// The label directly in front of the apex.
fn last_label(name: Labels<'_>) -> Option<&[u8]> {
    let last = name.count().checked_sub(1)?;
    Some(name.label(last))
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
