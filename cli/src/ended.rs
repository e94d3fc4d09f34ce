//! What ends the input before its end: a record that is no leaf, or a signal.

use std::fmt;

use duramen::inspect::count;

use crate::signals::Signal;

/// The longest record that is taken as data, in bytes. It bounds the memory that an input without separators can ask
/// for.
pub(crate) const MAX_RECORD: usize = 64 << 20;

/// What an input is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// What ends with a newline.
    Line,
    /// What ends with a zero byte.
    Record,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Record => "record",
        })
    }
}

/// A record that is no leaf, and where it stands: lines and records count from 1, bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    #[error("line {line} has {}, a leaf has 64 hexadecimal digits", count(*length, "character", "characters"))]
    NotHexLength { line: u64, length: usize },

    #[error("line {line} has {found} at character {character}, which is not a hexadecimal digit")]
    NotHexDigit { line: u64, character: usize, found: String },

    #[error("line {line} is not base64: {why}")]
    NotBase64 { line: u64, why: String },

    #[error("line {line} is not an entry in JSON: {why}")]
    NotJson { line: u64, why: String },

    #[error("line {line} has a leaf without its entry, which the tree keeps")]
    NoEntry { line: u64 },

    #[error("{unit} {number} is longer than {most} bytes")]
    TooLong { unit: Unit, number: u64, most: usize },

    #[error(
        "{unit} {number} has {}{}, an entry of the tree has at most {most}",
        count(*length, "byte", "bytes"),
        if *ended { "" } else { " or more" }
    )]
    LongEntry {
        unit: Unit,
        number: u64,
        /// The bytes of the record, or of its beginning if its end was not read.
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

/// A record that is no leaf, or more of one, and how far the input was read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// What is wrong with it. `None` for the rest of a record that was too long.
    pub(crate) error: Option<InputError>,
    /// Its bytes, as far as they were read, without the separator.
    pub(crate) bytes: Vec<u8>,
    /// Whether these are its last bytes.
    pub(crate) ended: bool,
    /// How many of the bytes that were fed are used up.
    pub(crate) consumed: usize,
}

/// A signal that ended the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) signal: Signal,
    /// Bytes of a record that had begun and not ended. It is no leaf.
    pub(crate) begun: usize,
}

impl Asked {
    pub(crate) fn in_words(self, records: u64, name: &str) -> String {
        let (records, are) =
            (count(records, "record", "records"), if records == 1 { "is" } else { "are" });
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
