//! What stands in the files of the damaged store, but for the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::report::Skipped;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests;
use crate::entry::Erasures;
use crate::error::{Error, Result};
use crate::fs::{Access, Dir, Entry, FileKind, FileName, FileSystem};
use crate::ids::{ByteOffset, SegmentId, StoreId, TreeId};
use crate::part::{PART_BLOCK_LEN, PartIdentity, PartRef, RawPart, read_header};
use crate::tree_spec::TreeSpec;
use crate::wal;

/// What the files say.
pub(super) struct Facts {
    pub(super) store: StoreId,
    /// The newest manifest that can be read. It may lack trees, if the manifest that has them cannot be read.
    pub(super) manifest: Option<Manifest>,
    /// By number.
    pub(super) trees: BTreeMap<TreeId, TreeFacts>,
    /// By rising number.
    pub(super) segments: Vec<SegmentId>,
    pub(super) skipped: Vec<Skipped>,
}

/// What the files say of one tree.
#[derive(Default)]
pub(super) struct TreeFacts {
    /// As a manifest has it.
    pub(super) spec: Option<Arc<TreeSpec>>,
    /// In the newest manifest that has the tree.
    pub(super) entry: Option<Arc<TreeEntry>>,
    /// As their own headers have it, and only as far as the newest manifest that has the part.
    pub(super) parts: Vec<(PartIdentity, PartRef)>,
    pub(super) indexed: bool,
}

/// Reads what stands in `fs`.
pub(super) fn gather(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<Facts> {
    let mut skipped = Vec::new();
    let manifests = manifests_of(&**fs, &mut skipped)?;
    let mut parts = Vec::new();
    let mut indexed = Vec::new();
    for name in names(&**fs, Dir::Parts)? {
        match name.kind {
            FileKind::Index => indexed.push(name.number),
            _ => match part(fs, name) {
                Ok(part) => parts.push(part),
                Err(reason) => skipped.push(Skipped { file: fs.display(name), reason }),
            },
        }
    }
    let segments: Vec<_> =
        names(&**fs, Dir::Wal)?.into_iter().map(|name| SegmentId(name.number)).collect();
    let votes = manifests.iter().map(|manifest| manifest.store);
    let store = match votes.into_iter().next() {
        Some(store) => store,
        None => most(&**fs, &parts, &segments)
            .ok_or_else(|| Error::NoStore { path: path.to_path_buf() })?,
    };
    let mut facts = Facts { store, manifest: None, trees: BTreeMap::new(), segments, skipped };
    for manifest in manifests {
        // Newest first.
        if manifest.store != store {
            continue;
        }
        for entry in &manifest.trees {
            let tree = facts.trees.entry(entry.spec.id).or_default();
            tree.spec.get_or_insert_with(|| Arc::clone(&entry.spec));
            tree.entry.get_or_insert_with(|| Arc::clone(entry));
            tree.indexed |= entry.indexed;
        }
        facts.manifest.get_or_insert(manifest);
    }
    for (identity, reference) in parts {
        if identity.store != store {
            let reason = format!("it is of store {}", identity.store);
            facts.skipped.push(Skipped { file: fs.display(identity.number.file()), reason });
            continue;
        }
        let tree = facts.trees.entry(identity.tree).or_default();
        tree.indexed |= indexed.contains(&identity.number.0);
        let known = tree.entry.iter().flat_map(|entry| entry.parts.iter());
        let known =
            known.filter(|known| (known.number, known.from) == (reference.number, reference.from));
        // The tree was rewound below the end of the file.
        let cut = known.map(|known| known.to).next().unwrap_or(reference.to);
        let visible = reference.cut(cut, &Erasures::default()).unwrap_or(reference);
        tree.parts.push((identity, visible));
    }
    Ok(facts)
}

/// The complete files of one directory, by rising number.
fn names(fs: &dyn FileSystem, dir: Dir) -> Result<Vec<FileName>> {
    let entries = match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|error| Error::io("list", dir.path(), error))?,
    };
    let name = |entry| match entry {
        Entry::File(name, _) if !name.temporary => Some(name),
        _ => None,
    };
    let mut names: Vec<_> = entries.into_iter().filter_map(name).collect();
    names.sort_unstable();
    Ok(names)
}

/// The manifests that can be read, newest first. One whose base cannot be read has only the trees that changed since.
fn manifests_of(fs: &dyn FileSystem, skipped: &mut Vec<Skipped>) -> Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for name in names(fs, Dir::Manifest)?.into_iter().rev() {
        match manifests::read(fs, name.number) {
            Ok(stored) => found.push(stored.manifest),
            Err(error) => {
                skipped.push(Skipped { file: fs.display(name), reason: error.to_string() });
                found.extend(manifests::read_alone(fs, name.number).ok().map(|read| read.manifest));
            }
        }
    }
    Ok(found)
}

/// What the header and the footer of a part say.
fn part(fs: &Arc<dyn FileSystem>, name: FileName) -> Result<(PartIdentity, PartRef), String> {
    let path = fs.display(name);
    let words = |error: std::io::Error| error.to_string();
    let file = fs.open(name, Access::Read).map_err(words)?;
    let len = file.len().map_err(words)?;
    let mut block = [0; PART_BLOCK_LEN];
    file.read_at(ByteOffset(0), &mut block).map_err(words)?;
    let identity = read_header(&block)
        .map_err(|_| "its header is damaged: its tree and its leaves are unknown".to_owned())?;
    if identity.number.0 != name.number {
        return Err(format!("it is part {} under another name", identity.number));
    }
    let raw = RawPart::of_file(&path, file, len, identity)
        .ok_or_else(|| "its header names more leaves than a file can have".to_owned())?;
    match raw.file_damage() {
        Some(damage) => Err(damage.to_string()),
        None => Ok((raw.identity.clone(), raw.reference)),
    }
}

/// The store of which most files are.
fn most(
    fs: &dyn FileSystem,
    parts: &[(PartIdentity, PartRef)],
    segments: &[SegmentId],
) -> Option<StoreId> {
    let mut votes: BTreeMap<[u8; 16], u64> = BTreeMap::new();
    let of_parts = parts.iter().map(|(identity, _)| identity.store);
    let of_log = segments.iter().filter_map(|id| wal::owner(fs, id.file()).ok().flatten());
    for store in of_parts.chain(of_log) {
        *votes.entry(store.0).or_default() += 1;
    }
    votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(store, _)| StoreId(store))
}
