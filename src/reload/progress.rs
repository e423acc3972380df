//! How far a load has come, for whoever asks meanwhile.
//!
//! Invariant: whoever asks waits for no load: the lock is held for a few instructions, and counting needs none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::feed::Meter;

/// The load that is running, if one is.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Option<Reading>>);

#[derive(Debug)]
struct Reading {
    dataset: String,
    of_bytes: u64,
    meter: Arc<Meter>,
    since: Instant,
}

/// How far a load has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loading {
    /// The dataset that is being read.
    pub dataset: String,
    /// Bytes that have been read of its files.
    pub bytes: u64,
    /// Bytes of its files; 0 where they are no files that have a size.
    pub of_bytes: u64,
    /// Lines passed.
    pub lines: u64,
    /// How long it has been read.
    pub took: Duration,
}

impl Progress {
    /// How far the load has come that is running, if one is.
    pub fn loading(&self) -> Option<Loading> {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.as_ref().map(|reading| Loading {
            dataset: reading.dataset.clone(),
            bytes: reading.meter.bytes(),
            of_bytes: reading.of_bytes,
            lines: reading.meter.lines(),
            took: reading.since.elapsed(),
        })
    }

    /// From now on a dataset is read, of so many bytes.
    pub(super) fn begin(&self, dataset: &str, of_bytes: u64) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        let reading = Reading { dataset: dataset.to_owned(), of_bytes, meter: meter.clone(), since: Instant::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        meter
    }

    /// Nothing is read any more.
    pub(super) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
