//! Compiled files: what they hold, which of them are refused, and what a server does with them.

use std::fs;
use std::path::Path;

use infamy::dataset::{self, BadLines, Dataset, Defaults, LoadError, NeverList, Spec, compiled};
use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::{Format, Reading};
use infamy::table::{Access, Compiled, CompiledError};
use proptest::prelude::*;

use crate::hostile::{open_and_ask, reseal};
use crate::world::cases;

/// A list of every format, with what each can say.
const LISTS: &[(Format, &str)] = &[
    (Format::Ip4Set, ":127.0.0.2:why $ $1\n$1 one\n1.2.3.0/24\n2-9\n3.0.0.1 :3:\n!1.2.3.7\n"),
    (Format::Ip4Tset, ":2:shared $\n1.2.3.4\n1.2.3.9\n"),
    (Format::Ip4Trie, "$TTL 60\n1.2.0.0/16 :4:trie $\n!1.2.4.0/22\n"),
    (Format::Ip6Tset, ":5:\n2001:db8:1:2\n!2001:db8:1:2::5\n"),
    (Format::Ip6Trie, ":5:six $\n2001:db8::/33\n!2001:db8:1::/48\n1234::/15\n2001:db9::5/128\n"),
    (Format::Dnset, ":6:name $\n.d\n!e.d\n*.f.d\nx.y.z\n!.g.d\n"),
    (Format::Generic, "w A 198.51.100.1\nw 60 TXT t\nc CNAME w.b\nn NS q.n.b\nq.n A 198.51.100.3\n@ TXT apex\n"),
    (
        Format::Combined,
        "$SOA 60 ns.x h.x 7 1 2 3 4\n$NS 5 a.x b.x\n$TIMESTAMP 2020:01:01 2037:01:01\n$DATASET ip4set p.q @\n1.1.1.1 :7:p\n\
         $DATASET dnset r\n.s :8:r\n$DATASET ip6trie @\n2001:db8::/32\n",
    ),
    (Format::Acl, ":pass\n192.0.2.0/24 :refuse\n2001:db8::/32 :3:go away $\n10.0.0.0/8 :ignore\n"),
    (Format::Plain, "192.0.2.1\n192.0.2.128/25\n2001:db8::/64\nspam.example\n"),
    (Format::Hosts, "0.0.0.0 ads.example\n0.0.0.0 track.example\n"),
    (Format::Hashes, "5d41402abc4b2a76b9719d911017c592\n00000000000000000000000000000000\n"),
];

fn spec(format: Format, path: &Path) -> Spec {
    let key = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 32 };
    Spec {
        name: "list".to_owned(),
        format,
        files: vec![path.to_owned()],
        emitted: None,
        reading: Reading { key: (format == Format::Hashes).then_some(key), ..Reading::default() },
        defaults: Defaults::default(),
        bad_lines: BadLines::Refuse,
        min_entries: 1,
        bounds: dataset::Bounds::NONE,
        ttl_bounds: 0..=u32::MAX,
        heeds_never_list: true,
    }
}

fn load(format: Format, text: &str) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, text).unwrap();
    dataset::load(&spec(format, &path), &NeverList::empty(), NOW).unwrap().0
}

fn compile(format: Format, text: &str) -> Vec<u8> {
    compiled::to_bytes(&load(format, text), format).unwrap()
}

#[test]
fn a_compiled_dataset_says_what_its_lists_say() {
    let folder = tempfile::tempdir().unwrap();
    for (format, text) in LISTS {
        let from_text = load(*format, text);
        let path = folder.path().join("compiled");
        compiled::write(&from_text, *format, &path).unwrap();
        for copy in [false, true] {
            let mut spec = spec(*format, &path);
            spec.reading.copy = copy;
            let (opened, report) = dataset::load(&spec, &NeverList::empty(), NOW).unwrap();
            assert!(opened.says_what(&from_text), "{format:?}");
            assert!(report.problems.is_empty() && report.entries > 0);
            assert_eq!(opened.bytes(), from_text.bytes());
            let again = compiled::to_bytes(&opened, *format).unwrap();
            assert_eq!(again, fs::read(&path).unwrap(), "{format:?}: compiled again");
        }
        assert_eq!(compiled::format_of(&path).unwrap(), *format);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    }
}

#[test]
fn equal_content_is_equal_bytes() {
    let lines: Vec<String> =
        (0..3000_u32).map(|n| format!("{}.{}.{}.{} :{}:why $", n % 7, n % 256, n / 256, n % 251, n % 9 + 1)).collect();
    let names: Vec<String> = (0..3000_u32).map(|n| format!(".n{}.z{} :{}:", n, n % 40, n % 5 + 1)).collect();
    let networks: Vec<String> =
        (0..3000_u32).map(|n| format!("2001:db8:{:x}:{:x}::/64 :{}:", n % 13, n, n % 5 + 1)).collect();
    let hashes: Vec<String> = (0..3000_u32).map(|n| format!("{n:032x}")).collect();
    let lists =
        [(Format::Ip4Set, lines), (Format::Dnset, names), (Format::Ip6Trie, networks), (Format::Hashes, hashes)];
    for (format, mut lines) in lists {
        let before = compile(format, &lines.join("\n"));
        lines.reverse();
        lines.swap(5, 1000);
        assert!(compile(format, &lines.join("\n")) == before, "{format:?}");
        lines.pop();
        assert!(compile(format, &lines.join("\n")) != before, "{format:?}");
    }
}

#[test]
fn any_flipped_byte_is_found() {
    for (format, text) in LISTS {
        let whole = compile(*format, text);
        let verify = |bytes: &[u8]| Compiled::from_bytes(Path::new("f"), bytes)?.verify();
        verify(&whole).unwrap();
        for at in 0..whole.len() {
            for bit in [1_u8, 0x80, 0xff] {
                let mut flipped = whole.clone();
                flipped[at] ^= bit;
                assert!(verify(&flipped).is_err(), "{format:?}: byte {at}");
            }
        }
    }
}

#[test]
fn a_file_that_is_not_whole_is_refused_as_what_it_is() {
    let whole = compile(LISTS[0].0, LISTS[0].1);
    let open = |bytes: &[u8]| Compiled::from_bytes(Path::new("f"), bytes).map(drop);
    for length in MAGIC..whole.len() {
        let error = open(&whole[..length]).unwrap_err();
        assert!(matches!(error, CompiledError::Truncated { found, .. } if found == length as u64), "{length}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compiled");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        for access in [Access::Map, Access::Copy] {
            let error = Compiled::open(&path, access).unwrap_err();
            let is_told = matches!(error, CompiledError::Truncated { .. });
            assert!(is_told || length == 0 && matches!(error, CompiledError::Foreign { .. }), "{length}: {error}");
        }
    }
    assert!(matches!(open(&[&*whole, &[0]].concat()), Err(CompiledError::TooLong { .. })));
    assert!(matches!(open(&[b"192.0.2.1\n".as_slice(), &whole].concat()), Err(CompiledError::Foreign { .. })));
    let mut newer = whole.clone();
    newer[8] += 1;
    assert!(matches!(open(&newer), Err(CompiledError::Version { found: 2, .. })));
    let mut corrupt = whole.clone();
    corrupt[20] ^= 1;
    assert!(matches!(open(&corrupt), Err(CompiledError::Corrupt { .. })));
    let mut malformed = whole;
    malformed[64 + 8] ^= 64;
    reseal(&mut malformed);
    assert!(matches!(open(&malformed), Err(CompiledError::Malformed { .. })));
}

#[test]
fn a_dataset_is_lists_or_one_compiled_file() {
    let folder = tempfile::tempdir().unwrap();
    let [compiled, text] = ["compiled", "text"].map(|name| folder.path().join(name));
    fs::write(&compiled, compile(Format::Plain, "192.0.2.1\nspam.example\n")).unwrap();
    fs::write(&text, "192.0.2.2\n").unwrap();
    let try_load = |change: fn(&mut Spec), never: &NeverList| {
        let mut spec = spec(Format::Plain, &compiled);
        change(&mut spec);
        spec.files.iter_mut().for_each(|path| *path = folder.path().join(&path));
        dataset::load(&spec, never, NOW).map(|(dataset, _)| dataset)
    };
    let nothing = NeverList::empty();
    assert!(try_load(|_| (), &nothing).is_ok());
    let mixed = try_load(|spec| spec.files.push("text".into()), &nothing);
    assert!(matches!(mixed, Err(LoadError::Mixed { .. })));
    let other = try_load(|spec| spec.format = Format::Dnset, &nothing);
    assert!(matches!(other, Err(LoadError::OtherFormat { .. })));
    let few = try_load(|spec| spec.min_entries = 3, &nothing);
    assert!(matches!(few, Err(LoadError::TooFew { found: 2, .. })));
    let own = NeverList::with_own(&["192.0.2.0/24".parse().unwrap()]);
    let never = try_load(|_| (), &own);
    assert!(matches!(never, Err(LoadError::Never { subject, .. }) if subject == "192.0.2.1"));
    assert!(try_load(|spec| spec.heeds_never_list = false, &own).is_ok());
}

#[test]
fn the_never_list_lets_test_entries_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compiled");
    let never = NeverList::with_own(&[]);
    let load = |text: &str| {
        fs::write(&path, compile(Format::Plain, text)).unwrap();
        dataset::load(&spec(Format::Plain, &path), &never, NOW).map(drop)
    };
    load("127.0.0.2\n127.0.0.255\n::ffff:7f00:2\n192.88.99.1\n").unwrap();
    for (text, told) in [
        ("127.0.0.2\n127.0.0.1\n", "127.0.0.1"),
        ("10.11.12.0/24\n", "10.11.12.0"),
        ("127.0.0.2\nfe80::/64\n", "fe80::"),
        ("x.invalid\n", "invalid"),
    ] {
        match load(text) {
            Err(LoadError::Never { subject, .. }) => assert_eq!(subject, told),
            // the name itself is not what is listed
            other => assert!(text.starts_with("x.") && other.is_ok(), "{text}: {other:?}"),
        }
    }
}

#[test]
fn what_is_opened_goes_on_when_the_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compiled");
    let [before, after] = ["1.2.3.4\n", "1.2.3.5\n"].map(|text| load(Format::Ip4Set, text));
    compiled::write(&before, Format::Ip4Set, &path).unwrap();
    let (opened, _) = dataset::load(&spec(Format::Ip4Set, &path), &NeverList::empty(), NOW).unwrap();
    compiled::write(&after, Format::Ip4Set, &path).unwrap();
    opened.verify().unwrap();
    assert!(opened.says_what(&before));
    let (opened, _) = dataset::load(&spec(Format::Ip4Set, &path), &NeverList::empty(), NOW).unwrap();
    assert!(opened.says_what(&after));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]

    /// With right checksums, anything may be in a file.
    #[test]
    fn a_hostile_file_does_no_more_than_answer_wrongly(
        list in 0..LISTS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (format, text) = LISTS[list];
        let mut bytes = compile(format, text);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        reseal(&mut bytes);
        open_and_ask(&bytes);
    }
}

#[test]
fn a_whole_file_is_no_hostile_one() {
    for (format, text) in LISTS {
        assert!(open_and_ask(&compile(*format, text)), "{format:?}");
    }
}

const NOW: i64 = 1_800_000_000;
const MAGIC: usize = 8;
