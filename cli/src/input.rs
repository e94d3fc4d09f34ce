//! From files to bytes, and from bytes to leaves, a buffer at a time: the parser keeps at most one unfinished
//! record, so an input of any size takes constant memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::{Hash, Hasher};

use crate::args::InputKind;
use crate::ended::InputError;
use crate::error::{Error, name_of};
use crate::hex;
use crate::lines::Lines;
use crate::signals::{self, Signal, Woken};

/// Whether standard input has a reader. It can be read once: a second reader would take its end for an
/// empty input, or share the bytes with the first.
static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// The bytes of a file or of standard input.
pub(crate) struct Source {
    /// The name for messages.
    pub(crate) name: String,
    /// The length in bytes, where it is known beforehand.
    pub(crate) len: Option<u64>,
    file: File,
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    End,
    /// Nothing: the program was asked to end.
    Asked(Signal),
}

impl Source {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (name, opened) = if path.as_os_str() == "-" {
            let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            ("standard input".to_owned(), file)
        } else {
            (name_of(path), File::open(path))
        };
        let looked_at = || {
            let file = opened?;
            let meta = file.metadata()?;
            if meta.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((meta, file))
        };
        let (meta, file) = match looked_at() {
            Ok(found) => found,
            Err(source) => return Err(Error::Read { name, source }),
        };
        // A path such as /dev/stdin is standard input as well. A file is read from its start however often.
        if (path.as_os_str() == "-" || !meta.is_file() && is_stdin(&meta))
            && STDIN_TAKEN.swap(true, Ordering::SeqCst)
        {
            return Err(Error::Usage("standard input can be read only once".into()));
        }
        let len = (meta.is_file() && path.as_os_str() != "-").then_some(meta.len());
        Ok(Self { name, len, file })
    }

    /// Reads what there is, waiting only if there is nothing.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        match Read::read(self, buffer) {
            Ok(0) => Ok(None),
            Ok(read) => Ok(Some(&buffer[..read])),
            Err(source) => Err(self.fail(source)),
        }
    }

    /// As [`read`](Self::read), until the program is asked to end.
    pub(crate) fn read_until_asked<'a>(
        &mut self,
        buffer: &'a mut [u8],
    ) -> Result<Piece<'a>, Error> {
        match signals::wait_for(self.file.as_fd()).map_err(|source| self.fail(source))? {
            Woken::Asked(signal) => Ok(Piece::Asked(signal)),
            Woken::Input => Ok(self.read(buffer)?.map_or(Piece::End, Piece::Bytes)),
        }
    }

    fn wait(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn fail(&self, source: io::Error) -> Error {
        Error::Read { name: self.name.clone(), source }
    }
}

/// Reads what there is, waiting only if there is nothing.
impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The descriptor is not blocking, because of another program that has it as well.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                read => return read,
            }
        }
    }
}

/// Whether this is the very pipe, terminal or device that standard input is.
fn is_stdin(meta: &std::fs::Metadata) -> bool {
    let stdin =
        io::stdin().as_fd().try_clone_to_owned().and_then(|stdin| File::from(stdin).metadata());
    stdin.is_ok_and(|stdin| (stdin.dev(), stdin.ino()) == (meta.dev(), meta.ino()))
}

/// A whole file or standard input, with its name. More than `most` bytes are refused.
pub(crate) fn read_all(path: &Path, most: u64) -> Result<(String, Vec<u8>), Error> {
    let mut source = Source::open(path)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while let Some(piece) = source.read(&mut buffer)? {
        if bytes.len() as u64 + piece.len() as u64 > most {
            return Err(Error::TooLong { name: source.name, most });
        }
        bytes.extend_from_slice(piece);
    }
    Ok((source.name, bytes))
}

/// The leaf of a whole file or of standard input, of any length.
pub(crate) fn leaf(path: &Path, hasher: &dyn Hasher) -> Result<Hash, Error> {
    let mut source = Source::open(path)?;
    let mut leaf = hasher.leaf_in_pieces();
    let mut buffer = vec![0; 256 << 10];
    while let Some(piece) = source.read(&mut buffer)? {
        leaf.update(piece);
    }
    Ok(leaf.finish())
}

/// Cuts bytes into records and makes each a leaf.
pub(crate) struct Parser<'a> {
    kind: InputKind,
    hasher: &'a dyn Hasher,
    lines: Lines,
    /// The raw leaf that the bytes so far have begun but not ended.
    unfinished: Vec<u8>,
    /// Raw leaves that have ended.
    raw: u64,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(kind: InputKind, hasher: &'a dyn Hasher) -> Self {
        Self { kind, hasher, lines: Lines::new(), unfinished: Vec::new(), raw: 0 }
    }

    /// Adds the leaves that `bytes` complete to `leaves`. After an error, `leaves` has those before
    /// the bad record, and the parser is used up.
    pub(crate) fn feed(&mut self, bytes: &[u8], leaves: &mut Vec<Hash>) -> Result<(), InputError> {
        let (kind, hasher) = (self.kind, self.hasher);
        if kind == InputKind::Raw {
            self.feed_raw(bytes, leaves);
            return Ok(());
        }
        self.lines.feed(bytes, |number, line| {
            leaves.push(leaf_of(kind, hasher, number, line)?);
            Ok(())
        })
    }

    /// Ends the input: a last line needs no newline, a last raw leaf must be whole.
    pub(crate) fn finish(&mut self, leaves: &mut Vec<Hash>) -> Result<(), InputError> {
        let (kind, hasher) = (self.kind, self.hasher);
        if !self.unfinished.is_empty() {
            let start = self.raw * 32;
            let extra = self.unfinished.len();
            return Err(InputError::CutLeaf { start, end: start + extra as u64, extra });
        }
        self.lines.finish(|number, line| {
            leaves.push(leaf_of(kind, hasher, number, line)?);
            Ok(())
        })
    }

    /// How many bytes there are of a record that has begun and not ended.
    pub(crate) fn begun(&self) -> usize {
        self.lines.begun() + self.unfinished.len()
    }

    fn feed_raw(&mut self, mut bytes: &[u8], leaves: &mut Vec<Hash>) {
        let before = leaves.len();
        if !self.unfinished.is_empty() {
            let missing = (32 - self.unfinished.len()).min(bytes.len());
            self.unfinished.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if let Ok(leaf) = Hash::try_from(self.unfinished.as_slice()) {
                leaves.push(leaf);
                self.unfinished.clear();
            }
        }
        let (whole, rest) = bytes.as_chunks::<32>();
        leaves.extend_from_slice(whole);
        self.unfinished.extend_from_slice(rest);
        self.raw += (leaves.len() - before) as u64;
    }
}

/// The leaf of a line.
fn leaf_of(
    kind: InputKind,
    hasher: &dyn Hasher,
    number: u64,
    line: &[u8],
) -> Result<Hash, InputError> {
    match kind {
        InputKind::Hex => hex_leaf(line, number),
        InputKind::Lines | InputKind::Raw => Ok(hasher.leaf(line)),
    }
}

/// A line of hexadecimal digits; a carriage return before the newline is not part of it.
fn hex_leaf(text: &[u8], line: u64) -> Result<Hash, InputError> {
    let digits = text.strip_suffix(b"\r").unwrap_or(text);
    if let Some(at) = digits.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        let found = format!("'{}'", digits[at].escape_ascii());
        return Err(InputError::NotHexDigit { line, character: at + 1, found });
    }
    hex::decode(digits).ok_or(InputError::NotHexLength { line, length: digits.len() })
}

#[cfg(test)]
mod tests {
    use duramen::Blake3;

    use super::*;

    /// Feeds `input` in pieces of `step` bytes.
    fn parse(kind: InputKind, input: &[u8], step: usize) -> (Vec<Hash>, Result<(), InputError>) {
        let mut parser = Parser::new(kind, &Blake3);
        let mut leaves = Vec::new();
        for piece in input.chunks(step) {
            if let Err(error) = parser.feed(piece, &mut leaves) {
                return (leaves, Err(error));
            }
        }
        let end = parser.finish(&mut leaves);
        (leaves, end)
    }

    #[test]
    fn lines_are_the_same_leaves_wherever_the_reads_cut_them() {
        let text = b"one\n\ntwo\r\nthree";
        let want: Vec<Hash> =
            [&b"one"[..], b"", b"two\r", b"three"].iter().map(|data| Blake3.leaf(data)).collect();
        for step in 1..=text.len() {
            assert_eq!(parse(InputKind::Lines, text, step), (want.clone(), Ok(())));
        }
        assert_eq!(parse(InputKind::Lines, b"a\n", 9), (vec![Blake3.leaf(b"a")], Ok(())));
        assert_eq!(parse(InputKind::Lines, b"", 9), (vec![], Ok(())));
    }

    #[test]
    fn a_bad_hex_line_is_named_and_the_leaves_before_it_are_kept() {
        let good = "0aF9".repeat(16);
        let leaf: Hash = hex::decode(good.as_bytes()).unwrap();
        let cases = [
            (format!("{good}\n{good}\r\nabc\n"), InputError::NotHexLength { line: 3, length: 3 }),
            (format!("{good}\n{good}\n\n"), InputError::NotHexLength { line: 3, length: 0 }),
            (
                format!("{good}\n{good}\n{}g{good}", &good[..5]),
                InputError::NotHexDigit { line: 3, character: 6, found: "'g'".into() },
            ),
            (
                format!("{good}\n{good}\n0x{}", &good[2..]),
                InputError::NotHexDigit { line: 3, character: 2, found: "'x'".into() },
            ),
        ];
        for (text, error) in cases {
            for step in [1, 7, text.len()] {
                let got = parse(InputKind::Hex, text.as_bytes(), step);
                assert_eq!(got, (vec![leaf, leaf], Err(error.clone())), "{text:?}");
            }
        }
    }

    #[test]
    fn raw_bytes_are_cut_every_32_and_a_cut_leaf_is_named() {
        let bytes: Vec<u8> = (0..100).collect();
        for step in 1..=100 {
            let (leaves, end) = parse(InputKind::Raw, &bytes, step);
            assert_eq!(leaves.as_flattened(), &bytes[..96]);
            assert_eq!(end, Err(InputError::CutLeaf { start: 96, end: 100, extra: 4 }));
            assert_eq!(parse(InputKind::Raw, &bytes[..96], step).1, Ok(()));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut parser = Parser::new(InputKind::Lines, &Blake3);
        let piece = vec![b'x'; 1 << 20];
        let mut leaves = Vec::new();
        parser.feed(b"short\n", &mut leaves).unwrap();
        let error = (0..=64).find_map(|_| parser.feed(&piece, &mut leaves).err());
        assert_eq!(error, Some(InputError::LongLine { line: 2 }));
        assert_eq!(leaves.len(), 1);
    }
}
