//! Why a policy is refused.

use alloc::string::String;

use crate::tlog::error::TlogError;
use crate::tlog::key_type::KeyType;
use crate::words::count;

/// Why a policy cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {kind}")]
#[non_exhaustive]
pub struct PolicyError {
    /// The line, counted from 1. The line behind the last one if something is missing.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub kind: PolicyErrorKind,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyErrorKind {
    /// The policy is too long to be read.
    #[error("a policy has at most {most} bytes, this one has {found}")]
    TooLong {
        /// The limit in bytes.
        most: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// A byte that a policy may not have.
    #[error("byte {found:#04x} is a control character; only tabs and newlines are allowed")]
    ControlCharacter {
        /// The byte.
        found: u8,
    },
    /// The last line does not end with a newline.
    #[error("the line does not end with a newline")]
    NoFinalNewline,
    /// A line begins with another word than the four that there are.
    #[error("{word:?} is none of log, witness, group and quorum")]
    UnknownWord {
        /// The first word of the line.
        word: String,
    },
    /// A line has too few or too many words.
    #[error("the line is not of the form `{form}`")]
    Form {
        /// The required form.
        form: &'static str,
    },
    /// The key of a log or a witness cannot be read.
    #[error("the key cannot be read")]
    Key(#[source] TlogError),
    /// A witness cannot make cosignatures with a key of this type.
    #[error("a witness has a key that cosigns, not one of type {key_type}")]
    NotACosigner {
        /// The type of the key.
        key_type: KeyType,
    },
    /// Two logs or two witnesses have the same public key, whatever their names are.
    #[error("another {what} has the same public key")]
    SameKey {
        /// `log` or `witness`.
        what: &'static str,
    },
    /// The name stands for something already.
    #[error("the name {name:?} is defined already")]
    DefinedTwice {
        /// The name.
        name: String,
    },
    /// The line uses a name that no line before it defines.
    #[error("no line before this one defines the name {name:?}")]
    NotDefined {
        /// The name.
        name: String,
    },
    /// The name is in a group already.
    #[error("{name:?} is a member of a group already")]
    MemberTwice {
        /// The name.
        name: String,
    },
    /// The number of a group is out of range, or no number.
    #[error(
        "{found:?} is none of all, any and a decimal number from 1 to the number of members, {members}"
    )]
    Threshold {
        /// The word where the number belongs.
        found: String,
        /// How many members the group has.
        members: usize,
    },
    /// There is no quorum, or a second one.
    #[error("a policy has exactly one quorum, this one has {}", count(*found, "line for it", "lines for it"))]
    Quorum {
        /// How many there are up to this line.
        found: usize,
    },
}
