//! Scrubbing a store in operation.

use super::shared::Engine;
use crate::directory::manifest::TreeEntry;
use crate::error::Result;
use crate::scrub;
use crate::scrub::{OnProgress, Options, Report, Subject};
use crate::wal::{Extent, Log};

/// How often reading the log starts again because a checkpoint released what was being read.
const TRIES: usize = 100;

impl Engine {
    /// Verifies the parts of the last checkpoint, and the log from there to what is durable now.
    pub(crate) fn scrub(&self, options: &Options, progress: OnProgress<'_>) -> Result<Report> {
        // A checkpoint that waits for the flusher may have the lock.
        self.may_wait("scrub")?;
        // Opened under the lock, so that no checkpoint removes a file in between. Open files stay
        // readable.
        let (manifest, subject) = {
            let live = self.checkpoints.lock();
            let mode = self.settings.read_mode;
            let find = |entry: &TreeEntry| self.hasher_of(entry);
            (live.manifest.clone(), Subject::open(&*self.fs, &live.manifest, &find, mode)?)
        };
        let mut report = scrub::online(&*self.fs, &manifest, &subject, options, progress)?;
        for _ in 0..TRIES {
            if report.interrupted {
                break;
            }
            let (manifest, end) = {
                let live = self.checkpoints.lock();
                (live.manifest.clone(), self.flush_point_now().position)
            };
            let mut log = Log { clean: false, ..manifest.log.clone() };
            if log.open != end {
                log.closed.push(Extent { from: log.open, to: end });
            }
            let intact = scrub::add_closed(&*self.fs, &manifest, &log, &mut report)?;
            // Segments are reused once a checkpoint releases them.
            if intact || self.checkpoints.lock().manifest.number == manifest.number {
                break;
            }
        }
        Ok(report)
    }
}
