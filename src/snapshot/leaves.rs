//! Reads leaves in order, with one block in memory at a time.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::sync::Arc;

use crate::engine::{Floor, Tree};
use crate::error::Result;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};

/// Leaves per read: 128 KiB.
const BLOCK: u64 = 1 << 12;

/// The leaves of a range, in order. There is one item per leaf, which is an error if the leaf cannot be
/// read. After an error the iterator continues with the next leaf.
///
/// The iterator keeps at most 128 KiB, and no nodes that a checkpoint has written since. Skipping leaves
/// does not read them. Made by [`Snapshot::leaves_iter`](crate::Snapshot::leaves_iter).
#[must_use = "an iterator reads nothing until it is asked for items"]
pub struct Leaves {
    tree: Arc<Tree>,
    floor: Arc<Floor>,
    /// The leaves that are still to come.
    range: Range<u64>,
    /// A block that was read, from leaf `first` on.
    block: Vec<Hash>,
    first: u64,
    /// Leaves below this index are read one by one, because reading their block failed.
    singly_to: u64,
}

impl Leaves {
    /// The leaves of `range`. They must be published, and not lie below `floor`.
    pub(crate) fn new(tree: Arc<Tree>, floor: Arc<Floor>, range: Range<u64>) -> Self {
        let range = range.start..range.end.max(range.start);
        Self { tree, floor, range, block: Vec::new(), first: 0, singly_to: 0 }
    }

    fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read(&mut self, at: u64) -> Result<Hash> {
        let here = at.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(leaf) = here.and_then(|at| self.block.get(at)) {
            return Ok(*leaf);
        }
        self.tree.check_process()?;
        let view = self.tree.view(&self.floor);
        if at >= self.singly_to {
            let len = (self.range.end - at).min(BLOCK);
            self.block.resize(usize::try_from(len).unwrap_or(0), [0; 32]);
            self.first = at;
            if view.read_nodes(Level::LEAVES, NodeIndex(at), &mut self.block).is_ok()
                && let Some(leaf) = self.block.first()
            {
                return Ok(*leaf);
            }
            self.block.clear();
            self.singly_to = at + len;
        }
        let mut leaf = [[0; 32]];
        view.read_nodes(Level::LEAVES, NodeIndex(at), &mut leaf)?;
        Ok(leaf[0])
    }
}

impl Iterator for Leaves {
    type Item = Result<Hash>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.range.start;
        if at >= self.range.end {
            return None;
        }
        let leaf = self.read(at);
        self.range.start += 1;
        Some(leaf)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match usize::try_from(self.left()) {
            Ok(left) => (left, Some(left)),
            Err(_) => (usize::MAX, None),
        }
    }

    fn nth(&mut self, skipped: usize) -> Option<Self::Item> {
        self.range.start += self.left().min(skipped as u64);
        self.next()
    }
}

// On other targets a range may have more leaves than `usize` can count.
#[cfg(target_pointer_width = "64")]
impl ExactSizeIterator for Leaves {}

impl FusedIterator for Leaves {}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves").field("range", &self.range).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::Snapshot;
    use crate::column::{Archive, Columns, Layout};
    use crate::engine::Tree;
    use crate::error::{Error, ReadError};
    use crate::ids::TreeId;
    use crate::merkle::{Arity, Blake3, Hash, Level, NodeIndex};
    use crate::part::PartSet;
    use crate::tree_spec::TreeSpec;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A tree of 2^60 leaves whose values are their indexes. Some leaves cannot be read.
    #[derive(Debug, Default)]
    struct Huge {
        reads: AtomicU64,
        longest: AtomicU64,
    }

    const SIZE: u64 = 1 << 60;
    const BAD: [u64; 2] = [1 << 40, (1 << 40) + 7];

    impl Archive for Huge {
        fn read_nodes(
            &self,
            level: Level,
            first: NodeIndex,
            out: &mut [Hash],
        ) -> Result<(), ReadError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.longest.fetch_max(out.len() as u64, Ordering::Relaxed);
            for (leaf, at) in out.iter_mut().zip(first.0..) {
                if BAD.contains(&at) {
                    return Err(ReadError::Absent { level, at });
                }
                leaf[..8].copy_from_slice(&at.to_le_bytes());
            }
            Ok(())
        }
    }

    fn huge() -> (Arc<Huge>, Snapshot) {
        let huge = Arc::new(Huge::default());
        let archive = Some(Arc::clone(&huge) as Arc<dyn Archive>);
        let (columns, _, nodes) = Columns::resume(Layout::new(Arity::Four), SIZE, archive, &[]);
        let spec = TreeSpec::read(TreeId(0), b"huge", b"blake3", 4, [0; 8]).unwrap();
        let tree = Tree::new(spec, Arc::new(Blake3), columns, nodes, PartSet::default());
        (huge, Snapshot::new(Arc::new(tree)))
    }

    fn number(leaf: Hash) -> u64 {
        u64::from_le_bytes(leaf[..8].try_into().unwrap())
    }

    #[test]
    fn a_range_of_any_size_is_read_a_block_at_a_time_from_anywhere_in_it() {
        let (huge, snapshot) = huge();
        let mut leaves = snapshot.leaves_iter(5..SIZE).unwrap();
        assert_eq!(huge.reads.load(Ordering::Relaxed), 0);
        assert_eq!(leaves.len() as u64, SIZE - 5);
        for index in 5..20_000 {
            assert_eq!(number(leaves.next().unwrap().unwrap()), index);
        }
        assert_eq!(huge.reads.load(Ordering::Relaxed), 19_995_u64.div_ceil(super::BLOCK));
        let skipped = usize::try_from(SIZE - 20_000 - 3).unwrap();
        let last: Vec<_> =
            leaves.by_ref().skip(skipped).map(|leaf| number(leaf.unwrap())).collect();
        assert_eq!(last, [SIZE - 3, SIZE - 2, SIZE - 1]);
        assert_eq!(leaves.len(), 0);
        assert!(leaves.next().is_none() && leaves.nth(3).is_none());
        assert_eq!(huge.longest.load(Ordering::Relaxed), super::BLOCK);
        assert!(huge.reads.load(Ordering::Relaxed) < 10);
    }

    #[test]
    fn a_leaf_that_cannot_be_read_is_one_error_and_the_others_follow() {
        let (_, snapshot) = huge();
        let from = BAD[0] - 10;
        let leaves = snapshot.leaves_iter(from..from + 10_000).unwrap();
        let mut count = 0;
        for (leaf, index) in leaves.zip(from..) {
            match leaf {
                Ok(leaf) => assert_eq!(number(leaf), index),
                Err(_) => assert!(BAD.contains(&index), "{index}"),
            }
            count += 1;
        }
        assert_eq!(count, 10_000);
        let bad = snapshot.leaves_iter(from..from + 100).unwrap().filter(Result::is_err).count();
        assert_eq!(bad, BAD.len());
    }

    #[test]
    fn more_leaves_at_once_than_memory_can_have_are_an_error() {
        let (huge, snapshot) = huge();
        for range in [0..SIZE, 1..SIZE - 1, 3..3 + (1 << 59)] {
            let count = range.end - range.start;
            let refused = snapshot.leaves(range).unwrap_err();
            assert!(matches!(refused, Error::NoMemory { leaves } if leaves == count), "{refused}");
        }
        assert_eq!(huge.reads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_range_beyond_the_size_is_refused_and_one_that_is_empty_has_no_items() {
        let (_, snapshot) = huge();
        let refused = snapshot.leaves_iter(7..SIZE + 1).unwrap_err();
        assert!(matches!(refused, Error::SizeOutOfRange { .. }), "{refused}");
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may make one")]
        for range in [7..7, SIZE..SIZE, 9..3] {
            let mut leaves = snapshot.leaves_iter(range).unwrap();
            assert_eq!(leaves.len(), 0);
            assert!(leaves.next().is_none());
        }
    }
}
