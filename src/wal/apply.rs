//! Applies frames to the state of the trees. This is the only place that defines the effect of a frame.
//! Pure.
//!
//! # Invariants
//!
//! - A frame must fit the state of its tree. Leaves follow the last leaf without a gap. A sealed tree
//!   takes no leaves. A tree that was dropped or never created has no frames.
//! - Tree ids rise with each created tree, and no id is reused.
//! - Only entries that the tree has are erased.
//! - A tree is rewound to a size that it has, and not once it is sealed. Erasures above the size, and marks with more
//!   leaves of the tree, go with its leaves.
//! - A mark has the size of trees that are there, and no more leaves than they have. No two marks have the same name.
//! - A leaf that is not the hash of its entry has an entry without data, which the log erases before its next point: it
//!   was inserted as erased.
//! - At the end of a group no two trees have the same name. Frames in a group are sorted by kind, not by
//!   the order of the calls. So within a group a name may pass from one tree to another.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame::{Frame, GroupHeader};
use super::logged::LoggedLeaves;
use crate::entry::{Entries, Erasures, Framing};
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::FileSystem;
use crate::ids::TreeId;
use crate::mark::{Mark, Marks};
use crate::merkle::{Frontier, TreeName};
use crate::per_tree::PerTree;
use crate::tree_spec::TreeSpec;

/// The state of a tree in a manifest and the log behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedTree {
    pub(crate) spec: Arc<TreeSpec>,
    pub(crate) size: u64,
    pub(crate) sealed: bool,
    /// Whether the tree has an index.
    pub(crate) indexed: bool,
    /// Bytes of entries that the log has, framed.
    pub(crate) entry_bytes: u64,
    /// The entries that are erased.
    pub(crate) erasures: Arc<Erasures>,
}

/// All trees of a store at one position in its log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedTrees {
    trees: PerTree<LoggedTree>,
    /// The id of the next tree to be created.
    next: u64,
    /// Whether entries were ever erased.
    erased: bool,
    /// Leaves since the last point that are not the hash of their entry, which has no data.
    bare: Vec<(TreeId, u64)>,
    marks: Marks,
}

/// The effect of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Nothing,
    /// Behind this frontier, if there is one.
    Created(Arc<TreeSpec>, Option<Arc<Frontier>>),
    Leaves(TreeId, LoggedLeaves<'a>),
    Sealed(TreeId),
    Indexed(TreeId),
    Dropped(LoggedTree),
    /// With all entries that are erased now.
    Erased(TreeId, Arc<Erasures>),
    /// The marks have changed.
    Marked,
    /// Trees were rewound to these sizes.
    Rewound(Vec<(TreeId, u64)>),
}

impl LoggedTrees {
    /// The trees of a manifest. `next` is the id of the next tree to be created, and `erased` whether entries were ever
    /// erased.
    pub(crate) fn new(
        trees: impl IntoIterator<Item = LoggedTree>,
        next: u64,
        erased: bool,
    ) -> Self {
        let trees = trees.into_iter().map(|tree| (tree.spec.id, tree)).collect();
        Self { trees, next, erased, bare: Vec::new(), marks: Marks::default() }
    }

    /// The same trees, with these marks.
    pub(crate) fn with_marks(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// The marks of the store.
    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(crate) fn get(&self, id: TreeId) -> Option<&LoggedTree> {
        self.trees.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LoggedTree> {
        self.trees.values()
    }

    /// The id of the next tree to be created.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether entries were ever erased, also of a tree that was dropped.
    pub(crate) fn has_erased(&self) -> bool {
        self.erased
    }

    /// The tree with this name. O(trees).
    pub(crate) fn find(&self, name: &TreeName) -> Option<&LoggedTree> {
        self.iter().find(|tree| tree.spec.name == *name)
    }

    /// Applies `frame` of the group with `header`.
    ///
    /// # Errors
    ///
    /// Damage if the frame does not fit the state of the trees. The state is then unchanged.
    pub(crate) fn apply<'a>(
        &mut self,
        fs: &dyn FileSystem,
        header: &GroupHeader,
        frame: &Frame<'a>,
    ) -> Result<Change<'a>> {
        let fail = |field, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            let path = fs.display(header.segment.file());
            Err(Damage::field(&path, header.offset.0, field, expected, found).into())
        };
        match frame {
            Frame::Roll { .. } | Frame::Point => Ok(Change::Nothing),
            Frame::Create(spec) | Frame::Begin(spec, _) => {
                let origin = match frame {
                    Frame::Begin(_, origin) => Some(Arc::clone(origin)),
                    _ => None,
                };
                if u64::from(spec.id.0) != self.next {
                    return fail("number of a new tree", &self.next, &spec.id.0);
                }
                self.next += 1;
                let tree = LoggedTree {
                    spec: Arc::clone(spec),
                    size: origin.as_ref().map_or(0, |origin| origin.size().get()),
                    sealed: false,
                    indexed: false,
                    entry_bytes: 0,
                    erasures: Arc::default(),
                };
                self.trees.insert(spec.id, tree);
                Ok(Change::Created(Arc::clone(spec), origin))
            }
            Frame::Leaves { tree: id, first, leaves }
            | Frame::Entries { tree: id, first, leaves, .. } => {
                let Some(tree) = self.trees.get_mut(*id) else {
                    return fail("tree number", &"the number of an existing tree", &id.0);
                };
                let framed = match frame {
                    Frame::Entries { entries, .. } => Some(*entries),
                    _ => None,
                };
                let kept = tree.spec.entries.map(Framing::of);
                let entries = match (kept, framed) {
                    (None, None) => Vec::new(),
                    (Some(framing), Some(framed)) => {
                        let entries = Entries::new(framing, framed);
                        match entries.exactly(leaves.len() as u64) {
                            Some(entries) => entries,
                            None => return fail("entries of leaves", &leaves.len(), &"others"),
                        }
                    }
                    (Some(_), None) => {
                        return fail("leaves of a tree with entries", &"entries", &"none");
                    }
                    (None, Some(_)) => {
                        return fail("leaves of a tree without entries", &"none", &"entries");
                    }
                };
                if tree.size != *first {
                    return fail("leaf index", &tree.size, first);
                }
                if tree.sealed {
                    return fail("leaves of a sealed tree", &0, &leaves.len());
                }
                tree.size = tree.size.saturating_add(leaves.len() as u64);
                tree.entry_bytes += framed.map_or(0, |framed| framed.len() as u64);
                Ok(Change::Leaves(*id, LoggedLeaves { first: *first, leaves, entries }))
            }
            Frame::Seal { tree: id } => {
                let Some(tree) = self.trees.get_mut(*id).filter(|tree| !tree.sealed) else {
                    return fail("number of a tree to seal", &"an unsealed tree", &id.0);
                };
                tree.sealed = true;
                Ok(Change::Sealed(*id))
            }
            Frame::Index { tree: id } => {
                let Some(tree) = self.trees.get_mut(*id).filter(|tree| !tree.indexed) else {
                    return fail("number of a tree to index", &"a tree without an index", &id.0);
                };
                tree.indexed = true;
                Ok(Change::Indexed(*id))
            }
            Frame::Erase { tree: id, ranges, cause } => {
                let keeps = |tree: &&mut LoggedTree| tree.spec.entries.is_some();
                let Some(tree) = self.trees.get_mut(*id).filter(keeps) else {
                    return fail(
                        "number of a tree with erased entries",
                        &"one with entries",
                        &id.0,
                    );
                };
                let end = ranges.last().map_or(0, |last| last.end);
                if end > tree.size {
                    return fail("end of the erased entries", &tree.size, &end);
                }
                self.erased = true;
                if let Some(after) = tree.erasures.with(ranges, cause.clone()) {
                    tree.erasures = Arc::new(after);
                }
                Ok(Change::Erased(*id, Arc::clone(&tree.erasures)))
            }
            Frame::Drop { tree: id } => match self.trees.remove(*id) {
                Some(tree) => Ok(Change::Dropped(tree)),
                None => fail("number of a tree to drop", &"the number of an existing tree", &id.0),
            },
            Frame::Mark(mark) => {
                if let Some((id, size)) = self.beyond(mark) {
                    let has = self.trees.get(id).map_or(0, |tree| tree.size);
                    return fail("size of a tree at a mark", &has, &size);
                }
                match self.marks.with(Arc::clone(mark)) {
                    Some(marks) => self.marks = marks,
                    None => return fail("name of a mark", &"a name that is free", &mark.name),
                }
                Ok(Change::Marked)
            }
            Frame::Rewind(cuts) => {
                let has = |id: &TreeId| self.trees.get(*id).filter(|tree| !tree.sealed);
                let beyond =
                    |(id, size): &(TreeId, u64)| has(id).is_none_or(|has| *size > has.size);
                if let Some((id, size)) = cuts.iter().find(|cut| beyond(cut)) {
                    let has = has(id).map_or(0, |tree| tree.size);
                    return fail("size to which a tree is rewound", &has, size);
                }
                self.rewind(cuts);
                Ok(Change::Rewound(cuts.clone()))
            }
            Frame::Unmark(name) => match self.marks.without(name) {
                Some(marks) => {
                    self.marks = marks;
                    Ok(Change::Marked)
                }
                None => fail("name of a mark to remove", &"the name of a mark", name),
            },
        }
    }

    fn rewind(&mut self, cuts: &[(TreeId, u64)]) {
        for (id, size) in cuts {
            if let Some(tree) = self.trees.get_mut(*id) {
                tree.size = *size;
                if tree.erasures.end() > *size {
                    tree.erasures = Arc::new(tree.erasures.cut(*size));
                }
            }
        }
        let is_left = |(id, index): &(TreeId, u64)| {
            !cuts.iter().any(|(cut, size)| cut == id && index >= size)
        };
        self.bare.retain(is_left);
        self.marks = self.marks.only(|mark| mark.outlives(cuts));
    }

    /// The first size of `mark` that its tree does not have.
    fn beyond(&self, mark: &Mark) -> Option<(TreeId, u64)> {
        let has = |id: TreeId| self.trees.get(id).map(|tree| tree.size);
        mark.sizes().iter().copied().find(|(id, size)| has(*id).is_none_or(|has| *size > has))
    }

    /// Notes leaves of a tree that are not the hash of their entry, which has no data.
    pub(crate) fn note_bare(&mut self, id: TreeId, leaves: Vec<u64>) {
        self.bare.extend(leaves.into_iter().map(|index| (id, index)));
    }

    /// Fails if the log is damaged although every frame fits: if two trees have the same name, or a leaf is not the hash
    /// of its entry, which is not erased. `path` is the file in which the log ends. Call this at a point. O(trees).
    pub(crate) fn check_end(&mut self, path: impl Fn() -> PathBuf) -> Result<()> {
        for (id, index) in std::mem::take(&mut self.bare) {
            if self.trees.get(id).is_some_and(|tree| !tree.erasures.has(index)) {
                return Err(Damage::new(path(), 0, Problem::NotTheEntry { index }).into());
            }
        }
        self.check_names(path)
    }

    fn check_names(&self, path: impl FnOnce() -> PathBuf) -> Result<()> {
        let mut names = HashMap::with_capacity(self.trees.len());
        for tree in self.iter() {
            if let Some(other) = names.insert(&tree.spec.name, tree.spec.id) {
                let found = format!("trees {} and {}", other.0, tree.spec.id.0);
                return Err(
                    Damage::field(&path(), 0, "trees of one name", "one tree", found).into()
                );
            }
        }
        Ok(())
    }
}

/// The damage of a log that has a leaf which is not the hash of its entry, in the group with `header`.
pub(crate) fn not_the_entry(fs: &dyn FileSystem, header: &GroupHeader, index: u64) -> Error {
    let path = fs.display(header.segment.file());
    Damage::new(path, header.offset.0, Problem::NotTheEntry { index }).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ByteOffset, GroupNumber, SegmentId, Seq, StoreId};
    use crate::testing::sim::SimDisk;
    use crate::wal::{GroupEnd, Life};

    fn spec(id: u32, name: &str) -> Arc<TreeSpec> {
        TreeSpec::read(TreeId(id), name.as_bytes(), b"blake3", 4, [0; 8]).unwrap()
    }

    fn apply(trees: &mut LoggedTrees, frame: &Frame<'_>) -> Result<(), String> {
        let header = GroupHeader {
            life: Life([0; 16]),
            store: StoreId([0; 16]),
            segment: SegmentId(1),
            offset: ByteOffset(0),
            number: GroupNumber(1),
            len: 0,
            first: Seq(0),
            last: Seq(0),
            durable: GroupNumber(1),
            frames: 1,
            end: GroupEnd::Point,
            body_checksum: 0,
        };
        let applied = trees.apply(&SimDisk::new(), &header, frame);
        applied.map(drop).map_err(|error| error.to_string())
    }

    fn leaves(tree: u32, first: u64) -> Frame<'static> {
        Frame::Leaves { tree: TreeId(tree), first, leaves: &[[1; 32]; 2] }
    }

    #[test]
    fn a_tree_is_created_filled_sealed_and_dropped_in_this_order_only() {
        let mut trees = LoggedTrees::new([], 3, false);
        let frames = [
            Frame::Create(spec(3, "a")),
            leaves(3, 0),
            leaves(3, 2),
            Frame::Seal { tree: TreeId(3) },
            Frame::Drop { tree: TreeId(3) },
        ];
        for (done, frame) in frames.iter().enumerate() {
            // A frame that comes too early or too late is refused and changes nothing.
            for (at, other) in frames.iter().enumerate() {
                let fits = at == done || (at, done) == (3, 1) || (at, done) == (3, 2);
                let dropped_early = at == 4 && done > 0;
                if !fits && !dropped_early {
                    let before = trees.clone();
                    apply(&mut trees, other).unwrap_err();
                    assert!(trees.iter().eq(before.iter()) && trees.next() == before.next());
                }
            }
            apply(&mut trees, frame).unwrap();
        }
        assert!(trees.iter().next().is_none());
        let again = apply(&mut trees, &Frame::Create(spec(3, "a"))).unwrap_err();
        assert!(
            again.contains("number of a new tree") && again.contains("expected 4, found 3"),
            "{again}"
        );
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "some sets of entries have one range")]
    fn only_entries_that_a_tree_has_are_erased() {
        use crate::entry::Cause;
        let kept = Some(crate::entry::EntryConfig::new());
        let keeping = TreeSpec::clone(&spec(0, "a")).with_entries(kept);
        let tree = |spec, size| LoggedTree {
            spec,
            size,
            sealed: true,
            indexed: false,
            entry_bytes: 0,
            erasures: Arc::default(),
        };
        let all = [tree(Arc::new(keeping), 10), tree(spec(1, "b"), 10)];
        let mut trees = LoggedTrees::new(all, 2, false);
        let erase = |tree: u32, ranges: &[std::ops::Range<u64>], at| {
            let cause = Cause { at, reason: "".into() };
            Frame::Erase { tree: TreeId(tree), ranges: ranges.to_vec(), cause }
        };
        apply(&mut trees, &erase(0, &[2..4, 9..10], 1)).unwrap();
        apply(&mut trees, &erase(0, &[0..3], 2)).unwrap();
        apply(&mut trees, &erase(0, &[9..10], 3)).unwrap();
        let erasures = &trees.get(TreeId(0)).unwrap().erasures;
        let at = |index| erasures.cause(index).map(|cause| cause.at);
        assert_eq!(
            [0, 1, 2, 3, 4, 9].map(at),
            [2, 2, 1, 1, 0, 1].map(|at| Some(at).filter(|at| *at > 0))
        );
        let beyond = apply(&mut trees, &erase(0, &[9..11], 4)).unwrap_err();
        assert!(beyond.contains("expected 10, found 11"), "{beyond}");
        apply(&mut trees, &erase(1, &[0..1], 4)).unwrap_err();
        apply(&mut trees, &erase(2, &[0..1], 4)).unwrap_err();
    }

    #[test]
    fn a_leaf_that_is_not_the_hash_of_its_entry_has_to_be_erased_by_the_next_point() {
        let kept = Some(crate::entry::EntryConfig::new());
        let keeping = Arc::new(TreeSpec::clone(&spec(0, "a")).with_entries(kept));
        let tree = || LoggedTree {
            spec: Arc::clone(&keeping),
            size: 10,
            sealed: false,
            indexed: false,
            entry_bytes: 0,
            erasures: Arc::default(),
        };
        for (erased, right) in [(0..10, true), (4..9, true), (5..9, false), (4..8, false)] {
            let mut trees = LoggedTrees::new([tree()], 1, false);
            trees.note_bare(TreeId(0), vec![4, 8]);
            let cause = crate::entry::Cause { at: 1, reason: "".into() };
            let frame = Frame::Erase { tree: TreeId(0), ranges: vec![erased.clone()], cause };
            apply(&mut trees, &frame).unwrap();
            assert_eq!(trees.check_end(PathBuf::new).is_ok(), right, "{erased:?}");
            assert!(trees.check_end(PathBuf::new).is_ok(), "it is looked at once");
            // What a tree had that is gone does not matter.
            trees.note_bare(TreeId(0), vec![0, 9]);
            apply(&mut trees, &Frame::Drop { tree: TreeId(0) }).unwrap();
            trees.check_end(PathBuf::new).unwrap();
        }
    }

    #[test]
    fn a_name_may_go_to_another_tree_and_two_trees_with_one_name_are_found() {
        let mut trees = LoggedTrees::default();
        apply(&mut trees, &Frame::Create(spec(0, "a"))).unwrap();
        apply(&mut trees, &Frame::Create(spec(1, "a"))).unwrap();
        let error = trees.check_names(PathBuf::new).unwrap_err().to_string();
        assert!(error.contains("trees 0 and 1"), "{error}");
        apply(&mut trees, &Frame::Drop { tree: TreeId(0) }).unwrap();
        trees.check_names(PathBuf::new).unwrap();
        assert_eq!(trees.find(&TreeName::new("a").unwrap()).unwrap().spec.id, TreeId(1));
    }
}
