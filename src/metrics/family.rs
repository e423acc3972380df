//! Every metric there is: its name, what kind it is, its labels, and what it means.
//!
//! Invariant: the tables of `docs/operations.md` and the dashboard in `packaging/grafana` name these and no others; tests
//! compare them.

/// A metric, and what its samples have in common.
#[derive(Debug)]
pub struct Family {
    /// As it is queried, but for the suffixes of a histogram.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it means, in a line.
    pub help: &'static str,
    /// The names of its labels, in the order of their values.
    pub labels: &'static [&'static str],
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows from the start of the process on.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by bounds.
    Histogram,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Family =
                Family { name: $name, kind: Kind::$kind, help: $help, labels: &[$($label),*] };
        )*
        /// All of them, in the order in which they are written.
        pub static ALL: &[&Family] = &[$(&$id),*];
    };
}

families! {
    QUERIES: Counter "infamy_queries_total" ["zone", "transport", "qtype", "result"]
        "Queries by zone, transport, type, and what they came to: listed, unlisted, ent, other, refused, error, dropped.";
    RECEIVED_BYTES: Counter "infamy_received_bytes_total" ["zone", "transport"]
        "Bytes of queries, without those of the transport.";
    SENT_BYTES: Counter "infamy_sent_bytes_total" ["zone", "transport"]
        "Bytes of replies, without those of the transport.";
    DURATION: Histogram "infamy_query_duration_seconds" ["transport"]
        "Time from when a query was received until its reply was written: over UDP that of the batch it came in.";
    PANICS: Counter "infamy_panics_total" []
        "Queries left without an answer, as answering them panicked.";
    LOST_REPLIES: Counter "infamy_lost_replies_total" []
        "Replies that the kernel did not take, or that could not be written.";
    REFUSED_CONNECTIONS: Counter "infamy_refused_connections_total" ["transport"]
        "Connections closed at once, as their client had as many open as it may.";
    EVICTED_CONNECTIONS: Counter "infamy_evicted_connections_total" ["transport"]
        "Connections closed to make room for newer ones.";
    FAILED_ACCEPTS: Counter "infamy_failed_accepts_total" ["transport"]
        "Connections that could not be accepted, mostly for want of file descriptors.";
    COOKIES: Counter "infamy_cookies_total" ["cookie"]
        "Queries with a DNS Cookie: new, with the client's half alone; good; bad, not ours, too old or of another address.";
    RRL_DROPPED: Counter "infamy_rrl_dropped_total" []
        "Replies that were one too many of their kind and not sent, or in a dry run would not have been.";
    RRL_SLIPPED: Counter "infamy_rrl_slipped_total" []
        "Replies that were one too many of their kind, and in whose place a short one was sent.";
    OVER_QUOTA: Counter "infamy_over_quota_total" []
        "Queries beyond the quota of their client or key.";
    ZONE_SERIAL: Gauge "infamy_zone_serial" ["zone"]
        "The serial of the zone.";
    ZONE_ENTRIES: Gauge "infamy_zone_entries" ["zone"]
        "Entries of all feeds of the zone, before they are put together.";
    ZONE_AVAILABLE: Gauge "infamy_zone_available" ["zone"]
        "Whether the zone has all its data; without it every answer is SERVFAIL.";
    FEED_ENTRIES: Gauge "infamy_feed_entries" ["feed"]
        "Entries that the dataset was loaded from.";
    FEED_SUCCESS: Gauge "infamy_feed_last_success_timestamp_seconds" ["feed"]
        "When the newest of the dataset's files was written that were last read without an error: a download that works moves it, whatever it brings.";
    FEED_CHANGE: Gauge "infamy_feed_last_change_timestamp_seconds" ["feed"]
        "When what is served of the dataset was read: the last time that it said something else.";
    FEED_FAILURES: Counter "infamy_feed_load_failures_total" ["feed"]
        "Loads of the dataset that failed; the last good one stays.";
    FEED_FAILING: Gauge "infamy_feed_failing" ["feed"]
        "Whether the last load of the dataset failed.";
    FEED_CHANGES: Gauge "infamy_feed_live_changes" ["feed"]
        "Live changes to the dataset that hold.";
    CONFIGURATION_FAILURES: Counter "infamy_configuration_failures_total" []
        "Configurations that were not taken over; the one before stays.";
    CERTIFICATE_FAILURES: Counter "infamy_certificate_failures_total" ["door"]
        "Reloads that could not read the door's certificate; the one before stays.";
    CERTIFICATE_EXPIRY: Gauge "infamy_certificate_expiry_timestamp_seconds" ["door"]
        "When the certificate that the door serves ends.";
    GENERATION: Gauge "infamy_generation" []
        "The number of the generation that is served.";
    GENERATION_TIME: Gauge "infamy_generation_timestamp_seconds" []
        "Since when it is served.";
    STORE_WAITING: Gauge "infamy_store_waiting" []
        "Reports and changes that wait to be durable.";
    STORE_FAILING: Gauge "infamy_store_failing" []
        "Whether the store of reports and changes cannot be written.";
    LOST_RECORDS: Counter "infamy_log_lost_total" ["log"]
        "Records of the query log and of dnstap that were lost, as their reader was too slow or not there.";
    BUILD: Gauge "infamy_build_info" ["version"]
        "Always 1; the label has the version.";
    START_TIME: Gauge "process_start_time_seconds" []
        "When the process began.";
    CPU: Counter "process_cpu_seconds_total" []
        "Processor time of the process, its kernel's included.";
    MEMORY: Gauge "process_resident_memory_bytes" []
        "Memory of the process that is not paged out. Mapped tables count as far as they have been read.";
}
