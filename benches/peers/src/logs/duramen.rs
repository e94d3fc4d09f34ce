//! duramen: one group of the log has entry and leaf, and the tree has an index.

use std::path::Path;

use anyhow::Result;
use duramen::{
    Arity, Blake3, CheckpointPolicy, Config, DynAccumulator, EntryConfig, FlushPolicy, Store,
    TreeConfig,
};

use super::Log;
use crate::entries::LEN;
use crate::leaves::Leaf;
use crate::sides::INTERVAL;

/// A tree with entries and an index.
pub struct Entries {
    tree: DynAccumulator,
    _store: Store,
}

impl Entries {
    /// Opens it. It keeps as many used segments as `total` entries need.
    pub fn open(dir: &Path, total: u64) -> Result<Self> {
        let bytes = total * (LEN as u64 + 40);
        let config = Config::new(dir)
            .flush_policy(FlushPolicy::interval(INTERVAL)?)
            .checkpoint_policy(CheckpointPolicy::manual())
            .wal_spare_bytes(bytes + bytes / 8);
        let store = Store::open(config)?;
        let blake3 = std::sync::Arc::new(Blake3);
        let kept = TreeConfig::new(blake3, Arity::Four).entries(EntryConfig::new()).indexed();
        let tree = store.tree_dyn("log", kept)?;
        Ok(Self { tree, _store: store })
    }
}

impl Log for Entries {
    fn append(&mut self, entries: &[&[u8]]) -> Result<u64> {
        let unique = self.tree.insert_unique_entries(entries)?;
        Ok(unique.iter().filter(|unique| unique.is_new()).count() as u64)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.tree.flush()?)
    }

    fn root(&mut self) -> Result<Leaf> {
        Ok(self.tree.head()?.root)
    }

    fn find(&mut self, leaf: &Leaf) -> Result<Option<u64>> {
        Ok(self.tree.find(leaf)?.map(|index| index.0))
    }

    fn entry(&mut self, index: u64) -> Result<Vec<u8>> {
        Ok(self.tree.entry(index)?.to_vec())
    }

    fn settle(&mut self) -> Result<()> {
        self.tree.checkpoint()?;
        Ok(self.tree.build_index()?)
    }
}
