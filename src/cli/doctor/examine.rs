//! What a resolver is asked about a zone, and what is concluded from what it answers.
//!
//! Invariant: no conclusion without the question that it came from; and what only follows from a trouble that was
//! already told is not told again. It knows no socket: who is asked is a function.
//!
//! The questions turn on a *test entry*, which every list has (RFC 5782, section 5), and on its twin that no list has.

use std::net::{IpAddr, Ipv4Addr};

use super::super::ask::Reply;
use super::super::selftest::{reversed4, reversed6};
use super::key::Key;
use super::resolver::{Asked, Question, Silence, Way};
use super::trouble::{Trouble, is_refusal};
use crate::dataset::NeverList;
use crate::dnsxl::Name;
use crate::dnsxl::number::{TYPE_A, TYPE_AAAA, TYPE_SOA, TYPE_TXT};

/// One question of the examination, and what it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) asked: String,
    pub(super) came: String,
    pub(super) trouble: Option<Trouble>,
}

/// Who is asked.
pub(super) type Ask<'a> = &'a mut dyn FnMut(&Question) -> Asked;

/// Examines a resolver.
pub(super) struct Examination<'a> {
    pub(super) zone: &'a Name,
    /// What its subjects stand in front of: the zone itself, or the key below it.
    pub(super) place: &'a Name,
    /// What is not to be shown.
    pub(super) key: Option<&'a Key>,
    /// Where the resolver is.
    pub(super) address: IpAddr,
    pub(super) resolver: Ask<'a>,
    /// The list's own server, if it is known.
    pub(super) server: Option<Ask<'a>>,
    pub(super) lines: Vec<Line>,
}

/// A pair of subjects of RFC 5782, section 5: the first is listed, the second must not be.
struct Pair {
    listed: Name,
    unlisted: Name,
}

impl Examination<'_> {
    /// Asks everything; the lines tell of it.
    ///
    /// # Errors
    ///
    /// There is nobody to be examined.
    pub(super) fn run(&mut self) -> Result<(), Silence> {
        self.examine_address();
        let Some(rcode) = self.find_zone()? else { return Ok(()) };
        self.examine_tcp(rcode);
        if let Some(pair) = self.find_entry()
            && self.examine_listed(&pair.listed) != Some(Trouble::RefusedByList)
        {
            self.examine_unlisted(&pair.unlisted);
        }
        Ok(())
    }

    fn examine_address(&mut self) {
        let never = NeverList::with_own(&[]);
        let what = match self.address.to_canonical() {
            IpAddr::V4(ip) => never.forbids_ip4(ip.into(), ip.into()),
            IpAddr::V6(ip) => never.forbids_ip6(ip.into(), ip.into()),
        };
        if let Some(what) = what.filter(|what| what.starts_with("public resolver")) {
            self.tell(format!("address {}", self.address), what.to_owned(), Some(Trouble::PublicResolver));
        }
    }

    /// What the resolver says of the zone's SOA, if it has anything to say of the zone.
    fn find_zone(&mut self) -> Result<Option<u16>, Silence> {
        let question = Question::new(self.zone, TYPE_SOA);
        let reply = (self.resolver)(&question)?;
        let trouble = match reply.rcode {
            NOERROR => None,
            _ if pairs(self.place).iter().any(|pair| knows(&mut *self.resolver, pair)) => Some(Trouble::NoApex),
            NXDOMAIN => Some(Trouble::NotFound),
            REFUSED => Some(Trouble::Refused),
            _ if self.is_island(&question) => Some(Trouble::Island),
            _ => Some(Trouble::NotReached),
        };
        self.tell(text(&question), came(&reply), trouble);
        Ok(matches!(trouble, None | Some(Trouble::NoApex)).then_some(reply.rcode))
    }

    /// Whether an answer that failed is there without validation.
    fn is_island(&mut self, question: &Question) -> bool {
        let unchecked = Question { checking_disabled: true, ..question.clone() };
        (self.resolver)(&unchecked).is_ok_and(|reply| reply.rcode == NOERROR)
    }

    fn examine_tcp(&mut self, over_udp: u16) {
        let question = Question { way: Way::Tcp, ..Question::new(self.zone, TYPE_SOA) };
        let (came, trouble) = match (self.resolver)(&question) {
            Ok(reply) if reply.rcode == over_udp => (came(&reply), None),
            Ok(reply) => (came(&reply), Some(Trouble::NoTcp)),
            Err(silence) => (silence.to_string(), Some(Trouble::NoTcp)),
        };
        self.tell(text(&question), came, trouble);
    }

    /// The first pair whose test entry anybody knows; tells if it is not the resolver.
    fn find_entry(&mut self) -> Option<Pair> {
        let mut pairs = pairs(self.place);
        if let Some(at) = pairs.iter().position(|pair| knows(&mut *self.resolver, pair)) {
            return Some(pairs.swap_remove(at));
        }
        let at_server = match &mut self.server {
            Some(server) => pairs.iter().position(|pair| knows(&mut **server, pair)),
            None => None,
        };
        let question = Question::new(&pairs[at_server.unwrap_or(0)].listed, TYPE_A);
        let reply = (self.resolver)(&question);
        let rcode = reply.as_ref().map_or(NOERROR, |reply| reply.rcode);
        let mut refuses = || self.server.as_mut().is_some_and(|server| is_refused(&server(&question)));
        let trouble = match at_server {
            _ if rcode == REFUSED => Trouble::RefusedByList,
            Some(at) => self.why_lost(&pairs[at].listed),
            // what a resolver makes of REFUSED
            None if rcode == SERVFAIL || refuses() => Trouble::RefusedByList,
            None => Trouble::NoEntry,
        };
        self.tell(text(&question), came_or_silence(&reply), Some(trouble));
        None
    }

    /// Why the resolver does not list what the server lists.
    fn why_lost(&mut self, listed: &Name) -> Trouble {
        let ancestors = self.ancestors(listed);
        let Some(server) = &mut self.server else { return Trouble::Lost };
        let denies = |name: &Name| server(&Question::new(name, TYPE_A)).is_ok_and(|reply| reply.rcode == NXDOMAIN);
        if ancestors.iter().any(denies) { Trouble::Ancestors } else { Trouble::Lost }
    }

    /// What is wrong with the test entry itself, if anything is.
    fn examine_listed(&mut self, listed: &Name) -> Option<Trouble> {
        let question = Question::new(listed, TYPE_A);
        let asked = (self.resolver)(&question);
        let text_there = (self.resolver)(&Question::new(listed, TYPE_TXT)).is_ok_and(|reply| has(&reply, TYPE_TXT));
        let trouble = match &asked {
            Ok(reply) if is_refusal(reply) => Some(Trouble::RefusedByList),
            Ok(reply) if reply.addresses().any(|address| !address.is_loopback()) => Some(Trouble::Invented),
            Ok(reply) if has(reply, TYPE_A) => None,
            // a zone may have texts only: then the server has no address either
            _ if text_there && !self.server_lacks(&question) => Some(Trouble::Rebinding),
            Ok(_) => None,
            Err(_) => Some(Trouble::NotReached),
        };
        let mut came = came_or_silence(&asked);
        if trouble == Some(Trouble::Rebinding) {
            came += ", and TXT is there";
        }
        self.tell(text(&question), came, trouble);
        self.examine_text(listed);
        self.examine_ancestors(listed);
        if trouble.is_none() {
            let qtype = if asked.is_ok_and(|reply| has(&reply, TYPE_A)) { TYPE_A } else { TYPE_TXT };
            self.examine_case(listed, qtype);
            self.examine_aaaa(listed);
        }
        trouble
    }

    /// Whether the list's own server answers, and has no record either.
    fn server_lacks(&mut self, question: &Question) -> bool {
        let Some(server) = &mut self.server else { return false };
        server(question).is_ok_and(|reply| reply.rcode == NOERROR && !has(&reply, question.qtype))
    }

    fn examine_text(&mut self, listed: &Name) {
        let plain = Question { way: Way::PlainUdp, ..Question::new(listed, TYPE_TXT) };
        let Ok(reply) = (self.resolver)(&plain) else {
            return self.tell(text(&plain), "no reply".to_owned(), Some(Trouble::CutText));
        };
        let whole = Question { way: Way::Tcp, ..plain.clone() };
        let expected = match &mut self.server {
            Some(server) => server(&whole),
            None => (self.resolver)(&whole),
        };
        let is_cut = reply.flags & TRUNCATED != 0;
        let is_short = expected.is_ok_and(|expected| expected.answers.len() > reply.answers.len());
        let mut came = came(&reply);
        if is_cut {
            came += ", cut (TC)";
        }
        self.tell(text(&plain), came, (is_short && !is_cut).then_some(Trouble::CutText));
    }

    fn examine_ancestors(&mut self, listed: &Name) {
        for ancestor in self.ancestors(listed) {
            let question = Question::new(&ancestor, TYPE_A);
            let asked = (self.resolver)(&question);
            let is_denied = asked.as_ref().is_ok_and(|reply| reply.rcode == NXDOMAIN);
            self.tell(text(&question), came_or_silence(&asked), is_denied.then_some(Trouble::Ancestors));
            if is_denied {
                return;
            }
        }
    }

    /// The names between a name and the zone, as a minimising resolver asks for them (RFC 9156): not all of many.
    fn ancestors(&self, listed: &Name) -> Vec<Name> {
        let mut names = Vec::new();
        let mut name = listed.parent();
        while name != *self.zone && !name.is_root() {
            names.push(name.clone());
            name = name.parent();
        }
        names.reverse();
        names.truncate(MINIMISED);
        names
    }

    /// By a type that the name has.
    fn examine_case(&mut self, listed: &Name, qtype: u16) {
        let mixed = in_mixed_case(listed);
        let question = Question::new(&mixed, qtype);
        let asked = (self.resolver)(&question);
        let mut wire = Vec::new();
        mixed.write_wire(&mut wire);
        let trouble = match &asked {
            Ok(reply) if reply.question.starts_with(&wire) && has(reply, qtype) => None,
            _ => Some(Trouble::Case),
        };
        self.tell(text(&question), came_or_silence(&asked), trouble);
    }

    fn examine_aaaa(&mut self, listed: &Name) {
        let question = Question::new(listed, TYPE_AAAA);
        let asked = (self.resolver)(&question);
        let is_right = asked.as_ref().is_ok_and(|reply| reply.rcode == NOERROR);
        self.tell(text(&question), came_or_silence(&asked), (!is_right).then_some(Trouble::Aaaa));
    }

    fn examine_unlisted(&mut self, unlisted: &Name) {
        let question = Question::new(unlisted, TYPE_A);
        let asked = (self.resolver)(&question);
        let Ok(reply) = &asked else {
            return self.tell(text(&question), came_or_silence(&asked), Some(Trouble::NotReached));
        };
        let trouble = match reply.rcode {
            _ if is_refusal(reply) => Some(Trouble::RefusedByList),
            _ if reply.addresses().any(|address| !address.is_loopback()) => Some(Trouble::Invented),
            _ if has(reply, TYPE_A) => Some(Trouble::ListsAll),
            // a code that a filter took, and its text
            NOERROR if (self.resolver)(&Question::new(unlisted, TYPE_TXT)).is_ok_and(|reply| has(&reply, TYPE_TXT)) => {
                Some(Trouble::RefusedByList)
            }
            NOERROR => Some(Trouble::NoNxdomain),
            NXDOMAIN => None,
            _ => Some(Trouble::NotReached),
        };
        self.tell(text(&question), came(reply), trouble);
        if trouble.is_some() {
            return;
        }
        let (came, trouble) = match negative_ttl(reply) {
            None if self.lines.iter().any(|line| line.trouble == Some(Trouble::NoApex)) => return,
            None => ("no SOA".to_owned(), Some(Trouble::NoSoa)),
            Some(ttl) => {
                let is_usual = NEGATIVE_TTL.contains(&ttl);
                (format!("{ttl} s"), (!is_usual).then_some(Trouble::NegativeTtl))
            }
        };
        self.tell(format!("how long {unlisted} is denied"), came, trouble);
    }

    fn tell(&mut self, asked: String, came: String, trouble: Option<Trouble>) {
        // other lists have the key in their texts
        let [asked, came] = [asked, came].map(|text| match self.key {
            Some(key) => key.hide(&text),
            None => text,
        });
        self.lines.push(Line { asked, came, trouble });
    }
}

/// What is asked of zones of addresses, of IPv6 addresses alone, and of names.
fn pairs(place: &Name) -> Vec<Pair> {
    let four = |last| reversed4(Ipv4Addr::new(127, 0, 0, last));
    let six = |last| reversed6(Ipv4Addr::new(127, 0, 0, last).to_ipv6_mapped());
    let label = |text: &[u8]| Name::parse(text).unwrap_or_default();
    let all = [(four(2), four(1)), (six(2), six(1)), (label(b"test"), label(b"invalid"))];
    // a zone's name is too long for some of them at most
    let under = |(listed, unlisted): (Name, Name)| {
        Some(Pair { listed: listed.under(place).ok()?, unlisted: unlisted.under(place).ok()? })
    };
    all.into_iter().filter_map(under).collect()
}

/// Whether somebody has the test entry of a pair.
fn knows(ask: &mut dyn FnMut(&Question) -> Asked, pair: &Pair) -> bool {
    let mut has = |qtype| ask(&Question::new(&pair.listed, qtype)).is_ok_and(|reply| has(&reply, qtype));
    has(TYPE_A) || has(TYPE_TXT)
}

fn is_refused(asked: &Asked) -> bool {
    asked.as_ref().is_ok_and(|reply| reply.rcode == REFUSED)
}

fn has(reply: &Reply, qtype: u16) -> bool {
    reply.rcode == NOERROR && reply.answers.iter().any(|record| record.rtype == qtype)
}

/// How long a denial holds (RFC 2308, section 5).
fn negative_ttl(reply: &Reply) -> Option<u32> {
    let soa = reply.authority.iter().find(|record| record.rtype == TYPE_SOA)?;
    let minimum = soa.rdata.last_chunk::<4>()?;
    Some(soa.ttl.min(u32::from_be_bytes(*minimum)))
}

/// Every second letter in capitals.
fn in_mixed_case(name: &Name) -> Name {
    let mut wire = name.to_lowercase().as_wire().to_vec();
    // length bytes are no letters: labels have 63 bytes at most
    wire.iter_mut().step_by(2).for_each(u8::make_ascii_uppercase);
    Name::from_wire(&wire).unwrap_or_default()
}

fn text(question: &Question) -> String {
    let qtype = match question.qtype {
        TYPE_A => "A",
        TYPE_AAAA => "AAAA",
        TYPE_SOA => "SOA",
        _ => "TXT",
    };
    format!("{qtype} {}{}", question.name, question.way)
}

fn came_or_silence(asked: &Asked) -> String {
    asked.as_ref().map_or_else(ToString::to_string, came)
}

fn came(reply: &Reply) -> String {
    let addresses = reply.addresses().map(|address| address.to_string());
    let texts = reply.texts().map(|text| format!("\"{text}\""));
    let records: Vec<String> = addresses.chain(texts).take(SHOWN).collect();
    if records.is_empty() { reply.status().to_owned() } else { records.join(", ") }
}

const NOERROR: u16 = 0;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const TRUNCATED: u16 = 0x0200;
/// RFC 9156, section 2.3: as many names are asked for on the way at most.
const MINIMISED: usize = 10;
/// As many records of an answer are shown.
const SHOWN: usize = 4;
/// What denials usually hold, in seconds: less is asked again with each mail, more makes new listings late.
const NEGATIVE_TTL: std::ops::RangeInclusive<u32> = 10..=3600;
