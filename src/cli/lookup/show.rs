//! What was found, for people.

use std::io::{self, Write};

use arrayvec::ArrayVec;

use super::origin::{FoundChange, FoundOrigin, Kind};
use super::{By, Found, InZone};
use crate::dataset::Value;

/// Prints a subject, a line for each zone, and below it a line for each reason.
pub(super) fn print(out: &mut impl Write, found: &Found) -> io::Result<()> {
    writeln!(out, "{}", found.subject)?;
    if found.zones.is_empty() {
        writeln!(out, "  no zone is about such subjects")?;
    }
    for zone in &found.zones {
        print_zone(out, zone)?;
    }
    for verdict in &found.verdicts {
        writeln!(out, "  verdict of {}:", verdict.datasets.join(", "))?;
        for line in verdict.text.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

fn print_zone(out: &mut impl Write, zone: &InZone) -> io::Result<()> {
    match zone.listed {
        true => {
            write!(out, "  {}: listed,", zone.place)?;
            for address in &zone.a {
                write!(out, " {address}")?;
            }
            for text in &zone.txt {
                write!(out, " {text:?}")?;
            }
            writeln!(out)?;
        }
        false => writeln!(out, "  {}: not listed, {}", zone.place, zone.status)?,
    }
    match zone.access[..] {
        [] => {}
        [By::Keys] => writeln!(out, "    only for those with a key")?,
        [By::List] => writeln!(out, "    only for those whom the access list lets ask")?,
        _ => writeln!(out, "    only for those with a key, or whom the access list lets ask")?,
    }
    for origin in &zone.origins {
        print_origin(out, origin)?;
    }
    Ok(())
}

/// A value as it is answered about a subject.
pub(super) fn value(subject: &[u8], value: &Value<'_>) -> String {
    let address = value.a.map(|a| a.to_string());
    let text = value.text.map(|template| {
        let mut text = ArrayVec::new();
        template.render(subject, &mut text);
        format!("{:?}", String::from_utf8_lossy(&text))
    });
    address.into_iter().chain(text).collect::<Vec<_>>().join(" ")
}

fn print_origin(out: &mut impl Write, origin: &FoundOrigin) -> io::Result<()> {
    let FoundOrigin { kind, dataset, path, line, entry, change } = origin;
    let dataset = dataset.as_deref().unwrap_or_default();
    let place = match (path, line) {
        (Some(path), Some(line)) => format!("{dataset} {path}:{line}"),
        (Some(path), None) => format!("{dataset} {path}"),
        (None, _) => dataset.to_owned(),
    };
    let change = change.as_ref().map(told).unwrap_or_default();
    match kind {
        Kind::Listing | Kind::Verdict | Kind::Compiled | Kind::Live => writeln!(out, "    {place}: {entry}{change}"),
        Kind::Exclusion => writeln!(out, "    {place}: {entry} excluded"),
        Kind::Allowed => writeln!(out, "    allowed by {place}: {entry}{change}"),
        Kind::TestEntry => writeln!(out, "    test entry (RFC 5782, section 5)"),
        Kind::NeverList => writeln!(out, "    never listed: {entry}"),
    }
}

/// What is told of a live change behind its subject.
fn told(change: &FoundChange) -> String {
    let FoundChange { action, who, at, expires, reason, .. } = change;
    let until = expires.as_ref().map(|expires| format!(" until {expires}")).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(" {action} by {who} at {at}{until}{reason}")
}
