//! The thread that looks at the files of lists every few seconds.
//!
//! Invariant: a file system that hangs holds up nothing but this thread, and loads.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::actor::Happening;
use super::background;
use crate::config::Config;
use crate::reload::{Plan, Store, Watch};

/// Tells the thread what to look at.
pub(super) struct Watcher(Sender<Orders>);

struct Orders {
    every: Option<Duration>,
    plan: Arc<Plan>,
}

impl Watcher {
    /// Starts the thread; which datasets have changed goes to `sender`.
    pub(super) fn start(config: &Config, store: &Store, sender: Sender<Happening>) -> io::Result<Self> {
        let (orders, received) = channel();
        background::start("watch", move || watch(&received, &sender))?;
        let watcher = Self(orders);
        watcher.tell(config, store);
        Ok(watcher)
    }

    /// Tells what is to be watched from now on.
    pub(super) fn tell(&self, config: &Config, store: &Store) {
        // the thread ends when nobody listens to it any more
        drop(self.0.send(Orders { every: config.watch, plan: store.shared_plan() }));
    }
}

fn watch(orders: &Receiver<Orders>, sender: &Sender<Happening>) {
    let Ok(mut current) = orders.recv() else { return };
    let mut watch = Watch::default();
    loop {
        let next = match current.every {
            Some(every) => orders.recv_timeout(every),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(orders) => current = orders,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let changed = watch.glance(&current.plan);
                if !changed.is_empty() && sender.send(Happening::Changed(changed)).is_err() {
                    return;
                }
            }
        }
    }
}
