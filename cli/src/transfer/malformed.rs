//! Why the input of an import ended early: what is wrong with it, and where. Bytes count from 0, lines from 1.

use std::fmt;
use std::io;

use crate::ended::Asked;
use crate::error::Error;
use crate::signals::Signal;

/// Why bytes are no export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it is empty")]
    Empty,

    #[error("what begins at byte 0 is neither an export nor a line of JSON")]
    Unknown,

    #[error("what begins at byte 0 is not an export in frames")]
    NotFramed,

    #[error("the format at byte 8 has version {found}, this program knows version {known}")]
    Version { found: u16, known: u16 },

    /// The bytes before `start` are whole.
    #[error("it ends at byte {end}, within {part} that begins at byte {start}")]
    Torn { part: Part, start: u64, end: u64 },

    /// All of it is whole, and there is more of the export.
    #[error("it ends at byte {end}, before the end frame")]
    NoEnd { end: u64 },

    #[error("{part} that begins at byte {start} has a wrong checksum")]
    Checksum { part: Part, start: u64 },

    #[error("{what} at byte {at}: {found}, expected {expected}")]
    Field { what: &'static str, at: u64, found: String, expected: String },

    #[error("more follows behind the end, at byte {at}")]
    Behind { at: u64 },

    #[error("line {line}, which begins at byte {at}, is longer than {most} bytes")]
    LongLine { line: u64, at: u64, most: usize },

    #[error("line {line}, at byte {at}: {why}")]
    Line { line: u64, at: u64, why: String },
}

/// A part of an export in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Header,
    Block,
    End,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header",
            Self::Block => "the block",
            Self::End => "the end frame",
        })
    }
}

/// Why a piece of input was not read.
#[derive(Debug)]
pub(super) enum Failure {
    Read(io::Error),
    /// The program was asked to end, and waits for no more input.
    Asked(Signal),
    Malformed(Malformed),
}

impl Failure {
    /// The error, with the name of the input.
    pub(super) fn of(self, name: &str) -> Error {
        let name = name.to_owned();
        match self {
            Self::Read(source) => Error::Read { name, source },
            Self::Asked(signal) => Error::Asked(Asked { signal, begun: 0 }),
            Self::Malformed(source) => Error::Malformed { name, source },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        error.downcast().map_or_else(Self::Read, Self::Asked)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
