//! Keeping files for whoever copies them.
//!
//! # Invariant
//!
//! Every file that the manifest in force named when a hold began, and every segment that the log had
//! then, stays under its name and as it is until the hold ends. A hold begins under the checkpoint
//! lock, under which alone a manifest comes into force that does without a file.

use super::checkpoint::Checkpoints;
use super::engine::Engine;
use crate::fs::FileName;
use crate::wal::SegmentHold;

/// Who holds files, and what is to be removed afterwards.
#[derive(Debug, Default)]
pub(super) struct Holds {
    count: usize,
    retired: Vec<FileName>,
}

/// Keeps files while it lives.
#[must_use = "dropping it ends the hold"]
pub(super) struct Hold<'a> {
    engine: &'a Engine,
    _segments: SegmentHold<'a>,
}

impl Engine {
    /// Keeps what the manifest of `_live` names, and the log.
    pub(super) fn hold(&self, _live: &Checkpoints) -> Hold<'_> {
        self.holds.lock().count += 1;
        Hold { engine: self, _segments: self.segments.hold() }
    }

    /// Removes parts that the manifest in force does not name any more, now or when nobody holds them.
    pub(super) fn retire(&self, parts: impl Iterator<Item = FileName>) {
        let mut holds = self.holds.lock();
        if holds.count > 0 {
            holds.retired.extend(parts);
            return;
        }
        drop(holds);
        self.remove_parts(parts);
    }

    fn remove_parts(&self, parts: impl Iterator<Item = FileName>) {
        for name in parts {
            if let Err(error) = self.fs.remove(name) {
                // The next open removes it.
                tracing::warn!(%error, file = %name, "cannot remove a part that was merged");
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut holds = self.engine.holds.lock();
        holds.count -= 1;
        if holds.count > 0 {
            return;
        }
        let retired = std::mem::take(&mut holds.retired);
        drop(holds);
        self.engine.remove_parts(retired.into_iter());
    }
}
