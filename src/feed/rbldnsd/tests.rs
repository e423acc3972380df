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
        "1::2::3",
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
fn generic_records_become_wire_form() {
    check(
        Format::Generic,
        &[
            ("a A 192.0.2.4", "a - 1 \\xc0\\x00\\x02\\x04"),
            ("A.B  5m  in  a  192.0.2.4 x", "a.b 300 1 \\xc0\\x00\\x02\\x04"),
            ("a IN A 192.0.2.4# c", "a - 1 \\xc0\\x00\\x02\\x04"),
            ("@ 010 A 127.2", ". 10 1 \\x7f\\x00\\x00\\x02"),
            ("a 0 A 1", "a - 1 \\x00\\x00\\x00\\x01"),
            ("*.a A 0.0.0.0", "*.a - 1 \\x00\\x00\\x00\\x00"),
            ("a MX 10 MX.example.", "a - 15 \\x00\\n\\x02MX\\x07example\\x00"),
            ("a MX 10 .", "a - 15 \\x00\\n\\x00"),
            ("a TXT te xt", "a - 16 \\x05te xt"),
            ("a TXT \"te xt\"", "a - 16 \\x05te xt"),
            ("a TXT \"esc\\\"aped\"", "a - 16 \\tesc\\\\\\\"aped"),
            ("a TXT x \"q\" y", "a - 16 \\x07x \\\"q\\\" y"),
            ("a TXT \"q\" # c", "a - 16 \\x07\\\"q\\\" # c"),
            ("a TXT \"unclosed", "a - 16 \\t\\\"unclosed"),
            ("a TXT \"", "a - 16 \\x01\\\""),
            ("a TXT \"\"", "a - 16 \\x00"),
            ("a TXT $ ; c", "a - 16 \\x05$ ; c"),
            ("a TXT \"a\" \"b\\\"\\098\"", "a - 16 \\x01a\\x03b\\\"b"),
            ("a TXT \"a\"\"b\"", "a - 16 \\x04a\\\"\\\"b"),
            ("a AAAA 2001:db8::1", &format!("a - 28  \\x01\\r\\xb8{}\\x01", "\\x00".repeat(11))),
            ("a CNAME b.example", "a - 5 \\x01b\\x07example\\x00"),
            ("a NS b.example.", "a - 2 \\x01b\\x07example\\x00"),
            ("_s._tcp SRV 1 2 443 b", "_s._tcp - 33 \\x00\\x01\\x00\\x02\\x01\\xbb\\x01b\\x00"),
            ("@ CAA 128 issue \"ca.example; x\"", ". - 257 \\x80\\x05issueca.example; x"),
            ("@ CAA 0 iodef ca.example", ". - 257 \\x00\\x05iodefca.example"),
        ],
    );
    check_problems(
        Format::Generic,
        &[
            ("a", "incomplete record"),
            ("a IN", "incomplete record"),
            ("a 5m", "incomplete record"),
            ("a 5x A 192.0.2.4", "incomplete record"),
            ("a 4294967296 A 192.0.2.4", "incomplete record"),
            ("@A 192.0.2.4", "incomplete record"),
            ("a IN IN A 192.0.2.4", "record type `IN`"),
            ("a IN 5m A 192.0.2.4", "record type `5m`"),
            ("a CH A 192.0.2.4", "record type `CH`"),
            ("a SOA x", "record type `SOA`"),
            (":1:x y", "record type `y`"),
            ("a A 256", "invalid record data: write `A address`"),
            ("a A x", "invalid record data"),
            ("a TXT", "invalid record data"),
            ("a MX mx.example", "invalid record data"),
            ("a MX 65536 mx.example", "invalid record data"),
            ("a MX 10 mx.example x", "invalid record data"),
            ("a AAAA 192.0.2.4", "invalid record data"),
            ("a SRV 1 2 b", "invalid record data"),
            ("a CAA 0 issue", "invalid record data"),
            ("a CAA 256 issue x", "invalid record data"),
            (". A 192.0.2.4", "empty name"),
        ],
    );
    let long = format!("a TXT \"{}\"", "x".repeat(256));
    assert_eq!(notes(Format::Generic, long)[0], "? text over 255 bytes: the rest of it is cut off");
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

#[test]
fn an_access_list_gives_clients_actions() {
    check(
        Format::Acl,
        &[
            ("192.0.2.4", "192.0.2.4/32 ignore"),
            ("192.0.2.4 # comment", "192.0.2.4/32 ignore"),
            ("192.0.2.4 :Pass ", "192.0.2.4/32 pass"),
            ("192.0.2.4:refuse", "192.0.2.4/32 refuse"),
            ("192.0.2.4 =empty", "192.0.2.4/32 empty"),
            ("192.0.2.4 :blackhole # comment", "192.0.2.4/32 ignore"),
            ("192.0.2.4 :refuse:text", "192.0.2.4/32 refuse"),
            ("10/8 :pass", "10.0.0.0/8 pass"),
            ("0/0 :refuse", "0.0.0.0/0 refuse"),
            ("192.0.2 :refuse", "192.0.2.0/24 refuse"),
            ("::1 :refuse", "::1/128 refuse"),
            ("::/0 :refuse", "::/0 refuse"),
            ("0::1 :pass", "::1/128 pass"),
            ("2001:db8 :pass", "2001:db8::/32 pass"),
            ("192.0.2.4 :3:text $", "192.0.2.4/32 127.0.0.3 \"text $\""),
            ("192.0.2.4 refuse", "192.0.2.4/32 \"refuse\""),
            ("192.0.2.4 :5", "192.0.2.4/32 127.0.0.5"),
            (":refuse\n192.0.2.4", "192.0.2.4/32 refuse"),
            ("=refuse\n192.0.2.4\n::1 :pass", "192.0.2.4/32 refuse; ::1/128 pass"),
            (
                ":5:five\n192.0.2.4\n192.0.2.5 :6\n192.0.2.6 text",
                "192.0.2.4/32 127.0.0.5 \"five\"; \
                192.0.2.5/32 127.0.0.6 \"five\"; 192.0.2.6/32 127.0.0.5 \"text\"",
            ),
            // these two lines end rbldnsd itself
            (":refuse\n192.0.2.4 some text", "192.0.2.4/32 \"some text\""),
            (":refuse\n192.0.2.4 :5", "192.0.2.4/32 127.0.0.5"),
        ],
    );
    check_problems(
        Format::Acl,
        &[
            ("192.0.2.4 :refused", "invalid action `refused`"),
            ("192.0.2.4 = empty", "invalid action ``"),
            ("192.0.2.4 : empty", "invalid A value"),
            ("192.0.2.4 =text", "invalid action `text`"),
            ("192.0.2.4 =5:text", "invalid action"),
            ("192.0.2.4 :", "invalid A value"),
            ("192.0.2.4=refuse", "invalid address"),
            ("192.0.2.4-5 :refuse", "invalid address"),
            ("192.0.2.4/8 :refuse", "host bits set"),
            ("!192.0.2.4", "invalid address"),
            ("127 :refuse", "invalid address"),
            ("list.example :pass", "invalid address"),
            (":bogus", "invalid action"),
            (":", "invalid A value"),
            ("=5:text", "invalid action"),
        ],
    );
}
