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
    /// replaced. If it was changed by another process, nothing is handed out any more either.
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
mod tests;
