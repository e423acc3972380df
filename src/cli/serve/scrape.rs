//! What the running server tells of itself in numbers: all metrics, and the traffic that `infamy top` shows.
//!
//! Invariant: whoever answers queries notices nothing of it: counters are read, and nothing is reset.

use std::fs;
use std::sync::Arc;

use nix::sys::resource::{UsageWho, getrusage};

use super::board::Shown;
use crate::dnsxl::Name;
use crate::http::api::{Bucket, Durations, Held, QueryCount, Status, Traffic};
use crate::metrics::{Exposition, family};
use crate::query_log::{Dnstap, QueryLog, Watch};
use crate::server::{Abuse, Carrier, CertificateState, Certificates, Counters, CountersByDoor, Running, Tallies};
use crate::snapshot::Snapshot;

/// Where the numbers come from that the doors count.
#[derive(Debug)]
pub(super) struct Measured {
    tallies: Tallies,
    counters: CountersByDoor,
    certificates: Certificates,
    watch: Option<Arc<Watch>>,
}

impl Measured {
    pub(super) fn new(running: &Running, watch: Option<Arc<Watch>>) -> Self {
        let (tallies, counters) = (running.tallies().clone(), running.counters().clone());
        Self { tallies, counters, certificates: running.certificates().clone(), watch }
    }

    /// What was held back or lost.
    pub(super) fn held(&self) -> Held {
        let Abuse { limited, slipped, over_quota, cookies_good, cookies_bad, .. } = self.tallies.abuse();
        let lost_records = self.lost_records().map(|(_, lost)| lost).sum();
        Held { rate_limited: limited, slipped, over_quota, cookies_good, cookies_bad, lost_records }
    }

    /// How many records each log lost, of those that there are.
    fn lost_records(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let watch = self.watch.iter();
        watch.flat_map(|watch| {
            let log = watch.log.iter().map(|log| ("query-log", QueryLog::lost(log)));
            log.chain(watch.dnstap.iter().map(|dnstap| ("dnstap", Dnstap::lost(dnstap))))
        })
    }

    /// How the certificates are.
    pub(super) fn certificates(&self) -> Vec<CertificateState> {
        self.certificates.states()
    }

    /// What queries came to.
    pub(super) fn traffic(&self, snapshot: &Snapshot) -> Traffic {
        let mut traffic = Traffic::default();
        for (carrier, counts) in self.tallies.read() {
            let transport = carrier.label();
            for (apex, counts) in counts.by_apex(snapshot) {
                traffic.queries.extend(counts.each().map(|(qtype, finding, count)| QueryCount {
                    zone: apex.map(Name::to_string),
                    transport: transport.to_owned(),
                    qtype: qtype.to_owned(),
                    result: finding.label().to_owned(),
                    count,
                }));
            }
            traffic.durations.push(Durations {
                transport: transport.to_owned(),
                seconds: counts.durations.seconds(),
                buckets: counts.durations.by_bound().map(|(up_to, count)| Bucket { up_to, count }).collect(),
            });
        }
        traffic
    }

    /// All metrics.
    pub(super) fn metrics(
        &self,
        status: &Status,
        shown: &Shown,
        snapshot: &Snapshot,
        refused_configurations: u64,
    ) -> String {
        let mut text = Exposition::default();
        text.traffic(&self.tallies.read(), snapshot);
        text.single(&family::PANICS, self.counters.panics());
        text.single(&family::LOST_REPLIES, self.counters.lost_replies());
        of_connections(&mut text, &self.counters);
        let abuse = self.tallies.abuse();
        let mut cookies = text.family(&family::COOKIES);
        for (cookie, count) in [("new", abuse.cookies_new), ("good", abuse.cookies_good), ("bad", abuse.cookies_bad)] {
            cookies.put(&[cookie], count);
        }
        text.single(&family::RRL_DROPPED, abuse.limited);
        text.single(&family::RRL_SLIPPED, abuse.slipped);
        text.single(&family::OVER_QUOTA, abuse.over_quota);
        of_zones(&mut text, status, shown, snapshot);
        of_feeds(&mut text, status);
        text.single(&family::CONFIGURATION_FAILURES, refused_configurations);
        of_certificates(&mut text, &self.certificates());
        text.single(&family::GENERATION, status.generation);
        text.single(&family::GENERATION_TIME, status.published.0.0);
        if let Some(store) = &status.store {
            text.single(&family::STORE_WAITING, store.waiting);
            text.single(&family::STORE_FAILING, u8::from(store.error.is_some()));
        }
        if self.watch.is_some() {
            let mut lost = text.family(&family::LOST_RECORDS);
            self.lost_records().for_each(|(log, count)| lost.put(&[log], count));
        }
        text.family(&family::BUILD).put(&[&status.version], 1);
        text.single(&family::START_TIME, status.started.0.0);
        of_process(&mut text);
        text.finish()
    }
}

fn of_zones(text: &mut Exposition, status: &Status, shown: &Shown, snapshot: &Snapshot) {
    let zones: Vec<(String, &crate::zone::Zone)> =
        snapshot.zones().iter().map(|zone| (zone.apex.to_string(), zone)).collect();
    let mut serials = text.family(&family::ZONE_SERIAL);
    zones.iter().for_each(|(apex, zone)| serials.put(&[apex], zone.soa.serial));
    let mut entries = text.family(&family::ZONE_ENTRIES);
    for plan in &shown.plan.zones {
        let of_feed = |index: usize| status.datasets.get(index).map_or(0, |dataset| dataset.entries);
        let sum: u64 = plan.datasets.iter().map(|(index, _)| of_feed(*index)).sum();
        entries.put(&[&plan.spec.apex.to_lowercase().to_string()], sum);
    }
    let mut available = text.family(&family::ZONE_AVAILABLE);
    zones.iter().for_each(|(apex, zone)| available.put(&[apex], u8::from(!zone.unavailable)));
}

fn of_feeds(text: &mut Exposition, status: &Status) {
    let feeds = &status.datasets;
    let mut samples = text.family(&family::FEED_ENTRIES);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], feed.entries));
    let mut samples = text.family(&family::FEED_SUCCESS);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], feed.as_of.map_or(0, |as_of| as_of.0.0)));
    let mut samples = text.family(&family::FEED_CHANGE);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], feed.loaded.map_or(0, |loaded| loaded.0.0)));
    let mut samples = text.family(&family::FEED_FAILURES);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], feed.failures));
    let mut samples = text.family(&family::FEED_FAILING);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], u8::from(feed.error.is_some())));
    let mut samples = text.family(&family::FEED_CHANGES);
    feeds.iter().for_each(|feed| samples.put(&[&feed.name], feed.changes));
}

fn of_connections(text: &mut Exposition, counters: &CountersByDoor) {
    let mut put = |family, count: fn(&Counters) -> u64| {
        let mut samples = text.family(family);
        let doors = counters.each().filter(|(carrier, _)| *carrier != Carrier::Udp);
        doors.for_each(|(carrier, counters)| samples.put(&[carrier.label()], count(counters)));
    };
    put(&family::REFUSED_CONNECTIONS, Counters::refused_connections);
    put(&family::EVICTED_CONNECTIONS, Counters::evicted_connections);
    put(&family::FAILED_ACCEPTS, Counters::failed_accepts);
}

fn of_certificates(text: &mut Exposition, certificates: &[CertificateState]) {
    if certificates.is_empty() {
        return;
    }
    let mut samples = text.family(&family::CERTIFICATE_FAILURES);
    certificates.iter().for_each(|state| samples.put(&[state.door.label()], state.failures));
    let mut samples = text.family(&family::CERTIFICATE_EXPIRY);
    for state in certificates {
        state.expires.iter().for_each(|expires| samples.put(&[state.door.label()], expires));
    }
}

/// What the kernel knows of us; in a chroot there is no /proc, and then less is told.
fn of_process(text: &mut Exposition) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        text.single(&family::CPU, seconds(usage.user_time()) + seconds(usage.system_time()));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    if let Some(kibibytes) = resident.and_then(|number| number.parse::<u64>().ok()) {
        text.single(&family::MEMORY, kibibytes * 1024);
    }
}
