//! Scrubs a store in operation.

use super::shared::Engine;
use crate::error::Result;
use crate::scrub;
use crate::scrub::{OnProgress, Options, Report, Source};
use crate::wal::{Extent, Log};

/// How often reading the log is repeated because a checkpoint released segments meanwhile.
const TRIES: usize = 100;

impl Engine {
    /// Verifies the parts of the last checkpoint, and the log from there to the last durable point.
    pub(crate) fn scrub(&self, options: &Options, progress: OnProgress<'_>) -> Result<Report> {
        // A checkpoint that waits for the flusher may hold the checkpoint lock.
        self.check_may_wait("scrub")?;
        let source = Source {
            fs: &*self.fs,
            mode: self.settings.read_mode,
            hasher: &|spec| self.catalog.hasher_of(spec),
            newest: &|| Ok(self.keeper.manifest()),
        };
        let manifest = self.keeper.manifest();
        let mut report = scrub::online(&source, &manifest, options, progress)?;
        for _ in 0..TRIES {
            if report.interrupted {
                break;
            }
            let (manifest, end) = {
                let live = self.keeper.lock();
                (live.manifest().clone(), self.log.point().position)
            };
            let mut log = Log { clean: false, ..manifest.log.clone() };
            if log.open != end {
                log.closed.push(Extent { from: log.open, to: end });
            }
            let intact = scrub::add_closed(&source, &manifest, &log, &mut report)?;
            // Segments are reused once a checkpoint releases them.
            if intact || self.keeper.lock().manifest().number == manifest.number {
                break;
            }
        }
        Ok(report)
    }
}
