//! Queries as bytes, and replies read back: all of it apart from the program's own code, so that an error in that
//! cannot hide itself.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A query with one question.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// Wire form with the root byte.
    pub(crate) name: Vec<u8>,
    pub(crate) qtype: u16,
    pub(crate) qclass: u16,
    pub(crate) edns: Option<Opt>,
}

/// An OPT record (RFC 6891, section 6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opt {
    pub(crate) size: u16,
    pub(crate) extended_rcode: u8,
    pub(crate) version: u8,
    pub(crate) flags: u16,
    pub(crate) options: Vec<u8>,
}

impl Query {
    /// A plain query in class IN.
    pub(crate) fn new(name: &str, qtype: u16) -> Self {
        Self { id: 0x1234, flags: 0, name: wire_name(name), qtype, qclass: CLASS_IN, edns: None }
    }

    /// The question alone, as it stands in the message.
    pub(crate) fn question(&self) -> Vec<u8> {
        [&self.name[..], &self.qtype.to_be_bytes(), &self.qclass.to_be_bytes()].concat()
    }

    /// The message.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = [self.id, self.flags, 1, 0, 0, u16::from(self.edns.is_some())];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(&self.question());
        if let Some(opt) = &self.edns {
            bytes.extend_from_slice(&opt.bytes());
        }
        bytes
    }
}

impl Opt {
    /// EDNS version 0 with nothing but a size.
    pub(crate) fn of_size(size: u16) -> Self {
        Self { size, ..Self::default() }
    }

    /// The record.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let [s1, s2] = self.size.to_be_bytes();
        let [f1, f2] = self.flags.to_be_bytes();
        let [l1, l2] = (self.options.len() as u16).to_be_bytes();
        let mut bytes = vec![0, 0, 41, s1, s2, self.extended_rcode, self.version, f1, f2, l1, l2];
        bytes.extend_from_slice(&self.options);
        bytes
    }
}

/// A message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// The question section as it stands in the message, name uncompressed.
    pub(crate) question: Vec<u8>,
    /// Answer, authority, additional; without the OPT record.
    pub(crate) sections: [Vec<Record>; 3],
    pub(crate) opt: Option<Opt>,
}

/// A record with its data as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) ttl: u32,
    pub(crate) class: u16,
    pub(crate) rtype: u16,
    pub(crate) data: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.owner, self.ttl, type_text(self.rtype), self.data)
    }
}

impl Message {
    /// Reads a message to its last byte.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { bytes, at: 0 };
        let [id, flags, questions, answers, authorities, additionals] = reader.words()?;
        let begin = reader.at;
        for _ in 0..questions {
            reader.name()?;
            reader.words::<2>()?;
        }
        let question = bytes[begin..reader.at].to_vec();
        let mut message = Self { id, flags, question, sections: Default::default(), opt: None };
        for (section, count) in [answers, authorities, additionals].into_iter().enumerate() {
            for _ in 0..count {
                reader.record(section, &mut message)?;
            }
        }
        if reader.at != bytes.len() {
            return Err(format!("{} bytes after the last record", bytes.len() - reader.at));
        }
        Ok(message)
    }

    /// The RCODE with the bits of the OPT record.
    pub(crate) fn rcode(&self) -> u16 {
        self.flags & 0xf | self.opt.as_ref().map_or(0, |opt| u16::from(opt.extended_rcode) << 4)
    }

    /// Whether all of the flags are set.
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// The opcode.
    pub(crate) fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xf
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], String> {
        let taken = self.bytes.get(self.at..self.at + length).ok_or("the message ends in the middle")?;
        self.at += length;
        Ok(taken)
    }

    fn words<const N: usize>(&mut self) -> Result<[u16; N], String> {
        let bytes = self.take(2 * N)?;
        Ok(std::array::from_fn(|index| u16::from_be_bytes([bytes[2 * index], bytes[2 * index + 1]])))
    }

    fn name(&mut self) -> Result<String, String> {
        let (mut text, mut at, mut after) = (String::new(), self.at, None);
        loop {
            let length = usize::from(*self.bytes.get(at).ok_or("a name runs past the end")?);
            match length {
                0 => break,
                1..=63 => {
                    let label = self.bytes.get(at + 1..at + 1 + length).ok_or("a label runs past the end")?;
                    push_label(&mut text, label);
                    at += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*self.bytes.get(at + 1).ok_or("half a pointer")?);
                    after.get_or_insert(at + 2);
                    let to = (length & 0x3f) << 8 | low;
                    if to >= at {
                        return Err("a pointer that does not point back".into());
                    }
                    at = to;
                }
                _ => return Err(format!("label length {length}")),
            }
        }
        self.at = after.unwrap_or(at + 1);
        Ok(if text.is_empty() { ".".into() } else { text })
    }

    fn record(&mut self, section: usize, message: &mut Message) -> Result<(), String> {
        let owner = self.name()?;
        let [rtype, class, ttl_high, ttl_low, length] = self.words()?;
        let end = self.at + usize::from(length);
        if rtype == TYPE_OPT {
            let [extended_rcode, version] = ttl_high.to_be_bytes();
            let options = self.take(length.into())?.to_vec();
            if section != 2 || owner != "." || message.opt.is_some() {
                return Err("an OPT record where none may be".into());
            }
            message.opt = Some(Opt { size: class, extended_rcode, version, flags: ttl_low, options });
            return Ok(());
        }
        let data = self.data(rtype, length.into())?;
        if self.at != end {
            return Err(format!("the data of a {} record has another length", type_text(rtype)));
        }
        let ttl = u32::from(ttl_high) << 16 | u32::from(ttl_low);
        message.sections[section].push(Record { owner, ttl, class, rtype, data });
        Ok(())
    }

    fn data(&mut self, rtype: u16, length: usize) -> Result<String, String> {
        let end = self.at + length;
        Ok(match rtype {
            TYPE_A => Ipv4Addr::from(<[u8; 4]>::try_from(self.take(length)?).map_err(|_| "A length")?).to_string(),
            TYPE_AAAA => {
                Ipv6Addr::from(<[u8; 16]>::try_from(self.take(length)?).map_err(|_| "AAAA length")?).to_string()
            }
            TYPE_NS | TYPE_CNAME => self.name()?,
            TYPE_MX => {
                let [preference] = self.words()?;
                format!("{preference} {}", self.name()?)
            }
            TYPE_SOA => {
                let (origin, person) = (self.name()?, self.name()?);
                let numbers: [u16; 10] = self.words()?;
                let numbers = numbers.chunks(2).map(|word| (u32::from(word[0]) << 16 | u32::from(word[1])).to_string());
                format!("{origin} {person} {}", numbers.collect::<Vec<_>>().join(" "))
            }
            TYPE_TXT => {
                let mut strings = Vec::new();
                while self.at < end {
                    let length = self.take(1)?[0];
                    strings.push(format!("\"{}\"", String::from_utf8_lossy(self.take(length.into())?)));
                }
                strings.join(" ")
            }
            _ => format!("{:02x?}", self.take(length)?),
        })
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    if !text.is_empty() {
        text.push('.');
    }
    for &byte in label {
        match byte {
            b'.' | b'\\' => text.extend(['\\', byte as char]),
            b'!'..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
}

/// A name's wire form with the root byte; labels stand between dots, `\DDD` is a byte.
pub(crate) fn wire_name(text: &str) -> Vec<u8> {
    let (mut wire, mut label) = (Vec::new(), Vec::new());
    let mut chars = text.strip_suffix('.').unwrap_or(text).bytes();
    let mut close = |label: &mut Vec<u8>| {
        if !label.is_empty() {
            wire.push(label.len() as u8);
            wire.append(label);
        }
    };
    while let Some(byte) = chars.next() {
        match byte {
            b'.' => close(&mut label),
            b'\\' => {
                let digits = [chars.next(), chars.next(), chars.next()].map(|digit| u32::from(digit.unwrap() - b'0'));
                label.push((digits[0] * 100 + digits[1] * 10 + digits[2]) as u8);
            }
            byte => label.push(byte),
        }
    }
    close(&mut label);
    wire.push(0);
    wire
}

/// The number of a type: its name or `TYPEn` (RFC 3597).
pub(crate) fn type_number(text: &str) -> Option<u16> {
    let known = TYPES.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
    known.or_else(|| text.strip_prefix("TYPE")?.parse().ok())
}

pub(crate) fn type_text(number: u16) -> String {
    let known = TYPES.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| format!("TYPE{number}"), |(name, _)| (*name).to_owned())
}

const TYPES: [(&str, u16); 15] = [
    ("A", TYPE_A),
    ("NS", TYPE_NS),
    ("CNAME", TYPE_CNAME),
    ("SOA", TYPE_SOA),
    ("PTR", 12),
    ("MX", TYPE_MX),
    ("TXT", TYPE_TXT),
    ("AAAA", TYPE_AAAA),
    ("SRV", 33),
    ("DS", 43),
    ("DNSKEY", 48),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("CAA", 257),
];
pub(crate) const QR: u16 = 0x8000;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const Z: u16 = 0x0040;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;
/// The flag of an OPT record that asks for DNSSEC records.
pub(crate) const DO: u16 = 0x8000;
pub(crate) const CLASS_IN: u16 = 1;
pub(crate) const TYPE_A: u16 = 1;
pub(crate) const TYPE_NS: u16 = 2;
pub(crate) const TYPE_CNAME: u16 = 5;
pub(crate) const TYPE_SOA: u16 = 6;
pub(crate) const TYPE_MX: u16 = 15;
pub(crate) const TYPE_TXT: u16 = 16;
pub(crate) const TYPE_AAAA: u16 = 28;
pub(crate) const TYPE_OPT: u16 = 41;
