//! What is written for small zones word by word, and for random ones by what a server would answer from it.

mod evaluate;
mod random;

use std::path::Path;

use super::*;
use crate::dataset::{BadLines, Bounds, Defaults, NeverList, Spec};
use crate::dnsxl::{Alphabet, HashKind, KeyShape};
use crate::feed::{Format, NsLine, Reading};
use crate::reload::{Cookies, ZonePlan};
use crate::snapshot::Version;
use crate::zone::{Choice, TestEntries, ZoneSpec};

/// A plan of one zone, `bl.example`, with a dataset for each of the lists, which are written to the folder.
fn plan(folder: &Path, lists: &[(Format, &str)], choice: Choice) -> Plan {
    let datasets = lists.iter().enumerate().map(|(index, (format, text))| {
        let path = folder.join(format!("list{index}"));
        std::fs::write(&path, text).unwrap();
        let key = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Base32, characters: 26 };
        Spec {
            name: format!("list{index}"),
            format: *format,
            files: vec![path],
            emitted: None,
            reading: Reading { key: (*format == Format::Hashes).then_some(key), ..Reading::default() },
            defaults: Defaults::default(),
            bad_lines: BadLines::Refuse,
            min_entries: 0,
            bounds: Bounds::NONE,
            ttl_bounds: 0..=u32::MAX,
            heeds_never_list: false,
        }
    });
    let spec = ZoneSpec {
        apex: Name::parse(b"bl.example").unwrap(),
        soa: None,
        ns: Some(NsLine { ttl: 60, names: vec![Name::parse(b"ns.example.net").unwrap()] }),
        own_addresses: Vec::new(),
        least_serial: u32::MAX,
        ttl: 300,
        choice,
        ns_in_authority: false,
        test_entries: TestEntries::AsWritten,
        others: Vec::new(),
    };
    let all = (0..lists.len()).map(|index| (index, Name::default())).collect();
    Plan {
        datasets: datasets.collect(),
        zones: vec![ZonePlan {
            spec,
            datasets: all,
            allow: Vec::new(),
            access: None,
            keys: None,
            terms: Default::default(),
        }],
        access: None,
        never: NeverList::empty(),
        version: Version::Refused,
        cookies: Cookies::Off,
    }
}

fn written(plan: &Plan, options: Options) -> (String, Vec<Note>) {
    written_with(plan, options, |_| Vec::new())
}

/// The same with live changes over datasets.
fn written_with(plan: &Plan, options: Options, live: impl Fn(usize) -> Vec<Changes>) -> (String, Vec<Note>) {
    let source = Source::load(plan, &plan.zones[0].spec.apex, UnixTime(0), live).unwrap();
    let mut out = Vec::new();
    let notes = source.write_master_file(options, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), notes)
}

/// The file without what every one begins with.
fn body(lists: &[(Format, &str)], options: Options) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (text, _) = written(&plan(folder.path(), lists, Choice::All), options);
    let head = "$ORIGIN bl.example.\n$TTL 300\n@\tIN\tSOA\tns.example.net. hostmaster.bl.example. 4294967295 14400 3600 604800 150\n\t60\tNS\tns.example.net.\n";
    text.strip_prefix(head).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn an_explicit_address_repeats_the_wildcards_around_it() {
    let text = body(&[(Format::Ip4Trie, ":2:$\n192.0.0.0/16\n192.0.2.10 :3:$\n")], Options::default());
    let expected = "\
*.0.192\tA\t127.0.0.2
\tTXT\t\"192.0.0.0/16\"
*.2.0.192\tA\t127.0.0.2
\tTXT\t\"192.0.2.0/24\"
10.2.0.192\tA\t127.0.0.3
\tTXT\t\"192.0.2.10\"
";
    assert_eq!(text, expected);
}

#[test]
fn an_excluded_address_has_its_siblings_written_out() {
    let text = body(&[(Format::Ip4Trie, "192.0.0.0/16\n!192.0.2.10\n")], Options::default());
    assert_eq!(text.lines().count(), 1 + 255);
    assert!(text.starts_with("*.0.192\tA\t127.0.0.2\n0.2.0.192\tA\t127.0.0.2\n"), "{text}");
    assert!(!text.contains("\n10.2.0.192"));
}

#[test]
fn ranges_off_the_octets_are_enumerated() {
    let text = body(&[(Format::Ip4Set, "192.0.254.0-192.1.0.1\n")], Options::default());
    assert_eq!(
        text,
        "*.254.0.192\tA\t127.0.0.2\n*.255.0.192\tA\t127.0.0.2\n0.0.1.192\tA\t127.0.0.2\n1.0.1.192\tA\t127.0.0.2\n"
    );
}

#[test]
fn no_wildcard_reaches_the_other_family() {
    let text = body(&[(Format::Ip4Trie, "2.0.0.0/16\n")], Options::default());
    assert!(!text.contains("*.0.2\t"));
    assert!(
        text.contains("\n*.10.0.2\tA") && text.contains("\n9.9.0.2\tA") && text.ends_with("*.255.0.2\tA\t127.0.0.2\n")
    );
    let text = body(&[(Format::Ip6Trie, "2000::/15\n")], Options::default());
    assert_eq!(text, "*.0.0.0.2\tA\t127.0.0.2\n*.1.0.0.2\tA\t127.0.0.2\n");
}

#[test]
fn an_ipv6_address_repeats_the_wildcard_at_every_nibble() {
    let text = body(&[(Format::Ip6Trie, "2001:db8::/32\n2001:db8::1 :3:\n")], Options::default());
    let wildcards: Vec<&str> = text.lines().filter(|line| line.starts_with("*.")).collect();
    assert_eq!(wildcards.len(), 24);
    assert_eq!(wildcards[0], "*.8.b.d.0.1.0.0.2\tA\t127.0.0.2");
    assert!(text.ends_with("\n1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2\tA\t127.0.0.3\n"));
    let text = body(&[(Format::Ip6Trie, "2001:db8::/30\n2001:db8::/33 :3:\n")], Options::default());
    assert_eq!(text.lines().count(), 1 + 8 + 3);
}

#[test]
fn names_are_exact_or_below_and_excluded_ones_exist() {
    let list = ":2:$\nexact.com\n*.below.com\n.both.com\n!not.both.com\n!.none.both.com\nwild\\042.com\n";
    let text = body(&[(Format::Dnset, list)], Options::default());
    let mut owners: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    owners.sort();
    let expected = [
        "\tTXT\t\"below.com\"\n",
        "\tTXT\t\"both.com\"\n",
        "\tTXT\t\"both.com\"\n",
        "\tTXT\t\"both.com\"\n",
        "\tTXT\t\"exact.com\"\n",
        "\tTXT\t\"wild*.com\"\n",
        "*.below.com\tA\t127.0.0.2\n",
        "*.both.com\tA\t127.0.0.2\n",
        "*.not.both.com\tA\t127.0.0.2\n",
        "both.com\tA\t127.0.0.2\n",
        "exact.com\tA\t127.0.0.2\n",
        "none.both.com\tTYPE65280\t\\# 0\n",
        "wild*.com\tA\t127.0.0.2\n",
    ];
    assert_eq!(owners, expected);
}

#[test]
fn expanded_ranges_name_every_address() {
    let options = Options { expand: true };
    let text = body(&[(Format::Ip4Set, "192.0.2.0/31 :2:$\n198.51.100.0/24 :3:same\n")], options);
    let expected = "\
0.2.0.192\tA\t127.0.0.2
\tTXT\t\"192.0.2.0\"
1.2.0.192\tA\t127.0.0.2
\tTXT\t\"192.0.2.1\"
*.100.51.198\tA\t127.0.0.3
\tTXT\t\"same\"
";
    assert_eq!(text, expected);
    let text = body(&[(Format::Ip4Set, "192.0.2.0/24 :2:$\n")], options);
    assert_eq!(text.lines().count(), 512);
    assert!(text.ends_with("255.2.0.192\tA\t127.0.0.2\n\tTXT\t\"192.0.2.255\"\n"));
}

#[test]
fn digests_are_spelt_in_the_alphabet_of_the_zone() {
    let text = body(&[(Format::Hashes, "900150983cd24fb0d6963f7d28e17f72\n")], Options::default());
    assert_eq!(text, "saavbgb42jh3bvuwh56sryl7oi\tA\t127.0.0.2\n");
}

#[test]
fn records_are_written_as_they_are_answered() {
    let records = "@ A 192.0.2.1\nwww 10 A 192.0.2.2\nwww 20 A 192.0.2.3\nt TXT \"a \"b\" \\ c\"\n@ MX 10 Mail.example.\na.b CNAME www.bl.example\n";
    let names = "*.b\nwww :3:\nx_y\n";
    let folder = tempfile::tempdir().unwrap();
    let lists = [(Format::Generic, records), (Format::Dnset, names)];
    let (text, notes) = written(&plan(folder.path(), &lists, Choice::All), Options::default());
    for line in [
        "\tA\t192.0.2.1\n",
        "\tMX\t10 Mail.example.\n",
        "\nwww\t10\tA\t192.0.2.2\n\t10\tA\t192.0.2.3\n\t10\tA\t127.0.0.3\n",
        "\nt\tTXT\t\"a \\\"b\\\" \\\\ c\"\n",
        "\na.b\tA\t127.0.0.2\n",
        "\n*.a.b\tA\t127.0.0.2\n",
        "\n*.b\tA\t127.0.0.2\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
    assert_eq!(notes, [Note::Cname(name("a.b"), 1), Note::NotHost(name("x_y"), 1)]);
}

#[test]
fn nothing_is_written_below_a_cut_but_glue() {
    let records = "sub NS ns.sub.bl.example\nns.sub A 192.0.2.1\nns.sub TXT no\n";
    let text = body(&[(Format::Generic, records), (Format::Dnset, ".sub\nx.sub\n")], Options::default());
    assert_eq!(text, "ns.sub\tA\t192.0.2.1\nsub\tNS\tns.sub.bl.example.\n");
}

#[test]
fn test_entries_are_part_of_the_zone() {
    let folder = tempfile::tempdir().unwrap();
    let lists = [(Format::Ip4Set, "192.0.2.1\n"), (Format::Ip6Trie, "2001:db8::1\n"), (Format::Dnset, "a\n")];
    let mut plan = plan(folder.path(), &lists, Choice::All);
    plan.zones[0].spec.test_entries = TestEntries::Synthesised;
    plan.zones[0].spec.ns = None;
    plan.zones[0].spec.own_addresses = vec!["192.0.2.53".parse().unwrap(), "::1".parse().unwrap()];
    let (text, notes) = written(&plan, Options::default());
    for owner in ["\n2.0.0.127\tA", "\ntest\tA", "\n2.0.0.0.0.0.f.7.f.f.f.f.0.0", "\nns\tA\t192.0.2.53\n\tAAAA\t::1\n"]
    {
        assert!(text.contains(owner), "{owner:?} is not in {text}");
    }
    assert_eq!(notes, []);
    plan.zones[0].spec.own_addresses.clear();
    let (_, notes) = written(&plan, Options::default());
    assert_eq!(notes, [Note::NoGlue(Name::parse(b"ns.bl.example").unwrap())]);
}

#[test]
fn a_zone_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), &[], Choice::All);
    let missing = Source::load(&plan, &Name::parse(b"other.example").unwrap(), UnixTime(0), |_| Vec::new());
    assert_eq!(missing.unwrap_err().to_string(), "zone other.example: not in the configuration");
}
