//! Where infamy's answer may differ from rbldnsd's, and by how much: docs/rbldnsd.md says why, row by row.
//!
//! Each function turns what rbldnsd said into what it would have said without one of its habits, and only where that
//! habit shows. Whatever differs after all of them is a bug.

use std::collections::BTreeSet;

use super::message::{Reply, Rr};
use super::servers::Theirs;
use super::{Case, Zone};

type Allowance = fn(&Case<'_>, &mut Reply, &Reply, &mut Theirs);

/// In the order they are applied.
pub(super) const ALLOWED: &[(&str, Allowance)] = &[
    ("no transfers", no_transfers),
    ("an SOA is made up", an_soa_is_made_up),
    ("name servers are made up", name_servers_are_made_up),
    ("ANY at the apex", any_at_the_apex),
    ("empty non-terminals exist", empty_non_terminals_exist),
    ("mapped addresses are IPv4 addresses", mapped_addresses_are_ip4_addresses),
    ("negative TTLs follow RFC 2308", negative_ttls_follow_rfc_2308),
    ("texts have 255 bytes", texts_have_255_bytes),
    ("ANY gets one RRset", any_gets_one_rrset),
    ("NS are not given twice", ns_are_not_given_twice),
];

/// An access list is asked first, also while the zone's data cannot be served.
pub(super) fn access_comes_first(case: &Case<'_>, theirs: &mut Option<Reply>, ours: Option<&Reply>) {
    let is_unavailable = theirs.as_ref().is_some_and(|theirs| theirs.rcode == SERVFAIL);
    if case.zone.has_acl && is_unavailable && ours.is_none_or(|ours| ours.rcode == REFUSED) {
        *theirs = ours.cloned();
    }
}

/// AXFR and IXFR of a zone that can be served are REFUSED: the operation is known, and not offered.
fn no_transfers(case: &Case<'_>, theirs: &mut Reply, _: &Reply, _: &mut Theirs) {
    if matches!(case.qtype, AXFR | IXFR) && matches!(theirs.rcode, 0 | NXDOMAIN) {
        let (answers, authority) = ([].into(), [].into());
        *theirs = Reply { rcode: REFUSED, authoritative: false, truncated: false, answers, authority };
    }
}

/// The DS of a zone below another one is the parent's affair (RFC 4035, section 3.1.4.1); rbldnsd asks the zone itself.
pub(super) fn is_the_parents(case: &Case<'_>, zones: &[Zone]) -> bool {
    let is_parent = |other: &Zone| case.zone.apex.ends_with(&format!(".{}", other.apex));
    case.qtype == DS && case.is_apex() && zones.iter().any(is_parent)
}

/// What stands for the reply to a type from 250 on, which is one like any other that the data has nothing of
/// (RFC 3597); rbldnsd says NOTIMP before it looks at anything else, so another type is asked for.
pub(super) fn as_known_type(case: &Case<'_>, theirs: Option<Reply>, asking: &mut Theirs) -> Option<Reply> {
    let is_unknown = theirs.as_ref().is_some_and(|theirs| theirs.rcode == NOTIMP);
    if is_unknown && case.qtype >= FIRST_UNKNOWN {
        return asking.ask(&Case { qtype: HINFO, ..case.clone() });
    }
    theirs
}

/// A zone without `$SOA` has an SOA all the same, so that negative answers can be cached (RFC 2308).
fn an_soa_is_made_up(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, asking: &mut Theirs) {
    if case.zone.subjects.has_soa || !theirs.answers.is_empty() {
        return;
    }
    let made_up = |of: &BTreeSet<Rr>| of.iter().find(|rr| rr.rtype == SOA && rr.owner == case.zone.owner()).cloned();
    if case.qtype == SOA && lacks_data(case, theirs, asking) {
        (theirs.rcode, theirs.authoritative) = (0, case.class == IN);
        theirs.answers.extend(made_up(&ours.answers));
        theirs.authority.extend(ours.authority.iter().filter(|rr| rr.rtype == NS).cloned());
    } else if matches!(theirs.rcode, 0 | NXDOMAIN) {
        theirs.authority.extend(made_up(&ours.authority));
    }
}

/// A zone without `$NS` answers for its NS, as resolvers ask for them (RFC 1034, section 4.2.1).
fn name_servers_are_made_up(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, asking: &mut Theirs) {
    if !case.zone.subjects.has_ns && case.qtype == NS && lacks_data(case, theirs, asking) {
        (theirs.rcode, theirs.authoritative) = (0, case.class == IN);
        theirs.answers.clone_from(&ours.answers);
    }
}

/// ANY at the apex is answered also where `$SOA` or `$NS` is missing, with the SOA.
fn any_at_the_apex(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, asking: &mut Theirs) {
    let subjects = &case.zone.subjects;
    let lacks_one = !subjects.has_soa || !subjects.has_ns;
    if lacks_one && case.qtype == ANY && lacks_data(case, theirs, asking) {
        theirs.clone_from(ours);
        assert!(ours.answers.iter().all(|rr| rr.rtype == SOA) && ours.answers.len() == 1, "{}: {ours}", case.name());
    }
}

/// Beside IPv4 lists a mapped address is never looked up in IPv6 lists; rbldnsd overlooks those in a `combined` file.
fn mapped_addresses_are_ip4_addresses(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, _: &mut Theirs) {
    let is_mapped = case.front.contains(&"0.".repeat(20));
    let subjects = &case.zone.subjects;
    if is_mapped && subjects.has_ip4 && subjects.is_combined {
        theirs.clone_from(ours);
    }
}

/// Whether the apex is REFUSED for want of data, and not by an access list.
fn lacks_data(case: &Case<'_>, theirs: &Reply, asking: &mut Theirs) -> bool {
    let is_refused = |reply: &Reply| reply.rcode == REFUSED;
    let other = || Case { qtype: HINFO, ..case.clone() };
    case.is_apex() && is_refused(theirs) && asking.ask(&other()).is_some_and(|other| other.rcode == 0)
}

/// A name with listings below it exists (RFC 8020); rbldnsd itself is asked whether there are any.
fn empty_non_terminals_exist(case: &Case<'_>, theirs: &mut Reply, _: &Reply, asking: &mut Theirs) {
    if theirs.rcode == NXDOMAIN && asking.has_anything_below(case) {
        theirs.rcode = 0;
    }
}

/// The lesser of the SOA's own TTL and its MINIMUM, not the latter alone (RFC 2308, section 5).
fn negative_ttls_follow_rfc_2308(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, _: &mut Theirs) {
    if !theirs.answers.is_empty() || !case.zone.subjects.has_soa {
        return;
    }
    let lesser = |of: &Reply| of.authority.iter().find(|rr| rr.rtype == SOA).map(|rr| rr.ttl);
    if let Some(ttl) = lesser(ours) {
        let lowered = std::mem::take(&mut theirs.authority).into_iter().map(|mut rr| {
            if rr.rtype == SOA && rr.ttl > ttl {
                rr.ttl = ttl;
            }
            rr
        });
        theirs.authority = lowered.collect();
    }
}

/// A text is cut at the 255 bytes that a character-string holds, not one before (RFC 1035, section 3.3).
fn texts_have_255_bytes(_: &Case<'_>, theirs: &mut Reply, ours: &Reply, _: &mut Theirs) {
    let longer = |rr: &Rr| {
        let is_longer =
            |other: &&Rr| other.data.len() == 255 && rr.data.len() == 254 && other.data.starts_with(&rr.data);
        ours.answers.iter().find(is_longer).cloned()
    };
    theirs.answers = std::mem::take(&mut theirs.answers).into_iter().map(|rr| longer(&rr).unwrap_or(rr)).collect();
}

/// RFC 8482, section 4.1; the RRset is one of those that rbldnsd gives.
fn any_gets_one_rrset(case: &Case<'_>, theirs: &mut Reply, ours: &Reply, _: &mut Theirs) {
    if case.qtype == ANY && !theirs.answers.is_empty() {
        let kept = ours.answers.iter().next().map(|rr| rr.rtype);
        theirs.answers.retain(|rr| Some(rr.rtype) == kept);
    }
}

/// NS in the answer are not repeated in the authority section (RFC 2181, section 5.5).
fn ns_are_not_given_twice(case: &Case<'_>, theirs: &mut Reply, _: &Reply, _: &mut Theirs) {
    if case.qtype == NS && case.is_apex() {
        theirs.authority.clear();
    }
}

pub(super) const NXDOMAIN: u16 = 3;
const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const IN: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
/// rbldnsd knows no type from here on, but ANY.
const FIRST_UNKNOWN: u16 = 250;
const HINFO: u16 = 13;
const DS: u16 = 43;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const ANY: u16 = 255;
