//! Which checkpoints are trusted: those of known logs, cosigned by enough of the known witnesses.
//!
//! # Invariants
//!
//! - A name is defined before it is used, so groups have no circles, and one pass evaluates them.
//! - A name is a member of one group at most, so a witness counts once.
//! - No two logs and no two witnesses have the same public key.

mod build;
mod error;
mod evaluate;
mod print;
mod read;

use alloc::string::String;
use alloc::vec::Vec;

use super::key::AnyVerifier;

pub use error::{PolicyError, PolicyErrorKind};
pub use evaluate::Witnessed;

/// The logs and witnesses that are trusted, and how many of them are enough: C2SP `tlog-policy`.
///
/// A checkpoint is valid if any of the logs signed it and the quorum of witnesses cosigned it. Names and URLs
/// are bytes: the format does not ask for UTF-8.
///
/// ```
/// use duramen::tlog::{Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, Policy, SignedNote, TlogError};
/// use duramen::{Arity, Hasher, Rfc6962Sha256, TreeHead, TreeSize};
///
/// let log = Ed25519Signer::from_secret("example.com/log", &[1; 32])?;
/// let witness = |n| Cosigner::new("w.example/1", Ed25519Key::from_secret(&[n; 32]));
/// let (a, b) = (witness(2)?, witness(3)?);
/// let text = format!(
///     "log {}\nwitness a {}\nwitness b {}\ngroup both all a b\nquorum both\n",
///     log.verifier(), a.vkey(), b.vkey(),
/// );
/// let policy = Policy::read(text.as_bytes())?;
///
/// let head = TreeHead { size: TreeSize(0), root: Rfc6962Sha256.empty_root() };
/// let checkpoint = Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, head)?;
/// let mut note = SignedNote::sign(&checkpoint.to_string(), &log)?;
/// note.add_signature(&a.at(1_767_225_600))?;
/// assert_eq!(policy.verify(&note), Err(TlogError::QuorumNotReached { cosigned: 1, witnesses: 2 }));
/// note.add_signature(&b.at(1_767_225_600))?;
/// assert_eq!(policy.verify(&note)?.checkpoint.head(), head);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Quorum,
}

/// A log of a [`Policy`]. The name of its key is its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyLog {
    /// The key, whose name is the origin of the log.
    pub key: AnyVerifier,
    /// Where to reach it, if the policy says so. What the URL is of depends on the application.
    pub url: Option<Vec<u8>>,
}

/// A witness of a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyWitness {
    /// Its name in the policy, which means nothing elsewhere.
    pub name: Vec<u8>,
    /// Its key.
    pub key: AnyVerifier,
    /// Where to reach it, if the policy says so: by custom the prefix under which it takes checkpoints.
    pub url: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: Vec<u8>,
    /// How many members are enough: 1 to all of them.
    threshold: usize,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// By its place among the witnesses.
    Witness(usize),
    /// By its place among the groups. A group has members of smaller numbers only.
    Group(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    /// No cosignature is needed.
    None,
    Of(Member),
}

impl Policy {
    /// The longest policy that is read, in bytes.
    pub const MAX_BYTES: usize = 4 << 20;

    /// The logs, in the order of the policy.
    #[must_use]
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of the policy. They may be more than what the quorum is made of.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }
}

/// A name or another word, for a message.
fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}
