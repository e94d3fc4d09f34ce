//! Compares the columns with vectors. Every node that a view claims to have must be there and be right,
//! however leaves were appended, hashed and archived, and however long the view was kept.

use std::sync::Arc;

use super::*;
use crate::error::ReadError;
use crate::merkle::{Arity, Hash, Hasher, HasherId, Level, NodeIndex, NodeSource};

/// A cheap hash function that depends on the value and the position of each child.
#[derive(Debug)]
struct Mix;

impl Hasher for Mix {
    fn id(&self) -> HasherId {
        HasherId::new("mix")
    }

    fn leaf(&self, _: &[u8]) -> Hash {
        [0; 32]
    }

    fn node(&self, children: &[Hash]) -> Hash {
        let mut state = children.len() as u64;
        for child in children {
            let (word, _) = child.split_first_chunk().unwrap();
            state = (state.rotate_left(7) ^ u64::from_le_bytes(*word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        let mut hash = [1; 32];
        hash[..8].copy_from_slice(&state.to_le_bytes());
        hash
    }

    fn empty_root(&self) -> Hash {
        [0; 32]
    }
}

fn leaf(index: u64) -> Hash {
    let mut leaf = [2; 32];
    leaf[..8].copy_from_slice(&(index + 1).to_le_bytes());
    leaf
}

/// All complete nodes, by level.
#[derive(Debug)]
struct Model {
    arity: Arity,
    levels: Vec<Vec<Hash>>,
}

impl Model {
    fn new(arity: Arity) -> Self {
        Self { arity, levels: vec![Vec::new()] }
    }

    fn of(arity: Arity, size: u64) -> Self {
        let mut model = Self::new(arity);
        model.append(size);
        model
    }

    fn len(&self) -> u64 {
        self.levels[0].len() as u64
    }

    fn append(&mut self, count: u64) -> Vec<Hash> {
        let new: Vec<_> = (self.len()..self.len() + count).map(leaf).collect();
        self.levels[0].extend(&new);
        let arity = self.arity.children();
        for level in 1.. {
            let Some(below) = self.levels.get(level - 1).filter(|below| below.len() >= arity)
            else {
                break;
            };
            let done = self.levels.get(level).map_or(0, Vec::len);
            let parents: Vec<_> =
                below.chunks_exact(arity).skip(done).map(|children| Mix.node(children)).collect();
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].extend(parents);
        }
        new
    }

    /// The nodes of `level` that are complete at `size`.
    fn complete(&self, level: usize, size: u64) -> &[Hash] {
        let len = size.checked_shr(u32::try_from(level).unwrap() * self.arity.bits()).unwrap_or(0);
        let nodes = self.levels.get(level).map_or(&[][..], Vec::as_slice);
        &nodes[..usize::try_from(len).unwrap()]
    }

    /// The seeds of a tree that continues at `size`.
    fn seeds(&self, size: u64) -> Vec<Seed> {
        let group = self.arity.children();
        let rest = |level: usize| {
            let nodes = self.complete(level, size);
            let first = nodes.len() / group * group;
            (first < nodes.len()).then(|| Seed {
                level: Level(u8::try_from(level).unwrap()),
                first: first as u64,
                nodes: nodes[first..].to_vec(),
            })
        };
        (0..self.levels.len()).filter_map(rest).collect()
    }

    fn archive(&self, size: u64) -> Arc<dyn Archive> {
        let levels =
            (0..self.levels.len()).map(|level| self.complete(level, size).to_vec()).collect();
        Arc::new(Self { arity: self.arity, levels })
    }
}

impl Archive for Model {
    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let at = first.0;
        let start = usize::try_from(at).unwrap();
        let nodes = self.levels.get(usize::from(level.0)).and_then(|nodes| nodes.get(start..));
        let nodes = nodes.and_then(|nodes| nodes.get(..out.len()));
        out.copy_from_slice(nodes.ok_or(ReadError::Absent { level, at })?);
        Ok(())
    }
}

/// Reads all nodes of `view`, at once and in pieces of two, and checks that the view has no other node.
fn check(view: &View, model: &Model) {
    for level in 0..model.levels.len() + 1 {
        let size = if level == 0 { view.leaves() } else { view.hashed() };
        let expected = model.complete(level, size);
        let level = Level(u8::try_from(level).unwrap());
        let mut found = vec![[0; 32]; expected.len()];
        view.read_nodes(level, NodeIndex(0), &mut found).unwrap();
        assert_eq!(found, expected, "level {level} of {size}");
        for (first, expected) in (0..).zip(expected.windows(2)) {
            let mut found = [[0; 32]; 2];
            view.read_nodes(level, NodeIndex(first), &mut found).unwrap();
            assert_eq!(found, expected, "from {first} in level {level} of {size}");
        }
        let beyond = expected.len() as u64;
        assert!(view.run(level, beyond, u64::MAX).is_none(), "{beyond} in level {level} of {size}");
    }
}

/// One step in the life of a tree.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u64),
    /// Write this many leaves without publishing them. Later leaves overwrite them.
    Write(usize),
    /// Hash this many more leaves, if there are so many.
    Hash(u64),
    AppendAndHash(u64),
    /// Archive what is hashed, except for this many leaves.
    Archive(u64),
    /// Keep a view.
    View,
}

/// A tree and its model.
struct Tree {
    columns: Arc<Columns>,
    leaves: LeafWriter,
    nodes: NodeWriter,
    model: Model,
    archived: u64,
    views: Vec<View>,
}

impl Tree {
    fn resume(layout: Layout, size: u64) -> Self {
        let model = Model::of(layout.arity(), size);
        let archive = (size > 0).then(|| model.archive(size));
        let (columns, leaves, nodes) = Columns::resume(layout, size, archive, &model.seeds(size));
        Self { columns, leaves, nodes, model, archived: size, views: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(count) => {
                let new = self.model.append(count);
                self.leaves.append(&new);
            }
            Step::Write(count) => self.leaves.write(&vec![[9; 32]; count]),
            Step::Hash(count) => {
                let size = self.columns.view().hashed() + count;
                self.nodes.hash_to(&Mix, size);
            }
            Step::AppendAndHash(count) => {
                let new = self.model.append(count);
                self.nodes.append_and_hash(&Mix, &mut self.leaves, &new);
            }
            Step::Archive(less) => {
                let size = self.columns.view().hashed().saturating_sub(less);
                if size > self.archived {
                    self.columns.archive(size, self.model.archive(size));
                    self.archived = size;
                }
            }
            Step::View => self.views.push(self.columns.view()),
        }
    }

    /// Checks that every view kept so far still has its nodes.
    fn check(&self) {
        assert_eq!(self.columns.leaves(), self.model.len());
        for view in self.views.iter().chain([&self.columns.view()]) {
            check(view, &self.model);
        }
    }
}

/// Chunks of 2 to 256 leaves, whose levels begin with one slot. Chunks of 2 to 8 leaves under miri,
/// which is slow.
fn layouts() -> impl Iterator<Item = Layout> {
    let heights = |arity| (1..=2).map(move |height| Layout::with_height(arity, height));
    let high = [(Arity::Two, 3), (Arity::Two, 5), (Arity::Four, 3)];
    let high = high.map(|(arity, height)| Layout::with_height(arity, height));
    let low = Arity::ALL.into_iter().flat_map(heights);
    low.take(if cfg!(miri) { 2 } else { 8 }).chain(high.into_iter().take(if cfg!(miri) {
        1
    } else {
        3
    }))
}

#[test]
fn borders_of_chunks_are_nothing_to_readers() {
    for layout in layouts() {
        let chunk = layout.leaves_per_chunk();
        let mut tree = Tree::resume(layout, 0);
        for step in [
            Step::View,
            Step::Append(1),
            Step::Append(chunk - 1),
            Step::View,
            Step::Hash(chunk - 1),
            Step::Append(chunk + 1),
            Step::View,
            Step::Hash(u64::MAX / 2),
            Step::Archive(1),
            Step::View,
            Step::AppendAndHash(2 * chunk + 1),
            Step::Archive(0),
            Step::Append(0),
            Step::Append(chunk),
            Step::View,
            Step::AppendAndHash(1),
            Step::Archive(chunk),
        ] {
            tree.step(step);
        }
        tree.check();
    }
}

/// The largest size in tests with one view per size.
fn sizes_to(layout: Layout) -> u64 {
    (2 * layout.leaves_per_chunk() + 3).min(if cfg!(miri) { 11 } else { 150 })
}

#[test]
fn views_of_every_size_outlive_every_growth() {
    for layout in layouts() {
        let mut tree = Tree::resume(layout, 0);
        while tree.model.len() < sizes_to(layout) {
            tree.step(Step::Write(2));
            tree.step(Step::Append(1));
            tree.step(Step::View);
            // Nodes are hashed late and in portions, so each level outgrows its memory at another
            // moment.
            if tree.model.len().is_multiple_of(3) {
                tree.step(Step::Hash(2));
                tree.step(Step::View);
            }
        }
        tree.check();
    }
}

#[test]
fn batches_of_every_length_find_room_at_every_size() {
    for layout in layouts() {
        let most = sizes_to(layout).min(if cfg!(miri) { 5 } else { 40 });
        for before in 0..most {
            for batch in [1, 2, 3, most - before] {
                let mut tree = Tree::resume(layout, 0);
                for step in [
                    Step::Append(before),
                    Step::View,
                    Step::AppendAndHash(batch),
                    Step::View,
                    Step::Append(batch),
                    Step::Hash(u64::MAX / 2),
                ] {
                    tree.step(step);
                }
                tree.check();
            }
        }
    }
}

/// As [`Mix`], but panics at one call.
#[derive(Debug)]
struct Panics(std::sync::atomic::AtomicU64);

impl Hasher for Panics {
    fn id(&self) -> HasherId {
        Mix.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Mix.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        assert_ne!(self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed), 0, "as wanted");
        Mix.node(children)
    }

    fn empty_root(&self) -> Hash {
        Mix.empty_root()
    }
}

#[test]
fn leaves_that_come_after_a_batch_that_failed_go_where_readers_look() {
    for layout in layouts() {
        for call in 0..3 {
            let mut tree = Tree::resume(layout, 0);
            // Two leaves, and room for one or two more in the slots that the leaf writer remembers.
            tree.step(Step::Append(3));
            let batch = vec![[9; 32]; 1 << (layout.arity().bits() + 2)];
            let hasher = Panics(call.into());
            let appends = || tree.nodes.append_and_hash(&hasher, &mut tree.leaves, &batch);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(appends));
            assert!(panicked.is_err());
            tree.step(Step::View);
            tree.step(Step::Append(1));
            tree.check();
            tree.step(Step::AppendAndHash(20));
            tree.step(Step::Append(1));
            tree.check();
        }
    }
}

#[test]
fn a_small_tree_takes_little_memory_also_when_it_is_reopened() {
    let bytes = |tree: &Tree| tree.columns.memory_bytes();
    for arity in Arity::ALL {
        let layout = Layout::new(arity);
        let mut tree = Tree::resume(layout, 0);
        assert_eq!(bytes(&tree), 0);
        tree.step(Step::AppendAndHash(1));
        assert_eq!(bytes(&tree), 4 * 32);
        tree.step(Step::Append(4));
        assert_eq!(bytes(&tree), 8 * 32);
        tree.step(Step::AppendAndHash(95));
        // At most two slots for each of the 100 leaves and of the nodes above them, or the smallest
        // level of four.
        assert!(bytes(&tree) <= 2 * 32 * (100 + 100) + 7 * 4 * 32, "{} bytes", bytes(&tree));
        if !cfg!(miri) {
            tree.check();
            for size in [7, layout.leaves_per_chunk() - 1, layout.leaves_per_chunk() + 1] {
                let mut tree = Tree::resume(layout, size);
                let levels = size.ilog2() / arity.bits() + 1;
                let group = 32 * arity.children().max(4) as u64;
                assert!(bytes(&tree) <= u64::from(levels) * group, "{size}: {}", bytes(&tree));
                tree.step(Step::AppendAndHash(5));
                assert!(bytes(&tree) <= u64::from(levels + 1) * 2 * group + 8 * 32);
            }
        }
    }
}

#[test]
fn what_every_tree_has_is_small() {
    let tree = size_of::<Columns>() + size_of::<LeafWriter>() + size_of::<NodeWriter>();
    assert!(tree <= 168, "{tree} bytes");
    assert!(size_of::<super::version::Version>() <= 64);
    assert!(size_of::<super::chunk::Chunk>() <= 32);
}

#[test]
fn a_chunk_is_whole_at_once_if_it_is_filled_or_the_one_before_it_was() {
    let layout = Layout::with_height(Arity::Two, 3);
    let whole = (8 + 4 + 2) * 32;
    let mut tree = Tree::resume(layout, 0);
    tree.step(Step::Append(3));
    assert_eq!(tree.columns.memory_bytes(), 4 * 32);
    tree.step(Step::Append(6));
    assert_eq!(tree.columns.memory_bytes(), 8 * 32 + whole);
    let mut tree = Tree::resume(layout, 0);
    tree.step(Step::Append(8));
    assert_eq!(tree.columns.memory_bytes(), whole);
    // A reopened tree is not known to grow.
    let mut tree = Tree::resume(layout, 6);
    assert_eq!(tree.columns.memory_bytes(), 2 * 32);
    tree.step(Step::Append(3));
    assert_eq!(tree.columns.memory_bytes(), 2 * 32 + 2 * 32 + 32);
}

#[test]
fn an_archive_lets_go_of_every_chunk_that_it_has_whole_once_no_view_needs_it() {
    let layout = Layout::with_height(Arity::Two, 2);
    let mut tree = Tree::resume(layout, 0);
    let (chunk, root) = (6 * 32, 32);
    tree.step(Step::AppendAndHash(64));
    // The leaves are in 16 chunks, their grandparents in 4, and so on: 16 + 4 + 1 and the root's.
    assert_eq!(tree.columns.memory_bytes(), 21 * chunk + root);
    tree.step(Step::View);
    tree.step(Step::Archive(1));
    // In each tier the last chunk has nodes above leaf 63.
    assert_eq!(tree.columns.memory_bytes(), 3 * chunk + root);
    tree.step(Step::Archive(0));
    assert_eq!(tree.columns.memory_bytes(), root);
    tree.check();
}

#[test]
fn a_tree_goes_on_from_an_archive_of_any_size() {
    let sizes: Vec<u64> = if cfg!(miri) { vec![0, 1, 6, 16] } else { (0..=300).collect() };
    for layout in layouts() {
        for &size in &sizes {
            let mut tree = Tree::resume(layout, size);
            check(&tree.columns.view(), &tree.model);
            for step in [Step::Append(3), Step::Hash(2), Step::AppendAndHash(18), Step::Archive(7)]
            {
                tree.step(step);
            }
            tree.check();
        }
    }
}

#[test]
fn blocks_that_are_hashed_side_by_side_fit_together() {
    // Blocks have 4,096 leaves. This batch covers parts of three blocks.
    let (before, batch) = (4_000, 4_300);
    let layouts = Arity::ALL.map(|arity| Layout::with_height(arity, 2));
    for layout in layouts.into_iter().skip(if cfg!(miri) { 3 } else { 0 }) {
        let mut tree = Tree::resume(layout, 0);
        tree.step(Step::Append(before));
        tree.step(Step::AppendAndHash(batch));
        let view = tree.columns.view();
        assert_eq!((view.leaves(), view.hashed()), (before + batch, before + batch));
        for level in 0..tree.model.levels.len() {
            let expected = tree.model.complete(level, view.hashed());
            let mut found = vec![[0; 32]; expected.len()];
            view.read_nodes(Level(u8::try_from(level).unwrap()), NodeIndex(0), &mut found).unwrap();
            assert!(found == expected, "level {level}");
        }
    }
}

#[test]
fn large_runs_are_hashed_in_blocks_and_come_out_the_same() {
    if cfg!(miri) {
        return;
    }
    for layout in layouts() {
        let mut tree = Tree::resume(layout, 1_001);
        tree.step(Step::Append(40_000));
        tree.step(Step::Hash(39_000));
        let view = tree.columns.view();
        for level in 0..tree.model.levels.len() {
            let size = if level == 0 { view.leaves() } else { view.hashed() };
            let expected = tree.model.complete(level, size);
            let mut found = vec![[0; 32]; expected.len()];
            view.read_nodes(Level(u8::try_from(level).unwrap()), NodeIndex(0), &mut found).unwrap();
            assert!(found == expected, "level {level}");
        }
    }
}

#[test]
fn readers_beside_writers_see_whole_appends() {
    let rounds = if cfg!(miri) { 3 } else { 100 };
    for layout in layouts() {
        let Tree { columns, mut leaves, mut nodes, mut model, .. } = Tree::resume(layout, 0);
        let full = Model::of(layout.arity(), rounds * 5);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut kept = Vec::new();
                loop {
                    let view = columns.view();
                    assert_eq!(view.leaves() % 5, 0, "a part of an append was seen");
                    let last = view.leaves() == full.len() && view.hashed() == full.len();
                    check(&view, &full);
                    kept.push(view);
                    if last {
                        break;
                    }
                    if kept.len() > 4 {
                        kept.remove(1);
                    }
                }
                kept.iter().for_each(|view| check(view, &full));
            });
            let hashing = scope.spawn(|| {
                let mut archived = 0;
                while columns.view().hashed() < full.len() {
                    nodes.hash_to(&Mix, u64::MAX);
                    let hashed = columns.view().hashed();
                    if hashed > archived + 20 {
                        columns.archive(hashed, full.archive(hashed));
                        archived = hashed;
                    }
                }
            });
            for _ in 0..rounds {
                let new = model.append(5);
                leaves.append(&new);
            }
            hashing.join().unwrap();
            reader.join().unwrap();
        });
    }
}

#[cfg(not(miri))]
mod random {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..70u64).prop_map(Step::Append),
            1 => (0..70usize).prop_map(Step::Write),
            2 => (0..90u64).prop_map(Step::Hash),
            1 => Just(Step::Hash(1 << 40)),
            2 => (1..70u64).prop_map(Step::AppendAndHash),
            2 => (0..40u64).prop_map(Step::Archive),
            1 => Just(Step::View),
        ]
    }

    proptest! {
        #[test]
        fn any_history_leaves_the_same_nodes(
            layout in prop::sample::select(layouts().collect::<Vec<_>>()),
            size in 0..300u64,
            steps in prop::collection::vec(step(), 0..24),
        ) {
            let mut tree = Tree::resume(layout, size);
            for step in steps {
                tree.step(step);
            }
            tree.check();
        }
    }
}

#[test]
fn memory_is_not_read_below_the_node_where_it_begins() {
    let arity = Arity::Four;
    let layout = Layout::new(arity);
    // Below that, memory has only the children of the incomplete node, for hashing. The rest of the
    // chunk was never written.
    let seed = Seed { level: Level::LEAVES, first: 4, nodes: vec![leaf(4), leaf(5)] };
    for (size, seeds) in [(6, &[seed][..]), (8, &[])] {
        let (columns, mut leaves, _) = Columns::resume(layout, size, None, seeds);
        leaves.append(&[leaf(size), leaf(size + 1)]);
        let view = columns.view();
        for below in 0..size {
            assert_eq!(view.run(Level::LEAVES, below, size + 2), None, "{below} of {size}");
            assert_eq!(view.borrow_nodes(Level::LEAVES, NodeIndex(below), 1), None);
            assert!(view.leaf_runs(below, size + 1, &mut Vec::new()).is_err());
        }
        let both = [leaf(size), leaf(size + 1)];
        assert_eq!(view.run(Level::LEAVES, size, size + 2), Some(&both[..]));
    }
}

fn entry(index: u64) -> Vec<u8> {
    vec![index.to_le_bytes()[0]; usize::try_from(index * 7 % 50).unwrap()]
}

/// Entries of a tree, written and not published.
fn write_entries(writer: &mut LeafWriter, range: std::ops::Range<u64>) {
    let entries: Vec<_> = range.clone().map(entry).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let leaves: Vec<_> = range.map(leaf).collect();
    writer.write_entries(&leaves, &entries);
}

fn check_entries(view: &View) {
    for index in 0..view.leaves() {
        assert_eq!(
            view.entry(index, 2, &|_| [0; 32]).ok().unwrap().get(),
            entry(index),
            "entry {index}"
        );
    }
    let framed: Vec<u8> = view.entry_slices(0, view.leaves()).ok().unwrap().concat();
    let expected = (0..view.leaves()).flat_map(|index| {
        let entry = entry(index);
        [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
    });
    assert!(expected.eq(framed.iter().copied()));
    for from in [0, view.leaves() / 2] {
        let bytes: u64 = (from..view.leaves()).map(|index| 2 + entry(index).len() as u64).sum();
        assert_eq!(view.entry_bytes(from, view.leaves()).ok(), Some(bytes));
    }
}

#[test]
fn entries_that_were_written_and_not_published_leave_no_trace() {
    let (columns, leaves, _nodes) = Columns::empty(Layout::new(Arity::Two));
    let mut writer = leaves.with_entries(Some(crate::entry::Framing::Short));
    let mut size = 0;
    let mut held = Vec::new();
    for round in 0..if cfg!(miri) { 6 } else { 60 } {
        // Given up: by a publication of nothing, or by the next write.
        write_entries(&mut writer, size..size + round * 11 % 90);
        if round % 2 == 0 {
            writer.publish(size);
        }
        assert_eq!(columns.leaves(), size);
        write_entries(&mut writer, size..size + 1 + round % 40);
        size += 1 + round % 40;
        writer.publish(size);
        let view = columns.view();
        check_entries(&view);
        held.push(view);
    }
    drop(writer);
    held.iter().for_each(check_entries);
}

#[test]
fn memory_of_entries_is_freed_when_an_archive_has_them() {
    let (columns, leaves, mut nodes) = Columns::empty(Layout::new(Arity::Two));
    let mut writer = leaves.with_entries(Some(crate::entry::Framing::Short));
    let size = if cfg!(miri) { 300 } else { 20_000 };
    // In several calls: what one call brings is in one chunk.
    for first in (0..size).step_by(100) {
        write_entries(&mut writer, first..first + 100);
        writer.publish(first + 100);
    }
    nodes.hash_to(&Mix, size);
    let held = columns.view();
    let before = columns.memory_bytes();
    columns.archive(size, Model::of(Arity::Two, size).archive(size));
    write_entries(&mut writer, size..size + 10);
    writer.publish(size + 10);
    check_entries(&held);
    let view = columns.view();
    // Those before the last chunk are the archive's, which has none here.
    assert!(view.entry(0, 2, &|_| [0; 32]).is_err() || cfg!(miri));
    for index in size..size + 10 {
        assert_eq!(view.entry(index, 2, &|_| [0; 32]).ok().unwrap().get(), entry(index));
    }
    assert!(cfg!(miri) || columns.memory_bytes() < before);
}
