//! Announced prefixes as statements of a dataset: which ASN an address is from.
//!
//! Two forms that clients know: Team Cymru's, and that of rspamd's `asn` module. Where prefixes are nested the longest
//! one answers. Country, registry and date are the allocation's, and `--` without a `delegated` file.

use super::super::survey::Survey;
use super::super::{Allocation, Bits, prefixes};
use super::OriginForm;
use super::lay::{Layer, lay};
use crate::dataset::never::{prefix4_text, prefix6_text};
use crate::feed::{Entry, Said, Sink, Text, Value};

pub(super) fn origins(survey: &Survey, form: OriginForm, sink: &mut dyn Sink) {
    let (routes, allocations) = (&survey.routes, &survey.allocations);
    let layer4 = |(value, route): (usize, &super::super::Route4)| layer(route.first, route.length, value);
    let layers: Vec<Layer<u32>> = routes.routes4().iter().enumerate().map(layer4).collect();
    lay(layers, |first, last, value| {
        let route = &routes.routes4()[value as usize];
        let prefix = prefix4_text(route.first, route.length);
        let text = text(form, routes.origins4(value as usize), &prefix, allocations.find4(route.first));
        sink.entry(0, Entry::Ip4 { first, last, said: said(&text) });
    });
    let layer6 = |(value, route): (usize, &super::super::Route6)| layer(route.first, route.length, value);
    let layers: Vec<Layer<u128>> = routes.routes6().iter().enumerate().map(layer6).collect();
    lay(layers, |first, last, value| {
        let route = &routes.routes6()[value as usize];
        let prefix = prefix6_text(route.first, route.length);
        let text = text(form, routes.origins6(value as usize), &prefix, allocations.find6(route.first));
        for (bits, length) in prefixes(first, last) {
            sink.entry(0, Entry::Ip6 { bits, length, said: said(&text) });
        }
    });
}

fn layer<A: Bits>(first: A, length: u8, value: usize) -> Layer<A> {
    // routes are numbered by 32 bits
    Layer { first, last: first.last_of(length), strength: length.into(), value: value as u32 }
}

/// There is no address: a zone of everything that is announced must not look like a list to refuse by.
fn said(text: &str) -> Said<'_> {
    Said::Listed(Value { a: None, text: Text::Template(text.as_bytes()) })
}

fn text(form: OriginForm, asns: impl Iterator<Item = u32>, prefix: &str, allocation: Option<Allocation>) -> String {
    // rspamd takes the whole field for one number
    let most = if form == OriginForm::Rspamd { 1 } else { MAX_ORIGINS };
    let asns = asns.take(most).map(|asn| asn.to_string()).collect::<Vec<_>>().join(" ");
    let (country, registry, date) = match allocation {
        Some(allocation) => {
            let country = String::from_utf8_lossy(&allocation.country).into_owned();
            (country, allocation.registry.name(), date(allocation.date))
        }
        None => (UNKNOWN.to_owned(), UNKNOWN, UNKNOWN.to_owned()),
    };
    match form {
        OriginForm::Cymru => format!("{asns} | {prefix} | {country} | {registry} | {date}"),
        OriginForm::Rspamd => format!("{asns}|{prefix}|{country}|{registry}|"),
    }
}

/// `2026-01-31` for 20260131.
fn date(digits: u32) -> String {
    match digits {
        0 => UNKNOWN.to_owned(),
        _ => format!("{:04}-{:02}-{:02}", digits / 10_000, digits / 100 % 100, digits % 100),
    }
}

/// A prefix that more announce is a mistake or an experiment, and a text has 255 bytes.
const MAX_ORIGINS: usize = 8;
/// What stands where no registry says anything.
const UNKNOWN: &str = "--";
