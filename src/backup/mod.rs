//! A copy of a store, made while the store goes on.
//!
//! # Why it is whole
//!
//! A store is its newest manifest, the parts that this names, and the log from where the manifest says
//! to the last group that is durable. The copy's manifest is the store's with the end of the log
//! written into it, as if the store had been closed in order there. So all that is needed is that each
//! of those files still is what it was when its bytes are taken:
//!
//! - a part never changes, and its number is never used again: what has its name is it. It can only be
//!   gone. So it may be a hard link, which is one file with two names;
//! - a segment below the end of the log never changes while the log consists of it. Later it is used
//!   again under another number.
//!
//! The groups of the log are encoded again with a [key](crate::wal::LogKey) of the copy's own: the reader of
//! a copy does not learn the key of the store, which goes on with it.
//!
//! A store that is open in this process keeps both until they are copied (`engine/hold.rs`). From
//! outside nothing can be kept, but everything can be recognised: each group carries its segment's
//! number and life, its place and its checksum, and all groups of the copy are read back. What does not fit is
//! copied again, by the manifest that is the newest then.
//!
//! # Invariants
//!
//! - Nothing is written to a directory that holds anything, and no other process opens the directory
//!   meanwhile: its lock is held.
//! - The first thing in the directory is a [mark](target) that makes opening refuse a directory without
//!   a manifest. Its name is durable before there is anything else, and those of the parts before there is
//!   any log. The manifest comes last, when everything it names is durable under its name. So what a crash
//!   leaves is empty, or refused, or the whole copy.

mod target;

pub(crate) use target::{Failure, Target};

use crate::directory::manifest::Manifest;
use crate::wal::{Extent, LogKey, Position};

/// The manifest of a copy whose original has `state`, with a key of its own.
fn copy_of(state: &Manifest, key: LogKey, checkpoint: [u8; 16]) -> Manifest {
    let mut copy = Manifest { checkpoint, ..state.clone() };
    let stretches =
        copy.log.closed.iter_mut().flat_map(|extent| [&mut extent.from, &mut extent.to]);
    for position in stretches.chain([&mut copy.log.open]) {
        position.key = key;
    }
    copy
}

/// The manifest of a store that was closed in order at `end`, which is not before the log that
/// `manifest` speaks of.
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
