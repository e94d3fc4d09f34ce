//! rotortree, with the entries in a file beside it and a hash table in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Due, Log, leaf};
use crate::leaves::Leaf;
use crate::sides::{self, Rotor};

/// The tree has the leaves. The table is not stored: it would have to be built again after each start.
pub struct TreeAndFile {
    tree: Rotor,
    file: File,
    /// Where each entry ends in the file.
    ends: Vec<u64>,
    indexes: HashMap<Leaf, u64>,
    due: Due,
}

impl TreeAndFile {
    /// Opens both.
    pub fn open(dir: &Path) -> Result<Self> {
        let tree = sides::rotor(&dir.join("tree"), true)?;
        let file =
            File::options().read(true).write(true).create_new(true).open(dir.join("entries"))?;
        let (ends, indexes, due) = (Vec::new(), HashMap::new(), Due::new());
        Ok(Self { tree, file, ends, indexes, due })
    }

    fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

impl Log for TreeAndFile {
    fn append(&mut self, entries: &[&[u8]]) -> Result<u64> {
        let (first, begin) = (self.ends.len() as u64, self.end());
        let mut new = Vec::with_capacity(entries.len());
        let mut bytes = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 2).sum());
        for entry in entries {
            let hash = leaf(entry);
            if let Entry::Vacant(vacant) = self.indexes.entry(hash) {
                vacant.insert(first + new.len() as u64);
                new.push(hash);
                bytes.extend_from_slice(&u16::try_from(entry.len())?.to_be_bytes());
                bytes.extend_from_slice(entry);
                self.ends.push(begin + bytes.len() as u64);
            }
        }
        self.file.write_all_at(&bytes, begin)?;
        if self.due.now() {
            self.file.sync_data()?;
        }
        if !new.is_empty() {
            self.tree.insert_many(&new)?;
        }
        Ok(new.len() as u64)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data()?;
        Ok(self.tree.flush()?)
    }

    fn root(&mut self) -> Result<Leaf> {
        self.tree.root().context("rotortree has no root")
    }

    fn find(&mut self, leaf: &Leaf) -> Result<Option<u64>> {
        Ok(self.indexes.get(leaf).copied())
    }

    fn entry(&mut self, index: u64) -> Result<Vec<u8>> {
        let index = usize::try_from(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]) + 2;
        let mut entry = vec![0; usize::try_from(self.ends[index] - start)?];
        self.file.read_exact_at(&mut entry, start)?;
        Ok(entry)
    }

    fn settle(&mut self) -> Result<()> {
        self.file.sync_data()?;
        Ok(self.tree.checkpoint()?)
    }
}
