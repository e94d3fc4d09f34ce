//! Gathers the facts of a store's files. Reads and syncs them, and decides nothing.

use std::sync::Arc;
use std::time::Instant;

use crate::column::LeafWriter;
use crate::directory::files;
use crate::directory::files::Files;
use crate::directory::foreign;
use crate::directory::manifest::Manifest;
use crate::directory::manifests;
use crate::directory::manifests::Stored;
use crate::engine::Tree;
use crate::engine::catalog::Wanted;
use crate::engine::load::Loader;
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::{Dir, FileName, FileSystem};
use crate::hashers::Hashers;
use crate::ids::{SegmentId, TreeId};
use crate::per_tree::PerTree;
use crate::report::recovery::RecoveryReport;
use crate::tree_spec::TreeSpec;
use crate::wal::{Change, LoggedTrees, Replayed, Segments, not_the_entry, replay};

/// A tree that the log creates, or whose leaves it has.
pub(super) struct Grown {
    pub(super) tree: Arc<Tree>,
    pub(super) leaves: LeafWriter,
}

/// The facts of a store's files.
pub(super) struct Facts {
    /// The trees at the end of the log.
    pub(super) logged: LoggedTrees,
    pub(super) grown: PerTree<Grown>,
    /// The lowest size that the log rewinds each tree to.
    pub(super) cuts: PerTree<u64>,
    pub(super) replayed: Replayed,
    /// Segments of the log, with their lengths.
    pub(super) in_use: Vec<(SegmentId, u64)>,
    /// Segments that can be reused.
    pub(super) spare: Vec<(FileName, u64)>,
    /// Unneeded files.
    pub(super) orphans: Vec<FileName>,
    pub(super) old_manifests: bool,
    pub(super) next_segment: u64,
    pub(super) next_part: u64,
    pub(super) next_manifest: u64,
}

/// Reads the store with the manifest `stored`. The log is durable when this returns.
///
/// # Errors
///
/// [`Damaged`](Error::Damaged) if something that the store needs is missing or wrong,
/// [`UnknownHasher`](Error::UnknownHasher) if the log has a tree whose hash function `hashers` does not have, and
/// a mismatch if the tree with the name of `first` is a different one.
pub(super) fn read(
    path: &std::path::Path,
    loader: &Loader,
    hashers: &Hashers,
    first: Option<&Wanted>,
    stored: &Stored,
    report: &mut RecoveryReport,
) -> Result<Facts> {
    let fs = &*loader.fs;
    let check_first = |logged: &LoggedTrees| match first {
        Some(wanted) => {
            logged.find(&wanted.name).map_or(Ok(()), |tree| wanted.check(path, &tree.spec))
        }
        None => Ok(()),
    };
    let manifest = &stored.manifest;
    let mut logged = manifest.logged();
    check_first(&logged)?;
    let parts = files::files(fs, Dir::Parts)?;
    check_parts(fs, manifest, &parts)?;
    report.checkpointed = manifest.trees.iter().map(|tree| tree.size - tree.begin()).sum();

    let started = Instant::now();
    let hasher = |spec: &TreeSpec| hashers.of(path, spec);
    let mut grown: PerTree<Grown> = PerTree::default();
    let mut cuts: PerTree<u64> = PerTree::default();
    let load = |grown: &mut PerTree<Grown>, id: TreeId| {
        if grown.get(id).is_none()
            && let Some(entry) = manifest.tree(id)
        {
            let hasher = hasher(&entry.spec)?;
            let (tree, leaves) = loader.load(manifest.number, entry, hasher)?;
            grown.insert(id, Grown { tree, leaves });
        }
        Ok::<_, Error>(())
    };
    // Loads the wanted tree, so that an open that fails because of its damage changes nothing.
    if let Some(wanted) = first
        && let Some(tree) = logged.find(&wanted.name)
    {
        load(&mut grown, tree.spec.id)?;
    }
    let wal = files::files(fs, Dir::Wal)?;
    let ids: Vec<_> = wal.complete.iter().map(|(name, _)| files::segment_id(*name)).collect();
    let replayed = replay(fs, manifest.store, &manifest.log, &ids, &mut |header, frame| {
        match logged.apply(fs, header, frame)? {
            Change::Nothing | Change::Sealed(_) | Change::Marked => {}
            Change::Indexed(id) => {
                load(&mut grown, id)?;
                if let Some(Grown { tree, .. }) = grown.get(id) {
                    tree.give_index();
                }
            }
            Change::Created(spec, origin) => {
                let (id, hasher) = (spec.id, hasher(&spec)?);
                let (tree, leaves) = loader.make(spec, hasher, origin.as_deref())?;
                grown.insert(id, Grown { tree, leaves });
            }
            Change::Leaves(id, added) => {
                load(&mut grown, id)?;
                if let Some(Grown { tree, leaves }) = grown.get_mut(id) {
                    let bare = tree
                        .append_logged(leaves, &added)
                        .map_err(|index| not_the_entry(fs, header, index))?;
                    logged.note_bare(id, bare);
                    report.replayed_leaves += added.leaves.len() as u64;
                }
            }
            Change::Erased(id, erasures) => {
                load(&mut grown, id)?;
                if let Some(Grown { tree, .. }) = grown.get(id) {
                    tree.set_erasures(erasures);
                }
            }
            Change::Rewound(sizes) => {
                for (id, size) in sizes {
                    load(&mut grown, id)?;
                    if let Some(Grown { tree, leaves }) = grown.get_mut(id) {
                        let (after, writer) = tree.rewound(size)?;
                        (*tree, *leaves) = (Arc::new(after), writer);
                    }
                    let lowest = cuts.get(id).map_or(size, |cut| size.min(*cut));
                    cuts.insert(id, lowest);
                }
            }
            Change::Dropped(tree) => {
                cuts.remove(tree.spec.id);
                drop(grown.remove(tree.spec.id));
            }
        }
        Ok(())
    })?;
    logged.check_end(|| fs.display(replayed.end.segment.file()))?;
    check_first(&logged)?;
    report.clean = replayed.clean;
    report.replayed_groups = replayed.groups;
    report.replayed_bytes = replayed.bytes;
    report.dropped_leaves = replayed.dropped;
    report.torn = replayed.torn.as_ref().map(ToString::to_string);
    report.replay_time = started.elapsed();
    let facts = look_around(fs, stored, &wal, &parts, logged, grown, replayed)?;
    Ok(Facts { cuts, ..facts })
}

/// Fails unless every part of the manifest is there with the right length. Opens no part.
fn check_parts(fs: &dyn FileSystem, manifest: &Manifest, files: &Files) -> Result<()> {
    for part in manifest.trees.iter().flat_map(|tree| &tree.parts) {
        let name = part.number.file();
        let found = files.complete.binary_search_by_key(&name, |(name, _)| *name);
        let path = || fs.display(name);
        match found.map(|at| files.complete[at].1) {
            Ok(len) if len == part.len => {}
            Ok(found) => {
                let problem = Problem::Truncated { expected: part.len, found };
                return Err(Damage::new(path(), 0, problem).into());
            }
            Err(_) => return Err(Damage::new(path(), 0, Problem::Missing).into()),
        }
    }
    Ok(())
}

/// Classifies the files that the log and the manifest do not name.
fn look_around(
    fs: &dyn FileSystem,
    stored: &Stored,
    wal: &Files,
    parts: &Files,
    logged: LoggedTrees,
    grown: PerTree<Grown>,
    replayed: Replayed,
) -> Result<Facts> {
    let manifest = &stored.manifest;
    let mut in_use = Vec::new();
    let mut spare = Vec::new();
    for &(name, len) in &wal.complete {
        let id = files::segment_id(name);
        if replayed.stretches.iter().any(|stretch| stretch.segment == id) {
            in_use.push((id, len));
        } else {
            spare.push((name, len));
        }
    }
    let seen = wal.complete.iter().map(|(name, _)| *name);
    let next_segment = FileName::beyond(manifest.next_segment, seen);
    let mut orphans = orphans(manifest, wal, parts);
    let short = spare.extract_if(.., |(_, len)| *len < Segments::SHORTEST);
    orphans.extend(short.map(|(name, _)| name));
    let unused = orphans.iter().copied().chain(spare.iter().map(|(name, _)| *name));
    foreign::refuse(fs, manifest.store, manifest.number, unused)?;
    Ok(Facts {
        next_part: files::next_part_among(manifest, parts),
        next_manifest: manifests::next_number(fs, manifest.number)?,
        old_manifests: manifests::has_old(fs, manifest.number, &stored.base)?,
        logged,
        grown,
        cuts: PerTree::default(),
        replayed,
        in_use,
        spare,
        orphans,
        next_segment,
    })
}

/// The leftovers of a crash: half-written files, and parts that no manifest names.
fn orphans(manifest: &Manifest, wal: &Files, parts: &Files) -> Vec<FileName> {
    let all = manifest.trees.iter().flat_map(|tree| &tree.parts);
    let named: std::collections::HashSet<_> =
        all.flat_map(|part| [part.number.file(), part.number.index_file()]).collect();
    let mut orphans: Vec<_> = wal.temporary.iter().chain(&parts.temporary).copied().collect();
    orphans
        .extend(parts.complete.iter().map(|(name, _)| *name).filter(|name| !named.contains(name)));
    orphans
}
