//! What every public type can be relied on for: to be sent, shared, printed, compared.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash as StdHash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::str::FromStr;

use duramen::merkle::{
    Group, Level, NodeIndex, NodeSource, NotASubtree, ParseArityError, ParseHeadError,
    ParseNumberError, ProveError, RightEdge, Shape, StoreHeadError, Subtree, SubtreeProof,
    codec::{ClaimError, ConsistencyClaim, DecodeError, Header, InclusionClaim, Kind, MultiClaim},
};
use duramen::tlog::tiles::{
    BundleError, Bundles, EntryBundlePath, LogPath, PathError, TilePath, TileWidth, Tiles,
};
use duramen::tlog::witness::{
    Accepted, AddCheckpoint, Answer, AnswerError, KnownLog, Refusal, RequestError, SignSubtree,
    WitnessStatus,
};
use duramen::tlog::{
    Checkpoint, KeyType, NoteSignature, NoteSigner, NoteVerifier, SignedNote, SignerError,
    TlogError, TlogProof,
};
use duramen::*;

fn shown<T: Debug + Send + Sync + Unpin + Clone>() {}
fn shared<T: Debug + Send + Sync + Unpin>() {}
fn value<T: Debug + Send + Sync + Unpin + Clone + Eq>() {}
fn key<T: Debug + Send + Sync + Unpin + Copy + Ord + StdHash>() {}
fn hashed<T: Debug + Send + Sync + Unpin + Clone + Eq + StdHash>() {}
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
    shared::<Entries>();
    shared::<EntryRuns>();
    shown::<EntryRun>();
    shown::<RunEntries<'_>>();
    shared::<FoundLeaves>();
    shared::<Tail>();
    shared::<TailStream>();
    shared::<Tiles>();
    shared::<Bundles>();
    shared::<Reader>();
    shared::<StoreReader>();
    shared::<MemoryAccumulator>();
    shared::<Config>();
    shared::<TreeConfig>();
    shown::<scrub::Options>();
    shared::<KnownLog<'_>>();
    shared::<fs::OsPlace>();
    shared::<fs::Region>();
    fn future<T: Future<Output = Result<()>> + Clone>() {}
    future::<DurabilityToken>();
    fn awaited<T: IntoFuture<Output = Result<()>, IntoFuture = DurabilityToken>>() {}
    awaited::<Inserted>();
    awaited::<InsertedMany>();
    awaited::<Committed>();
    fn cloned<T: Clone>() {}
    cloned::<Store>();
    cloned::<Accumulator>();
    cloned::<DynAccumulator>();
    cloned::<Snapshot>();
    cloned::<StoreSnapshot>();
    cloned::<Config>();
    cloned::<TreeConfig>();
    shown::<Committed>();
    shown::<Inserted>();
    shown::<InsertedMany>();
    shown::<Unique>();
    shown::<DurabilityToken>();
    shown::<Event>();
    shown::<inspect::Survey>();
    shown::<inspect::FileReport>();
    shown::<scrub::Report>();
}

#[test]
fn what_a_caller_implements_is_used_behind_a_pointer() {
    fn behind<T: ?Sized>() {}
    fn by_any_thread<T: ?Sized + Send + Sync>() {}
    behind::<dyn NodeSource<Error = Damage>>();
    behind::<dyn LeafInPieces>();
    by_any_thread::<dyn fs::Place>();
    by_any_thread::<dyn fs::FileSystem>();
    by_any_thread::<dyn fs::File>();
    by_any_thread::<dyn fs::StoreLock>();
    by_any_thread::<dyn fs::Watch>();
    by_any_thread::<dyn Hasher>();
    by_any_thread::<dyn EventListener>();
    by_any_thread::<dyn NoteVerifier>();
    // A key in hardware may belong to one thread.
    behind::<dyn NoteSigner>();
    #[cfg(feature = "note")]
    behind::<dyn duramen::tlog::Signer>();
}

#[test]
fn a_hash_function_is_a_value_without_state() {
    fn stateless<T: Hasher + Debug + Copy + Default + Send + Sync + Unpin + 'static>() {
        assert_eq!(std::mem::size_of::<T>(), 0);
    }
    stateless::<Blake3>();
    stateless::<Rfc6962Sha256>();
    #[cfg(feature = "keccak")]
    stateless::<Keccak256>();
    #[cfg(feature = "poseidon")]
    stateless::<PoseidonBn254>();
}

#[test]
fn iterators_stay_at_their_end() {
    fn fused<T: std::iter::FusedIterator>() {}
    fused::<Leaves>();
    fused::<Entries>();
    fused::<EntryRuns>();
    fused::<RunEntries<'_>>();
    fused::<FoundLeaves>();
    fused::<Tail>();
    fused::<Tiles>();
    fused::<Bundles>();
    let mut tiles = Tiles::of(70_000);
    assert_eq!(tiles.by_ref().count(), 277);
    assert!((0..3).all(|_| tiles.next().is_none()));
}

#[test]
fn values_can_be_copied_and_compared() {
    key::<LeafIndex>();
    key::<TreeSize>();
    key::<Seq>();
    key::<Level>();
    key::<NodeIndex>();
    key::<KeyType>();
    key::<TilePath>();
    key::<EntryBundlePath>();
    key::<TileWidth>();
    key::<LogPath>();
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
    choice::<Compression>();
    choice::<EntryConfig>();
    choice::<FormatFeature>();
    choice::<Kind>();
    choice::<Group>();
    choice::<Growth<'_>>();
    choice::<Shape>();
    choice::<Subtree>();
    choice::<WitnessStatus>();
    choice::<inspect::FileState>();
    choice::<Displacement>();
    choice::<fs::Access>();
    choice::<fs::Dir>();
    choice::<fs::FileKind>();
    choice::<scrub::Remedy>();
    hashed::<CheckpointPolicy>();
    hashed::<RetentionPolicy>();
    hashed::<TreeName>();
    hashed::<HasherId>();
    hashed::<NamedHead>();
    hashed::<StoreHead>();
    hashed::<TreeProof>();
    hashed::<InclusionProof>();
    hashed::<MultiProof>();
    hashed::<ConsistencyProof>();
    hashed::<SubtreeProof>();
    hashed::<Frontier>();
    hashed::<InclusionClaim>();
    hashed::<ConsistencyClaim>();
    hashed::<MultiClaim>();
    hashed::<RightEdge>();
    value::<Checkpoint>();
    value::<SignedNote>();
    value::<NoteSignature>();
    value::<TlogProof>();
    value::<AddCheckpoint>();
    value::<SignSubtree>();
    value::<Accepted>();
    value::<Answer>();
    value::<Header>();
    value::<Appended>();
    value::<Entry>();
    value::<fs::Entry>();
    value::<Problem>();
    value::<scrub::Finding>();
    value::<scrub::Element>();
    value::<TreeRange>();
    value::<StoreInfo>();
    value::<TreeInfo>();
    value::<Stats>();
    value::<TreeStats>();
    value::<inspect::StoreStatus>();
    value::<inspect::RunState>();
    value::<CheckpointInfo>();
    value::<TreeCheckpoint>();
    value::<TreeFlush>();
    value::<BackupInfo>();
    value::<PruneInfo>();
    value::<RecoveryReport>();
    value::<TreeRecovery>();
    value::<Distribution>();
    value::<JobStats>();
    value::<Times>();
    value::<Damage>();
    value::<scrub::Progress>();
    text::<TreeHead>();
    text::<LeafIndex>();
    text::<TreeSize>();
    text::<NodeIndex>();
    text::<Arity>();
    text::<TreeName>();
    text::<Checkpoint>();
    text::<SignedNote>();
    text::<TlogProof>();
    text::<AddCheckpoint>();
    text::<SignSubtree>();
    text::<TilePath>();
    text::<EntryBundlePath>();
}

/// Keys, and what is made and read with them.
#[cfg(feature = "note")]
#[test]
fn keys_can_be_sent_shared_and_printed() {
    use duramen::tlog::{
        AnyVerifier, Cosigner, CosignerAt, Ed25519CosignatureVerifier, Ed25519Key, Ed25519Signer,
        Ed25519Verifier, Policy, PolicyError, PolicyErrorKind, PolicyLog, PolicyWitness, PublicKey,
        Witnessed,
    };
    shown::<Ed25519Key>();
    shown::<Ed25519Signer>();
    shown::<Cosigner<Ed25519Key>>();
    shown::<CosignerAt<'_, Ed25519Key>>();
    value::<PublicKey>();
    value::<Ed25519Verifier>();
    value::<Ed25519CosignatureVerifier>();
    value::<AnyVerifier>();
    value::<Policy>();
    value::<PolicyLog>();
    value::<PolicyWitness>();
    value::<Witnessed>();
    text::<Ed25519Verifier>();
    text::<Ed25519CosignatureVerifier>();
    text::<AnyVerifier>();
    error::<PolicyError>();
    error::<PolicyErrorKind>();
}

#[cfg(feature = "mldsa")]
#[test]
fn keys_of_ml_dsa_can_be_sent_shared_and_printed() {
    use duramen::tlog::{Cosigner, MlDsa44Key, MlDsa44Verifier};
    shown::<MlDsa44Key>();
    shown::<Cosigner<MlDsa44Key>>();
    value::<MlDsa44Verifier>();
    text::<MlDsa44Verifier>();
}

#[cfg(feature = "cose")]
#[test]
fn receipts_can_be_copied_and_compared() {
    use duramen::tlog::cose::{ConsistencyReceipt, CoseError, InclusionReceipt};
    value::<InclusionReceipt>();
    value::<ConsistencyReceipt>();
    error::<CoseError>();
}

#[test]
fn errors_are_errors_of_every_thread() {
    error::<Error>();
    error::<Damage>();
    error::<Displaced>();
    error::<OtherBeginning>();
    error::<SignerError>();
    error::<FrontierError>();
    error::<TreeNameError>();
    error::<VerifyError>();
    error::<ProveError<Damage>>();
    error::<ParseHeadError>();
    error::<ParseNumberError>();
    error::<ParseArityError>();
    error::<DecodeError>();
    error::<ClaimError>();
    error::<TlogError>();
    error::<StoreHeadError>();
    error::<NotASubtree>();
    error::<PathError>();
    error::<BundleError>();
    error::<RequestError>();
    error::<AnswerError>();
    error::<Refusal>();
    unwind_safe::<InclusionProof>();
    unwind_safe::<StoreHead>();
}
