//! Why a text is not what it should be, and why it is not trusted.

use alloc::string::String;

use crate::merkle::VerifyError;
use crate::words::count;

/// Why a note, a checkpoint or a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogError {
    /// The text is longer than any that is read.
    #[error("a note has at most {most} bytes, this one has {found}")]
    TooLong {
        /// The limit in bytes.
        most: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// A control character that is not a newline.
    #[error("a note has no control characters but newlines; byte {at} is {found:#04x}")]
    ControlCharacter {
        /// Where it stands.
        at: usize,
        /// The character.
        found: u8,
    },
    /// There is no empty line with signature lines behind it.
    #[error("a note ends in an empty line and signature lines; there are none")]
    NoSignatures,
    /// More signatures than are read.
    #[error("a note with more than {most} signatures is not read; this one has {found}")]
    TooManySignatures {
        /// The limit.
        most: usize,
        /// How many there are.
        found: usize,
    },
    /// A line behind the last empty line is no signature.
    #[error("signature line {line} of the note is not of the form `— NAME BASE64`")]
    SignatureLine {
        /// The line, counted from 1 behind the last empty line.
        line: usize,
    },
    /// A key's name has spaces, a plus, control or hidden characters, or is empty.
    #[error(
        "{name:?} is not a key name: it must not be empty nor have spaces, plus, control or hidden characters"
    )]
    KeyName {
        /// The name.
        name: String,
    },
    /// The text of a key cannot be read.
    #[error("the key's text is not of the form `{form}`")]
    KeyText {
        /// What it must look like.
        form: &'static str,
    },
    /// The id in a key's text is not that of the key.
    #[error("the key's text says id {stated:08x}, but the key has id {computed:08x}")]
    OtherKeyId {
        /// The id in the text.
        stated: u32,
        /// The id of name and key.
        computed: u32,
    },
    /// No signature is by a key that the verifier knows.
    #[error("none of {} is by a known key", count(*signatures, "signature", "signatures"))]
    NotSignedByKnownKey {
        /// How many signatures there are.
        signatures: usize,
    },
    /// A signature by a known key is wrong.
    #[error("the signature by {name} does not belong to the text")]
    WrongSignature {
        /// The key's name.
        name: String,
    },
    /// The text of a note does not end with a newline, or is empty.
    #[error("the text of a note ends with a newline")]
    NoFinalNewline,
    /// A checkpoint has fewer than three lines.
    #[error("a checkpoint has three lines at least: origin, size and root; this one has {found}")]
    CheckpointLines {
        /// How many lines there are.
        found: usize,
    },
    /// A line of a checkpoint is empty or has a newline or other control characters in it.
    #[error("line {line} of the checkpoint is empty or has control characters")]
    CheckpointLine {
        /// The line, counted from 1.
        line: usize,
    },
    /// The size is not a decimal number.
    #[error("the {what} is a decimal number below 2^64 without leading zeros")]
    Number {
        /// Which number.
        what: &'static str,
    },
    /// Something is not canonical Base 64, or not of 32 bytes where a hash stands.
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
    /// The text does not begin as a proof does.
    #[error("this is no proof: the first line is not `c2sp.org/tlog-proof@v1`")]
    NotAProof,
    /// The proof lacks its index line, or has something else in its place.
    #[error("the proof has no line `index NUMBER` where one belongs")]
    NoIndex,
    /// The proof lacks the empty line and the checkpoint behind it.
    #[error("the proof ends before its checkpoint")]
    NoCheckpoint,
    /// More hashes than any proof has.
    #[error("a proof has at most {most} hashes")]
    TooManyHashes {
        /// The limit.
        most: usize,
    },
    /// The inclusion proof does not hold under the checkpoint.
    #[error("the proof does not hold under its checkpoint")]
    Refused(#[from] VerifyError),
}
