//! Prunes trees by the policies of the store, on a worker.
//!
//! # Invariants
//!
//! - Only what the last checkpoint has is looked at and dropped: a policy makes no checkpoint and waits for no flush.
//! - A tree that is asleep is loaded only if it is to be pruned.
//! - A tree that cannot be pruned holds up no other one, and no merge.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::catalog::Slot;
use super::log::Changed;
use super::shared::Engine;
use crate::ages::Ages;
use crate::config::Kept;
use crate::directory::manifest::TreeEntry;
use crate::error::{Error, Result};
use crate::report::Event;

impl Engine {
    /// Prunes the trees that have leaves which their policies do not keep. A failure is reported, and retried if it may go away.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this has become a forked child, or why the store is poisoned.
    pub(super) fn prune_by_policy(&self) -> Result<()> {
        if !self.settings.retention.has_rules() {
            return Ok(());
        }
        let upkeep = self.keeper.upkeep();
        let overdue = if upkeep.take_prunes() { self.overdue() } else { Vec::new() };
        if let Some(age) = self.settings.retention.ages().min() {
            // Without inserts no checkpoint looks again.
            upkeep.prune_later((age / 16).max(SHORTEST_LOOK), &self.log);
        }
        for (slot, below) in overdue {
            if upkeep.gave_up(slot.spec.id) {
                continue;
            }
            let Some(turn) = self.keeper.alone().try_begin() else { return Ok(()) };
            let done = self.prune_checkpointed(&slot, below);
            if let Err(error @ Error::Forked { .. }) = done {
                // The turn is the parent's.
                std::mem::forget(turn);
                return Err(error);
            }
            drop(turn);
            self.poison_if_noted()?;
            match done {
                Ok(Some(info)) => {
                    upkeep.prune_succeeded();
                    self.tell_pruned(&info)?;
                }
                // The tree was changed since the checkpoint, or the store is being closed. The next checkpoint asks again.
                Ok(None)
                | Err(Error::Closed | Error::TreeDropped { .. } | Error::SizeOutOfRange { .. }) => {
                }
                Err(error) => {
                    self.poison_if_fatal(&error)?;
                    let (tree, backoff) = (&slot.spec.name, self.settings.backoff);
                    let retry_in = upkeep.prune_failed(slot.spec.id, &error, backoff, &self.log);
                    tracing::error!(%error, %tree, ?retry_in, "a prune by policy failed; the leaves stay");
                    let failed = || {
                        let (tree, error) = (tree.clone(), error.clone());
                        Event::PruneFailed { tree, error, retry_in }
                    };
                    self.gate.tell(failed)?;
                }
            }
        }
        Ok(())
    }

    /// The trees to prune now, with the first leaf that stays of each.
    fn overdue(&self) -> Vec<(Arc<Slot>, u64)> {
        let manifest = self.keeper.manifest();
        let policy = |entry: &TreeEntry| self.settings.retention.of(&entry.spec.name).clone();
        let marked = |entry: &TreeEntry| -> Vec<u64> {
            manifest.marks.iter().filter_map(|mark| mark.size(entry.spec.id)).collect()
        };
        let cut = |entry: &Arc<TreeEntry>| {
            let policy = policy(entry);
            if !policy.has_rules() {
                return None;
            }
            let parts: Vec<_> = entry.parts.iter().map(|part| part.from..part.to).collect();
            let marked = if policy.keeps_marks() { marked(entry) } else { Vec::new() };
            let kept = Kept {
                base: entry.begin(),
                size: entry.size,
                parts: &parts,
                marked: &marked,
                old: policy.age().map_or(0, |age| entry.ages.older(now(), age)),
                has_tiles: entry.spec.has_tiles(),
            };
            Some((entry.spec.id, policy.cut(&kept)?))
        };
        let cuts: Vec<_> = manifest.trees.iter().filter_map(cut).collect();
        if cuts.is_empty() {
            return Vec::new();
        }
        let slots = self.catalog.all();
        let slot = |id| {
            let at = slots.binary_search_by_key(&id, |slot| slot.spec.id).ok()?;
            Some(Arc::clone(&slots[at]))
        };
        cuts.into_iter().filter_map(|(id, below)| Some((slot(id)?, below))).collect()
    }

    /// The moments of a tree in the next manifest. `stored` is its entry in the one in force.
    pub(super) fn ages(&self, stored: Option<&TreeEntry>, change: &Changed) -> Ages {
        let known = stored.map(|entry| entry.ages.clone()).unwrap_or_default();
        match self.settings.retention.of(&change.spec.name).age() {
            Some(age) => known.noted(now(), change.size, age),
            None => known,
        }
    }
}

/// Leaves that become old are looked for no more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
