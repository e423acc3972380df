//! The format of the question and answer scripts, and nothing of what they are run against.
//!
//! A script is lines; `#` begins a comment line. A `scenario` begins with nothing served and nothing left of the one
//! before:
//!
//! ```text
//! scenario RFC 5782 2.1: what the scenario shows
//! never                                   the built-in never-list holds
//! version TEXT                            what version.bind gets
//! access DATASET                          the access list for all zones
//! config FILE                             the datasets and zones of a configuration, and no others
//! dataset NAME FORMAT [key=md5|sha1|sha256:hex|base32:CHARACTERS]
//! | one line of the dataset's file
//! problem TEXT                            loading says something that has this text in it; nothing else may be said
//! zone APEX [ttl=N] [choice=one|or] [as-written] [ns-in-authority] [acl=DATASET]
//!      [keys=DATASET] [refuse=nxdomain|drop|code] [own=ADDRESS] DATASET[@UNDER] ...
//! QUERY NAME TYPE [OPTION ...]
//! ANSWER RCODE [aa] [tc]                  all flags, then all records:
//! answer OWNER TTL TYPE DATA              a TTL of * is any, and so is the rest of DATA behind one;
//!                                         so too `authority` and `additional`
//! count SECTION N                         in the place of records: how many
//! ```
//!
//! A query's options: `udp`, `tcp` (alone; else both), `ch` or `class=N`, `rd`, `id=N`, `edns=SIZE`, `do`,
//! `version=N`, `option=HEX`, `client=ADDRESS`, `now=SECONDS`. Records are compared without regard to order, but with
//! regard to case. In the place of `ANSWER` and its records stands, in short, behind the QUERY's own `->`:
//!
//! ```text
//! LISTED ADDRESS ...      authoritative, just these A records at the QNAME
//! TEXT "TEXT" ...         the same with TXT
//! NODATA                  NOERROR, authoritative, and nothing but the SOA of the zone's apex in the authority section
//! UNLISTED                the same with NXDOMAIN
//! REFUSED, SERVFAIL, ...  that RCODE and no record
//! DROP                    no reply
//! ```

use std::net::IpAddr;

use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::Format;

use crate::wire::{self, Query};

/// One scenario of a script.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    /// The script's line and the text after the keyword.
    pub(crate) line: usize,
    pub(crate) title: String,
    pub(crate) never: bool,
    pub(crate) version: Option<String>,
    pub(crate) access: Option<String>,
    /// A configuration, relative to the package.
    pub(crate) config: Option<String>,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) problems: Vec<String>,
    pub(crate) zones: Vec<Zone>,
    pub(crate) questions: Vec<Question>,
}

#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) key: Option<KeyShape>,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) apex: String,
    /// The words behind the apex that are settings: a key and perhaps a value.
    pub(crate) settings: Vec<(String, String)>,
    /// Names of datasets, and what they stand under.
    pub(crate) datasets: Vec<(String, String)>,
}

/// A query and what it should get.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) query: Query,
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) client: Option<IpAddr>,
    pub(crate) now: Option<i64>,
    pub(crate) expected: Expected,
}

#[derive(Debug)]
pub(crate) enum Expected {
    /// No reply.
    Drop,
    Reply {
        rcode: u16,
        aa: bool,
        tc: bool,
        records: Records,
    },
}

#[derive(Debug)]
pub(crate) enum Records {
    /// These and no others.
    Listed(Vec<(usize, String)>),
    /// So many in the three sections.
    Counted([usize; 3]),
    /// Only the SOA of the apex.
    Negative,
}

/// Reads a script.
pub(crate) fn parse(script: &str) -> Result<Vec<Scenario>, String> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (index, line) in script.lines().enumerate() {
        let wrong = |why: String| format!("line {}: {why}: {line}", index + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        if keyword == "scenario" {
            let title = rest.to_owned();
            scenarios.push(Scenario { line: index + 1, title, ..Scenario::default() });
            continue;
        }
        let scenario = scenarios.last_mut().ok_or_else(|| wrong("no scenario begun".into()))?;
        scenario.take(index + 1, keyword, rest).map_err(wrong)?;
    }
    for scenario in &scenarios {
        if scenario.questions.is_empty() {
            return Err(format!("line {}: a scenario that asks nothing", scenario.line));
        }
    }
    Ok(scenarios)
}

impl Scenario {
    fn take(&mut self, line: usize, keyword: &str, rest: &str) -> Result<(), String> {
        match keyword {
            "never" => self.never = true,
            "version" => self.version = Some(rest.to_owned()),
            "access" => self.access = Some(rest.to_owned()),
            "problem" => self.problems.push(rest.to_owned()),
            "config" => self.config = Some(rest.to_owned()),
            "dataset" => self.datasets.push(dataset(rest)?),
            "|" => {
                let dataset = self.datasets.last_mut().ok_or("no dataset begun")?;
                dataset.text.push_str(rest);
                dataset.text.push('\n');
            }
            "zone" => self.zones.push(zone(rest)?),
            "QUERY" => self.questions.push(question(line, rest)?),
            "ANSWER" => self.question()?.expected = answer(rest)?,
            "answer" => self.expect(0, rest)?,
            "authority" => self.expect(1, rest)?,
            "additional" => self.expect(2, rest)?,
            "count" => self.count(rest)?,
            _ => return Err("an unknown word".into()),
        }
        Ok(())
    }

    fn question(&mut self) -> Result<&mut Question, String> {
        self.questions.last_mut().ok_or_else(|| "nothing asked yet".into())
    }

    fn records(&mut self) -> Result<&mut Records, String> {
        match &mut self.question()?.expected {
            Expected::Reply { records, .. } => Ok(records),
            Expected::Drop => Err("no reply is expected".into()),
        }
    }

    fn expect(&mut self, section: usize, record: &str) -> Result<(), String> {
        match self.records()? {
            Records::Listed(all) => all.push((section, record.to_owned())),
            _ => return Err("records are expected in another way already".into()),
        }
        Ok(())
    }

    fn count(&mut self, rest: &str) -> Result<(), String> {
        let (section, number) = rest.split_once(' ').ok_or("section and number")?;
        let sections = ["answer", "authority", "additional"];
        let section = sections.iter().position(|&name| name == section).ok_or("no such section")?;
        let number = number.parse().map_err(|_| "no number")?;
        let records = self.records()?;
        if matches!(records, Records::Listed(all) if all.is_empty()) {
            *records = Records::Counted([0; 3]);
        }
        match records {
            Records::Counted(counts) => counts[section] = number,
            _ => return Err("records are expected in another way already".into()),
        }
        Ok(())
    }
}

fn dataset(rest: &str) -> Result<Dataset, String> {
    let mut words = rest.split_whitespace();
    let name = words.next().ok_or("no name")?.to_owned();
    let format = format(words.next().ok_or("no format")?)?;
    let key = words.next().map(key_shape).transpose()?;
    Ok(Dataset { name, format, key, text: String::new() })
}

fn format(word: &str) -> Result<Format, String> {
    Ok(match word {
        "ip4set" => Format::Ip4Set,
        "ip4tset" => Format::Ip4Tset,
        "ip4trie" => Format::Ip4Trie,
        "ip6tset" => Format::Ip6Tset,
        "ip6trie" => Format::Ip6Trie,
        "dnset" => Format::Dnset,
        "generic" => Format::Generic,
        "combined" => Format::Combined,
        "acl" => Format::Acl,
        "plain" => Format::Plain,
        "hosts" => Format::Hosts,
        "hashes" => Format::Hashes,
        "keys" => Format::Keys,
        _ => return Err("no such format".into()),
    })
}

fn key_shape(word: &str) -> Result<KeyShape, String> {
    let parts: Vec<&str> = word.strip_prefix("key=").ok_or("only key= may follow")?.split(':').collect();
    let &[hash, alphabet, characters] = &parts[..] else { return Err("key=HASH:ALPHABET:CHARACTERS".into()) };
    let hash = match hash {
        "md5" => HashKind::Md5,
        "sha1" => HashKind::Sha1,
        "sha256" => HashKind::Sha256,
        _ => return Err("no such hash".into()),
    };
    let alphabet = match alphabet {
        "hex" => Alphabet::Hex,
        "base32" => Alphabet::Base32,
        _ => return Err("no such alphabet".into()),
    };
    let characters = characters.parse().map_err(|_| "no number")?;
    Ok(KeyShape { hash, alphabet, characters })
}

fn zone(rest: &str) -> Result<Zone, String> {
    let mut words = rest.split_whitespace();
    let mut zone = Zone { apex: words.next().ok_or("no apex")?.to_owned(), settings: Vec::new(), datasets: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => zone.settings.push((key.to_owned(), value.to_owned())),
            None if matches!(word, "as-written" | "ns-in-authority") => {
                zone.settings.push((word.to_owned(), String::new()));
            }
            None => {
                let (dataset, under) = word.split_once('@').unwrap_or((word, "."));
                zone.datasets.push((dataset.to_owned(), under.to_owned()));
            }
        }
    }
    Ok(zone)
}

fn question(line: usize, rest: &str) -> Result<Question, String> {
    let (asked, verdict) = rest.split_once(" -> ").unwrap_or((rest, ""));
    let mut words = asked.split_whitespace();
    let name = words.next().ok_or("no name")?;
    let qtype = words.next().and_then(wire::type_number).ok_or("no known type")?;
    let expected = verdict_on(verdict, name)?;
    let query = Query::new(name, qtype);
    let text = asked.to_owned();
    let mut question = Question { line, text, query, udp: true, tcp: true, client: None, now: None, expected };
    for word in words {
        question.option(word)?;
    }
    Ok(question)
}

impl Question {
    fn option(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u16>().map_err(|_| format!("{word}: no number"));
        let edns = &mut self.query.edns;
        match key {
            "udp" => self.tcp = false,
            "tcp" => self.udp = false,
            "ch" => self.query.qclass = 3,
            "class" => self.query.qclass = number()?,
            "rd" => self.query.flags |= wire::RD,
            "cd" => self.query.flags |= wire::CD,
            "ad" => self.query.flags |= wire::AD,
            "id" => self.query.id = number()?,
            "edns" => edns.get_or_insert_default().size = number()?,
            "do" => edns.get_or_insert_default().flags |= wire::DO,
            "version" => edns.get_or_insert_default().version = number()? as u8,
            "option" => edns.get_or_insert_default().options = hex(value)?,
            "client" => self.client = Some(value.parse().map_err(|_| "no address")?),
            "now" => self.now = Some(value.parse().map_err(|_| "no time")?),
            _ => return Err(format!("no such option: {word}")),
        }
        Ok(())
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2).unwrap_or("-"), 16).map_err(|_| "no hex".to_owned());
    (0..text.len()).step_by(2).map(pair).collect()
}

fn verdict_on(verdict: &str, name: &str) -> Result<Expected, String> {
    let (word, rest) = verdict.split_once(' ').unwrap_or((verdict, ""));
    let reply = |rcode, aa, records| Expected::Reply { rcode, aa, tc: false, records };
    let listed = |rtype: &str, data: Vec<&str>| {
        let records = data.iter().map(|data| (0, format!("{name} * {rtype} {data}")));
        reply(0, true, Records::Listed(records.collect()))
    };
    Ok(match word {
        // an ANSWER follows
        "" => reply(u16::MAX, false, Records::Listed(Vec::new())),
        "LISTED" if !rest.is_empty() => listed("A", rest.split_whitespace().collect()),
        "TEXT" if !rest.is_empty() => listed(
            "TXT",
            rest.split_inclusive('"')
                .collect::<Vec<_>>()
                .chunks(2)
                .map(|pair| {
                    let begin = pair[0].as_ptr() as usize - rest.as_ptr() as usize;
                    rest[begin..begin + pair.iter().map(|part| part.len()).sum::<usize>()].trim_start()
                })
                .collect(),
        ),
        "NODATA" => reply(0, true, Records::Negative),
        "UNLISTED" => reply(3, true, Records::Negative),
        "DROP" => Expected::Drop,
        word => reply(rcode(word)?, false, Records::Listed(Vec::new())),
    })
}

fn answer(rest: &str) -> Result<Expected, String> {
    let mut words = rest.split_whitespace();
    let rcode = rcode(words.next().ok_or("no RCODE")?)?;
    let (mut aa, mut tc) = (false, false);
    for word in words {
        match word {
            "aa" => aa = true,
            "tc" => tc = true,
            _ => return Err(format!("no such flag: {word}")),
        }
    }
    Ok(Expected::Reply { rcode, aa, tc, records: Records::Listed(Vec::new()) })
}

fn rcode(word: &str) -> Result<u16, String> {
    let known = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    match word {
        "BADVERS" => Ok(16),
        word => known
            .iter()
            .position(|&name| name == word)
            .map(|rcode| rcode as u16)
            .ok_or_else(|| format!("no such RCODE: {word}")),
    }
}
