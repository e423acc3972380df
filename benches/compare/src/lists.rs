//! Lists in rbldnsd's format and questions about them: made up, and the same every time.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::net::Ipv4Addr;
use std::path::Path;

/// What is made.
pub struct Shape {
    /// Addresses, and as many domains.
    pub listings: u32,
    /// Whether there are domains.
    pub with_names: bool,
    /// Questions.
    pub questions: u32,
    /// How many of a hundred questions are about what is listed.
    pub percent_listed: u32,
}

/// Writes `addresses`, `domains` and `questions` into a folder.
pub fn make(folder: &Path, shape: &Shape) -> Result<()> {
    let create = |name| File::create(folder.join(name)).map(BufWriter::new);
    let mut addresses = create("addresses")?;
    write!(addresses, "$SOA 300 ns.{BL} hostmaster.{BL} 1 600 300 86400 300\n$NS 300 ns.{BL}\n")?;
    writeln!(addresses, ":127.0.0.2:Listed, see https://{BL}/?$")?;
    for number in 0..shape.listings {
        writeln!(addresses, "{}", address(number))?;
    }
    if shape.with_names {
        let mut domains = create("domains")?;
        write!(domains, "$SOA 300 ns.{DBL} hostmaster.{DBL} 1 600 300 86400 300\n$NS 300 ns.{DBL}\n")?;
        writeln!(domains, ":127.0.1.2:Listed, see https://{DBL}/?$")?;
        for number in 0..shape.listings {
            writeln!(domains, ".{}", domain(number))?;
        }
        domains.flush()?;
    }
    let mut questions = create("questions")?;
    for number in 0..shape.questions {
        let chance = mix(number, 1);
        let kind = if chance.is_multiple_of(10) { "TXT" } else { "A" };
        let is_listed = (chance >> 8) % 100 < shape.percent_listed;
        // what is not listed has numbers beyond those that are
        let range = if is_listed { 0..shape.listings } else { shape.listings..shape.listings.saturating_mul(2) };
        let about = range.start + mix(number, 2) % (range.end - range.start).max(1);
        if shape.with_names && (chance >> 16).is_multiple_of(2) {
            let host = if (chance >> 17) % 10 < 3 { "www." } else { "" };
            writeln!(questions, "{host}{}.{DBL} {kind}", domain(about))?;
        } else {
            let [a, b, c, d] = address(about).octets();
            writeln!(questions, "{d}.{c}.{b}.{a}.{BL} {kind}")?;
        }
    }
    addresses.flush()?;
    questions.flush()
}

/// The address of a number: a walk that comes to each but once, and leaves out 127.0.0.0/8, where the test entries are.
fn address(number: u32) -> Ipv4Addr {
    let bits = number.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    if bits >> 24 == 127 { Ipv4Addr::from(bits & 0x00ff_ffff | 10 << 24) } else { Ipv4Addr::from(bits) }
}

/// The domain of a number: 5–14 letters that are the number in disguise, and a top level.
fn domain(number: u32) -> String {
    let mut text = String::new();
    let mut rest = u64::from(number.wrapping_mul(2_246_822_519)) << 20 | u64::from(mix(number, 3) & 0xf_ffff);
    let length = 5 + mix(number, 4) % 10;
    while rest > 0 || text.len() < length as usize {
        text.push(LETTERS[(rest % 36) as usize] as char);
        rest /= 36;
    }
    format!("{text}.{}", TOP_LEVELS[mix(number, 5) as usize % TOP_LEVELS.len()])
}

/// A number that looks like chance, from a number and what it is for.
fn mix(number: u32, purpose: u32) -> u32 {
    let mut bits = u64::from(number) << 32 | u64::from(purpose);
    for _ in 0..2 {
        bits = (bits ^ bits >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (bits >> 32) as u32
}

/// The zone of addresses.
pub const BL: &str = "bl.test";
/// The zone of domains.
pub const DBL: &str = "dbl.test";
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const TOP_LEVELS: [&str; 8] = ["com", "net", "org", "xyz", "top", "info", "co.uk", "com.br"];
