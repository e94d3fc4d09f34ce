//! Cuts bytes into lines, a buffer at a time: at most one unfinished line is kept.

use crate::ended::{InputError, MAX_LINE};

/// Cuts bytes into lines.
pub(crate) struct Lines {
    limit: Limit,
    /// The line that the bytes so far have begun but not ended.
    unfinished: Vec<u8>,
    /// The line that the last bytes ended and earlier ones began.
    joined: Vec<u8>,
    /// Lines that have ended, good or bad.
    ended: u64,
}

/// How long a line may be.
#[derive(Clone, Copy)]
enum Limit {
    /// As long as memory allows.
    Line,
    /// As long as the tree's longest entry.
    Entry(u32),
}

impl Lines {
    /// Lines of up to [`MAX_LINE`] bytes.
    pub(crate) fn new() -> Self {
        Self::with(Limit::Line)
    }

    /// Lines that become entries of a tree, whose longest has `longest` bytes.
    pub(crate) fn of_entries(longest: u32) -> Self {
        Self::with(Limit::Entry(longest))
    }

    fn with(limit: Limit) -> Self {
        Self { limit, unfinished: Vec::new(), joined: Vec::new(), ended: 0 }
    }

    /// Calls `each` with every line that `bytes` complete, without its newline, and with its number from 1
    /// on. After an error the lines are used up.
    pub(crate) fn feed<'a>(
        &'a mut self,
        mut bytes: &'a [u8],
        mut each: impl FnMut(u64, &'a [u8]) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        let Self { limit, unfinished, joined, ended } = self;
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        if let (Some(end), false) = (newline, unfinished.is_empty()) {
            *ended += 1;
            limit.check(*ended, unfinished.len() + end, true)?;
            unfinished.extend_from_slice(&bytes[..end]);
            *joined = std::mem::take(unfinished);
            bytes = &bytes[end + 1..];
            each(*ended, joined)?;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(line) = piece.strip_suffix(b"\n") {
                *ended += 1;
                limit.check(*ended, line.len(), true)?;
                each(*ended, line)?;
            } else {
                limit.check(*ended + 1, unfinished.len() + piece.len(), false)?;
                unfinished.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// Ends the input, and calls `each` with a last line that has no newline.
    pub(crate) fn finish<'a>(
        &'a mut self,
        each: impl FnOnce(u64, &'a [u8]) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        self.ended += 1;
        self.joined = std::mem::take(&mut self.unfinished);
        each(self.ended, &self.joined)
    }

    /// How many bytes there are of a line that has begun and not ended.
    pub(crate) fn begun(&self) -> usize {
        self.unfinished.len()
    }
}

impl Limit {
    /// Checks a line of which `length` bytes are there so far, or which has `ended` with them.
    fn check(self, line: u64, length: usize, ended: bool) -> Result<(), InputError> {
        match self {
            Self::Line if length > MAX_LINE => Err(InputError::LongLine { line }),
            Self::Entry(most) if length as u64 > u64::from(most) => {
                Err(InputError::LongEntry { line, length, ended, most })
            }
            Self::Line | Self::Entry(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line behind its number.
    type Numbered = (u64, Vec<u8>);

    /// The lines that `input` has, fed in pieces of `step` bytes, and how it ended.
    fn cut(mut lines: Lines, input: &[u8], step: usize) -> (Vec<Numbered>, Result<(), InputError>) {
        let mut cut = Vec::new();
        for piece in input.chunks(step) {
            let mut each = |number, line: &[u8]| {
                cut.push((number, line.to_vec()));
                Ok(())
            };
            if let Err(error) = lines.feed(piece, &mut each) {
                return (cut, Err(error));
            }
        }
        let end = lines.finish(|number, line| {
            cut.push((number, line.to_vec()));
            Ok(())
        });
        (cut, end)
    }

    #[test]
    fn lines_are_the_same_wherever_the_reads_cut_them() {
        let text = b"one\n\n\ntwo\r\n\0\xff\nthree";
        let want: Vec<_> =
            (1..).zip(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec)).collect();
        for step in 1..=text.len() {
            assert_eq!(cut(Lines::new(), text, step), (want.clone(), Ok(())));
            assert_eq!(cut(Lines::of_entries(5), text, step), (want.clone(), Ok(())));
        }
        assert_eq!(cut(Lines::new(), b"", 1), (vec![], Ok(())));
        assert_eq!(cut(Lines::new(), b"a\n", 1), (vec![(1, b"a".to_vec())], Ok(())));
    }

    #[test]
    fn an_entry_that_is_too_long_is_named_and_the_lines_before_it_are_kept() {
        let want = vec![(1, b"12345".to_vec()), (2, Vec::new())];
        for text in ["12345\n\n123456\n1\n", "12345\n\n123456"] {
            for step in 1..=text.len() {
                let (lines, end) = cut(Lines::of_entries(5), text.as_bytes(), step);
                assert_eq!(lines, want, "{text:?} {step}");
                let Err(InputError::LongEntry { line: 3, length: 6, most: 5, .. }) = end else {
                    panic!("{text:?} {step}: {end:?}");
                };
            }
        }
        let (_, end) = cut(Lines::of_entries(2), b"\n123456\n", 9);
        assert_eq!(end, Err(InputError::LongEntry { line: 2, length: 6, ended: true, most: 2 }));
        let (_, end) = cut(Lines::of_entries(2), b"\n123456\n", 4);
        assert_eq!(end, Err(InputError::LongEntry { line: 2, length: 3, ended: false, most: 2 }));
    }

    #[test]
    fn a_line_that_never_ends_is_refused_before_it_fills_the_memory() {
        let piece = vec![b'x'; 1 << 20];
        let mut lines = Lines::of_entries(65_535);
        lines.feed(b"short\nx", |_, _| Ok(())).unwrap();
        let error = lines.feed(&piece, |_, _| Ok(())).unwrap_err();
        let length = (1 << 20) + 1;
        assert_eq!(error, InputError::LongEntry { line: 2, length, ended: false, most: 65_535 });
        assert!(lines.unfinished.capacity() < 1 << 20);
    }
}
