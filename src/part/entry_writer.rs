//! Writes the entries of a part, bundle by bundle, and their directory.

use std::ops::Range;
use std::path::Path;

use super::blocks::Blocks;
use super::bundles::Record;
use super::compress;
use super::format::{PART_BLOCK_LEN, PartIdentity, RECORD_LEN};
use super::raw::RawPart;
use crate::codec::Encoder;
use crate::entry::Compression;
use crate::entry::{EntrySource, Framing, Marks, StoredBundle, bundle_end};
use crate::error::{Damage, Result};

/// Bytes that are gathered before they are written: 1 MiB.
const STEP: usize = 1 << 20;
const _: () = assert!(STEP.is_multiple_of(PART_BLOCK_LEN));

/// The ranges of `leaves` that lie in one bundle each.
fn bundles(leaves: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = leaves.start;
    std::iter::from_fn(move || {
        let from = at;
        at = bundle_end(from).min(leaves.end);
        (from < leaves.end).then_some(from..at)
    })
}

/// Bytes of the entries of a part, if that is known before they are written. Else 0.
pub(super) fn expected_bytes(
    identity: &PartIdentity,
    source: &dyn EntrySource,
    compression: Compression,
) -> Result<u64> {
    if compression != Compression::None {
        return Ok(0);
    }
    bundles(identity.from..identity.to)
        .try_fold(0, |sum: u64, range| Ok(sum.saturating_add(source.entry_bytes(range)?)))
}

/// Copies the entries and the directory of `part` block by block, with zeros as padding. A block that
/// cannot be read becomes zeros.
pub(super) fn copy_blocks(part: &RawPart, out: &mut Blocks<'_>) -> Result<()> {
    let mut block = [0; PART_BLOCK_LEN];
    for number in part.entry_blocks() {
        if part.read(number, &mut block).is_err() {
            block = [0; PART_BLOCK_LEN];
        }
        out.write(&part.without_padding(number, &block).unwrap_or(block))?;
    }
    Ok(())
}

/// Entries that are being written.
pub(super) struct Writing<'a> {
    pub(super) framing: Framing,
    pub(super) source: &'a dyn EntrySource,
    pub(super) compression: Compression,
    /// The part, for messages.
    pub(super) path: &'a Path,
}

impl Writing<'_> {
    /// Writes the entries of `leaves`, and the directory behind them. Returns the bytes of the entries as
    /// they are stored.
    pub(super) fn write_all(&self, leaves: Range<u64>, blocks: &mut Blocks<'_>) -> Result<u64> {
        let mut out = Padded { blocks, gathered: Vec::new(), len: 0 };
        let mut directory = Encoder::default();
        for range in bundles(leaves) {
            self.write_bundle(range, &mut out)?.encode(&mut directory);
        }
        let len = out.len;
        out.pad()?;
        debug_assert!(directory.0.len().is_multiple_of(RECORD_LEN));
        for step in directory.0.chunks(STEP) {
            out.add(step)?;
        }
        out.pad()?;
        Ok(len)
    }

    fn write_bundle(&self, range: Range<u64>, out: &mut Padded<'_, '_>) -> Result<Record> {
        let Self { framing, source, compression, path } = *self;
        let start = out.len;
        if let Some(stored) = source.stored(range.clone())? {
            let StoredBundle { bytes, compressed, len, marks } = stored;
            out.add(&bytes)?;
            return Ok(Record { start, stored: bytes.len() as u64, len, compressed, marks });
        }
        let wanted = range.end - range.start;
        let mut marks = Marks::new(framing);
        let compress = compression != Compression::None
            && source.entry_bytes(range.clone())? <= compress::LONGEST;
        let mut bundle = Vec::new();
        source.read_entries(range, &mut |bytes| {
            marks.add(bytes);
            if compress {
                bundle.extend_from_slice(bytes);
                return Ok(());
            }
            out.add(bytes)
        })?;
        if marks.count() != Some(wanted) {
            // A defect of this crate: the source checks what it reads.
            let found = marks.count().map_or("others".to_owned(), |count| count.to_string());
            return Err(Damage::field(path, start, "entries of a bundle", wanted, found).into());
        }
        let smaller = if compress { compress::compress(&bundle, compression) } else { None };
        let compressed = smaller.is_some();
        out.add(&smaller.unwrap_or(bundle))?;
        let stored = out.len - start;
        Ok(Record { start, stored, len: marks.len(), compressed, marks: marks.finish() })
    }
}

/// Gathers bytes and writes whole blocks.
struct Padded<'a, 'b> {
    blocks: &'a mut Blocks<'b>,
    gathered: Vec<u8>,
    /// Bytes so far, without padding.
    len: u64,
}

impl Padded<'_, '_> {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        self.len += rest.len() as u64;
        while self.gathered.len() + rest.len() >= STEP {
            let (now, later) = rest.split_at(STEP - self.gathered.len());
            self.gathered.extend_from_slice(now);
            self.blocks.write(&self.gathered)?;
            self.gathered.clear();
            rest = later;
        }
        self.gathered.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the last block with zeros.
    fn pad(&mut self) -> Result<()> {
        self.gathered.resize(self.gathered.len().next_multiple_of(PART_BLOCK_LEN), 0);
        self.blocks.write(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}
