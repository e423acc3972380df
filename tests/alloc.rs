//! Answering a query allocates nothing: a counting allocator sees it done.
//!
//! A test binary of its own, as an allocator is for the whole program.

// counting allocations takes an allocator, and an allocator is unsafe by nature; this one only counts
#![allow(unsafe_code)]

#[path = "it/wire.rs"]
#[allow(dead_code)]
mod wire;
#[path = "it/world.rs"]
#[allow(dead_code)]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use infamy::answer::{Asked, Asker, DropReason, MAX_UDP_REPLY, Outcome, RCODE_REFUSED, Transport, respond};
use infamy::cookie::{Secret, Secrets};
use infamy::dataset::{Defaults, Holds, NeverList};
use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::{Format, Quota, Scope};
use infamy::live::{By, Change, Changes, Effect, Kinds, OwnedValue, Subject};
use infamy::server::{Carrier, Finding, RateLimits, Tallies, UdpWorker};
use infamy::snapshot::Snapshot;
use infamy::zone::{Choice, RefuseWith, Terms, UnixTime};

use wire::{DO, Opt, Query, TC, type_number};
use world::{NOW, World};

#[test]
fn no_query_allocates() {
    let snapshot = snapshot();
    let mut asked = 0;
    for (name, rcode, answers) in QUESTIONS {
        for zone in ["bl.example", "or.example", "ns.example"] {
            for qtype in ["A", "TXT", "ANY", "AAAA", "NS", "DS"] {
                for edns in [None, Some(Opt { flags: DO, ..Opt::of_size(1232) })] {
                    let query = Query { edns, ..Query::new(&format!("{name}.{zone}"), type_number(qtype).unwrap()) };
                    let found = allocates_nothing(&snapshot, &query.bytes());
                    // what is asked is what is meant: listed, above a listing, or not there
                    if qtype == "A" {
                        assert_eq!(found, (*rcode, *answers > 0), "{name}.{zone}");
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 500);
}

#[test]
fn no_query_allocates_where_changes_are_laid_over_lists() {
    let (mut world, indexes) = world();
    let good = world.dataset("good", Format::Plain, "203.0.113.9\n.good.example\n");
    world.zone("bl.example", &indexes).allow = vec![good];
    let (problems, mut store) = world.store();
    assert!(problems.is_empty(), "{problems:?}");
    for (index, _) in &indexes {
        let subjects: Vec<Subject> =
            ["192.0.2.1", "203.0.113.0/24", "2001:db8:1::/48", ".wild.example.org", ".good.example", "new.example"]
                .into_iter()
                .map(|text| Subject::parse(text, &ALL, &NeverList::empty()).unwrap())
                .collect();
        let layers = [false, true].map(|hides| {
            let mut changes = Changes::new(Defaults::default(), NeverList::empty());
            for (number, subject) in (1..).zip(&subjects) {
                let value = OwnedValue { text: Some((*b"live $").into()), ..OwnedValue::default() };
                let effect = Effect { hides, values: [value].into() };
                let by = By { who: "test".into(), at: 0, reason: None };
                changes
                    .apply(number, Change { subject: subject.clone(), effect, expires: Some(NOW.0 + 9), by })
                    .unwrap();
            }
            changes.layer().unwrap().unwrap()
        });
        store.lay(*index, layers.into());
    }
    let snapshot = store.snapshot().unwrap();
    for (name, found) in [
        ("1.2.0.192", (0, true)),
        ("7.113.0.203", (0, true)),
        ("113.0.203", (0, false)),
        ("9.113.0.203", (3, false)),
        ("x.wild.example.org", (0, true)),
        ("good.example", (0, false)),
        ("www.new.example", (0, true)),
        ("example", (0, false)),
        ("2.2.0.192", (3, false)),
        ("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2", (0, true)),
        ("5d41402abc4b2a76b9719d911017c592", (0, true)),
    ] {
        for qtype in ["TXT", "ANY", "A"] {
            let query = Query::new(&format!("{name}.bl.example"), type_number(qtype).unwrap()).bytes();
            let answer = allocates_nothing(&snapshot, &query);
            assert!(qtype != "A" || answer == found, "{name}: {answer:?}");
        }
    }
}

#[test]
fn no_query_that_is_no_question_to_a_list_allocates() {
    let snapshot = snapshot();
    for (name, qtype) in [
        ("bl.example", "SOA"),
        ("bl.example", "NS"),
        ("bl.example", "AXFR"),
        ("www.example.net", "A"),
        (".", "NS"),
        ("www.bl.example", "A"),
        ("alias.bl.example", "A"),
        ("chain.bl.example", "TXT"),
        ("loop.bl.example", "A"),
        ("x.cut.bl.example", "A"),
        ("host.web.bl.example", "AAAA"),
    ] {
        let query = Query::new(name, type_number(qtype).unwrap());
        allocates_nothing(&snapshot, &query.bytes());
        let version = Query { edns: Some(Opt { version: 1, ..Opt::of_size(1232) }), ..query.clone() };
        allocates_nothing(&snapshot, &version.bytes());
        let update = Query { flags: 5 << 11, ..query };
        allocates_nothing(&snapshot, &update.bytes());
    }
    let query = Query::new("1.2.0.192.bl.example", 1).bytes();
    for length in 0..query.len() {
        let cut = &query[..length];
        assert_eq!(counted(|| _ = answer(&snapshot, cut, &mut [0; 1232])), 0, "cut to {length} bytes");
    }
}

#[test]
fn no_query_with_a_cookie_a_key_or_a_refusal_allocates() {
    let (mut world, indexes) = world();
    let customers = world.dataset("customers", Format::Keys, "acme 0123456789abcdefghij 5/s\n");
    let clients = world.dataset("clients", Format::Acl, "192.0.2.0/24 :refuse\n");
    for (apex, refuse_with) in [
        ("refused.example", RefuseWith::Refused),
        ("nx.example", RefuseWith::NxDomain),
        ("code.example", RefuseWith::Code),
    ] {
        let zone = world.zone(apex, &indexes);
        (zone.keys, zone.access) = (Some(customers), Some(clients));
        zone.terms = Terms { refuse_with, ..Terms::default() };
    }
    let (problems, mut snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    snapshot.secrets = Secrets::new([Secret([1; 16]), Secret([2; 16])]);
    let cookie = |length: u8| [&[0, 10, 0, length][..], &vec![1; length.into()]].concat();
    for edns in [None, Some(cookie(8)), Some(cookie(24)), Some(cookie(40)), Some(cookie(9))] {
        let edns = edns.map(|options| Opt { options, ..Opt::of_size(1232) });
        for key in ["", "0123456789abcdefghij.", "0123456789abcdefghik."] {
            for (name, _, _) in QUESTIONS {
                for (zone, qtype) in [("refused", "A"), ("nx", "A"), ("code", "A"), ("code", "TXT"), ("code", "ANY")] {
                    let name = format!("{name}.{key}{zone}.example");
                    let query = Query { edns: edns.clone(), ..Query::new(&name, type_number(qtype).unwrap()) };
                    allocates_nothing(&snapshot, &query.bytes());
                }
            }
        }
    }
    let mut bare =
        Query { edns: Some(Opt { options: cookie(24), ..Opt::of_size(1232) }), ..Query::new(".", 1) }.bytes();
    bare[5] = 0;
    bare.drain(12..17);
    assert_eq!(allocates_nothing(&snapshot, &bare), (23, false));
}

#[test]
fn nothing_that_bounds_replies_or_counts_quotas_allocates() {
    let (mut world, indexes) = world();
    let customers = world.dataset("customers", Format::Keys, "acme 0123456789abcdefghij 5/s 100/d\n");
    let zone = world.zone("bl.example", &indexes);
    zone.keys = Some(customers);
    zone.terms.quota = Quota::parse("5/s 100/d").unwrap();
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    let limits = RateLimits { positive: 5, nodata: 5, nxdomain: 5, error: 5, ..RateLimits::default() };
    let worker = UdpWorker::new(Some(limits));
    let query = |name: &str| Query::new(&format!("{name}.bl.example"), 1).bytes();
    let queries = [
        query("1.2.0.192.0123456789abcdefghij"),
        query("9.2.0.192.0123456789abcdefghij"),
        query("1.2.0.192"),
        Query {
            edns: Some(Opt { options: vec![0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], ..Opt::of_size(1232) }),
            ..Query::new("bl.example", 6)
        }
        .bytes(),
    ];
    let mut out = [0; MAX_UDP_REPLY];
    // the table of quotas is made with the first query that has one
    worker.answer(&snapshot, &queries[0], CLIENT.into(), NOW, &mut out);
    let (mut dropped, mut short, mut over_quota) = (0, 0, 0);
    for second in 0..20 {
        for query in queries.iter().cycle().take(100) {
            let now = UnixTime(NOW.0 + second);
            let mut outcome = Outcome::Drop(DropReason::Short);
            let allocated = counted(|| outcome = worker.answer(&snapshot, query, CLIENT.into(), now, &mut out));
            assert_eq!(allocated, 0, "{:?}", wire::Message::read(query));
            match outcome {
                Outcome::Drop(reason) => dropped += usize::from(reason == DropReason::Limited),
                Outcome::Reply { length, summary } => {
                    short += usize::from(wire::Message::read(&out[..length]).unwrap().has(TC));
                    over_quota += usize::from(summary.rcode == RCODE_REFUSED && summary.standing.key.is_some());
                }
            }
        }
    }
    assert!(dropped > 0 && short > 0 && over_quota > 0, "{dropped} {short} {over_quota}");
}

#[test]
fn no_query_allocates_by_being_counted() {
    let snapshot = snapshot();
    let mut tallies = Tallies::default();
    let tally = tallies.open(Carrier::Udp);
    let mut out = [0; MAX_UDP_REPLY];
    let mut count = |name: &str, qtype: u16| {
        let query = Query::new(name, qtype).bytes();
        let outcome = answer(&snapshot, &query, &mut out);
        let Outcome::Reply { summary, .. } = outcome else { panic!("{outcome:?}") };
        let zone = summary.zone.map(|index| snapshot.zones()[index].number);
        let allocated = counted(|| {
            tally.count(zone, outcome, query.len());
            tally.time(1, Duration::from_micros(9));
        });
        (allocated, Finding::of(outcome))
    };
    // the rows of all zones here are made with the first
    assert_eq!(count("bl.example", 6), (1, Finding::Other));
    for (name, rcode, answers) in QUESTIONS {
        for zone in ["bl.example", "or.example", "ns.example"] {
            let expected = match (rcode, answers) {
                (0, 0) => Finding::Ent,
                (0, _) => Finding::Listed,
                _ => Finding::Unlisted,
            };
            assert_eq!(count(&format!("{name}.{zone}"), 1), (0, expected), "{name}.{zone}");
        }
    }
    assert_eq!(count("www.elsewhere.example", 1), (0, Finding::Refused));
    assert_eq!(count("www.bl.example", 1), (0, Finding::Other), "records of generic are no listing");
}

#[test]
fn an_allocation_would_be_seen() {
    assert_eq!(counted(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

/// Has a query answered over both transports, and in the steps of the UDP loop; the RCODE, and whether there are answers.
fn allocates_nothing(snapshot: &Snapshot, query: &[u8]) -> (u16, bool) {
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut found = None;
    for transport in [Transport::Udp, Transport::Stream] {
        let allocated = counted(|| {
            let outcome = respond(snapshot, query, CLIENT.into(), transport, NOW, &mut out);
            if let Outcome::Reply { summary, .. } = outcome {
                found = Some((summary.rcode, summary.answers > 0));
            }
        });
        assert_eq!(allocated, 0, "{:?} over {transport:?}", wire::Message::read(query));
    }
    let mut slot = [0; MAX_UDP_REPLY];
    slot[..query.len()].copy_from_slice(query);
    let mut asked = Asked::default();
    let asker = Asker { client: CLIENT.into(), transport: Transport::Udp, now: NOW, meter: None };
    let allocated = counted(|| {
        asked.read(query).expect("a query");
        asked.prefetch(snapshot);
        asked.prefetch_further(snapshot);
        asked.respond(snapshot, &asker, &mut slot);
    });
    assert_eq!(allocated, 0, "{:?} in steps", wire::Message::read(query));
    found.expect("a reply")
}

fn answer(snapshot: &Snapshot, query: &[u8], out: &mut [u8]) -> Outcome {
    respond(snapshot, query, CLIENT.into(), Transport::Udp, NOW, out)
}

/// Three zones with a list of every kind: plain, one joined value, and NS in the authority section.
fn snapshot() -> Snapshot {
    let (mut world, indexes) = world();
    world.zone("bl.example", &indexes);
    world.zone("or.example", &indexes).spec.choice = Choice::Or;
    world.zone("ns.example", &indexes).spec.ns_in_authority = true;
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}

/// A list of every kind, without zones yet.
fn world() -> (World, Vec<(usize, &'static str)>) {
    let mut world = World::new();
    let key = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 32 };
    let lists = [
        (Format::Ip4Set, ":2:four $ $1\n$1 one\n$= [$=] $\n192.0.2.1\n198.51.100.0/24\n192.0.2.1 :4:another $\n"),
        (Format::Ip4Trie, "198.51.0.0/16 :8:trie $\n!198.51.100.64/26\n"),
        (Format::Ip6Trie, ":3:six $\n2001:db8::/32\n2001:db9::1\n"),
        (Format::Dnset, ":5:name $\n.spam.example.net\n*.wild.example.org\n!good.wild.example.org\n"),
        (Format::Hashes, "5d41402abc4b2a76b9719d911017c592\n"),
        (
            Format::Generic,
            "www A 198.51.100.1\nwww A 198.51.100.2\nalias CNAME 1.2.0.192.bl.example\nchain CNAME alias.bl.example\n\
             loop CNAME loop.bl.example\ncut NS ns.cut.bl.example\nns.cut A 198.51.100.3\nhost.web AAAA 2001:db8::1\n",
        ),
    ];
    let mut indexes = Vec::new();
    for (number, (format, text)) in lists.iter().enumerate() {
        let index = world.dataset(&format!("list{number}"), *format, text);
        world.plan.datasets[index].reading.key = (*format == Format::Hashes).then_some(key);
        indexes.push((index, "."));
    }
    (world, indexes)
}

const ALL: Kinds = Kinds { holds: Holds { ip4: true, ip6: true, names: true, hashes: None }, scope: Scope::Both };

/// Names in front of a zone, with the RCODE and the number of A records at the least.
const QUESTIONS: &[(&str, u16, usize)] = &[
    ("1.2.0.192", 0, 2),
    ("7.100.51.198", 0, 2),
    ("2.2.0.192", 3, 0),
    ("2.0.192", 0, 0),
    ("192", 0, 0),
    ("3.0.192", 3, 0),
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.b.d.0.1.0.0.2", 0, 1),
    ("2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.b.d.0.1.0.0.2", 3, 0),
    ("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2", 0, 1),
    ("b.d.0.1.0.0.2", 0, 0),
    ("1.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0", 0, 1),
    ("0.c.2.0.0.2", 0, 0),
    ("spam.example.net", 0, 1),
    ("a.b.c.spam.example.net", 0, 1),
    ("ham.example.net", 3, 0),
    ("example.net", 0, 0),
    ("x.wild.example.org", 0, 1),
    ("good.wild.example.org", 0, 0),
    ("5d41402abc4b2a76b9719d911017c592", 0, 1),
    ("5d41402abc4b2a76b9719d911017c593", 3, 0),
    ("test", 0, 1),
    ("2.0.0.127", 0, 1),
];
const CLIENT: [u8; 4] = [198, 51, 100, 7];

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the system's too
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the memory came from the system's allocator
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Allocations of this thread: the tests beside this one have their own.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // a thread that is ending counts no more
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

/// How often `work` allocates.
fn counted(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}
