//! SQLite: one table, with a unique index on the hash.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Due, Log, Tree, leaf};
use crate::leaves::Leaf;

/// A table in a file, and a tree in memory.
pub struct Table {
    connection: Connection,
    /// Whether a transaction is open.
    open: bool,
    due: Due,
    tree: Tree,
}

impl Table {
    /// Opens it. The caches are large, so that the index stays in memory.
    pub fn open(dir: &Path) -> Result<Self> {
        let connection = Connection::open(dir.join("log.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA cache_size = -1000000;
             PRAGMA wal_autocheckpoint = 16384;
             CREATE TABLE entries (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, entry BLOB NOT NULL);
             CREATE UNIQUE INDEX by_hash ON entries (hash);",
        )?;
        Ok(Self { connection, open: false, due: Due::new(), tree: Tree::new() })
    }

    fn commit(&mut self) -> Result<()> {
        if std::mem::take(&mut self.open) {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

impl Log for Table {
    fn append(&mut self, entries: &[&[u8]]) -> Result<u64> {
        if !std::mem::replace(&mut self.open, true) {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        let mut new = Vec::with_capacity(entries.len());
        {
            const INSERT: &str =
                "INSERT INTO entries VALUES (?1, ?2, ?3) ON CONFLICT (hash) DO NOTHING";
            let mut insert = self.connection.prepare_cached(INSERT)?;
            for entry in entries {
                let hash = leaf(entry);
                let index = self.tree.len() + new.len() as u64;
                if insert.execute(params![index as i64, hash, entry])? == 1 {
                    new.push(hash);
                }
            }
        }
        self.tree.extend(&new)?;
        if self.due.now() {
            self.commit()?;
        }
        Ok(new.len() as u64)
    }

    fn sync(&mut self) -> Result<()> {
        self.commit()
    }

    fn root(&mut self) -> Result<Leaf> {
        self.tree.root()
    }

    fn find(&mut self, leaf: &Leaf) -> Result<Option<u64>> {
        let mut find = self.connection.prepare_cached("SELECT id FROM entries WHERE hash = ?1")?;
        let index: Option<i64> = find.query_row([leaf], |row| row.get(0)).optional()?;
        Ok(index.map(|index| index as u64))
    }

    fn entry(&mut self, index: u64) -> Result<Vec<u8>> {
        let mut read = self.connection.prepare_cached("SELECT entry FROM entries WHERE id = ?1")?;
        Ok(read.query_row([index as i64], |row| row.get(0))?)
    }
}
