//! Prepares a recovered store to continue.
//!
//! # Invariants
//!
//! - Recovery recycles and removes nothing before this process has made a manifest durable. A segment that a
//!   manifest names stays from the moment the manifest has its name, durable or not.
//! - However often a store is opened, its log takes at most twice its contents, the spare files that the limits
//!   allow, and one short segment. Recovery truncates a segment of an earlier run to its contents, and reuses one
//!   without contents.

use std::sync::Arc;
use std::time::Instant;

use super::facts::{self, Facts, Grown};
use super::plan::{Plan, Situation, plan};
use crate::config::Config;
use crate::directory::files;
use crate::directory::manifests;
use crate::directory::manifests::Stored;
use crate::engine::catalog::{Slot, Wanted};
use crate::engine::keeper::{Live, Numbers};
use crate::engine::load::Loader;
use crate::engine::log::{Changed, FlushPoint};
use crate::engine::opened::{Admitted, Opened};
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
use crate::fs::wipe::give_up;
use crate::fs::{Access, FileName, FileSystem};
use crate::hashers::Hashers;
use crate::ids::ByteOffset;
use crate::ids::GroupNumber;
use crate::merkle::TreeSize;
use crate::mutant::mutant;
use crate::random;
use crate::report::recovery::{RecoveryReport, TreeRecovery};
use crate::wal::{BLOCK, LogKey, LogWriter, Position, Replayed, Segment, SegmentLimits, Segments};

/// Bytes of the first log segment of a store.
const FIRST_SEGMENT: u64 = 256 << 10;

pub(crate) fn segment_limits(config: &Config) -> SegmentLimits {
    SegmentLimits {
        first: FIRST_SEGMENT.min(config.wal_segment_bytes),
        largest: config.wal_segment_bytes,
        spare: config.wal_spare_bytes,
    }
}

/// Recovers the store with the manifest `stored`. Fails if the tree with the name of `first` is a different one.
pub(crate) fn recover(
    config: &Config,
    loader: Loader,
    hashers: &Hashers,
    first: Option<&Wanted>,
    mut stored: Stored,
) -> Result<Opened> {
    let _span = tracing::debug_span!("recover", manifest = stored.manifest.number).entered();
    let mut report = RecoveryReport::default();
    let facts = facts::read(&config.path, &loader, hashers, first, &stored, &mut report)?;
    let started = Instant::now();
    let fs = &loader.fs;
    let Facts { logged, grown, cuts, replayed, in_use, mut spare, orphans, .. } = facts;
    let end = replayed.end.segment;
    let len = in_use.iter().find(|(id, _)| *id == end).map_or(0, |(_, len)| *len);
    let file = fs
        .open(end.file(), Access::ReadWrite)
        .map_err(|error| Error::io("open", fs.display(end.file()), error))?;
    let mut segment = Segment { id: end, file, len };
    let limits = segment_limits(config);
    let tail_len = in_use
        .iter()
        .copied()
        .chain(spare.iter().map(|(name, len)| (files::segment_id(*name), *len)))
        .find(|(id, _)| *id == replayed.tail.segment)
        .map_or(0, |(_, len)| len);
    let segments = Arc::new(Segments::new(Arc::clone(fs), limits, facts.next_segment, in_use));
    let erasing = logged.has_erased();
    stored.manifest.erased = erasing;
    if erasing {
        segments.begin_erasing();
    }
    let leftovers = !orphans.is_empty() || !spare.is_empty() || facts.old_manifests;
    if mutant!(&**fs, SparesUsedEarly) {
        segments.add_spare(std::mem::take(&mut spare));
    }
    // The next group's number is above that of every group that may be behind the end of the log. So an old group
    // there has a lower number than any group that a reader will look for at its place.
    let tail = replayed.tail;
    let behind = tail_len.saturating_sub(tail.offset.0) / BLOCK;
    let group = GroupNumber(tail.group.0.saturating_add(behind));
    stored.manifest.next_part = facts.next_part;
    let next_part = facts.next_part;
    let mut next_manifest = facts.next_manifest;
    let mut settling = Settling {
        fs: &**fs,
        group,
        segments: &segments,
        replayed: &replayed,
        next_manifest: &mut next_manifest,
        whole_below: config.whole_below,
    };
    let position = match settling.settle(&mut stored, &mut segment, leftovers) {
        Err(error) if is_full(&error) => {
            settling.make_room(&mut segment, &orphans, &mut spare, erasing)?;
            settling.settle(&mut stored, &mut segment, leftovers)?
        }
        settled => settled?,
    };
    segments.add_spare(spare);
    let pinned = files::remove(&**fs, &orphans, erasing)?;
    manifests::remove_old(&**fs, stored.manifest.number, &stored.base)?;
    let manifest = &stored.manifest;
    if let Err(error) = segments.remove_surplus() {
        tracing::warn!(%error, "cannot remove a log segment");
    }
    let removed = orphans.into_iter().filter(|name| !pinned.contains(name));
    report.removed = removed.map(|name| fs.display(name)).collect();
    report.settle_time = started.elapsed();

    let log = LogWriter::new(
        Arc::clone(fs),
        manifest.store,
        Arc::clone(&segments),
        segment,
        position,
        replayed.seq,
        replayed.clean,
    );
    // Those that are there: together, trees may begin behind more leaves than there are numbers.
    let held = manifest.trees.iter().map(|tree| tree.size - tree.begin()).sum();
    let checkpointed = Tally::opened(manifest.log.seq, held, manifest.next_tree);
    let begin = |id| match (manifest.tree(id), grown.get(id)) {
        (Some(entry), _) => entry.begin(),
        (None, grown) => grown.map_or(0, |grown| grown.tree.base()),
    };
    let leaves = logged.iter().map(|tree| tree.size.saturating_sub(begin(tree.spec.id))).sum();
    let mut tally = Tally::opened(replayed.seq, leaves, logged.next());
    let mut slots = Vec::new();
    let mut changed = Vec::new();
    for found in logged.iter() {
        let id = found.spec.id;
        let entry = manifest.tree(id);
        let tree = grown.get(id).map(|grown| &grown.tree);
        let stored = entry.map_or(begin(id), |entry| entry.size);
        tally.add_replayed(found.spec.arity, found.size.saturating_sub(stored), found.entry_bytes);
        if let Some(tree) = tree {
            tree.set_durable(found.size);
        }
        if found.size > stored {
            report.trees.push(TreeRecovery {
                tree: found.spec.name.clone(),
                checkpointed: TreeSize(stored),
                size: TreeSize(found.size),
            });
        }
        let cut = cuts.get(id).copied();
        let erased = entry.map_or(0, |entry| entry.erasures.count()) < found.erasures.count()
            || cut.is_some();
        let differs = entry.is_none_or(|entry| {
            (entry.size, entry.sealed, entry.indexed) != (found.size, found.sealed, found.indexed)
        });
        if differs || erased || cut.is_some() {
            changed.push(Changed {
                spec: Arc::clone(&found.spec),
                tree: tree.cloned(),
                size: found.size,
                sealed: found.sealed,
                indexed: found.indexed,
                dropped: false,
                erasures: erased.then(|| Arc::clone(&found.erasures)),
                cut,
                later_cut: None,
            });
        }
        slots.extend(match (tree, entry) {
            (Some(tree), _) => Some(Slot::awake(tree)),
            (None, Some(entry)) => Some(Slot::asleep(manifest.number, entry, found.sealed)),
            (None, None) => None,
        });
    }
    let gone = manifest.trees.iter().filter(|entry| logged.get(entry.spec.id).is_none());
    changed.extend(gone.map(|entry| Changed {
        spec: Arc::clone(&entry.spec),
        tree: None,
        size: 0,
        sealed: false,
        indexed: false,
        dropped: true,
        erasures: None,
        cut: None,
        later_cut: None,
    }));
    let sealed = |id| logged.get(id).is_some_and(|tree| tree.sealed);
    let ids: Vec<_> = grown.iter().map(|(id, _)| id).collect();
    let mut grown = grown;
    let admitted = ids.into_iter().filter_map(|id| {
        let Grown { tree, leaves } = grown.remove(id)?;
        Some(Admitted { tree, leaves, sealed: sealed(id) })
    });
    let admitted = admitted.collect();
    let point = FlushPoint { tally, position, log_bytes: replayed.bytes };
    Ok(Opened {
        slots,
        admitted,
        changed,
        live: Live::new(
            stored,
            Numbers { manifest: next_manifest, part: next_part },
            config.whole_below,
        ),
        segments,
        log,
        point,
        checkpointed,
        report,
        loader,
        erasing,
        pinned,
        marks: logged.marks().clone(),
    })
}

/// Whether the disk or a quota is full.
fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}

/// Makes durable where the log ended and where it continues.
struct Settling<'a> {
    fs: &'a dyn FileSystem,
    segments: &'a Segments,
    replayed: &'a Replayed,
    /// The number of the next group after an unclean stop.
    group: GroupNumber,
    next_manifest: &'a mut u64,
    whole_below: u64,
}

impl Settling<'_> {
    /// Makes durable where the log ended and, after an unclean stop, where it continues and under which key.
    /// Before the call `segment` is the segment in which the log ends, after it the one in which it continues.
    fn settle(
        &mut self,
        stored: &mut Stored,
        segment: &mut Segment,
        leftovers: bool,
    ) -> Result<Position> {
        let Replayed { end, clean, .. } = *self.replayed;
        let plan = plan(Situation {
            clean,
            leftovers,
            blank: end.offset == ByteOffset(0),
            long: segment.len >= Segments::SHORTEST,
        });
        let mut next = stored.manifest.clone();
        let mut begun = None;
        let begins_in = match plan {
            Plan::Continue => return Ok(end),
            Plan::Publish => None,
            Plan::ReuseSegment => Some(segment.id),
            Plan::NewSegment => Some(begun.insert(self.segments.take(0, false)?).id),
        };
        let position = match begins_in {
            None => end,
            Some(id) => {
                let key = LogKey::fresh(self.fs)?;
                let position =
                    Position { segment: id, offset: ByteOffset(0), group: self.group, key };
                let log = &mut next.log;
                log.end_at(end);
                log.open = position;
                log.clean = false;
                position
            }
        };
        next.next_segment = self.segments.next_id();
        next.number = *self.next_manifest;
        *self.next_manifest += 1;
        next.checkpoint = random::id(self.fs)?;
        let (number, relied_on) = (next.number, next.files());
        if let Err(error) = stored.replace(self.fs, next, self.whole_below, &relied_on) {
            // If the manifest has its name, the next open reads it, and needs the segment.
            let seen = manifests::list(self.fs).map(|(complete, _)| complete);
            let unseen = seen.is_ok_and(|seen| !seen.contains(&number));
            if let Some(begun) = begun.filter(|_| unseen) {
                self.segments.discard(&begun);
            }
            return Err(error);
        }
        if let Some(begun) = begun {
            // Nothing is written to the old segment any more.
            self.segments.shorten_or_warn(segment, end.offset.0 + BLOCK);
            *segment = begun;
        }
        Ok(position)
    }

    /// Frees what no manifest needs, whichever is in force after a power cut: half-written files, the segments
    /// behind the one in which the log ends, which have no group that counts, and the rest of that one.
    fn make_room(
        &self,
        segment: &mut Segment,
        orphans: &[FileName],
        spare: &mut Vec<(FileName, u64)>,
        erased: bool,
    ) -> Result<()> {
        let (_, manifests) = manifests::list(self.fs)?;
        let temporary = orphans.iter().copied().filter(|name| name.temporary).chain(manifests);
        let end = segment.id.0;
        let behind = spare.extract_if(.., |(name, _)| name.number > end).map(|(name, _)| name);
        for name in temporary.chain(behind) {
            match give_up(self.fs, name, erased) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", self.fs.display(name), error));
                }
                _ => {}
            }
        }
        let Replayed { end, .. } = self.replayed;
        let least = if end.offset.0 == 0 { Segments::SHORTEST } else { end.offset.0 + BLOCK };
        self.segments.shorten(segment, least)
    }
}
