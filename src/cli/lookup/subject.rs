//! What a person writes to be looked up, and the names that ask zones about it.
//!
//! Invariant: the names are those that a mail server, filter or resolver plugin would ask for; nothing is looked up here.

use std::net::IpAddr;

use super::super::selftest::{reversed4, reversed6};
use crate::dataset::Asked;
use crate::dnsxl::url::{CanonicalUrl, Host};
use crate::dnsxl::{KeyShape, Name, QueryName};
use crate::zone::Placed;

/// A subject as it is written on the command line.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// An address.
    Address(IpAddr),
    /// A domain name.
    Domain(Name),
    /// A URL in canonical form.
    Url(CanonicalUrl),
    /// A mailbox in lower case, and its domain.
    Mailbox(String, Name),
}

/// The text is nothing that a list can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: is no address, domain, URL, e-mail address or hash")]
pub(super) struct NoSubject(String);

impl Subject {
    /// Reads a subject.
    pub(super) fn parse(text: &str) -> Result<Self, NoSubject> {
        let wrong = || NoSubject(text.to_owned());
        let domain = |text: &str| match text.is_ascii() {
            true => Name::parse(text.to_ascii_lowercase().as_bytes()).ok().filter(|name| !name.is_root()),
            false => domain_of(&CanonicalUrl::of(text.as_bytes()).ok()?),
        };
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        if text.contains("://") || text.contains('/') {
            return CanonicalUrl::of(text.as_bytes()).map(Self::Url).map_err(|_| wrong());
        }
        if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Err(wrong());
        }
        if let Some((local, host)) = text.rsplit_once('@') {
            let name = domain(host).filter(|_| !local.is_empty()).ok_or_else(wrong)?;
            return Ok(Self::Mailbox(text.to_lowercase(), name));
        }
        domain(text).map(Self::Domain).ok_or_else(wrong)
    }

    /// The names that ask a part about the subject, in front of the place where the part stands.
    pub(super) fn names(&self, placed: &Placed) -> Vec<Name> {
        let holds = placed.holds;
        let is_record = |name: &Name| placed.part().records.find(QueryName::from(name).labels()).is_some();
        let mut names = Vec::new();
        if let Some(address) = self.address() {
            let (is_asked, name) = match address {
                IpAddr::V4(address) => (holds.ip4, reversed4(address)),
                IpAddr::V6(address) => {
                    let has_ip4 = address.to_ipv4_mapped().is_some() || address.segments()[0] == SIX_TO_FOUR;
                    (holds.ip6 || holds.ip4 && has_ip4, reversed6(address))
                }
            };
            if is_asked || is_record(&name) {
                names.push(name);
            }
        }
        names.extend(self.domain().filter(|name| holds.names || is_record(name)));
        names.extend(holds.hashes.and_then(|shape| self.label(shape)));
        names
    }

    /// What verdicts are asked about.
    pub(super) fn asked(&self) -> Option<Asked> {
        let name = |name: Name| Asked::Name(name.to_string().to_ascii_lowercase());
        self.address().map(Asked::Address).or_else(|| self.domain().map(name))
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Url(url) => match url.host() {
                Host::Address(address) => Some(address),
                Host::Name(_) => None,
            },
            Self::Domain(_) | Self::Mailbox(..) => None,
        }
    }

    fn domain(&self) -> Option<Name> {
        match self {
            Self::Domain(name) | Self::Mailbox(_, name) => Some(name.clone()),
            Self::Url(url) => domain_of(url),
            Self::Address(_) => None,
        }
    }

    /// The label that asks a list of hashes: a hash that is already one, or that of the subject.
    fn label(&self, shape: KeyShape) -> Option<Name> {
        let key = match self {
            Self::Url(url) => shape.hash(url.hashed()),
            Self::Mailbox(mailbox, _) => shape.hash(mailbox.as_bytes()),
            Self::Address(_) => return None,
            Self::Domain(name) => {
                let text = name.to_string();
                let ready = shape.read_label(text.as_bytes()).or_else(|| shape.read_digest(text.as_bytes()));
                ready.unwrap_or_else(|| shape.hash(text.as_bytes()))
            }
        };
        let mut label = Vec::new();
        shape.write_label(&key, &mut label);
        Name::parse(&label).ok()
    }
}

fn domain_of(url: &CanonicalUrl) -> Option<Name> {
    match url.host() {
        Host::Name(name) => Name::parse(name).ok(),
        Host::Address(_) => None,
    }
}

/// The first 16 bits of 6to4 addresses (RFC 3056), which zones of IPv4 answer as the address in them.
const SIX_TO_FOUR: u16 = 0x2002;
