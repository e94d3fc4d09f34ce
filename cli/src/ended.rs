//! What ends the input before its end: a record that is no leaf, or a signal.

use std::fmt;

use duramen::inspect::count;

use crate::signals::Signal;

/// The longest line that is taken as data, in bytes. It bounds the memory that a file without
/// newlines can ask for.
pub(crate) const MAX_LINE: usize = 64 << 20;

/// A record that is no leaf, and where it stands: lines count from 1, bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    #[error("line {line} has {}, a leaf has 64 hexadecimal digits", count(*length, "character", "characters"))]
    NotHexLength { line: u64, length: usize },

    #[error("line {line} has {found} at character {character}, which is not a hexadecimal digit")]
    NotHexDigit { line: u64, character: usize, found: String },

    #[error("line {line} is longer than {MAX_LINE} bytes")]
    LongLine { line: u64 },

    #[error(
        "line {line} has {}{}, an entry of the tree has at most {most}",
        count(*length, "byte", "bytes"),
        if *ended { "" } else { " or more" }
    )]
    LongEntry {
        line: u64,
        /// The bytes of the line, or of its beginning if its end was not read.
        length: usize,
        ended: bool,
        most: u32,
    },

    #[error(
        "the input ends at byte {end}, {} into the leaf that starts at byte {start}: \
         raw leaves have 32 bytes",
        count(*extra, "byte", "bytes")
    )]
    CutLeaf { start: u64, end: u64, extra: usize },
}

/// A signal that ended the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) signal: Signal,
    /// Bytes of a record that had begun and not ended. It is no leaf.
    pub(crate) begun: usize,
}

impl Asked {
    pub(crate) fn in_words(self, appended: u64, name: &str) -> String {
        let (records, are) =
            (count(appended, "record", "records"), if appended == 1 { "is" } else { "are" });
        let mut line = format!(
            "{} ended the input: {records} of {name} {are} appended and durable",
            self.signal.name()
        );
        if self.begun > 0 {
            line += &format!(", {} dropped", self.begun_in_words());
        }
        line
    }

    fn begun_in_words(self) -> String {
        count(self.begun, "byte of a begun record is", "bytes of a begun record are").to_string()
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended the input", self.signal.name())?;
        match self.begun {
            0 => Ok(()),
            _ => write!(f, ", {} dropped", self.begun_in_words()),
        }
    }
}
