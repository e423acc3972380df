//! List files.

use infamy::answer::Transport;
use infamy::dnsxl::Name;
use infamy::dnsxl::subject::{mask4, mask6};
use infamy::feed::{self, ClientBlock, Compression, Entry, Format, LineError, Reading, Scope, Sink, Special};

use crate::packets::ask;
use crate::world::{self, KEY};

/// Parses any bytes as a list; the first two say of which format, and how.
pub fn feed(bytes: &[u8]) {
    let &[format, first, ref list @ ..] = bytes else { return };
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let reading = Reading {
        host_bits: first & 1 != 0,
        compression: if first & 2 != 0 { Compression::Detect } else { Compression::Off },
        scope: match first >> 2 & 3 {
            0 => None,
            1 => Some(Scope::Exact),
            2 => Some(Scope::Below),
            _ => Some(Scope::Both),
        },
        key: (first & 16 != 0 || format == Format::Hashes).then_some(KEY),
        online_only: first & 32 != 0,
        copy: false,
        max_range4: (first & 64 != 0).then_some(256),
        ..Reading::default()
    };
    let mut laws = Laws { lines: list.split(|&byte| byte == b'\n').count() as u64, ..Laws::default() };
    laws.counted = reading.compression == Compression::Off;
    laws.key_bytes = reading.key.map(|key| key.cut(&[0; 32]).as_bytes().len());
    let _ = feed::parse_bytes(list, format, &reading, &mut laws);
}

/// What holds for every statement.
#[derive(Default)]
struct Laws {
    lines: u64,
    /// Whether the bytes are the lines, and not something compressed.
    counted: bool,
    last: u64,
    key_bytes: Option<usize>,
}

impl Laws {
    fn line(&mut self, line: u64) {
        assert!(line >= self.last.max(1), "line {line} after line {}", self.last);
        assert!(!self.counted || line <= self.lines, "line {line} of {}", self.lines);
        self.last = line;
    }
}

impl Sink for Laws {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        self.line(line);
        match entry {
            Entry::Ip4 { first, last, .. } => assert!(first <= last),
            Entry::Ip6 { bits, length, .. } => assert!(length <= 128 && bits & !mask6(length) == 0),
            Entry::Name { wire, .. } => {
                assert!(!wire.is_empty());
                is_lowercase_name(wire);
            }
            Entry::Hash { key, .. } => assert_eq!(Some(key.len()), self.key_bytes),
            Entry::Record { owner, rdata, .. } => {
                is_lowercase_name(owner);
                assert!(rdata.len() <= usize::from(u16::MAX));
            }
            Entry::Client { block: ClientBlock::Ip4 { bits, length }, .. } => {
                assert!(length <= 32 && bits & !mask4(length) == 0);
            }
            Entry::Client { block: ClientBlock::Ip6 { bits, length }, .. } => {
                assert!(length <= 128 && bits & !mask6(length) == 0);
            }
        }
    }

    fn special(&mut self, line: u64, special: Special<'_>) {
        self.line(line);
        match special {
            Special::Dataset { under, .. } => assert!(!under.is_empty()),
            Special::Variable { digit, .. } => assert!(digit <= 9),
            _ => {}
        }
    }

    fn problem(&mut self, line: u64, problem: LineError) {
        self.line(line);
        let text = problem.to_string();
        assert!(!text.is_empty() && !text.contains(|char: char| char.is_control()), "{text:?}");
    }
}

fn is_lowercase_name(wire: &[u8]) {
    assert!(Name::from_wire(wire).is_ok(), "{wire:?}");
    assert!(!wire.iter().any(u8::is_ascii_uppercase), "{wire:?}");
}

/// Loads any bytes as a list, and asks for the bytes at its end; the first one names the format.
pub fn load(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let (list, query) = rest.split_at(rest.len().saturating_sub(QUERY));
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), list).expect("a list file");
    let Some(snapshot) = world::snapshot_of(FORMATS[usize::from(first) % FORMATS.len()], file.path()) else { return };
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    // labels of one byte, so that short input is an address
    message.extend(query.iter().flat_map(|&byte| [1, byte]));
    message.extend_from_slice(b"\x01b\0\0\x10\0\x01");
    ask(&snapshot, &message, Transport::Stream);
    for name in [&b"\x01b\0"[..], b"\x04test\x01b\0", b"\x012\x010\x010\x03127\x01b\0"] {
        for qtype in [1, 2, 6, 16, 255] {
            let message = [&message[..12], name, &[0, qtype, 0, 1]].concat();
            ask(&snapshot, &message, Transport::Udp);
        }
    }
}

/// Bytes at the end that are the query.
const QUERY: usize = 4;

const FORMATS: [Format; 15] = [
    Format::Ip4Set,
    Format::Ip4Tset,
    Format::Ip4Trie,
    Format::Ip6Tset,
    Format::Ip6Trie,
    Format::Dnset,
    Format::Generic,
    Format::Combined,
    Format::Acl,
    Format::Plain,
    Format::Hosts,
    Format::Drop,
    Format::Urlhaus,
    Format::Urls,
    Format::Hashes,
];
