//! Writes the status file of a store that is open.
//!
//! # Invariants
//!
//! - It is written by the flusher after changes, and once by the thread that opens and by the one that closes. No insert,
//!   flush or checkpoint waits for it.
//! - The lock in here is held across one write of the file. A thread that holds it takes only the locks that statistics
//!   take.
//! - No failure here is one of the store.

use std::time::{Duration, SystemTime};

use super::shared::Engine;
use crate::directory::status::{MOST_TREES, State, encode};
use crate::directory::status_file::write;
use crate::error::Error;
use crate::report::RunState;

/// How often at most the flusher writes the file.
const EVERY: Duration = Duration::from_millis(100);

/// An error with its causes.
fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn since_1970(moment: SystemTime) -> Duration {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl Engine {
    /// Has the flusher write the status file from now on, if there is one, and writes it for the first time.
    pub(super) fn begin_status(&self) {
        if self.status.is_some() {
            self.log.report_every(EVERY);
            self.write_status(RunState::Open);
        }
    }

    /// Writes the status file, if there is one. `otherwise` is the state of a store that is not poisoned.
    pub(super) fn write_status(&self, otherwise: RunState) {
        let Some(status) = &self.status else { return };
        if !self.process.is_current() {
            return;
        }
        let mut last = status.last.lock();
        let oldest_unflushed = self.log.dirty_since().map(|since| since.elapsed());
        let checkpointed = self.inflow.accepted().checkpointed;
        let (stats, awake) = (self.stats(), self.catalog.awake());
        let changes = stats.leaves != last.leaves;
        let state = match self.inflow.check() {
            Err(Error::Poisoned { source }) => RunState::Poisoned { error: in_words(&source) },
            _ => otherwise,
        };
        last.sequence += 1;
        last.leaves = stats.leaves;
        let written = since_1970(SystemTime::now()).as_nanos();
        let bytes = encode(State {
            store: self.store,
            pid: status.pid,
            opened: since_1970(status.opened).as_secs(),
            written: u64::try_from(written).unwrap_or(u64::MAX),
            sequence: last.sequence,
            state,
            oldest_unflushed,
            checkpointed,
            stats,
            used_trees: awake.len() as u64,
            trees: awake.iter().take(MOST_TREES).map(|tree| tree.stats()).collect(),
        });
        let done = write(&*status.file, &bytes);
        if let Err(error) = &done
            && !last.failed
        {
            tracing::warn!(%error, "cannot write the status file");
        }
        last.failed = done.is_err();
        drop(last);
        // Under a manual policy leaves come without a word to the flusher. So it looks again for as long as they do.
        if changes {
            self.log.report_change();
        }
    }
}
