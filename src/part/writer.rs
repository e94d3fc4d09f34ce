//! Writes a part from any source of nodes and entries.

use std::sync::Arc;

use super::blocks::{Blocks, Output};
use super::entry_writer::{Writing, copy_blocks, expected_bytes};
use super::filter::Filtered;
use super::format::{
    Footer, NODES_PER_BLOCK, PART_BLOCK, PART_BLOCK_LEN, PartIdentity, PartLayout, PartRef,
    SUMS_PER_BLOCK, seal_of,
};
use super::raw::RawPart;
use crate::checksum::block_checksum;
use crate::entry::{Compression, EntrySource, Erasures};
use crate::error::{Error, Result};
use crate::fs::{File, FileSystem};
use crate::merkle::{Hash, NodeIndex, NodeSource};
use crate::mutant::mutant;

/// Nodes copied at a time: 1 MiB.
const STEP_NODES: u64 = 1 << 15;
const _: () = assert!(STEP_NODES.is_multiple_of(NODES_PER_BLOCK));

/// The entries of a part.
#[derive(Clone, Copy)]
pub(crate) enum PartEntries<'a> {
    /// From a source, without the data of erased entries.
    Stored { source: &'a dyn EntrySource, compression: Compression, erasures: &'a Erasures },
    /// The blocks of an old part with the same leaves, intact or not.
    Copied(&'a RawPart),
}

/// Writes the part of `identity` under its temporary name. Syncs the file if `durable`. The caller
/// renames the file.
#[cfg(test)]
pub(crate) fn write_part<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    source: &S,
    entries: Option<PartEntries<'_>>,
    durable: bool,
) -> Result<PartRef>
where
    S: NodeSource,
    Error: From<S::Error>,
{
    write_part_with(fs, identity, source, entries, durable, |_, sum| sum)
}

/// As [`write_part`], but `sum` can replace the checksum of each block of the columns. `sum` gets the
/// number of the block and the checksum of its bytes.
pub(crate) fn write_part_with<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    source: &S,
    entries: Option<PartEntries<'_>>,
    durable: bool,
    sum: impl Fn(u64, u32) -> u32,
) -> Result<PartRef>
where
    S: NodeSource,
    Error: From<S::Error>,
{
    let (reference, file) = build_part_with(fs, identity, source, entries, &|| false, &sum)?;
    if durable {
        sync_part(fs, identity, &*file)?;
    }
    Ok(reference)
}

/// Makes a part durable that was just built.
pub(crate) fn sync_part(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    file: &dyn File,
) -> Result<()> {
    let name = identity.number.file().tmp();
    file.sync().map_err(|error| Error::io("sync", fs.display(name), error))
}

/// Writes the part of `identity` under its temporary name. The caller syncs and renames the file. While
/// `hurry` returns true, a new step is written while the one before is still under way. The part is then
/// done sooner, and the log's syncs wait longer.
pub(crate) fn build_part<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    source: &S,
    entries: Option<PartEntries<'_>>,
    hurry: &dyn Fn() -> bool,
) -> Result<(PartRef, Arc<dyn File>)>
where
    S: NodeSource,
    Error: From<S::Error>,
{
    build_part_with(fs, identity, source, entries, hurry, &|_, sum| sum)
}

fn build_part_with<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    source: &S,
    entries: Option<PartEntries<'_>>,
    hurry: &dyn Fn() -> bool,
    sum: &dyn Fn(u64, u32) -> u32,
) -> Result<(PartRef, Arc<dyn File>)>
where
    S: NodeSource,
    Error: From<S::Error>,
{
    let name = identity.number.file().tmp();
    let path = fs.display(name);
    let layout = |entry_bytes| {
        PartLayout::of(identity, entry_bytes).ok_or_else(|| {
            let error = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            Error::io("lay out", &path, error)
        })
    };
    let filtered = match (&entries, identity.entries) {
        (Some(PartEntries::Stored { source, compression, erasures }), Some(framing)) => {
            let copies_all = mutant!(fs, ErasedCopied);
            Some((
                framing,
                Filtered { source: *source, framing, erasures, copies_all },
                *compression,
            ))
        }
        _ => None,
    };
    let erased = match (&entries, &filtered) {
        (_, Some((_, filtered, _))) => filtered.erasures.count_in(identity.from..identity.to),
        (Some(PartEntries::Copied(part)), None) => part.reference.erased,
        _ => 0,
    };
    let expected = match (&entries, &filtered) {
        (_, Some((_, source, compression))) => expected_bytes(identity, source, *compression)?,
        (Some(PartEntries::Copied(part)), None) => part.reference.entry_bytes,
        _ => 0,
    };
    let reserved = layout(expected)?;
    let file = fs.create(name).map_err(|error| Error::io("create", &path, error))?;
    let mut out = Output { file: &*file, path: &path, at: 0, under_way: None, hurry };
    let reserve = out.file.allocate(reserved.len());
    reserve.map_err(|error| Error::io("reserve space in", &path, error))?;

    let header = identity.header();
    out.write(&header)?;
    let mut blocks = Blocks { out, sums: Vec::new(), sum };
    let mut nodes: Vec<Hash> = Vec::new();
    for column in &reserved.columns {
        let mut at = column.first;
        while at < column.end {
            let len = (column.end - at).min(STEP_NODES);
            let padded = len.next_multiple_of(NODES_PER_BLOCK);
            nodes.clear();
            nodes.resize(usize::try_from(padded).unwrap_or(0), [0; 32]);
            let wanted = &mut nodes[..usize::try_from(len).unwrap_or(0)];
            source.read_nodes(column.level, NodeIndex(at), wanted)?;
            blocks.write(nodes.as_flattened())?;
            at += len;
        }
    }
    let entry_bytes = match (&entries, filtered) {
        (_, Some((framing, source, compression))) => {
            let writing = Writing { framing, source: &source, compression, path: &path };
            writing.write_all(identity.from..identity.to, &mut blocks)?
        }
        (Some(PartEntries::Copied(part)), None) => {
            copy_blocks(part, &mut blocks)?;
            part.reference.entry_bytes
        }
        _ => 0,
    };
    let layout = layout(entry_bytes)?;
    let Blocks { mut out, mut sums, .. } = blocks;
    let mut last_sum = 0;
    for _ in &layout.tables {
        let mut table: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        table.resize(table.len().next_multiple_of(PART_BLOCK_LEN), 0);
        sums = table.chunks(PART_BLOCK_LEN).map(block_checksum).collect();
        out.write(&table)?;
        last_sum = sums.first().copied().unwrap_or(0);
    }
    debug_assert_eq!(SUMS_PER_BLOCK * 4, PART_BLOCK);
    let footer = Footer {
        number: identity.number,
        len: layout.len(),
        header: seal_of(&header),
        tables: last_sum,
        entry_bytes,
    }
    .block();
    out.write(&footer)?;
    let reference = PartRef {
        number: identity.number,
        from: identity.from,
        to: identity.to,
        hidden: 0,
        len: layout.len(),
        checksum: seal_of(&footer),
        entry_bytes,
        erased,
    };
    Ok((reference, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Columns, Layout};
    use crate::fs::Access;
    use crate::ids::ByteOffset;
    use crate::ids::{StoreId, TreeId};
    use crate::merkle::{Arity, Blake3};
    use crate::testing::sim::SimDisk;

    #[test]
    fn a_part_has_the_bytes_of_the_golden_file() {
        let (columns, mut leaves, mut nodes) = Columns::empty(Layout::new(Arity::Two));
        leaves.append(&(0..7u8).map(|byte| [byte; 32]).collect::<Vec<_>>());
        nodes.hash_to(&Blake3, 7);
        let identity = PartIdentity {
            store: StoreId([3; 16]),
            tree: TreeId(1),
            hasher: "blake3".into(),
            arity: Arity::Two,
            number: crate::ids::PartId(5),
            from: 2,
            to: 7,
            entries: None,
        };
        let disk = SimDisk::new();
        disk.make_dirs().unwrap();
        let reference = write_part(&disk, &identity, &columns.view(), None, true).unwrap();
        let file = disk.open(identity.number.file().tmp(), Access::Read).unwrap();
        assert_eq!(file.len().unwrap(), reference.len);
        for (number, name) in
            ["header", "level-0", "level-1", "level-2", "table", "footer"].into_iter().enumerate()
        {
            let mut block = vec![0; PART_BLOCK_LEN];
            file.read_at(ByteOffset(number as u64 * PART_BLOCK), &mut block).unwrap();
            crate::testing::golden::check(&format!("part-{name}.hex"), &block);
        }
        assert_eq!(reference.len, 6 * PART_BLOCK);
    }
}
