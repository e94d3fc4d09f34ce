//! RocksDB: entries in one column family, indexes by hash in another.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, Options, WriteBatch, WriteOptions,
};

use super::{Due, Log, Tree, leaf};
use crate::leaves::Leaf;

const ENTRIES: &str = "entries";
const BY_HASH: &str = "by-hash";

/// Two column families, and a tree in memory.
pub struct Families {
    db: DB,
    due: Due,
    tree: Tree,
}

impl Families {
    /// Opens it with filters, large write buffers and two background threads.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.increase_parallelism(2);
        options.set_recycle_log_file_num(4);
        let mut family = Options::default();
        family.set_write_buffer_size(128 << 20);
        family.set_max_write_buffer_number(4);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_bloom_filter(10.0, false);
        family.set_block_based_table_factory(&blocks);
        let families =
            [ENTRIES, BY_HASH].map(|name| ColumnFamilyDescriptor::new(name, family.clone()));
        let db = DB::open_cf_descriptors(&options, dir.join("rocksdb"), families)?;
        Ok(Self { db, due: Due::new(), tree: Tree::new() })
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db.cf_handle(name).with_context(|| format!("no column family {name}"))
    }
}

impl Log for Families {
    fn append(&mut self, entries: &[&[u8]]) -> Result<u64> {
        let (by_index, by_hash) = (self.family(ENTRIES)?, self.family(BY_HASH)?);
        let hashes: Vec<Leaf> = entries.iter().map(|entry| leaf(entry)).collect();
        let known = self.db.batched_multi_get_cf(by_hash, &hashes, false);
        let mut own = HashSet::with_capacity(entries.len());
        let mut new = Vec::with_capacity(entries.len());
        let mut batch = WriteBatch::default();
        for ((entry, hash), known) in entries.iter().zip(&hashes).zip(known) {
            if known?.is_none() && own.insert(hash) {
                let index = (self.tree.len() + new.len() as u64).to_be_bytes();
                batch.put_cf(by_index, index, entry);
                batch.put_cf(by_hash, hash, index);
                new.push(*hash);
            }
        }
        let mut how = WriteOptions::default();
        how.set_sync(self.due.now());
        self.db.write_opt(batch, &how)?;
        self.tree.extend(&new)?;
        Ok(new.len() as u64)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn root(&mut self) -> Result<Leaf> {
        self.tree.root()
    }

    fn find(&mut self, leaf: &Leaf) -> Result<Option<u64>> {
        let index = self.db.get_cf(self.family(BY_HASH)?, leaf)?;
        index.map(|index| Ok(u64::from_be_bytes(index[..].try_into()?))).transpose()
    }

    fn entry(&mut self, index: u64) -> Result<Vec<u8>> {
        let entry = self.db.get_cf(self.family(ENTRIES)?, index.to_be_bytes())?;
        entry.with_context(|| format!("no entry {index}"))
    }
}
