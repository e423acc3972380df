use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn routes(text: &str) -> Routes {
    let mut builder = RoutesBuilder::default();
    builder.parse_bytes(text.as_bytes()).unwrap();
    assert_eq!(builder.skipped, Skipped::default());
    builder.build()
}

fn ip(text: &str) -> u32 {
    text.parse::<Ipv4Addr>().unwrap().into()
}

/// The IPv4 routes as `prefix asn…`.
fn shown4(routes: &Routes) -> Vec<String> {
    let show = |(index, route): (usize, &Route4)| {
        let origins: Vec<String> = routes.origins4(index).map(|asn| asn.to_string()).collect();
        format!("{}/{} {}", Ipv4Addr::from(route.first), route.length, origins.join(" "))
    };
    routes.routes4().iter().enumerate().map(show).collect()
}

#[test]
fn every_format_says_the_same() {
    let expected = ["192.0.2.0/24 64496", "198.51.100.0/23 64497", "203.0.113.0/24 64498 64499"];
    for text in [
        "# prefix asn\n203.0.113.0/24\t64498\n203.0.113.0/24\t64499\n192.0.2.0/24\t64496\n198.51.100.0/23\t64497\n",
        "192.0.2.0/24 AS64496\n198.51.100.0/23 64497\n203.0.113.0/24 64498_64499\n",
        "192.0.2.0\t24\t64496\n198.51.100.0\t23\t64497\n203.0.113.0\t24\t64498_64499\n",
        "192.0.2.0\t24\t64496\n198.51.100.0\t23\t64497\n203.0.113.0\t24\t64498,64499\n203.0.113.0\t24\t{64499}\n",
        "192.0.2.0\t192.0.2.255\t64496\tNL\tA, B\n198.51.100.0\t198.51.101.255\t64497\tNone\tX\n\
         203.0.113.0\t203.0.113.255\t64498\tNL\tX\n203.0.113.0\t203.0.113.255\t64499\tNL\tX\n0.0.0.0\t0.255.255.255\t0\tNone\tNot routed\n",
        "\"192.0.2.0\",\"192.0.2.255\",\"64496\",\"A, B\"\n198.51.100.0,198.51.101.255,64497,X\n\
         203.0.113.0,203.0.113.255,64498,X\n203.0.113.0,203.0.113.255,64499,X\n",
    ] {
        assert_eq!(shown4(&routes(text)), expected, "{text}");
    }
}

#[test]
fn a_range_is_the_prefixes_it_is_made_of() {
    let routes =
        routes("192.0.2.64\t192.0.3.127\t64496\tNL\tX\n2001:db8::\t2001:db8:2:ffff:ffff:ffff:ffff:ffff\t64497\tNL\tX");
    assert_eq!(shown4(&routes), ["192.0.2.64/26 64496", "192.0.2.128/25 64496", "192.0.3.0/25 64496"]);
    assert_eq!(routes.routes4()[0].country, *b"NL");
    let six: Vec<(u128, u8)> = routes.routes6().iter().map(|route| (route.first, route.length)).collect();
    let first = 0x2001_0db8_u128 << 96;
    assert_eq!(six, [(first, 47), (first + (2 << 80), 48)]);
}

#[test]
fn wrong_lines_are_left_out_and_told() {
    let mut builder = RoutesBuilder::default();
    let lines = "0.0.0.0/0\t64496\n192.0.2.0/24\tx\n192.0.2.0/24\n192.0.2.0\t33\t1\n192.0.2.9\t192.0.2.1\t1\n\
                 word\t192.0.2.1\t1\n192.0.2.0\t2001:db8::\t1\n2001:db8::/8\t1\n192.0.2.0/24\t0\n192.0.2.0/24\t1_x\n";
    builder.parse_bytes(lines.as_bytes()).unwrap();
    let told: Vec<String> = builder.skipped.lines.iter().map(ToString::to_string).collect();
    let expected = [
        "-:1: /0 is no announced prefix",
        "-:2: invalid ASN `x`",
        "-:3: invalid ASN ``",
        "-:4: no line of this format",
        "-:5: range ends before it starts",
        "-:6: `word` is no address",
        "-:7: no line of this format",
        "-:8: /8 is no announced prefix",
        "-:10: invalid ASN `x`",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
    assert!(builder.build().routes4().is_empty());
}

#[test]
fn a_file_is_read_whole_or_named_and_routes_of_several_files_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let (four, six) = (folder.path().join("4.tsv.zst"), folder.path().join("6.tsv"));
    std::fs::write(&four, zstd::encode_all(&b"192.0.2.0/24\t64496\n"[..], 1).unwrap()).unwrap();
    std::fs::write(&six, "2001:db8::/32\t64497\n").unwrap();
    let mut builder = RoutesBuilder::default();
    builder.parse_file(&four).unwrap();
    builder.parse_file(&six).unwrap();
    let routes = builder.build();
    assert_eq!(routes.find4(ip("192.0.2.7"), 32), Some(0));
    assert_eq!(routes.find6(u128::from("2001:db8::1".parse::<Ipv6Addr>().unwrap()), 128), Some(0));

    let database = folder.path().join("asn.mmdb");
    std::fs::write(&database, "no database").unwrap();
    let error = RoutesBuilder::default().parse_file(&database).unwrap_err().to_string();
    assert!(error.starts_with(&database.display().to_string()), "{error}");
}

#[test]
fn what_a_database_says() {
    let folder = tempfile::tempdir().unwrap();
    // told by its mark, not by its name
    let path = folder.path().join("asn.bin");
    std::fs::write(&path, database(&[(0xc000_0200, 24, 64496), (0xcb00_7100, 25, 64497)])).unwrap();
    let mut builder = RoutesBuilder::default();
    builder.parse_file(&path).unwrap();
    assert_eq!(shown4(&builder.build()), ["192.0.2.0/24 64496", "203.0.113.0/25 64497"]);
}

/// A database in MaxMind's format, version 2, of IPv4 prefixes and origins, with records of 24 bits.
fn database(prefixes: &[(u32, u8, u32)]) -> Vec<u8> {
    #[derive(Clone, Copy, PartialEq)]
    enum Side {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let text = |text: &str| [&[0x40 | text.len() as u8][..], text.as_bytes()].concat();
    let number = |number: u32| [&[0xc4][..], &number.to_be_bytes()].concat();
    let (mut nodes, mut data) = (vec![[Side::Nothing; 2]], Vec::new());
    for &(first, length, asn) in prefixes {
        let mut node = 0;
        for depth in 0..length {
            let bit = (first >> (31 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][bit] = Side::Data(data.len());
            } else if let Side::Node(next) = nodes[node][bit] {
                node = next;
            } else {
                nodes.push([Side::Nothing; 2]);
                nodes[node][bit] = Side::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
        // a map of one pair
        data.push(0xe1);
        data.extend([text("autonomous_system_number"), number(asn)].concat());
        // keys over 28 bytes would need another form of length; this one has 24
    }
    let mut bytes = Vec::new();
    for side in nodes.iter().flatten() {
        let value = match side {
            Side::Nothing => nodes.len(),
            Side::Node(node) => *node,
            Side::Data(offset) => nodes.len() + 16 + offset,
        };
        bytes.extend(&(value as u32).to_be_bytes()[1..]);
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    bytes.push(0xe9);
    for (key, value) in [
        ("node_count", number(nodes.len() as u32)),
        ("record_size", vec![0xa1, 24]),
        ("ip_version", vec![0xa1, 4]),
        ("database_type", text("ASN")),
        ("languages", vec![0x00, 0x04]),
        ("binary_format_major_version", vec![0xa1, 2]),
        ("binary_format_minor_version", vec![0xa1, 0]),
        ("build_epoch", vec![0x01, 0x02, 1]),
        ("description", vec![0xe0]),
    ] {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

/// Routes as a list that is gone through from end to end.
fn naive_find(said: &[(u32, u8, u32)], address: u32, max_length: u8) -> Option<(u32, u8)> {
    let covering = said.iter().filter(|(first, length, _)| *length <= max_length && address.masked(*length) == *first);
    covering.map(|&(first, length, _)| (first, length)).max_by_key(|&(_, length)| length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Prefixes of a few octets, so that many are nested or equal, some at the end of the address space.
    #[test]
    fn lookups_and_sweeps_equal_going_through_all_routes(
        said in proptest::collection::vec(
            (0_u32..3, 0_u32..4, any::<u8>(), any::<u8>(), 8_u8..=32, 1_u32..4), 0..40),
        probes in proptest::collection::vec((0_u32..3, 0_u32..4, any::<u16>()), 50),
    ) {
        let top = |top: u32| [0_u32, 0x2d00_0000, 0xff00_0000][top as usize];
        let said: Vec<(u32, u8, u32)> = said
            .into_iter()
            .map(|(a, b, c, d, length, asn)| {
                ((top(a) | b << 16 | u32::from(c) << 8 | u32::from(d)).masked(length), length, asn)
            })
            .collect();
        let text: String = said
            .iter()
            .map(|(first, length, asn)| format!("{}/{length}\t{asn}\n", Ipv4Addr::from(*first)))
            .collect();
        let routes = routes(&text);

        let key = |index: usize| (routes.routes4()[index].first, routes.routes4()[index].length);
        let probes = probes.into_iter().map(|(a, b, low)| top(a) | b << 16 | u32::from(low));
        let edges = said.iter().flat_map(|&(first, length, _)| {
            [first, first.wrapping_sub(1), first.last_of(length), first.last_of(length).wrapping_add(1)]
        });
        for address in probes.chain(edges).chain([0, u32::MAX]) {
            for max_length in [7, 16, 24, 28, 32] {
                let found = routes.find4(address, max_length).map(key);
                prop_assert_eq!(found, naive_find(&said, address, max_length), "{}", address);
            }
        }
        for (index, route) in routes.routes4().iter().enumerate() {
            let mut expected: Vec<u32> = Vec::new();
            for &(first, length, asn) in &said {
                if (first, length) == key(index) && !expected.contains(&asn) {
                    expected.push(asn);
                }
            }
            prop_assert_eq!(route.asn, expected[0]);
            prop_assert_eq!(route.has_more_origins, expected.len() > 1);
            prop_assert_eq!(routes.origins4(index).collect::<Vec<u32>>(), expected);
        }

        let mut previous = None;
        let mut swept = 0_u64;
        for (first, last, route) in routes.runs_24() {
            prop_assert!(first <= last && previous.is_none_or(|previous| previous < first));
            previous = Some(last);
            swept += u64::from(last - first) + 1;
            for block in [first, last, first + (last - first) / 2] {
                prop_assert_eq!(Some(key(route)), naive_find(&said, block << 8, 24));
            }
        }
        let mut announced = vec![false; 1 << 24];
        for &(first, length, _) in said.iter().filter(|(_, length, _)| *length <= 24) {
            announced[(first >> 8) as usize..=(first.last_of(length) >> 8) as usize].fill(true);
        }
        prop_assert_eq!(swept, announced.iter().filter(|announced| **announced).count() as u64);
    }
}

/// Real routes load in far less than a second, and every one of them is found by its own first address.
#[test]
fn real_routes() {
    let Some(folder) = std::env::var_os("INFAMY_DATA") else {
        eprintln!("INFAMY_DATA is not set: no real routes to load");
        return;
    };
    let mut builder = RoutesBuilder::default();
    for entry in std::fs::read_dir(Path::new(&folder).join("routes")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("as-prefix") {
            builder.parse_file(&path).unwrap();
        }
    }
    assert_eq!(builder.skipped.total, 0, "{:?}", builder.skipped.lines);
    let routes = builder.build();
    assert!(routes.routes4().len() > 1_000_000 && routes.routes6().len() > 200_000);
    for (index, route) in routes.routes4().iter().enumerate() {
        assert_eq!(routes.find4(route.first, route.length), Some(index));
    }
    for (index, route) in routes.routes6().iter().enumerate() {
        assert_eq!(routes.find6(route.first, route.length), Some(index));
    }
    assert!(routes.each_24().count() > 10_000_000);
}
