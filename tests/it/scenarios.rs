//! Runs every script of `tests/scenarios` against `respond`, as over UDP and as over a stream.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use infamy::answer::Transport;
use infamy::config::Config;
use infamy::dataset::NeverList;
use infamy::snapshot::{Snapshot, Version};
use infamy::zone::{Choice, RefuseWith, TestEntries, UnixTime};

use crate::script::{self, Expected, Question, Records, Scenario};
use crate::wire::{AA, AD, CD, DO, Message, QR, Query, RA, RD, TC, TYPE_SOA, Z};
use crate::world::{NOW, World, ask};

#[test]
fn every_question_of_the_scripts_gets_its_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "scenario"));
    files.sort();
    let (mut questions, mut failures) = (0, Vec::new());
    for path in &files {
        let file = path.file_name().unwrap().to_string_lossy();
        let scenarios = script::parse(&fs::read_to_string(path).unwrap()).unwrap_or_else(|why| panic!("{file}: {why}"));
        for scenario in &scenarios {
            questions += scenario.questions.len();
            let failed = run(scenario);
            failures.extend(failed.iter().map(|(line, why)| format!("{file}:{line}: {}: {why}", scenario.title)));
        }
    }
    eprintln!("{} scripts, {questions} questions", files.len());
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(questions > 500, "only {questions} questions: are the scripts there?");
}

#[test]
fn a_wrong_answer_in_a_script_is_noticed() {
    let set_up = "scenario wrong\ndataset list ip4set\n| 192.0.2.1\nzone bl.example list\n";
    for wrong in [
        "QUERY 1.2.0.192.bl.example A -> UNLISTED",
        "QUERY 1.2.0.192.bl.example A -> LISTED 127.0.0.3",
        "QUERY 1.2.0.192.bl.example A -> LISTED 127.0.0.2 127.0.0.3",
        "QUERY 1.2.0.192.BL.example A\nANSWER NOERROR aa\nanswer 1.2.0.192.bl.example 2100 A 127.0.0.2",
        "QUERY 1.2.0.192.bl.example A\nANSWER NOERROR\nanswer 1.2.0.192.bl.example 2100 A 127.0.0.2",
        "QUERY 1.2.0.192.bl.example A\nANSWER NOERROR aa\nanswer 1.2.0.192.bl.example 60 A 127.0.0.2",
        "QUERY 1.2.0.192.bl.example A\nANSWER NOERROR aa\ncount answer 2",
        "QUERY 2.2.0.192.bl.example A -> NODATA",
        "QUERY 2.2.0.192.bl.example A -> DROP",
    ] {
        let scenarios = script::parse(&format!("{set_up}{wrong}\n")).unwrap();
        assert!(!run(&scenarios[0]).is_empty(), "passed: {wrong}");
    }
    let problem =
        script::parse(&format!("{set_up}problem nothing of the kind\nQUERY bl.example A -> NODATA\n")).unwrap();
    assert!(!run(&problem[0]).is_empty());
}

/// Runs one scenario; the lines that failed, and why.
fn run(scenario: &Scenario) -> Vec<(usize, String)> {
    let (said, snapshot) = build(scenario);
    let mut failures = Vec::new();
    let mut unsaid = scenario.problems.clone();
    for problem in said {
        match unsaid.iter().position(|part| problem.contains(part.as_str())) {
            Some(index) => drop(unsaid.remove(index)),
            None => failures.push((scenario.line, format!("loading says: {problem}"))),
        }
    }
    failures.extend(unsaid.iter().map(|part| (scenario.line, format!("loading does not say: {part}"))));
    for question in &scenario.questions {
        let transports = [(question.udp, Transport::Udp), (question.tcp, Transport::Stream)];
        for (_, transport) in transports.into_iter().filter(|&(wanted, _)| wanted) {
            if let Err(why) = check(&snapshot, question, transport) {
                failures.push((question.line, format!("{} ({transport:?}): {why}", question.text)));
            }
        }
    }
    failures
}

fn build(scenario: &Scenario) -> (Vec<String>, Snapshot) {
    let mut world = World::new();
    if let Some(path) = &scenario.config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        world.plan = Config::open(&path).unwrap_or_else(|error| panic!("line {}: {error}", scenario.line)).plan;
        return world.load();
    }
    for dataset in &scenario.datasets {
        let index = world.dataset(&dataset.name, dataset.format, &dataset.text);
        world.plan.datasets[index].reading.key = dataset.key;
    }
    let index_of = |name: &str| {
        let found = scenario.datasets.iter().position(|dataset| dataset.name == name);
        found.unwrap_or_else(|| panic!("line {}: no dataset {name}", scenario.line))
    };
    for zone in &scenario.zones {
        let datasets: Vec<_> = zone.datasets.iter().map(|(name, under)| (index_of(name), under.as_str())).collect();
        let plan = world.zone(&zone.apex, &datasets);
        for (key, value) in &zone.settings {
            match key.as_str() {
                "ttl" => plan.spec.ttl = value.parse().unwrap(),
                "choice" => plan.spec.choice = if value == "or" { Choice::Or } else { Choice::One },
                "as-written" => plan.spec.test_entries = TestEntries::AsWritten,
                "ns-in-authority" => plan.spec.ns_in_authority = true,
                "acl" => plan.access = Some(index_of(value)),
                "keys" => plan.keys = Some(index_of(value)),
                "refuse" => {
                    plan.terms.refuse_with = match value.as_str() {
                        "nxdomain" => RefuseWith::NxDomain,
                        "drop" => RefuseWith::Drop,
                        "code" => RefuseWith::Code,
                        other => panic!("line {}: no such refusal: {other}", scenario.line),
                    }
                }
                "own" => plan.spec.own_addresses.push(value.parse().unwrap()),
                _ => panic!("line {}: no such setting: {key}", scenario.line),
            }
        }
    }
    if scenario.never {
        world.plan.never = NeverList::with_own(&[]);
    }
    world.plan.access = scenario.access.as_deref().map(index_of);
    if let Some(text) = &scenario.version {
        world.plan.version = Version::Text(text.clone());
    }
    world.load()
}

/// Asks one question over one transport.
fn check(snapshot: &Snapshot, question: &Question, transport: Transport) -> Result<(), String> {
    let client = question.client.unwrap_or(CLIENT);
    let now = question.now.map_or(NOW, UnixTime);
    let reply = ask(snapshot, &question.query.bytes(), client, transport, now);
    let (bytes, expected) = match (reply, &question.expected) {
        (Err(_), Expected::Drop) => return Ok(()),
        (Err(reason), _) => return Err(format!("no reply: {reason:?}")),
        (Ok(_), Expected::Drop) => return Err("a reply".into()),
        (Ok(bytes), expected) => (bytes, expected),
    };
    let message = Message::read(&bytes).map_err(|why| format!("unreadable: {why}"))?;
    keeps_the_rules(&question.query, &message, bytes.len(), transport)?;
    let Expected::Reply { rcode, aa, tc, records } = expected else { return Ok(()) };
    if message.rcode() != *rcode {
        return Err(format!("RCODE {} instead of {rcode}: {}", message.rcode(), shown(&message)));
    }
    if (message.has(AA), message.has(TC)) != (*aa, *tc) {
        return Err(format!("other flags: {}", shown(&message)));
    }
    let is_right = match records {
        Records::Counted(counts) => *counts == message.sections.each_ref().map(Vec::len),
        Records::Negative => {
            let apex = apex_of(snapshot, &question.query);
            let [answer, authority, additional] = &message.sections;
            let is_soa = |record: &crate::wire::Record| {
                record.rtype == TYPE_SOA && Some(record.owner.to_ascii_lowercase()) == apex
            };
            answer.is_empty() && additional.is_empty() && authority.len() == 1 && is_soa(&authority[0])
        }
        Records::Listed(expected) => is_the_same(expected, &message),
    };
    if is_right { Ok(()) } else { Err(format!("other records: {}", shown(&message))) }
}

/// What holds for every reply, whatever was asked (RFC 1035, 4.1.1; RFC 2181, 5.2; RFC 6891, 6.1.1; RFC 3225, 3).
fn keeps_the_rules(query: &Query, reply: &Message, length: usize, transport: Transport) -> Result<(), String> {
    if (reply.id, reply.flags & (QR | RD | 0x7800)) != (query.id, QR | query.flags & (RD | 0x7800)) {
        return Err(format!("id or flags are not the query's: {reply:?}"));
    }
    if reply.flags & (RA | Z | AD | CD) != 0 {
        return Err(format!("a flag that is not ours to set: {:04x}", reply.flags));
    }
    if reply.question != query.question() {
        return Err(format!("another question: {:?}", reply.question));
    }
    match (&query.edns, &reply.opt) {
        (None, None) => {}
        (Some(asked), Some(opt)) => {
            if (opt.version, opt.flags, opt.size) != (0, asked.flags & DO, 1232) || !opt.options.is_empty() {
                return Err(format!("EDNS is not as it should be: {opt:?}"));
            }
        }
        (asked, opt) => return Err(format!("EDNS {opt:?} for {asked:?}")),
    }
    let takes = query.edns.as_ref().map_or(512, |edns| usize::from(edns.size).clamp(512, 1232));
    if transport == Transport::Udp && length > takes {
        return Err(format!("{length} bytes for a client that takes {takes}"));
    }
    for section in &reply.sections {
        for (index, record) in section.iter().enumerate() {
            let same = |other: &&crate::wire::Record| (&other.owner, other.rtype) == (&record.owner, record.rtype);
            if section[..index].iter().filter(same).any(|other| other.ttl != record.ttl || other.data == record.data) {
                return Err(format!("an RRset with two TTLs or one record twice: {}", shown(reply)));
            }
        }
    }
    Ok(())
}

fn apex_of(snapshot: &Snapshot, query: &Query) -> Option<String> {
    let (name, _) = infamy::dnsxl::QueryName::read(&query.name).ok()?;
    Some(snapshot.zone_of(name.labels())?.1.apex.to_string())
}

/// Whether the records are the expected ones, each once.
fn is_the_same(expected: &[(usize, String)], message: &Message) -> bool {
    let mut left: Vec<(usize, String)> = message
        .sections
        .iter()
        .enumerate()
        .flat_map(|(section, records)| records.iter().map(move |record| (section, record.to_string())))
        .collect();
    let is_met = |expected: &str, found: &str| {
        let fields = |text: &str| text.splitn(3, ' ').map(str::to_owned).collect::<Vec<_>>();
        let (expected, found) = (fields(expected), fields(found));
        expected.len() == 3
            && expected[0] == found[0]
            && (expected[1] == "*" || expected[1] == found[1])
            && expected[2].strip_suffix('*').map_or(expected[2] == found[2], |begin| found[2].starts_with(begin))
    };
    for (section, record) in expected {
        let Some(at) = left.iter().position(|(other, found)| other == section && is_met(record, found)) else {
            return false;
        };
        left.remove(at);
    }
    left.is_empty()
}

fn shown(message: &Message) -> String {
    let sections = message.sections.iter().zip(["answer", "authority", "additional"]);
    let lines = sections.flat_map(|(records, name)| records.iter().map(move |record| format!("\n    {name} {record}")));
    format!("{:04x}{}", message.flags, lines.collect::<String>())
}

/// Who asks, unless the script says otherwise.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
