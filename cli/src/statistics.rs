//! What a running append says of itself when SIGUSR1 comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use duramen::inspect::count;
use duramen::{Distribution, DynAccumulator, Stats};

use crate::error::Error;
use crate::{output, signals};

/// The store of a running append, until it is closed.
#[derive(Clone)]
pub(crate) struct Reported {
    store: Arc<Mutex<Option<DynAccumulator>>>,
    /// Records of the input that are in the tree.
    pub(crate) records: Arc<AtomicU64>,
    begun: Instant,
}

impl Reported {
    /// Prints a line on standard error for each SIGUSR1 from now on. Before a store is [shown](Self::show) it says that
    /// there is none.
    pub(crate) fn start() -> Result<Self, Error> {
        let (store, records) = (Arc::default(), Arc::default());
        let reported = Self { store, records, begun: Instant::now() };
        let shown = reported.clone();
        signals::on_usr1(move || output::tell(&shown.line())).map_err(|source| Error::Make {
            what: "a thread that waits for signals",
            source: source.into(),
        })?;
        Ok(reported)
    }

    /// The store to report on.
    pub(crate) fn show(&self, store: &DynAccumulator) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.clone());
    }

    /// Drops the handle of the store, which is to be closed.
    pub(crate) fn hide(&self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn line(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let records = count(self.records.load(Ordering::Relaxed), "record", "records").to_string();
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = &*store else {
            return format!("{records} in {seconds:.1} s, no store is open");
        };
        let size = count(store.size().get(), "leaf", "leaves");
        format!("{records} in {seconds:.1} s; {size}; {}", in_words(&store.stats()))
    }
}

/// Statistics in one line.
fn in_words(stats: &Stats) -> String {
    let syncs = &stats.sync_nanos;
    let (checkpoints, failed) =
        (count(stats.checkpoints, "checkpoint", "checkpoints"), stats.failed_checkpoints);
    let (merges, failed_merges) =
        (count(stats.compactions, "merge", "merges"), stats.failed_compactions);
    format!(
        "{} not durable; {} of log, {} ({}); {checkpoints}, {failed} failed; {merges}, {failed_merges} failed; {}; \
         {} in memory; {}, {} refused",
        count(stats.pending, "leaf", "leaves"),
        count(stats.wal_bytes_written, "byte", "bytes"),
        count(stats.syncs, "sync", "syncs"),
        spread(syncs),
        count(stats.parts, "part", "parts"),
        count(stats.memory_bytes, "byte", "bytes"),
        count(stats.stalls, "stall", "stalls"),
        stats.refused,
    )
}

/// Where most durations lie.
fn spread(nanos: &Distribution) -> String {
    let [p50, p99, max] = [nanos.p50, nanos.p99, nanos.max].map(Duration::from_nanos);
    format!("p50 {p50:.1?}, p99 {p99:.1?}, longest {max:.1?}")
}
