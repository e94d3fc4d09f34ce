//! The bytes of one file, by sectors.
//!
//! # Invariant
//!
//! A sector that is not kept is all zeros, and so is every byte past the length: a file that grows
//! shows zeros, never what it held before it was cut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// The bytes that are written whole or not, unless they are torn.
pub(super) const SECTOR: usize = 512;
const SECTOR_U64: u64 = SECTOR as u64;

/// One sector's bytes, shared between the images that hold it.
pub(super) type Sector = Arc<[u8; SECTOR]>;

static ZEROS: LazyLock<Sector> = LazyLock::new(|| Arc::new([0; SECTOR]));

/// A sector's position in its file.
pub(super) type SectorIndex = u64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    len: u64,
    sectors: BTreeMap<SectorIndex, Sector>,
}

impl Image {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut image = Self { len: bytes.len() as u64, ..Self::default() };
        for piece in pieces(0, bytes.len()) {
            let mut sector = [0; SECTOR];
            sector[piece.within.clone()].copy_from_slice(&bytes[piece.bytes.clone()]);
            image.put(piece.index, Arc::new(sector));
        }
        image
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn sector(&self, index: SectorIndex) -> Sector {
        self.sectors.get(&index).unwrap_or(&ZEROS).clone()
    }

    /// The sectors from `from` on that are not all zeros.
    pub(super) fn kept(&self, from: SectorIndex) -> impl Iterator<Item = SectorIndex> {
        self.sectors.range(from..).map(|(index, _)| *index)
    }

    pub(super) fn put(&mut self, index: SectorIndex, sector: Sector) {
        if sector == *ZEROS {
            self.sectors.remove(&index);
        } else {
            self.sectors.insert(index, sector);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let end = len.div_ceil(SECTOR_U64);
        // Not without a need: it counts all that stay.
        if self.sectors.last_key_value().is_some_and(|(last, _)| *last >= end) {
            self.sectors.split_off(&end);
        }
        let last = len / SECTOR_U64;
        if let Some(sector) = self.sectors.get(&last) {
            let cut = cut(sector, len);
            self.put(last, cut);
        }
        self.len = len;
    }

    /// Fills `buf` from `at`. What lies past the end reads as zeros: the caller looks at the length.
    pub(super) fn read(&self, at: u64, buf: &mut [u8]) {
        buf.fill(0);
        let end = at.saturating_add(buf.len() as u64);
        for (index, sector) in self.sectors.range(at / SECTOR_U64..end.div_ceil(SECTOR_U64)) {
            let start = index * SECTOR_U64;
            let from = start.max(at);
            let to = (start + SECTOR_U64).min(end);
            buf[distance(at, from)..distance(at, to)]
                .copy_from_slice(&sector[distance(start, from)..distance(start, to)]);
        }
    }
}

/// The sector that holds byte `len`, with that byte and all after it zeroed.
pub(super) fn cut(sector: &Sector, len: u64) -> Sector {
    let mut bytes = **sector;
    bytes[distance(len - len % SECTOR_U64, len)..].fill(0);
    Arc::new(bytes)
}

/// The part of a write that lies in one sector.
pub(super) struct Piece {
    pub(super) index: SectorIndex,
    /// The bytes of the sector.
    pub(super) within: Range<usize>,
    /// The bytes of the write.
    pub(super) bytes: Range<usize>,
}

/// Splits a write of `len` bytes at `at` into sectors. Its end fits in 64 bits.
pub(super) fn pieces(at: u64, len: usize) -> impl Iterator<Item = Piece> {
    let end = at + len as u64;
    let sectors = if len == 0 { 0..0 } else { at / SECTOR_U64..end.div_ceil(SECTOR_U64) };
    sectors.map(move |index| {
        let start = index * SECTOR_U64;
        let from = start.max(at);
        let to = start.saturating_add(SECTOR_U64).min(end);
        Piece {
            index,
            within: distance(start, from)..distance(start, to),
            bytes: distance(at, from)..distance(at, to),
        }
    })
}

/// The distance between two bytes of one buffer, which fits in memory.
#[expect(clippy::cast_possible_truncation, reason = "both ends lie in one buffer")]
fn distance(from: u64, to: u64) -> usize {
    (to - from) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3000_u64, proptest::collection::vec(0..3_u8, 0..1500))
                .prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0..5000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn an_image_is_a_vector_of_bytes(steps in proptest::collection::vec(step(), 0..12)) {
            let mut image = Image::default();
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        for piece in pieces(at, bytes.len()) {
                            let mut sector = *image.sector(piece.index);
                            sector[piece.within].copy_from_slice(&bytes[piece.bytes]);
                            image.put(piece.index, Arc::new(sector));
                        }
                        let end = at + bytes.len() as u64;
                        if !bytes.is_empty() {
                            image.set_len(image.len().max(end));
                            let end = usize::try_from(end).unwrap();
                            model.resize(model.len().max(end), 0);
                            model[end - bytes.len()..end].copy_from_slice(&bytes);
                        }
                    }
                    Step::SetLen(len) => {
                        image.set_len(len);
                        model.resize(usize::try_from(len).unwrap(), 0);
                    }
                }
                prop_assert_eq!(image.len(), model.len() as u64);
                prop_assert_eq!(&Image::from_bytes(&model), &image);
                for (from, to) in [(0, model.len()), (model.len() / 3, model.len() / 2)] {
                    let mut read = vec![7; to - from];
                    image.read(from as u64, &mut read);
                    prop_assert_eq!(&read, &model[from..to]);
                }
            }
        }
    }
}
