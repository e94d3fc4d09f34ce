//! The logs that one process serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, watch};

use super::limits::Limits;
use super::metrics::Counted;
use crate::log::Log;

/// One log, with what its handlers need.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) log: Log,
    pub(super) limits: Limits,
    pub(super) counted: Counted,
    pub(super) tails: Arc<Semaphore>,
    /// True once the server stops.
    pub(super) stopping: watch::Receiver<bool>,
}

/// The logs of one process.
#[derive(Debug)]
pub struct Site {
    served: Vec<Arc<Served>>,
    stopping: watch::Sender<bool>,
    pub(super) open: AtomicU64,
}

impl Site {
    /// Serves these logs, each under its name. The first one is at the root as well.
    #[must_use]
    pub fn new(logs: Vec<(String, Log)>, limits: &Limits) -> Arc<Self> {
        let stopping = watch::Sender::new(false);
        let serve = |(name, log)| {
            let tails = Arc::new(Semaphore::new(limits.tails));
            let (limits, stopping) = (limits.clone(), stopping.subscribe());
            let counted = Counted::default();
            Arc::new(Served { name, log, limits, counted, tails, stopping })
        };
        let served = logs.into_iter().map(serve).collect();
        Arc::new(Self { served, stopping, open: AtomicU64::new(0) })
    }

    /// The names of the logs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.served.iter().map(|served| served.name.as_str())
    }

    pub(super) fn log(&self, name: &str) -> Option<&Arc<Served>> {
        self.served.iter().find(|served| served.name == name)
    }

    pub(super) fn all(&self) -> &[Arc<Served>] {
        &self.served
    }

    /// Open connections.
    pub(super) fn connections(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Ends the streams, which would never end by themselves.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers every entry that was taken, and publishes the last checkpoint of each log.
    ///
    /// # Errors
    ///
    /// The first error of a log, behind its name. The others are closed all the same.
    pub fn close(&self) -> Result<(), (String, crate::LogError)> {
        let mut result = Ok(());
        for served in &self.served {
            let closed = served.log.close().map_err(|error| (served.name.clone(), error));
            result = result.and(closed);
        }
        result
    }
}
