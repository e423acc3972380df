//! hickory as the oracle: for any packet that it can read, the door that reads and writes with its code gives the same
//! message as the one that reads and writes with ours.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use infamy::answer::Transport;
use infamy::feed::Format;
use infamy::snapshot::Snapshot;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::transport::{Server, ask};
use crate::wire::{Opt, Query, wire_name};
use crate::world::{self, NOW, World};

#[test]
fn hickory_and_our_own_reader_and_writer_give_the_same_message() {
    let server = Server::serving(snapshot());
    let ours = snapshot();
    let stream = RefCell::new(server.connect());
    let cases = world::cases(6000);
    let (mut read, mut listed) = (0, 0);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let packets = packets();
    let counted = RefCell::new((&mut read, &mut listed));
    let result = runner.run(&packets, |packet| {
        // what gets no reply is not for a connection that is to stay
        let Ok(reply) = world::ask(&ours, &packet, CLIENT, Transport::Stream, NOW) else { return Ok(()) };
        let hickory_reads = Message::from_vec(&packet);
        let ours = Message::from_vec(&reply);
        let theirs = Message::from_vec(&ask(&mut *stream.borrow_mut(), &packet));
        prop_assert!(ours.is_ok(), "hickory cannot read our reply: {ours:?}");
        let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        // padding is for the encrypted doors alone
        if let Some(edns) = &mut theirs.edns {
            edns.options_mut().remove(EdnsCode::Padding);
        }
        // options that do not fill their record are a matter of how strictly one reads: for us there is no OPT record then
        let rcode = ours.metadata.response_code;
        let strict = matches!(rcode, ResponseCode::FormErr | ResponseCode::NotImp) && hickory_reads.is_ok();
        if strict && bad_options(&packet) {
            return Ok(());
        }
        prop_assert_eq!(&ours, &theirs);
        *counted.borrow_mut().0 += u32::from(hickory_reads.is_ok());
        *counted.borrow_mut().1 += u32::from(!ours.answers.is_empty());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(read > cases / 3, "hickory read only {read} of {cases}");
    assert!(listed > cases / 30, "only {listed} of {cases} were listed");
}

/// Whether there is an OPT record near the end whose options do not add up.
fn bad_options(packet: &[u8]) -> bool {
    let begins = packet.windows(3).enumerate().filter(|(_, bytes)| *bytes == [0, 0, 41]).map(|(at, _)| at);
    begins.map(|at| packet.get(at + 9..).unwrap_or_default()).any(|rest| {
        let Some((length, rest)) = rest.split_first_chunk::<2>() else { return false };
        let mut options = rest.get(..u16::from_be_bytes(*length).into()).unwrap_or(rest);
        while let [_, _, l1, l2, after @ ..] = options {
            match after.get(u16::from_be_bytes([*l1, *l2]).into()..) {
                Some(after) => options = after,
                None => return true,
            }
        }
        !options.is_empty()
    })
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0_u8..10);
    let mutations = prop_oneof![
        3 => Just(Vec::new()),
        2 => proptest::collection::vec(mutation, 1..4),
    ];
    (query(), mutations).prop_map(|(mut packet, mutations)| {
        for (index, byte, kind) in mutations {
            let at = index.index(packet.len());
            match kind {
                0 => packet.truncate(at),
                1 => packet.insert(at, byte),
                2 => drop(packet.remove(at)),
                3 | 4 => packet[at] ^= 1 << (byte & 7),
                // counts and lengths are where readers go wrong
                5 if packet.len() > 11 => packet[4 + at % 8] = byte & 3,
                _ => packet[at] = byte,
            }
            if packet.is_empty() {
                break;
            }
        }
        packet
    })
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        6 => proptest::sample::select(NAMES).prop_map(str::to_owned),
        2 => proptest::collection::vec("[0-9a-fA-F]|[a-z]{1,5}|[0-9]{1,3}|test", 0..6).prop_map(|labels| labels.join(".")),
        1 => proptest::collection::vec("[0-9a-f]", 30..34).prop_map(|labels| labels.join(".")),
    ];
    let apexes = proptest::sample::select(
        &[".bl.example", ".bl.example", ".BL.eXample", ".or.example", ".sub.bl.example", "", ".example"][..],
    );
    let types = prop_oneof![
        6 => proptest::sample::select(&[1_u16, 1, 1, 16, 16, 255, 2, 6, 28, 43, 5, 15, 48, 252][..]),
        1 => any::<u16>(),
    ];
    let classes = prop_oneof![8 => Just(1_u16), 1 => Just(255), 1 => Just(3), 1 => any::<u16>()];
    let opt = (any::<u16>(), prop_oneof![9 => Just(0_u8), 1 => any::<u8>()], any::<u16>(), options());
    let opts = proptest::option::of(opt.prop_map(|(size, version, flags, options)| Opt {
        size,
        version,
        flags,
        options,
        extended_rcode: 0,
    }));
    // opcode, QR and all the other flags, most often none
    let flags = prop_oneof![5 => Just(0_u16), 3 => Just(0x0100), 1 => any::<u16>().prop_map(|flags| flags & 0x7fff)];
    let records = prop_oneof![8 => Just(0_usize), 1 => 1_usize..3];
    (names, apexes, types, classes, opts, flags, any::<u16>(), records).prop_map(
        |(name, apex, qtype, qclass, edns, flags, id, records)| {
            let name = wire_name(&format!("{name}{apex}"));
            let query = Query { id, flags, name, qtype, qclass, edns: None };
            let mut packet = query.bytes();
            for _ in 0..records {
                packet.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01");
            }
            packet[7] = records as u8;
            if let Some(opt) = edns {
                packet[11] = 1;
                packet.extend_from_slice(&opt.bytes());
            }
            packet
        },
    )
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    let option = (any::<u16>(), proptest::collection::vec(any::<u8>(), 0..12))
        .prop_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), &data].concat());
    prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(option, 1..3).prop_map(|all| all.concat())]
}

fn snapshot() -> Snapshot {
    let mut world = World::new();
    let lists = [
        (Format::Ip4Set, ":2:four $\n192.0.2.1\n198.51.100.0/24\n192.0.2.1 :4:another $\n10.0.0.0/8\n"),
        (Format::Ip6Trie, ":3:six $\n2001:db8::/32\n2001:db9::1\n1000::/5\n"),
        (Format::Dnset, ":5:name $\n.spam.example.net\n*.wild.org\n!good.wild.org\n.a\n"),
        (
            Format::Generic,
            "www A 198.51.100.1\nwww A 198.51.100.2\nwww TXT \"some text\"\nalias CNAME 1.2.0.192.bl.example\n\
             chain CNAME alias.bl.example\nloop CNAME loop.bl.example\nout CNAME www.example.net\n\
             cut NS ns.cut.bl.example\nns.cut A 198.51.100.3\nhost.web AAAA 2001:db8::1\nmail MX 10 www.bl.example\n",
        ),
    ];
    let mut indexes = Vec::new();
    for (number, (format, text)) in lists.iter().enumerate() {
        indexes.push((world.dataset(&format!("list{number}"), *format, text), "."));
    }
    let serial = |zone: &mut infamy::reload::ZonePlan| zone.spec.least_serial = u32::MAX;
    serial(world.zone("bl.example", &indexes));
    serial(world.zone("sub.bl.example", &indexes[..1]));
    let or = world.zone("or.example", &indexes);
    (or.spec.choice, or.spec.ns_in_authority) = (infamy::zone::Choice::Or, true);
    serial(or);
    let (problems, snapshot) = world.load();
    assert!(problems.is_empty(), "{problems:?}");
    snapshot
}

const NAMES: &[&str] = &[
    "1.2.0.192",
    "2.2.0.192",
    "2.0.192",
    "7.100.51.198",
    "10",
    "1.1",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.b.d.0.1.0.0.2",
    "b.d.0.1.0.0.2",
    "spam.example.net",
    "SPAM.Example.NET",
    "x.wild.org",
    "good.wild.org",
    "www",
    "alias",
    "chain",
    "loop",
    "out",
    "x.cut",
    "cut",
    "host.web",
    "mail",
    "ns",
    "2.0.0.127",
    "1.0.0.127",
    "test",
    "",
];
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
