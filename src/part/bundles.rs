//! The directory of a part's entries: a record for each bundle. Pure.

use std::ops::Range;

use super::compress;
use super::format::{EntryArea, RECORD_LEN};
use crate::codec::{Decoder, Encoder};
use crate::entry::MARKS;

/// The bundle is compressed with zstd.
const COMPRESSED: u32 = 1;

/// Where and how the entries of one bundle are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Bytes of entries before it in the part, as stored.
    pub(super) start: u64,
    /// Bytes of the bundle as stored.
    pub(super) stored: u64,
    /// Bytes of the bundle's entries with their lengths.
    pub(super) len: u64,
    pub(super) compressed: bool,
    /// See [`Marks`](crate::entry::Marks).
    pub(super) marks: [u64; MARKS],
}

const _: () = assert!(RECORD_LEN == 8 + 8 + 8 + 4 + 4 + 8 * MARKS);

impl Record {
    pub(super) fn encode(&self, out: &mut Encoder) {
        out.u64(self.start).u64(self.stored).u64(self.len);
        out.u32(if self.compressed { COMPRESSED } else { 0 }).u32(0);
        for mark in self.marks {
            out.u64(mark);
        }
    }

    /// `None` if the fields contradict each other or the `area` that the record is in.
    pub(super) fn decode(bytes: &[u8; RECORD_LEN], area: &EntryArea) -> Option<Self> {
        let mut fields = Decoder(bytes);
        let (start, stored, len) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let compressed = match fields.u32()? {
            0 => false,
            COMPRESSED => true,
            _ => return None,
        };
        let 0 = fields.u32()? else { return None };
        let mut marks = [0; MARKS];
        for mark in &mut marks {
            *mark = fields.u64()?;
        }
        let within = start.checked_add(stored)? <= area.bytes
            && (!compressed || len <= compress::LONGEST && stored < len);
        let rising = marks.is_sorted() && marks.last().is_none_or(|last| *last <= len);
        let record = Self { start, stored, len, compressed, marks };
        (within && rising && (compressed || stored == len)).then_some(record)
    }
}

/// Where stride `number` of a bundle lies in the `area`, from its record. `None` if the bundle is compressed or the
/// numbers that were read do not fit the area. Reads no others.
#[inline]
pub(super) fn stride(
    record: &[u8; RECORD_LEN],
    area: &EntryArea,
    number: usize,
) -> Option<Range<u64>> {
    let (words, _) = record.as_chunks();
    let word = |at: usize| words.get(at).map(|word| u64::from_le_bytes(*word));
    let (start, stored, len, flags) = (word(0)?, word(1)?, word(2)?, word(3)?);
    let mark = |number: usize| if number < MARKS { word(4 + number) } else { Some(len) };
    let from = match number.checked_sub(1) {
        None => 0,
        Some(before) => mark(before)?,
    };
    let to = mark(number)?;
    let fits = from <= to && to <= len && start.checked_add(len)? <= area.bytes;
    (flags == 0 && stored == len && fits).then(|| start + from..start + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: EntryArea = EntryArea { block: 1, bytes: 5000, directory: 3, bundles: 1 };

    fn bytes(record: &Record) -> [u8; RECORD_LEN] {
        let mut out = Encoder::default();
        record.encode(&mut out);
        out.0.try_into().unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_written() {
        for compressed in [false, true] {
            let marks = std::array::from_fn(|at| at as u64 * 10);
            let len = if compressed { 5000 } else { 4000 };
            let record = Record { start: 1000, stored: 4000, len, compressed, marks };
            assert_eq!(Record::decode(&bytes(&record), &AREA), Some(record));
        }
    }

    #[test]
    fn a_record_that_contradicts_itself_is_refused() {
        let right =
            Record { start: 1000, stored: 4000, len: 4000, compressed: false, marks: [7; MARKS] };
        let mut falling = right.marks;
        falling[3] = 6;
        let wrong = [
            Record { start: 1001, ..right },
            Record { start: u64::MAX, ..right },
            Record { len: 4001, ..right },
            Record { marks: falling, ..right },
            Record { marks: [4001; MARKS], ..right },
            Record { compressed: true, ..right },
            Record { compressed: true, len: compress::LONGEST + 1, ..right },
        ];
        for record in wrong {
            assert_eq!(Record::decode(&bytes(&record), &AREA), None, "{record:?}");
        }
        for at in 24..32 {
            let mut unknown = bytes(&right);
            unknown[at] = 2;
            assert_eq!(Record::decode(&unknown, &AREA), None, "byte {at}");
        }
    }

    #[test]
    fn a_stride_lies_where_the_whole_record_says() {
        let marks = std::array::from_fn(|at| 10 + at as u64 * 200);
        let record = Record { start: 1000, stored: 4000, len: 4000, compressed: false, marks };
        let ends: Vec<_> = marks.into_iter().chain([4000]).collect();
        let mut from = 0;
        for (number, to) in ends.into_iter().enumerate() {
            assert_eq!(stride(&bytes(&record), &AREA, number), Some(1000 + from..1000 + to));
            from = to;
        }
    }

    #[test]
    fn a_stride_of_a_record_that_contradicts_itself_or_is_compressed_is_none_or_in_the_area() {
        let marks = std::array::from_fn(|at| at as u64 * 100);
        let right = Record { start: 1000, stored: 4000, len: 4000, compressed: false, marks };
        let numbers = 0..=MARKS + 1;
        let none = [
            Record { start: 1001, ..right },
            Record { start: u64::MAX, ..right },
            Record { len: 4001, ..right },
            Record { stored: 3999, len: 4000, compressed: true, ..right },
        ];
        for record in none {
            for number in numbers.clone() {
                assert_eq!(stride(&bytes(&record), &AREA, number), None, "{record:?}");
            }
        }
        // One mark is wrong, which the strides on both sides of it have.
        for (at, wrong) in [(3, 100), (3, 401), (3, 4001), (3, u64::MAX)] {
            let mut other = right;
            other.marks[at] = wrong;
            for number in numbers.clone() {
                let found = stride(&bytes(&other), &AREA, number);
                if let Some(found) = &found {
                    assert!(found.start <= found.end && (1000..=5000).contains(&found.end));
                }
                if number != at && number != at + 1 {
                    assert_eq!(found, stride(&bytes(&right), &AREA, number));
                }
            }
            assert!(
                [at, at + 1].iter().any(|number| stride(&bytes(&other), &AREA, *number).is_none())
            );
        }
        for at in 24..32 {
            let mut unknown = bytes(&right);
            unknown[at] = 2;
            assert!(numbers.clone().all(|number| stride(&unknown, &AREA, number).is_none()));
        }
    }
}
