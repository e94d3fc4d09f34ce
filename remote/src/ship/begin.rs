//! Whether a directory may go on where the bucket ends.
//!
//! # Invariants
//!
//! - It may only if the bucket has nothing that the directory does not have. The note says so: nothing was written under a
//!   later epoch, and no record that the directory had not noted before. Where the log of the directory reaches back far
//!   enough, every group is compared as well.
//! - This is decided before a takeover too, so that a machine that has missed something fences no one.

use duramen::ship::{Groups, LogFeed};

use crate::collect::Collected;
use crate::error::{Error, Result};
use crate::note::{Note, NoteDir};
use crate::objects::StoreId;

/// Records that the bucket does not have yet, out of a batch of which it has the first ones.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) last: u64,
    pub(super) bytes: Vec<u8>,
}

/// What a shipper begins with.
#[derive(Debug)]
pub(super) struct Start {
    /// The bucket has no state, or ends before the log begins: a state comes first.
    pub(super) needs_state: bool,
    pub(super) rest: Option<Rest>,
}

/// Compares the log of `feed` with what was `collected`, which ends at the sequence number `remote`. Reads the feed up to
/// there.
pub(super) fn compare(
    feed: &mut LogFeed,
    collected: &Collected,
    remote: u64,
    notes: &NoteDir,
    store: StoreId,
) -> Result<Start> {
    if collected.state.is_none() {
        return Ok(Start { needs_state: true, rest: None });
    }
    let local = feed.durable()?.0;
    let Note { epoch, sent } = notes.read(store)?.unwrap_or_default();
    let superseded = || Error::Superseded { epoch, by_epoch: collected.written_by, remote, local };
    if collected.written_by > epoch {
        return Err(superseded());
    }
    if remote > sent {
        return Err(Error::SetBack { epoch, sent, remote, local });
    }
    if remote > local {
        return Err(superseded());
    }
    if feed.seq()?.0 > remote {
        return Ok(Start { needs_state: true, rest: None });
    }
    while feed.seq()?.0 < remote {
        let Some(batch) = feed.next(1 << 20)? else { return Err(superseded()) };
        let mut rest = Rest { last: batch.last().0, bytes: Vec::new() };
        for group in Groups::new(batch.bytes()) {
            let group = group.map_err(|at| Error::Damaged {
                name: "the log of the store".to_owned(),
                what: format!("it has no group at byte {at} of a batch"),
            })?;
            if group.first.0 >= remote && group.last.0 > remote {
                rest.bytes.extend_from_slice(group.bytes);
            } else if group.last.0 > remote
                || !collected.has(group.first.0, group.last.0, group.bytes)
            {
                return Err(superseded());
            }
        }
        if !rest.bytes.is_empty() {
            return Ok(Start { needs_state: false, rest: Some(rest) });
        }
    }
    Ok(Start { needs_state: false, rest: None })
}
