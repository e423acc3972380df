//! Resolvers that are wrong in one way each: that, and nothing else, is told.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use super::super::ask::{Record, Reply};
use super::examine::{Examination, Line};
use super::key::Key;
use super::resolver::{Asked, Question, Silence, Way};
use super::trouble::Trouble;
use crate::dnsxl::Name;
use crate::dnsxl::number::{TYPE_A, TYPE_NS, TYPE_SOA, TYPE_TXT};

#[test]
fn a_sound_resolver_has_nothing_to_be_told() {
    assert_eq!(troubles(right, None), NOTHING);
    assert_eq!(troubles(right, Some(right)), NOTHING);
}

#[test]
fn a_missing_address_beside_a_text_is_a_rebinding_filter() {
    let empty = |question: &Question| without_a(question, Ok(empty(question, 0)));
    assert_eq!(troubles(empty, None), [Trouble::Rebinding]);
    // as BIND and Knot Resolver have it
    let servfail = |question: &Question| without_a(question, Ok(self::empty(question, 2)));
    assert_eq!(troubles(servfail, None), [Trouble::Rebinding]);
    // a zone of texts only is as its server has it
    assert_eq!(troubles(empty, Some(empty)), NOTHING);
}

#[test]
fn what_a_filter_leaves_is_nobodys_fault_but_its_own() {
    let refused = |question: &Question| without_a(question, Ok(empty(question, 5)));
    assert_eq!(troubles(refused, Some(right)), [Trouble::Rebinding]);
}

#[test]
fn names_above_a_listing_exist() {
    assert_eq!(troubles(rbldnsd, None), [Trouble::Ancestors]);
}

#[test]
fn a_strict_resolver_loses_everything_of_a_server_without_ancestors() {
    assert_eq!(troubles(denying, None), [Trouble::NoEntry]);
    assert_eq!(troubles(denying, Some(rbldnsd)), [Trouble::Ancestors]);
    assert_eq!(troubles(denying, Some(right)), [Trouble::Lost]);
}

#[test]
fn an_address_for_what_does_not_exist_is_made_up() {
    let invent = |question: &Question| {
        let reply = right(question)?;
        let is_denied = reply.rcode == 3 && question.qtype == TYPE_A;
        Ok(if is_denied { with(question, a([203, 0, 113, 7])) } else { reply })
    };
    assert_eq!(troubles(invent, None), [Trouble::Invented]);
    let everything = |question: &Question| {
        let reply = right(question)?;
        let is_denied = reply.rcode == 3 && question.qtype == TYPE_A;
        Ok(if is_denied { with(question, a([127, 0, 0, 2])) } else { reply })
    };
    assert_eq!(troubles(everything, None), [Trouble::ListsAll]);
}

#[test]
fn what_is_there_without_validation_is_an_island() {
    let validating = |question: &Question| match question.checking_disabled {
        true => right(question),
        false => Ok(empty(question, 2)),
    };
    assert_eq!(troubles(validating, None), [Trouble::Island]);
    assert_eq!(troubles(|question| Ok(empty(question, 2)), None), [Trouble::NotReached]);
    assert_eq!(troubles(|question| Ok(empty(question, 5)), None), [Trouble::Refused]);
    assert_eq!(troubles(|question| Ok(empty(question, 3)), None), [Trouble::NotFound]);
}

#[test]
fn tcp_is_asked_for() {
    let udp_only = |question: &Question| match question.way {
        Way::Tcp => Err(Silence::NoReply),
        _ => right(question),
    };
    assert_eq!(troubles(udp_only, None), [Trouble::NoTcp]);
}

#[test]
fn a_cut_text_has_to_say_so() {
    let cut = |flags| {
        move |question: &Question| {
            let reply = right(question)?;
            let is_cut = question.qtype == TYPE_TXT && question.way == Way::PlainUdp;
            Ok(if is_cut { Reply { flags, ..empty(question, 0) } } else { reply })
        }
    };
    assert_eq!(troubles(cut(0x8000), None), [Trouble::CutText]);
    assert_eq!(troubles(cut(0x8200), None), NOTHING);
}

#[test]
fn questions_come_back_as_they_were_asked() {
    let lowering = |question: &Question| {
        let lower = Question { name: question.name.to_lowercase(), ..question.clone() };
        right(&lower)
    };
    assert_eq!(troubles(lowering, None), [Trouble::Case]);
}

#[test]
fn denials_hold_for_minutes() {
    let denied = |authority: fn() -> Vec<Record>| {
        move |question: &Question| {
            let reply = right(question)?;
            Ok(if reply.rcode == 3 { Reply { authority: authority(), ..reply } } else { reply })
        }
    };
    assert_eq!(troubles(denied(Vec::new), None), [Trouble::NoSoa]);
    assert_eq!(troubles(denied(|| vec![soa(0)]), None), [Trouble::NegativeTtl]);
    assert_eq!(troubles(denied(|| vec![soa(86_400)]), None), [Trouble::NegativeTtl]);
    assert_eq!(troubles(denied(|| vec![soa(3600)]), None), NOTHING);
}

#[test]
fn a_list_that_refuses_and_a_resolver_of_everybody_are_told() {
    let refused = |question: &Question| {
        let reply = right(question)?;
        let is_subject = question.qtype == TYPE_A && question.name.label_count() == 6;
        Ok(if is_subject { with(question, a([127, 255, 255, 254])) } else { reply })
    };
    assert_eq!(troubles(refused, None), [Trouble::RefusedByList], "once");
    let found = examine([9, 9, 9, 9].into(), &mut { right }, None);
    assert_eq!(found, Ok(vec![Trouble::PublicResolver]));
}

#[test]
fn nobody_there_is_an_error() {
    let found = examine(Ipv4Addr::LOCALHOST, &mut |_: &Question| Err(Silence::NoReply), None);
    assert_eq!(found, Err(Silence::NoReply));
}

#[test]
fn a_key_is_in_every_question_below_the_zone_and_in_nothing_that_is_printed() {
    let key = key();
    let mut names = Vec::new();
    let mut resolver = |question: &Question| {
        names.push(question.name.to_lowercase());
        // as lists that do not hide it do
        let told = Record { rtype: TYPE_TXT, ttl: 300, rdata: [&[20], KEY.as_bytes()].concat() };
        let reply = keyed(question)?;
        let is_text = question.qtype == TYPE_TXT && !reply.answers.is_empty();
        Ok(if is_text { with(question, told) } else { reply })
    };
    let lines = run(Ipv4Addr::LOCALHOST, Some(&key), &mut resolver, None).unwrap();
    assert_eq!(lines.iter().find_map(|line| line.trouble), None, "{lines:#?}");
    let printed: Vec<String> = lines.iter().map(|line| format!("{}: {}", line.asked, line.came)).collect();
    for line in ["A 2.0.0.127.[key].bl.example: 127.0.0.2", "how long 1.0.0.127.[key].bl.example is denied: 300 s"] {
        assert!(printed.iter().any(|printed| printed == line), "{line}: {printed:#?}");
    }
    assert!(!printed.concat().to_lowercase().contains(KEY), "{printed:#?}");
    let place = key.below(&zone()).unwrap();
    assert!(names.iter().all(|name| *name == zone() || name.relative_to(&place).is_some()), "{names:?}");
    assert!(names.contains(&place), "a resolver that minimizes asks for the key's own name");
}

#[test]
fn without_its_key_a_zone_refuses() {
    assert_eq!(troubles(keyed, None), [Trouble::RefusedByList]);
    // as a resolver passes it on
    let servfail = |question: &Question| {
        let reply = keyed(question)?;
        Ok(if reply.rcode == 5 { Reply { rcode: 2, ..reply } } else { reply })
    };
    assert_eq!(troubles(servfail, Some(keyed)), [Trouble::RefusedByList]);
    assert_eq!(troubles(servfail, Some(right)), [Trouble::Lost], "the server has it, and so may others");
}

#[test]
fn a_code_that_a_filter_took_is_a_refusal_all_the_same() {
    let filtered = |question: &Question| {
        let is_subject = question.name.label_count() == 6;
        match question.qtype {
            TYPE_TXT if is_subject => {
                Ok(with(question, Record { rtype: TYPE_TXT, ttl: 60, rdata: b"\x02no".to_vec() }))
            }
            TYPE_A if is_subject => Ok(empty(question, 0)),
            _ => right(question),
        }
    };
    assert_eq!(troubles(filtered, None), [Trouble::Rebinding, Trouble::RefusedByList]);
}

#[test]
fn a_zone_without_soa_has_its_listings() {
    let bare = |rcode| {
        move |question: &Question| {
            let reply = if question.qtype == TYPE_SOA { empty(question, rcode) } else { right(question)? };
            Ok(Reply { authority: Vec::new(), ..reply })
        }
    };
    for rcode in [2, 5] {
        assert_eq!(troubles(bare(rcode), None), [Trouble::NoApex], "{rcode}");
    }
}

#[test]
fn a_key_is_read_from_a_file_or_else_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let read = |in_file: Option<&str>, in_environment: Option<&str>| {
        fs::write(&file, in_file.unwrap_or_default()).unwrap();
        let key = Key::read(in_file.map(|_| &*file), in_environment.map(OsStr::new));
        key.map(|key| key.map(|key| key.below(&zone()).unwrap().to_string())).map_err(|error| error.to_string())
    };
    let below = |key: &str| Ok(Some(format!("{key}.bl.example")));
    assert_eq!(read(Some(" 0123456789ABCDEFGHIJ\n"), Some("zyxwvutsrqponmlk")), below(KEY));
    assert_eq!(read(None, Some("zyxwvutsrqponmlk")), below("zyxwvutsrqponmlk"));
    assert_eq!((read(None, Some("")), read(None, None)), (Ok(None), Ok(None)));
    for (wrong, place) in [
        (read(Some(""), None), "key: "),
        (read(Some("acme 0123456789abcdefghij"), None), "key: "),
        (read(None, Some("0123456789.abcdefghij")), "INFAMY_KEY: "),
        (read(None, Some(&"0123456789".repeat(7))), "INFAMY_KEY: "),
    ] {
        let why = wrong.unwrap_err();
        assert!(why.contains(place) && why.contains("is no key") && !why.contains("0123"), "{why}");
    }
}

#[test]
fn what_resolvers_are_told_stands_in_the_documentation() {
    let printed = without_spaces(include_str!("../../../docs/resolvers.md"));
    for trouble in [Trouble::NotFound, Trouble::Island, Trouble::Rebinding] {
        let is_prose = |text: &str| text.starts_with("no ");
        for (program, text) in trouble.mend(&zone()).into_iter().filter(|(_, text)| !is_prose(text)) {
            assert!(printed.contains(&without_spaces(&text)), "{program}: {text}");
        }
    }
}

#[test]
fn the_name_of_a_name_server_is_read_whole() {
    // `bl.example NS ns.bl.example`, with a pointer to the question
    let mut message = super::super::ask::write(&zone(), TYPE_NS);
    message[7] = 1;
    message.extend_from_slice(&[0xc0, 12, 0, 2, 0, 1, 0, 0, 0, 60, 0, 5, 2, b'n', b's', 0xc0, 12]);
    let reply = super::super::ask::read(&message).unwrap();
    assert_eq!(reply.answers[0].rdata, b"\x02ns\x02bl\x07example\x00");
    // one that points to itself has no end
    let at = message.len() - 1;
    message[at] = at as u8 - 1;
    assert_eq!(super::super::ask::read(&message), None);
}

const NOTHING: [Trouble; 0] = [];
const KEY: &str = "0123456789abcdefghij";

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What is told of a resolver, beside a server.
fn troubles(mut resolver: impl FnMut(&Question) -> Asked, server: Option<fn(&Question) -> Asked>) -> Vec<Trouble> {
    examine(Ipv4Addr::LOCALHOST, &mut resolver, server).unwrap()
}

fn examine(
    address: Ipv4Addr,
    resolver: &mut dyn FnMut(&Question) -> Asked,
    server: Option<fn(&Question) -> Asked>,
) -> Result<Vec<Trouble>, Silence> {
    Ok(run(address, None, resolver, server)?.into_iter().filter_map(|line| line.trouble).collect())
}

fn run(
    address: Ipv4Addr,
    key: Option<&Key>,
    resolver: &mut dyn FnMut(&Question) -> Asked,
    mut server: Option<fn(&Question) -> Asked>,
) -> Result<Vec<Line>, Silence> {
    let server = server.as_mut().map(|ask| ask as &mut dyn FnMut(&Question) -> Asked);
    let zone = zone();
    let place = key.map_or_else(|| zone.clone(), |key| key.below(&zone).unwrap());
    let address = IpAddr::V4(address);
    let mut examination = Examination { zone: &zone, place: &place, key, address, resolver, server, lines: Vec::new() };
    examination.run()?;
    Ok(examination.lines)
}

fn key() -> Key {
    Key::read(None, Some(OsStr::new(KEY))).unwrap().unwrap()
}

fn zone() -> Name {
    Name::parse(b"bl.example").unwrap()
}

/// A zone that has its test entry, and nothing else.
fn right(question: &Question) -> Asked {
    let name = question.name.to_lowercase().to_string();
    let name = name.trim_end_matches('.');
    Ok(match (name, question.qtype) {
        ("bl.example", TYPE_SOA) => with(question, soa(300)),
        ("2.0.0.127.bl.example", TYPE_A) => with(question, a([127, 0, 0, 2])),
        ("2.0.0.127.bl.example", TYPE_TXT) => {
            with(question, Record { rtype: TYPE_TXT, ttl: 300, rdata: b"\x04text".to_vec() })
        }
        ("bl.example" | "127.bl.example" | "0.127.bl.example" | "0.0.127.bl.example" | "2.0.0.127.bl.example", _) => {
            empty(question, 0)
        }
        _ => empty(question, 3),
    })
}

/// The same for who has the key, and a refusal for others.
fn keyed(question: &Question) -> Asked {
    let name = question.name.to_lowercase();
    let place = key().below(&zone()).unwrap();
    let open = match name.relative_to(&place) {
        Some(subject) => subject.under(&zone()).unwrap(),
        None if name == zone() => name,
        None => return Ok(empty(question, 5)),
    };
    let reply = right(&Question { name: open, ..question.clone() })?;
    Ok(Reply { question: empty(question, 0).question, ..reply })
}

/// The same without the names above.
fn rbldnsd(question: &Question) -> Asked {
    let reply = right(question)?;
    let is_between = (3..6).contains(&question.name.label_count());
    Ok(if is_between { empty(question, 3) } else { reply })
}

/// Behind a resolver that stops at the first name that does not exist.
fn denying(question: &Question) -> Asked {
    if question.name.label_count() > 2 { Ok(empty(question, 3)) } else { right(question) }
}

/// The test entry's A has another answer.
fn without_a(question: &Question, other: Asked) -> Asked {
    let is_entry = question.qtype == TYPE_A && question.name.label_count() == 6;
    if is_entry && right(question)?.rcode == 0 { other } else { right(question) }
}

fn with(question: &Question, record: Record) -> Reply {
    Reply { answers: vec![record], authority: Vec::new(), ..empty(question, 0) }
}

fn empty(question: &Question, rcode: u16) -> Reply {
    let mut wire = Vec::new();
    question.name.write_wire(&mut wire);
    Reply { rcode, flags: 0x8000, question: wire, answers: Vec::new(), authority: vec![soa(300)] }
}

fn a(address: [u8; 4]) -> Record {
    Record { rtype: TYPE_A, ttl: 300, rdata: address.to_vec() }
}

/// An SOA whose minimum is its TTL.
fn soa(ttl: u32) -> Record {
    let numbers = [1, 2, 3, 4, ttl].map(u32::to_be_bytes).concat();
    Record { rtype: TYPE_SOA, ttl, rdata: [&[0, 0][..], &numbers].concat() }
}
