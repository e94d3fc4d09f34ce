//! Opening a store: create it, or find out what is durable and go on from there.
//!
//! # Invariants
//!
//! - Nothing is changed before the manifest was read and what it names was found intact.
//! - Nothing is recycled or removed before this process has made a manifest durable. The one that was
//!   read may be visible and not durable: its publication failed, and after a power cut the one
//!   before counts, with all that it needs.
//! - What is shown was made durable first: after a power cut at any later moment the next open finds
//!   at least that.
//! - After an unclean stop the log goes on at the start of a segment under a new key, and a manifest that
//!   names the key and says where the old stretch ended is durable before anything is written there. So
//!   bytes behind a torn end are never read again.
//! - However often a store is opened, its log takes no more than twice what it holds, what the limits allow
//!   to be kept, and one short segment: a segment that an earlier run began is cut to what it holds, and
//!   one that holds nothing is begun again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::checkpoint::{Checkpoints, Marks};
use super::ingest::Ingest;
use super::limits::Limits;
use super::log::{Control, Flusher};
use super::shared::{Engine, FlushPoint, Settings};
use super::tree::Tree;
use crate::column::{Archive, Columns, Layout, LeafWriter, NodeWriter, Seed};
use crate::config::Config;
use crate::directory;
use crate::directory::files;
use crate::directory::files::Files;
use crate::directory::foreign;
use crate::directory::manifest;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::durability::Watermark;
use crate::error::{Damage, Error, Result};
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::fs::{Dir, FileName, FileSystem, StoreLock};
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{GroupNumber, StoreId, TreeId};
use crate::merkle::{Arity, Hasher, Level, NodeIndex, TreeSize, root_at};
use crate::part::{Part, PartRef, PartSet};
use crate::random;
use crate::report::Event;
use crate::report::recovery::RecoveryReport;
use crate::sync;
use crate::sync::process::Process;
use crate::sync::{Condvar, JoinHandle, Mutex};
use crate::wal::frame::Frame;
use crate::wal::{
    BLOCK, Log, LogKey, LogWriter, Position, Replayed, Segment, SegmentLimits, Segments, replay,
};
use crate::workers::Jobs;

/// Bytes of the first log segment of a store.
const FIRST_SEGMENT: u64 = 256 << 10;

/// Opens or creates the store with one tree that `config` describes.
pub(crate) fn open(
    config: &Config,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    config.check()?;
    config.listeners.tell(|| Event::RecoveryBegun { path: config.path.clone() });
    let opened = open_store(config, hasher, arity);
    config.listeners.tell(|| match &opened {
        Ok((engine, _)) => Event::RecoveryCompleted { report: engine.report.clone() },
        Err(error) => Event::RecoveryFailed { error: error.clone() },
    });
    opened
}

fn open_store(
    config: &Config,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    let started = Instant::now();
    let fs = find(config)?;
    let lock = directory::lock(&*fs, &config.path)?;
    // What was seen before the lock was held may have changed since.
    let mut opened = match directory::newest_number(&*fs, &config.path)? {
        Some(number) => {
            let manifest = manifest::read(&*fs, number)?;
            can_count_on(&*fs, &manifest)?;
            recover(config, &fs, hasher, arity, manifest)?
        }
        None => create(config, &fs, hasher, arity)?,
    };
    let replayed = opened.report.replay_time + opened.report.settle_time;
    opened.report.open_time = started.elapsed().saturating_sub(replayed);
    start(config, fs, opened, lock)
}

/// The store's directory, which is made where there is no store and one is to be created.
fn find(config: &Config) -> Result<Arc<dyn FileSystem>> {
    let no_store = || Error::NoStore { path: config.path.clone() };
    let found = match config.bind() {
        Err(Error::NoStore { .. }) => None,
        found => Some(found?),
    };
    if let Some(fs) = found
        && directory::newest_number(&*fs, &config.path)?.is_some()
    {
        return Ok(fs);
    }
    if config.create { config.make() } else { Err(no_store()) }
}

/// Refuses to go on from numbers so high that counting might come to one that no reader believes.
fn can_count_on(fs: &dyn FileSystem, manifest: &Manifest) -> Result<()> {
    const LAST: u64 = FileName::LAST_BELIEVED / 2;
    let Manifest { number, next_segment, next_part, log, trees, .. } = manifest;
    let (segment, group) = (log.open.segment.0, log.open.group.0);
    let sizes = trees.iter().map(|tree| tree.size);
    let numbers = [*number, *next_segment, *next_part, log.seq.0, segment, group];
    let highest = numbers.into_iter().chain(sizes).max();
    match highest {
        Some(found) if found > LAST => {
            let path = fs.display(manifest::file(*number));
            Err(Damage::field(&path, 0, "highest number", "below 2^61", found).into())
        }
        _ => Ok(()),
    }
}

/// A store that is ready to go on.
struct Opened {
    trees: Vec<Arc<Tree>>,
    writers: Vec<LeafWriter>,
    parts: Vec<PartSet>,
    manifest: Manifest,
    next_manifest: u64,
    next_part: u64,
    segments: Arc<Segments>,
    log: LogWriter,
    point: FlushPoint,
    report: RecoveryReport,
}

/// Starts the threads.
fn start(
    config: &Config,
    fs: Arc<dyn FileSystem>,
    opened: Opened,
    lock: Box<dyn StoreLock>,
) -> Result<(Arc<Engine>, JoinHandle<()>)> {
    let Opened { trees, writers, parts, manifest, next_manifest, next_part, .. } = opened;
    let Opened { segments, log, point, report, .. } = opened;
    let process = this_process(config)?;
    let leaves = manifest.trees.iter().map(|tree| tree.size).sum();
    for (tree, size) in trees.iter().zip(&point.sizes) {
        tree.set_durable(*size);
    }
    let limits = Limits::of(config, trees.first().map_or(Arity::Two, |tree| tree.arity));
    let engine = Arc::new_cyclic(|engine: &std::sync::Weak<Engine>| {
        let engine = engine.clone();
        let jobs = Jobs::new(process, move |job, waited| {
            if let Some(engine) = engine.upgrade() {
                engine.run(job, waited);
            }
        });
        Engine {
            fs,
            trees,
            process,
            watermark: Arc::new(Watermark::new(point.seq, process)),
            control: Control::default(),
            counters: super::stats::Counters::default(),
            report,
            settings: Settings::from(config),
            ingest: Mutex::new(Ingest::new(
                writers,
                point.seq,
                manifest.log.seq,
                limits,
                config.flush,
            )),
            room: Condvar::new(),
            segments,
            flushed: Mutex::new(point.clone()),
            marks: Mutex::new(Marks { leaves, log_bytes: 0, at: Instant::now() }),
            checkpoints: Mutex::new(Checkpoints { manifest, parts, next_manifest, next_part }),
            holds: Mutex::default(),
            upkeep: Mutex::default(),
            work: Mutex::default(),
            listeners: config.listeners.clone(),
            jobs,
            opened: Instant::now(),
            closing: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }
    });
    let flusher = Flusher::new(Arc::clone(&engine), log, point.clone());
    let thread = sync::spawn("duramen-flusher", move || flusher.run())
        .map_err(|error| Error::io("start the flusher of", &config.path, error))?;
    engine.checkpoint_if_due();
    {
        let live = engine.checkpoints.lock();
        engine.count_parts(&live);
        engine.request_compaction(&live);
    }
    Ok((engine, thread))
}

/// The process that may use what is opened here.
pub(crate) fn this_process(config: &Config) -> Result<Process> {
    Process::current().map_err(|error| Error::io("watch for forks of", &config.path, error))
}

/// Makes a new store: its first segment, then the manifest that makes it one.
fn create(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
) -> Result<Opened> {
    let leftovers = files::check_empty(&**fs, &config.path)?;
    files::remove(&**fs, &leftovers)?;
    let store = StoreId(random::id(&**fs)?);
    let key = LogKey::fresh(&**fs)?;
    let limits = limits(config);
    let segments = Arc::new(Segments::new(Arc::clone(fs), limits, 1, Vec::new()));
    let segment = segments.take(0, false)?;
    let position =
        Position { segment: segment.id, offset: ByteOffset(0), group: GroupNumber(1), key };
    let manifest = Manifest {
        store,
        number: 1,
        checkpoint: random::id(&**fs)?,
        next_segment: segments.next_id(),
        next_part: 1,
        log: Log { closed: Vec::new(), open: position, seq: Seq(0), clean: false },
        trees: vec![TreeEntry {
            id: TreeId(0),
            name: "main".to_owned(),
            hasher: hasher.id().to_string(),
            arity,
            size: 0,
            root: hasher.empty_root(),
            parts: Vec::new(),
        }],
    };
    manifest::publish(&**fs, &manifest)?;
    let (columns, leaves, nodes) = Columns::empty(Layout::new(arity).huge_pages(config.huge_pages));
    let tree = Tree::new(TreeId(0), "main".to_owned(), hasher, columns, nodes);
    let tree = tree.only_in(this_process(config)?);
    let point = FlushPoint { seq: Seq(0), sizes: vec![0], position, log_bytes: 0 };
    Ok(Opened {
        trees: vec![Arc::new(tree)],
        writers: vec![leaves],
        parts: vec![PartSet::default()],
        next_manifest: 2,
        next_part: 1,
        log: LogWriter::new(
            Arc::clone(fs),
            store,
            Arc::clone(&segments),
            segment,
            position,
            Seq(0),
            false,
        ),
        manifest,
        segments,
        point,
        report: RecoveryReport { created: true, ..RecoveryReport::default() },
    })
}

/// Goes on from what `manifest` says.
fn recover(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
    mut manifest: Manifest,
) -> Result<Opened> {
    let entry = single_tree(config, &**fs, &manifest, &*hasher, arity)?;
    let mut report = RecoveryReport { checkpointed: entry.size, ..RecoveryReport::default() };
    let parts = open_parts(config, fs, manifest.store, entry)?;
    let (columns, mut leaves, nodes) =
        resume(Layout::new(arity).huge_pages(config.huge_pages), entry.size, &parts)?;
    let tree = Tree::new(entry.id, entry.name.clone(), hasher, columns, nodes);
    let tree = Arc::new(tree.only_in(this_process(config)?));
    check_root(&**fs, &manifest, entry, &tree)?;

    let started = Instant::now();
    let files = files::files(&**fs, Dir::Wal)?;
    let ids: Vec<_> = files.complete.iter().map(|(name, _)| files::segment_id(*name)).collect();
    let replayed = replay(&**fs, manifest.store, &manifest.log, &ids, &mut |header, frame| {
        let Frame::Leaves { tree: id, first, leaves: found } = frame else { return Ok(()) };
        let path = fs.display(header.segment.file());
        let at = header.offset.0;
        if *id != tree.id {
            return Err(Damage::field(&path, at, "tree number", tree.id.0, id.0).into());
        }
        if *first != leaves.len() {
            return Err(Damage::field(&path, at, "leaf index", leaves.len(), first).into());
        }
        leaves.append(found);
        Ok(())
    })?;
    report.clean = replayed.clean;
    report.replayed_leaves = leaves.len() - entry.size;
    report.replayed_groups = replayed.groups;
    report.replayed_bytes = replayed.bytes;
    report.dropped_leaves = replayed.dropped;
    report.torn = replayed.torn.as_ref().map(ToString::to_string);
    report.replay_time = started.elapsed();

    let started = Instant::now();
    manifest.next_part = next_part(&**fs, &manifest)?;
    let next_part = manifest.next_part;
    let mut next_manifest = manifest::next_number(&**fs, manifest.number)?;
    let (segments, mut segment, mut spare) = segments(config, fs, &manifest, &files, &replayed)?;
    let mut orphans = orphans(&**fs, &manifest, &files)?;
    let short = spare.extract_if(.., |(_, len)| *len < Segments::SHORTEST);
    orphans.extend(short.map(|(name, _)| name));
    let unused = orphans.iter().copied().chain(spare.iter().map(|(name, _)| *name));
    foreign::refuse(&**fs, manifest.store, manifest.number, unused)?;
    let leftovers =
        !orphans.is_empty() || !spare.is_empty() || manifest::has_old(&**fs, manifest.number)?;
    if defect::has(&**fs, Defect::SparesUsedEarly) {
        segments.add_spare(std::mem::take(&mut spare));
    }
    // Every group that may stand behind the end of the log keeps its number for itself: so its
    // number is lower than that of any group that will be looked for where it stands.
    let tail = replayed.tail;
    let len = files.complete.iter().find(|(name, _)| files::segment_id(*name) == tail.segment);
    let behind = len.map_or(0, |(_, len)| len.saturating_sub(tail.offset.0)) / BLOCK;
    let group = GroupNumber(tail.group.0.saturating_add(behind));
    let mut settling = Settling {
        fs: &**fs,
        group,
        segments: &segments,
        replayed: &replayed,
        next_manifest: &mut next_manifest,
    };
    let position = match settling.settle(&mut manifest, &mut segment, leftovers) {
        Err(error) if is_full(&error) => {
            settling.make_room(&mut segment, &orphans, &mut spare)?;
            settling.settle(&mut manifest, &mut segment, leftovers)?
        }
        settled => settled?,
    };
    segments.add_spare(spare);
    files::remove(&**fs, &orphans)?;
    manifest::remove_old(&**fs, manifest.number)?;
    if let Err(error) = segments.remove_surplus() {
        tracing::warn!(%error, "cannot remove a log segment");
    }
    report.removed = orphans.into_iter().map(|name| fs.display(name)).collect();
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
    let point = FlushPoint {
        seq: replayed.seq,
        sizes: vec![leaves.len()],
        position,
        log_bytes: replayed.bytes,
    };
    Ok(Opened {
        trees: vec![tree],
        writers: vec![leaves],
        parts: vec![parts],
        manifest,
        next_manifest,
        next_part,
        segments,
        log,
        point,
        report,
    })
}

/// The store's one tree, if it is the one that was asked for.
pub(crate) fn single_tree<'a>(
    config: &Config,
    fs: &dyn FileSystem,
    manifest: &'a Manifest,
    hasher: &dyn Hasher,
    arity: Arity,
) -> Result<&'a TreeEntry> {
    let path = || config.path.clone();
    let [entry] = &manifest.trees[..] else {
        let path = fs.display(manifest::file(manifest.number));
        return Err(Damage::field(&path, 0, "tree count", 1, manifest.trees.len()).into());
    };
    let asked = hasher.id();
    if entry.hasher != asked.as_str() {
        let (stored, asked) = (entry.hasher.clone(), asked.to_string());
        return Err(Error::HasherMismatch { path: path(), stored, asked });
    }
    if entry.arity != arity {
        let number = |arity: Arity| u32::try_from(arity.children()).unwrap_or(0);
        let (stored, asked) = (number(entry.arity), number(arity));
        return Err(Error::ArityMismatch { path: path(), stored, asked });
    }
    Ok(entry)
}

pub(crate) fn open_parts(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    store: StoreId,
    entry: &TreeEntry,
) -> Result<PartSet> {
    let open = |part: &PartRef| {
        let identity = entry.identity(store, part);
        Part::open(fs, &identity, *part, config.read_mode).map(Arc::new)
    };
    Ok(PartSet::new(entry.parts.iter().map(open).collect::<Result<_>>()?))
}

/// Columns over `parts`, with the children of incomplete nodes in memory. Reads O(log size) blocks.
pub(crate) fn resume(
    layout: Layout,
    size: u64,
    parts: &PartSet,
) -> Result<(Arc<Columns>, LeafWriter, NodeWriter)> {
    let arity = layout.arity();
    if size == 0 {
        return Ok(Columns::empty(layout));
    }
    let mut seeds = Vec::new();
    let mut level = Level::LEAVES;
    while layout.complete(level, size) > 0 {
        let end = layout.complete(level, size);
        let first = end >> arity.bits() << arity.bits();
        if first < end {
            let mut nodes = vec![[0; 32]; usize::try_from(end - first).unwrap_or(0)];
            parts.read_nodes(level, NodeIndex(first), &mut nodes)?;
            seeds.push(Seed { level, first, nodes });
        }
        level = level.up();
    }
    Ok(Columns::resume(layout, size, Some(Arc::new(parts.clone())), &seeds))
}

/// The root that the parts give is the root that the manifest names.
pub(crate) fn check_root(
    fs: &dyn FileSystem,
    manifest: &Manifest,
    entry: &TreeEntry,
    tree: &Tree,
) -> Result<()> {
    let view = tree.columns.view();
    let root = root_at(&view, &*tree.hasher, tree.arity, TreeSize(entry.size))?;
    if root == entry.root {
        return Ok(());
    }
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let path = fs.display(manifest::file(manifest.number));
    Err(Damage::field(&path, 0, "root", hex(entry.root), hex(root)).into())
}

/// The number of the next part: beyond every one that was ever used, as far as the files show.
pub(crate) fn next_part(fs: &dyn FileSystem, manifest: &Manifest) -> Result<u64> {
    let files = files::files(fs, Dir::Parts)?;
    let seen = files.complete.iter().map(|(name, _)| *name).chain(files.temporary);
    Ok(FileName::beyond(manifest.next_part, seen))
}

fn limits(config: &Config) -> SegmentLimits {
    SegmentLimits {
        first: FIRST_SEGMENT.min(config.wal_segment_bytes),
        largest: config.wal_segment_bytes,
        spare: config.wal_spare_bytes,
    }
}

/// A file that nothing refers to, with its length.
type SpareFile = (FileName, u64);

/// The supply of segments, the segment where the log ends, and the files that nothing refers to.
fn segments(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    manifest: &Manifest,
    files: &Files,
    replayed: &Replayed,
) -> Result<(Arc<Segments>, Segment, Vec<SpareFile>)> {
    let mut in_use = Vec::new();
    let mut spare = Vec::new();
    for &(name, len) in &files.complete {
        let id = files::segment_id(name);
        if replayed.stretches.iter().any(|stretch| stretch.segment == id) {
            in_use.push((id, len));
        } else {
            spare.push((name, len));
        }
    }
    let next =
        FileName::beyond(manifest.next_segment, files.complete.iter().map(|(name, _)| *name));
    let end = replayed.end.segment;
    let len = in_use.iter().find(|(id, _)| *id == end).map_or(0, |(_, len)| *len);
    let file = fs
        .open(end.file(), crate::fs::Access::ReadWrite)
        .map_err(|error| Error::io("open", fs.display(end.file()), error))?;
    let segments = Segments::new(Arc::clone(fs), limits(config), next, in_use);
    Ok((Arc::new(segments), Segment { id: end, file, len }, spare))
}

/// Whether there was no room for something.
fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}

/// What is done when the log has been read and before it goes on.
struct Settling<'a> {
    fs: &'a dyn FileSystem,
    segments: &'a Segments,
    replayed: &'a Replayed,
    /// The number of the next group after an unclean stop.
    group: GroupNumber,
    next_manifest: &'a mut u64,
}

impl Settling<'_> {
    /// Makes it durable where the log ended and, after an unclean stop, where it goes on and under which
    /// key. With `leftovers` a manifest of this process is made durable in any case. `segment` is the one
    /// where the log ends, then the one where it goes on.
    fn settle(
        &mut self,
        manifest: &mut Manifest,
        segment: &mut Segment,
        leftovers: bool,
    ) -> Result<Position> {
        let Replayed { end, clean, .. } = *self.replayed;
        if clean && !leftovers {
            return Ok(end);
        }
        let mut next = manifest.clone();
        let mut begun = None;
        let position = if clean {
            end
        } else {
            // What stands in a segment that holds nothing is of no life that the new key gives it.
            let again = end.offset == ByteOffset(0) && segment.len >= Segments::SHORTEST;
            let id =
                if again { segment.id } else { begun.insert(self.segments.take(0, false)?).id };
            let key = LogKey::fresh(self.fs)?;
            let position = Position { segment: id, offset: ByteOffset(0), group: self.group, key };
            let log = &mut next.log;
            log.end_at(end);
            log.open = position;
            log.clean = false;
            position
        };
        next.next_segment = self.segments.next_id();
        next.number = *self.next_manifest;
        *self.next_manifest += 1;
        next.checkpoint = random::id(self.fs)?;
        if let Err(error) = manifest::publish(self.fs, &next) {
            if let Some(begun) = begun {
                self.segments.give_back(&begun);
            }
            return Err(error);
        }
        *manifest = next;
        if let Some(begun) = begun {
            // Nothing is written to the old one any more.
            self.segments.shorten_or_warn(segment, end.offset.0 + BLOCK);
            *segment = begun;
        }
        Ok(position)
    }

    /// Frees what no manifest can need, whichever is in force after a power cut: files half-written, the
    /// segments behind the one where the log ends, which hold no group that counts, and the rest of that one.
    fn make_room(
        &self,
        segment: &mut Segment,
        orphans: &[FileName],
        spare: &mut Vec<SpareFile>,
    ) -> Result<()> {
        let (_, manifests) = manifest::list(self.fs)?;
        let temporary = orphans.iter().copied().filter(|name| name.temporary).chain(manifests);
        let end = segment.id.0;
        let behind = spare.extract_if(.., |(name, _)| name.number > end).map(|(name, _)| name);
        for name in temporary.chain(behind) {
            match self.fs.remove(name) {
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

/// What a crash left behind: files half-written, and parts that no manifest names.
fn orphans(fs: &dyn FileSystem, manifest: &Manifest, wal: &Files) -> Result<Vec<FileName>> {
    let parts = files::files(fs, Dir::Parts)?;
    let named = |name: &FileName| {
        let mut all = manifest.trees.iter().flat_map(|tree| &tree.parts);
        all.any(|part| part.number.file() == *name)
    };
    let mut orphans: Vec<_> = wal.temporary.iter().chain(&parts.temporary).copied().collect();
    orphans.extend(parts.complete.iter().map(|(name, _)| *name).filter(|name| !named(name)));
    Ok(orphans)
}
