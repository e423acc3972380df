//! infamy against Debian's rbldnsd: random files, random questions, the same answers but for what is listed as allowed.
//!
//! `INFAMY_SEED` repeats a run; a failure prints the seed, the files and both answers.

mod allowed;
mod dice;
mod files;
mod message;
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{self, Program, free_address};
use allowed::{ALLOWED, access_comes_first, as_known_type, is_the_parents};
use dice::Dice;
use files::Subjects;
use message::{Reply, query};
use servers::{Ours, Theirs, name4, name6};

#[test]
#[ignore = "needs Debian's rbldnsd"]
fn the_same_answers_as_rbldnsd() {
    let (seed, batches) = (seed(), setting("INFAMY_BATCHES").unwrap_or(BATCHES));
    let mut used = [0; ALLOWED.len()];
    let questions: usize = (0..batches).map(|batch| Batch::new(seed.wrapping_add(batch)).compare(&mut used)).sum();
    eprintln!("{questions} questions from seed {seed}; differences allowed for:");
    for ((name, _), count) in ALLOWED.iter().zip(used) {
        eprintln!("{count:7} {name}");
    }
}

/// The list for all zones, in both of its spellings: whom it ignores gets no reply to anything.
#[test]
#[ignore = "needs Debian's rbldnsd"]
fn the_list_for_all_zones_is_as_in_rbldnsd() {
    const QUESTIONS: [(&str, &str, u16); 4] =
        [("version.", "bind", CH), ("other.", "bind", CH), ("1.2.0.192.", "z0.test", 1), ("1.2.0.192.", "no.test", 1)];
    let client = Ipv4Addr::new(127, 0, 0, 2);
    for (spec, action) in
        [":", ".:"].into_iter().flat_map(|spec| ["ignore", "refuse", "empty", "pass"].map(|a| (spec, a)))
    {
        let arguments = ["z0.test:ip4set:list".to_owned(), format!("{spec}acl:acl")];
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
        fs::write(folder.path().join("acl"), format!("{client} :{action}\n")).unwrap();
        let mut batch = Batch { seed: 0, dice: Dice::new(0), folder, zones: Vec::new(), arguments: arguments.into() };
        let options = batch.options();
        let (_program, address) = batch.start(Command::new(RBLDNSD), &options);
        let ours = batch.ours(&options);
        for (front, apex, class) in QUESTIONS {
            let zone = Zone { apex: apex.to_owned(), ..Zone::empty() };
            let case = Case { zone: &zone, front: front.to_owned(), qtype: TXT, class, client };
            let rcode = |reply: Option<Reply>| reply.map(|reply| reply.rcode);
            let (theirs, ours) = (rcode(servers::ask_past(address, &case)), rcode(ours.ask(&case)));
            assert_eq!(theirs, ours, "{spec}acl {action}: {}", case.name());
        }
    }
}

/// The program over UDP says what the comparison above finds in this process.
#[test]
fn the_program_says_what_its_parts_say() {
    Batch::new(seed()).compare_program();
}

fn seed() -> u64 {
    setting("INFAMY_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// A zone under test.
struct Zone {
    apex: String,
    subjects: Subjects,
    has_acl: bool,
    /// The texts of its files, for a failure.
    shown: String,
    /// Names that may exist.
    names_to_try: Vec<String>,
}

/// One question.
#[derive(Clone)]
struct Case<'z> {
    zone: &'z Zone,
    /// What stands in front of the apex, with a dot at its end; empty for the apex.
    front: String,
    qtype: u16,
    class: u16,
    client: Ipv4Addr,
}

impl Zone {
    fn empty() -> Self {
        let (subjects, names_to_try) = (Subjects::default(), Vec::new());
        Self { apex: String::new(), subjects, has_acl: false, shown: String::new(), names_to_try }
    }

    fn owner(&self) -> String {
        format!("{}.", self.apex)
    }

    /// What addresses and names can stand in front of.
    fn suffixes(&self) -> Vec<String> {
        let places = self.subjects.places.iter().map(|place| format!(".{place}.{}", self.apex));
        places.chain([format!(".{}", self.apex)]).collect()
    }

    fn find_names_to_try(&mut self, others: &[String]) {
        let mut names: Vec<String> =
            others.iter().filter(|other| other.ends_with(&format!(".{}", self.apex))).cloned().collect();
        for suffix in self.suffixes() {
            names.push(suffix[1..].to_owned());
            for &bits in &self.subjects.ip4 {
                names.push(name4(bits.into(), &suffix));
                if self.subjects.has_ip4 {
                    names.push(name6(Ipv4Addr::from(bits).to_ipv6_mapped(), &suffix));
                    for low in [0, !0 >> 48] {
                        names.push(name6((0x2002 << 112 | u128::from(bits) << 80 | low).into(), &suffix));
                    }
                }
            }
            names.extend(self.subjects.ip6.iter().map(|&bits| name6(bits.into(), &suffix)));
            for name in &self.subjects.names {
                let name = name.to_lowercase();
                names.extend([format!("{name}{suffix}"), format!("zz.{name}{suffix}")]);
            }
        }
        self.names_to_try = names;
    }
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{}{}", self.front, self.zone.apex)
    }

    fn is_apex(&self) -> bool {
        self.front.is_empty()
    }

    fn random<'z>(dice: &mut Dice, zone: &'z Zone) -> Case<'z> {
        let qtype = match dice.below(20) {
            0..9 => 1,
            9..14 => 16,
            14 => 255,
            _ => *dice.pick_of(&[2, 5, 6, 12, 13, 15, 28, 33, 43, 48, 64, 65, 99, 249, 251, 252, 257, 1000, 65_280]),
        };
        let class = if dice.chance(3) { *dice.pick_of(&[255, 4, 2]) } else { 1 };
        let client = Ipv4Addr::new(127, 0, 0, *dice.pick_of(&[1, 1, 2, 3]));
        Case { zone, front: front(dice, zone), qtype, class, client }
    }
}

/// A name near what the zone's files say.
fn front(dice: &mut Dice, zone: &Zone) -> String {
    let subjects = &zone.subjects;
    if dice.chance(4) {
        return String::new();
    }
    let place = match subjects.places.as_slice() {
        places if !places.is_empty() && dice.chance(60) => format!("{}.", dice.pick_of(places)),
        _ => String::new(),
    };
    let name = match dice.below(10) {
        0..4 if !subjects.ip4.is_empty() => {
            let bits = *dice.pick_of(&subjects.ip4);
            let [a, b, c, d] = bits.wrapping_add(dice.below(3) as u32).wrapping_sub(1).to_be_bytes();
            match dice.below(12) {
                0 => format!("00{d}.{c}.{b}.{a}."),
                1 => format!("{c}.{b}.{a}."),
                2 => format!("{b}.{a}."),
                3 => format!("{a}."),
                4 => format!("x.{d}.{c}.{b}.{a}."),
                5 => name6(Ipv4Addr::from(bits).to_ipv6_mapped(), "."),
                6 => name6((0x2002 << 112 | u128::from(bits) << 80 | u128::from(dice.bits() & 1)).into(), "."),
                7 => format!("{d}.{c}.{b}.256."),
                _ => format!("{d}.{c}.{b}.{a}."),
            }
        }
        0..7 if !subjects.ip6.is_empty() => {
            let bits = dice.pick_of(&subjects.ip6).wrapping_add(u128::from(dice.below(2)));
            let name = name6(Ipv6Addr::from(bits), ".");
            match dice.below(6) {
                0 => name[2 * dice.below(32) as usize..].to_owned(),
                1 => name.to_uppercase(),
                2 => format!("0.{name}"),
                _ => name,
            }
        }
        0..8 if !subjects.names.is_empty() => {
            let name = dice.pick_of(&subjects.names).clone();
            match dice.below(8) {
                0 => format!("sub.{name}."),
                1 => format!("a.b.{name}."),
                2 => name.split_once('.').map_or_else(String::new, |(_, parent)| format!("{parent}.")),
                3 => format!("{}.", name.to_uppercase()),
                4 => format!("x{name}."),
                _ => format!("{name}."),
            }
        }
        8 => String::new(),
        _ => format!("{}.", files::name(dice)),
    };
    name + &place
}

/// Many zones for one start of rbldnsd.
struct Batch {
    seed: u64,
    dice: Dice,
    folder: tempfile::TempDir,
    zones: Vec<Zone>,
    arguments: Vec<String>,
}

impl Batch {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut zones: Vec<Zone> = Vec::new();
        let mut arguments = Vec::new();
        let mut specs: Vec<(String, Subjects, String)> = Vec::new();
        for number in 0..ZONES {
            let parent = zones.get(number.wrapping_sub(1)).map(|zone| zone.apex.clone());
            let apex = match parent {
                Some(parent) if dice.chance(10) => format!("{}.{parent}", dice.pick(&["sub", "a", "1", "x.y"])),
                _ => format!("z{number}.test"),
            };
            let mut zone = Zone { apex, ..Zone::empty() };
            for count in 0..1 + dice.below(3) {
                if specs.is_empty() || dice.chance(90) {
                    let (made, texts) = files::dataset(&mut dice);
                    let mut names = Vec::new();
                    for (part, text) in texts.iter().enumerate() {
                        let file = format!("f{number}.{count}.{part}");
                        fs::write(folder.path().join(&file), text).unwrap();
                        names.push(file);
                    }
                    specs.push((
                        format!("{}:{}", made.kind, names.join(",")),
                        made.subjects,
                        texts.join("\n--- and\n"),
                    ));
                    let index = specs.len() - 1;
                    take(&mut zone, &mut arguments, &specs[index]);
                } else {
                    let index = dice.below(specs.len() as u64) as usize;
                    take(&mut zone, &mut arguments, &specs[index]);
                }
            }
            if dice.chance(15) {
                zone.has_acl = true;
                let text = files::acl(&mut dice);
                let file = format!("acl{number}");
                fs::write(folder.path().join(&file), &text).unwrap();
                let _ = write!(zone.shown, "--- acl:{file}\n{text}");
                arguments.push(format!("{}:acl:{file}", zone.apex));
            }
            zones.push(zone);
        }
        let apexes: Vec<String> = zones.iter().map(|zone| zone.apex.clone()).collect();
        zones.iter_mut().for_each(|zone| zone.find_names_to_try(&apexes));
        Self { seed, dice, folder, zones, arguments }
    }

    fn compare(mut self, used: &mut [usize; ALLOWED.len()]) -> usize {
        let options = self.options();
        let (_program, address) = self.start(Command::new(RBLDNSD), &options);
        let (ours, mut asking) = (self.ours(&options), Theirs::new(address));
        for zone in &self.zones {
            for _ in 0..QUESTIONS {
                let case = Case::random(&mut self.dice, zone);
                // a zone below this one answers for itself
                let below = |other: &Zone| {
                    let name = format!(".{}", case.name().to_lowercase());
                    other.apex.len() > zone.apex.len() && name.ends_with(&format!(".{}", other.apex))
                };
                if self.zones.iter().any(below) || is_the_parents(&case, &self.zones) {
                    continue;
                }
                check(&case, &ours, &mut asking, used, self.seed, &options);
            }
        }
        asking.asked
    }

    fn compare_program(mut self) {
        let options = self.options();
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        command.arg("rbldnsd");
        if nix::unistd::Uid::effective().is_root() {
            command.arg("-u65534:65534");
        }
        let (_program, address) = self.start(command, &options);
        let (parts, mut program) = (self.ours(&options), Theirs::new(address));
        for zone in &self.zones {
            for _ in 0..QUESTIONS {
                let case = Case::random(&mut self.dice, zone);
                let (parts, program) = (parts.ask(&case), program.ask(&case));
                // over UDP there is less room
                if program.as_ref().is_none_or(|reply| !reply.truncated) {
                    let question = format!("INFAMY_SEED={} {} type {}", self.seed, case.name(), case.qtype);
                    assert!(program == parts, "{question}\n{}\n{}", shown(program.as_ref()), shown(parts.as_ref()));
                }
            }
        }
    }

    fn options(&mut self) -> Vec<String> {
        let options: &[&[&str]] = &[&["-e"], &["-t10m:1m:30m"], &["-a"], &[]];
        self.dice.pick_of(options).iter().map(|option| (*option).to_owned()).collect()
    }

    /// Starts a server of all zones, and waits until it answers.
    fn start(&self, mut command: Command, options: &[String]) -> (Program, SocketAddr) {
        let (address, log) = (free_address(), self.folder.path().join("log"));
        command.args(["-n", "-q", "-c0", "-b", &format!("{}/{}", address.ip(), address.port())]);
        command.args(options).args(&self.arguments).current_dir(self.folder.path());
        hand_over(self.folder.path());
        let mut program = Program::start(&mut command, &log);
        program.wait_until(&log, || harness::ask(address, &query(1, "ready.invalid", 1, 1)).is_some());
        (program, address)
    }

    /// infamy in this process, from the same command line.
    fn ours(&self, options: &[String]) -> Ours {
        let folder = self.folder.path().display();
        let in_folder = |argument: &String| {
            let (spec, files) = argument.rsplit_once(':').unwrap();
            let files: Vec<String> = files.split(',').map(|file| format!("{folder}/{file}")).collect();
            format!("{spec}:{}", files.join(","))
        };
        Ours::new(&options.iter().cloned().chain(self.arguments.iter().map(in_folder)).collect::<Vec<_>>())
    }
}

fn take(zone: &mut Zone, arguments: &mut Vec<String>, (spec, subjects, text): &(String, Subjects, String)) {
    arguments.push(format!("{}:{spec}", zone.apex));
    zone.subjects.join(subjects);
    let _ = write!(zone.shown, "--- {spec}\n{text}\n");
}

fn check(
    case: &Case<'_>,
    ours: &Ours,
    asking: &mut Theirs,
    used: &mut [usize; ALLOWED.len()],
    seed: u64,
    options: &[String],
) {
    let (as_sent, ours) = (asking.ask(case), ours.ask(case));
    let mut theirs = as_known_type(case, as_sent.clone(), asking);
    access_comes_first(case, &mut theirs, ours.as_ref());
    let (theirs, ours) = match (theirs, ours) {
        (None, None) => return,
        (Some(mut theirs), Some(ours)) => {
            for ((_, allow), used) in ALLOWED.iter().zip(used) {
                let before = theirs.clone();
                allow(case, &mut theirs, &ours, asking);
                *used += usize::from(theirs != before);
            }
            (Some(theirs), Some(ours))
        }
        differ => differ,
    };
    assert!(
        theirs == ours,
        "INFAMY_SEED={seed} {options:?}: {} type {} class {} from {}\n{}\nrbldnsd: {}\nallowing: {}\ninfamy: {}",
        case.name(),
        case.qtype,
        case.class,
        case.client,
        case.zone.shown,
        shown(as_sent.as_ref()),
        shown(theirs.as_ref()),
        shown(ours.as_ref()),
    );
}

fn shown(reply: Option<&Reply>) -> String {
    reply.map_or_else(|| "no reply".to_owned(), ToString::to_string)
}

/// Lets the account that rbldnsd becomes when root starts it read the folder.
fn hand_over(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

const TXT: u16 = 16;
const CH: u16 = 3;
const RBLDNSD: &str = "/usr/sbin/rbldnsd";
/// Starts of rbldnsd.
const BATCHES: u64 = 30;
/// Zones of one start.
const ZONES: usize = 50;
/// Questions for one zone.
const QUESTIONS: usize = 40;
