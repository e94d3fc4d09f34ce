//! Bytes of an input in order, with their offsets.
//!
//! # Invariants
//!
//! - The buffer grows with what was read, never with what a length in the input says alone.
//! - What was returned is used up: the next call returns what is behind it.

use std::io::{self, Read};

use super::malformed::{Failure, Malformed};

/// How much is read at once.
const STEP: usize = 64 << 10;

/// Reads an input in pieces of given lengths, or in lines.
pub(super) struct Input<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer the bytes are that were read and not returned.
    begin: usize,
    end: usize,
    /// The offset of the first of them in the input.
    offset: u64,
    ended: bool,
    /// Lines that were returned.
    lines: u64,
}

/// A line without its newline.
pub(super) struct Line<'a> {
    pub(super) number: u64,
    /// The offset of its first byte.
    pub(super) at: u64,
    pub(super) text: &'a [u8],
}

impl<R: Read> Input<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), begin: 0, end: 0, offset: 0, ended: false, lines: 0 }
    }

    /// The offset of the byte that comes next.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes were read and not used up.
    pub(super) fn unused(&self) -> usize {
        self.end - self.begin
    }

    /// The next `count` bytes, or fewer at the end of the input. They are not used up.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.begin < count && !self.ended {
            self.read_more()?;
        }
        Ok(&self.buffer[self.begin..self.end.min(self.begin.saturating_add(count))])
    }

    /// As [`peek`](Self::peek), and the bytes are used up.
    pub(super) fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let found = self.peek(count)?.len();
        let at = self.begin;
        self.begin += found;
        self.offset += found as u64;
        Ok(&self.buffer[at..at + found])
    }

    /// The next line, or nothing at the end. A last line needs no newline.
    pub(super) fn line(&mut self, most: usize) -> Result<Option<Line<'_>>, Failure> {
        let mut searched = 0;
        let length = loop {
            let found = &self.buffer[self.begin + searched..self.end];
            if let Some(at) = found.iter().position(|byte| *byte == b'\n') {
                break searched + at;
            }
            searched = self.end - self.begin;
            if self.ended || searched > most {
                break searched;
            }
            self.read_more()?;
        };
        if length > most {
            let (line, at) = (self.lines + 1, self.offset);
            return Err(Malformed::LongLine { line, at, most }.into());
        }
        if self.begin == self.end {
            return Ok(None);
        }
        self.lines += 1;
        let (number, at) = (self.lines, self.offset);
        let text = self.take((length + 1).min(self.end - self.begin))?;
        Ok(Some(Line { number, at, text: text.strip_suffix(b"\n").unwrap_or(text) }))
    }

    fn read_more(&mut self) -> io::Result<()> {
        if self.begin > 0 {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.buffer.len() < self.end + STEP {
            self.buffer.resize(self.end + STEP, 0);
        }
        let read = self.source.read(&mut self.buffer[self.end..])?;
        self.end += read;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn pieces_come_in_order_with_their_offsets_whatever_a_read_gives() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * STEP + 7).collect();
        for step in [1, 5, STEP, usize::MAX] {
            let mut input = Input::new(Slow(&bytes, step));
            assert_eq!(input.peek(3).unwrap(), &bytes[..3]);
            assert_eq!(input.take(0).unwrap(), b"");
            assert_eq!(input.take(2 * STEP).unwrap(), &bytes[..2 * STEP]);
            assert_eq!((input.offset(), input.take(1).unwrap()), (2 * STEP as u64, &[0][..]));
            assert_eq!(input.take(usize::MAX).unwrap(), &bytes[2 * STEP + 1..]);
            assert_eq!((input.offset(), input.take(9).unwrap()), (bytes.len() as u64, &b""[..]));
        }
    }

    #[test]
    fn lines_come_with_their_numbers_and_offsets_and_a_long_one_is_refused() {
        for step in [1, 2, 100] {
            let mut input = Input::new(Slow(b"one\n\nthree\nfour", step));
            let mut found = Vec::new();
            while let Some(Line { number, at, text }) = input.line(5).unwrap() {
                found.push((number, at, text.to_vec()));
            }
            let lines = [(1, 0, "one"), (2, 4, ""), (3, 5, "three"), (4, 11, "four")];
            assert_eq!(found, lines.map(|(n, at, text)| (n, at, text.as_bytes().to_vec())));
            let mut input = Input::new(Slow(b"one\nthree", step));
            assert!(input.line(4).unwrap().is_some());
            let error = input.line(4).err();
            let Some(Failure::Malformed(Malformed::LongLine { line: 2, at: 4, most: 4 })) = error
            else {
                panic!("{error:?}");
            };
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut input = Input::new(io::repeat(b'x'));
        assert!(input.line(1 << 20).is_err());
        assert!(input.end < (1 << 20) + 2 * STEP);
    }
}
