//! Holds: a backup keeps the files that it copies.
//!
//! # Invariant
//!
//! When a hold begins, the manifest in force names some files and the log has some segments. All of them keep
//! their names and contents until the hold ends. A hold begins under the checkpoint lock, and only under that
//! lock a manifest can come into force that no longer names a file. Later files are not kept, so a long backup
//! beside a busy writer takes no room for them.

use std::sync::Arc;

use super::holds::Retired;
use super::keeper::Live;
use super::shared::Engine;
use crate::error::Error;
use crate::ids::PartId;
use crate::wal::SegmentHold;

/// A hold. Dropping it ends the hold.
#[must_use = "dropping it ends the hold"]
pub(super) struct Hold<'a> {
    engine: &'a Engine,
    beyond: u64,
    _segments: SegmentHold<'a>,
}

/// A hold on parts alone, for what outlives a call: a state that is shipped. Dropping it ends the hold.
#[must_use = "dropping it ends the hold"]
pub(crate) struct PartsHold {
    engine: Arc<Engine>,
    beyond: u64,
}

impl PartsHold {
    /// Begins a hold on the parts that the manifest of `live` names.
    pub(super) fn begin(engine: &Arc<Engine>, live: &Live) -> Self {
        let beyond = live.numbers().part;
        engine.keeper.holds().begin(beyond);
        Self { engine: Arc::clone(engine), beyond }
    }
}

impl Drop for PartsHold {
    fn drop(&mut self) {
        if self.engine.process().check().is_ok() {
            self.engine.end_parts_hold(self.beyond);
        }
    }
}

impl Engine {
    fn end_parts_hold(&self, beyond: u64) {
        let free = self.keeper.holds().end(beyond);
        // If a forked child removes none of them, the parent does.
        self.remove_parts(free);
        let _ = self.poison_if_noted();
    }

    /// Begins a hold on the files that the manifest of `live` names, and on the log.
    pub(super) fn hold(&self, live: &Live) -> Hold<'_> {
        let beyond = live.numbers().part;
        self.keeper.holds().begin(beyond);
        Hold { engine: self, beyond, _segments: self.log.hold_segments() }
    }

    /// Removes parts that the manifest in force no longer names, now or when the last hold on them ends. The
    /// caller may hold the checkpoint lock.
    pub(super) fn retire(&self, parts: impl Iterator<Item = Retired>) {
        self.remove_parts(self.keeper.holds().retire(parts));
    }

    fn remove_parts(&self, parts: Vec<Retired>) {
        for Retired { name, keeps_entries } in parts {
            // An erasure that begins meanwhile waits until the file is gone.
            let unerased = self.keeper.unerased().guard();
            let wipe = keeps_entries && unerased.is_none();
            let index = PartId(name.number).index_file();
            let index = match self.fs.remove(index) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err((index, error)),
                _ => Ok(()),
            };
            let part = match (wipe, &index) {
                (true, _) => {
                    self.keeper.strays().add(name);
                    self.wipe_stray(name);
                    Ok(())
                }
                // No index is left without its part.
                (false, Err(_)) => Ok(()),
                (false, Ok(())) => self.fs.remove(name).map_err(|error| (name, error)),
            };
            if !wipe && (index.is_err() || part.is_err()) {
                // Entries may be erased later that the part has.
                self.keeper.strays().add(name);
            }
            for (name, error) in [index, part].into_iter().filter_map(Result::err) {
                let error = Error::io("remove", self.fs.display(name), error);
                self.keeper.note_if_displaced(&error);
                // The next open removes it.
                tracing::warn!(%error, file = %name, "cannot remove a part that was merged");
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.engine.end_parts_hold(self.beyond);
    }
}
