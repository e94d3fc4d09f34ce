//! Scrubbing verifies every stored byte against checksums and hashes. A repair rebuilds damaged data
//! from intact data.
//!
//! A scrub reads every part file completely: the header, the footer, and every block with its checksum.
//! It compares every inner node with the hash of its children, over all levels and across parts, and
//! finally the root with the manifest. Then it reads the log, frame by frame. It trusts nothing that it
//! can compute.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("log");
//! use std::ops::ControlFlow;
//!
//! use duramen::{Accumulator, Config, scrub};
//!
//! let log: Accumulator = Accumulator::open(Config::new(&dir))?;
//! log.insert_many(&[[1; 32]; 1000])?;
//! log.checkpoint()?;
//!
//! // Beside the writer, at 10 MB/s, on this thread.
//! let gentle = scrub::Options::new().bytes_per_second(10_000_000)?;
//! assert!(log.scrub(&gentle, &mut |_| ControlFlow::Continue(()))?.is_clean());
//! log.close()?;
//!
//! // Of a directory, on every core, repairing what can be repaired.
//! let options = scrub::Options::new().repair(true);
//! let report =
//!     scrub::run(&Config::new(&dir), &options, &mut |_| ControlFlow::Continue(()))?;
//! assert!(report.is_clean() && report.leaves == 1000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod donor;
mod entries;
mod indexes;
mod kernel;
mod log;
mod pace;
mod pass;
mod plan;
mod repair;
mod take;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

pub use crate::report::scrub::{Element, Finding, Remedy, Report};
pub(crate) use donor::Donor;
pub use kernel::kernel_rate;

use self::donor::Donation;
use self::entries::EntryFaults;
use self::pace::Pace;
use self::pass::TreeParts;
use self::plan::Plan;
use crate::config::Config;
use crate::config::ReadMode;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests;
use crate::error::{Damage, Error, Result};
use crate::fs::FileSystem;
use crate::hashers::Hashers;
use crate::ids::{PartId, StoreId};
use crate::merkle::{Hasher, Level, StoreHead};
use crate::part::{PartRef, RawPart};
use crate::per_tree::PerTree;
use crate::tree_spec::TreeSpec;
use crate::wal::Log;

/// The options of a scrub.
#[derive(Clone, Debug, Default)]
pub struct Options {
    bytes_per_second: Option<u64>,
    repair: bool,
    donor: Option<Arc<dyn Donor>>,
}

impl Options {
    /// At full speed, on every core, without changing anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads at most this many bytes per second, on the calling thread only.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) for 0, at which a scrub would never end.
    pub fn bytes_per_second(mut self, bytes: u64) -> Result<Self> {
        if bytes == 0 {
            return Err(Error::config("bytes_per_second", "at 0 a scrub would never end"));
        }
        self.bytes_per_second = Some(bytes);
        Ok(self)
    }

    /// Whether damaged inner nodes, checksums, headers and footers are rebuilt into new parts. Leaves are
    /// rebuilt from their entries, in a tree that keeps entries, and else never. Only [`run`] can repair.
    #[must_use]
    pub fn repair(mut self, yes: bool) -> Self {
        self.repair = yes;
        self
    }

    pub(crate) fn with_donor(self, donor: Arc<dyn Donor>) -> Self {
        Self { donor: Some(donor), ..self }
    }

    /// Fails if the backup is not one of `store`.
    fn check_donor(&self, store: StoreId) -> Result<()> {
        match &self.donor {
            Some(donor) if donor.store() != store => Err(Error::BackupOfOther {
                path: donor.path().to_path_buf(),
                store: store.to_string(),
                found: donor.store().to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// The progress of a scrub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of parts read.
    pub done: u64,
    /// Bytes of all parts.
    pub total: u64,
}

/// The callback of a scrub, called from time to time on the calling thread. A break ends the scrub early.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// How often a scrub retries because the store changed meanwhile.
const TRIES: usize = 100;

/// Scrubs the store in the directory of `config`. The store may be open elsewhere: a scrub locks and
/// changes nothing, unless a repair is requested.
///
/// A repair takes the store's lock. It rewrites each part with repairable damage under a new number,
/// reads the new part back and verifies it. Then it publishes a new manifest, in the same order as a
/// checkpoint. The damaged file stays until the next open of the store. A block that cannot be rebuilt
/// stays damaged in the new part too, under a checksum that does not match.
///
/// The trees are verified one after another, so only the files of one tree are open at a time. If
/// another process merges the parts of a tree meanwhile, the scrub verifies the tree as in the newer
/// manifest.
///
/// What cannot be rebuilt is taken from a [backup](Options::backup), if there is one and what it has is proven.
///
/// Memory: 4 bytes per 4,096 bytes of the parts of one tree, plus the rebuilt data.
///
/// Trees with the caller's own hash functions need [`Config::hasher`].
///
/// # Errors
///
/// [`NoStore`](crate::Error::NoStore), [`UnknownHasher`](crate::Error::UnknownHasher);
/// [`Damaged`](crate::Error::Damaged) only if the manifest is damaged, because no other file can be
/// judged without it; [`Locked`](crate::Error::Locked) if a repair finds the store open;
/// [`Io`](crate::Error::Io) if a repair cannot write. Damage of any other file is a finding, not an
/// error.
pub fn run(config: &Config, options: &Options, progress: OnProgress<'_>) -> Result<Report> {
    let bound = config.bind()?;
    let fs = &*bound;
    newest(config, fs)?;
    let lock = || crate::directory::lock(fs, &config.path);
    let _lock = options.repair.then(lock).transpose()?;
    let hashers = Hashers::new(config.hashers.iter().cloned());
    let source = Source {
        fs,
        mode: config.read_mode,
        hasher: &|spec| hashers.of(&config.path, spec),
        newest: &|| newest(config, fs),
    };
    let manifest = newest(config, fs)?;
    let Verified { mut report, plans, indexes } = parts(&source, &manifest, options, progress)?;
    if !report.interrupted {
        let log = settled(config, fs, |manifest| log::verify(&source, manifest))?;
        report.add_log(log);
        if repair::is_wanted(options, &plans) {
            let donor = options.donor.as_deref();
            let rebuilt = repair::rebuild(&bound, &source, &manifest, &plans, donor)?;
            report.rebuilt = rebuilt.names;
            for finding in &mut report.findings {
                match finding.remedy {
                    Remedy::Rebuild if finding.element != Element::Index => {
                        finding.remedy = Remedy::Rebuilt;
                    }
                    Remedy::Take => finding.remedy = Remedy::Taken,
                    _ => {}
                }
            }
        }
        if options.repair {
            let newest = newest(config, fs)?;
            let rebuilt = indexes::rebuild(&bound, &source, &newest, &indexes)?;
            report.rebuilt.extend(rebuilt.names);
            for finding in &mut report.findings {
                if finding.element == Element::Index && !rebuilt.left.contains(&finding.damage.file)
                {
                    finding.remedy = Remedy::Rebuilt;
                }
            }
        }
    }
    Ok(report)
}

/// Scrubs the parts of an open store. `manifest` was the manifest in force just before.
pub(crate) fn online(
    source: &Source<'_>,
    manifest: &Manifest,
    options: &Options,
    progress: OnProgress<'_>,
) -> Result<Report> {
    parts(source, manifest, options, progress).map(|verified| verified.report)
}

/// Verifies the closed stretches of `log` and adds the result to `report`.
pub(crate) fn add_closed(
    source: &Source<'_>,
    manifest: &Manifest,
    log: &Log,
    report: &mut Report,
) -> Result<bool> {
    let facts = log::verify_closed(source, manifest, log)?;
    let intact = facts.finding.is_none();
    report.add_log(facts);
    Ok(intact)
}

impl Report {
    fn add_log(&mut self, facts: log::LogFacts) {
        self.log_groups = facts.groups;
        self.log_bytes = facts.bytes;
        self.log_leaves = facts.leaves;
        self.log_entries = facts.entries;
        self.torn = facts.torn;
        self.findings.retain(|finding| finding.element != Element::Log);
        self.findings.extend(facts.finding);
    }
}

/// Access to the trees of a store.
pub(crate) struct Source<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    pub(crate) mode: ReadMode,
    /// The hash function of a tree, or the error if it is unknown.
    pub(crate) hasher: &'a dyn Fn(&TreeSpec) -> Result<Arc<dyn Hasher>>,
    /// The manifest in force.
    pub(crate) newest: &'a dyn Fn() -> Result<Manifest>,
}

impl Source<'_> {
    /// Opens every part of a tree, whatever its contents.
    fn open(&self, manifest: &Manifest, entry: &TreeEntry) -> Result<TreeParts> {
        let open = |part: &PartRef| {
            RawPart::open(self.fs, entry.identity(manifest.store, part), *part, self.mode)
        };
        let parts = entry.parts.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(TreeParts {
            base: entry.base.clone(),
            frames: parts.iter().map(RawPart::frame).collect(),
            parts,
            hasher: (self.hasher)(&entry.spec)?,
            arity: entry.spec.arity,
            size: entry.parts_end(),
            erasures: Arc::clone(&entry.erasures),
        })
    }

    /// Opens a tree of `manifest`. If a part is missing and a newer manifest is in force, opens the tree
    /// as in the newer manifest. `None` if the tree has been dropped.
    fn open_newest(
        &self,
        manifest: &Manifest,
        entry: &Arc<TreeEntry>,
    ) -> Result<Option<(TreeParts, Arc<TreeEntry>)>> {
        let (mut entry, mut number) = (Arc::clone(entry), manifest.number);
        for _ in 0..TRIES {
            let tree = self.open(manifest, &entry)?;
            if !tree.parts.iter().any(RawPart::is_missing) {
                return Ok(Some((tree, entry)));
            }
            let newest = (self.newest)()?;
            if newest.number == number {
                return Ok(Some((tree, entry)));
            }
            let Some(newer) = newest.tree(entry.spec.id) else { return Ok(None) };
            (entry, number) = (Arc::clone(newer), newest.number);
        }
        Ok(Some((self.open(manifest, &entry)?, entry)))
    }

    /// The damage of a manifest whose root differs from the root of the nodes.
    fn root_damage(&self, manifest: &Manifest) -> Damage {
        let path = self.fs.display(manifests::file(manifest.number));
        *Damage::field(&path, 0, "root", "the root of the nodes", "another root")
    }
}

/// Calls `look` with the newest manifest and returns its result. Calls it again if a newer manifest came
/// meanwhile, or until the same damage is found twice, because a writer may be at work there.
fn settled(
    config: &Config,
    fs: &dyn FileSystem,
    look: impl Fn(&Manifest) -> Result<log::LogFacts>,
) -> Result<log::LogFacts> {
    let mut last = None;
    for _ in 0..TRIES {
        let manifest = newest(config, fs)?;
        let facts = look(&manifest)?;
        let seen = (manifest.number, facts.finding.clone());
        let settled = facts.finding.is_none() || last.as_ref() == Some(&seen);
        if settled && newest(config, fs)?.number == manifest.number {
            return Ok(facts);
        }
        last = Some(seen);
    }
    look(&newest(config, fs)?)
}

/// The newest manifest.
fn newest(config: &Config, fs: &dyn FileSystem) -> Result<Manifest> {
    crate::directory::newest_manifest(fs, &config.path)
}

/// How many of a tree's `size` leaves were found intact. Leaves of missing parts and of damaged blocks
/// do not count. Neither do those that were pruned.
fn seen_leaves(tree: &TreeParts, size: u64, findings: &[Finding]) -> u64 {
    let missing = tree.parts.iter().filter(|part| part.is_missing());
    let missing = missing.map(|part| part.first(Level::LEAVES)..part.end(Level::LEAVES));
    let damaged = findings.iter().filter(|finding| finding.element == Element::Leaves);
    let damaged = damaged.filter_map(|finding| finding.leaves.clone());
    let mut ranges: Vec<_> = missing.chain(damaged).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut lost, mut end) = (0_u64, 0);
    for range in ranges {
        let from = range.start.max(end);
        lost = lost.saturating_add(range.end.saturating_sub(from));
        end = end.max(range.end);
    }
    let pruned = tree.base.as_ref().map_or(0, |base| base.size());
    size.saturating_sub(pruned).saturating_sub(lost)
}

/// What verifying the parts came to.
struct Verified {
    report: Report,
    /// One for each tree.
    plans: Vec<Plan>,
    /// The parts whose index is to be written again.
    indexes: Vec<PartId>,
}

/// Verifies the trees one after another.
fn parts(
    source: &Source<'_>,
    manifest: &Manifest,
    options: &Options,
    progress: OnProgress<'_>,
) -> Result<Verified> {
    let started = Instant::now();
    options.check_donor(manifest.store)?;
    for entry in &manifest.trees {
        (source.hasher)(&entry.spec)?;
    }
    let mut heads: PerTree<_> =
        manifest.trees.iter().map(|entry| (entry.spec.id, entry.head())).collect();
    let mut report = Report {
        head: StoreHead::default(),
        parts: 0,
        leaves: 0,
        entries: 0,
        indexes: 0,
        erased: 0,
        part_bytes: 0,
        part_time: started.elapsed(),
        log_groups: 0,
        log_bytes: 0,
        log_leaves: 0,
        log_entries: 0,
        torn: None,
        findings: Vec::new(),
        rebuilt: Vec::new(),
        backup: options.donor.as_ref().map(|donor| donor.path().to_path_buf()),
        interrupted: false,
    };
    let all = manifest.trees.iter().flat_map(|entry| &entry.parts).map(|part| part.len);
    let total = all.fold(0, u64::saturating_add);
    let mut before: u64 = 0;
    let (mut plans, mut indexes) = (Vec::new(), Vec::new());
    for entry in &manifest.trees {
        let Some((tree, entry)) = source.open_newest(manifest, entry)? else {
            heads.remove(entry.spec.id);
            continue;
        };
        heads.insert(entry.spec.id, entry.head());
        let rate = options.bytes_per_second;
        let mut pace = rate.map(Pace::new);
        let progress = &mut |tree: Progress| {
            let done = before.saturating_add(tree.done);
            progress(Progress { done, total: total.max(done) })
        };
        let in_ruins = tree.is_in_ruins();
        let faults = match in_ruins {
            true => tree.verify_apart(pace.as_mut(), progress),
            false => tree.verify(pace.as_mut(), progress),
        };
        let present = || tree.parts.iter().filter(|part| !part.is_missing());
        report.parts += present().count() as u64;
        for part in present() {
            report.part_bytes = report.part_bytes.saturating_add(part.full_len());
        }
        report.part_time = started.elapsed();
        if faults.interrupted {
            report.interrupted = true;
            break;
        }
        // Of a tree in ruins no bundle is looked for.
        let mut entries = EntryFaults::default();
        if entry.spec.entries.is_some() && !in_ruins {
            entries = tree.verify_entries(tree.node_len(), pace.as_mut(), progress);
        }
        report.entries = report.entries.saturating_add(entries.intact);
        report.erased = report.erased.saturating_add(entry.erasures.count());
        report.part_time = started.elapsed();
        if entries.interrupted {
            report.interrupted = true;
            break;
        }
        let mut plan = match in_ruins {
            true => Plan::none(&tree, &faults),
            false => {
                let donor = options.donor.as_deref();
                let donation = donor.map(|donor| Donation { donor, spec: &entry.spec });
                let root_damage = source.root_damage(manifest);
                Plan::new(&tree, &faults, &entries, &entry, &root_damage, donation)
            }
        };
        if !in_ruins {
            let pace = pace.as_mut();
            let mut found = indexes::verify(source.fs, &tree, &entry, &faults, pace, progress)?;
            report.indexes += found.intact;
            report.interrupted = found.interrupted;
            plan.findings.append(&mut found.findings);
            indexes.append(&mut found.wanted);
        }
        for finding in &mut plan.findings {
            finding.tree = Some(entry.spec.name.clone());
        }
        report.leaves =
            report.leaves.saturating_add(seen_leaves(&tree, entry.size, &plan.findings));
        report.findings.append(&mut plan.findings);
        plans.push(plan);
        if report.interrupted {
            break;
        }
        before = before.saturating_add(tree.full_len());
    }
    // The manifest was checked: no two trees have the same name.
    report.head = StoreHead::new(heads.values().cloned().collect()).unwrap_or_default();
    Ok(Verified { report, plans, indexes })
}

#[cfg(test)]
mod tests;
