//! Writes a reply: header, question as received, records, OPT.
//!
//! Invariant: at most the limit is written. A record of the answer that does not fit empties the sections and sets TC,
//! so that the client asks again over TCP (RFC 2181, section 9); what is only helpful is left out without it.

use super::read::{Edns, FLAG_AA, FLAG_QR, FLAG_RD, FLAG_TC, HEADER_LENGTH, Header, OPTION_COOKIE, TYPE_OPT};
use super::{Owner, Record, Section, Sections};
use crate::cookie::Given;
use crate::dnsxl::Labels;

/// A reply while it is written.
pub(super) struct Writer<'o, 'q> {
    out: &'o mut [u8],
    at: usize,
    /// Where records must end, so that the OPT record still fits.
    limit: usize,
    question_end: usize,
    qname: Option<Labels<'q>>,
    counts: [u16; 3],
    truncated: bool,
    opt: Option<Opt<'q>>,
}

/// What an OPT record of a reply is made from.
#[derive(Clone, Copy)]
pub(super) struct Opt<'q> {
    /// That of the query.
    pub(super) edns: &'q Edns,
    /// The cookie that is given, if one is.
    pub(super) cookie: Option<Given>,
}

impl Opt<'_> {
    fn length(&self) -> usize {
        if self.cookie.is_some() { OPT_LENGTH + OPTION_HEAD + size_of::<Given>() } else { OPT_LENGTH }
    }
}

impl<'o, 'q> Writer<'o, 'q> {
    /// Begins a reply in `out`, which has the message up to the end of its question; without one, that of its header.
    ///
    /// `limit` bytes are written at most.
    pub(super) fn begin(
        out: &'o mut [u8],
        question_end: usize,
        qname: Option<Labels<'q>>,
        limit: usize,
        opt: Option<Opt<'q>>,
    ) -> Self {
        let limit = limit.min(out.len()) - opt.as_ref().map_or(0, Opt::length);
        Self { out, at: question_end, limit, question_end, qname, counts: [0; 3], truncated: false, opt }
    }

    /// Ends the reply; how many bytes it has, and how many records are in the answer section.
    pub(super) fn finish(mut self, header: Header, rcode: u16, authoritative: bool) -> (usize, u16) {
        let mut flags = FLAG_QR | header.opcode_bits() | header.flags & FLAG_RD | rcode & 0xf;
        if authoritative {
            flags |= FLAG_AA;
        }
        if self.truncated {
            flags |= FLAG_TC;
        }
        let answers = self.counts[0];
        let mut additionals = self.counts[2];
        if let Some(opt) = self.opt {
            additionals += 1;
            // where records had to end there is room for it
            self.limit += opt.length();
            self.push_opt(&opt, rcode);
        }
        let questions = u16::from(self.question_end > HEADER_LENGTH);
        let words = [header.id, flags, questions, answers, self.counts[1], additionals];
        for (to, word) in self.out.chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        (self.at, answers)
    }

    /// Has the reply say that it is cut off, whatever there is to be given.
    pub(super) fn truncate(&mut self) {
        self.truncated = true;
    }

    fn push_opt(&mut self, opt: &Opt<'_>, rcode: u16) -> Option<()> {
        let dnssec_ok = if opt.edns.dnssec_ok { 0x80 } else { 0 };
        let [t1, t2] = TYPE_OPT.to_be_bytes();
        let [s1, s2] = (super::MAX_UDP_REPLY as u16).to_be_bytes();
        let [l1, l2] = ((opt.length() - OPT_LENGTH) as u16).to_be_bytes();
        self.push(&[0, t1, t2, s1, s2, (rcode >> 4) as u8, 0, dnssec_ok, 0, l1, l2])?;
        if let Some(cookie) = &opt.cookie {
            let [c1, c2] = OPTION_COOKIE.to_be_bytes();
            self.push(&[c1, c2, 0, cookie.len() as u8])?;
            self.push(cookie)?;
        }
        Some(())
    }

    /// Appends bytes, or says that they do not fit.
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        if end > self.limit {
            return None;
        }
        self.out[self.at..end].copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn push_owner(&mut self, owner: Owner<'_>) -> Option<()> {
        let offset = match owner {
            Owner::Qname => HEADER_LENGTH,
            Owner::Ancestor(labels) => {
                // the QNAME as received has the same lengths as in lower case, so the same places
                let qname = self.qname?;
                HEADER_LENGTH + qname.wire().len() - qname.suffix(labels).len()
            }
            Owner::Other(wire) => {
                self.push(wire)?;
                return self.push(&[0]);
            }
        };
        // an offset is below 12 + 255, well within the 14 bits of a pointer
        self.push(&(0xc000 | offset as u16).to_be_bytes())
    }

    fn push_record(&mut self, record: Record<'_>) -> Option<()> {
        self.push_owner(record.owner)?;
        let [t1, t2] = record.rtype.to_be_bytes();
        let [c1, c2] = record.class.to_be_bytes();
        let [s1, s2, s3, s4] = record.ttl.to_be_bytes();
        let [l1, l2] = u16::try_from(record.rdata.len()).ok()?.to_be_bytes();
        self.push(&[t1, t2, c1, c2, s1, s2, s3, s4, l1, l2])?;
        self.push(record.rdata)
    }
}

impl Sections for Writer<'_, '_> {
    fn record(&mut self, section: Section, record: Record<'_>) {
        if self.truncated {
            return;
        }
        let before = self.at;
        if self.push_record(record).is_some() {
            self.counts[section as usize] += 1;
            return;
        }
        self.at = before;
        // the glue of a referral is required too (RFC 9471, section 3)
        if section == Section::Answer || self.counts[0] == 0 {
            self.at = self.question_end;
            self.counts = [0; 3];
            self.truncated = true;
        }
    }
}

/// Root, type, class, TTL, length; without options.
const OPT_LENGTH: usize = 11;
/// Code and length of an option.
const OPTION_HEAD: usize = 4;
