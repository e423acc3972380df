//! `infamy doctor`: finds what breaks a list behind a resolver.
//!
//! Invariant: exits 0 if nothing was found, 1 if something was; each thing that was asked is one line, and what is
//! wrong is told with what it means and what to tell the resolver.
//!
//! It sees one resolver from one client. That the resolver forwards to a public one is only seen where the list says so.

mod examine;
mod key;
mod resolver;
mod trouble;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::load;
use crate::dnsxl::Name;
use crate::dnsxl::number::{TYPE_A, TYPE_NS};
use examine::{Examination, Line};
use key::{Key, VARIABLE};
use resolver::{Asked, Question};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The resolver that the mail server asks, ADDR or ADDR:PORT; the first of /etc/resolv.conf if none is named
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server_address)]
    resolver: Option<SocketAddr>,
    /// The list's own server, which is asked to tell its faults from the resolver's; the zone's NS if none is named
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server_address, conflicts_with = "config")]
    server: Option<SocketAddr>,
    /// A configuration that has the zone: its first address for UDP and TCP is the list's own server
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// A file with a key alone, for a zone that is asked with one in the name; INFAMY_KEY has it if none is named
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The zone
    #[arg(value_parser = |text: &str| Name::parse(text.as_bytes()))]
    zone: Name,
}

/// Asks the resolver, and tells what it makes of the zone.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let zone = &arguments.zone;
    let key = Key::read(arguments.key_file.as_deref(), env::var_os(VARIABLE).as_deref())?;
    let address = arguments.resolver.map_or_else(usual_resolver, Ok)?;
    let server = match &arguments.config {
        Some(_) => Some(configured_server(arguments)?),
        None => arguments.server.or_else(|| server_of(zone, address)),
    };
    let mut ask_resolver = |question: &Question| resolver::ask(address, question);
    let mut ask_server = server.map(|server| move |question: &Question| resolver::ask(server, question));
    let place = key.as_ref().map_or_else(|| Ok(zone.clone()), |key| key.below(zone))?;
    let mut examination = Examination {
        zone,
        place: &place,
        key: key.as_ref(),
        address: address.ip(),
        resolver: &mut ask_resolver,
        server: ask_server.as_mut().map(|ask| ask as &mut dyn FnMut(&Question) -> Asked),
        lines: Vec::new(),
    };
    examination.run().with_context(|| address.to_string())?;
    let lines = examination.lines;
    print(&lines, zone)?;
    Ok(if lines.iter().any(|line| line.trouble.is_some()) { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// What was asked, and what is wrong: told in full the first time only.
fn print(lines: &[Line], zone: &Name) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut told = BTreeSet::new();
    for Line { asked, came, trouble } in lines {
        let Some(trouble) = trouble else {
            writeln!(out, "ok       {asked}: {came}")?;
            continue;
        };
        writeln!(out, "trouble  {asked}: {came}")?;
        if told.insert(trouble) {
            writeln!(out, "         {}", trouble.meaning())?;
            for (program, text) in trouble.mend(zone) {
                writeln!(out, "         {program:<10} {text}")?;
            }
        }
    }
    out.flush()
}

/// The resolver that programs on this machine ask.
fn usual_resolver() -> anyhow::Result<SocketAddr> {
    let text = fs::read_to_string(RESOLV_CONF).with_context(|| format!("{RESOLV_CONF}, as no --resolver is named"))?;
    let mut named = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
    let first: IpAddr =
        named.next().with_context(|| format!("{RESOLV_CONF}: names no server; name one with --resolver"))?;
    Ok((first, PORT).into())
}

/// Where the configuration's server listens.
fn configured_server(arguments: &Arguments) -> anyhow::Result<SocketAddr> {
    let config = load::config(arguments.config.as_deref())?;
    let (zone, path) = (&arguments.zone, config.path.display());
    let is_there = config.plan.zones.iter().any(|planned| planned.spec.apex.to_lowercase() == zone.to_lowercase());
    anyhow::ensure!(is_there, "{path}: has no zone {zone}");
    let mut server = *config.listen.plain.first().with_context(|| format!("{path}: listens to no UDP and TCP"))?;
    match server.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => server.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => server.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(server)
}

/// The first server of the zone that the resolver knows of and that answers.
fn server_of(zone: &Name, resolver: SocketAddr) -> Option<SocketAddr> {
    let reply = resolver::ask(resolver, &Question::new(zone, TYPE_NS)).ok()?;
    let names = reply.answers.iter().filter(|record| record.rtype == TYPE_NS);
    let names = names.filter_map(|record| Name::from_wire(record.rdata.strip_suffix(&[0])?).ok());
    let address = |name: Name| resolver::ask(resolver, &Question::new(&name, TYPE_A)).ok()?.addresses().next();
    names.take(SERVERS).find_map(address).map(|ip| (ip, PORT).into())
}

/// An address, with a port or without.
fn server_address(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    text.parse().or_else(|_| Ok((text.parse::<IpAddr>()?, PORT).into()))
}

/// The exit code if something was found.
const FOUND: u8 = 1;
/// DNS.
const PORT: u16 = 53;
/// As many of a zone's servers are looked for: each may take seconds if it is not there.
const SERVERS: usize = 3;
const RESOLV_CONF: &str = "/etc/resolv.conf";

#[cfg(test)]
mod tests;
