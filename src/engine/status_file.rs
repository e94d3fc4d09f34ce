//! The status file of a store that is open, and what the store wrote to it last.

use std::sync::Arc;
use std::time::SystemTime;

use crate::directory::status_file;
use crate::fs::{File, FileSystem};
use crate::sync::Mutex;

/// The file, and what was written to it last.
#[derive(Debug)]
pub(super) struct StatusFile {
    pub(super) file: Arc<dyn File>,
    pub(super) pid: u32,
    pub(super) opened: SystemTime,
    pub(super) last: Mutex<Last>,
}

#[derive(Debug, Default)]
pub(super) struct Last {
    pub(super) sequence: u64,
    /// Visible leaves.
    pub(super) leaves: u64,
    /// Whether a write has failed since one succeeded.
    pub(super) failed: bool,
}

impl StatusFile {
    /// Opens the file in the directory of a store that is locked. `None` if that fails.
    pub(super) fn open(fs: &dyn FileSystem) -> Option<Self> {
        let file = status_file::create(fs)
            .inspect_err(|error| tracing::warn!(%error, "cannot write the status file"))
            .ok()?;
        // A reader compares it with what the lock file says, and so does not take what an earlier process wrote for
        // what the running one says.
        let opened = fs.lock_owner().map_or_else(SystemTime::now, |owner| owner.since);
        Some(Self { file, pid: std::process::id(), opened, last: Mutex::default() })
    }
}
