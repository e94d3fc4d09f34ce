//! What every public type can be relied on for: to be sent, shared, printed, compared.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash as StdHash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::str::FromStr;

use duramen::merkle::{
    Group, Level, NodeIndex, ParseHeadError, ProveError, RightEdge, Shape,
    codec::{ClaimError, ConsistencyClaim, DecodeError, InclusionClaim, Kind, MultiClaim},
};
use duramen::tlog::{Checkpoint, NoteSignature, SignedNote, TlogError, TlogProof};
use duramen::*;

fn shared<T: Debug + Send + Sync + Unpin>() {}
fn value<T: Debug + Send + Sync + Unpin + Clone + Eq>() {}
fn key<T: Debug + Send + Sync + Unpin + Copy + Ord + StdHash>() {}
fn choice<T: Debug + Send + Sync + Unpin + Copy + Eq + StdHash>() {}
fn error<T: StdError + Send + Sync + Unpin + Clone + 'static>() {}
fn text<T: Display + FromStr<Err: StdError>>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

#[test]
fn handles_can_be_sent_shared_and_printed() {
    shared::<Store>();
    shared::<Accumulator>();
    shared::<DynAccumulator>();
    shared::<Batch>();
    shared::<Snapshot>();
    shared::<StoreSnapshot>();
    shared::<Leaves>();
    shared::<Reader>();
    shared::<StoreReader>();
    shared::<MemoryAccumulator>();
    shared::<Config>();
    shared::<TreeConfig>();
    shared::<Committed>();
    shared::<Inserted>();
    shared::<InsertedMany>();
    shared::<DurabilityToken>();
    fn future<T: Future<Output = Result<()>> + Clone>() {}
    future::<DurabilityToken>();
    fn cloned<T: Clone>() {}
    cloned::<Store>();
    cloned::<Accumulator>();
    cloned::<DynAccumulator>();
    cloned::<Snapshot>();
    cloned::<StoreSnapshot>();
    cloned::<Config>();
    cloned::<TreeConfig>();
}

#[test]
fn values_can_be_copied_and_compared() {
    key::<LeafIndex>();
    key::<TreeSize>();
    key::<Seq>();
    key::<Level>();
    key::<NodeIndex>();
    key::<fs::ByteOffset>();
    key::<fs::FileName>();
    choice::<Arity>();
    choice::<FlushPolicy>();
    choice::<ReadMode>();
    choice::<Install>();
    choice::<CompactionPolicy>();
    choice::<CheckpointReason>();
    choice::<EventGroup>();
    choice::<Limit>();
    choice::<TreeHead>();
    value::<CheckpointPolicy>();
    value::<TreeName>();
    value::<HasherId>();
    value::<NamedHead>();
    value::<StoreHead>();
    value::<TreeProof>();
    value::<InclusionProof>();
    value::<MultiProof>();
    value::<ConsistencyProof>();
    value::<Frontier>();
    value::<InclusionClaim>();
    value::<ConsistencyClaim>();
    value::<MultiClaim>();
    value::<Kind>();
    value::<Shape>();
    value::<Group>();
    value::<RightEdge>();
    value::<Checkpoint>();
    value::<SignedNote>();
    value::<NoteSignature>();
    value::<TlogProof>();
    value::<TreeRange>();
    value::<StoreInfo>();
    value::<TreeInfo>();
    value::<Stats>();
    value::<CheckpointInfo>();
    value::<TreeCheckpoint>();
    value::<TreeFlush>();
    value::<BackupInfo>();
    value::<RecoveryReport>();
    value::<Distribution>();
    value::<JobStats>();
    value::<Times>();
    value::<Damage>();
    value::<scrub::Options>();
    value::<scrub::Progress>();
    text::<TreeHead>();
    text::<TreeName>();
}

#[test]
fn errors_are_errors_of_every_thread() {
    error::<Error>();
    error::<Damage>();
    error::<FrontierError>();
    error::<TreeNameError>();
    error::<VerifyError>();
    error::<ProveError<Damage>>();
    error::<ParseHeadError>();
    error::<DecodeError>();
    error::<ClaimError>();
    error::<TlogError>();
    unwind_safe::<InclusionProof>();
    unwind_safe::<StoreHead>();
}
