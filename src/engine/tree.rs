//! One tree: its hash function and its columns.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use rayon::prelude::*;

use super::activity::Activity;
use super::edges::EdgeCache;
use super::erased::Erased;
use super::finder::Finder;
use super::floor::Floor;
use crate::column::{Columns, EntryBytes, EntrySpan, Layout, LeafWriter, NodeWriter, View};
use crate::entry::{Erasures, Framing};
use crate::error::{Error, ReadError, Result};
use crate::ids::TreeId;
use crate::merkle::{
    Arity, Hash, Hasher, LeafIndex, RightEdge, TreeHead, TreeName, TreeSize, root_at,
};
use crate::part::{Held, PartSet};
use crate::report::TreeInfo;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::pool::pool;
use crate::sync::process::Process;
use crate::sync::{ArcSwap, Mutex};
use crate::tree_spec::TreeSpec;
use crate::wal::LoggedLeaves;

/// Entries of so many bytes are hashed by several threads.
const PARALLEL_FROM: usize = 1 << 18;
/// Entries that a core hashes at a time.
const PIECE: usize = 64;

/// Batches of at least so many leaves are worth hashing at once.
pub(super) const BATCH_FROM: usize = 1 << 14;

/// What is fixed for the life of a tree.
pub(crate) struct Fixed {
    pub(crate) spec: Arc<TreeSpec>,
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
    /// How entries are framed, if the tree keeps entries.
    pub(crate) framing: Option<Framing>,
}

/// The state of one tree that readers and the store share. Everything in it only grows, except the number of
/// parts, which merges lower: a tree that is rewound gets another state, and this one stays as it is.
pub(crate) struct Tree {
    pub(crate) fixed: Arc<Fixed>,
    pub(crate) columns: Arc<Columns>,
    nodes: Mutex<NodeWriter>,
    /// The parts that the columns read. Changed only under the checkpoint lock.
    parts: Mutex<PartSet>,
    /// Where the tree begins. Changed under the lock of the parts.
    floor: ArcSwap<Floor>,
    edges: EdgeCache,
    /// How many leaves are known to be durable. Only rises.
    durable: AtomicU64,
    pub(super) finder: Finder,
    erased: Erased,
    /// The states before, while something holds them, with the lowest size that the tree was rewound to since.
    before: Box<[(Weak<Tree>, u64)]>,
    pub(super) activity: Activity,
    /// The only process that may use the tree, if threads of a store work on it.
    process: Option<Process>,
}

impl Fixed {
    pub(crate) fn id(&self) -> TreeId {
        self.spec.id
    }

    pub(crate) fn name(&self) -> &TreeName {
        &self.spec.name
    }

    /// The leaves of `entries`. A large batch is hashed on every core.
    pub(crate) fn leaves_of(&self, entries: &[&[u8]]) -> Vec<Hash> {
        let bytes: usize = entries.iter().map(|entry| entry.len()).sum();
        let mut leaves = vec![[0; 32]; entries.len()];
        match pool().filter(|_| bytes >= PARALLEL_FROM) {
            Some(pool) => pool.install(|| {
                let pieces = entries.par_chunks(PIECE).zip(leaves.par_chunks_mut(PIECE));
                pieces.for_each(|(entries, leaves)| self.hasher.leaves(entries, leaves));
            }),
            None => self.hasher.leaves(entries, &mut leaves),
        }
        leaves
    }
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixed")
            .field("name", &self.spec.name)
            .field("hasher", &self.hasher.id())
            .field("arity", &self.arity)
            .finish_non_exhaustive()
    }
}

impl Deref for Tree {
    type Target = Fixed;

    fn deref(&self) -> &Fixed {
        &self.fixed
    }
}

impl Tree {
    pub(crate) fn new(
        spec: Arc<TreeSpec>,
        hasher: Arc<dyn Hasher>,
        columns: Arc<Columns>,
        nodes: NodeWriter,
        parts: PartSet,
    ) -> Self {
        let arity = columns.layout().arity();
        let framing = spec.entries.map(Framing::of);
        Self::of(Arc::new(Fixed { spec, hasher, arity, framing }), columns, nodes, parts)
    }

    fn of(fixed: Arc<Fixed>, columns: Arc<Columns>, nodes: NodeWriter, parts: PartSet) -> Self {
        let floor = ArcSwap::new(Floor::first(parts.base()));
        let (nodes, parts) = (Mutex::new(nodes), Mutex::new(parts));
        Self {
            fixed,
            columns,
            nodes,
            parts,
            floor,
            edges: EdgeCache::default(),
            durable: AtomicU64::new(0),
            finder: Finder::default(),
            erased: Erased::new(),
            before: Box::default(),
            activity: Activity::default(),
            process: None,
        }
    }

    /// A tree without leaves, and the one writer of its leaves.
    pub(crate) fn empty(
        spec: Arc<TreeSpec>,
        hasher: Arc<dyn Hasher>,
        huge_pages: bool,
    ) -> (Self, LeafWriter) {
        let layout = Layout::new(spec.arity).huge_pages(huge_pages);
        let (columns, leaves, nodes) = Columns::empty(layout);
        let tree = Self::new(spec, hasher, columns, nodes, PartSet::default());
        let leaves = leaves.with_entries(tree.framing);
        (tree, leaves)
    }

    /// The state of this tree after it is rewound to `size`, which must be published, and the one writer of its leaves.
    /// Nothing of it is shared but what is below `size`. Hashes the nodes that are complete there. O(log size) copies.
    pub(crate) fn rewound(self: &Arc<Self>, size: u64) -> Result<(Self, LeafWriter)> {
        self.hash(size);
        let prefix = self.framing.map_or(0, Framing::prefix_len);
        let (columns, leaves, nodes) = self.columns.cut(size, prefix)?;
        let leaves = leaves.with_entries(self.framing);
        let tree = Self::of(Arc::clone(&self.fixed), columns, nodes, self.parts().cut(size));
        if self.is_indexed() {
            tree.give_index();
        }
        tree.set_durable(self.durable().get().min(size));
        tree.set_erasures(Arc::new(self.erasures().cut(size)));
        tree.activity.stored(size);
        let older = self.before.iter().filter(|(tree, _)| tree.strong_count() > 0);
        let before = older.map(|(tree, cut)| (Weak::clone(tree), (*cut).min(size)));
        let before = before.chain([(Arc::downgrade(self), size)]).collect();
        Ok((Self { process: self.process, before, ..tree }, leaves))
    }

    /// Keeps the edges of the state before: a mistake that tests have to notice.
    #[cfg(duramen_mutants)]
    pub(super) fn keep_edges(&mut self, before: &Self) {
        self.edges = before.edges.copy();
    }

    /// Keeps the parts of the state before: a mistake that tests have to notice.
    #[cfg(duramen_mutants)]
    pub(super) fn keep_parts(&mut self, before: &Self) {
        *self.parts.get_mut() = before.parts();
    }

    #[cfg(not(duramen_mutants))]
    pub(super) fn keep_edges(&mut self, _: &Self) {}

    #[cfg(not(duramen_mutants))]
    pub(super) fn keep_parts(&mut self, _: &Self) {}

    /// The lowest size that the tree was rewound to since it had the state `before`. `None` if that is this state.
    pub(crate) fn cut_since(&self, before: &Tree) -> Option<u64> {
        let is_it = |tree: &Weak<Self>| std::ptr::eq(tree.as_ptr(), before);
        self.before.iter().find(|(tree, _)| is_it(tree)).map(|(_, cut)| *cut)
    }

    /// The states before that something holds, with the lowest size that the tree was rewound to since.
    pub(super) fn states_before(&self) -> impl Iterator<Item = (Arc<Self>, u64)> {
        self.before.iter().filter_map(|(tree, cut)| Some((tree.upgrade()?, *cut)))
    }

    /// This tree, restricted to `process`, whose threads take its locks.
    pub(crate) fn only_in(self, process: Process) -> Self {
        Self { process: Some(process), ..self }
    }

    /// The parts that the columns read.
    pub(crate) fn parts(&self) -> PartSet {
        self.parts.lock().clone()
    }

    /// Makes the columns read `parts`, which have the first `size` leaves, instead of the parts before. If they begin at a
    /// higher leaf, the tree was pruned: what snapshots of before need of the old ones stays with them.
    pub(crate) fn install(&self, size: u64, parts: PartSet) {
        let archive = Arc::new(parts.clone());
        let mut own = self.parts.lock();
        let floor = self.floor.load_full();
        let next = (parts.base() > floor.base()).then(|| Floor::at(parts.base()));
        let before = std::mem::replace(&mut *own, parts);
        if let Some(next) = next {
            // No snapshot has the floor that trees share.
            if !floor.is_shared() {
                floor.raise(before, &next);
            }
            self.floor.store(next);
        }
        drop(own);
        self.columns.archive(size, archive);
    }

    /// Where the tree begins now, for a snapshot, which keeps it.
    #[inline]
    pub(crate) fn floor(&self) -> Arc<Floor> {
        let floor = self.floor.load_full();
        if floor.is_shared() { self.own_floor() } else { floor }
    }

    /// The floor of this tree alone.
    #[cold]
    fn own_floor(&self) -> Arc<Floor> {
        let parts = self.parts.lock();
        let floor = self.floor.load_full();
        if !floor.is_shared() {
            return floor;
        }
        let own = Floor::at(parts.base());
        self.floor.store(Arc::clone(&own));
        own
    }

    /// The first leaf that is there now.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.floor.load().base()
    }

    /// The error for leaf `index`, or a tree of that size, which lies below `base`.
    #[cold]
    pub(crate) fn pruned(&self, index: u64, base: u64) -> Error {
        let (index, base) = (LeafIndex(index), TreeSize(base));
        Error::Pruned { tree: self.name().clone(), index, base }
    }

    /// Fails if leaf `index`, or a tree of that size, lies below `floor`.
    #[inline]
    pub(crate) fn check_floor(&self, index: u64, floor: &Floor) -> Result<()> {
        let base = floor.base();
        if index < base { Err(self.pruned(index, base)) } else { Ok(()) }
    }

    /// Fails if leaf `index`, or a tree of that size, was pruned.
    #[inline]
    pub(crate) fn check_base(&self, index: u64) -> Result<()> {
        let base = self.base();
        if index < base { Err(self.pruned(index, base)) } else { Ok(()) }
    }

    /// `view`, which was loaded after `floor`, with what was pruned since.
    #[inline]
    fn over(&self, view: View, floor: &Floor) -> View {
        if floor.is_raised() { self.over_held(&view, floor) } else { view }
    }

    #[cold]
    fn over_held(&self, view: &View, floor: &Floor) -> View {
        view.over(|now| Arc::new(Held::new(self.arity, floor.held(), now)))
    }

    /// What is there now, from `floor` on.
    #[inline]
    pub(crate) fn view(&self, floor: &Floor) -> View {
        self.over(self.columns.view(), floor)
    }

    /// As [`view`](Self::view), with all nodes that are complete at `size`.
    #[inline]
    pub(crate) fn view_from(&self, floor: &Floor, size: u64) -> View {
        self.over(self.view_at(size), floor)
    }

    /// Fails in a forked child, where a thread that does not exist may hold a lock.
    pub(crate) fn check_process(&self) -> Result<()> {
        self.process.map_or(Ok(()), Process::check)
    }

    /// A view that can answer for every size up to `size`, which must be published. Hashes every unhashed leaf if
    /// the view could not answer otherwise.
    pub(crate) fn view_at(&self, size: u64) -> View {
        let view = self.columns.view();
        if view.hashed() >= size {
            return view;
        }
        self.hash(view.leaves());
        self.columns.view()
    }

    /// The head of the tree at `size`, which must be published.
    pub(crate) fn head_at(&self, size: TreeSize) -> Result<TreeHead> {
        self.check_process()?;
        self.check_base(size.0)?;
        let root = root_at(&self.view_at(size.0), &*self.hasher, self.arity, size);
        if root.is_err() {
            // A prune may have come between, and it raises the floor before it takes nodes away.
            self.check_base(size.0)?;
        }
        Ok(TreeHead { size, root: root? })
    }

    /// As [`head_at`](Self::head_at), for a snapshot with this floor.
    pub(crate) fn head_from(&self, floor: &Floor, size: TreeSize) -> Result<TreeHead> {
        self.check_process()?;
        self.check_floor(size.0, floor)?;
        let root = root_at(&self.view_from(floor, size.0), &*self.hasher, self.arity, size)?;
        Ok(TreeHead { size, root })
    }

    /// How many leaves are known to be durable.
    pub(crate) fn durable(&self) -> TreeSize {
        TreeSize(self.durable.load(Ordering::Acquire))
    }

    /// Notes that the first `size` leaves are durable. Only the thread that syncs may call this, after the sync,
    /// with sizes that do not fall.
    pub(crate) fn set_durable(&self, size: u64) {
        self.durable.store(size, Ordering::Release);
    }

    /// The erased entries.
    pub(crate) fn erasures(&self) -> Arc<Erasures> {
        self.erased.set()
    }

    /// The erased entries below `size`.
    pub(super) fn erasures_below(&self, size: u64) -> Arc<Erasures> {
        let all = self.erasures();
        if all.end() <= size { all } else { Arc::new(all.cut(size)) }
    }

    /// How many entries are erased.
    #[inline]
    pub(crate) fn erased(&self) -> u64 {
        self.erased.count()
    }

    /// Replaces the erased entries by `erasures`, which has all of them. Only the thread that accepts erasures
    /// may call this, or the one that reads the log.
    pub(crate) fn set_erasures(&self, erasures: Arc<Erasures>) {
        self.erased.replace(erasures);
    }

    /// Fails if entry `index` is erased.
    #[inline]
    fn check_erased(&self, index: u64) -> Result<()> {
        if self.erased() == 0 { Ok(()) } else { self.check_erased_in(&self.erasures(), index) }
    }

    #[cold]
    fn check_erased_in(&self, erasures: &Erasures, index: u64) -> Result<()> {
        match erasures.cause(index) {
            None => Ok(()),
            Some(cause) => Err(Error::Erased { index: LeafIndex(index), at: cause.time() }),
        }
    }

    /// Updates `info`, which describes the tree's entry in the manifest, for the loaded tree with this size.
    pub(super) fn describe(&self, size: TreeSize, info: TreeInfo) -> TreeInfo {
        let memory_bytes = self.columns.memory_bytes() + self.table_bytes();
        let pinned_bytes = self.columns.pinned_bytes();
        let base = TreeSize(self.floor().base());
        // Those below stay in the set, for snapshots that were taken before the tree was pruned.
        let (durable_size, erased) = (self.durable(), self.erasures().count_in(base.0..u64::MAX));
        TreeInfo {
            size,
            base,
            durable_size,
            loaded: true,
            memory_bytes,
            pinned_bytes,
            erased,
            ..info
        }
    }

    /// The right edge of `size`, if it is requested repeatedly. `view` must be able to answer for `size`.
    pub(crate) fn edge(&self, view: &View, size: TreeSize) -> Result<Option<Arc<RightEdge>>> {
        let fold = || RightEdge::fold(view, &*self.hasher, self.arity, size);
        Ok(self.edges.get(size, fold)?)
    }

    /// Hashes every inner node that is complete at `size`.
    pub(crate) fn hash(&self, size: u64) {
        self.nodes.lock().hash_to(&*self.hasher, size);
    }

    /// Appends leaves through the tree's one `writer`. No other thread may wait for this writer. Hashes a large
    /// batch on the way, while it is in the cache, unless another thread is hashing.
    pub(crate) fn append(&self, writer: &mut LeafWriter, leaves: &[Hash]) {
        if leaves.len() >= BATCH_FROM
            && let Some(mut nodes) = self.nodes.try_lock()
        {
            nodes.append_and_hash(&*self.hasher, writer, leaves);
        } else {
            writer.append(leaves);
        }
    }

    /// Appends leaves that were read from the log, through the tree's one `writer`. Returns those that are
    /// [bare](LoggedLeaves::bare).
    ///
    /// # Errors
    ///
    /// The index of the first leaf that is not the hash of its entry, if that has data. Nothing was then appended.
    pub(crate) fn append_logged(
        &self,
        writer: &mut LeafWriter,
        logged: &LoggedLeaves<'_>,
    ) -> Result<Vec<u64>, u64> {
        let LoggedLeaves { leaves, entries, .. } = logged;
        if self.framing.is_none() {
            writer.append(leaves);
            return Ok(Vec::new());
        }
        let bare = logged.bare(&*self.hasher)?;
        writer.append_entries(leaves, entries);
        Ok(bare)
    }

    /// The entry `index`, which must be published.
    ///
    /// # Errors
    ///
    /// [`Erased`](Error::Erased), [`Pruned`](Error::Pruned).
    pub(crate) fn entry(&self, floor: &Floor, index: u64, framing: Framing) -> Result<EntryBytes> {
        let hash = |entry: &[u8]| self.hasher.leaf(entry);
        self.check_floor(index, floor)?;
        // The parts of a view lack only entries that were erased before it was made.
        let view = self.view(floor);
        self.check_erased(index)?;
        Ok(view.entry(index, framing.prefix_len(), &hash)?)
    }

    /// Adjacent entries from `from` on, and none behind `to`. None of them is erased.
    ///
    /// # Errors
    ///
    /// [`Erased`](Error::Erased) if entry `from` is.
    pub(crate) fn entry_run(&self, floor: &Floor, from: u64, to: u64) -> Result<EntrySpan> {
        let hash = |entry: &[u8]| self.hasher.leaf(entry);
        self.check_floor(from, floor)?;
        let view = self.view(floor);
        let mut to = to;
        if self.erased() > 0 {
            let erasures = self.erasures();
            self.check_erased_in(&erasures, from)?;
            to = erasures.next(from).map_or(to, |next| next.min(to));
        }
        Ok(view.entry_run(from, to, &hash)?)
    }

    /// Bytes of the entries of leaves `[from, to)` in the log. The leaves are in memory.
    pub(crate) fn entry_bytes(&self, from: u64, to: u64) -> Result<u64, ReadError> {
        match self.framing {
            None => Ok(0),
            Some(_) => self.columns.view().entry_bytes(from, to),
        }
    }

    /// How many of the leaves `[from, to)`, which are in memory, take at most `bytes` in the log with their
    /// entries.
    pub(crate) fn leaves_within(&self, from: u64, to: u64, bytes: u64) -> Result<u64, ReadError> {
        const LEAF: u64 = size_of::<Hash>() as u64;
        let most = (to - from).min(bytes / LEAF);
        if self.framing.is_none() {
            return Ok(most);
        }
        let view = self.columns.view();
        let (mut fits, mut too_many) = (0, most + 1);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            match middle * LEAF + view.entry_bytes(from, from + middle)? <= bytes {
                true => fits = middle,
                false => too_many = middle,
            }
        }
        Ok(fits)
    }

    /// Hashes all leaves, unless another thread is hashing.
    pub(crate) fn hash_if_free(&self) {
        if let Some(mut nodes) = self.nodes.try_lock() {
            nodes.hash_to(&*self.hasher, self.columns.leaves());
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("name", &self.spec.name)
            .field("hasher", &self.hasher.id())
            .field("arity", &self.arity)
            .field("leaves", &self.columns.leaves())
            .finish_non_exhaustive()
    }
}
