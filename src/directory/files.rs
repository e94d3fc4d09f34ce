//! The files in a store's directory, and the files that nothing refers to.

use super::manifest::Manifest;
use super::manifests;
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::wipe::{Wiped, give_up};
use crate::fs::{Access, Dir, Entry, FileName, FileSystem};
use crate::ids::ByteOffset;
use crate::ids::{PartId, SegmentId};
use crate::wal::BLOCK;
use std::path::Path;

/// The mark of a backup that is being made: a file with the name of a part that no store has.
pub(crate) const BACKUP_MARK: FileName = PartId(0).file();

/// The files of one directory of the store, with their lengths.
pub(crate) struct Files {
    pub(crate) complete: Vec<(FileName, u64)>,
    pub(crate) temporary: Vec<FileName>,
}

/// Lists the files of `dir` that have a name of this store's format, sorted by kind and number. Ignores all other
/// names. Fails if something that is not a regular file has such a name.
pub(crate) fn files(fs: &dyn FileSystem, dir: Dir) -> Result<Files> {
    let mut files = Files { complete: Vec::new(), temporary: Vec::new() };
    for entry in list(fs, dir)? {
        match entry {
            Entry::File(name, _) if name.temporary => files.temporary.push(name),
            Entry::File(name, len) => files.complete.push((name, len)),
            Entry::Other(base) => manifests::refuse_impostor(fs, dir, &base)?,
        }
    }
    files.complete.sort_unstable_by_key(|(name, _)| *name);
    Ok(files)
}

/// The number of the next part. It is higher than every number used so far, as far as the manifest and
/// the files show.
pub(crate) fn next_part(fs: &dyn FileSystem, manifest: &Manifest) -> Result<u64> {
    Ok(next_part_among(manifest, &files(fs, Dir::Parts)?))
}

/// As [`next_part`], for a given list of part files.
pub(crate) fn next_part_among(manifest: &Manifest, parts: &Files) -> u64 {
    let complete = parts.complete.iter().map(|(name, _)| *name);
    FileName::beyond(manifest.next_part, complete.chain(parts.temporary.iter().copied()))
}

/// Fails if the directory is not free for a new store: if it has files of another program, or files of a
/// store whose manifest is gone. Accepts an empty or missing directory. Also accepts a directory in
/// which creating a store was interrupted before the store had any data, and returns the files that this
/// attempt left.
pub(crate) fn check_empty(fs: &dyn FileSystem, root: &Path) -> Result<Vec<FileName>> {
    let unfinished = list(fs, Dir::Parts).is_ok_and(|parts| {
        parts.iter().any(|entry| matches!(entry, Entry::File(name, _) if *name == BACKUP_MARK))
    });
    if unfinished {
        return Err(Damage::new(root, 0, Problem::UnfinishedBackup).into());
    }
    let foreign = list(fs, Dir::Root)?.into_iter().next().map(|entry| match entry {
        Entry::Other(name) => name,
        Entry::File(name, _) => name.to_string().into(),
    });
    if let Some(found) = foreign {
        return Err(Error::NotAStore { path: root.to_owned(), found });
    }
    let manifest_gone = || {
        let first = fs.display(manifests::file(1));
        let dir = first.parent().unwrap_or(&first);
        Error::from(Damage::new(dir, 0, Problem::NoManifest))
    };
    let mut leftovers = Vec::new();
    for dir in Dir::INNER {
        for entry in list(fs, dir)? {
            match entry {
                Entry::Other(base) => {
                    let found = Path::new(dir.path()).join(base).into_os_string();
                    return Err(Error::NotAStore { path: root.to_owned(), found });
                }
                Entry::File(name, _) if name.temporary => leftovers.push(name),
                Entry::File(name, _) if dir == Dir::Wal && is_blank(fs, name)? => {
                    leftovers.push(name);
                }
                Entry::File(..) => return Err(manifest_gone()),
            }
        }
    }
    Ok(leftovers)
}

/// Whether a segment never had a group. Each group begins a block with a header that is not zero.
fn is_blank(fs: &dyn FileSystem, name: FileName) -> Result<bool> {
    let fail = |action, error| Error::io(action, fs.display(name), error);
    let file = fs.open(name, Access::Read).map_err(|error| fail("open", error))?;
    let len = file.len().map_err(|error| fail("measure", error))?;
    let mut at = 0;
    let mut head = [0; 64];
    while at < len {
        let piece = usize::try_from(len - at).unwrap_or(head.len()).min(head.len());
        let piece = &mut head[..piece];
        file.read_at(ByteOffset(at), piece).map_err(|error| fail("read", error))?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += BLOCK;
    }
    Ok(true)
}

/// Removes files that nothing refers to, of a store in which entries were `erased` or not. Those that would have to be
/// wiped and are read are left and returned.
pub(crate) fn remove(
    fs: &dyn FileSystem,
    names: &[FileName],
    erased: bool,
) -> Result<Vec<FileName>> {
    let mut pinned = Vec::new();
    for name in names {
        match give_up(fs, *name, erased)
            .map_err(|error| Error::io("remove", fs.display(*name), error))?
        {
            Wiped::InUse { .. } => pinned.push(*name),
            Wiped::Zeros { .. } | Wiped::Linked => {}
        }
    }
    Ok(pinned)
}

/// The segment id of a segment file.
pub(crate) fn segment_id(name: FileName) -> SegmentId {
    SegmentId(name.number)
}

fn list(fs: &dyn FileSystem, dir: Dir) -> Result<Vec<Entry>> {
    fs.list(dir).map_err(|error| Error::io("list", dir.path(), error))
}
