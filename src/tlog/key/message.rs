//! The bytes that a cosignature signs, and those that it consists of: C2SP `tlog-cosignature`.
//!
//! # Invariants
//!
//! - No time beyond 2^63 - 1 is signed or verified.
//! - A message about a subtree that does not begin at leaf 0 has the time 0.

use alloc::format;
use alloc::vec::Vec;

use crate::merkle::{Hash, Subtree};
use crate::tlog::checkpoint::Checkpoint;

/// The largest time of a cosignature, in seconds since 1970.
pub const MAX_TIMESTAMP: u64 = (1 << 63) - 1;
/// The longest name of a cosigner and of a log in an ML-DSA-44 cosignature.
const MAX_NAME: usize = 255;
const SUBTREE_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// A cosignature apart: its time and the signature proper. `None` if it is too short or the time is too
/// large.
pub(super) fn split(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = signature.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    (time <= MAX_TIMESTAMP).then_some((time, signature))
}

/// A cosignature of its parts.
pub(super) fn join(timestamp: u64, signature: &[u8]) -> Vec<u8> {
    [&timestamp.to_be_bytes(), signature].concat()
}

/// What an Ed25519 cosignature signs: the text of the note behind two lines.
pub(super) fn checkpoint_v1(timestamp: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {timestamp}\n").as_bytes(), text].concat()
}

/// A subtree of a log with its root, as a cosigner states it.
pub(super) struct SubtreeStatement<'a> {
    pub(super) cosigner: &'a str,
    pub(super) timestamp: u64,
    pub(super) origin: &'a str,
    pub(super) subtree: Subtree,
    pub(super) root: &'a Hash,
}

impl<'a> SubtreeStatement<'a> {
    /// The statement about the whole tree of a checkpoint.
    pub(super) fn of_checkpoint(
        cosigner: &'a str,
        timestamp: u64,
        checkpoint: &'a Checkpoint,
    ) -> Self {
        let head = checkpoint.head_ref();
        let (origin, subtree) = (checkpoint.origin(), Subtree::whole(head.size));
        Self { cosigner, timestamp, origin, subtree, root: &head.root }
    }

    /// What an ML-DSA-44 cosignature signs; `None` if the format has no such message.
    pub(super) fn message(&self) -> Option<Vec<u8>> {
        let Self { cosigner, timestamp, origin, subtree, root } = self;
        let timeless = subtree.start().get() > 0;
        if *timestamp > MAX_TIMESTAMP || timeless && *timestamp != 0 {
            return None;
        }
        let mut message = Vec::from(SUBTREE_LABEL);
        push_name(&mut message, cosigner)?;
        message.extend(timestamp.to_be_bytes());
        push_name(&mut message, origin)?;
        message.extend(subtree.start().get().to_be_bytes());
        message.extend(subtree.end().get().to_be_bytes());
        message.extend(*root);
        Some(message)
    }
}

/// Appends a name behind its length: 1 to 255 bytes.
fn push_name(message: &mut Vec<u8>, name: &str) -> Option<()> {
    let len = u8::try_from(name.len()).ok().filter(|len| *len > 0)?;
    message.push(len);
    message.extend(name.as_bytes());
    Some(())
}

/// Whether a name is too long for the message of an ML-DSA-44 cosignature.
pub(super) const fn is_too_long(name: &str) -> bool {
    name.len() > MAX_NAME
}
