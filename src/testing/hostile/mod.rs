//! The decoders of the files of a store, for fuzzing. Each takes any bytes and may do with them what
//! opening a store would; none may panic. What `fix_` makes of bytes has right checksums, so that what
//! lies behind them is reached.

mod index;
mod part;

use std::error::Error;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::ages::Ages;
use crate::config::ReadMode;
use crate::directory::changes::Base;
use crate::directory::manifest::{Manifest, TreeEntry, Written};
use crate::directory::manifests;
use crate::fs::{FileName, FileSystem, Place};
use crate::ids::TreeId;
use crate::merkle::Blake3;
use crate::part::{Part, PartIdentity, PartRef, PartSet};
use crate::testing::sim::SimDisk;
use crate::tree_spec::{ENTRY_SETTINGS_LEN, TreeSpec};
use crate::wal::BLOCK_LEN;
use crate::wal::frame;
use crate::wal::frame::{Frame, GROUP_HEADER_LEN, GroupEnd, GroupHeader};

/// Decodes a group of the log. Returns whether it is one.
#[must_use]
pub fn group(bytes: &[u8]) -> bool {
    let Some((head, body)) = bytes.split_first_chunk() else { return false };
    let Ok(header) = GroupHeader::decode(head) else { return false };
    assert_eq!(GroupHeader::decode(&header.encode()), Ok(header));
    let Ok(frames) = frame::frames(body, header.frames) else { return false };
    let payload = |frame: &Frame<'_>| match frame {
        Frame::Leaves { leaves, .. } => size_of_val(*leaves),
        Frame::Entries { leaves, entries, .. } => size_of_val(*leaves) + entries.len(),
        Frame::Create(spec) => ENTRY_SETTINGS_LEN + spec.name.as_str().len() + spec.hasher.len(),
        Frame::Begin(spec, origin) => {
            let created = ENTRY_SETTINGS_LEN + spec.name.as_str().len() + spec.hasher.len();
            created + size_of::<u64>() + size_of_val(origin.nodes())
        }
        Frame::Roll { .. }
        | Frame::Point
        | Frame::Seal { .. }
        | Frame::Index { .. }
        | Frame::Drop { .. } => 0,
        Frame::Mark(mark) => mark.payload_len(),
        Frame::Unmark(name) => name.as_str().len(),
        Frame::Rewind(sizes) => crate::mark::encode_sizes(sizes).len(),
        Frame::Erase { ranges, cause, .. } => {
            crate::entry::erasure::encode(ranges, &cause.reason).len()
        }
    };
    let len: usize = frames.iter().map(payload).sum();
    assert_eq!(len + frames.len() * frame::FRAME_HEADER_LEN, body.len());
    true
}

/// Gives a group the checksums that fit its bytes.
pub fn fix_group(bytes: &mut [u8]) {
    const BODY_SUM_AT: usize = frame::BODY_CHECKSUM_AT;
    let Some((head, body)) = bytes.split_first_chunk_mut::<GROUP_HEADER_LEN>() else { return };
    let sum = frame::carried_life(head).body_key().checksum(body);
    head[BODY_SUM_AT..BODY_SUM_AT + 8].copy_from_slice(&sum.to_le_bytes());
    let sum = crate::checksum::checksum(&head[..GROUP_HEADER_LEN - 8]);
    head[GROUP_HEADER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
}

/// Decodes a manifest. Returns whether it is one.
#[must_use]
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(written) = Written::decode(bytes) else { return false };
    assert_eq!(Written::decode(&written.encode()).as_ref(), Ok(&written));
    changes(written);
    true
}

/// Applies changes to what they may be changes to: a manifest with the trees that are gone and half of those that changed.
fn changes(written: Written) {
    let Some(link) = &written.link else { return };
    let mut base = Manifest { number: link.base, ..written.manifest.clone() };
    let gone = link.gone.iter().map(|id| (*id, format!("gone {}", id.0)));
    base.trees.retain(|tree| tree.spec.id.0 % 2 == 0);
    let entry = |(id, name): (TreeId, String)| {
        let spec = TreeSpec::read(id, name.as_bytes(), b"blake3", 4, [0; 8])?;
        Some(Arc::new(TreeEntry {
            spec,
            size: 0,
            root: [0; 32],
            sealed: false,
            indexed: false,
            base: None,
            parts: Vec::new(),
            tail: Box::default(),
            erasures: Arc::default(),
            ages: Ages::default(),
        }))
    };
    gone.filter_map(entry).for_each(|entry| base.put(entry));
    let bytes = base.encode();
    let next = Base::found(&base, &bytes).with(written);
    let Some(next) = next else { return };
    assert_eq!(Manifest::decode(&next.encode()), Ok(next));
}

/// Gives a manifest the checksum that fits its bytes.
pub fn fix_manifest(bytes: &mut [u8]) {
    if let Some((covered, sum)) = bytes.split_last_chunk_mut::<8>() {
        *sum = crate::checksum::checksum(covered).to_le_bytes();
    }
}

/// Opens a part and reads every node. Returns whether it opened.
#[must_use]
pub fn part(bytes: &[u8]) -> bool {
    part::read(bytes)
}

/// Searches an index that is changed by `bytes` and has checksums that fit. Panics if it makes up a leaf. Returns how
/// many leaves were not found.
#[must_use]
pub fn index(bytes: &[u8]) -> Option<usize> {
    index::search(bytes)
}

/// Gives a part of a length that fits its header the checksums that fit its bytes.
pub fn fix_part(bytes: &mut [u8]) {
    part::fix(bytes);
}

/// Has the newest manifest on `disk` name the part in the file `name` as the part's own header and footer do,
/// and the root that its tree then has, where that can be computed. Returns whether it was changed.
#[must_use]
pub fn adopt_part(disk: &SimDisk, name: FileName) -> bool {
    adopt(disk, name).is_some()
}

fn adopt(disk: &SimDisk, name: FileName) -> Option<()> {
    let fs = disk.bind().ok()?;
    let mut manifest = newest(&*fs).ok()?;
    let store = manifest.store;
    let tree = Arc::make_mut(manifest.trees.first_mut()?);
    let bytes = disk.read(name)?;
    let identity = PartIdentity::parse(bytes.first_chunk()?).ok()?;
    let PartIdentity { number, from, to, arity, .. } = identity;
    let part = PartRef {
        number,
        from,
        to,
        len: bytes.len() as u64,
        checksum: part::seal(bytes.last_chunk()?),
        entry_bytes: part::entry_bytes(&bytes),
        erased: 0,
        hidden: 0,
    };
    let own = tree.parts.iter().position(|part| part.number.0 == name.number)?;
    tree.parts[own] = PartRef { erased: tree.parts[own].erased, ..part };
    if own + 1 == tree.parts.len() {
        tree.size = to.saturating_add(tree.tail.len() as u64);
    }
    let children = u16::try_from(arity.children()).ok()?;
    let (name, hasher) = (tree.spec.name.clone(), identity.hasher.as_bytes());
    let kept = part::settings(&identity);
    tree.spec = TreeSpec::read(identity.tree, name.as_str().as_bytes(), hasher, children, kept)?;
    manifest.next_tree = manifest.next_tree.max(u64::from(identity.tree.0) + 1);
    let open = |part: &PartRef| {
        let identity = tree.identity(store, part);
        Part::open(&fs, &identity, *part, ReadMode::Pread).map(Arc::new).ok()
    };
    if let Some(parts) = tree.parts.iter().map(open).collect::<Option<Vec<_>>>()
        && let Ok(Some(root)) = tree.root_over(&PartSet::new(tree.base.clone(), parts), &Blake3)
    {
        tree.root = root;
    }
    disk.put(manifests::file(manifest.number), &manifest.encode());
    Some(())
}

/// The length that a part has whose header these bytes begin with.
#[must_use]
pub fn part_len(bytes: &[u8]) -> Option<u64> {
    let identity = PartIdentity::parse(bytes.first_chunk()?).ok()?;
    part::frame(&identity, 0).map(|(_, len, _)| len)
}

/// Gives a header or footer block of a part the checksum that fits it.
pub fn fix_block(block: &mut [u8]) {
    if let Some((covered, sum)) = block.split_last_chunk_mut::<8>() {
        *sum = crate::checksum::checksum(covered).to_le_bytes();
    }
}

/// The groups that stand in a segment: where, and how long they say that they are.
#[must_use]
pub fn groups(segment: &[u8]) -> Vec<(usize, usize)> {
    let places = segment.chunks(BLOCK_LEN).enumerate();
    let groups = places.filter_map(|(number, block)| {
        let header = GroupHeader::decode(block.first_chunk()?).ok()?;
        Some((number * BLOCK_LEN, usize::try_from(header.len).ok()?))
    });
    groups.collect()
}

fn newest(fs: &dyn FileSystem) -> Result<Manifest, Box<dyn Error>> {
    let number = manifests::list(fs)?.0.pop().ok_or("no manifest")?;
    Ok(manifests::read(fs, number)?.manifest)
}

/// Writes `manifest` over the file that has its number.
fn put(fs: &dyn FileSystem, manifest: &Manifest) -> Result<(), Box<dyn Error>> {
    Ok(std::fs::write(fs.display(manifests::file(manifest.number)), manifest.encode())?)
}

/// Makes the newest manifest of the closed store `fs` `len` bytes long, by a hole in front of its checksum,
/// which is right for what stands before the hole.
///
/// # Errors
///
/// Whatever the disk reports.
pub fn inflate_manifest(fs: &dyn FileSystem, len: u64) -> Result<(), Box<dyn Error>> {
    let newest = newest(fs)?;
    let bytes = newest.encode();
    let file =
        std::fs::File::options().write(true).open(fs.display(manifests::file(newest.number)))?;
    file.set_len(len)?;
    Ok(file.write_all_at(&bytes[bytes.len() - 8..], len - 8)?)
}

/// Says of the last part of the closed store `fs`, in the part and in the manifest, that it goes to leaf `to`,
/// with right checksums around the columns, and makes the file as long as that takes, by a hole.
///
/// # Errors
///
/// Whatever the disk reports, and a store without parts.
pub fn inflate_part(fs: &dyn FileSystem, to: u64) -> Result<(), Box<dyn Error>> {
    let mut manifest = newest(fs)?;
    let store = manifest.store;
    let tree = Arc::make_mut(manifest.trees.first_mut().ok_or("no tree")?);
    let mut part = tree.parts.pop().ok_or("no part")?;
    part.to = to;
    let identity = tree.identity(store, &part);
    let (header, len, footer) = part::frame(&identity, part.entry_bytes).ok_or("too long")?;
    let file = std::fs::File::options().write(true).open(fs.display(part.number.file()))?;
    file.write_all_at(&header, 0)?;
    file.write_all_at(&footer, len - footer.len() as u64)?;
    part.len = len;
    part.checksum = part::seal(&footer);
    tree.parts.push(part);
    tree.size = to.saturating_add(tree.tail.len() as u64);
    put(fs, &manifest)
}

/// Makes the last segment of the log of the closed store `fs` `len` bytes long, by a hole, and puts a group
/// where the log goes on, unless `group` is 0, that says of itself that it takes `group` bytes, with a right header.
///
/// # Errors
///
/// Whatever the disk reports.
pub fn inflate_segment(fs: &dyn FileSystem, len: u64, group: u64) -> Result<(), Box<dyn Error>> {
    let mut manifest = newest(fs)?;
    manifest.log.clean = false;
    let at = manifest.log.open;
    let header = GroupHeader {
        life: at.key.life(at.segment),
        store: manifest.store,
        segment: at.segment,
        offset: at.offset,
        number: at.group,
        len: group,
        first: manifest.log.seq,
        last: manifest.log.seq,
        durable: at.group,
        frames: 1,
        end: GroupEnd::Point,
        body_checksum: 0,
    };
    let file = std::fs::File::options().write(true).open(fs.display(at.segment.file()))?;
    file.set_len(len)?;
    if group > 0 {
        file.write_all_at(&header.encode(), at.offset.0)?;
    }
    put(fs, &manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FileKind;
    use crate::{Accumulator, Config, Hash};

    /// The files of a small store.
    fn files() -> Vec<(FileKind, Vec<u8>)> {
        let disk = SimDisk::new();
        let config = Config::new("simulated").file_system(std::sync::Arc::new(disk.clone()));
        let store: Accumulator =
            Accumulator::open(config.wal_segment_bytes(8192).unwrap()).unwrap();
        store.insert_many(&(0..40).map(|byte| [byte; 32]).collect::<Vec<Hash>>()).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        disk.files().iter().map(|file| (file.kind, disk.read(*file).unwrap())).collect()
    }

    /// A field changed, then the checksums fixed: what stands behind the checksums is reached.
    #[test]
    fn what_was_written_decodes_and_what_was_fixed_does_again() {
        let files = files();
        let mut seen = 0;
        for (kind, mut bytes) in files {
            match kind {
                FileKind::Manifest => {
                    assert!(manifest(&bytes));
                    bytes[60] ^= 1;
                    assert!(!manifest(&bytes));
                    fix_manifest(&mut bytes);
                    assert!(manifest(&bytes));
                }
                FileKind::Part => {
                    assert!(part(&bytes));
                    bytes[5000] ^= 1;
                    bytes[20] ^= 1;
                    assert!(!part(&bytes));
                    fix_part(&mut bytes);
                    assert!(part(&bytes));
                }
                // The store has no tree with an index.
                FileKind::Index => panic!("an index without a tree that has one"),
                FileKind::Segment => {
                    let len = usize::from(u16::from_le_bytes([bytes[72], bytes[73]]));
                    let Some(bytes) = bytes.get_mut(..len).filter(|bytes| !bytes.is_empty()) else {
                        continue;
                    };
                    assert!(group(bytes));
                    bytes[200] ^= 1;
                    bytes[56] ^= 1;
                    assert!(!group(bytes));
                    fix_group(bytes);
                    assert!(group(bytes));
                }
            }
            seen += 1;
        }
        assert!(seen >= 3, "{seen} files");
    }
}
