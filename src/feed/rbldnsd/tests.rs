//! What rbldnsd 1.0 does with each of these lines, asked of the program itself.

use crate::feed::tests::{check, check_problems, notes, notes_with};
use crate::feed::{Format, Reading};

#[test]
fn ip4set_knows_prefixes_ranges_and_short_forms() {
    check(
        Format::Ip4Set,
        &[
            ("192.0.2.4", "192.0.2.4"),
            ("192.0.2", "192.0.2.0-192.0.2.255"),
            ("10.2", "10.2.0.0-10.2.255.255"),
            ("10/8", "10.0.0.0-10.255.255.255"),
            ("10.2/16", "10.2.0.0-10.2.255.255"),
            ("10.2/24", "10.2.0.0-10.2.0.255"),
            ("192.0.2/25", "192.0.2.0-192.0.2.127"),
            ("192.0.2.4/31", "192.0.2.4-192.0.2.5"),
            ("192.0.2.4/032", "192.0.2.4"),
            ("127.16-31", "127.16.0.0-127.31.255.255"),
            ("127.16-127.31", "127.16.0.0-127.31.255.255"),
            ("127.0.0.1-255", "127.0.0.1-127.0.0.255"),
            ("127.0.16-31", "127.0.16.0-127.0.31.255"),
            ("192.0.2.0-192.0.4.255", "192.0.2.0-192.0.4.255"),
            ("192.0.2.4-192.0.2.4", "192.0.2.4"),
            ("1-2", "1.0.0.0-2.255.255.255"),
            ("0-255", "0.0.0.0-255.255.255.255"),
            ("0001.02.003.4", "1.2.3.4"),
            ("!192.0.2.0-5", "192.0.2.0-192.0.2.5 excluded"),
            ("! 192.0.2.4 :bad", "192.0.2.4 excluded"),
            ("  192.0.2.4\t", "192.0.2.4"),
            ("192.0.2.4\r\n", "192.0.2.4"),
            ("\u{feff}192.0.2.4", "192.0.2.4"),
        ],
    );
    check_problems(
        Format::Ip4Set,
        &[
            ("12", "invalid address `12`"),
            ("0/0", "/0 is not known"),
            ("192.0.2.4/0", "/0 is not known"),
            ("192.0.2.4/24", "host bits set in 192.0.2.4/24: write 192.0.2.0/24"),
            ("192.0.2/16", "host bits set in 192.0.2.0/16: write 192.0.0.0/16"),
            ("127.0.0.5-1", "range ends before it starts"),
            ("127.0.0.1-127.0.1", "both ends of a range"),
            ("127.0.0.1-0.5", "both ends of a range"),
            ("192.0.2.4-", "invalid address"),
            ("192.0.2.4-300", "invalid address"),
            ("192.0.2.4-5-6", "invalid address"),
            ("192.0.2.0/24-5", "invalid address"),
            ("192.0.2.4/33", "invalid address"),
            ("192.0.2.4/", "invalid address"),
            ("192.0.2.256", "invalid address"),
            ("192.0.2.", "invalid address"),
            ("192..2.4", "invalid address"),
            ("192.0.2.4.5", "invalid address"),
            ("192.0.2.4,x", "invalid address"),
            ("192.0.2.4=x", "invalid address"),
            ("192.0.2.4text", "invalid address"),
            ("*.192.0.2", "invalid address"),
            ("list.example", "invalid address"),
        ],
    );
}

#[test]
fn host_bits_are_masked_where_that_is_asked_for() {
    let reading = Reading { host_bits: true, ..Reading::default() };
    assert_eq!(notes_with(Format::Ip4Set, &reading, "192.0.2.4/24"), ["192.0.2.0-192.0.2.255"]);
    assert_eq!(notes_with(Format::Ip4Trie, &reading, "192.0.2/16"), ["192.0.0.0-192.0.255.255"]);
    assert_eq!(notes_with(Format::Ip6Trie, &reading, "2001:db8::1/64"), ["2001:db8::/64"]);
    assert!(notes_with(Format::Ip4Set, &reading, "192.0.2.4/0")[0].starts_with("? /0"));
}

#[test]
fn values_follow_a_key() {
    check(
        Format::Ip4Set,
        &[
            ("192.0.2.4:5:text", "192.0.2.4 127.0.0.5 \"text\""),
            ("192.0.2.4 :5", "192.0.2.4 127.0.0.5"),
            ("192.0.2.4 :5:", "192.0.2.4 127.0.0.5 no text"),
            ("192.0.2.4 :007:x", "192.0.2.4 127.0.0.7 \"x\""),
            ("192.0.2.4 :1.2:x", "192.0.2.4 1.0.0.2 \"x\""),
            ("192.0.2.4 :1.2.3:", "192.0.2.4 1.2.0.3 no text"),
            ("192.0.2.4 :10.20.30.40:x", "192.0.2.4 10.20.30.40 \"x\""),
            ("192.0.2.4 :0.0.0.1:x", "192.0.2.4 0.0.0.1 \"x\""),
            ("192.0.2.4 :127.0.0.2 : x", "192.0.2.4 127.0.0.2 \"x\""),
            ("192.0.2.4 :7:  two  blanks ", "192.0.2.4 127.0.0.7 \"two  blanks\""),
            ("192.0.2.4 own text", "192.0.2.4 \"own text\""),
            ("192.0.2.4 text # no comment", "192.0.2.4 \"text # no comment\""),
            ("192.0.2.4 :9: # no comment", "192.0.2.4 127.0.0.9 \"# no comment\""),
            ("192.0.2.4 # comment", "192.0.2.4"),
            ("192.0.2.4;comment", "192.0.2.4"),
            ("192.0.2.4-5#comment", "192.0.2.4-192.0.2.5"),
            ("192.0.2.4 =text", "192.0.2.4 \"=text\""),
            ("192.0.2.4 $1 $ $$ $=", "192.0.2.4 \"$1 $ $$ $=\""),
            ("192.0.2.0/24:5:x", "192.0.2.0-192.0.2.255 127.0.0.5 \"x\""),
        ],
    );
    check_problems(
        Format::Ip4Set,
        &[
            ("192.0.2.4::x", "invalid A value `:x`"),
            ("192.0.2.4 :", "invalid A value ``"),
            ("192.0.2.4 :0:x", "invalid A value `0:x`"),
            ("192.0.2.4 :0.0.0.0:x", "invalid A value"),
            ("192.0.2.4 :256:x", "invalid A value"),
            ("192.0.2.4 :1.:x", "invalid A value"),
            ("192.0.2.4 :0x5:x", "invalid A value `0x5:x`"),
            ("192.0.2.4 : 7 : x", "invalid A value"),
            ("192.0.2.4 :7 text", "`text` after the A value"),
            ("192.0.2.4 :9 # comment", "`#` after the A value"),
            ("192.0.2.4 :1.2.3.4.5:x", "`.5:x` after the A value"),
        ],
    );
}

#[test]
fn defaults_hold_for_later_lines_and_a_bad_one_changes_nothing() {
    let list = "192.0.2.1\n:3:three\n192.0.2.2\n192.0.2.3 :5\n:bad:x\n::x\n192.0.2.4\n:6\n192.0.2.5\n:7:\n192.0.2.6";
    assert_eq!(
        notes(Format::Ip4Set, list),
        [
            "192.0.2.1",
            "192.0.2.2 127.0.0.3 \"three\"",
            "192.0.2.3 127.0.0.5 \"three\"",
            "? invalid A value `bad:x`: write a number from 1 to 255 or an address",
            "? invalid A value `:x`: write a number from 1 to 255 or an address",
            "192.0.2.4 127.0.0.3 \"three\"",
            "192.0.2.5 127.0.0.6",
            "192.0.2.6 127.0.0.7 no text",
        ]
    );
}

#[test]
fn a_text_is_cut_at_255_bytes_and_the_entry_kept() {
    let long = "x".repeat(256);
    let notes = notes(Format::Ip4Set, format!("192.0.2.4 :2:{long}\n192.0.2.5 {}", &long[1..]));
    assert_eq!(
        notes,
        [
            "? text over 255 bytes: the rest of it is cut off".to_owned(),
            format!("192.0.2.4 127.0.0.2 {:?}", &long[1..]),
            format!("192.0.2.5 {:?}", &long[1..]),
        ]
    );
}

#[test]
fn ip4trie_knows_no_ranges_but_the_whole_space() {
    check(
        Format::Ip4Trie,
        &[
            ("0/0", "0.0.0.0-255.255.255.255"),
            ("128/1", "128.0.0.0-255.255.255.255"),
            ("192.0.2", "192.0.2.0-192.0.2.255"),
            ("192.0.2.4:5:x", "192.0.2.4 127.0.0.5 \"x\""),
            ("!192.0.2.4", "192.0.2.4 excluded"),
        ],
    );
    check_problems(
        Format::Ip4Trie,
        &[
            ("192.0.2.4-5", "invalid address"),
            ("1", "invalid address"),
            ("/0", "invalid address"),
            ("192.0.2.4/0", "host bits set in 192.0.2.4/0: write 0.0.0.0/0"),
        ],
    );
}

#[test]
fn sets_with_one_value_take_whole_keys_and_ignore_the_rest() {
    check(
        Format::Ip4Tset,
        &[
            ("192.0.2.4", "192.0.2.4"),
            ("192.0.2.4 :bad text", "192.0.2.4"),
            ("192.0.2.4:5:x", "192.0.2.4"),
            (":5", "shared 127.0.0.5"),
            (":4:text", "shared 127.0.0.4 \"text\""),
        ],
    );
    check_problems(
        Format::Ip4Tset,
        &[("192.0.2", "invalid address"), ("192.0.2.4/32", "invalid address"), ("!192.0.2.4", "invalid address")],
    );
    check(
        Format::Ip6Tset,
        &[
            ("2001:db8:1:2", "2001:db8:1:2::/64"),
            ("2001:0DB8:0:0 text", "2001:db8::/64"),
            ("1:2:3:4#comment", "1:2:3:4::/64"),
            ("!2001:db8:1:2::5", "2001:db8:1:2::5/128 excluded"),
            ("!1:2:3:4:5:6:7:8:5:x", "1:2:3:4:5:6:7:8/128 excluded"),
            ("!::15:", "::15/128 excluded"),
            ("! 2001:db8:1:2:0:0:0:5 text", "2001:db8:1:2::5/128 excluded"),
            (":3:first", "shared 127.0.0.3 \"first\""),
        ],
    );
    for line in [
        "2001:db8:1:2::",
        "2001:db8:1:2::/64",
        "2001:db8:1:2/64",
        "2001:db8:1",
        "2001:db8::1",
        "1:2:3:4:5:x",
        "!2001:db8:1:2",
        "!2001:db8:1:2::5/128",
        "1:2:3:4x",
    ] {
        check_problems(Format::Ip6Tset, &[(line, "invalid address")]);
    }
    check_problems(Format::Ip6Tset, &[("::", "invalid A value")]);
}

#[test]
fn ip6trie_knows_short_forms() {
    check(
        Format::Ip6Trie,
        &[
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8/32", "2001:db8::/32"),
            ("2001:db8", "2001:db8::/32"),
            ("2001:db8:1:2:3", "2001:db8:1:2:3::/80"),
            ("2001/16", "2001::/16"),
            ("2001::", "2001::/128"),
            ("::", "::/128"),
            ("::/0", "::/0"),
            ("0/0", "::/0"),
            ("::1", "::1/128"),
            ("1::", "1::/128"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/128"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0/128"),
            ("1::2:3:4:5:6:7", "1:0:2:3:4:5:6:7/128"),
            ("1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8/128 127.0.0.9"),
            ("1:2:3:4:5:6:7:8:9:text", "1:2:3:4:5:6:7:8/128 127.0.0.9 \"text\""),
            ("2001:db8::1 :5:text", "2001:db8::1/128 127.0.0.5 \"text\""),
            ("2001:db8:00000::/48", "2001:db8::/48"),
            ("!2001:DB8::A/128", "2001:db8::a/128 excluded"),
            ("dead::beef;comment", "dead::beef/128"),
            ("1::2/127", "1::2/127"),
            ("::1:5", "::1:5/128"),
            // the colon behind the last word of a compressed address is skipped
            ("1::2:", "1::2/128"),
            ("1::2::3", "1::2/128 127.0.0.3"),
            ("1::2:#comment", "1::2/128"),
            (":5:default\n::1", "::1/128 127.0.0.5 \"default\""),
        ],
    );
    for line in [
        "2001",
        "2001:db8:/32",
        "2001:db8::/129",
        "2001:db8::/",
        "12345::",
        "2001:db8::g",
        "/64",
        "192.0.2.4",
        "::ffff:192.0.2.4",
        "2001:db8::1:5:text",
        "fe80:",
        "1::2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::8",
        "::text",
        "dead::beef-dead::bef0",
    ] {
        check_problems(Format::Ip6Trie, &[(line, "invalid address")]);
    }
    check_problems(
        Format::Ip6Trie,
        &[
            ("2001:db8::1/64", "host bits set in 2001:db8::1/64: write 2001:db8::/64"),
            ("2001:db8/16", "host bits set in 2001:db8::/16: write 2001::/16"),
            ("1:2:3:4:5:6:7:8:", "invalid A value"),
        ],
    );
}

#[test]
fn dnset_takes_any_byte_in_a_name() {
    check(
        Format::Dnset,
        &[
            ("list.example", "list.example"),
            ("LIST.Example.", "list.example"),
            ("*.list.example", "*.list.example"),
            (".list.example", ".list.example"),
            ("!list.example", "list.example excluded"),
            ("! *.list.example text", "*.list.example excluded"),
            ("example", "example"),
            ("*", "*"),
            ("*list", "*list"),
            ("*.*.example", "*.*.example"),
            ("a.*.example", "a.*.example"),
            ("\\*.example", "*.example"),
            ("..list.example", ".list.example"),
            ("list..example..", "list.example"),
            ("a\\.b.example", "a\\.b.example"),
            ("\\097b.example", "ab.example"),
            ("a\\25.example", "a\\025.example"),
            ("a\\", "a"),
            ("list.example:5:text", "list.example:5:text"),
            ("list.example#c", "list.example#c"),
            ("list.example # c", "list.example"),
            ("list.example :5:$", "list.example 127.0.0.5 \"$\""),
            ("list.example text", "list.example \"text\""),
            ("1.2.3.4", "1.2.3.4"),
        ],
    );
    assert_eq!(notes(Format::Dnset, b"\xe9.example"), ["\\233.example"]);
    check_problems(
        Format::Dnset,
        &[
            (".", "empty name"),
            ("*.", "empty name"),
            ("!", "empty name"),
            ("a\\256.example", "invalid name `a\\256.example`: unfinished or impossible escape"),
            (&("a".repeat(64) + ".example"), "invalid name"),
            (&"a.".repeat(128), "invalid name"),
        ],
    );
    assert_eq!(notes(Format::Dnset, "a.".repeat(127)).len(), 1);
}

#[test]
fn specials_are_told_whatever_stands_before_their_dollar() {
    check(
        Format::Ip4Set,
        &[
            ("$soa\t3000 ns.example.  h.example 0 10m 5m 1d 300", "$SOA 3000 ns.example h.example 0 600 300 86400 300"),
            ("$SOA 0 ns..example . 5 1H 1M 1D 1W", "$SOA 0 ns.example . 5 3600 60 86400 604800"),
            ("$NS 1d NS1.example -ns2.example - ns1.example ns3.example.", "$NS 86400 NS1.example ns3.example"),
            ("$NAMESERVER 0 ns.example", "$NS 0 ns.example"),
            ("$NS 1d -ns1.example", "$NS 86400"),
            ("#$TTL 5m", "$TTL 300"),
            (";$ttl 2147483648", "$TTL 2147483648"),
            (":$TTL 0", "$TTL 0"),
            ("$TIMESTAMP 1970:01:02 +1d", "$TIMESTAMP 86400 172800"),
            ("$1 two  words", "$1 two  words"),
            ("$= see $= ($)", "$= see $= ($)"),
            ("$maxrange4 /24", "$MAXRANGE4 256"),
            ("# comment", ""),
            ("; comment", ""),
        ],
    );
    check_problems(
        Format::Ip4Set,
        &[
            ("$SOA ns.example h.example 5 1 1 1 1", "invalid special: write `$SOA ttl"),
            ("$SOA 1 ns.example h.example 5 1 1 1 1 1", "invalid special"),
            ("$SOA 1 ns.example h.example 5s 1 1 1 1", "invalid special"),
            ("$SOA 1 ns.example h.example 4294967296 1 1 1 1", "invalid special"),
            ("$NS ns.example", "invalid special"),
            ("$NS 1d", "invalid special"),
            ("$NAMESERVERS 1d ns.example", "unknown special `$NAMESERVERS`"),
            ("$TTL 1h30m", "invalid special"),
            ("$TTL -1", "invalid special"),
            ("$TTL 5 x", "invalid special"),
            ("$TTL 71582789m", "invalid special"),
            ("$TTL:5", "unknown special"),
            ("$TIMESTAMP 2020", "invalid special"),
            ("$2", "invalid special: write `$0 text"),
            ("$7six", "unknown special"),
            ("$ 6 six", "unknown special"),
            ("$=x", "unknown special"),
            ("$=", "invalid special"),
            ("$MAXRANGE4 /0", "invalid special"),
            ("$MAXRANGE4 0", "invalid special"),
            ("$MAXRANGE4 /33", "invalid special"),
            ("#$foo", "unknown special `$foo`"),
            ("$ENT true", "unknown special `$ENT`"),
            ("$DATASET ip4set @", "$DATASET has no place"),
        ],
    );
    check_problems(Format::Acl, &[("$SOA 1d a b 1 1 1 1 1", "$SOA has no place")]);
    let many = (0..33).fold("$NS 1d".to_owned(), |line, index| format!("{line} ns{index}.example"));
    assert_eq!(notes(Format::Dnset, many)[0], "? more than 32 name servers: the rest is ignored");
}

#[test]
fn ranges_above_the_limit_are_left_out() {
    let list = "192.0.0.0/16\n$MAXRANGE4 /24\n192.0.0.0/16\n!192.0.0.0/16\n$MAXRANGE4 65536\n$MAXRANGE4 2\n192.0.2.4-6";
    assert_eq!(
        notes(Format::Ip4Set, list),
        [
            "192.0.0.0-192.0.255.255",
            "$MAXRANGE4 256",
            "? range of 65536 addresses ignored: $MAXRANGE4 allows 256",
            "? range of 65536 addresses ignored: $MAXRANGE4 allows 256",
            "? $MAXRANGE4 cannot be raised from 256 to 65536",
            "$MAXRANGE4 2",
            "? range of 3 addresses ignored: $MAXRANGE4 allows 2",
        ]
    );
    let reading = Reading { max_range4: Some(1), ..Reading::default() };
    assert!(notes_with(Format::Ip4Trie, &reading, "192.0.2.4/31")[0].starts_with("? range of 2"));
}

#[test]
fn a_combined_file_is_read_by_sections() {
    let list = "$1 one\n$TTL 77\n$DATASET ip4set:name s.S @ @\n192.0.2.4\n:6:six\n192.0.2.5\n\
        #$DATASET dnset @\nlist.example\n$DATASET generic a..b\nx A 192.0.2.4\n$DATASET ip6tset @\n:7\n";
    assert_eq!(
        notes(Format::Combined, list),
        [
            "$1 one",
            "$TTL 77",
            "$DATASET Ip4Set:name s.s .",
            "192.0.2.4",
            "192.0.2.5 127.0.0.6 \"six\"",
            "$DATASET Dnset .",
            "list.example",
            "$DATASET Generic a.b",
            "x - 1 \\xc0\\x00\\x02\\x04",
            "$DATASET Ip6Tset .",
            "shared 127.0.0.7",
        ]
    );
    let unasked = notes(Format::Combined, "$DATASET ip4set\n192.0.2.4");
    assert!(unasked[0].starts_with("? no subzone given"));
    assert_eq!(unasked[1..], ["$DATASET Ip4Set", "192.0.2.4"]);
    let limit = notes(Format::Combined, "$DATASET ip4set @\n$MAXRANGE4 1\n$DATASET ip4set a\n192.0.2.0/24");
    assert!(limit[3].starts_with("? range of 256"), "the limit outlives its section");
}

#[test]
fn a_combined_file_that_cannot_be_told_apart_fails_the_load() {
    for (list, message) in [
        ("192.0.2.4\n$DATASET ip4set @", "! -:1: line before the first $DATASET"),
        ("\n:5:common\n$DATASET ip4set @", "! -:2: line before the first $DATASET"),
        ("$DATASET foo @", "! -:1: unknown dataset type `foo`"),
        ("$DATASET IP4SET @", "! -:1: unknown dataset type `IP4SET`"),
        ("$DATASET combined @", "! -:1: a dataset of type `combined` cannot stand inside"),
        ("$DATASET acl @", "! -:1: a dataset of type `acl` cannot stand inside"),
    ] {
        assert!(notes(Format::Combined, list).last().unwrap().starts_with(message), "{list}");
    }
}
