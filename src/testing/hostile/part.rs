//! Parts from arbitrary bytes, for fuzzing.

use std::sync::Arc;

use crate::checksum::{block_checksum, checksum};
use crate::column::{Archive, EntryBytes, EntryHash};
use crate::config::ReadMode;
use crate::entry::Framing;
use crate::fs::{FileName, FileSystem};
use crate::merkle::{Blake3, Hasher};
use crate::part::{
    Footer, PART_BLOCK_LEN, Part, PartIdentity, PartLayout, PartRef, PartSet, seal_of,
};
use crate::testing::sim::SimDisk;
use crate::tree_spec::ENTRY_SETTINGS_LEN;

const SEAL_AT: usize = PART_BLOCK_LEN - 8;

/// Opens the part, with a manifest that names it as its own header does, and reads every node, in both
/// modes, which must answer alike. Returns whether it opened.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let Some(identity) = bytes.first_chunk().and_then(|block| PartIdentity::parse(block).ok())
    else {
        return false;
    };
    let Some(footer) = bytes.last_chunk() else { return false };
    if identity.number.0 > FileName::LAST_NUMBER {
        return false;
    }
    let len = bytes.len() as u64;
    let PartIdentity { number, from, to, .. } = identity;
    let entry_bytes = entry_bytes(bytes);
    let reference = PartRef {
        number,
        from,
        to,
        len,
        checksum: seal_of(footer),
        entry_bytes,
        erased: 0,
        hidden: 0,
    };
    let disk = SimDisk::new();
    disk.put(number.file(), bytes);
    let disk: Arc<dyn FileSystem> = Arc::new(disk);
    let [mapped, read] = [ReadMode::Mapped, ReadMode::Pread]
        .map(|mode| Part::open(&disk, &identity, reference, mode).ok().map(Arc::new));
    assert_eq!(mapped.is_some(), read.is_some());
    let (Some(mapped), Some(read)) = (mapped, read) else { return false };
    let Some(layout) = PartLayout::of(&identity, entry_bytes) else { return true };
    let mut node = [[0; 32]];
    for column in &layout.columns {
        for index in column.first..column.end {
            let one = mapped.read(column.level, index, &mut node).is_ok().then_some(node);
            let other = read.read(column.level, index, &mut node).is_ok().then_some(node);
            assert_eq!(one, other);
        }
    }
    if identity.entries.is_some() {
        let [mapped, read] = [mapped, read].map(|part| PartSet::new(None, vec![part]));
        let bytes = |entry: EntryBytes| entry.get().to_vec();
        let hash: EntryHash<'_> = &|entry| Blake3.leaf(entry);
        for index in from..to {
            let one = mapped.entry(index, hash).ok().map(bytes);
            assert_eq!(one, read.entry(index, hash).ok().map(bytes));
        }
        for begin in [from, from + (to - from) / 2] {
            let run = |set: &PartSet| {
                set.entry_run(begin, to, hash).ok().map(|run| (bytes(run.bytes), run.end))
            };
            assert_eq!(run(&mapped), run(&read));
        }
    }
    true
}

/// The bytes of the entries that the footer of a part claims.
pub(super) fn entry_bytes(part: &[u8]) -> u64 {
    let footer = part.last_chunk().and_then(|block| Footer::parse(block).ok());
    footer.map_or(0, |footer| footer.entry_bytes)
}

/// The layout of a part as long as `bytes`, and the bytes of its entries: those that the footer claims, right
/// checksum or not, if the part is then as long as that.
fn layout_of(identity: &PartIdentity, bytes: &[u8]) -> Option<(u64, PartLayout)> {
    let footer = bytes.last_chunk::<PART_BLOCK_LEN>()?;
    let claimed = u64::from_le_bytes(*footer[40..].first_chunk()?);
    let blocks = (0..=bytes.len() as u64).step_by(PART_BLOCK_LEN);
    std::iter::once(claimed).chain(blocks).find_map(|entry_bytes| {
        let layout = PartLayout::of(identity, entry_bytes)?;
        (layout.len() == bytes.len() as u64).then_some((entry_bytes, layout))
    })
}

/// Settings of a tree with the entries that a part with this header has.
pub(super) fn settings(identity: &PartIdentity) -> [u8; ENTRY_SETTINGS_LEN] {
    let longest: u32 = match identity.entries {
        None => return [0; ENTRY_SETTINGS_LEN],
        Some(Framing::Short) => u32::from(u16::MAX),
        Some(Framing::Long) => 1 << 20,
    };
    let [a, b, c, d] = longest.to_le_bytes();
    [1, 0, 0, 0, a, b, c, d]
}

/// Gives a part of a length that fits its header the checksums that fit its bytes.
pub(crate) fn fix(bytes: &mut [u8]) {
    let Some(header) = bytes.first_chunk_mut::<PART_BLOCK_LEN>() else { return };
    let sum = checksum(&header[..SEAL_AT]);
    header[SEAL_AT..].copy_from_slice(&sum.to_le_bytes());
    let header = *header;
    let Ok(identity) = PartIdentity::parse(&header) else { return };
    let Some((entry_bytes, layout)) = layout_of(&identity, bytes) else { return };
    let block = |number: u64| usize::try_from(number).unwrap_or(0) * PART_BLOCK_LEN;
    let mut covered = block(1);
    let mut tables = 0;
    for &(first, _) in &layout.tables {
        let (data, table) = bytes.split_at_mut(block(first));
        let sums = data[covered..].chunks(PART_BLOCK_LEN).map(block_checksum);
        for (slot, sum) in table.chunks_mut(4).zip(sums) {
            slot.copy_from_slice(&sum.to_le_bytes());
        }
        tables = block_checksum(&table[..PART_BLOCK_LEN]);
        covered = block(first);
    }
    let (number, len, header) = (identity.number, layout.len(), seal_of(&header));
    let footer = Footer { number, len, header, tables, entry_bytes };
    let at = bytes.len() - PART_BLOCK_LEN;
    bytes[at..].copy_from_slice(&footer.block());
}

/// The header of the part that `identity` describes, the length of its file, and a footer for that.
pub(crate) fn frame(
    identity: &PartIdentity,
    entry_bytes: u64,
) -> Option<([u8; PART_BLOCK_LEN], u64, [u8; PART_BLOCK_LEN])> {
    let len = PartLayout::of(identity, entry_bytes)?.len();
    let block = identity.header();
    let (number, header) = (identity.number, seal_of(&block));
    let footer = Footer { number, len, header, tables: 0, entry_bytes };
    Some((block, len, footer.block()))
}

/// The checksum of a footer.
pub(crate) fn seal(footer: &[u8; PART_BLOCK_LEN]) -> u64 {
    seal_of(footer)
}
