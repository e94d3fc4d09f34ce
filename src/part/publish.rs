//! Writes nodes into part files and publishes them. No other code publishes part files.
//!
//! # Invariants
//!
//! - A part gets its name after its bytes are durable. The names of all parts are durable before
//!   [`Publisher::finish`] returns, and only then may a manifest name the parts. Under
//!   [`Install::Fast`](crate::config::Install) the publisher skips these syncs.
//! - Parts of several trees are published together. First all are built. Then all are synced, by several
//!   threads if they are many. Then all are renamed, and their directory is synced once. So the device
//!   has all the parts in its queue, and `k` trees do not cost `2k` syncs one after another.
//! - At most [`TOGETHER`] files are open at a time.
//! - An index is a hint: a part is published without one if its index cannot be written or named.
//! - The threads that sync share no mutable state: each one has its own files. All threads end before
//!   the first part gets its name, even if one fails. So the threads need no lock and no loom model.

use std::sync::Arc;
use std::time::Instant;

use super::format::{PartIdentity, PartRef};
use super::index_file::{IndexIdentity, write_index};
use super::reader::Part;
use super::writer::{PartEntries, build_part, sync_part};
use crate::config::ReadMode;
use crate::error::{Error, Result};
use crate::fs::{Dir, File, FileName, FileSystem};
use crate::merkle::NodeSource;
use crate::report::Steps;

/// How many parts are built before they are synced.
const TOGETHER: usize = 64;

/// The number of parts from which several threads sync. A journaling file system commits the files of
/// all waiting threads together.
const SIDE_BY_SIDE: usize = if cfg!(duramen_loom) { usize::MAX } else { 8 };
const SYNC_THREADS: usize = 8;

/// A part that has no name yet.
struct Built {
    identity: PartIdentity,
    reference: PartRef,
    file: Arc<dyn File>,
    /// Whether its index is built too.
    indexed: bool,
}

/// Makes the bytes of the parts durable. Returns the first error in the order of the parts.
fn sync_all(fs: &dyn FileSystem, built: &[Built]) -> Result<()> {
    let sync = |built: &Built| sync_part(fs, &built.identity, &*built.file);
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
            // If no thread can be started, this thread does its work.
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

/// Removes what was written of the index of a part.
fn without_index(fs: &dyn FileSystem, part: &PartIdentity, error: &Error) {
    tracing::warn!(%error, part = %part.number, "cannot write the index of a part");
    // The next open removes what stays.
    let _ = fs.remove(part.number.index_file().tmp());
}

/// Publishes several parts together.
pub(crate) struct Publisher<'a> {
    fs: &'a Arc<dyn FileSystem>,
    /// Whether the parts are made durable.
    strict: bool,
    built: Vec<Built>,
    named: Vec<(PartIdentity, PartRef)>,
    steps: &'a mut Steps,
}

impl<'a> Publisher<'a> {
    /// A publisher that adds the time it takes to `steps`.
    pub(crate) fn new(fs: &'a Arc<dyn FileSystem>, strict: bool, steps: &'a mut Steps) -> Self {
        Self { fs, strict, built: Vec::new(), named: Vec::new(), steps }
    }

    /// Writes one part, with `entries` if its tree keeps some. `hurry` returns whether a caller is waiting for the part.
    pub(crate) fn build<S>(
        &mut self,
        identity: PartIdentity,
        source: &S,
        entries: Option<PartEntries<'_>>,
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
        let (reference, file) = build_part(&**self.fs, &identity, source, entries, hurry)?;
        self.steps.build += started.elapsed();
        self.built.push(Built { identity, reference, file, indexed: false });
        Ok(reference)
    }

    /// Writes the index of the part that was built last, whose leaves are in `source`. Nothing makes the index
    /// durable: it follows from the part. If the index cannot be written, the part is published without one: a hint
    /// fails nothing. Other errors, by which `source` ends the work, are returned.
    pub(crate) fn build_index<S>(&mut self, source: &S, hurry: &dyn Fn() -> bool) -> Result<()>
    where
        S: NodeSource + ?Sized,
        Error: From<S::Error>,
    {
        let Some(built) = self.built.last_mut() else { return Ok(()) };
        let started = Instant::now();
        let (fs, go_on) = (&**self.fs, || Ok(()));
        let made = IndexIdentity::fresh(fs, &built.identity, &built.reference)
            .and_then(|index| write_index(fs, &index, source, hurry, &go_on));
        self.steps.build += started.elapsed();
        match made {
            Ok(()) => built.indexed = true,
            Err(error @ (Error::Io { .. } | Error::Damaged(_))) => {
                without_index(fs, &built.identity, &error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Syncs and renames the parts that are built.
    fn name_all(&mut self) -> Result<()> {
        let started = Instant::now();
        let fs = &**self.fs;
        if self.strict {
            sync_all(fs, &self.built)?;
        }
        for Built { identity, reference, indexed, .. } in self.built.drain(..) {
            let rename = |name: FileName| {
                fs.rename(name.tmp(), name)
                    .map_err(|error| Error::io("rename", fs.display(name.tmp()), error))
            };
            if indexed {
                match rename(identity.number.index_file()) {
                    Err(error @ Error::Io { .. }) => without_index(fs, &identity, &error),
                    renamed => renamed?,
                }
            }
            rename(identity.number.file())?;
            self.named.push((identity, reference));
        }
        self.steps.sync += started.elapsed();
        Ok(())
    }

    /// Makes all built parts durable under their names. Opens them in the order in which they were
    /// built.
    pub(crate) fn finish(mut self, read_mode: ReadMode) -> Result<Vec<Arc<Part>>> {
        self.name_all()?;
        let started = Instant::now();
        let fs = &**self.fs;
        if let Some((last, _)) = self.named.last()
            && self.strict
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
