//! The target directory of a copy of a store.
//!
//! A directory that holds an older copy of the same store stays this copy until the manifest of the new one is published:
//! parts that both have stay, everything else of the new copy comes under names that the directory does not have. So the
//! segments of its log are renumbered, and what only the old copy needs is removed afterwards.
//!
//! The mark is an empty file with the name of part 0, a number that no part ever has. A directory with
//! parts but without a manifest has lost its manifest, so no store is opened or created there. Once
//! there is a manifest, nothing refers to the mark, and opening removes it. The name of the mark is
//! durable, together with the names of the parts, before there is any other file.
//!
//! # Invariant
//!
//! Each failure names the side that caused it. A system error for a file in this directory is a failure
//! of the target. A failure in the source is a failure of the source, and so are wrong bytes in a file
//! that was copied from there.

mod received;

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::config::ReadMode;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::newest_manifest;
use crate::directory::{files, manifests};
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::{Access, Dir, Entry, File, FileKind, FileName, FileSystem, StoreLock};
use crate::ids::ByteOffset;
use crate::ids::PartId;
use crate::ids::{SegmentId, StoreId};
use crate::merkle::StoreHead;
use crate::part::{Part, PartRef};
use crate::random;
use crate::report::BackupInfo;
use crate::wal::frame::{GroupHeader, renumber_rolls};
use crate::wal::{BLOCK, BLOCK_LEN, LogKey, Stretch, copy_closed, replay_closed};

const MARK: FileName = files::BACKUP_MARK;
/// Bytes copied at a time. This is also the most that is in the device's queue, in which the syncs of
/// the store's log wait.
const STEP: usize = 1 << 20;

/// A copy in progress. Dropping an incomplete copy removes its files.
pub(crate) struct Target<'a> {
    fs: Arc<dyn FileSystem>,
    path: &'a Path,
    parts: BTreeMap<FileName, Taken>,
    log_bytes: u64,
    /// The key of the copy's log.
    key: LogKey,
    complete: bool,
    /// The copy that was there before.
    older: Option<Older>,
    _lock: Box<dyn StoreLock>,
}

/// A complete copy that was in the directory before.
struct Older {
    manifest: Manifest,
    /// The number of the segment that the log of the new copy begins in.
    first_segment: u64,
    /// All files that were there.
    files: Vec<FileName>,
}

/// Why the copy failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A failure of the source. The source may have changed meanwhile.
    Source(Error),
    /// A failure of the target directory. A retry would fail again.
    Target(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Source(error) | Failure::Target(error) => error,
        }
    }
}

impl Failure {
    /// The failure of reading back a file that was copied from the source.
    fn read_back(error: Error) -> Self {
        match error {
            Error::Io { .. } => Self::Target(error),
            _ => Self::Source(error),
        }
    }
}

/// How the copy got a part.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Linked(u64),
    Copied(u64),
    /// The older copy has it.
    Kept(u64),
}

impl<'a> Target<'a> {
    /// Acquires the directory in `config`. The directory must be missing or empty.
    pub(crate) fn begin(config: &'a Config) -> Result<Self> {
        refuse_target(config)?;
        let fs = config.make()?;
        let lock = crate::directory::lock(&*fs, &config.path)?;
        // Checks again, because the directory may have changed before the lock was held.
        refuse_files(config, &*fs)?;
        let (parts, log_bytes, complete) = (BTreeMap::new(), 0, false);
        let key = LogKey::fresh(&*fs)?;
        let older = None;
        let target =
            Self { fs, path: &config.path, parts, log_bytes, key, complete, older, _lock: lock };
        target.create(MARK)?;
        target.sync_dir(Dir::Parts)?;
        Ok(target)
    }

    /// Acquires the directory in `config`, which may hold an older copy of `store`.
    pub(crate) fn onto(config: &'a Config, store: StoreId) -> Result<Self> {
        if refuse_target(config).is_ok() {
            return Self::begin(config);
        }
        let fs = config.bind()?;
        // The error of a directory that is no store, before there is a lock file in it.
        newest_manifest(&*fs, &config.path)?;
        let lock = crate::directory::lock(&*fs, &config.path)?;
        let manifest = newest_manifest(&*fs, &config.path)?;
        if manifest.store != store {
            return Err(Error::BackupOfOther {
                path: config.path.clone(),
                store: store.to_string(),
                found: manifest.store.to_string(),
            });
        }
        let (parts, log_bytes, complete) = (BTreeMap::new(), 0, false);
        let key = LogKey::fresh(&*fs)?;
        let mut target = Self {
            fs,
            path: &config.path,
            parts,
            log_bytes,
            key,
            complete,
            older: None,
            _lock: lock,
        };
        // Set first: what is there is not this copy's to discard.
        let mut files = Vec::new();
        for dir in [Dir::Manifest, Dir::Wal, Dir::Parts] {
            files.extend(target.list(dir)?);
        }
        let segments = files.iter().copied().filter(|name| name.kind == FileKind::Segment);
        let first_segment = FileName::beyond(manifest.next_segment, segments);
        target.older = Some(Older { manifest, first_segment, files });
        // Parts that an earlier attempt left, or an open of the copy would remove.
        for name in target.list(Dir::Parts)? {
            if !target.is_kept(name) {
                target.remove(name)?;
            }
        }
        Ok(target)
    }

    /// Whether the older copy needs a file.
    fn is_kept(&self, name: FileName) -> bool {
        self.older.as_ref().is_some_and(|older| match name.kind {
            FileKind::Part => older.manifest.files().contains(&name),
            // An index belongs to the part with its number.
            FileKind::Index => older.manifest.files().contains(&PartId(name.number).file()),
            FileKind::Manifest | FileKind::Segment => older.files.contains(&name),
        })
    }

    /// The number in the copy of a segment of the log of `state`.
    fn segment(&self, state: &Manifest, id: SegmentId) -> SegmentId {
        let closed = state.log.closed.first().map(|extent| extent.from.segment);
        let first = closed.unwrap_or(state.log.open.segment);
        match &self.older {
            None => id,
            Some(older) => {
                SegmentId(older.first_segment.saturating_add(id.0.saturating_sub(first.0)))
            }
        }
    }

    /// The manifest of the copy.
    fn copy_of(&self, state: &Manifest, checkpoint: [u8; 16]) -> Manifest {
        let mut copy = super::copy_of(state, self.key, checkpoint);
        let stretches =
            copy.log.closed.iter_mut().flat_map(|extent| [&mut extent.from, &mut extent.to]);
        let mut last = 0;
        for position in stretches.chain([&mut copy.log.open]) {
            position.segment = self.segment(state, position.segment);
            last = last.max(position.segment.0);
        }
        if self.older.is_some() {
            copy.next_segment = copy.next_segment.max(last.saturating_add(1));
        }
        copy
    }

    /// Copies everything that `state` names from `source`, and makes it durable under its name. After a
    /// failure of the source, the caller may call this again with a newer state.
    pub(crate) fn fill(
        &mut self,
        source: &dyn FileSystem,
        state: &Manifest,
    ) -> Result<(), Failure> {
        self.clear(state).map_err(Failure::Target)?;
        for tree in &state.trees {
            for part in &tree.parts {
                self.part(source, state, tree, part)?;
            }
        }
        self.sync_dir(Dir::Parts).map_err(Failure::Target)?;
        self.log(source, state)
    }

    /// Publishes the manifest, which makes the copy a store.
    pub(crate) fn finish(
        mut self,
        state: &Manifest,
        head: StoreHead,
        started: Instant,
    ) -> Result<BackupInfo> {
        let mut copy = self.copy_of(state, random::id(&*self.fs)?);
        if let Some(older) = &self.older {
            let newest = copy.number.max(older.manifest.number);
            copy.number = manifests::next_number(&*self.fs, newest)?;
        }
        manifests::publish(&*self.fs, &copy, &copy.files())?;
        self.complete = true;
        match self.older.take() {
            None => self.remove(MARK)?,
            Some(older) => self.remove_older(&copy, older.first_segment)?,
        }
        self.sync_dir(Dir::Parts)?;
        let mut info = BackupInfo {
            head,
            parts: self.parts.len() as u64,
            bytes_linked: 0,
            bytes_copied: self.log_bytes,
            bytes_kept: 0,
            duration: started.elapsed(),
        };
        for taken in self.parts.values() {
            match taken {
                Taken::Linked(bytes) => info.bytes_linked += bytes,
                Taken::Copied(bytes) => info.bytes_copied += bytes,
                Taken::Kept(bytes) => info.bytes_kept += bytes,
            }
        }
        Ok(info)
    }

    /// Removes the files that only the older copy needed.
    fn remove_older(&self, copy: &Manifest, first_segment: u64) -> Result<()> {
        let needed = copy.files();
        for dir in [Dir::Wal, Dir::Parts, Dir::Manifest] {
            for name in self.list(dir)? {
                let part = PartId(name.number).file();
                let is_needed = match name.kind {
                    FileKind::Part => needed.contains(&name),
                    FileKind::Segment => name.number >= first_segment,
                    FileKind::Index => needed.contains(&part),
                    FileKind::Manifest => name.number >= copy.number,
                };
                if !is_needed {
                    self.remove(name)?;
                }
            }
            self.sync_dir(dir)?;
        }
        Ok(())
    }

    /// Removes the files of an earlier attempt, except the parts that `state` needs.
    fn clear(&mut self, state: &Manifest) -> Result<()> {
        let needed = |name: FileName| {
            let mut parts = state.trees.iter().flat_map(|tree| &tree.parts);
            parts.any(|part| part.number.file() == name)
        };
        self.parts.retain(|name, _| needed(*name));
        for dir in [Dir::Wal, Dir::Parts] {
            for name in self.list(dir)? {
                let is_needed = self.parts.contains_key(&name) || self.is_kept(name);
                if name != MARK && !is_needed {
                    self.remove(name)?;
                }
            }
        }
        self.log_bytes = 0;
        Ok(())
    }

    /// Links or copies one part, unless the copy already has it.
    fn part(
        &mut self,
        source: &dyn FileSystem,
        state: &Manifest,
        tree: &TreeEntry,
        part: &PartRef,
    ) -> Result<(), Failure> {
        let name = part.number.file();
        if self.parts.contains_key(&name) {
            return Ok(());
        }
        if self.is_kept(name) {
            // The same number with other leaves is of another history.
            Part::open(&self.fs, &tree.identity(state.store, part), *part, ReadMode::Pread)
                .map_err(Failure::Target)?;
            self.parts.insert(name, Taken::Kept(part.len));
            return Ok(());
        }
        // While it is open, the part is not overwritten. Afterwards the link shows that it is in use.
        let from = open(source, name).map_err(Failure::Source)?;
        // If copying fails for the same reason as linking, copying reports the error.
        let taken = match self.fs.link_from(source, name) {
            Ok(()) => Taken::Linked(part.len),
            Err(_) => {
                refuse_short(source, name, &*from, part.len).map_err(Failure::Source)?;
                let to = self.create(name).map_err(Failure::Target)?;
                self.copy(source, name, &*from, &*to, 0..part.len)?;
                Taken::Copied(part.len)
            }
        };
        Part::open(&self.fs, &tree.identity(state.store, part), *part, ReadMode::Pread)
            .map_err(Failure::read_back)?;
        open(&*self.fs, name).and_then(|file| self.sync(name, &*file)).map_err(Failure::Target)?;
        self.parts.insert(name, taken);
        Ok(())
    }

    /// Copies the log up to its end in `state`.
    fn log(&mut self, source: &dyn FileSystem, state: &Manifest) -> Result<(), Failure> {
        let mut failed = None;
        let mut open: Option<(SegmentId, Arc<dyn File>)> = None;
        let found = copy_closed(source, state.store, &state.log, &mut |header, body| {
            let file = match &open {
                Some((id, file)) if *id == header.segment => Arc::clone(file),
                _ => {
                    let made = self.create(self.segment(state, header.segment).file());
                    let file = made.inspect_err(|error| failed = Some(error.clone()))?;
                    open = Some((header.segment, Arc::clone(&file)));
                    file
                }
            };
            let group = self.group(state, &*file, header, body);
            group.inspect_err(|error| failed = Some(error.clone()))
        });
        if let Some(error) = failed {
            return Err(Failure::Target(error));
        }
        for stretch in &found.map_err(Failure::Source)?.stretches {
            let segment = self.segment(state, stretch.segment);
            self.end_stretch(Stretch { segment, ..*stretch }).map_err(Failure::Target)?;
        }
        self.sync_dir(Dir::Wal).map_err(Failure::Target)?;
        let copy = self.copy_of(state, state.checkpoint);
        replay_closed(&*self.fs, copy.store, &copy.log, &mut |_, _| Ok(()))
            .map(drop)
            .map_err(Failure::read_back)
    }

    /// Writes one group at its old position, with a life of the copy's key.
    fn group(
        &self,
        state: &Manifest,
        file: &dyn File,
        header: &GroupHeader,
        body: &[u8],
    ) -> Result<()> {
        let segment = self.segment(state, header.segment);
        let mut renumbered = Vec::new();
        if segment != header.segment {
            renumbered.extend_from_slice(body);
            renumber_rolls(&mut renumbered, header.frames, |next| self.segment(state, next));
        }
        let body = if segment == header.segment { body } else { &renumbered[..] };
        let life = self.key.life(segment);
        let body_checksum = life.body_key().checksum(body);
        let header = GroupHeader { life, segment, body_checksum, ..*header };
        let encoded = header.encode();
        let mut front = &encoded[..];
        let mut rest = body;
        let mut at = header.offset.0;
        while !front.is_empty() || !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(STEP - front.len()));
            let len = (front.len() + now.len()) as u64;
            file.write_at(ByteOffset(at), &mut [IoSlice::new(front), IoSlice::new(now)])
                .and_then(|()| file.write_back(ByteOffset(at), len))
                .map_err(|error| self.fail("write", header.segment.file(), error))?;
            (front, rest) = (&[], later);
            at += len;
        }
        Ok(())
    }

    /// Writes one blank block behind the groups of one segment, as room for a roll frame. Makes the
    /// segment durable.
    fn end_stretch(&mut self, stretch: Stretch) -> Result<()> {
        let name = stretch.segment.file();
        let file = match self.fs.open(name, Access::ReadWrite) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(name)?,
            opened => opened.map_err(|error| self.fail("open", name, error))?,
        };
        file.write_at(stretch.to, &mut [IoSlice::new(&[0; BLOCK_LEN])])
            .map_err(|error| self.fail("write", name, error))?;
        self.sync(name, &*file)?;
        self.log_bytes += stretch.to.0 - stretch.from.0 + BLOCK;
        Ok(())
    }

    fn copy(
        &self,
        source: &dyn FileSystem,
        name: FileName,
        from: &dyn File,
        to: &dyn File,
        range: std::ops::Range<u64>,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; STEP];
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(STEP).min(STEP);
            let step = &mut buffer[..len];
            from.read_at(ByteOffset(at), step)
                .map_err(|error| Failure::Source(Error::io("read", source.display(name), error)))?;
            to.write_at(ByteOffset(at), &mut [IoSlice::new(step)])
                .and_then(|()| to.write_back(ByteOffset(at), len as u64))
                .map_err(|error| Failure::Target(self.fail("write", name, error)))?;
            at += len as u64;
        }
        Ok(())
    }

    fn create(&self, name: FileName) -> Result<Arc<dyn File>> {
        self.fs.create(name).map_err(|error| self.fail("create", name, error))
    }

    fn sync(&self, name: FileName, file: &dyn File) -> Result<()> {
        file.sync().map_err(|error| self.fail("sync", name, error))
    }

    fn sync_dir(&self, dir: Dir) -> Result<()> {
        self.fs.sync_dir(dir).map_err(|error| Error::io("sync", self.path.join(dir.path()), error))
    }

    fn remove(&self, name: FileName) -> Result<()> {
        self.fs.remove(name).map_err(|error| self.fail("remove", name, error))
    }

    fn list(&self, dir: Dir) -> Result<Vec<FileName>> {
        let entries = self.fs.list(dir);
        let entries =
            entries.map_err(|error| Error::io("list", self.path.join(dir.path()), error))?;
        // The directory was empty before, so every file and link with a name of this format comes from
        // this copy.
        let file = |entry| match entry {
            Entry::File(name, _) => Some(name),
            Entry::Other(base) => FileName::parse(dir, &base),
        };
        Ok(entries.into_iter().filter_map(file).collect())
    }

    fn fail(&self, action: &'static str, name: FileName, error: std::io::Error) -> Error {
        Error::io(action, self.fs.display(name), error)
    }

    /// Removes all files, the mark last. Keeps them if there is a manifest, because the copy may then be
    /// complete.
    fn discard(&self) -> Result<()> {
        if let Some(older) = &self.older {
            let (manifests, _) = manifests::list(&*self.fs)?;
            if manifests.last().is_some_and(|newest| *newest > older.manifest.number) {
                return Ok(());
            }
            for dir in [Dir::Wal, Dir::Parts] {
                for name in self.list(dir)?.into_iter().filter(|name| !self.is_kept(*name)) {
                    self.remove(name)?;
                }
            }
            return Ok(());
        }
        if !manifests::list(&*self.fs)?.0.is_empty() {
            return Ok(());
        }
        for dir in [Dir::Manifest, Dir::Wal, Dir::Parts] {
            for name in self.list(dir)?.into_iter().filter(|name| *name != MARK) {
                self.remove(name)?;
            }
            self.sync_dir(dir)?;
        }
        self.remove(MARK)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if !self.complete
            && let Err(error) = self.discard()
        {
            // Without a manifest the directory stays refused.
            tracing::warn!(%error, "cannot remove a copy that was not completed");
        }
    }
}

fn open(fs: &dyn FileSystem, name: FileName) -> Result<Arc<dyn File>> {
    fs.open(name, Access::Read).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Damage::new(fs.display(name), 0, Problem::Missing).into(),
        _ => Error::io("open", fs.display(name), error),
    })
}

/// Fails if `file` ends before it has the length that the manifest gives it.
fn refuse_short(fs: &dyn FileSystem, name: FileName, file: &dyn File, expected: u64) -> Result<()> {
    let path = fs.display(name);
    let found = file.len().map_err(|error| Error::io("measure", &path, error))?;
    if found < expected {
        return Err(Damage::new(&path, 0, Problem::Truncated { expected, found }).into());
    }
    Ok(())
}

/// Fails unless the directory of `config` is missing or empty.
pub(crate) fn refuse_target(config: &Config) -> Result<()> {
    match config.bind() {
        Err(Error::NoStore { .. }) => Ok(()),
        found => refuse_files(config, &*found?),
    }
}

/// Fails if the directory has any file except the lock.
fn refuse_files(config: &Config, fs: &dyn FileSystem) -> Result<()> {
    for dir in [Dir::Root, Dir::Manifest, Dir::Wal, Dir::Parts] {
        let entries = fs.list(dir);
        let entries = entries.map_err(|error| Error::io("list", &config.path, error))?;
        let found = entries.into_iter().next().map(|entry| match entry {
            Entry::File(name, _) => name.to_string().into(),
            Entry::Other(base) => Path::new(dir.path()).join(base).into_os_string(),
        });
        if let Some(found) = found {
            return Err(Error::NotEmpty { path: config.path.clone(), found });
        }
    }
    Ok(())
}
