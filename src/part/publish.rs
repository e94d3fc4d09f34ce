//! From nodes in memory to parts that are there: the one place that publishes part files.
//!
//! # Invariants
//!
//! - A part gets its name after its bytes are durable, and the names of all parts are durable before
//!   [`Publisher::finish`] returns: then a manifest may name them. Under
//!   [`Install::Fast`](crate::config::Install) neither is waited for.
//! - Parts of several trees are built first, then synced, many of them by several threads, then renamed, and their
//!   directory is synced once: the device has all of them in its queue, and `k` trees do not take `2k` syncs one
//!   after the other.
//! - At most [`TOGETHER`] files are open at a time.
//! - The threads that sync share nothing that changes: each has files of its own, and all have ended before the
//!   first part gets its name, also where one fails. So they need no lock and no model of one.

use std::sync::Arc;
use std::time::Instant;

use super::format::{PartIdentity, PartRef};
use super::reader::Part;
use super::writer::{build_part, sync_part};
use crate::config::ReadMode;
use crate::error::{Error, Result};
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::fs::{Dir, File, FileSystem};
use crate::merkle::NodeSource;
use crate::report::Steps;

/// Parts that are built before they are synced.
const TOGETHER: usize = 64;

/// From so many parts on, several threads sync them: a journal commits those together that wait at the same
/// time.
const SIDE_BY_SIDE: usize = if cfg!(duramen_loom) { usize::MAX } else { 8 };
const SYNC_THREADS: usize = 8;

/// A part that has no name yet.
type Built = (PartIdentity, PartRef, Arc<dyn File>);

/// Makes the bytes of some parts durable. The first error in their order is the one that counts.
fn sync_all(fs: &dyn FileSystem, built: &[Built]) -> Result<()> {
    let sync = |(identity, _, file): &Built| sync_part(fs, identity, &**file);
    if built.len() < SIDE_BY_SIDE {
        return built.iter().try_for_each(sync);
    }
    let share = built.len().div_ceil(SYNC_THREADS);
    std::thread::scope(|threads| {
        let begin = |share: &'_ [Built]| share.iter().try_for_each(sync);
        let mut shares = built.chunks(share);
        let first = shares.next().unwrap_or_default();
        let mut others = Vec::new();
        for share in shares {
            let work = move || begin(share);
            // Where no thread can be started, this one does its work.
            match std::thread::Builder::new()
                .name("duramen-sync".to_owned())
                .spawn_scoped(threads, work)
            {
                Ok(thread) => others.push(thread),
                Err(_) => begin(share)?,
            }
        }
        begin(first)?;
        let panicked = |_| Err(Error::Panicked { during: "checkpoint" });
        others.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}

/// Publishes some parts together.
pub(crate) struct Publisher<'a> {
    fs: &'a Arc<dyn FileSystem>,
    /// Whether they are to be durable.
    strict: bool,
    built: Vec<Built>,
    named: Vec<(PartIdentity, PartRef)>,
    steps: &'a mut Steps,
}

impl<'a> Publisher<'a> {
    /// Counts what it takes in `steps`.
    pub(crate) fn new(fs: &'a Arc<dyn FileSystem>, strict: bool, steps: &'a mut Steps) -> Self {
        Self { fs, strict, built: Vec::new(), named: Vec::new(), steps }
    }

    /// Writes one part. `hurry` says from time to time whether it is waited for.
    pub(crate) fn build<S>(
        &mut self,
        identity: PartIdentity,
        source: &S,
        hurry: &dyn Fn() -> bool,
    ) -> Result<PartRef>
    where
        S: NodeSource,
        Error: From<S::Error>,
    {
        if self.built.len() == TOGETHER {
            self.name_all()?;
        }
        let started = Instant::now();
        let (reference, file) = build_part(&**self.fs, &identity, source, hurry)?;
        self.steps.build += started.elapsed();
        self.built.push((identity, reference, file));
        Ok(reference)
    }

    /// Gives those that are built their names.
    fn name_all(&mut self) -> Result<()> {
        let started = Instant::now();
        let fs = &**self.fs;
        if self.strict && !defect::has(fs, Defect::PartNotSynced) {
            sync_all(fs, &self.built)?;
        }
        for (identity, reference, _) in self.built.drain(..) {
            let name = identity.number.file();
            let named = if defect::has(fs, Defect::PartOverwritten) {
                defect::overwrite(fs, name)
            } else {
                fs.rename(name.tmp(), name)
            };
            named.map_err(|error| Error::io("rename", fs.display(name.tmp()), error))?;
            self.named.push((identity, reference));
        }
        self.steps.sync += started.elapsed();
        Ok(())
    }

    /// Makes all parts that were built durable under their names and opens them, in the order in which they
    /// were built.
    pub(crate) fn finish(mut self, read_mode: ReadMode) -> Result<Vec<Arc<Part>>> {
        self.name_all()?;
        let started = Instant::now();
        let fs = &**self.fs;
        if let Some((last, _)) = self.named.last()
            && self.strict
            && !defect::has(fs, Defect::PartNameNotSynced)
        {
            let name = last.number.file();
            fs.sync_dir(Dir::Parts)
                .map_err(|error| Error::io("sync the directory of", fs.display(name), error))?;
        }
        self.steps.sync += started.elapsed();
        let open = |(identity, reference): &(PartIdentity, PartRef)| {
            Part::open(self.fs, identity, *reference, read_mode).map(Arc::new)
        };
        self.named.iter().map(open).collect()
    }
}
