//! Defects of the engine that tests build in, to see that they would be noticed.
//!
//! A simulated disk can carry a [`Defect`] for the engine that runs on it. The engine asks for it at the
//! places where it would have to be wrong. Without the feature `testing` it does not ask.

use std::io::{self, IoSlice};

use super::{Access, FileName, FileSystem};
use crate::ids::ByteOffset;

/// A way in which the engine could break its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(unreachable_pub, reason = "public with the simulated disk")
)]
pub enum Defect {
    /// Tokens resolve before the fsync that covers them.
    AcknowledgeBeforeSync,
    /// A part is not synced before it gets its name.
    PartNotSynced,
    /// The directory of parts is not synced before the manifest names a part in it.
    PartNameNotSynced,
    /// The directory of manifests is not synced after a manifest got its name.
    ManifestNameNotSynced,
    /// The directory of segments is not synced before the log goes to a segment in it.
    SegmentNameNotSynced,
    /// An fsync of the log that failed is retried.
    SyncTriedAgain,
    /// A part that is live is overwritten with one that reaches further.
    PartOverwritten,
    /// The log releases segments before the manifest that does without them is durable.
    LogReleasedEarly,
    /// Replay takes a group whose place and number fit for one that belongs there, whatever the life of the
    /// segment that it was written in.
    LivesIgnored,
    /// A manifest is not synced before it gets its name.
    ManifestNotSynced,
    /// The log goes to the next segment before the frame that names it is durable.
    RollNotSynced,
    /// What was replayed is shown before it is durable.
    ReplayNotSynced,
    /// Replay reads what the system cached of a log whose fsync failed.
    CacheTrusted,
    /// After an unclean stop segments are recycled before the new manifest is durable.
    SparesUsedEarly,
    /// Parts that were merged are removed before the manifest that does without them is durable.
    InputsRemovedEarly,
    /// Damage in the log below what was durable is taken for the torn end.
    ClaimsIgnored,
    /// Provisional groups at the end of the log count after a restart.
    ProvisionalCounted,
    /// A batch over several trees is written as two groups that end at points.
    BatchSplit,
    /// A part says that it is of another tree.
    PartUnderAnotherTree,
    /// The parts of a tree that is dropped are removed before the drop is durable.
    DropFreesEarly,
}

/// Whether the engine that runs on `fs` has this defect.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn has(fs: &dyn FileSystem, defect: Defect) -> bool {
    fs.defect() == Some(defect)
}

/// Whether the engine that runs on `fs` has this defect: never.
#[cfg(not(any(test, feature = "testing")))]
pub(crate) const fn has(_: &dyn FileSystem, _: Defect) -> bool {
    false
}

/// Puts the bytes of the temporary file of `name` into the file `name` itself where there is one, and
/// renames it otherwise. What [`Defect::PartOverwritten`] does.
pub(crate) fn overwrite(fs: &dyn FileSystem, name: FileName) -> io::Result<()> {
    let old = match fs.open(name, Access::ReadWrite) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs.rename(name.tmp(), name);
        }
        Err(error) => return Err(error),
    };
    let new = fs.open(name.tmp(), Access::Read)?;
    let bytes = new.map(new.len()?)?;
    old.allocate(bytes.len() as u64)?;
    old.write_at(ByteOffset(0), &mut [IoSlice::new(&bytes)])?;
    old.sync()?;
    fs.remove(name.tmp())
}
