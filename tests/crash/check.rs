//! Whether a store that was opened keeps its promises.

use std::sync::atomic::{AtomicU64, Ordering};

use crc_fast::{CrcAlgorithm, Digest};
use duramen::testing::sim::SimDisk;
use duramen::{DynAccumulator, Error};

use crate::findings::{Finding, Kind, Outcome};
use crate::model::Model;
use crate::setup::Setup;
use testkit::reference;
use testkit::words::words;

/// What a crash may leave.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// The least size: what was acknowledged or shown.
    pub(crate) from: u64,
    /// The greatest size: what was submitted.
    pub(crate) to: u64,
    /// The sizes that the checkpoint may have.
    pub(crate) checkpoints: Vec<u64>,
}

/// Opens what a crash has left. It always opens.
pub(crate) fn reopen(setup: &Setup, disk: &SimDisk) -> Outcome<DynAccumulator> {
    setup.open(disk).map_err(|error| Finding::new(Kind::Refused, words(&error)))
}

/// How many leaves a reader beside a store of this kind knows to be durable.
pub(crate) fn known(setup: &Setup, disk: &SimDisk) -> Outcome<u64> {
    match setup.read(disk) {
        Ok(reader) => Ok(reader.durable_size().get()),
        Err(Error::NoStore { .. }) => Ok(0),
        Err(error) => Err(Finding::new(Kind::Refused, words(&error)).context("by a reader")),
    }
}

/// Checks every answer of `store`, which was just opened, against the model; returns its size.
pub(crate) fn check(
    store: &impl AsRef<DynAccumulator>,
    model: &Model,
    bounds: &Bounds,
) -> Outcome<u64> {
    let store = store.as_ref();
    let size = store.size().get();
    let fail = |kind, text: String| Err(Finding::new(kind, text));
    if size < bounds.from {
        return fail(Kind::Lost, format!("{size} leaves of {} are there", bounds.from));
    }
    if size > bounds.to {
        return fail(Kind::Phantom, format!("{size} leaves, {} were submitted", bounds.to));
    }
    same(store, model)?;
    if !model.is_point(size) {
        return fail(Kind::TornBatch, format!("{size} leaves are no point that a caller named"));
    }
    let report = store.recovery();
    if !bounds.checkpoints.contains(&report.checkpointed) {
        let text = format!("checkpoint of {}, not {:?}", report.checkpointed, bounds.checkpoints);
        return fail(Kind::Checkpoint, text);
    }
    if report.checkpointed + report.replayed_leaves != size {
        return fail(Kind::Answer, format!("{report} of {size} leaves"));
    }
    Ok(size)
}

/// Checks leaves, roots and proofs against the model, which has at least as many leaves.
pub(crate) fn same(store: &impl AsRef<DynAccumulator>, model: &Model) -> Outcome {
    let store = store.as_ref();
    let size = store.size().get();
    let read = |error: Error| Finding::new(Kind::Refused, words(&error));
    let leaves = store.leaves(0..size).map_err(read)?;
    let expected = &model.leaves[..leaves.len()];
    if let Some(at) = (0..leaves.len()).find(|at| leaves[*at] != expected[*at]) {
        return Err(Finding::new(Kind::Phantom, format!("leaf {at} of {size} is another one")));
    }
    let snapshot = store.snapshot();
    for past in [size, size / 2, store.recovery().checkpointed.min(size)] {
        let root = snapshot.head_at(past).map_err(read)?.root;
        if root != model.root(past) {
            return Err(Finding::new(Kind::WrongRoot, format!("root at {past} of {size}")));
        }
    }
    let levels = model.levels(size);
    for index in [0, size / 3, size.saturating_sub(1)] {
        if index >= size {
            continue;
        }
        let proof = snapshot.prove(index).map_err(read)?;
        let at = usize::try_from(index).unwrap();
        if proof.siblings() != reference::siblings(model.arity, &levels, at) {
            return Err(Finding::new(Kind::WrongProof, format!("leaf {index} of {size}")));
        }
    }
    Ok(())
}

/// A value that differs between images. Without files there may still be directories or not, so those
/// differ always.
pub(crate) fn fingerprint(disk: &SimDisk) -> (usize, u64) {
    let files = disk.files();
    if files.is_empty() {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        return (0, NEXT.fetch_add(1, Ordering::Relaxed));
    }
    let mut sum = Digest::new(CrcAlgorithm::Crc64Nvme);
    for name in &files {
        sum.update(name.to_string().as_bytes());
        let bytes = disk.read(*name).unwrap();
        sum.update(&bytes.len().to_le_bytes());
        sum.update(&bytes);
    }
    (files.len(), sum.finalize())
}
