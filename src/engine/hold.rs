//! Keeping files for backups that copy them.
//!
//! # Invariant
//!
//! Every file that the manifest in force named when a hold began, and every segment that the log had
//! then, stays under its name and as it is until the hold ends. A hold begins under the checkpoint
//! lock, under which alone a manifest comes into force that does without a file. Files that come later
//! are not kept, so that a long backup beside a busy writer takes no more room for them.

use super::checkpoint::Checkpoints;
use super::shared::Engine;
use crate::error::Error;
use crate::fs::FileName;
use crate::wal::SegmentHold;

/// The holds on files, and the files to remove afterwards.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// The number of the first part that is too new for each hold.
    beyond: Vec<u64>,
    retired: Vec<FileName>,
}

impl Holds {
    fn need(&self, part: &FileName) -> bool {
        self.beyond.iter().any(|beyond| part.number < *beyond)
    }
}

/// Keeps files while it lives.
#[must_use = "dropping it ends the hold"]
pub(crate) struct Hold<'a> {
    engine: &'a Engine,
    beyond: u64,
    _segments: SegmentHold<'a>,
}

impl Engine {
    /// Keeps what the manifest of `live` names, and the log.
    pub(crate) fn hold(&self, live: &Checkpoints) -> Hold<'_> {
        let beyond = live.next_part;
        self.holds.lock().beyond.push(beyond);
        Hold { engine: self, beyond, _segments: self.log.hold_segments() }
    }

    /// Removes parts that the manifest in force does not name any more, now or when the last hold on them
    /// ends.
    pub(crate) fn retire(&self, parts: impl Iterator<Item = FileName>) {
        let mut holds = self.holds.lock();
        let (held, free) = parts.partition::<Vec<_>, _>(|part| holds.need(part));
        holds.retired.extend(held);
        drop(holds);
        self.remove_parts(free.into_iter());
    }

    fn remove_parts(&self, parts: impl Iterator<Item = FileName>) {
        for name in parts {
            let removed = self.fs.remove(name);
            if let Err(error) =
                removed.map_err(|error| Error::io("remove", self.fs.display(name), error))
            {
                self.poison_if_displaced(&error);
                // The next open removes it.
                tracing::warn!(%error, file = %name, "cannot remove a part that was merged");
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut holds = self.engine.holds.lock();
        if let Some(own) = holds.beyond.iter().position(|beyond| *beyond == self.beyond) {
            holds.beyond.swap_remove(own);
        }
        let retired = std::mem::take(&mut holds.retired);
        let (held, free) = retired.into_iter().partition::<Vec<_>, _>(|part| holds.need(part));
        holds.retired = held;
        drop(holds);
        self.engine.remove_parts(free.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartId;

    #[test]
    fn a_hold_needs_every_part_that_has_a_number_when_it_begins() {
        let holds = Holds { beyond: vec![5, 3], retired: Vec::new() };
        let needed = (1..8).filter(|number| holds.need(&PartId(*number).file()));
        assert_eq!(needed.collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
