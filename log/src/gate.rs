//! Verify before signing: what a head must pass before a signer sees it.
//!
//! The gate remembers the last head that could be signed, as a tree of its own ([`Recheck`]). To let a greater head
//! through it reads the new entries back from the files, with a reader that shares no memory with the writer, hashes
//! them with other code, and adds them to its tree. The root must be the one that the writer claims. So the new head is
//! consistent with the last one by construction, and every leaf of it stands on the disk. Then the anchor is replaced,
//! and only then is the head handed out.
//!
//! # Invariants
//!
//! - A head that was handed out is in the anchor, and is durable in the store.
//! - The heads that are handed out grow, and each is a prefix of the next.
//! - After a mismatch no head is handed out any more. A wrong root is never signed.

use duramen::{Hash, Snapshot, StoreReader, TreeHead, TreeSize};

use crate::anchor::{Anchor, Anchored};
use crate::error::LogError;
use crate::recheck::{Recheck, leaf_of};

/// Lets heads through to the signers of one log.
#[derive(Debug)]
pub(crate) struct Gate {
    anchor: Box<dyn Anchor>,
    anchored: Anchored,
    /// The tree at the anchored size.
    tree: Recheck,
    /// A head whose replacement in the anchor failed, with its tree. It may have come through all the same.
    attempted: Option<(Recheck, Anchored)>,
    /// Why nothing is let through any more.
    failed: Option<LogError>,
}

/// What may be missing or different when a gate is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// There is no anchor yet.
    pub(crate) first: bool,
    /// The anchor is of another store, which this one replaces.
    pub(crate) adopt: bool,
}

/// What the anchor of a log must fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The name of the log.
    pub(crate) origin: &'a str,
    /// The store, by its id.
    pub(crate) store: &'a str,
    /// How many leaves the store is known to have.
    pub(crate) size: TreeSize,
    pub(crate) asked: Asked,
}

/// Loads the anchor, before anything is written. Refuses one that does not fit.
pub(crate) fn load(
    anchor: &dyn Anchor,
    expected: &Expected<'_>,
) -> Result<Option<Anchored>, LogError> {
    let Expected { origin, store, size, asked } = *expected;
    let Some(anchored) = anchor.load()? else {
        let size = size.get();
        let none = LogError::NoAnchor { origin: origin.to_owned(), size };
        return if asked.first { Ok(None) } else { Err(none) };
    };
    if anchored.origin != origin {
        let (expected, found) = (origin.to_owned(), anchored.origin);
        return Err(LogError::OtherLog { expected, found });
    }
    if asked.first {
        return Err(LogError::AnchorExists { anchored: Box::new(anchored) });
    }
    if anchored.head.size > size {
        let anchored = Box::new(anchored);
        return Err(LogError::RolledBack { size: size.get(), anchored });
    }
    if anchored.store != store && !asked.adopt {
        let (expected, found) = (anchored.store, store.to_owned());
        return Err(LogError::OtherStore { origin: anchored.origin, expected, found });
    }
    Ok(Some(anchored))
}

impl Gate {
    /// The gate of a log, whose tree is `tree`.
    ///
    /// # Errors
    ///
    /// As [`load`]; [`LogError::Forked`] if the tree does not have the root in the anchor.
    pub(crate) fn open(
        anchor: Box<dyn Anchor>,
        expected: &Expected<'_>,
        tree: &Snapshot,
    ) -> Result<Self, LogError> {
        let loaded = load(&*anchor, expected)?;
        let head = match &loaded {
            Some(anchored) => anchored.head,
            None => tree.head_at(0)?,
        };
        let (origin, store) = (expected.origin.to_owned(), expected.store.to_owned());
        let anchored = Anchored { origin, store, head };
        let found = tree.head_at(head.size)?.root;
        let frontier = tree.frontier_at(head.size)?;
        let tree = Recheck::from_peaks(head.size.get(), frontier.nodes().to_vec());
        let tree = tree.filter(|tree| found == head.root && tree.root() == found);
        let Some(tree) = tree else {
            return Err(LogError::Forked { anchored: Box::new(anchored), found });
        };
        if loaded.as_ref() != Some(&anchored) {
            anchor.replace(loaded.as_ref(), &anchored)?;
        }
        Ok(Self { anchor, anchored, tree, attempted: None, failed: None })
    }

    /// The last head that could be signed.
    pub(crate) fn last(&self) -> Passed {
        Passed(self.anchored.head)
    }

    /// What the anchor holds.
    pub(crate) fn anchored(&self) -> &Anchored {
        &self.anchored
    }

    /// Verifies `head`, which the writer claims and which is durable, against what `reader` reads of the files. Returns it
    /// as one that may be signed.
    ///
    /// # Errors
    ///
    /// [`LogError::Mismatch`] if anything differs, and from then on always; [`LogError::Anchor`] if the anchor cannot be
    /// replaced. If it was changed by somebody else, nothing is handed out any more either.
    pub(crate) fn pass(
        &mut self,
        head: TreeHead,
        reader: &StoreReader,
        tree: &str,
    ) -> Result<Passed, LogError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let passed = self.try_pass(head, reader, tree);
        match &passed {
            Err(LogError::Mismatch { .. } | LogError::Forked { .. }) => {
                self.failed = passed.as_ref().err().cloned();
            }
            Err(LogError::Anchor(error @ crate::AnchorError::Changed { .. })) => {
                self.failed = Some(LogError::Anchor(error.clone()));
            }
            _ => {}
        }
        passed
    }

    fn try_pass(
        &mut self,
        head: TreeHead,
        reader: &StoreReader,
        tree: &str,
    ) -> Result<Passed, LogError> {
        let mismatch = |what: String| LogError::Mismatch { what };
        self.settle()?;
        let last = self.anchored.head;
        if head == last {
            return Ok(Passed(head));
        }
        if head.size <= last.size {
            let what = format!(
                "the writer claims size {} with root {}, after size {} with root {}",
                head.size,
                const_hex::encode(head.root),
                last.size,
                const_hex::encode(last.root)
            );
            return Err(mismatch(what));
        }
        reader.refresh()?;
        let read = reader.tree(tree)?;
        if read.size() < head.size {
            let what = format!(
                "the files have {} leaves, and the writer says that {} are durable",
                read.size(),
                head.size
            );
            return Err(mismatch(what));
        }
        let mut again = self.tree.clone();
        extend(&mut again, &read, head.size)?;
        if again.root() != head.root {
            let what = format!(
                "the {} leaves in the files have root {}, and the writer claims {}",
                head.size,
                const_hex::encode(again.root()),
                const_hex::encode(head.root)
            );
            return Err(mismatch(what));
        }
        let new = Anchored { head, ..self.anchored.clone() };
        if let Err(error) = self.anchor.replace(Some(&self.anchored), &new) {
            self.attempted = Some((again, new));
            return Err(error.into());
        }
        (self.tree, self.anchored) = (again, new);
        Ok(Passed(head))
    }

    /// Finds out what became of a replacement that failed. One that came through is made durable.
    fn settle(&mut self) -> Result<(), LogError> {
        let Some((_, new)) = &self.attempted else { return Ok(()) };
        let came_through = self.anchor.load()?.as_ref() == Some(new);
        if came_through {
            self.anchor.replace(Some(new), new)?;
        }
        if let Some((tree, new)) = self.attempted.take()
            && came_through
        {
            (self.tree, self.anchored) = (tree, new);
        }
        Ok(())
    }
}

/// A head that passed the gate. Only the gate makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed(TreeHead);

impl Passed {
    pub(crate) fn head(self) -> TreeHead {
        self.0
    }
}

/// Adds the entries of `read` up to `size` to `tree`. Where the tree keeps none, the leaves are all there is.
fn extend(tree: &mut Recheck, read: &Snapshot, size: TreeSize) -> Result<(), LogError> {
    let full = || LogError::Mismatch { what: "the tree is full".to_owned() };
    let range = tree.size()..size.get();
    let mut leaves = read.leaves_iter(range.clone())?;
    let mut next_leaf = |index: u64| -> Result<Hash, LogError> {
        let missing = || LogError::Mismatch { what: format!("leaf {index} cannot be read") };
        Ok(leaves.next().ok_or_else(missing)??)
    };
    let entries = match read.entries(range.clone()) {
        Ok(entries) => entries,
        Err(duramen::Error::NoEntries { .. }) => {
            for index in range {
                tree.push(next_leaf(index)?).ok_or_else(full)?;
            }
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    for (index, entry) in range.zip(entries) {
        let leaf = next_leaf(index)?;
        let computed = match entry {
            // Nothing can hash it again. The root has to agree all the same.
            Err(duramen::Error::Erased { .. }) => leaf,
            entry => leaf_of(&entry?),
        };
        if leaf != computed {
            let what = format!(
                "entry {index} hashes to {}, and its leaf is {}",
                const_hex::encode(computed),
                const_hex::encode(leaf)
            );
            return Err(LogError::Mismatch { what });
        }
        tree.push(computed).ok_or_else(full)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use duramen::{Arity, Config, DynAccumulator, EntryConfig, Rfc6962Sha256, Store, TreeConfig};

    use super::*;
    use crate::anchor::{AnchorError, DirectoryAnchor};

    const ORIGIN: &str = "example.com/log";

    fn tree(store: &Path) -> DynAccumulator {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(store)).unwrap();
        store.tree_dyn("main", config.entries(EntryConfig::new())).unwrap()
    }

    const FIRST: Asked = Asked { first: true, adopt: false };

    fn open(
        anchor: Box<dyn Anchor>,
        store: &str,
        tree: &DynAccumulator,
        asked: Asked,
    ) -> Result<Gate, LogError> {
        let expected = Expected { origin: ORIGIN, store, size: tree.durable_size(), asked };
        Gate::open(anchor, &expected, &tree.snapshot())
    }

    /// The gate of a tree. Its anchor is made by the first call.
    fn gate(place: &Path, tree: &DynAccumulator) -> Result<Gate, LogError> {
        let anchor = Box::new(DirectoryAnchor::new(place.join("anchor"), ORIGIN).unwrap());
        let first = anchor.load().unwrap().is_none();
        open(anchor, "store", tree, Asked { first, adopt: false })
    }

    #[test]
    fn a_head_over_an_entry_that_was_erased_before_it_was_signed_passes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree = tree(&path);
        let mut gate = gate(place.path(), &tree).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        for entry in 0u32..5 {
            tree.insert_entry_durable(entry.to_be_bytes()).unwrap();
        }
        tree.erase(2, "").unwrap().wait().unwrap();
        let head = tree.durable_head().unwrap();
        assert_eq!(gate.pass(head, &reader, "main").unwrap().head(), head);
    }

    #[test]
    fn heads_pass_in_the_order_of_their_sizes_and_are_then_in_the_anchor() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree = tree(&path);
        let mut gate_ = gate(place.path(), &tree).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        for round in 0u32..20 {
            for entry in 0..round {
                tree.insert_entry_durable((round * 100 + entry).to_be_bytes()).unwrap();
            }
            let head = tree.durable_head().unwrap();
            assert_eq!(gate_.pass(head, &reader, "main").unwrap().head(), head);
            assert_eq!(gate_.anchor.load().unwrap().unwrap().head, head);
            if round % 7 == 0 {
                tree.checkpoint().unwrap();
            }
        }
        let old = tree.head_at(3).unwrap();
        assert!(matches!(gate_.pass(old, &reader, "main"), Err(LogError::Mismatch { .. })));
    }

    #[test]
    fn a_root_that_the_files_do_not_have_never_passes_and_stops_the_gate() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree = tree(&path);
        let mut gate = gate(place.path(), &tree).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        tree.insert_entry_durable("one").unwrap();
        let right = tree.durable_head().unwrap();
        for bit in [0, 100, 255] {
            let mut wrong = right;
            wrong.root[bit / 8] ^= 1 << (bit % 8);
            let refused = gate.pass(wrong, &reader, "main").unwrap_err();
            assert!(matches!(refused, LogError::Mismatch { .. }), "{refused}");
        }
        assert!(gate.pass(right, &reader, "main").is_err(), "the gate stays shut");
        assert_eq!(gate.anchor.load().unwrap().unwrap().head.size, TreeSize(0));
    }

    #[test]
    fn a_size_that_the_files_do_not_have_does_not_pass() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree = tree(&path);
        let mut gate = gate(place.path(), &tree).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        tree.insert_entry_durable("one").unwrap();
        let head = TreeHead { size: TreeSize(2), ..tree.durable_head().unwrap() };
        let refused = gate.pass(head, &reader, "main").unwrap_err().to_string();
        assert!(refused.contains("the files have 1 leaves"), "{refused}");
    }

    #[test]
    fn a_restored_backup_is_refused_with_both_sizes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree_ = tree(&path);
        let mut gate_ = gate(place.path(), &tree_).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        tree_.insert_entry_durable("one").unwrap();
        tree_.snapshot_to(place.path().join("backup")).unwrap();
        tree_.insert_entry_durable("two").unwrap();
        gate_.pass(tree_.durable_head().unwrap(), &reader, "main").unwrap();

        let restored = tree(&place.path().join("backup"));
        let refused = gate(place.path(), &restored).unwrap_err();
        assert!(matches!(refused, LogError::RolledBack { size: 1, .. }), "{refused}");
        // As large again, but with another history.
        restored.insert_entry_durable("another").unwrap();
        let refused = gate(place.path(), &restored).unwrap_err();
        assert!(matches!(refused, LogError::Forked { .. }), "{refused}");
    }

    #[test]
    fn of_two_copies_that_sign_the_second_is_stopped_for_good() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let one = tree(&path);
        one.insert_entry_durable("one").unwrap();
        one.snapshot_to(place.path().join("copy")).unwrap();
        let other = tree(&place.path().join("copy"));
        let anchor = || Box::new(DirectoryAnchor::new(place.path().join("a"), ORIGIN).unwrap());
        let open = |tree: &DynAccumulator, asked| open(anchor(), "store", tree, asked).unwrap();
        let (mut first, mut second) = (open(&one, FIRST), open(&other, Asked::default()));
        let pass = |gate: &mut Gate, tree: &DynAccumulator, path: &Path, entry: &str| {
            let reader = StoreReader::open(Config::new(path)).unwrap();
            tree.insert_entry_durable(entry).unwrap();
            gate.pass(tree.durable_head().unwrap(), &reader, "main").map(|_| ())
        };
        pass(&mut first, &one, &path, "two").unwrap();
        for entry in ["2", "3"] {
            let refused = pass(&mut second, &other, &place.path().join("copy"), entry).unwrap_err();
            let changed = matches!(refused, LogError::Anchor(AnchorError::Changed { .. }));
            assert!(changed, "{refused}");
        }
        pass(&mut first, &one, &path, "three").unwrap();
    }

    #[test]
    fn without_an_anchor_nothing_is_signed_unless_the_first_one_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        let anchor = || Box::new(DirectoryAnchor::new(place.path(), ORIGIN).unwrap());
        let open = |asked| open(anchor(), "store", &tree, asked);
        let refused = open(Asked::default()).unwrap_err();
        assert!(matches!(refused, LogError::NoAnchor { size: 0, .. }), "{refused}");
        tree.insert_entry_durable("one").unwrap();
        let refused = open(Asked::default()).unwrap_err();
        assert!(matches!(refused, LogError::NoAnchor { size: 1, .. }), "{refused}");
        open(FIRST).unwrap();
        let refused = open(FIRST).unwrap_err();
        assert!(matches!(refused, LogError::AnchorExists { .. }), "{refused}");
        open(Asked::default()).unwrap();
    }

    #[test]
    fn a_store_that_is_not_the_one_in_the_anchor_must_be_adopted() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        let anchor = || Box::new(DirectoryAnchor::new(place.path(), ORIGIN).unwrap());
        let open = |store, asked| open(anchor(), store, &tree, asked);
        open("one", FIRST).unwrap();
        let refused = open("two", Asked::default()).unwrap_err();
        assert!(matches!(refused, LogError::OtherStore { .. }), "{refused}");
        open("two", Asked { first: false, adopt: true }).unwrap();
        open("two", Asked::default()).unwrap();
        assert!(matches!(open("one", Asked::default()), Err(LogError::OtherStore { .. })));
    }

    /// An anchor whose next replacement comes through and reports an error.
    #[derive(Debug)]
    struct Doubtful(DirectoryAnchor, std::sync::atomic::AtomicBool);

    impl Anchor for Doubtful {
        fn load(&self) -> Result<Option<Anchored>, AnchorError> {
            self.0.load()
        }

        fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
            self.0.replace(old, new)?;
            match self.1.swap(false, std::sync::atomic::Ordering::SeqCst) {
                false => Ok(()),
                true => Err(AnchorError::Io {
                    action: "sync",
                    place: String::new(),
                    reason: "a test".to_owned(),
                }),
            }
        }
    }

    #[test]
    fn a_replacement_that_came_through_with_an_error_does_not_shut_the_gate() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let tree = tree(&path);
        let anchor = DirectoryAnchor::new(place.path(), ORIGIN).unwrap();
        let doubtful = Box::new(Doubtful(anchor, false.into()));
        let mut gate = open(doubtful, "store", &tree, FIRST).unwrap();
        let reader = StoreReader::open(Config::new(&path)).unwrap();
        let doubt = DirectoryAnchor::new(place.path(), ORIGIN).unwrap();
        gate.anchor = Box::new(Doubtful(doubt, true.into()));
        tree.insert_entry_durable("one").unwrap();
        let head = tree.durable_head().unwrap();
        let failed = gate.pass(head, &reader, "main").unwrap_err();
        assert!(matches!(failed, LogError::Anchor(AnchorError::Io { .. })), "{failed}");
        assert_eq!(gate.pass(head, &reader, "main").unwrap().head(), head);
        tree.insert_entry_durable("two").unwrap();
        gate.pass(tree.durable_head().unwrap(), &reader, "main").unwrap();
    }
}
