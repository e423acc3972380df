//! Compiled files that lie, and everything that can be asked of what was opened from one.
//!
//! The fuzz target has this file too. A liar recomputes the checksums, so `reseal` does.

use std::hash::Hasher;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use infamy::answer::{Transport, respond};
use infamy::dataset::{Dataset, compiled};
use infamy::dnsxl::{Block4, Block6, Name, QueryName};
use infamy::snapshot::{Snapshot, Version};
use infamy::table::{Compiled, ValueId};
use infamy::zone::{Access, Choice, Input, TestEntries, UnixTime, ZoneSpec, build};
use twox_hash::XxHash3_64;

/// Makes all checksums of a compiled file right, as far as its header and table make sense.
pub(crate) fn reseal(bytes: &mut [u8]) {
    let Some(header) = bytes.get(..HEADER) else { return };
    let sections = u32::from_le_bytes(header[12..16].try_into().unwrap()) as usize;
    let Some(table_end) = sections.checked_mul(SECTION).map(|length| HEADER + length) else { return };
    if table_end > bytes.len() {
        return;
    }
    for section in 0..sections {
        let at = HEADER + section * SECTION;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let end = number(at + 8).saturating_add(number(at + 16)).checked_next_multiple_of(64);
        let range = Range { start: number(at + 8) as usize, end: end.unwrap_or(u64::MAX) as usize };
        if let Some(content) = bytes.get(range) {
            let checksum = XxHash3_64::oneshot(content);
            bytes[at + 24..at + 32].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    let mut hasher = XxHash3_64::new();
    hasher.write(&bytes[..HEADER - 8]);
    hasher.write(&bytes[HEADER..table_end]);
    bytes[HEADER - 8..HEADER].copy_from_slice(&hasher.finish().to_le_bytes());
}

/// Opens bytes as a compiled file and asks it everything; whether it could be opened.
pub(crate) fn open_and_ask(bytes: &[u8]) -> bool {
    let Ok(file) = Compiled::from_bytes(Path::new("-"), bytes) else { return false };
    let _ = file.verify();
    let Ok((dataset, _)) = compiled::open(&file, "hostile") else { return false };
    ask_tables(&dataset);
    ask_zone(dataset);
    true
}

fn ask_tables(dataset: &Dataset) {
    let tables = dataset.parts.iter().map(|part| &part.table).chain(dataset.clients.iter().map(|list| &list.table));
    for table in tables {
        let mut before = None;
        for run in table.ip4.runs() {
            assert!(run.first <= run.last && before.is_none_or(|before| before < run.first), "runs ascend");
            before = Some(run.last);
        }
        for address in ADDRESSES {
            table.ip4.prefetch(address);
            table.ip4.prefetch_leaf(address);
            let _ = table.ip4.find(address);
            for length in 0..=32 {
                let bits = u64::from(address) >> (32 - length) << (32 - length);
                let _ = table.ip4.any_below(Block4 { bits: bits as u32, length });
            }
        }
        let mut before = None;
        for prefix in table.ip6.prefixes() {
            assert!(before.is_none_or(|before| before < prefix.bits), "prefixes ascend");
            before = Some(prefix.bits);
        }
        for address in ADDRESSES.map(|low| u128::from(low) << 96 | u128::from(low)) {
            table.ip6.prefetch(address);
            table.ip6.prefetch_leaf(address);
            let _ = table.ip6.find(address);
            for length in 0..=128 {
                let bits = address.checked_shr(128 - length).and_then(|bits| bits.checked_shl(128 - length));
                let _ = table.ip6.any_below(Block6 { bits: bits.unwrap_or(0), length: length as u8 });
            }
        }
        for name in NAMES {
            let name = QueryName::from(&Name::parse(name.as_bytes()).unwrap());
            let hashes = table.names.hashes(name.labels());
            table.names.prefetch(&hashes);
            assert_eq!(table.names.find(name.labels()), table.names.find_hashed(name.labels(), &hashes));
        }
        let _ = table.hashes.find(b"0123456789abcdef");
    }
    for part in &dataset.parts {
        for value in (0..300).flat_map(|id| part.values.list(ValueId(id))) {
            if let Some(text) = value.text {
                text.render(b"subject", &mut Default::default());
            }
        }
        for (_, sets) in part.records.iter() {
            let _ = sets.map(|set| set.data().map(<[u8]>::len).sum::<usize>() + set.ttl(5) as usize).sum::<usize>();
        }
    }
    for address in ["192.0.2.1", "2001:db8::1", "::"] {
        let _ = dataset.clients.as_ref().and_then(|clients| clients.find(address.parse().unwrap()));
    }
}

/// Has a zone over the dataset answer.
fn ask_zone(dataset: Dataset) {
    let apex = Name::parse(b"b").unwrap();
    let spec = ZoneSpec {
        apex,
        soa: None,
        ns: None,
        own_addresses: Vec::new(),
        least_serial: 1,
        ttl: 300,
        choice: Choice::All,
        ns_in_authority: true,
        test_entries: TestEntries::Synthesised,
        others: Vec::new(),
    };
    let dataset = Arc::new(dataset);
    let access = if dataset.clients.is_some() { Access::by(dataset.clone()) } else { Access::default() };
    let input = Input { dataset: Some(dataset), under: Name::default(), live: Vec::new() };
    let Ok(zone) = build(&spec, &[input], &[], access) else { return };
    let snapshot = Snapshot::new(vec![zone], Access::default(), Version::Refused);
    let mut out = vec![0; usize::from(u16::MAX)];
    let mut ask = |wire: &[u8]| {
        for qtype in [1_u16, 2, 5, 6, 15, 16, 28, 43, 255] {
            let header = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let query = [&header, wire, b"\x01b\x00", &qtype.to_be_bytes(), &[0, 1]].concat();
            let client = IpAddr::V4([192, 0, 2, 1].into());
            let _ = respond(&snapshot, &query, client, Transport::Stream, UnixTime(1_800_000_000), &mut out);
        }
    };
    for address in ADDRESSES {
        let [a, b, c, d] = address.to_be_bytes();
        ask(Name::parse(format!("{d}.{c}.{b}.{a}").as_bytes()).unwrap().as_wire());
        ask(Name::parse(format!("{b}.{a}").as_bytes()).unwrap().as_wire());
        let nibbles: Vec<String> = (0..32).map(|at| format!("{:x}", address.rotate_left(4 * at) & 15)).collect();
        ask(Name::parse(nibbles.join(".").as_bytes()).unwrap().as_wire());
    }
    for name in NAMES {
        ask(Name::parse(name.as_bytes()).unwrap().as_wire());
    }
}

/// Some that lists have, and some that they have not.
const ADDRESSES: [u32; 12] = [
    0,
    1,
    0x0102_0304,
    0x0102_0300,
    0x0200_0000,
    0x0300_0001,
    0x2001_0db8,
    0x2001_0db9,
    0x1234_0000,
    0x7f00_0002,
    0xc000_0201,
    u32::MAX,
];
const NAMES: [&str; 12] =
    [".", "d", "e.d", "x.e.d", "x.y.z", "f.d", "q.f.d", "w", "c", "n", "x.n", "5d41402abc4b2a76b9719d911017c592"];
const HEADER: usize = 64;
const SECTION: usize = 32;
