//! Heads of a log that is not served, signed by a command that ends.
//!
//! They pass the same gate and the same anchor as those of a [`Log`](crate::Log). So it does not matter which of both
//! signed last: neither signs a second history, and a head that both sign is the same.
//!
//! # Invariants
//!
//! - A head that is handed out is in the anchor, or is a prefix of the one in it.

use duramen::tlog::Checkpoint;
use duramen::{Rfc6962Sha256, StoreReader, TreeHead, TreeName, TreeSize};

use crate::anchor::Anchor;
use crate::error::LogError;
use crate::gate::{Asked, Expected, Gate};

/// Which head of a log is to be signed.
#[derive(Clone, Debug)]
pub struct HeadRequest {
    origin: String,
    size: Option<TreeSize>,
    asked: Asked,
    advance: bool,
}

impl HeadRequest {
    /// The head of all leaves of the log `origin` that are known to be durable.
    #[must_use]
    pub fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), size: None, asked: Asked::default(), advance: true }
    }

    /// The head of this size.
    #[must_use]
    pub fn size(self, size: TreeSize) -> Self {
        Self { size: Some(size), ..self }
    }

    /// Says that the log's key never signed a head, so that there is no anchor yet.
    #[must_use]
    pub fn first_anchor(mut self, first: bool) -> Self {
        self.asked.first = first;
        self
    }

    /// Says that the log has moved to this store, so that the anchor names another one.
    #[must_use]
    pub fn adopt_store(mut self, adopt: bool) -> Self {
        self.asked.adopt = adopt;
        self
    }

    /// Whether the head in the anchor may be replaced by a larger one (default: yes). No, if another process signs for
    /// this log: the replacement would stop it. Without a size the head is then the one in the anchor.
    #[must_use]
    pub fn advance(self, advance: bool) -> Self {
        Self { advance, ..self }
    }

    /// The head that may be signed. When this returns, it is in the anchor, or a prefix of the head in the anchor.
    ///
    /// # Errors
    ///
    /// As [`Log::open`](crate::Log::open); [`LogError::NotAnchored`] if the head is larger than the one in the anchor and
    /// may not replace it, or if its leaves are not known to be durable. Nothing may be signed then.
    pub fn pass(
        &self,
        reader: &StoreReader,
        tree: &TreeName,
        anchor: Box<dyn Anchor>,
    ) -> Result<TreeHead, LogError> {
        let read = reader.tree(tree)?;
        // Refuses a tree that checkpoints are not defined for.
        Checkpoint::new(&self.origin, read.hasher().id(), read.arity(), read.head_at(0)?)?;
        let store = reader.store_id();
        // What the anchor has was durable before it was written. A reader may not know that of the last leaves yet.
        let (origin, size, asked) = (self.origin.as_str(), read.size(), self.asked);
        let expected = Expected { origin, store: &store, size, asked };
        let mut gate = Gate::open(anchor, &expected, &read)?;
        let last = gate.last();
        let (least, durable) = (last.head().size, read.durable_size());
        let size = match self.size {
            Some(size) => size,
            None if self.advance => durable.max(least),
            None => least,
        };
        if size == least {
            return Ok(last.head());
        }
        if size > least {
            if !self.advance || size > durable {
                let anchored = Box::new(gate.anchored().clone());
                return Err(LogError::NotAnchored { size: size.get(), anchored });
            }
            return Ok(gate.pass(read.head_at(size)?, reader, tree.as_str())?.head());
        }
        let head = read.head_at(size)?;
        let proof = read.prove_consistency_between(size, least)?;
        let (hasher, arity) = (&Rfc6962Sha256, read.arity());
        proof.verify(hasher, arity, &head, &last.head()).map_err(|error| LogError::Mismatch {
            what: format!("the tree of {size} leaves is no prefix of that in the anchor: {error}"),
        })?;
        Ok(head)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use duramen::{Arity, Config, DynAccumulator, EntryConfig, Store, TreeConfig};

    use super::*;
    use crate::anchor::DirectoryAnchor;

    const ORIGIN: &str = "example.com/log";

    fn tree(dir: &Path) -> (DynAccumulator, StoreReader) {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(dir)).unwrap();
        let tree = store.tree_dyn("main", config.entries(EntryConfig::new())).unwrap();
        (tree, StoreReader::open(Config::new(dir)).unwrap())
    }

    fn add(tree: &DynAccumulator, entries: &[&str]) {
        tree.insert_entries(entries).unwrap();
        tree.checkpoint().unwrap();
    }

    #[test]
    fn a_head_passes_if_it_is_in_the_anchor_before_or_after() {
        let place = tempfile::tempdir().unwrap();
        let (tree, reader) = tree(&place.path().join("store"));
        let open = || DirectoryAnchor::new(place.path().join("anchor"), ORIGIN).unwrap();
        let pass = |request: HeadRequest| {
            reader.refresh().unwrap();
            request.pass(&reader, &TreeName::main(), Box::new(open()))
        };
        let anchored = || open().load().unwrap().unwrap().head;
        let request = || HeadRequest::new(ORIGIN);
        add(&tree, &["a", "b", "c"]);
        let none = pass(request()).unwrap_err();
        assert!(matches!(none, LogError::NoAnchor { size: 3, .. }), "{none}");
        let three = pass(request().first_anchor(true)).unwrap();
        assert_eq!((three, anchored()), (tree.head_at(3).unwrap(), three));
        add(&tree, &["d", "e"]);
        // Without leave to replace the anchor the head in it is the largest.
        let still = || request().advance(false);
        assert_eq!(pass(still()).unwrap(), three);
        let refused = pass(still().size(TreeSize(4))).unwrap_err();
        assert!(matches!(refused, LogError::NotAnchored { size: 4, .. }), "{refused}");
        assert_eq!(pass(still().size(TreeSize(2))).unwrap(), tree.head_at(2).unwrap());
        assert_eq!(anchored(), three);
        let four = pass(request().size(TreeSize(4))).unwrap();
        assert_eq!((four, anchored()), (tree.head_at(4).unwrap(), four));
        assert_eq!(pass(request()).unwrap(), tree.head_at(5).unwrap());
        // Smaller ones are prefixes of what is anchored, and leave it.
        assert_eq!(pass(request().size(TreeSize(0))).unwrap(), tree.head_at(0).unwrap());
        assert_eq!(anchored().size, TreeSize(5));
        let missing = pass(request().size(TreeSize(6))).unwrap_err();
        assert!(matches!(missing, LogError::NotAnchored { size: 6, .. }), "{missing}");
    }

    #[test]
    fn a_tree_with_other_leaves_than_the_anchor_signs_nothing_of_any_size() {
        let place = tempfile::tempdir().unwrap();
        let (one, reader) = tree(&place.path().join("one"));
        let anchor =
            || Box::new(DirectoryAnchor::new(place.path().join("anchor"), ORIGIN).unwrap());
        add(&one, &["a", "b", "c"]);
        reader.refresh().unwrap();
        let first = HeadRequest::new(ORIGIN).first_anchor(true);
        first.pass(&reader, &TreeName::main(), anchor()).unwrap();
        let (other, reader) = tree(&place.path().join("other"));
        add(&other, &["a", "b", "x", "d"]);
        reader.refresh().unwrap();
        for size in 0..5 {
            let request = HeadRequest::new(ORIGIN).adopt_store(true).size(TreeSize(size));
            let refused = request.pass(&reader, &TreeName::main(), anchor()).unwrap_err();
            assert!(matches!(refused, LogError::Forked { .. }), "{size}: {refused}");
        }
    }
}
