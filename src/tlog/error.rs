//! Why a text is malformed, or is not trusted.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

use super::key_type::KeyType;
use crate::merkle::{Arity, VerifyError};
use crate::words::count;

/// Why a key cannot sign: what the module or the agent that has it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SignerError {
    reason: String,
}

impl SignerError {
    /// An error with this reason, in words.
    #[must_use]
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// Why a note, a checkpoint or a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogError {
    /// The text is too long to be read.
    #[error("a note has at most {most} bytes, this one has {found}")]
    TooLong {
        /// The limit in bytes.
        most: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// A control character that is not a newline.
    #[error(
        "byte {at} of the note is the control character {found:#04x}; only newlines are allowed"
    )]
    ControlCharacter {
        /// Its byte offset.
        at: usize,
        /// The character.
        found: u8,
    },
    /// The note has no empty line followed by signature lines.
    #[error("the note does not end in an empty line and signature lines")]
    NoSignatures,
    /// The note has too many signatures to be read.
    #[error("a note has at most {most} signatures, this one has {found}")]
    TooManySignatures {
        /// The limit.
        most: usize,
        /// How many there are.
        found: usize,
    },
    /// A line after the last empty line is not a signature.
    #[error("signature line {line} of the note is not of the form `— NAME BASE64`")]
    SignatureLine {
        /// The line, counted from 1 after the last empty line.
        line: usize,
    },
    /// A key's name has spaces, a plus, control or hidden characters, or is empty.
    #[error(
        "{name:?} is not a key name: a key name is not empty and has no spaces, plus, control or hidden characters"
    )]
    KeyName {
        /// The name.
        name: String,
    },
    /// The text of a key cannot be read.
    #[error("the key's text is not of the form `{form}`")]
    KeyText {
        /// The required form.
        form: &'static str,
    },
    /// The id in a key's text differs from the id of the key.
    #[error("the key's text has id {stated:08x}, but the key has id {computed:08x}")]
    OtherKeyId {
        /// The id in the text.
        stated: u32,
        /// The id computed from the name and the key.
        computed: u32,
    },
    /// The key is of a type that this library does not have, or not without another feature.
    #[error("keys of type {key_type} are not supported here")]
    UnknownKeyType {
        /// The type in the key's text.
        key_type: KeyType,
    },
    /// The key is of another type than the one that is needed here.
    #[error("the key is of type {found}; needed is one of type {expected}")]
    OtherKeyType {
        /// The type that is needed.
        expected: KeyType,
        /// The type of the key.
        found: KeyType,
    },
    /// A name does not fit into an ML-DSA-44 cosignature.
    #[error("a name in an ML-DSA-44 cosignature has 1 to 255 bytes, this one has {found}")]
    LongName {
        /// How many bytes the name has.
        found: usize,
    },
    /// A key could not sign.
    #[error("{name} cannot sign: {error}")]
    Signer {
        /// The key's name.
        name: String,
        /// What the key says.
        #[source]
        error: SignerError,
    },
    /// Only signatures that do not cover the extension lines of the checkpoint are by known keys.
    #[error("no signature by a known key covers the extension lines of the checkpoint")]
    ExtensionsNotSigned,
    /// A head is of a tree that checkpoints do not have.
    #[error(
        "a checkpoint is of a tree of rfc6962-sha256 with arity 2, not of {hasher} with arity {arity}"
    )]
    OtherProfile {
        /// The hash function of the tree.
        hasher: &'static str,
        /// The arity of the tree.
        arity: Arity,
    },
    /// The verifier knows none of the keys that signed.
    #[error("none of {} is by a known key", count(*signatures, "signature", "signatures"))]
    NotSignedByKnownKey {
        /// How many signatures there are.
        signatures: usize,
    },
    /// The policy lists no log of this name.
    #[error("the policy lists no log {origin:?}")]
    UnknownLog {
        /// The origin of the checkpoint.
        origin: String,
    },
    /// The cosignatures are not those that the policy asks for.
    #[error(
        "{cosigned} of {} cosigned, which is not what the policy asks for",
        count(*witnesses, "witness", "witnesses")
    )]
    QuorumNotReached {
        /// How many witnesses of the policy cosigned.
        cosigned: usize,
        /// How many witnesses the policy has.
        witnesses: usize,
    },
    /// A signature by a known key is wrong.
    #[error("the signature by {name} is not valid for the text")]
    WrongSignature {
        /// The key's name.
        name: String,
    },
    /// A cosignature that must have a time has none.
    #[error("the cosignature by {name} has no time")]
    NoTime {
        /// The cosigner's name.
        name: String,
    },
    /// The text of a note does not end with a newline, or is empty.
    #[error("the text of the note is empty or does not end with a newline")]
    NoFinalNewline,
    /// A checkpoint has fewer than three lines.
    #[error("a checkpoint has at least three lines (origin, size and root), this one has {found}")]
    CheckpointLines {
        /// How many lines there are.
        found: usize,
    },
    /// A line of a checkpoint is empty or contains a newline or another control character.
    #[error("line {line} of the checkpoint is empty or has control characters")]
    CheckpointLine {
        /// The line, counted from 1.
        line: usize,
    },
    /// A number is not a decimal number in the allowed range.
    #[error("the {what} must be a decimal number below 2^64 without leading zeros")]
    Number {
        /// Which number.
        what: &'static str,
    },
    /// Something is not canonical Base 64, or a hash does not have 32 bytes.
    #[error("the {what} is not canonical Base 64 of the right length")]
    Base64 {
        /// What it is.
        what: &'static str,
    },
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log {found:?}; expected {expected:?}")]
    OtherOrigin {
        /// The origin that the verifier expects.
        expected: String,
        /// The origin in the checkpoint.
        found: String,
    },
    /// The text does not begin like a proof.
    #[error("not a proof: the first line is not `c2sp.org/tlog-proof@v1`")]
    NotAProof,
    /// The proof has no index line, or another line in its place.
    #[error("the proof has no line `index NUMBER` where one belongs")]
    NoIndex,
    /// The proof has no empty line followed by a checkpoint.
    #[error("the proof ends before its checkpoint")]
    NoCheckpoint,
    /// The proof has more hashes than any proof needs.
    #[error("the proof has more than {most} hashes")]
    TooManyHashes {
        /// The limit.
        most: usize,
    },
    /// The inclusion proof does not match the checkpoint.
    #[error("the proof does not match its checkpoint")]
    Refused(#[from] VerifyError),
}

impl TlogError {
    /// What a key that cannot sign is reported as.
    pub(super) fn signer(name: &str, error: SignerError) -> Self {
        Self::Signer { name: name.to_owned(), error }
    }
}
