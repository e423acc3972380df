//! One generation of everything that is served, and the one place where the next takes over.
//!
//! Invariant (the generation rule): the data of a generation never changes; only newer generations arrive; the move
//! is one pointer swap, so that a query sees one generation whole. Building and checking happen aside, elsewhere.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// All zones of one generation.
#[derive(Debug, Default)]
pub struct Snapshot {}

/// The generation that is being served.
#[derive(Debug)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// Starts with a first generation.
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The current generation, to be kept for one batch of queries and no longer.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Makes `snapshot` the current generation and returns the one before, for the caller to drop off the query path.
    pub fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.0.swap(Arc::new(snapshot))
    }
}
