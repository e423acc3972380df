//! Queries as bytes, and replies as far as they are compared.

use std::collections::BTreeSet;
use std::fmt;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};

/// What is compared of a reply: sections are sets, as their order means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) rcode: u16,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    pub(super) answers: BTreeSet<Rr>,
    pub(super) authority: BTreeSet<Rr>,
}

/// Owner, type, TTL, data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rr {
    pub(super) owner: String,
    pub(super) rtype: u16,
    pub(super) ttl: u32,
    pub(super) data: String,
}

impl Reply {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let message = Message::from_vec(bytes).unwrap_or_else(|why| panic!("{why}: {bytes:02x?}"));
        Self {
            rcode: u16::from(message.metadata.response_code),
            authoritative: message.metadata.authoritative,
            truncated: message.metadata.truncation,
            answers: message.answers.iter().map(Rr::of).collect(),
            authority: message.authorities.iter().map(Rr::of).collect(),
        }
    }
}

impl Rr {
    fn of(record: &Record) -> Self {
        let data = match record.record_type() {
            // bytes that are no text must not look alike
            RecordType::TXT => match &record.data {
                RData::TXT(txt) => txt.txt_data.iter().map(|string| string.escape_ascii().to_string()).collect(),
                other => other.to_string(),
            },
            // names in data are compared without case: one server writes them with pointers into the question
            _ => record.data.to_string().to_lowercase(),
        };
        let owner = record.name.to_string().to_lowercase();
        Self { owner, rtype: record.record_type().into(), ttl: record.ttl, data }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rcode {} aa {}", self.rcode, self.authoritative)?;
        for (section, records) in [("answer", &self.answers), ("authority", &self.authority)] {
            for Rr { owner, rtype, ttl, data } in records {
                write!(f, "\n    {section}: {owner} {ttl} type {rtype} {data}")?;
            }
        }
        Ok(())
    }
}

/// A query without recursion, with room for replies of 2048 bytes.
pub(super) fn query(id: u16, name: &str, qtype: u16, class: u16) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    bytes[5] = 1;
    bytes[11] = 1;
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&qtype.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 41, 8, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}
