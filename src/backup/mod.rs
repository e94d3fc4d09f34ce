//! Copies a store while the store is in use.
//!
//! # Why a copy is complete
//!
//! A store is its newest manifest, the parts in this manifest, and the log from the start in the
//! manifest to the last durable group. The manifest of the copy is the store's manifest plus the end of
//! the log, as if the store had been closed cleanly there. So each of these files must be unchanged when
//! its bytes are copied:
//!
//! - A part never changes, and its number is never reused. So a file with the name of the part is this
//!   part, or there is no such file. A copy may therefore use a hard link.
//! - A segment below the end of the log does not change while it is in the log. Afterwards it is reused
//!   under another number.
//!
//! The copy encodes the groups of the log again, with a [key](crate::wal::LogKey) of its own. So a
//! reader of the copy does not learn the key of the store, which continues to use it.
//!
//! A store that is open in this process keeps the parts and segments until they are copied
//! (`engine/hold.rs`). A copy from outside cannot keep files, but it can recognise each of them. Each
//! group has its segment's number and life, its position and its checksum, and the copy reads all its
//! groups back. If a file does not match, the copy starts again with the manifest that is newest by
//! then.
//!
//! # Invariants
//!
//! - A copy writes only to an empty directory. It holds the lock of the directory, so no other process
//!   opens a store there meanwhile.
//! - The first file in the directory is a [mark](target). With the mark and without a manifest, opening
//!   fails. The name of the mark is durable before there is any other file. The names of the parts are
//!   durable before there is any log. The manifest comes last, when every file in it is durable under
//!   its name. So after a crash the directory is empty, or is refused, or has the complete copy.

mod target;

pub(crate) use target::{Failure, Target, refuse_target};

use crate::directory::manifest::Manifest;
use crate::wal::{Extent, LogKey, Position};

/// The manifest of a copy, with the copy's own key. `state` is the manifest of the original.
fn copy_of(state: &Manifest, key: LogKey, checkpoint: [u8; 16]) -> Manifest {
    let mut copy = Manifest { checkpoint, ..state.clone() };
    let stretches =
        copy.log.closed.iter_mut().flat_map(|extent| [&mut extent.from, &mut extent.to]);
    for position in stretches.chain([&mut copy.log.open]) {
        position.key = key;
    }
    copy
}

/// The manifest of the store as if it had been closed cleanly at `end`. `end` is not before the log of
/// `manifest`.
pub(crate) fn closed_at(manifest: &Manifest, end: Position) -> Manifest {
    let mut state = manifest.clone();
    let log = &mut state.log;
    if log.open != end {
        log.closed.push(Extent { from: log.open, to: end });
        log.open = end;
    }
    log.clean = true;
    state
}
