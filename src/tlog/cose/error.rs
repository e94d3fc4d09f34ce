//! Why a receipt is refused.

use alloc::string::String;

use crate::merkle::VerifyError;
use crate::tlog::error::SignerError;
use crate::words::count;

/// Why a receipt cannot be made, read or verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoseError {
    /// The bytes are not CBOR of the required form.
    #[error("the receipt cannot be read at byte {at} of its {part}: {reason}")]
    Form {
        /// Which part.
        part: &'static str,
        /// The byte offset in it.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A label stands twice, in one header or in both.
    #[error("the label {label} stands twice in the headers of the receipt")]
    LabelTwice {
        /// The label.
        label: String,
    },
    /// A header that a receipt needs is not there.
    #[error("the receipt has no {header} header where one belongs")]
    NoHeader {
        /// Which one.
        header: &'static str,
    },
    /// The receipt asks its reader to understand headers that are not known here.
    #[error("the receipt has headers that must be understood and are not known here")]
    Critical,
    /// The signature algorithm is not Ed25519.
    #[error(
        "the signature algorithm of the receipt is {found}; known are -8 (EdDSA) and -19 (Ed25519)"
    )]
    Algorithm {
        /// The algorithm's number.
        found: i64,
    },
    /// The tree is not one of RFC 9162 with SHA-256.
    #[error("the verifiable data structure of the receipt is {found}; known is 1 (RFC9162_SHA256)")]
    Structure {
        /// The structure's number.
        found: i64,
    },
    /// The receipt has other proofs than one of the expected kind.
    #[error("the receipt has {} of {kind}, not one", count(*found, "proof", "proofs"))]
    Proofs {
        /// The kind: inclusion or consistency.
        kind: &'static str,
        /// How many of this kind there are.
        found: u64,
    },
    /// A path without a hash, which the format does not have: that of a tree of one leaf, or between equal sizes.
    #[error("a receipt has no proof without a hash, such as that of a tree of one leaf")]
    EmptyPath,
    /// A path of more hashes than any proof has.
    #[error("the proof has more than {most} hashes")]
    TooManyHashes {
        /// The limit.
        most: usize,
    },
    /// The old head that the proof begins at has another size.
    #[error("the proof begins at size {claimed}, the trusted head has size {trusted}")]
    OtherOldSize {
        /// The size in the receipt.
        claimed: u64,
        /// The size of the trusted head.
        trusted: u64,
    },
    /// The proof does not hold.
    #[error("the proof of the receipt does not hold")]
    Refused(#[from] VerifyError),
    /// The payload is another root than the one that the proof leads to.
    #[error("the payload of the receipt is not the root that its proof leads to")]
    OtherPayload,
    /// The signature is wrong.
    #[error("the signature of the receipt is not valid for the root that its proof leads to")]
    WrongSignature,
    /// The key is not of Ed25519.
    #[error("receipts are signed with Ed25519, and the key is another one")]
    OtherKey,
    /// The key cannot sign.
    #[error("the key cannot sign: {0}")]
    Signer(#[source] SignerError),
}
