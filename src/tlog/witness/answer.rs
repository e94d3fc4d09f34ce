//! What a witness answers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::status::{SIZE_CONTENT_TYPE, WitnessStatus};
use crate::merkle::TreeSize;
use crate::tlog::checkpoint::number;
use crate::tlog::note::{NoteSignature, SignedNote};

/// The answer of a witness to a request `add-checkpoint`.
///
/// ```
/// use duramen::TreeSize;
/// use duramen::tlog::witness::Answer;
///
/// let answer = Answer::read(409, Some("text/x.tlog.size"), "20852014\n")?;
/// assert_eq!(answer, Answer::Conflict { latest: TreeSize(20_852_014) });
/// # Ok::<(), duramen::tlog::witness::AnswerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Signature lines, right or wrong: [`SignedNote::add_cosignatures`] verifies them and takes those of known keys.
    Cosigned(Vec<NoteSignature>),
    /// The witness cosigned another size last: the next request starts there.
    Conflict {
        /// The size that it cosigned last, 0 if none.
        latest: TreeSize,
    },
    /// The witness does not cosign this request, and would not if it were sent again.
    Refused(WitnessStatus),
}

impl Answer {
    /// Reads an answer out of its HTTP status, its content type and its body.
    ///
    /// # Errors
    ///
    /// [`AnswerError`] if it is none that the protocol knows, such as one of a server that is overloaded.
    pub fn read(code: u16, content_type: Option<&str>, body: &str) -> Result<Self, AnswerError> {
        match WitnessStatus::from_code(code).ok_or(AnswerError::UnknownStatus { code })? {
            WitnessStatus::Cosigned => read_lines(body).map(Self::Cosigned),
            WitnessStatus::Conflict => {
                if !content_type.is_some_and(is_size) {
                    return Err(AnswerError::NoSizeType);
                }
                let size = body.strip_suffix('\n').ok_or(AnswerError::NoSize)?;
                let latest = number(size, "size").map_err(|_| AnswerError::NoSize)?;
                Ok(Self::Conflict { latest: TreeSize(latest) })
            }
            status => Ok(Self::Refused(status)),
        }
    }
}

/// The body of an answer that has these cosignatures.
#[must_use]
pub fn cosigned_body(signatures: &[NoteSignature]) -> String {
    signatures.iter().map(|signature| format!("{signature}\n")).collect()
}

/// The path below the monitoring prefix of a witness at which it serves its latest checkpoint of a log.
#[must_use]
pub fn monitor_path(origin: &str) -> String {
    let hash = Sha256::digest(origin);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    hex + "/checkpoint"
}

/// Whether a content type is that of a size, whatever parameters it has.
fn is_size(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case(SIZE_CONTENT_TYPE)
}

fn read_lines(body: &str) -> Result<Vec<NoteSignature>, AnswerError> {
    if body.len() > SignedNote::MAX_BYTES {
        return Err(AnswerError::TooLong { most: SignedNote::MAX_BYTES, found: body.len() });
    }
    let lines = body.strip_suffix('\n').ok_or(AnswerError::NoSignatures)?.split('\n');
    let lines = (1..)
        .zip(lines)
        .map(|(line, text)| NoteSignature::read(text).ok_or(AnswerError::SignatureLine { line }));
    lines.collect()
}

/// Why an answer is none of a witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The status has no meaning in the protocol.
    #[error("the status {code} is none that a witness answers with")]
    UnknownStatus {
        /// The HTTP status.
        code: u16,
    },
    /// The body is too long to be read.
    #[error("an answer has at most {most} bytes, this one has {found}")]
    TooLong {
        /// The limit in bytes.
        most: usize,
        /// How many bytes there are.
        found: usize,
    },
    /// The body does not end with a newline, or is empty.
    #[error("the answer is not signature lines, each with a newline")]
    NoSignatures,
    /// A line of the body is no signature line.
    #[error("line {line} of the answer is not of the form `— NAME BASE64`")]
    SignatureLine {
        /// The line, counted from 1.
        line: usize,
    },
    /// The answer to a conflict has another type.
    #[error("an answer with status 409 has the type text/x.tlog.size")]
    NoSizeType,
    /// The answer to a conflict has no size.
    #[error("the answer with status 409 is not a decimal number and a newline")]
    NoSize,
}
