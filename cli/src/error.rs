//! The program's errors, each printed in one line.

mod refusal;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use duramen::inspect::{Printable, count, is_printable};

pub(crate) use refusal::Refusal;

use crate::ended::{Asked, InputError};
use crate::status::Status;
use crate::transfer::Malformed;

/// Everything that ends the program early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A check came out negative.
    #[error("refused")]
    Refused {
        #[source]
        reason: Refusal,
    },

    #[error("cannot read {name}")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },

    #[error("cannot write {name}")]
    Write {
        name: String,
        #[source]
        source: io::Error,
    },

    /// Some of the input is appended, the rest is not.
    #[error(
        "stopped after {} of {name}, {}; the tree has {}: {failures}",
        count(*records, "leaf", "leaves"),
        how_durable(*records, *durable),
        count(*size, "leaf", "leaves")
    )]
    Stopped {
        name: String,
        /// How many records of the input are in the tree.
        records: u64,
        /// How many of them are known to be durable, from the first on.
        durable: u64,
        size: u64,
        failures: Failures,
    },

    /// A signal ended the input.
    #[error("{0}")]
    Asked(Asked),

    /// The reader of acknowledgements was given up after a signal.
    #[error(
        "after {signal} the reader of standard output took nothing: {} acknowledged, the others are not",
        count(*taken, "leaf is", "leaves are")
    )]
    NotAcknowledged { signal: &'static str, taken: u64 },

    /// The bucket was given up after a signal.
    #[error(
        "after {signal} the bucket took nothing: of what is durable here it has {}, the next run with --remote ships the rest",
        count(*remote, "record", "records")
    )]
    NotShipped { signal: &'static str, remote: u64 },

    /// A file is not written because its name could not be made durable.
    #[error("cannot write {file}: its directory {directory} cannot be opened to be synced")]
    Directory {
        file: String,
        directory: String,
        #[source]
        source: io::Error,
    },

    #[error("bad input")]
    Input(#[from] InputError),

    /// The input of an import is no export, or not whole.
    #[error("cannot import {name}")]
    Malformed {
        name: String,
        #[source]
        source: Malformed,
    },

    /// The tree has some of the entries of an import already.
    #[error(
        "the input begins with entry {first}, the tree has {}: --resume goes on behind those, after comparing them",
        count(*size, "leaf", "leaves")
    )]
    Occupied { first: u64, size: u64 },

    /// Entries are missing between the tree and an import.
    #[error("the input begins with entry {first}, the tree has {}", count(*size, "leaf", "leaves"))]
    Gap { first: u64, size: u64 },

    #[error("{name} is not {what}")]
    Unreadable {
        name: String,
        what: &'static str,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },

    #[error("{name} is longer than {most} bytes")]
    TooLong { name: String, most: u64 },

    /// A private key was made, and its public half could not be printed.
    #[error(
        "{} holds a new private key, whose public half duramen keygen --public prints",
        Printable::new(file)
    )]
    KeyNotShown {
        file: PathBuf,
        #[source]
        source: Box<Self>,
    },

    /// A signature was asked for over leaves that a power cut may still take back.
    #[error(
        "no checkpoint of size {size}: only {} known to be durable",
        count(*durable, "leaf is", "leaves are")
    )]
    NotDurable { size: u64, durable: u64 },

    /// A signed proof was asked for of a leaf that no signed head has.
    #[error("no signed proof of leaf {index}: a head of {} may be signed now", count(*size, "leaf", "leaves"))]
    NotSigned { index: u64, size: u64 },

    /// Files with erased entries are left.
    #[error(
        "{} still read, and may have erased entries; run duramen compact again when nothing reads the store",
        match files {
            1 => "1 old file is".to_owned(),
            files => format!("{files} old files are"),
        }
    )]
    Pinned { files: u64 },

    /// What was asked for does not go together.
    #[error("{0}")]
    Usage(String),

    #[error("cannot make {what}")]
    Make {
        what: &'static str,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },

    /// A log cannot be opened, or cannot publish.
    #[error("the log {log}")]
    Log {
        log: String,
        #[source]
        source: Box<duramen_log::LogError>,
    },

    /// A witness cannot be opened.
    #[error("the witness")]
    Witness(#[source] Box<duramen_log::WitnessError>),

    /// A log cannot be followed.
    #[error("cannot follow the log")]
    Follow(#[source] Box<duramen_log::follow::FollowError>),

    /// A log cannot be written as files.
    #[error("cannot export")]
    Export(#[source] Box<duramen_log::ExportError>),

    /// The network fails.
    #[error("cannot {action} {place}")]
    Serve {
        action: &'static str,
        place: String,
        #[source]
        source: io::Error,
    },

    /// A bucket.
    #[error(transparent)]
    Remote(#[from] duramen_remote::Error),

    #[error(transparent)]
    Store(#[from] duramen::Error),
}

/// What is known of leaves that are appended.
fn how_durable(appended: u64, durable: u64) -> String {
    let are = if appended == 1 { "is" } else { "are" };
    match durable {
        all if all == appended => format!("which {are} appended and durable"),
        0 => format!("which {are} appended and not known to be durable"),
        some => format!("which {are} appended; only the first {some} are known to be durable"),
    }
}

/// Failures of one command, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Failures(pub(crate) Vec<Error>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<String> = Vec::new();
        for failure in &self.0 {
            let text = failure.in_one_line();
            // One failure of the log answers several calls.
            if told.iter().any(|before| before.contains(&text)) {
                continue;
            }
            let between = if told.is_empty() { "" } else { "; " };
            write!(f, "{between}{text}")?;
            told.push(text);
        }
        Ok(())
    }
}

impl Error {
    /// The exit status. See [`Status`].
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Refused { .. } => Status::Refused,
            Self::Stopped { failures: Failures(failures), .. } => {
                Status::of_all(failures.iter().map(Self::status))
            }
            Self::KeyNotShown { source, .. } => source.status(),
            // Where output goes is the caller's choice. It is not the store that is full.
            Self::Write { .. } => match Status::of_chain(self) {
                Status::NoSpace => Status::Failed,
                status => status,
            },
            Self::Store(error) => Status::of_chain(error),
            Self::Remote(error) => Status::of_chain(error),
            error => Status::of_chain(error),
        }
    }

    /// How many records of the input are in the tree and how many of them are known to be durable, where an input was
    /// stopped.
    pub(crate) fn records(&self) -> Option<(u64, u64)> {
        match self {
            Self::Stopped { records, durable, .. } => Some((*records, *durable)),
            _ => None,
        }
    }

    /// The error and all its causes. A cause that its effect names already is left out.
    pub(crate) fn in_one_line(&self) -> String {
        let mut line = one_line(&self.to_string());
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = one_line(&error.to_string());
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }
}

/// The longest text of one error or cause that is printed, in characters: longer than any path.
const MAX_TEXT: usize = 5000;

/// The text in one line: with a space for every line end and what is around it, and with escape sequences
/// for what is not printable. Of a text that is far too long only the start is kept.
pub(crate) fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_matches([' ', '\t', '\r']));
    let mut out = String::new();
    let mut told = 0;
    for line in lines.filter(|line| !line.is_empty()) {
        if told > 0 {
            out.push(' ');
        }
        for character in line.chars() {
            if told == MAX_TEXT {
                out.push_str(&format!(" ... ({} bytes in all)", text.len()));
                return out;
            }
            told += 1;
            if is_printable(character) {
                out.push(character);
            } else {
                out.extend(character.escape_unicode());
            }
        }
    }
    out
}

/// The name of a file for messages and listings.
pub(crate) fn name_of(path: &Path) -> String {
    Printable::new(path).to_string()
}

/// The start of a text that may be long and hold anything, in quotes.
pub(crate) fn start_of(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} ... ({} bytes in all)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ended::Unit;

    #[test]
    fn an_error_is_one_line_with_every_cause_once() {
        let io = || io::Error::other("no\nluck");
        let read = Error::Read { name: "here".into(), source: io() };
        assert_eq!(read.in_one_line(), "cannot read here: no luck");
        let stopped = |failures, durable| {
            let failures = Failures(failures);
            let stopped =
                Error::Stopped { name: "f".into(), records: 3, durable, size: 5, failures };
            stopped.in_one_line()
        };
        assert_eq!(
            stopped(vec![read], 3),
            "stopped after 3 leaves of f, which are appended and durable; \
             the tree has 5 leaves: cannot read here: no luck"
        );
        // A failure of the disk does not hide why the input stopped, and is told once.
        let poisoned = || Error::Write { name: "there".into(), source: io() };
        let bad = InputError::TooLong { unit: Unit::Line, number: 4, most: 64 << 20 };
        let bad = Error::Input(bad);
        assert_eq!(
            stopped(vec![bad, poisoned(), poisoned()], 0),
            "stopped after 3 leaves of f, which are appended and not known to be durable; \
             the tree has 5 leaves: bad input: line 4 is longer than 67108864 bytes; \
             cannot write there: no luck"
        );
        assert_eq!(
            stopped(vec![poisoned()], 2),
            "stopped after 3 leaves of f, which are appended; only the first 2 are known to be durable; \
             the tree has 5 leaves: cannot write there: no luck"
        );
    }

    #[test]
    fn a_line_forges_no_other_and_steers_no_terminal() {
        assert_eq!(one_line("error: a\n\n  tip: b\r\n"), "error: a tip: b");
        assert_eq!(
            one_line("a\u{1b}[31m\u{7f}\u{9b}\u{2028}\u{202e}"),
            r"a\u{1b}[31m\u{7f}\u{9b}\u{2028}\u{202e}"
        );
        assert_eq!(
            one_line(r#"two  spaces, "quotes", it's \"#),
            r#"two  spaces, "quotes", it's \"#
        );
    }

    #[test]
    fn of_a_text_that_is_far_too_long_the_start_is_told() {
        let long = one_line(&"x".repeat(60 << 20));
        assert!(long.len() < MAX_TEXT + 100 && long.ends_with("x ... (62914560 bytes in all)"));
        let long = start_of(&"\u{1b}".repeat(1000));
        assert!(long.len() < 1000 && long.ends_with("... (1000 bytes in all)"), "{long}");
    }
}
