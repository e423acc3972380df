//! What is measured, as Prometheus reads it: the text format, version 0.0.4.
//!
//! [`Exposition`] writes; [`family`] is the list of everything there is. Invariant: no label has text that came in a query.
//! Zones, feeds and types are the operator's and ours, and every label is escaped all the same.
//!
//! The format is written here and not by a library, as the counters are not a library's either, and as OpenMetrics, which
//! libraries write, names counters in a way that readers of the plain format do not know the types by.

pub mod family;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::dnsxl::Name;
use crate::server::{Carrier, CarrierCounts, DurationCounts, ZoneCounts};
use crate::snapshot::Snapshot;
use family::{Family, Kind};

/// The text while it is written.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let Family { name, kind, help, .. } = family;
        // writing into memory does not fail
        let _ = writeln!(self.0, "# HELP {name} {help}");
        let _ = writeln!(self.0, "# TYPE {name} {}", kind.label());
        Samples { text: &mut self.0, family }
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, family: &'static Family, value: impl Display) {
        self.family(family).put(&[], value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }

    /// Writes what queries came to, by the zones of `snapshot`.
    pub fn traffic(&mut self, counts: &BTreeMap<Carrier, CarrierCounts>, snapshot: &Snapshot) {
        let rows: Vec<(String, &str, &ZoneCounts)> = counts
            .iter()
            .flat_map(|(carrier, counts)| {
                counts.by_apex(snapshot).map(|(apex, zone)| {
                    (apex.map_or_else(|| OUTSIDE.to_owned(), Name::to_string), carrier.label(), zone)
                })
            })
            .collect();
        let mut samples = self.family(&family::QUERIES);
        for (apex, carrier, zone) in &rows {
            for (qtype, finding, count) in zone.each() {
                samples.put(&[apex, carrier, qtype, finding.label()], count);
            }
        }
        let mut samples = self.family(&family::RECEIVED_BYTES);
        rows.iter().for_each(|(apex, carrier, zone)| samples.put(&[apex, carrier], zone.bytes_in()));
        let mut samples = self.family(&family::SENT_BYTES);
        rows.iter().for_each(|(apex, carrier, zone)| samples.put(&[apex, carrier], zone.bytes_out()));
        let mut samples = self.family(&family::DURATION);
        counts.iter().for_each(|(carrier, counts)| samples.put_durations(carrier.label(), &counts.durations));
    }
}

/// The samples of a family.
#[derive(Debug)]
pub struct Samples<'t> {
    text: &'t mut String,
    family: &'static Family,
}

impl Samples<'_> {
    /// Writes a sample, with values for the family's labels in their order.
    pub fn put(&mut self, labels: &[&str], value: impl Display) {
        debug_assert_eq!(labels.len(), self.family.labels.len());
        self.put_as("", self.family.labels.iter().copied().zip(labels.iter().copied()), value);
    }

    fn put_durations(&mut self, carrier: &str, counts: &DurationCounts) {
        let own = ("transport", carrier);
        let mut sum = 0;
        for (bound, count) in counts.by_bound() {
            sum += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |seconds| seconds.to_string());
            self.put_as("_bucket", [own, ("le", &bound)].into_iter(), sum);
        }
        self.put_as("_sum", [own].into_iter(), counts.seconds());
        self.put_as("_count", [own].into_iter(), sum);
    }

    fn put_as<'l>(&mut self, suffix: &str, labels: impl Iterator<Item = (&'l str, &'l str)>, value: impl Display) {
        let text = &mut *self.text;
        text.push_str(self.family.name);
        text.push_str(suffix);
        let mut separator = '{';
        for (label, value) in labels {
            text.push(separator);
            text.push_str(label);
            text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What stands for the zone of a query that is outside every zone; no apex is spelt so.
pub const OUTSIDE: &str = "(none)";
/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
