//! Classifies every file in a store's directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fmt::Write as _;
use std::io::ErrorKind::NotFound;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::config::ReadMode;
use crate::directory;
use crate::directory::manifest::{Manifest, TreeEntry, Written};
use crate::directory::manifests;
use crate::directory::manifests::Stored;
use crate::error::{Error, Result};
use crate::fs::{Access, Dir, Entry, FileKind, FileName, FileSystem, uninterrupted};
use crate::ids::{SegmentId, TreeId};
use crate::part::Part;
use crate::wal::frame::{Frame, GroupHeader};
use crate::wal::{self, Change, LoggedTrees, Purpose, replay_read_only};
use crate::words::{count, leaves};

/// The contents of a store's directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Survey {
    /// Every file that is present, and every file that should be.
    pub files: Vec<FileReport>,
    /// The number of leaves that the store would open with, if nothing that it needs is damaged.
    pub leaves: Option<u64>,
    /// A torn write behind the end of the log, if the store was not closed cleanly. The next open
    /// truncates it. This is not a problem.
    pub torn: Option<String>,
}

impl Survey {
    /// The files with a problem, and the problem of each.
    fn problems(&self) -> Vec<(PathBuf, String)> {
        let problem = |file: &FileReport| Some((file.path.clone(), file.problem.clone()?));
        self.files.iter().filter_map(problem).collect()
    }

    /// Whether no problem prevents opening the store or a copy of it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.files.iter().all(|file| file.problem.is_none())
    }
}

/// One file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileReport {
    /// The path of the file.
    pub path: PathBuf,
    /// The length in bytes. `None` if the file is missing or is not a regular file.
    pub bytes: Option<u64>,
    /// The role of the file.
    pub state: FileState,
    /// The leaves in the file. For a part, their inner nodes are in the file too.
    pub leaves: Option<Range<u64>>,
    /// Details for people: the tree, the groups, the root.
    pub detail: String,
    /// The problem of the file, if any.
    pub problem: Option<String>,
}

/// The role of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileState {
    /// The store needs it.
    InForce,
    /// The manifest before the newest, or a manifest, part or segment that only this manifest names. Kept for
    /// manual repair.
    Previous,
    /// A log segment kept for reuse.
    Reserve,
    /// An incomplete file of an interrupted operation. The next open removes it.
    Temporary,
    /// A complete file that nothing refers to. The next open removes it.
    Orphan,
    /// The lock file.
    Lock,
    /// The status file, a hint for operators that no store needs.
    Status,
    /// The store ignores the file: the name is not in the store's format, or its number is one that this
    /// store cannot have come to.
    Foreign,
    /// What the file is cannot be told: no manifest can be read that would name it.
    Unknown,
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InForce => "in force",
            Self::Previous => "previous",
            Self::Reserve => "reserve",
            Self::Temporary => "temporary",
            Self::Orphan => "orphan",
            Self::Lock => "lock",
            Self::Status => "status",
            Self::Foreign => "foreign",
            Self::Unknown => "unknown",
        })
    }
}

/// How often the survey retries because the store changed meanwhile.
const TRIES: usize = 100;

/// Lists and classifies every file of the store in the directory of `config`. Takes no lock and changes
/// nothing. Beside a writer, files come and go during the survey. So a problem counts only if the survey
/// finds it twice while the newest manifest stays the same.
///
/// Checks headers, footers, lengths and the log. [`scrub::run`](crate::scrub::run) checks every byte.
///
/// # Errors
///
/// [`Io`](Error::Io) if a directory cannot be listed, [`NoStore`](Error::NoStore) if it has no file of a
/// store, or only those of a store that is being made. Problems of files are in the survey.
pub fn survey(config: &Config) -> Result<Survey> {
    let fs = config.bind()?;
    let newest = || directory::newest_number(&*fs, &config.path).ok().flatten();
    let mut last = None;
    for _ in 0..TRIES {
        let before = newest();
        let survey = survey_once(config, &fs)?;
        let problems = survey.problems();
        if problems.is_empty() {
            return Ok(survey);
        }
        let seen = (before, problems);
        if last.as_ref() == Some(&seen) && newest() == before {
            return Ok(survey);
        }
        last = Some(seen);
    }
    survey_once(config, &fs)
}

fn survey_once(config: &Config, fs: &Arc<dyn FileSystem>) -> Result<Survey> {
    let mut found = BTreeMap::new();
    let mut files = Vec::new();
    for dir in [Dir::Root, Dir::Manifest, Dir::Wal, Dir::Parts] {
        for entry in fs.list(dir).map_err(|error| Error::io("list", dir.path(), error))? {
            match entry {
                Entry::File(name, bytes) => drop(found.insert(name, bytes)),
                Entry::Other(base) => files.push(other(config, dir, &base)),
            }
        }
    }
    let no_store = || Error::NoStore { path: config.path.clone() };
    if found.is_empty() {
        return Err(no_store());
    }
    let has_manifest = found.keys().any(|name| name.kind == FileKind::Manifest && !name.temporary);
    // A store that is being made, or whose making was interrupted, has no data yet.
    if !has_manifest && matches!(directory::newest_number(&**fs, &config.path), Ok(None)) {
        return Err(no_store());
    }
    for (name, state) in [("LOCK", FileState::Lock), ("STATUS", FileState::Status)] {
        let path = config.path.join(name);
        let found = uninterrupted(|| std::fs::symlink_metadata(&path)).ok();
        if let Some(meta) = found.filter(std::fs::Metadata::is_file) {
            files.push(report(path, Some(meta.len()), state));
        }
    }
    let mut look = Look { fs, found, files, parts: BTreeMap::new() };
    let newest = look.manifests();
    look.named_parts(newest.as_ref());
    let (leaves, torn) = look.log(newest.as_ref());
    look.rest(newest.is_some());
    look.files.sort_by(|a, b| a.path.cmp(&b.path));
    let leaves = leaves.filter(|_| newest.is_some());
    Ok(Survey { files: look.files, leaves, torn })
}

fn report(path: PathBuf, bytes: Option<u64>, state: FileState) -> FileReport {
    FileReport { path, bytes, state, leaves: None, detail: String::new(), problem: None }
}

fn other(config: &Config, dir: Dir, base: &OsStr) -> FileReport {
    let path = config.path.join(dir.path()).join(base);
    let mut report = report(path, None, FileState::Foreign);
    if FileName::parse(dir, base).is_some() {
        report.problem = Some("has a store file's name but is not a regular file".to_owned());
    }
    report
}

struct Look<'a> {
    fs: &'a Arc<dyn FileSystem>,
    /// Files that are not classified yet.
    found: BTreeMap<FileName, u64>,
    files: Vec<FileReport>,
    /// The parts in all readable manifests, with their leaves.
    parts: BTreeMap<FileName, Range<u64>>,
}

impl Look<'_> {
    fn take(&mut self, name: FileName, state: FileState) -> FileReport {
        report(self.fs.display(name), self.found.remove(&name), state)
    }

    /// Reports the manifests. Returns the newest one if it can be read.
    fn manifests(&mut self) -> Option<Manifest> {
        let is_manifest = |name: &FileName| name.kind == FileKind::Manifest && !name.temporary;
        let mut names: Vec<_> = self.found.keys().copied().filter(is_manifest).collect();
        let numbers = names.iter().map(|name| name.number);
        // If a far file cannot be read, it is shown as the newest, with that problem.
        if let Ok(Some(in_force)) = directory::in_force(&**self.fs, numbers) {
            for name in names.extract_if(.., |name| name.number > in_force) {
                let mut report = self.take(name, FileState::Foreign);
                report.detail = "this store cannot have come to its number".to_owned();
                self.files.push(report);
            }
        }
        let mut newest = None;
        // The whole manifests to which newer ones have changes.
        let mut bases = BTreeMap::new();
        for (age, name) in names.into_iter().rev().enumerate() {
            let number = name.number;
            let state = match (age, bases.get(&number)) {
                (0, _) => FileState::InForce,
                (_, Some(state)) => *state,
                (1, None) => FileState::Previous,
                (_, None) => FileState::Orphan,
            };
            let mut report = self.take(name, state);
            // The base of an orphan may be gone.
            let read = match state {
                FileState::Orphan => manifests::read_alone(&**self.fs, number)
                    .map(|Written { manifest, link }| (manifest, link.map(|link| link.base))),
                _ => manifests::read(&**self.fs, number).map(|Stored { manifest, base }| {
                    (manifest, Some(base.number).filter(|base| *base != number))
                }),
            };
            match read {
                Ok((manifest, base)) => {
                    report.detail = describe(&manifest);
                    if let Some(base) = base {
                        let _ = write!(report.detail, "; changes to manifest {base}");
                        bases.entry(base).or_insert(state);
                    }
                    report.leaves = Some(0..leaves_of(&manifest));
                    for part in manifest.trees.iter().flat_map(|tree| &tree.parts) {
                        self.parts.insert(part.number.file(), part.from..part.to);
                    }
                    if age == 0 {
                        newest = Some(manifest);
                    }
                }
                Err(error) => report.problem = Some(in_words(&error)),
            }
            self.files.push(report);
        }
        if newest.is_none() && self.files.iter().all(|file| file.state != FileState::InForce) {
            let first = self.fs.display(manifests::file(1));
            let dir = first.parent().map_or_else(|| first.clone(), Path::to_path_buf);
            let mut report = report(dir, None, FileState::InForce);
            let problem = match self.found.contains_key(&directory::files::BACKUP_MARK) {
                true => "there is no manifest: a backup or a recovered store that was not finished",
                false => "there is no manifest",
            };
            report.problem = Some(problem.to_owned());
            self.files.push(report);
        }
        newest
    }

    /// Reports the parts in the newest manifest.
    fn named_parts(&mut self, newest: Option<&Manifest>) {
        let Some(manifest) = newest else { return };
        for tree in &manifest.trees {
            for part in &tree.parts {
                let mut report = self.take(part.number.file(), FileState::InForce);
                report.leaves = Some(part.from..part.to);
                report.detail = format!("tree {:?}", tree.spec.name);
                let identity = tree.identity(manifest.store, part);
                let opened = Part::open(self.fs, &identity, *part, ReadMode::Pread);
                report.problem = opened.err().map(|error| in_words(&error));
                self.files.push(report);
                let index = part.number.index_file();
                if self.found.contains_key(&index) {
                    let mut report = self.take(index, FileState::InForce);
                    report.leaves = Some(part.from..part.to);
                    report.detail = format!("index of part {}", part.number);
                    self.files.push(report);
                }
            }
        }
    }

    /// Reports the segments of the log. Returns the number of leaves in the store, and the torn end of
    /// the log.
    fn log(&mut self, newest: Option<&Manifest>) -> (Option<u64>, Option<String>) {
        let Some(manifest) = newest else { return (None, None) };
        let is_segment = |name: &FileName| name.kind == FileKind::Segment && !name.temporary;
        let names = self.found.keys().copied().filter(is_segment);
        let ids: Vec<_> = names.map(|name| SegmentId(name.number)).collect();
        let mut size = leaves_of(manifest);
        let mut trees = manifest.logged();
        // For each segment: its leaves and the number of its groups.
        let mut held: BTreeMap<u64, (Range<u64>, u64)> = BTreeMap::new();
        let fs = &**self.fs;
        let mut apply = |header: &GroupHeader, frame: &Frame<'_>| {
            let held = held.entry(header.segment.0).or_insert((size..size, 0));
            let before = match frame {
                Frame::Rewind(_) => trees.clone(),
                _ => LoggedTrees::default(),
            };
            let change = trees.apply(fs, header, frame)?;
            held.1 += u64::from(change != Change::Nothing);
            match change {
                // Trees behind frontiers have more leaves together than there are numbers.
                Change::Leaves(_, logged) => {
                    size = size.saturating_add(logged.leaves.len() as u64);
                }
                Change::Created(_, origin) => {
                    let begins = origin.map_or(0, |origin| origin.size().get());
                    size = size.saturating_add(begins);
                }
                Change::Dropped(tree) => size = size.saturating_sub(tree.size),
                Change::Rewound(cuts) => {
                    let cut =
                        |(id, to): &(TreeId, u64)| before.get(*id).map_or(0, |tree| tree.size - to);
                    size = cuts.iter().map(cut).fold(size, u64::saturating_sub);
                }
                Change::Nothing
                | Change::Sealed(_)
                | Change::Indexed(_)
                | Change::Erased(..)
                | Change::Marked => {}
            }
            held.0.end = size.max(held.0.start);
            Ok(())
        };
        let (store, log) = (manifest.store, &manifest.log);
        let replayed = replay_read_only(fs, store, log, &ids, Purpose::Verify, &mut apply);
        let mut in_force = vec![manifest.log.open.segment.0];
        in_force
            .extend(manifest.log.closed.iter().flat_map(|at| [at.from.segment.0, at.to.segment.0]));
        let mut torn = None;
        let mut damage = match replayed {
            Ok(replayed) => {
                in_force = replayed.stretches.iter().map(|stretch| stretch.segment.0).collect();
                torn = replayed.torn.map(|torn| torn.to_string());
                None
            }
            Err(error) => Some(error),
        };
        let whole = damage.is_none();
        in_force.extend(held.keys());
        in_force.sort_unstable();
        in_force.dedup();
        for number in in_force {
            let name = SegmentId(number).file();
            let mut report = self.take(name, FileState::InForce);
            if let Some((leaves, groups)) = held.get(&number) {
                report.leaves = Some(leaves.clone());
                report.detail = count(*groups, "group of leaves", "groups of leaves").to_string();
            }
            if let Some(Error::Damaged(found)) = &damage
                && found.file == report.path
            {
                report.problem = damage.take().as_ref().map(in_words);
            } else if report.bytes.is_none()
                && fs.open(name, Access::Read).is_err_and(|error| error.kind() == NotFound)
            {
                report.problem = Some("is missing".to_owned());
            }
            self.files.push(report);
        }
        if let Some(error) = damage {
            let path = match &error {
                Error::Damaged(damage) => damage.file.clone(),
                _ => fs.display(manifest.log.open.segment.file()),
            };
            let mut report = report(path, None, FileState::InForce);
            report.problem = Some(in_words(&error));
            self.files.push(report);
        }
        (whole.then_some(size), torn)
    }

    /// Reports the files that are not needed.
    /// Reports all other files. Without a `judged` manifest they cannot be told apart.
    fn rest(&mut self, judged: bool) {
        for (name, _) in self.found.clone() {
            let state = match name.kind {
                _ if name.temporary => FileState::Temporary,
                _ if !judged => FileState::Unknown,
                FileKind::Segment => FileState::Reserve,
                FileKind::Part if self.parts.contains_key(&name) => FileState::Previous,
                FileKind::Index if self.parts.contains_key(&part_of(name)) => FileState::Previous,
                FileKind::Part | FileKind::Index | FileKind::Manifest => FileState::Orphan,
            };
            let leaves = self.parts.get(&part_of(name)).cloned();
            let mut report = self.take(name, state);
            report.leaves = leaves;
            if state == FileState::Reserve {
                report.detail = match wal::owner(&**self.fs, name) {
                    Ok(Some(_)) => "was used before".to_owned(),
                    Ok(None) => "blank".to_owned(),
                    Err(error) => in_words(&error),
                };
            }
            self.files.push(report);
        }
    }
}

/// The part that an index belongs to. Any other file itself.
fn part_of(name: FileName) -> FileName {
    match name.kind {
        FileKind::Index => FileName { kind: FileKind::Part, ..name },
        _ => name,
    }
}

/// The number of leaves in all trees.
fn leaves_of(manifest: &Manifest) -> u64 {
    manifest.trees.iter().map(|tree| tree.size).fold(0, u64::saturating_add)
}

fn describe(manifest: &Manifest) -> String {
    let trees = manifest.trees.iter().map(|tree| {
        let TreeEntry { spec, size, sealed, indexed, base, parts, tail, erasures, .. } = &**tree;
        let pruned = base
            .as_ref()
            .map_or_else(String::new, |base| format!(", pruned below {}", base.size()));
        let sealed = if *sealed { ", sealed" } else { "" };
        let indexed = if *indexed { ", indexed" } else { "" };
        let erased = match erasures.count() {
            0 => String::new(),
            some => format!(", {} erased", count(some, "entry", "entries")),
        };
        let (size, parts) = (leaves(*size), count(parts.len(), "part", "parts"));
        let tail = match tail.len() {
            0 => String::new(),
            few => format!(" and {few} in the manifest"),
        };
        format!("{spec}, {size} in {parts}{tail}{pruned}{sealed}{indexed}{erased}")
    });
    let end = if manifest.log.clean { "closed in order" } else { "in use" };
    let mut trees: Vec<_> = trees.collect();
    if !manifest.marks.is_empty() {
        trees.push(count(manifest.marks.len(), "mark", "marks").to_string());
    }
    let store = [format!("store {}", manifest.store), end.to_owned()];
    store.into_iter().chain(trees).collect::<Vec<_>>().join(", ")
}

/// The text of an error and its causes.
fn in_words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}
