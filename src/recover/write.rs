//! Writes the new store: of each tree first the leaves of its parts, then those of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::Options;
use super::cover::{Cover, STEP, choose, read_leaves};
use super::facts::{Facts, TreeFacts};
use super::log::{LogFacts, replay};
use super::place::finished;
use super::report::{Recovered, RecoveredTree, Skipped};
use crate::accumulator::DynAccumulator;
use crate::column::Archive;
use crate::config::{Config, TreeConfig};
use crate::directory::manifest::Manifest;
use crate::directory::newest_manifest;
use crate::entry::{Entries, EntryConfig, EntrySource, Erasures, Framing};
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::hashers::Hashers;
use crate::ids::{StoreId, TreeId};
use crate::merkle::{Arity, Frontier, Hash, Hasher, TreeHead, TreeName, TreeSize};
use crate::part::PartSet;
use crate::store::Store;
use crate::wal::LoggedLeaves;
use crate::wal::frame::Frame;

/// The reason of an erasure that no file has.
const ERASED: &str = "erased before the store was recovered";
/// The reason of an entry that cannot be read.
const LOST: &str = "could not be read when the store was recovered";
/// Bytes of entries that are inserted together.
const TOGETHER: usize = 4 << 20;

/// A tree that is being written.
struct Writing {
    tree: DynAccumulator,
    hasher: Arc<dyn Hasher>,
    framing: Option<Framing>,
    erasures: Arc<Erasures>,
    report: RecoveredTree,
    /// Whether its leaves in the log follow without a gap so far.
    follows: bool,
}

/// Writes the store.
pub(super) fn write(
    fs: &Arc<dyn FileSystem>,
    damaged: &Config,
    target: &Config,
    hashers: &Hashers,
    options: &Options,
    facts: Facts,
    log: &LogFacts,
) -> Result<Recovered> {
    let Facts { store: old, manifest, mut trees, mut skipped, .. } = facts;
    for id in log.created.keys() {
        trees.entry(*id).or_default();
    }
    trees.retain(|id, _| !log.dropped.contains(id));
    let is_unknown = |id: &&TreeId| !trees.contains_key(id) && !log.dropped.contains(id);
    let unknown_trees = log.leaves.keys().filter(is_unknown).map(|id| id.0).collect();
    let mut plans = Vec::new();
    let mut names = BTreeSet::new();
    for (id, facts) in trees {
        let plan = TreePlan::new(id, facts, log, options, hashers, damaged, &mut names)?;
        plans.push(plan);
    }
    let is_there = |id: &u32| {
        let id = TreeId(*id);
        log.leaves.contains_key(&id) || plans.iter().any(|plan| plan.id == id)
    };
    if let Some(id) = options.names.keys().find(|id| !is_there(id)) {
        return Err(Error::config("name", format!("nothing is there of a tree with number {id}")));
    }
    // What the manifest's checkpoint has needs no log: segments before it may have been released.
    let held = manifest.as_ref().map_or(0, |manifest| manifest.log.seq.0);
    let log_gaps = log.gaps.iter().map(|gap| gap.start.max(held)..gap.end);
    let log_gaps = log_gaps.filter(|gap| !gap.is_empty());
    let reports = finished(target, |store| {
        trees_of(store, fs, damaged, plans, (old, manifest.as_ref()), &mut skipped, log)
    })?;
    let id = newest_manifest(&*target.bind()?, &target.path)?.store.to_string();
    Ok(Recovered {
        old_store: old.to_string(),
        store: id,
        manifest: manifest.map(|manifest| manifest.number),
        trees: reports,
        unknown_trees,
        log_groups: log.groups(),
        log_gaps: log_gaps.collect(),
        unproven: log.unproven.clone(),
        skipped: deduplicated(skipped),
    })
}

/// Writes all trees to `store`, and makes them durable.
fn trees_of(
    store: &Store,
    fs: &Arc<dyn FileSystem>,
    damaged: &Config,
    plans: Vec<TreePlan>,
    (old, manifest): (StoreId, Option<&Manifest>),
    skipped: &mut Vec<Skipped>,
    log: &LogFacts,
) -> Result<Vec<RecoveredTree>> {
    let mut written = BTreeMap::new();
    for plan in plans {
        let cover = choose(fs, &plan.facts.parts, &*plan.hasher, damaged.read_mode, skipped)?;
        let mut writing = plan.begin(store, &cover, log)?;
        writing.parts(&cover)?;
        written.insert(plan.id, writing);
    }
    replay(&**fs, old, log, &mut |frame| match frame {
        Frame::Leaves { tree, first, leaves } => match written.get_mut(tree) {
            Some(writing) => writing.logged(*first, leaves, None),
            None => Ok(()),
        },
        Frame::Entries { tree, first, leaves, entries } => match written.get_mut(tree) {
            Some(writing) => writing.logged(*first, leaves, Some(entries)),
            None => Ok(()),
        },
        Frame::Rewind(cuts) => {
            cuts.iter().try_for_each(|(tree, size)| match written.get_mut(tree) {
                Some(writing) => writing.rewind(*size),
                None => Ok(()),
            })
        }
        _ => Ok(()),
    })?;
    let mut reports = Vec::new();
    for (id, writing) in written {
        let sealed = manifest.and_then(|manifest| manifest.tree(id));
        let is_whole = writing.report.known == writing.tree.size().get();
        let report = writing.end(sealed.map(|entry| (entry.size, entry.root)))?;
        if (sealed.is_some_and(|entry| entry.sealed) || log.sealed.contains(&id)) && is_whole {
            // Durable with the checkpoint.
            drop(store.seal(&report.name)?);
        }
        reports.push(report);
    }
    store.checkpoint()?;
    Ok(reports)
}

/// Each file once: the first reason counts.
fn deduplicated(skipped: Vec<Skipped>) -> Vec<Skipped> {
    let mut files = BTreeSet::new();
    skipped.into_iter().filter(|skipped| files.insert(skipped.file.clone())).collect()
}

/// How a tree is made.
struct TreePlan {
    id: TreeId,
    name: TreeName,
    name_is_known: bool,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
    entries: Option<EntryConfig>,
    indexed: bool,
    facts: TreeFacts,
}

impl TreePlan {
    fn new(
        id: TreeId,
        facts: TreeFacts,
        log: &LogFacts,
        options: &Options,
        hashers: &Hashers,
        damaged: &Config,
        names: &mut BTreeSet<TreeName>,
    ) -> Result<Self> {
        let spec = facts.spec.as_ref().or_else(|| log.created.get(&id));
        let of_part = facts.parts.first().map(|(identity, _)| identity);
        let (arity, entries) = match (spec, of_part) {
            (Some(spec), _) => (spec.arity, spec.entries),
            (None, Some(part)) => {
                let config = |framing| match framing {
                    Framing::Short => Ok(EntryConfig::new()),
                    Framing::Long => EntryConfig::new().longest(64 << 20),
                };
                (part.arity, part.entries.map(config).transpose()?)
            }
            (None, None) => (Arity::Four, None),
        };
        let known = spec.map(|spec| spec.name.clone());
        let name_is_known = known.is_some();
        let given = options.names.get(&id.0).cloned();
        let mut name = match known.or(given) {
            Some(name) => name,
            None => TreeName::new(format!("tree-{}", id.0))?,
        };
        while !names.insert(name.clone()) {
            name = TreeName::new(format!("{name}-{}", id.0))?;
        }
        let hasher_name = spec.map(|spec| &spec.hasher).or(of_part.map(|part| &part.hasher));
        let hasher_name = hasher_name.cloned().unwrap_or_default();
        let hasher = hashers.find(&hasher_name).ok_or_else(|| Error::UnknownHasher {
            path: damaged.path.clone(),
            tree: name.clone(),
            hasher: hasher_name,
        })?;
        let indexed = facts.indexed || log.indexed.contains(&id);
        Ok(Self { id, name, name_is_known, hasher, arity, entries, indexed, facts })
    }

    /// Creates the tree in `store`, and finds out what is known of its leaves.
    fn begin(&self, store: &Store, cover: &Cover, log: &LogFacts) -> Result<Writing> {
        let mut config = TreeConfig::new(Arc::clone(&self.hasher), self.arity);
        if let Some(entries) = self.entries {
            config = config.entries(entries);
        }
        if self.indexed {
            config = config.indexed();
        }
        let origin = log.origins.get(&self.id);
        let begin = origin.map_or(0, |origin| origin.size().get());
        if let Some(origin) = origin.filter(|_| cover.size == 0) {
            config = config.begun_behind(Frontier::clone(origin))?;
        }
        let tree = store.tree_dyn(&self.name, config)?;
        // What the manifest, parts and log know of.
        let parts = self.facts.parts.iter().map(|(identity, _)| identity.from..identity.to);
        let logged = log.leaves.get(&self.id).into_iter().flatten().cloned();
        let named = self.facts.entry.iter().map(|entry| entry.size);
        let known = parts.chain(logged.clone()).map(|range| range.end).chain(named).max();
        let known = known.unwrap_or(0).max(begin);
        // What lies before a frontier was never there.
        let missing = complement(std::iter::once(0..cover.size.max(begin)).chain(logged), known);
        Ok(Writing {
            tree,
            hasher: Arc::clone(&self.hasher),
            framing: self.entries.map(Framing::of),
            erasures: log.erasures.get(&self.id).cloned().unwrap_or_default(),
            report: RecoveredTree {
                number: self.id.0,
                name: self.name.clone(),
                name_is_known: self.name_is_known,
                head: TreeHead { size: TreeSize(0), root: [0; 32] },
                known,
                missing,
                from_log: 0,
                erased: 0,
                lost_entries: Vec::new(),
                contradicts_manifest: false,
            },
            follows: true,
        })
    }
}

/// The ranges below `end` that are in none of `ranges`.
fn complement(ranges: impl Iterator<Item = Range<u64>>, end: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut at, mut missing) = (0, Vec::new());
    for range in ranges.into_iter().chain(std::iter::once(end..end)) {
        if range.start > at {
            missing.push(at..range.start);
        }
        at = at.max(range.end);
    }
    missing
}

/// What becomes of an entry.
enum Kept {
    Whole(Vec<u8>),
    Erased(SystemTime, Arc<str>),
    Lost,
}

/// What became of an entry in `parts`.
fn entry_of_part(
    parts: &PartSet,
    framing: Framing,
    hasher: &dyn Hasher,
    erasures: &Erasures,
    index: u64,
) -> Kept {
    if let Some(cause) = erasures.cause(index) {
        return Kept::Erased(cause.time(), Arc::clone(&cause.reason));
    }
    if let Ok(entry) = parts.entry(index, &|entry| hasher.leaf(entry)) {
        return Kept::Whole(entry.get().to_vec());
    }
    // An erased entry has no data in a part.
    let mut len = 0;
    let holder = parts.parts().iter().find(|part| part.reference().to > index);
    let read = holder.map(|part| {
        EntrySource::read_entries(&**part, index..index + 1, &mut |bytes| {
            len += bytes.len();
            Ok(())
        })
    });
    match read {
        Some(Ok(())) if len == framing.prefix_len() => {
            Kept::Erased(SystemTime::now(), ERASED.into())
        }
        _ => Kept::Lost,
    }
}

impl Writing {
    /// Inserts the leaves of the parts.
    fn parts(&mut self, cover: &Cover) -> Result<()> {
        let mut at = 0;
        while at < cover.size {
            let end = cover.size.min(at + STEP);
            let leaves = read_leaves(&cover.parts, at..end)?;
            match self.framing {
                None => drop(self.tree.insert_many(&leaves)?),
                Some(framing) => {
                    // One after another: all of them may take a gigabyte.
                    let (hasher, erasures) = (Arc::clone(&self.hasher), Arc::clone(&self.erasures));
                    let entry =
                        |index| entry_of_part(&cover.parts, framing, &*hasher, &erasures, index);
                    self.insert_kept(at, &leaves, (at..end).map(entry))?;
                }
            }
            at = end;
        }
        Ok(())
    }

    /// Inserts leaves with what became of their entries.
    fn insert_kept(
        &mut self,
        first: u64,
        leaves: &[Hash],
        kept: impl Iterator<Item = Kept>,
    ) -> Result<()> {
        let (mut together, mut bytes) = (Vec::new(), 0);
        for (index, (leaf, kept)) in (first..).zip(leaves.iter().zip(kept)) {
            if !matches!(kept, Kept::Whole(_)) || bytes >= TOGETHER {
                self.insert_together(&mut together)?;
                bytes = 0;
            }
            match kept {
                Kept::Whole(entry) => {
                    bytes += entry.len();
                    together.push(entry);
                }
                Kept::Erased(at, reason) => {
                    self.tree.insert_erased(&[*leaf], at, &reason)?;
                    self.report.erased += 1;
                }
                Kept::Lost => {
                    self.tree.insert_erased(&[*leaf], SystemTime::now(), LOST)?;
                    match self.report.lost_entries.last_mut() {
                        Some(last) if last.end == index => last.end += 1,
                        _ => self.report.lost_entries.push(index..index + 1),
                    }
                }
            }
        }
        self.insert_together(&mut together)
    }

    fn insert_together(&self, entries: &mut Vec<Vec<u8>>) -> Result<()> {
        if !entries.is_empty() {
            self.tree.insert_entries(entries)?;
            entries.clear();
        }
        Ok(())
    }

    /// Drops the leaves that the log drops.
    fn rewind(&mut self, size: u64) -> Result<()> {
        if self.follows && size < self.tree.size().get() {
            self.tree.rewind(size)?;
        }
        Ok(())
    }

    /// Inserts leaves of the log that follow those that are there.
    fn logged(&mut self, first: u64, leaves: &[Hash], framed: Option<&[u8]>) -> Result<()> {
        let size = self.tree.size().get();
        let end = first.saturating_add(leaves.len() as u64);
        self.follows &= first <= size;
        if !self.follows || end <= size {
            return Ok(());
        }
        let skip = usize::try_from(size - first).unwrap_or(usize::MAX);
        match (self.framing, framed) {
            (None, None) => drop(self.tree.insert_many(&leaves[skip..])?),
            (Some(framing), Some(framed)) => {
                let Some(entries) = Entries::new(framing, framed).exactly(leaves.len() as u64)
                else {
                    self.follows = false;
                    return Ok(());
                };
                let logged = LoggedLeaves { first, leaves, entries: entries.clone() };
                // A leaf that is not the hash of its entry, as the log has it, ends what is taken.
                let Ok(bare) = logged.bare(&*self.hasher) else {
                    self.follows = false;
                    return Ok(());
                };
                let erasures = Arc::clone(&self.erasures);
                let kept = (first..).zip(entries).skip(skip).map(|(index, entry)| {
                    match erasures.cause(index) {
                        Some(cause) => Kept::Erased(cause.time(), Arc::clone(&cause.reason)),
                        None if bare.contains(&index) => Kept::Lost,
                        None => Kept::Whole(entry.to_vec()),
                    }
                });
                self.insert_kept(size, &leaves[skip..], kept)?;
            }
            _ => self.follows = false,
        }
        self.report.from_log += self.tree.size().get().saturating_sub(size);
        Ok(())
    }

    /// Compares the tree with the `named` size and root of a manifest, and reports it.
    fn end(mut self, named: Option<(u64, Hash)>) -> Result<RecoveredTree> {
        self.report.head = self.tree.head()?;
        if let Some((size, root)) = named
            && size <= self.report.head.size.get()
        {
            self.report.contradicts_manifest = self.tree.head_at(size)?.root != root;
        }
        Ok(self.report)
    }
}
