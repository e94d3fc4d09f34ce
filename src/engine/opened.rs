//! A store that was created or recovered and has no threads yet.

use std::sync::Arc;

use super::catalog::Slot;
use super::keeper::Live;
use super::load::Loader;
use super::log::{Changed, FlushPoint};
use super::tally::Tally;
use super::tree::Tree;
use crate::column::LeafWriter;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fs::{FileName, FileSystem};
use crate::ids::StoreId;
use crate::mark::Marks;
use crate::report::recovery::RecoveryReport;
use crate::sync::process::Process;
use crate::wal::{LogWriter, Segments};

/// A tree that is awake, with the writer of its leaves.
pub(super) struct Admitted {
    pub(super) tree: Arc<Tree>,
    pub(super) leaves: LeafWriter,
    pub(super) sealed: bool,
}

/// A store that is ready to start.
pub(super) struct Opened {
    pub(super) loader: Loader,
    pub(super) slots: Vec<Slot>,
    pub(super) admitted: Vec<Admitted>,
    /// Trees that differ from the manifest.
    pub(super) changed: Vec<Changed>,
    pub(super) live: Live,
    pub(super) segments: Arc<Segments>,
    pub(super) log: LogWriter,
    pub(super) point: FlushPoint,
    /// How much of `point` the manifest has.
    pub(super) checkpointed: Tally,
    pub(super) report: RecoveryReport,
    /// Whether entries are erased, so that files may have their data.
    pub(super) erasing: bool,
    /// Files of parts that have to be wiped and that are read.
    pub(super) pinned: Vec<FileName>,
    /// The marks at `point`.
    pub(super) marks: Marks,
}

/// The current process, the only one that may use what it opens.
pub(crate) fn this_process(config: &Config) -> Result<Process> {
    Process::current().map_err(|error| Error::io("watch for forks of", &config.path, error))
}

/// The loader of the trees of `store`.
pub(crate) fn loader(config: &Config, fs: &Arc<dyn FileSystem>, store: StoreId) -> Result<Loader> {
    Ok(Loader {
        fs: Arc::clone(fs),
        store,
        read_mode: config.read_mode,
        huge_pages: config.huge_pages,
        process: this_process(config)?,
    })
}
