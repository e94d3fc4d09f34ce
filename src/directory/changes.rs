//! Manifests that have only what changed since a whole one. Pure.
//!
//! A manifest lists every tree of the store, and a checkpoint of one tree among 10,000 would write the entries of all
//! of them again. So the store writes a manifest whole now and then, the *base*, and in between manifests of
//! *changes*: everything but the trees, and of the trees those that differ from the base, and the ids of those that
//! are gone. Each is a manifest like any other: it has the next number, and the newest one counts. What it says is the
//! base with its changes, so a reader reads two files, and there is no chain in which one could be missing.
//!
//! A manifest is written whole again once the changes that were written to one base would together be longer than the
//! base. So the bases never cost more than one base for each base's length of changes: one tree that changes again and
//! again costs its own entry each time, and 10,000 trees that change one after the other cost a base every 140
//! checkpoints. A base of less than 16 KiB is replaced by a whole one each time, since its bytes cost less than its
//! sync. The first manifest that a process writes is whole too.
//!
//! # Invariants
//!
//! - A base is whole, and durable before changes to it are written. So only a manifest that this process itself has
//!   published is a base for more of them. One that an open found may have its name in memory alone: if the sync after
//!   its rename failed, no later sync makes this name durable.
//! - Changes name the base by its number and its checksum, so no other file passes for it.
//! - Each manifest has all changes since its base. So none needs another one than its base.
//! - The base of the newest manifest, and that of the one before, stay until a newer whole manifest is durable
//!   ([`manifests::remove_old`](super::manifests::remove_old)).

use std::sync::Arc;

use super::manifest::{Link, Manifest, TreeEntry, Written};
use crate::ids::TreeId;
use crate::mark::Marks;

/// A whole manifest to which there are changes, or can be.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) number: u64,
    /// Whether this process has made it durable.
    durable: bool,
    /// The checksum at its end.
    pub(crate) checksum: u64,
    len: u64,
    trees: Vec<Arc<TreeEntry>>,
    marks: Marks,
    /// Bytes of the changes to it that this process has written.
    written: u64,
    /// The base of the manifest before the newest, if that is known.
    pub(crate) before: Option<u64>,
}

impl Base {
    /// The whole manifest `manifest`, which `bytes` are, and which this process has made durable.
    pub(crate) fn published(manifest: &Manifest, bytes: &[u8]) -> Self {
        Self { durable: true, ..Self::found(manifest, bytes) }
    }

    /// The whole manifest `manifest`, which `bytes` are, and which was read. No changes are written to it.
    pub(crate) fn found(manifest: &Manifest, bytes: &[u8]) -> Self {
        let (Manifest { number, trees, marks, .. }, checksum) = (manifest, checksum_of(bytes));
        let (number, trees, len) = (*number, trees.clone(), bytes.len() as u64);
        let marks = marks.clone();
        Self { number, durable: false, checksum, len, trees, marks, written: 0, before: None }
    }

    /// Notes that changes of so many bytes were written.
    pub(crate) fn changed(&mut self, len: u64) {
        self.written = self.written.saturating_add(len);
    }

    /// The bytes of a manifest with what `next` has other than this base. `None` if `next` is to be written whole,
    /// as every manifest is whose base was read or has fewer than `whole_below` bytes.
    pub(crate) fn changes(&self, next: &Manifest, whole_below: u64) -> Option<Vec<u8>> {
        let left = self.len.saturating_sub(self.written);
        if !self.durable || self.len < whole_below || left == 0 {
            return None;
        }
        let (changed, gone) = differences(&self.trees, &next.trees);
        let (marks_gone, marks) = self.marks.changes(&next.marks);
        let link = Link { base: self.number, checksum: self.checksum, gone, marks_gone };
        let manifest = Manifest { trees: changed, log: next.log.clone(), marks, ..*next };
        let bytes = Written { manifest, link: Some(link) }.encode();
        (bytes.len() as u64 <= left).then_some(bytes)
    }

    /// What `changes`, which has a link to this base, says. `None` if it does not fit the base.
    pub(crate) fn with(&self, changes: Written) -> Option<Manifest> {
        let Written { manifest, link } = changes;
        let (gone, marks_gone) = link.map(|link| (link.gone, link.marks_gone)).unwrap_or_default();
        let trees = applied(&self.trees, &gone, manifest.trees)?;
        let marks = self.marks.changed(&marks_gone, &manifest.marks)?;
        Some(Manifest { trees, marks, ..manifest }).filter(Manifest::is_consistent)
    }
}

/// The checksum at the end of a manifest.
pub(crate) fn checksum_of(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |sum| u64::from_le_bytes(*sum))
}

type Entries = Vec<Arc<TreeEntry>>;

/// The entries of `now` that are not in `base`, and the ids of those that were there and are gone. Both lists are
/// sorted by id. Entries that are shared are not looked at.
fn differences(base: &[Arc<TreeEntry>], now: &[Arc<TreeEntry>]) -> (Entries, Vec<TreeId>) {
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let mut old = base.iter().peekable();
    for entry in now {
        if old.next_if(|old| Arc::ptr_eq(old, entry)).is_some() {
            continue;
        }
        while let Some(passed) = old.next_if(|old| old.spec.id < entry.spec.id) {
            gone.push(passed.spec.id);
        }
        match old.next_if(|old| old.spec.id == entry.spec.id) {
            Some(same) if Arc::ptr_eq(same, entry) => {}
            _ => changed.push(Arc::clone(entry)),
        }
    }
    gone.extend(old.map(|passed| passed.spec.id));
    (changed, gone)
}

/// The entries of `base` without those that are `gone`, and with those that have `changed`. `None` if one that is gone
/// is not in the base or has changed, or if a tree changed its name.
fn applied(base: &[Arc<TreeEntry>], gone: &[TreeId], changed: Entries) -> Option<Entries> {
    let mut gone = gone.iter().copied().peekable();
    let mut changed = changed.into_iter().peekable();
    let mut trees = Vec::with_capacity(base.len() + changed.len());
    for old in base {
        let id = old.spec.id;
        while let Some(new) = changed.next_if(|new| new.spec.id < id) {
            trees.push(new);
        }
        let is_gone = gone.next_if_eq(&id).is_some();
        match changed.next_if(|new| new.spec.id == id) {
            Some(new) if is_gone || new.spec.name != old.spec.name => return None,
            Some(new) => trees.push(new),
            None if is_gone => {}
            None => trees.push(Arc::clone(old)),
        }
    }
    trees.extend(changed);
    gone.next().is_none().then_some(trees)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ages::Ages;
    use crate::ids::{ByteOffset, GroupNumber, SegmentId, Seq, StoreId};
    use crate::tree_spec::TreeSpec;
    use crate::wal::{Log, LogKey, Position};

    const WHOLE_BELOW: u64 = 16 << 10;

    fn entry(id: u32, name: &str, size: u8) -> Arc<TreeEntry> {
        let spec = TreeSpec::read(TreeId(id), name.as_bytes(), b"blake3", 4, [0; 8]).unwrap();
        Arc::new(TreeEntry {
            spec,
            size: u64::from(size),
            root: [size; 32],
            sealed: false,
            indexed: false,
            base: None,
            parts: Vec::new(),
            erasures: Arc::default(),
            tail: vec![[size; 32]; usize::from(size)].into(),
            ages: Ages::default(),
        })
    }

    fn named(id: u32, size: u8) -> Arc<TreeEntry> {
        entry(id, &format!("tree {id}"), size)
    }

    fn manifest(number: u64, trees: Entries) -> Manifest {
        let open = Position {
            segment: SegmentId(3),
            offset: ByteOffset(4096),
            group: GroupNumber(number),
            key: LogKey([6; 16]),
        };
        Manifest {
            store: StoreId([7; 16]),
            number,
            checkpoint: [8; 16],
            next_segment: 4,
            next_part: 1,
            next_tree: 1000,
            log: Log { closed: Vec::new(), open, seq: Seq(number), clean: false },
            erased: false,
            trees,
            marks: Marks::default(),
        }
    }

    fn base(trees: Entries) -> Base {
        let whole = manifest(4, trees);
        Base::published(&whole, &whole.encode())
    }

    proptest! {
        #[test]
        fn a_base_with_the_changes_to_it_is_what_changed(
            before in proptest::collection::btree_map(0..30_u32, 0..3_u8, 0..30),
            steps in proptest::collection::vec((0..40_u32, proptest::option::of(0..3_u8)), 0..40),
        ) {
            let mut trees: BTreeMap<_, _> = before.into_iter().map(|(id, size)| (id, named(id, size))).collect();
            let mut base = base(trees.values().cloned().collect());
            base.len = 1 << 20;
            for (id, size) in steps {
                match size {
                    Some(size) => trees.insert(id, named(id, size)),
                    None => trees.remove(&id),
                };
            }
            let next = manifest(9, trees.into_values().collect());
            let bytes = base.changes(&next, 0).unwrap();
            let written = Written::decode(&bytes).unwrap();
            prop_assert_eq!(&written.encode(), &bytes);
            prop_assert_eq!(base.with(written), Some(next));
        }
    }

    #[test]
    fn marks_are_written_as_what_has_changed_of_them() {
        let mark = |name: &str| {
            let name = crate::mark::MarkName::new(name).unwrap();
            Arc::new(crate::mark::Mark::new(name, vec![(TreeId(1), 1)]).unwrap())
        };
        let mut all = Marks::default();
        for number in 0..1000 {
            all = all.with(mark(&format!("block {number}"))).unwrap();
        }
        let whole = Manifest { marks: all.clone(), ..manifest(4, vec![named(1, 1)]) };
        let base = Base::published(&whole, &whole.encode());
        let all = all.without(&mark("block 7").name).unwrap();
        let marks = all.with(mark("block 1000")).unwrap();
        let next = Manifest { marks, ..manifest(5, vec![named(1, 2)]) };
        let bytes = base.changes(&next, WHOLE_BELOW).unwrap();
        assert!(bytes.len() < 500, "{}", bytes.len());
        assert_eq!(base.with(Written::decode(&bytes).unwrap()), Some(next));
        let none = manifest(6, vec![named(1, 2)]);
        let bytes = base.changes(&none, WHOLE_BELOW).unwrap();
        assert_eq!(base.with(Written::decode(&bytes).unwrap()), Some(none));
    }

    #[test]
    fn one_tree_among_many_is_written_alone_and_again() {
        let all: Entries = (0..1000).map(|id| named(id, 1)).collect();
        let mut base = base(all.clone());
        let mut next = manifest(5, all);
        let mut whole = 0;
        for size in 0..200 {
            next.put(named(500, size));
            match base.changes(&next, WHOLE_BELOW) {
                Some(bytes) => {
                    assert!(bytes.len() < 400 + 32 * usize::from(size), "{}", bytes.len());
                    base.changed(bytes.len() as u64);
                }
                None => {
                    base = Base::published(&next, &next.encode());
                    whole += 1;
                }
            }
        }
        // 200 entries that grow to 6 KB against a base of 110 KB.
        assert_eq!(whole, 5);
    }

    #[test]
    fn what_is_written_to_a_base_is_never_longer_than_the_base() {
        let all: Entries = (0..1000).map(|id| named(id, 1)).collect();
        let mut base = base(all.clone());
        let mut next = manifest(5, all);
        let (mut changes, mut wholes) = (0, Vec::new());
        for step in 0..1000 {
            next.put(named(step, 2));
            if let Some(bytes) = base.changes(&next, WHOLE_BELOW) {
                base.changed(bytes.len() as u64);
                changes += bytes.len() as u64;
                assert!(base.written <= base.len);
            } else {
                base = Base::published(&next, &next.encode());
                wholes.push(step);
            }
        }
        let bytes = changes + base.len * wholes.len() as u64;
        assert!(bytes < 1000 * base.len / 12, "{bytes} bytes, whole at {wholes:?}");
    }

    #[test]
    fn no_changes_are_written_to_a_base_that_was_read() {
        let all: Entries = (0..1000).map(|id| named(id, 1)).collect();
        let mut next = manifest(5, all);
        let bytes = next.encode();
        let (found, published) = (Base::found(&next, &bytes), Base::published(&next, &bytes));
        next.put(named(500, 2));
        assert!(found.changes(&next, 0).is_none() && published.changes(&next, 0).is_some());
    }

    #[test]
    fn a_short_manifest_is_written_whole() {
        let next = manifest(5, vec![named(1, 2)]);
        let base = base(vec![named(1, 1)]);
        assert!(base.changes(&next, WHOLE_BELOW).is_none());
    }

    #[test]
    fn changes_that_do_not_fit_their_base_are_none() {
        let base = base(vec![named(1, 1), named(3, 1), named(5, 1)]);
        let with = |gone: &[u32], trees: Entries| {
            let gone = gone.iter().copied().map(TreeId).collect();
            let link =
                Some(Link { base: 4, checksum: base.checksum, gone, marks_gone: Vec::new() });
            base.with(Written { manifest: manifest(9, trees), link }).is_some()
        };
        assert!(with(&[1, 5], vec![named(2, 1), named(3, 2)]));
        assert!(!with(&[2], Vec::new()), "one that was not there is gone");
        assert!(!with(&[7], Vec::new()), "one behind all is gone");
        assert!(!with(&[3], vec![named(3, 2)]), "one is gone and has changed");
        assert!(!with(&[], vec![entry(3, "other", 2)]), "a tree has another name");
        assert!(!with(&[], vec![entry(2, "tree 5", 2)]), "a new tree has the name of another");
        assert!(with(&[5], vec![entry(7, "tree 5", 2)]), "the name of one that is gone");
    }
}
