//! Cuts bytes into lines, or into records that end with a zero byte, a buffer at a time: at most one unfinished record
//! is kept.
//!
//! # Invariant
//!
//! Every byte of the input is in exactly one record, in its separator, or in the bytes of a [`Bad`] one. After a bad
//! record the next one can be read, from the byte that the `Bad` names on.

use crate::ended::{Bad, InputError, Unit};

/// Cuts bytes into records.
pub(crate) struct Lines {
    limit: Limit,
    unit: Unit,
    /// The record that the bytes so far have begun but not ended.
    unfinished: Vec<u8>,
    /// The record that the last bytes ended and earlier ones began.
    joined: Vec<u8>,
    /// Records that have ended, good or bad.
    ended: u64,
    /// Whether the bytes are those of a record that was too long.
    skipping: bool,
}

/// How long a record may be.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// So many bytes.
    Bytes(usize),
    /// As long as the tree's longest entry.
    Entry(u32),
}

impl Lines {
    pub(crate) fn new(unit: Unit, limit: Limit) -> Self {
        let (unfinished, joined) = (Vec::new(), Vec::new());
        Self { limit, unit, unfinished, joined, ended: 0, skipping: false }
    }

    /// Calls `each` with every record that `bytes` complete, without its separator, and with its number from 1 on.
    ///
    /// Stops at a bad record. Those before it were handed to `each`. The next call goes on behind it, with the bytes
    /// that are left.
    pub(crate) fn feed<'a>(
        &'a mut self,
        bytes: &'a [u8],
        mut each: impl FnMut(u64, &'a [u8]) -> Result<(), InputError>,
    ) -> Result<(), Box<Bad>> {
        let Self { limit, unit, unfinished, joined, ended, skipping } = self;
        let separator = unit.separator();
        let next = |from: usize| bytes[from..].iter().position(|byte| *byte == separator);
        let bad = |error, record: &[u8], ended, consumed| {
            Box::new(Bad { error, bytes: record.to_vec(), ended, consumed })
        };
        let mut start = 0;
        if *skipping && !bytes.is_empty() {
            let Some(end) = next(0) else { return Err(bad(None, bytes, false, bytes.len())) };
            *skipping = false;
            *ended += 1;
            return Err(bad(None, &bytes[..end], true, end + 1));
        }
        if let (false, Some(end)) = (unfinished.is_empty(), next(0)) {
            unfinished.extend_from_slice(&bytes[..end]);
            *joined = std::mem::take(unfinished);
            *ended += 1;
            start = end + 1;
            let checked = limit.check(*unit, *ended, joined.len(), true);
            let joined: &'a [u8] = joined;
            if let Err(error) = checked.and_then(|()| each(*ended, joined)) {
                return Err(bad(Some(error), joined, true, start));
            }
        }
        while let Some(end) = next(start) {
            let record = &bytes[start..start + end];
            *ended += 1;
            start += end + 1;
            let checked = limit.check(*unit, *ended, record.len(), true);
            if let Err(error) = checked.and_then(|()| each(*ended, record)) {
                return Err(bad(Some(error), record, true, start));
            }
        }
        let begun = &bytes[start..];
        let length = unfinished.len() + begun.len();
        if let Err(error) = limit.check(*unit, *ended + 1, length, false) {
            let record = [std::mem::take(unfinished).as_slice(), begun].concat();
            *skipping = true;
            return Err(bad(Some(error), &record, false, bytes.len()));
        }
        unfinished.extend_from_slice(begun);
        Ok(())
    }

    /// Ends the input, and calls `each` with a last record that has no separator.
    pub(crate) fn finish<'a>(
        &'a mut self,
        each: impl FnOnce(u64, &'a [u8]) -> Result<(), InputError>,
    ) -> Result<(), Box<Bad>> {
        if self.skipping {
            self.skipping = false;
            return Err(Box::new(Bad { error: None, bytes: Vec::new(), ended: true, consumed: 0 }));
        }
        if self.unfinished.is_empty() {
            return Ok(());
        }
        self.ended += 1;
        self.joined = std::mem::take(&mut self.unfinished);
        let joined: &'a [u8] = &self.joined;
        each(self.ended, joined).map_err(|error| {
            let bytes = joined.to_vec();
            Box::new(Bad { error: Some(error), bytes, ended: true, consumed: 0 })
        })
    }

    /// How many bytes there are of a record that has begun and not ended.
    pub(crate) fn begun(&self) -> usize {
        self.unfinished.len()
    }
}

impl Unit {
    /// The byte behind each record.
    pub(crate) fn separator(self) -> u8 {
        match self {
            Self::Line => b'\n',
            Self::Record => 0,
        }
    }
}

impl Limit {
    /// Checks a record of which `length` bytes are there so far, or which has `ended` with them.
    pub(crate) fn check(
        self,
        unit: Unit,
        number: u64,
        length: usize,
        ended: bool,
    ) -> Result<(), InputError> {
        match self {
            Self::Bytes(most) if length > most => Err(InputError::TooLong { unit, number, most }),
            Self::Entry(most) if length as u64 > u64::from(most) => {
                Err(InputError::LongEntry { unit, number, length, ended, most })
            }
            Self::Bytes(_) | Self::Entry(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::MAX_RECORD;

    /// A record behind its number.
    type Numbered = (u64, Vec<u8>);

    fn lines() -> Lines {
        Lines::new(Unit::Line, Limit::Bytes(MAX_RECORD))
    }

    fn of_entries(longest: u32) -> Lines {
        Lines::new(Unit::Line, Limit::Entry(longest))
    }

    /// The records that `input` has, fed in pieces of `step` bytes, and the first error.
    fn cut(mut lines: Lines, input: &[u8], step: usize) -> (Vec<Numbered>, Result<(), InputError>) {
        let mut cut = Vec::new();
        for piece in input.chunks(step) {
            let mut each = |number, line: &[u8]| {
                cut.push((number, line.to_vec()));
                Ok(())
            };
            if let Err(bad) = lines.feed(piece, &mut each) {
                return (cut, Err(bad.error.unwrap()));
            }
        }
        let end = lines.finish(|number, line| {
            cut.push((number, line.to_vec()));
            Ok(())
        });
        (cut, end.map_err(|bad| bad.error.unwrap()))
    }

    #[test]
    fn lines_are_the_same_wherever_the_reads_cut_them() {
        let text = b"one\n\n\ntwo\r\n\0\xff\nthree";
        let want: Vec<_> =
            (1..).zip(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec)).collect();
        let zeros: Vec<u8> =
            text.iter().map(|byte| [*byte, 0][usize::from(*byte == b'\n')]).collect();
        for step in 1..=text.len() {
            assert_eq!(cut(lines(), text, step), (want.clone(), Ok(())));
            assert_eq!(cut(of_entries(5), text, step), (want.clone(), Ok(())));
            let by_zeros = Lines::new(Unit::Record, Limit::Entry(5));
            let (records, end) = cut(by_zeros, &zeros, step);
            assert_eq!((records.len(), end), (want.len() + 1, Ok(())));
            assert_eq!(records[3].1, b"two\r");
        }
        assert_eq!(cut(lines(), b"", 1), (vec![], Ok(())));
        assert_eq!(cut(lines(), b"a\n", 1), (vec![(1, b"a".to_vec())], Ok(())));
    }

    #[test]
    fn an_entry_that_is_too_long_is_named_and_the_lines_before_it_are_kept() {
        let want = vec![(1, b"12345".to_vec()), (2, Vec::new())];
        for text in ["12345\n\n123456\n1\n", "12345\n\n123456"] {
            for step in 1..=text.len() {
                let (lines, end) = cut(of_entries(5), text.as_bytes(), step);
                assert_eq!(lines, want, "{text:?} {step}");
                let Err(InputError::LongEntry { number: 3, length: 6, most: 5, .. }) = end else {
                    panic!("{text:?} {step}: {end:?}");
                };
            }
        }
        let long = |length, ended| {
            Err(InputError::LongEntry { unit: Unit::Line, number: 2, length, ended, most: 2 })
        };
        assert_eq!(cut(of_entries(2), b"\n123456\n", 9).1, long(6, true));
        assert_eq!(cut(of_entries(2), b"\n123456\n", 4).1, long(3, false));
    }

    #[test]
    fn a_line_that_never_ends_is_refused_before_it_fills_the_memory() {
        let piece = vec![b'x'; 1 << 20];
        let mut lines = of_entries(65_535);
        lines.feed(b"short\nx", |_, _| Ok(())).unwrap();
        let bad = lines.feed(&piece, |_, _| Ok(())).unwrap_err();
        let length = (1 << 20) + 1;
        let (unit, number, most) = (Unit::Line, 2, 65_535);
        let long = InputError::LongEntry { unit, number, length, ended: false, most };
        assert_eq!(bad.error, Some(long));
        assert!(lines.unfinished.capacity() < 1 << 20);
    }

    #[test]
    fn behind_a_bad_line_the_next_one_is_read_and_no_byte_is_lost() {
        let text = b"a\nbad\nb\nfar too long\n\nbad\nlonger than that";
        for step in 1..=text.len() {
            let mut lines = of_entries(8);
            let (mut good, mut rejected, mut errors) = (Vec::new(), Vec::new(), 0);
            let mut pieces: Vec<Option<&[u8]>> = text.chunks(step).map(Some).collect();
            pieces.push(None);
            for piece in pieces {
                let mut rest = piece.unwrap_or_default();
                loop {
                    let each = |number, line: &[u8]| match line {
                        b"bad" => Err(InputError::NoEntry { line: number }),
                        line => {
                            good.push((number, line.to_vec()));
                            Ok(())
                        }
                    };
                    let fed = match piece {
                        Some(_) => lines.feed(rest, each),
                        None => lines.finish(each),
                    };
                    let Err(bad) = fed else { break };
                    errors += usize::from(bad.error.is_some());
                    rejected.extend(bad.bytes);
                    if bad.ended {
                        rejected.push(b'\n');
                    }
                    rest = &rest[bad.consumed..];
                }
            }
            let want = [(1, b"a".to_vec()), (3, b"b".to_vec()), (5, Vec::new())];
            assert_eq!(good, want, "{step}");
            assert_eq!(rejected, b"bad\nfar too long\nbad\nlonger than that\n", "{step}");
            assert_eq!(errors, 4, "{step}");
        }
    }
}
