//! The records that listings of a name come to: one RRset of addresses, one of texts.
//!
//! Invariant: a record is given once, and all of a set have one TTL, the smallest (RFC 2181, section 5.2). What writes a
//! zone out takes the records from here too, so that it says what is answered.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use arrayvec::ArrayVec;

use super::hits::{About, Hits, values_of};
use crate::dataset::Value;
use crate::dataset::values::MAX_TEXT;
use crate::dnsxl::Labels;
use crate::dnsxl::number::{TYPE_A, TYPE_TXT};
use crate::zone::{Choice, Refusal, Zone};

/// Gives the TTL and data of each A record.
pub(crate) fn addresses<'v>(
    zone: &Zone,
    values: impl Iterator<Item = (About, Value<'v>)> + Clone,
    mut give: impl FnMut(u32, &[u8]),
) {
    let addresses = values.filter_map(|(_, value)| Some((value.a?, value.ttl.unwrap_or(zone.ttl))));
    let Some(ttl) = addresses.clone().map(|(_, ttl)| ttl).min() else { return };
    if zone.choice == Choice::Or {
        let or = addresses.map(|(a, _)| u32::from(a)).reduce(|all, a| all | a & LOW_24_BITS);
        if let Some(or) = or {
            give(ttl, &or.to_be_bytes());
        }
        return;
    }
    for (index, (a, _)) in addresses.clone().enumerate() {
        if !addresses.clone().take(index).any(|(before, _)| before == a) {
            give(ttl, &a.octets());
        }
    }
}

/// Gives the TTL and data of each TXT record; `name` is what stands in front of the apex.
pub(crate) fn texts<'v>(
    zone: &Zone,
    values: impl Iterator<Item = (About, Value<'v>)> + Clone,
    name: Labels<'_>,
    mut give: impl FnMut(u32, &[u8]),
) {
    let texts = values.filter_map(|(about, value)| Some((text_of(about, value, name)?, value.ttl.unwrap_or(zone.ttl))));
    let Some(ttl) = texts.clone().map(|(_, ttl)| ttl).min() else { return };
    let mut joined = ArrayVec::<u8, MAX_TEXT>::new();
    for (index, (text, _)) in texts.clone().enumerate() {
        if texts.clone().take(index).any(|(before, _)| before == text) {
            continue;
        }
        if zone.choice != Choice::Or {
            give(ttl, &character_string(&text));
            continue;
        }
        let separator: &[u8] = if joined.is_empty() { b"" } else { b"; " };
        let room = joined.remaining_capacity();
        joined.extend(separator.iter().chain(&text).copied().take(room));
    }
    if zone.choice == Choice::Or {
        give(ttl, &character_string(&joined));
    }
}

/// Whether the listings of a name come to this record too.
pub(super) fn has(zone: &Zone, hits: &Hits, name: Labels<'_>, rtype: u16, rdata: &[u8]) -> bool {
    let is_same = |(about, value): (About, Value<'_>)| match rtype {
        TYPE_A => value.a.is_some_and(|a| a.octets() == rdata),
        // the first byte of the data is the text's length
        TYPE_TXT => text_of(about, value, name).is_some_and(|text| rdata.get(1..) == Some(&text)),
        _ => false,
    };
    zone.choice != Choice::Or && values_of(zone, hits).any(is_same)
}

/// The address that says why there is no answer: what operators of lists and authors of clients have agreed on. Where
/// values are bits the lowest is kept for it, whatever the reason, as URIBL and SURBL do; the others have nearly all set.
pub(super) fn code(refusal: Refusal, choice: Choice) -> Ipv4Addr {
    match refusal {
        _ if choice == Choice::Or => Ipv4Addr::LOCALHOST,
        Refusal::Key => Ipv4Addr::new(127, 255, 255, 252),
        Refusal::Client => Ipv4Addr::new(127, 255, 255, 254),
        Refusal::Quota | Refusal::KeyQuota => Ipv4Addr::new(127, 255, 255, 255),
    }
}

/// The same in words, as TXT data.
pub(super) fn why_refused(refusal: Refusal, zone: &Zone, client: IpAddr) -> ArrayVec<u8, { MAX_TEXT + 1 }> {
    let (apex, mut text) = (&zone.apex, ArrayVec::<u8, MAX_TEXT>::new());
    // what does not fit is past the end of any text
    let _ = match refusal {
        Refusal::Key => write!(text, "Error: no listing. {client} asked with a key that is not known to {apex}"),
        Refusal::Client => write!(text, "Error: no listing. {client} may not ask {apex}"),
        Refusal::Quota => write!(text, "Error: no listing. {client} asked more of {apex} than its quota has"),
        // whose key it is may be no business of those who share the resolver
        Refusal::KeyQuota => {
            write!(text, "Error: no listing. More was asked of {apex} with this key than its quota has")
        }
    };
    character_string(&text)
}

/// The text of a value, if it has one.
fn text_of(about: About, value: Value<'_>, name: Labels<'_>) -> Option<ArrayVec<u8, MAX_TEXT>> {
    let mut text = ArrayVec::new();
    value.text?.render(&about.text(name), &mut text);
    Some(text)
}

/// RFC 1035, section 3.3: a length byte and the text.
fn character_string(text: &[u8]) -> ArrayVec<u8, { MAX_TEXT + 1 }> {
    let mut rdata = ArrayVec::new();
    rdata.push(text.len() as u8);
    rdata.extend(text.iter().copied());
    rdata
}

/// What joins of a bit-mask value: 127.x.y.z keeps its first octet.
const LOW_24_BITS: u32 = 0x00ff_ffff;
