//! The entries of a part as untrusted bytes, for the scrub.

use std::ops::Range;

use super::bundles::Record;
use super::compress;
use super::format::{PART_BLOCK, RECORD_LEN};
use super::raw::RawPart;
use crate::entry::{BUNDLE, Framing, StoredBundle, bundle_end};
use crate::error::{Damage, Problem};
use crate::ids::ByteOffset;

/// Bytes read at a time.
const STEP: u64 = 1 << 20;

/// The entries of a part that are in one bundle, as its directory describes them.
#[derive(Clone, Debug)]
pub(crate) struct RawBundle {
    /// The leaves of the entries.
    pub(crate) leaves: Range<u64>,
    /// Where the entries are in the file, as stored.
    at: u64,
    record: Record,
    pub(crate) framing: Framing,
}

impl RawBundle {
    /// The blocks with the entries.
    pub(crate) fn blocks(&self) -> Range<u64> {
        self.at / PART_BLOCK..(self.at + self.record.stored).div_ceil(PART_BLOCK)
    }
}

impl RawPart {
    /// The numbers of the bundles that have an entry in this part.
    pub(crate) fn bundles(&self) -> Range<u64> {
        let first = self.reference.from / BUNDLE;
        let count = self.layout().entries.map_or(0, |area| area.bundles);
        first..first.saturating_add(count)
    }

    /// The leaves of this part in bundle `number`.
    pub(crate) fn leaves_of_bundle(&self, number: u64) -> Range<u64> {
        let first = number.saturating_mul(BUNDLE);
        first.max(self.reference.from)..bundle_end(first).min(self.reference.file_end())
    }

    /// The blocks with the record of bundle `number`.
    pub(crate) fn record_blocks(&self, number: u64) -> Range<u64> {
        let at = self.record_at(number);
        at / PART_BLOCK..(at + RECORD_LEN as u64).div_ceil(PART_BLOCK)
    }

    fn record_at(&self, number: u64) -> u64 {
        let directory = self.layout().entries.map_or(0, |area| area.directory * PART_BLOCK);
        directory + (number - self.bundles().start) * RECORD_LEN as u64
    }

    /// Bundle `number`, which must be one of this part's.
    pub(crate) fn bundle(&self, number: u64) -> Result<RawBundle, Box<Damage>> {
        let at = self.record_at(number);
        let wrong = || {
            let expected = "one that fits the part's entries";
            Damage::field(&self.path, at, "record of a bundle", expected, "another")
        };
        let (area, framing) = self.layout().entries.zip(self.identity.entries).ok_or_else(wrong)?;
        let mut bytes = [0; RECORD_LEN];
        self.read_bytes(at, &mut bytes)?;
        let record = Record::decode(&bytes, &area).ok_or_else(wrong)?;
        let at = area.block * PART_BLOCK + record.start;
        Ok(RawBundle { leaves: self.leaves_of_bundle(number), at, record, framing })
    }

    /// Calls `out` with the framed entries of `bundle`, in pieces of any length.
    pub(crate) fn read_bundle(
        &self,
        bundle: &RawBundle,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Box<Damage>> {
        let Record { stored, len, compressed, .. } = bundle.record;
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < stored {
            let step = (stored - at).min(STEP);
            let from = bytes.len();
            bytes.resize(from + usize::try_from(step).unwrap_or(0), 0);
            self.read_bytes(bundle.at + at, &mut bytes[from..])?;
            at += step;
            if !compressed {
                out(&bytes);
                bytes.clear();
            }
        }
        if compressed {
            let wrong = || {
                let expected = format!("zstd of {len} bytes");
                Damage::field(&self.path, bundle.at, "bundle of entries", expected, "other bytes")
            };
            let entries = compress::decompress(&bytes, len).ok().flatten().ok_or_else(wrong)?;
            out(&entries);
        }
        Ok(())
    }

    /// `bundle` as it is stored, perhaps compressed. `None` if it is so long that it is read in pieces, as
    /// [`read_bundle`](Self::read_bundle) does. Such a bundle is not compressed.
    pub(crate) fn stored_bundle(
        &self,
        bundle: &RawBundle,
    ) -> Result<Option<StoredBundle>, Box<Damage>> {
        let Record { stored, len, compressed, marks, .. } = bundle.record;
        if stored > compress::LONGEST {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(stored).unwrap_or(0)];
        self.read_bytes(bundle.at, &mut bytes)?;
        Ok(Some(StoredBundle { bytes, compressed, len, marks }))
    }

    fn read_bytes(&self, at: u64, out: &mut [u8]) -> Result<(), Box<Damage>> {
        let missing = || Damage::new(&self.path, at, Problem::Missing);
        let file = self.file().ok_or_else(missing)?;
        let unreadable = |error: std::io::Error| {
            Damage::new(&self.path, at, Problem::Unreadable { reason: error.to_string() })
        };
        file.read_at(ByteOffset(at), out).map_err(unreadable)
    }
}
