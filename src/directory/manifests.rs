//! The files of manifests.
//!
//! # Invariants
//!
//! - A manifest is written under a temporary name, made durable, and renamed to the next number. Only this rename,
//!   made durable, adds anything to the store.
//! - The newest manifest counts. The store never falls back to an older one if the newest is damaged, because a crash
//!   cannot damage it. The previous manifest is kept for manual repair.
//! - The whole manifests to which these two have changes stay with them, see [`changes`](super::changes).

use std::ffi::OsStr;
use std::io;
use std::io::IoSlice;
use std::path::Path;

use super::changes::{Base, checksum_of};
use super::manifest::{FLAGS, Link, MANIFEST_VERSION, Manifest, ManifestFault, Written};
use crate::error::{Damage, Error, FormatFeature, Problem, Result};
use crate::fs::backing;
use crate::fs::{Access, Dir, Displaced, Displacement, Entry, FileKind, FileName, FileSystem};
use crate::ids::{ByteOffset, StoreId};
use crate::mutant::mutant;

/// The longest manifest that is accepted. A store with a million parts has a manifest of about 40 MB.
const LONGEST: u64 = 1 << 30;

/// A manifest, and the whole one that it is or has changes to.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) manifest: Manifest,
    /// The manifest itself, if it is whole. The next ones are changes to it if this process has published it.
    pub(crate) base: Base,
}

impl Stored {
    /// A manifest that is published whole, as [`publish`] does.
    pub(crate) fn publish(
        fs: &dyn FileSystem,
        manifest: Manifest,
        relied_on: &[FileName],
    ) -> Result<Self> {
        let bytes = manifest.encode();
        write(fs, manifest.number, &bytes, relied_on)?;
        Ok(Self { base: Base::published(&manifest, &bytes), manifest })
    }

    /// Publishes `next`, as changes if these are short and the base has at least `whole_below` bytes. After an error
    /// nothing here has changed, and the next open reads either this manifest or `next`. Fails before `next` has its
    /// name if one of the files that it has `relied_on`, or the base of changes, is no longer the store's.
    pub(crate) fn replace(
        &mut self,
        fs: &dyn FileSystem,
        next: Manifest,
        whole_below: u64,
        relied_on: &[FileName],
    ) -> Result<()> {
        let changes = self.base.changes(&next, whole_below);
        if mutant!(fs, BaseReplacedEarly) && changes.is_none() {
            let _ = fs.remove(file(self.base.number));
        }
        let before = Some(self.base.number);
        match changes {
            Some(bytes) => {
                let relied_on = [relied_on, &[file(self.base.number)]].concat();
                write(fs, next.number, &bytes, &relied_on)?;
                self.base.changed(bytes.len() as u64);
                self.manifest = next;
            }
            None => *self = Self::publish(fs, next, relied_on)?,
        }
        self.base.before = before;
        Ok(())
    }
}

/// The name of the manifest with this number.
pub(crate) fn file(number: u64) -> FileName {
    FileName::new(FileKind::Manifest, number)
}

/// Publishes `manifest`, whole, as the store's newest. After `Ok` the next open reads it, even after a power
/// cut. After an error the next open reads either the old manifest or the new one. Fails before the
/// manifest has its name if one of the files that it has `relied_on` is no longer the store's.
pub(crate) fn publish(
    fs: &dyn FileSystem,
    manifest: &Manifest,
    relied_on: &[FileName],
) -> Result<()> {
    write(fs, manifest.number, &manifest.encode(), relied_on)
}

fn write(fs: &dyn FileSystem, number: u64, bytes: &[u8], relied_on: &[FileName]) -> Result<()> {
    let name = file(number);
    let path = fs.display(name);
    let fail = |action| {
        let path = &path;
        move |error| Error::io(action, path, error)
    };
    let tmp = fs.create(name.tmp()).map_err(fail("create"))?;
    tmp.write_at(ByteOffset(0), &mut [IoSlice::new(bytes)]).map_err(fail("write"))?;
    tmp.sync().map_err(fail("sync"))?;
    check_files(fs, relied_on)?;
    fs.rename(name.tmp(), name).map_err(fail("rename"))?;
    fs.sync_dir(Dir::Manifest).map_err(fail("sync the directory of"))
}

/// Fails if one of these files is no longer the store's.
pub(crate) fn check_files(fs: &dyn FileSystem, files: &[FileName]) -> Result<()> {
    files.iter().try_for_each(|file| {
        fs.check_file(*file).map_err(|error| Error::io("look at", fs.display(*file), error))
    })
}

/// The numbers of the complete manifests in the directory, ascending, and the temporary files.
pub(crate) fn list(fs: &dyn FileSystem) -> Result<(Vec<u64>, Vec<FileName>)> {
    let entries =
        fs.list(Dir::Manifest).map_err(|error| Error::io("list", Dir::Manifest.path(), error))?;
    let mut complete = Vec::new();
    let mut temporary = Vec::new();
    for entry in entries {
        match entry {
            Entry::File(name, _) if name.temporary => temporary.push(name),
            Entry::File(name, _) => complete.push(name.number),
            Entry::Other(base) => refuse_impostor(fs, Dir::Manifest, &base)?,
        }
    }
    complete.sort_unstable();
    Ok((complete, temporary))
}

/// Fails if `base` is a name of this store's format. The caller found a link, a directory or the like
/// under this name, so the store's file is missing.
pub(crate) fn refuse_impostor(fs: &dyn FileSystem, dir: Dir, base: &OsStr) -> Result<()> {
    match FileName::parse(dir, base) {
        Some(name) => {
            let path = fs.display(name);
            Err(Damage::field(&path, 0, "file type", "a regular file", "something else").into())
        }
        None => Ok(()),
    }
}

/// The number of the manifest after `newest`. It is higher than the number of every manifest file there,
/// including incomplete ones. Numbers that no store can reach are ignored.
pub(crate) fn next_number(fs: &dyn FileSystem, newest: u64) -> Result<u64> {
    let (complete, temporary) = list(fs)?;
    let seen = complete.into_iter().map(file).chain(temporary);
    Ok(FileName::beyond(newest.saturating_add(1), seen))
}

/// Reads the manifest with this number, with its base.
pub(crate) fn read(fs: &dyn FileSystem, number: u64) -> Result<Stored> {
    let (written, bytes) = read_file(fs, number)?;
    let path = fs.display(file(number));
    let Some(link) = &written.link else {
        return Ok(Stored {
            base: Base::found(&written.manifest, &bytes),
            manifest: written.manifest,
        });
    };
    let base = read_base(fs, written.manifest.store, link)?;
    match base.with(written) {
        Some(manifest) => Ok(Stored { manifest, base }),
        None => {
            Err(Damage::field(&path, 0, "fields", "those of changes to its base", "others").into())
        }
    }
}

/// Reads the whole manifest to which `link` leads, of the store `store`.
fn read_base(fs: &dyn FileSystem, store: StoreId, link: &Link) -> Result<Base> {
    let path = fs.display(file(link.base));
    let refuse = |field, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(Damage::field(&path, 0, field, expected, found).into())
    };
    let (Written { manifest, link: deeper }, bytes) = match read_file(fs, link.base) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(Damage::new(&path, 0, Problem::Missing).into());
        }
        read => read?,
    };
    if manifest.store != store {
        return refuse("store id", &store, &manifest.store);
    }
    if deeper.is_some() {
        return refuse("manifest", &"a whole one", &"changes to another one");
    }
    let found = checksum_of(&bytes);
    if found != link.checksum {
        return refuse(
            "checksum",
            &format_args!("{:#018x}", link.checksum),
            &format_args!("{found:#018x}"),
        );
    }
    Ok(Base::found(&manifest, &bytes))
}

/// Reads the file with this number alone, without the base that it may have changes to.
pub(crate) fn read_alone(fs: &dyn FileSystem, number: u64) -> Result<Written> {
    read_file(fs, number).map(|(written, _)| written)
}

fn read_file(fs: &dyn FileSystem, number: u64) -> Result<(Written, Vec<u8>)> {
    let path = fs.display(file(number));
    let bytes = read_bytes(fs, number)?;
    let written =
        Written::decode(&bytes).map_err(|fault| reject(&path, bytes.len() as u64, fault))?;
    let found = written.manifest.number;
    if found != number {
        return Err(Damage::field(&path, 0, "manifest number", number, found).into());
    }
    Ok((written, bytes))
}

/// The store that the manifest with this number belongs to, if the manifest can be decoded.
pub(crate) fn owner(fs: &dyn FileSystem, number: u64) -> Result<Option<StoreId>> {
    let bytes = read_bytes(fs, number)?;
    Ok(Written::decode(&bytes).ok().map(|written| written.manifest.store))
}

fn read_bytes(fs: &dyn FileSystem, number: u64) -> Result<Vec<u8>> {
    let name = file(number);
    let path = fs.display(name);
    let fail = |action| {
        let path = &path;
        move |error| Error::io(action, path, error)
    };
    let file = fs.open(name, Access::Read).map_err(fail("open"))?;
    file.drop_cache();
    let len = file.len().map_err(fail("measure"))?;
    if len > LONGEST {
        return Err(Damage::field(&path, 0, "length", "at most 1 GiB", len).into());
    }
    if let Some(found) = backing::too_few(&*file, 0..len).map_err(fail("measure"))? {
        return Err(Damage::new(&path, 0, Problem::Hollow { expected: len, found }).into());
    }
    let mut bytes = backing::zeros(len).map_err(fail("read"))?;
    file.read_at(ByteOffset(0), &mut bytes).map_err(fail("read"))?;
    Ok(bytes)
}

/// Removes every manifest older than `newest`, which has this `base`, and temporary files. Keeps the manifest before
/// it, and the bases of both. Keeps files that another process has put there since the lock was acquired.
pub(crate) fn remove_old(fs: &dyn FileSystem, newest: u64, base: &Base) -> Result<()> {
    for name in old(fs, newest, base)? {
        match fs.remove(name).map_err(|error| Error::io("remove", fs.display(name), error)) {
            Err(Error::Displaced(Displaced { how: Displacement::Planted, .. })) => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Whether [`remove_old`] would remove anything.
pub(crate) fn has_old(fs: &dyn FileSystem, newest: u64, base: &Base) -> Result<bool> {
    old(fs, newest, base).map(|old| !old.is_empty())
}

fn old(fs: &dyn FileSystem, newest: u64, base: &Base) -> Result<Vec<FileName>> {
    let (complete, temporary) = list(fs)?;
    let before = complete.iter().rev().find(|number| **number < newest).copied();
    let forgotten = mutant!(fs, BaseForgotten);
    let mut old = complete;
    old.retain(|number| {
        *number < newest && Some(*number) != before && (*number != base.number || forgotten)
    });
    // The base of the manifest before is looked up where a file of that may be among those to be removed.
    if !old.is_empty()
        && let Some(kept) = base.before.or_else(|| base_of(fs, before?))
    {
        old.retain(|number| *number != kept || forgotten);
    }
    Ok(old.into_iter().map(file).chain(temporary).collect())
}

/// The number of the whole manifest to which the one with this number has changes, if it has.
fn base_of(fs: &dyn FileSystem, number: u64) -> Option<u64> {
    read_alone(fs, number).ok()?.link.map(|link| link.base)
}

fn reject(path: &Path, len: u64, fault: ManifestFault) -> Error {
    match fault {
        ManifestFault::Magic => Damage::field(path, 0, "magic", "a manifest", "other bytes").into(),
        ManifestFault::Fields => Damage::field(path, 0, "fields", "valid ones", "others").into(),
        ManifestFault::Flags(found) => Error::UnknownFormat {
            path: path.into(),
            feature: FormatFeature::ManifestFlags,
            found: u32::from(found),
            supported: u32::from(FLAGS),
        },
        ManifestFault::Version(found) => Error::UnknownFormat {
            path: path.into(),
            feature: FormatFeature::Version,
            found: u32::from(found),
            supported: u32::from(MANIFEST_VERSION),
        },
        ManifestFault::Checksum { stored, computed } => {
            Damage::new(path, len.saturating_sub(8), Problem::Checksum { stored, computed }).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_this_version_does_not_know_are_named() {
        let error = reject(Path::new("a"), 100, ManifestFault::Flags(0x8000));
        assert!(error.to_string().contains("manifest flags"), "{error}");
    }
}
