//! What other DNS servers had security advisories for, as far as no other test holds it: `docs/conformance.md` has the
//! whole table.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use infamy::answer::Transport;
use infamy::feed::Format;
use infamy::snapshot::Snapshot;

use crate::encrypted::Streams;
use crate::rfc8906::Server;
use crate::transport::{self, PATIENCE};
use crate::wire::{CD, DO, Message, Opt, Query, RD, TYPE_A, TYPE_SOA, TYPE_TXT, wire_name};
use crate::world::{self, NOW, World};

#[test]
fn class_1_chains_of_pointers_cost_no_more_than_their_bytes() {
    let snapshot = snapshot();
    let query = Query::new("1.2.0.192.bl.example", TYPE_A).bytes();
    let fixed = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    // each owner is a pointer to the one before, thousands deep
    let mut chain = query.clone();
    let mut to = 12_u16;
    let mut records = 0_u16;
    while chain.len() + 12 <= usize::from(u16::MAX) {
        let here = chain.len().min(0x3fff) as u16;
        chain.extend_from_slice(&(0xc000 | to).to_be_bytes());
        chain.extend_from_slice(&fixed);
        (to, records) = (here, records + 1);
    }
    chain[6..8].copy_from_slice(&records.to_be_bytes());
    // each owner points to itself
    let mut loops = query.clone();
    for _ in 0..records {
        let here = 0xc000 | loops.len().min(0x3fff) as u16;
        loops.extend_from_slice(&here.to_be_bytes());
        loops.extend_from_slice(&fixed);
    }
    loops[6..8].copy_from_slice(&records.to_be_bytes());
    let whole = ask(&snapshot, &query).expect("a reply");
    let begin = Instant::now();
    for _ in 0..200 {
        for message in [&chain, &loops] {
            assert_eq!(ask(&snapshot, message).as_ref(), Some(&whole));
        }
    }
    // 2.2 million records; a reader that follows the chains is at it for minutes
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());

    let server = transport::Server::serving(self::snapshot());
    let begin = Instant::now();
    for message in [&chain, &loops] {
        let over_tls = transport::ask(&mut server.connect(), message);
        assert_eq!((over_tls[3] & 15, over_tls[7]), (0, 1));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn class_2_a_signature_is_not_understood_and_changes_nothing() {
    let server = Server::start();
    let plain = Query::new("1.2.0.192.bl.example", TYPE_A);
    let whole = server.udp(&plain.bytes()).unwrap();
    let hmac = wire_name("hmac-sha256.");
    let signature = |mac: &[u8]| {
        let numbers = [&[0, 0, 0x65, 0, 0, 0, 1, 44, 0, mac.len() as u8][..], mac, &[0x12, 0x34, 0, 0, 0, 0]].concat();
        [&hmac[..], &numbers].concat()
    };
    let good = signature(&[7; 32]);
    for (why, rdata) in [
        ("whole", good.clone()),
        ("a truncated MAC", signature(&[7; 16])),
        ("a MAC of one byte", signature(&[7])),
        ("no MAC", signature(&[])),
        ("nothing", Vec::new()),
        ("half an algorithm", hmac[..5].to_vec()),
        ("a MAC longer than the record", [&good[..hmac.len() + 8], &[0xff, 0xff]].concat()),
        ("an algorithm that points to itself", [&[0xc0, 12][..], &good[hmac.len()..]].concat()),
    ] {
        // TSIG (RFC 8945) and SIG (RFC 2931), of class ANY, last in the message
        for rtype in [250, 24] {
            let bytes = with_records(&plain.bytes(), 11, &[record(&wire_name("key.example"), rtype, 255, &rdata)]);
            assert_eq!(server.ask_bytes(&bytes), Message::read(&whole).unwrap(), "{why}");
            let transfer =
                with_records(&Query::new("bl.example", 252).bytes(), 11, &[record(&[0], rtype, 255, &rdata)]);
            assert_eq!(server.ask_bytes(&transfer).rcode(), 5, "{why}");
        }
    }
    // TKEY (RFC 2930), with its record and without
    let tkey = Query::new("key.example", 249).bytes();
    let key = record(&wire_name("key.example"), 249, 255, &good);
    for bytes in [tkey.clone(), with_records(&tkey, 7, std::slice::from_ref(&key)), with_records(&tkey, 11, &[key])] {
        let reply = server.ask_bytes(&bytes);
        assert!(reply.rcode() == 5 && reply.sections.iter().all(Vec::is_empty));
    }
}

#[test]
fn class_3_data_that_lies_about_its_length_is_nowhere_read() {
    // over TLS it is hickory that reads
    let server = transport::Server::serving(snapshot());
    let mut tls = server.connect();
    let mut streams = Streams::connect(&server);
    let plain = Query { id: 0, ..Query::new("1.2.0.192.bl.example", TYPE_A) }.bytes();
    // A, NS, SOA, MX, TXT, AAAA, SRV, NAPTR, APL, DS, SSHFP, RRSIG, NSEC, DNSKEY, NSEC3, TLSA, HIP, SVCB, HTTPS, CAA
    for rtype in [1, 2, 6, 15, 16, 28, 33, 35, 42, 43, 44, 46, 47, 48, 50, 52, 55, 64, 65, 257] {
        for rdata in
            [&[][..], &[0], &[0xff], &[0xff; 3], &[0xc0, 12], &[0, 1, 0, 0, 1, 0xff, 0xff], &[0xff; 300], &[0; 300]]
        {
            for section in [7, 9, 11] {
                let bytes = with_records(&plain, section, &[record(&[0xc0, 12], rtype, 1, rdata)]);
                let replies = [transport::ask(&mut tls, &bytes), streams.post(&bytes).1, streams.quic(&bytes).unwrap()];
                for reply in replies {
                    let reply = Message::read(&reply).unwrap();
                    assert_eq!((reply.rcode(), reply.sections[0].len()), (0, 1), "type {rtype} {rdata:02x?} {section}");
                }
            }
        }
    }
    assert_eq!(server.running.counters().panics(), 0);
}

#[test]
fn class_4_and_9_notify_and_update_of_any_class_change_nothing() {
    let server = Server::start();
    let before = server.udp(&Query::new("bl.example", TYPE_SOA).bytes());
    let soa = record(&[0xc0, 12], TYPE_SOA, 1, &[&[0, 0][..], &[0xff; 20]].concat());
    for opcode in 1..16 {
        for qclass in [0, 1, 2, 3, 4, 254, 255, 65_535] {
            for qtype in [0, TYPE_SOA, 250, 252, 255] {
                let query = Query { flags: opcode << 11, qclass, ..Query::new("bl.example", qtype) };
                // as NOTIFY has it, and as UPDATE has prerequisites and changes
                for bytes in [query.bytes(), with_records(&query.bytes(), 7, std::slice::from_ref(&soa))] {
                    let reply = server.udp(&bytes).map(|reply| Message::read(&reply).unwrap()).expect("a reply");
                    assert_eq!((reply.rcode(), reply.opcode(), reply.question), (4, opcode, query.question()));
                }
            }
        }
    }
    assert_eq!(server.udp(&Query::new("bl.example", TYPE_SOA).bytes()), before);
}

#[test]
fn class_5_what_transfers_bring_is_not_taken_from_anybody() {
    let server = Server::start();
    // a client of IXFR says which serial it has (RFC 1995, section 3); this one lies about the length
    for rdata in [&[][..], &[0], &[0; 21], &[0; 22], &[0xc0; 22]] {
        let query = Query::new("bl.example", 251);
        let reply = server.ask_bytes(&with_records(&query.bytes(), 9, &[record(&[0xc0, 12], TYPE_SOA, 1, rdata)]));
        assert_eq!((reply.rcode(), reply.question), (5, query.question()));
    }
    // the messages of a transfer that nobody asked for: SOA in the middle, another zone, another class
    let question = Query { flags: 0x8400, ..Query::new("bl.example", 252) }.bytes();
    let a = record(&wire_name("9.2.0.192.bl.example"), TYPE_A, 1, &[127, 0, 0, 2]);
    let soa = record(&[0xc0, 12], TYPE_SOA, 1, &[0; 22]);
    for records in [vec![soa.clone(), a.clone(), soa.clone()], vec![a.clone(), soa, a], vec![record(&[0], 1, 3, &[0])]]
    {
        let bytes = with_records(&question, 7, &records);
        assert_eq!((server.udp(&bytes), server.tcp(&bytes)), (None, None));
    }
    assert_eq!(server.ask(&Query::new("9.2.0.192.bl.example", TYPE_A)).rcode(), 3);
}

#[test]
fn class_11_no_answer_is_another_querys() {
    let server = Server::start();
    let name = "2.2.0.192.bl.example";
    let with = |flags, edns: Option<Opt>, qtype, name: &str| Query { flags, edns, ..Query::new(name, qtype) }.bytes();
    let queries = [
        with(0, None, TYPE_TXT, name),
        with(RD, None, TYPE_TXT, name),
        with(CD, Some(Opt::of_size(512)), TYPE_TXT, name),
        with(0, Some(Opt::of_size(1232)), TYPE_TXT, name),
        with(0, Some(Opt { flags: DO, ..Opt::of_size(1232) }), TYPE_TXT, name),
        with(0, Some(Opt { version: 1, ..Opt::of_size(1232) }), TYPE_TXT, name),
        with(0, Some(Opt { options: vec![0, 8, 0, 4, 0, 1, 0, 0], ..Opt::of_size(1232) }), TYPE_TXT, name),
        with(0, None, TYPE_A, name),
        with(0, None, TYPE_A, &name.to_uppercase()),
        with(0, None, TYPE_A, "2.2.0.192.bL.eXaMpLe"),
        Query { qclass: 255, ..Query::new(name, TYPE_A) }.bytes(),
        Query { qclass: 3, ..Query::new(name, TYPE_A) }.bytes(),
        with(0, None, 255, name),
        with(0, None, 9999, name),
        with(0, None, TYPE_A, "9.2.0.192.bl.example"),
        with(4 << 11, None, TYPE_SOA, "bl.example"),
        with(0, None, TYPE_A, "a.name.that.is.longer.than.all.others.and.lies.in.no.zone.that.is.served.here.example"),
    ];
    // one worker answers in one buffer, which has the query and reply before in it
    let alone: Vec<_> = queries.iter().map(|query| Server::start().udp(query)).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 2048];
    for (first, _) in queries.iter().zip(&alone) {
        for (second, alone) in queries.iter().zip(&alone) {
            // in one batch, and one after the other
            for is_batch in [true, false] {
                socket.send(first).unwrap();
                if !is_batch {
                    socket.recv(&mut buffer).unwrap();
                }
                socket.send(second).unwrap();
                if is_batch {
                    socket.recv(&mut buffer).unwrap();
                }
                let length = socket.recv(&mut buffer).unwrap();
                assert_eq!(Some(&buffer[..length]), alone.as_deref(), "{second:02x?} after {first:02x?}");
            }
        }
    }
}

#[test]
fn class_12_list_files_include_and_generate_nothing_and_no_line_is_too_long() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "192.0.2.77\nsecret.example\n@ A 192.0.2.77\n").unwrap();
    let path = secret.path().display();
    let long = "a".repeat(1 << 20);
    let nested = "(".repeat(1 << 16);
    for format in [Format::Ip4Set, Format::Ip4Trie, Format::Ip6Trie, Format::Dnset, Format::Generic, Format::Plain] {
        let mut world = World::new();
        let mut text = format!("$INCLUDE {path}\n$INCLUDE \"{path}\" bl.example.\n");
        writeln!(text, "$GENERATE 1-4294967295 $ A 127.0.0.2\n$ORIGIN {long}.\n$TTL {long}").unwrap();
        writeln!(text, "{long}\n{long}.example\nwww TXT \"{long}\"\n{nested}\n192.0.2.{long}").unwrap();
        text.push_str(&"\\".repeat(1 << 16));
        let list = world.dataset("list", format, &text);
        world.zone("bl.example", &[(list, ".")]);
        let (said, snapshot) = world.load();
        assert!(!said.is_empty(), "{format:?}: what is no entry is told");
        assert!(said.iter().all(|line| line.len() < 1000), "{format:?}: and not repeated at length");
        for name in ["77.2.0.192.bl.example", "secret.example.bl.example", "1.bl.example", "www.bl.example"] {
            let reply = Message::read(&ask(&snapshot, &Query::new(name, TYPE_A).bytes()).unwrap()).unwrap();
            assert!(reply.sections[0].is_empty(), "{format:?} {name}");
        }
    }
}

#[test]
fn class_15_names_of_every_length_are_listed_and_asked_for() {
    let names: Vec<String> = (1..=250)
        .map(|length| {
            let mut name = "abcdefghi.".repeat(length / 10 + 1);
            name.truncate(length);
            name.trim_end_matches('.').to_owned()
        })
        .collect();
    for apex in ["b", "bl.example", "an.apex.with.some.more.labels.than.usual.example"] {
        let mut world = World::new();
        let list =
            world.dataset("list", Format::Dnset, &names.iter().fold(String::new(), |text, name| text + name + "\n"));
        world.zone(apex, &[(list, ".")]);
        let (_, snapshot) = world.load();
        for name in &names {
            let full = wire_name(&format!("{name}.{apex}"));
            let query = Query { name: full.clone(), ..Query::new("", TYPE_A) };
            let reply = Message::read(&ask(&snapshot, &query.bytes()).expect("a reply")).unwrap();
            // a name that would be too long with its zone behind it cannot be asked for
            let expected = if full.len() <= 255 { (0, 1) } else { (1, 0) };
            assert_eq!((reply.rcode(), reply.sections[0].len()), expected, "{} bytes", full.len());
        }
    }
}

#[test]
fn the_tests_that_the_table_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut code) = (vec![root.join("src"), root.join("tests")], String::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let page = std::fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
    assert!(named.len() > 60, "{}", named.len());
    for name in named {
        assert!(code.contains(&format!("fn {name}()")), "{name}");
    }
}

/// What `respond` says over a stream.
fn ask(snapshot: &Snapshot, message: &[u8]) -> Option<Vec<u8>> {
    world::ask(snapshot, message, IpAddr::V4(Ipv4Addr::LOCALHOST), Transport::Stream, NOW).ok()
}

fn snapshot() -> Snapshot {
    let mut world = World::new();
    let list = world.dataset("list", Format::Ip4Set, "192.0.2.1\n");
    world.zone("bl.example", &[(list, ".")]);
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty());
    snapshot
}

/// A record with the owner in wire form.
fn record(owner: &[u8], rtype: u16, class: u16, rdata: &[u8]) -> Vec<u8> {
    let words = [rtype, class, 0, 0, rdata.len() as u16];
    let fixed: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    [owner, &fixed, rdata].concat()
}

/// The message with records behind it, counted at `section`: 7, 9 or 11.
fn with_records(message: &[u8], section: usize, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [message, &records.concat()].concat();
    bytes[section] = records.len() as u8;
    bytes
}
