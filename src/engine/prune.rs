//! Prunes trees: drops their oldest leaves.
//!
//! # Invariants
//!
//! - A prune is in the manifest and nowhere else. It drops only what a checkpoint has, and neither the log behind the
//!   manifest nor a later rewind leads below its base. So the log has no record of it.
//! - The part that straddles the base is written again from the base on, and is durable before the manifest that names it.
//!   The parts of before are removed once that manifest is durable and no backup needs them. Readers keep what they have.
//! - A prune has the turn of the merges, and from its last look at the tree to the manifest the lock of the rewinds. So
//!   only checkpoints change the tree's parts meanwhile, and those only add some.
//! - The base is what the current state of the tree has below the cut. If the tree was rewound and no checkpoint has cut its
//!   parts yet, a checkpoint comes first.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog::Slot;
use super::holds::Retired;
use super::ingest::Fate;
use super::keeper::{Given, Live};
use super::shared::Engine;
use super::tree::Tree;
use crate::directory::manifest::TreeEntry;
use crate::entry::Erasures;
use crate::error::{Damage, Error, Result};
use crate::merkle::TreeSize;
use crate::mutant::mutant;
use crate::part::{Base, Merged, Part, PartEntries, PartIdentity, PartRef, PartSet, Publisher};
use crate::report::{CheckpointReason, Event, PruneInfo, Steps};
use crate::sync::Mutex;

/// What a prune is to do.
struct Plan {
    tree: Arc<Tree>,
    base: Arc<Base>,
    straddling: Option<Straddling>,
}

/// A part that begins before the base and ends behind it.
struct Straddling {
    part: Arc<Part>,
    /// Of the part that has the leaves from the base on.
    identity: PartIdentity,
    /// The entries that are erased in the manifest in force.
    erasures: Arc<Erasures>,
}

impl Plan {
    /// The number of the new part, if there is one.
    fn given(&self) -> Range<u64> {
        self.straddling.as_ref().map_or(0..0, Straddling::given)
    }
}

impl Straddling {
    /// The number of the new part.
    fn given(&self) -> Range<u64> {
        let number = self.identity.number.0;
        number..number + 1
    }
}

impl Engine {
    /// Prunes a tree below leaf `below`. Returns when that is durable.
    pub(crate) fn prune(&self, slot: &Arc<Slot>, below: u64) -> Result<PruneInfo> {
        self.check_may_wait_for_all("prune")?;
        let info = self.in_turn("prune", || self.prune_alone(slot, below, true))?;
        // With checkpoints it always comes to an end.
        let info = info.ok_or(Error::Panicked { during: "prune" })?;
        self.tell_pruned(&info)?;
        Ok(info)
    }

    /// As [`prune`](Self::prune), on a worker that has the turn of the merges: without a checkpoint, and without an event. `None` if the
    /// last checkpoint does not have the tree as it is below the cut.
    pub(super) fn prune_checkpointed(
        &self,
        slot: &Arc<Slot>,
        below: u64,
    ) -> Result<Option<PruneInfo>> {
        self.prune_alone(slot, below, false)
    }

    /// Tells listeners of a prune that has dropped something.
    pub(super) fn tell_pruned(&self, info: &PruneInfo) -> Result<()> {
        if info.base > info.before {
            let (tree, base) = (&info.tree, info.base);
            let freed = info.bytes_before.saturating_sub(info.bytes);
            tracing::info!(%tree, %base, freed, "tree pruned");
            self.gate.tell(|| Event::Pruned { info: info.clone() })?;
        }
        Ok(())
    }

    /// Prunes, by the thread that has the turn of the merges. `None` if a checkpoint would have to come first, and this call does
    /// not make one.
    fn prune_alone(
        &self,
        slot: &Arc<Slot>,
        below: u64,
        checkpoints: bool,
    ) -> Result<Option<PruneInfo>> {
        // A rewind that comes while a part is written makes a second attempt, which no rewind can disturb.
        let mut only = None;
        loop {
            self.check_continues(false)?;
            let tree = self.load(slot)?;
            if self.fate(&tree) == Fate::Dropped {
                return Err(Error::TreeDropped { tree: tree.name().clone() });
            }
            let current = TreeSize(tree.columns.leaves());
            if below > current.0 {
                return Err(Error::SizeOutOfRange { size: TreeSize(below), current });
            }
            if below <= tree.base() {
                return Ok(Some(unchanged(&tree)));
            }
            let Some(plan) = self.plan_prune(tree, below)? else {
                if !checkpoints {
                    return Ok(None);
                }
                let reason = CheckpointReason::Manual;
                let make = || self.flush_and_checkpoint(reason, Duration::ZERO, || self.flush());
                match &only {
                    None => self.with_events(reason, false, make)?,
                    // A listener may rewind a tree.
                    Some(_) => make()?,
                };
                continue;
            };
            let straddling = plan.straddling.as_ref();
            let rest = straddling.map(|straddling| self.write_rest(&plan.tree, straddling));
            let rest = rest.transpose()?;
            let lock = only.take().unwrap_or_else(|| self.rewinding.lock());
            let mut live = self.keeper.lock();
            let before = live.numbers();
            let pruned = self.install_pruned(&mut live, slot, &plan, rest);
            if !matches!(pruned, Ok(Some(_))) {
                // Not if the manifest that names the part can be seen: a power cut may bring that into force.
                let manifests = live.given_since(before).manifests;
                self.discard(Given { manifests, parts: plan.given() });
            }
            drop(live);
            if let Some((info, retired)) = pruned? {
                drop(lock);
                // A file that this prune still reads cannot be wiped.
                drop(plan);
                self.retire(retired.into_iter());
                return Ok(Some(info));
            }
            only = Some(lock);
        }
    }

    /// What there is to do. `None` if a checkpoint has to come first.
    fn plan_prune(&self, tree: Arc<Tree>, below: u64) -> Result<Option<Plan>> {
        let mut live = self.keeper.lock();
        let Some(entry) = live.manifest().tree(tree.id()).cloned() else {
            return Ok(None);
        };
        let parts = tree.parts();
        if !self.is_in_force(&parts, &entry) || entry.size < below {
            return Ok(None);
        }
        let view = tree.view_at(below);
        let has_tiles = tree.spec.has_tiles() && parts.before().is_none_or(|base| base.has_tiles());
        let base = Arc::new(Base::of(&view, tree.arity, below, has_tiles)?);
        let straddles = |part: &&Arc<Part>| {
            let PartRef { from, to, .. } = part.reference();
            from < below && below < to
        };
        let straddling = parts.parts().iter().find(straddles).map(|part| Straddling {
            part: Arc::clone(part),
            identity: PartIdentity {
                number: live.number_part(),
                from: below,
                to: part.reference().to,
                ..part.identity().clone()
            },
            erasures: Arc::clone(&entry.erasures),
        });
        Ok(Some(Plan { tree, base, straddling }))
    }

    /// Writes the leaves of `straddling` from the base on into a part of their own. Takes no lock.
    fn write_rest(&self, tree: &Tree, straddling: &Straddling) -> Result<Arc<Part>> {
        let step = Mutex::new(Instant::now());
        let inputs = std::slice::from_ref(&straddling.part);
        let source = Merged { inputs, go_on: &|| self.give_way(&step, false) };
        let entries = tree.spec.entries.map(|kept| PartEntries::Stored {
            source: &source,
            compression: kept.stored(),
            erasures: &straddling.erasures,
        });
        let mut steps = Steps::default();
        let mut publisher = Publisher::new(&self.fs, true, &mut steps);
        let made = publisher
            .build(straddling.identity.clone(), &source, entries, &|| false)
            .and_then(|_| match tree.is_indexed() {
                true => publisher.build_index(&source, &|| false),
                false => Ok(()),
            })
            .and_then(|()| publisher.finish(self.settings.read_mode))
            .inspect_err(|_| {
                self.discard(Given { manifests: 0..0, parts: straddling.given() });
            })?;
        made.into_iter().next().ok_or(Error::Panicked { during: "prune" })
    }

    /// Publishes the manifest in which the tree begins at the base. Returns the report and the parts to remove, or `None` if the
    /// tree is no longer the one of the plan. The caller has the lock of the rewinds.
    fn install_pruned(
        &self,
        live: &mut Live,
        slot: &Slot,
        plan: &Plan,
        rest: Option<Arc<Part>>,
    ) -> Result<Option<(PruneInfo, Vec<Retired>)>> {
        let Plan { tree, base, straddling } = plan;
        self.check_continues(false)?;
        let before = tree.parts();
        let is_current = slot.tree().is_some_and(|current| Arc::ptr_eq(&current, tree));
        let entry = live.manifest().tree(tree.id()).filter(|_| is_current).cloned();
        let Some(entry) = entry.filter(|entry| self.is_in_force(&before, entry)) else {
            return Ok(None);
        };
        let is_there = |straddling: &Straddling| {
            let number = straddling.part.reference().number;
            entry.parts.iter().any(|part| part.number == number)
        };
        if !straddling.as_ref().is_none_or(is_there) {
            return Ok(None);
        }
        let next = entry.pruned(base, rest.as_ref().map(|part| part.reference()));
        let parts = before.pruned(Arc::clone(base), rest);
        let bytes = |parts: &[PartRef]| parts.iter().map(|part| part.len).sum();
        let mut info = PruneInfo {
            tree: tree.name().clone(),
            before: TreeSize(entry.begin()),
            base: TreeSize(next.begin()),
            size: TreeSize(tree.columns.leaves()),
            bytes_before: bytes(&entry.parts),
            bytes: bytes(&next.parts),
            held_parts: 0,
            held_bytes: 0,
        };
        let is_gone = |part: &PartRef| !next.parts.iter().any(|left| left.number == part.number);
        if mutant!(&*self.fs, PrunedBeforeManifest) {
            for part in entry.parts.iter().filter(|part| is_gone(part)) {
                let _ = self.fs.remove(part.number.file());
            }
        }
        self.publish_pruned(live, tree, &next, &parts)?;
        let gone: Vec<_> =
            before.parts().iter().filter(|part| is_gone(&part.reference())).cloned().collect();
        let end = next.parts_end();
        drop(before);
        tree.install(end, parts.clone());
        self.count_parts();
        if let Some(first) = parts.parts().first() {
            self.request_index_of(tree, first);
        }
        let retired = self.keep_read(plan, gone, &mut info);
        Ok(Some((info, retired)))
    }

    fn publish_pruned(
        &self,
        live: &mut Live,
        tree: &Tree,
        next: &TreeEntry,
        parts: &PartSet,
    ) -> Result<()> {
        let root = next.root_over(parts, &*tree.hasher)?.unwrap_or_default();
        if root != next.root {
            let path = self.fs.display(crate::directory::manifests::file(live.manifest().number));
            let hex = |hash: [u8; 32]| hash.map(|byte| format!("{byte:02x}")).concat();
            return Err(Damage::field(&path, 0, "root", hex(next.root), hex(root)).into());
        }
        let mut manifest = live.manifest().clone();
        manifest.put(Arc::new(next.clone()));
        self.publish(live, manifest)
    }

    /// Keeps the parts open that are read and that no manifest names any more. Returns those whose names can be removed.
    fn keep_read(&self, plan: &Plan, gone: Vec<Arc<Part>>, info: &mut PruneInfo) -> Vec<Retired> {
        let states: Vec<_> = plan.tree.states_before().map(|(tree, _)| tree.parts()).collect();
        let mut retired = Vec::new();
        for part in gone {
            let reference = part.reference();
            let same = |open: &&Arc<Part>| open.reference().number == reference.number;
            let others = states.iter().flat_map(PartSet::parts).filter(same);
            let is_ours = |straddling: &Straddling| Arc::ptr_eq(&straddling.part, &part);
            let ours = 1 + usize::from(plan.straddling.as_ref().is_some_and(is_ours));
            let is_held = Arc::strong_count(&part) > ours || others.clone().next().is_some();
            if is_held {
                info.held_parts += 1;
                info.held_bytes += reference.len;
            }
            if !is_held || self.keep(&part) && others.clone().all(|open| self.keep(open)) {
                retired.push(Retired::of(&reference));
            } else {
                self.keeper.strays().leave(&reference);
            }
        }
        retired
    }
}

/// The report of a prune of `tree` that drops nothing.
fn unchanged(tree: &Tree) -> PruneInfo {
    let base = TreeSize(tree.base());
    let bytes = tree.parts().references().iter().map(|part| part.len).sum();
    PruneInfo {
        tree: tree.name().clone(),
        before: base,
        base,
        size: TreeSize(tree.columns.leaves()),
        bytes_before: bytes,
        bytes,
        held_parts: 0,
        held_bytes: 0,
    }
}
