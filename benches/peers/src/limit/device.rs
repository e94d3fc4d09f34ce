//! The disk alone: overwriting bytes of a file that was written before, and fdatasync.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;

/// A file whose blocks have all been written once and are on the disk.
#[derive(Debug)]
pub struct WrittenFile {
    file: File,
    len: u64,
}

impl WrittenFile {
    /// Writes a file of `len` bytes, rounded up to whole MiB.
    pub fn create(path: &Path, len: u64) -> Result<Self> {
        let block = vec![0xA5; 1 << 20];
        let blocks = len.div_ceil(block.len() as u64);
        let file = File::create(path)?;
        for at in 0..blocks {
            file.write_all_at(&block, at * block.len() as u64)?;
        }
        file.sync_all()?;
        Ok(Self { file, len: blocks * block.len() as u64 })
    }

    /// Overwrites `bytes` at `at` (from the start again where the file ends) and syncs them.
    /// Returns where to go on.
    pub fn overwrite(&self, at: u64, bytes: &[u8]) -> Result<u64> {
        let next = self.write(at, bytes)?;
        self.sync()?;
        Ok(next)
    }

    /// As [`overwrite`](Self::overwrite), without the sync.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<u64> {
        let at = if at + bytes.len() as u64 > self.len { 0 } else { at };
        self.file.write_all_at(bytes, at)?;
        Ok(at + bytes.len() as u64)
    }

    /// Syncs what was written.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}
