//! What a run is given: where to work, how often, how big.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The settings all workloads share.
#[derive(Debug)]
pub struct Env {
    /// Where stores are made.
    pub dir: PathBuf,
    /// How often each side runs.
    pub runs: u32,
    /// What sizes are multiplied by.
    pub scale: f64,
    /// Where plots are drawn, if they are wanted.
    pub plots: Option<PathBuf>,
    /// The names of the sides that run, or none for all.
    pub sides: Vec<String>,
}

impl Env {
    /// `full` scaled down, and rounded down to a multiple of `unit`, at least one unit.
    pub fn scaled(&self, full: u64, unit: u64) -> u64 {
        let scaled = (full as f64 * self.scale) as u64;
        (scaled / unit).max(1) * unit
    }

    /// `full` seconds scaled down.
    pub fn seconds(&self, full: f64) -> std::time::Duration {
        std::time::Duration::from_secs_f64((full * self.scale).max(0.05))
    }

    /// A new empty directory on the measured disk, removed when dropped.
    pub fn fresh_dir(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&self.dir)
            .with_context(|| format!("cannot create a directory in {}", self.dir.display()))
    }

    /// Waits until the disk has nothing left to write from what ran before.
    pub fn settle(&self) -> Result<()> {
        let dir = File::open(&self.dir)?;
        rustix::fs::syncfs(&dir).context("cannot sync the file system")?;
        Ok(())
    }
}

/// The bytes of disk that all files below `path` have allocated; 0 if it does not exist.
pub fn allocated_bytes(path: &Path) -> Result<u64> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(0) };
    if !meta.is_dir() {
        return Ok(meta.blocks() * 512);
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        sum += allocated_bytes(&entry?.path())?;
    }
    Ok(sum)
}
