//! What every list must answer (RFC 5782, section 5, and RFC 8020), asked of a generation before it is published.
//!
//! Invariant: the questions go the way that queries go. An error is something that a right program and sound data
//! cannot give; everything that data or configuration may ask for is a warning.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ask::{CLIENT, Reply, ask};
use crate::config::is_like_address;
use crate::dataset::Holds;
use crate::dnsxl::number::{TYPE_A, TYPE_NS, TYPE_SOA};
use crate::dnsxl::{Name, name};
use crate::reload::Plan;
use crate::snapshot::Snapshot;
use crate::table::ValueId;
use crate::zone::{Permit, UnixTime, Zone};

/// Something that a zone answers and should not, or the reverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether the generation must not be published.
    pub(super) is_error: bool,
    /// The zone's apex.
    pub(super) apex: Name,
    /// The apex, or the name below it that datasets of the zone stand under.
    place: Name,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone {}: {}", self.place, self.what)
    }
}

/// Tests all zones of a generation that was made of a plan.
pub(super) fn test(snapshot: &Snapshot, plan: &Plan, now: UnixTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (zone, of_plan) in snapshot.zones().iter().zip(&plan.zones) {
        let heed = of_plan.datasets.iter().all(|(index, _)| plan.datasets[*index].heeds_never_list);
        let mut test = Test { snapshot, zone, now, never: heed && !plan.never.is_empty(), findings: &mut findings };
        test.run();
    }
    findings
}

struct Test<'t> {
    snapshot: &'t Snapshot,
    zone: &'t Zone,
    now: UnixTime,
    /// Whether what must never be listed is cut out of all the zone's data.
    never: bool,
    findings: &'t mut Vec<Finding>,
}

impl Test<'_> {
    fn run(&mut self) {
        if self.zone.unavailable || !self.is_open() {
            return;
        }
        if self.zone.expires.is_some_and(|expires| expires <= self.now) {
            return self.find(false, "$TIMESTAMP: the data has expired, so that every answer is SERVFAIL".to_owned());
        }
        for (qtype, what) in [(TYPE_SOA, "SOA"), (TYPE_NS, "NS")] {
            if self.ask(&Name::default(), qtype).answers.iter().all(|record| record.rtype != qtype) {
                self.find(true, format!("no {what} record at the apex"));
            }
        }
        let places: BTreeSet<&Name> = self.zone.placed.iter().map(|placed| &placed.under).collect();
        for under in places {
            self.test_place(under);
        }
        self.test_values();
    }

    /// Whether the test's own questions are answered as everybody's.
    fn is_open(&self) -> bool {
        matches!(self.zone.access.listed(&self.snapshot.access, CLIENT), None | Some(Permit::Pass))
    }

    fn test_place(&mut self, under: &Name) {
        let there = || self.zone.placed.iter().filter(|placed| placed.under == *under);
        let holds = |pick: fn(&Holds) -> bool| there().any(|placed| pick(&placed.holds));
        // names that the configuration gives are told with their line there
        let mut own = there().flat_map(|placed| &placed.part().under).flat_map(|name| name::labels(name.as_wire()));
        if own.any(is_like_address) {
            let what = "$DATASET: the name could be taken for a part of an address (RFC 5782, section 2.3)";
            self.find_at(under, false, what.to_owned());
        }
        if holds(|holds| holds.ip4) {
            let [listed, unlisted] = [[127, 0, 0, 2], [127, 0, 0, 1]].map(Ipv4Addr::from);
            self.test_pair(under, [&reversed4(listed), &reversed4(unlisted)], ["127.0.0.2", "127.0.0.1"]);
            self.test_above(under, &reversed4(listed));
        } else if holds(|holds| holds.ip6) {
            let [listed, unlisted] = [2, 1].map(|last| Ipv4Addr::new(127, 0, 0, last).to_ipv6_mapped());
            let written = ["::ffff:127.0.0.2", "::ffff:127.0.0.1"];
            self.test_pair(under, [&reversed6(listed), &reversed6(unlisted)], written);
            self.test_above(under, &reversed6(listed));
        }
        if holds(|holds| holds.names) {
            self.test_pair(under, [&label(b"test"), &label(b"invalid")], ["test", "invalid"]);
        }
    }

    /// RFC 5782, section 5: the first is listed, the second does not exist.
    fn test_pair(&mut self, under: &Name, [listed, unlisted]: [&Name; 2], written: [&str; 2]) {
        if self.ask(&below(listed, under), TYPE_A).addresses().next().is_none() {
            let what = format!("{} is not listed (RFC 5782, section 5); test-entries = true puts it in", written[0]);
            self.find_at(under, false, what);
        }
        let reply = self.ask(&below(unlisted, under), TYPE_A);
        if !reply.answers.is_empty() {
            let what = format!("{} is listed (RFC 5782, section 5): clients drop such a zone", written[1]);
            self.find_at(under, self.never, what);
        } else if reply.status() != "NXDOMAIN" {
            self.find_at(under, false, format!("{} is {} instead of NXDOMAIN", written[1], reply.status()));
        }
    }

    /// RFC 8020: what stands above a listing exists.
    fn test_above(&mut self, under: &Name, listed: &Name) {
        if self.ask(&below(listed, under), TYPE_A).answers.is_empty() {
            return;
        }
        let mut name = listed.parent();
        while !name.is_root() {
            if self.ask(&below(&name, under), TYPE_A).rcode != 0 {
                let what = format!("{name} does not exist, and has a listing below it (RFC 8020)");
                return self.find_at(under, true, what);
            }
            name = name.parent();
        }
    }

    /// RFC 5782, section 2.3: what an A record says is within 127.0.0.0/8.
    fn test_values(&mut self) {
        let mut outside = BTreeSet::new();
        for placed in &self.zone.placed {
            let values = &placed.part().values;
            let all = (1..=values.count() as u32).flat_map(|id| values.list(ValueId(id)));
            outside.extend(all.filter_map(|value| value.a).filter(|a| !a.is_loopback()));
        }
        for address in outside.iter().take(SHOWN_VALUES) {
            self.find(
                false,
                format!("value {address} is outside 127.0.0.0/8 (RFC 5782, section 2.3): clients ignore it"),
            );
        }
    }

    fn ask(&self, relative: &Name, qtype: u16) -> Reply {
        // where a key is asked for, one of them is as good as another
        let key = self.zone.access.any_key().filter(|_| !relative.is_root()).map(label);
        let place = key.map_or_else(|| self.zone.apex.clone(), |key| below(&key, &self.zone.apex));
        ask(self.snapshot, &below(relative, &place), qtype, self.now).unwrap_or_default()
    }

    fn find(&mut self, is_error: bool, what: String) {
        self.find_at(&Name::default(), is_error, what);
    }

    fn find_at(&mut self, under: &Name, is_error: bool, what: String) {
        let apex = &self.zone.apex;
        self.findings.push(Finding { is_error, apex: apex.clone(), place: below(under, apex), what });
    }
}

/// Labels in front of a name; short ones always fit.
fn below(name: &Name, parent: &Name) -> Name {
    name.under(parent).unwrap_or_default()
}

/// The labels that ask about an IPv4 address (RFC 5782, section 2.1).
pub(super) fn reversed4(address: Ipv4Addr) -> Name {
    let [a, b, c, d] = address.octets();
    label(format!("{d}.{c}.{b}.{a}").as_bytes())
}

/// The labels that ask about an IPv6 address (RFC 5782, section 2.4).
pub(super) fn reversed6(address: Ipv6Addr) -> Name {
    let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0x0f, octet >> 4]);
    label(nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".").as_bytes())
}

fn label(text: &[u8]) -> Name {
    Name::parse(text).expect("short labels are a name")
}

/// As many wrong values of a zone are told: they tend to come in thousands.
const SHOWN_VALUES: usize = 5;
