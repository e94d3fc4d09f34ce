//! What can go wrong, and how it is told in one line.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use crate::input::InputError;

/// Everything that ends the program early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A check came out negative: exit status 1.
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

    /// Some of the input is appended and durable, the rest is not.
    #[error(
        "stopped after {appended} leaves of {name}, which are appended and durable; \
         the tree has {size} leaves"
    )]
    Stopped {
        name: String,
        appended: u64,
        size: u64,
        #[source]
        source: Box<Self>,
    },

    #[error("bad input")]
    Input(#[from] InputError),

    #[error("the store in {} was made with hasher {id}, which is unknown here", dir.display())]
    UnknownHasher { dir: PathBuf, id: String },

    #[error("{name} is not {what}")]
    Unreadable {
        name: String,
        what: &'static str,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },

    #[error("{name} is longer than {most} bytes")]
    TooLong { name: String, most: u64 },

    /// What was asked for does not go together.
    #[error("{0}")]
    Usage(String),

    #[error("cannot make {what}")]
    Make {
        what: &'static str,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },

    #[error(transparent)]
    Store(#[from] duramen::Error),
}

/// Why a proof does not convince, or a store is not intact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the proof is for {field} {in_proof}, the caller trusts {trusted}")]
    Other { field: &'static str, in_proof: String, trusted: String },

    /// Somebody signed a root that is not this tree's: one of both was forked.
    #[error(
        "the checkpoint has root {signed} at size {size}, where the root of the tree is {computed}"
    )]
    OtherTree { size: u64, signed: String, computed: String },

    #[error("neither a head nor a key is trusted")]
    NoHead,

    #[error(transparent)]
    Proof(#[from] duramen::VerifyError),

    #[error("{left} damaged places in {}", dir.display())]
    Damaged { dir: PathBuf, left: u64 },

    #[error(transparent)]
    Checkpoint(#[from] duramen::tlog::TlogError),
}

impl Error {
    /// The error and all its causes. A cause that its effect has told already is left out.
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

/// The same text with every run of white space as one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_every_cause_once() {
        let io = || io::Error::other("no\nluck");
        let read = Error::Read { name: "here".into(), source: io() };
        assert_eq!(read.in_one_line(), "cannot read here: no luck");
        let stopped =
            Error::Stopped { name: "f".into(), appended: 3, size: 5, source: read.into() };
        assert_eq!(
            stopped.in_one_line(),
            "stopped after 3 leaves of f, which are appended and durable; \
             the tree has 5 leaves: cannot read here: no luck"
        );
    }
}
