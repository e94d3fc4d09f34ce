//! Verifies the indexes of parts, and writes them again.
//!
//! # Invariants
//!
//! - An index is compared with one that is built again from the leaves of its part. So every byte of it is verified, but
//!   only where the leaves are intact.
//! - A missing index is no damage: it is written when the store is next used, or by a repair.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::pace::Pace;
use super::pass::{Faults, TreeParts};
use super::{Element, Finding, Progress, Remedy, Source};
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::error::{Error, ReadError, Result};
use crate::fs::FileSystem;
use crate::ids::PartId;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};
use crate::part::{INDEX_STEP, IndexVerdict, PART_BLOCK_LEN, Part, PartRef, RawPart, verify_index};

/// The results for the indexes of a tree.
#[derive(Debug, Default)]
pub(super) struct IndexFaults {
    /// Indexes that are as they must be.
    pub(super) intact: u64,
    pub(super) findings: Vec<Finding>,
    /// The parts whose index is to be written again.
    pub(super) wanted: Vec<PartId>,
    /// Whether `progress` ended the work.
    pub(super) interrupted: bool,
}

/// Verifies the indexes of `tree`, in whose columns the pass before found `faults`. Reads leaves at the `pace`, which
/// has counted the bytes of the parts already. Reports these bytes as done to `progress` before each step, so that it
/// can end the work.
pub(super) fn verify(
    fs: &dyn FileSystem,
    tree: &TreeParts,
    entry: &TreeEntry,
    faults: &Faults,
    pace: Option<&mut Pace>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<IndexFaults> {
    let mut found = IndexFaults::default();
    let total = tree.full_len();
    let state = RefCell::new((pace, progress, total));
    let go_on = || {
        let (pace, progress, done) = &mut *state.borrow_mut();
        if let Some(pace) = pace {
            pace.wait(*done);
        }
        *done = done.saturating_add(INDEX_STEP);
        match progress(Progress { done: total, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Closed),
        }
    };
    if !entry.indexed {
        return Ok(found);
    }
    for (number, part) in tree.parts.iter().enumerate() {
        let is_intact = part.file_damage().is_none()
            && faults.blocks.range((number, 0)..(number + 1, 0)).next().is_none();
        if !is_intact {
            continue;
        }
        let verdict = verify_index(fs, &part.identity, &part.reference, &Leaves(part), &go_on);
        let verdict = match verdict {
            Err(Error::Closed) => {
                found.interrupted = true;
                break;
            }
            verdict => verdict?,
        };
        match verdict {
            IndexVerdict::Intact => found.intact += 1,
            IndexVerdict::Missing => found.wanted.push(part.reference.number),
            IndexVerdict::Damaged(damage) => {
                found.wanted.push(part.reference.number);
                found.findings.push(Finding {
                    damage: *damage,
                    tree: None,
                    element: Element::Index,
                    blocks: None,
                    leaves: None,
                    remedy: Remedy::Rebuild,
                });
            }
        }
    }
    Ok(found)
}

/// Indexes that were written again.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    pub(super) names: Vec<String>,
    /// The files of the indexes that were not: some leaf of their part cannot be read.
    pub(super) left: Vec<PathBuf>,
}

/// Writes the indexes of `wanted`, and of all parts of indexed trees that have none.
///
/// # Errors
///
/// [`Error::Io`] if an index cannot be written or named. A damaged part is a finding, and no error.
pub(super) fn rebuild(
    fs: &Arc<dyn FileSystem>,
    source: &Source<'_>,
    manifest: &Manifest,
    wanted: &[PartId],
) -> Result<Rebuilt> {
    let mut rebuilt = Rebuilt::default();
    for entry in manifest.trees.iter().filter(|entry| entry.indexed) {
        for reference in &entry.parts {
            let identity = entry.identity(manifest.store, reference);
            // A part that cannot be opened is a finding of its own.
            let Ok(part) = Part::open(fs, &identity, *reference, source.mode) else { continue };
            let PartRef { number, .. } = *reference;
            if !wanted.contains(&number) && !part.lacks_index() {
                continue;
            }
            let path = fs.display(number.index_file());
            if let Err(error) = part.write_index(&|| Ok(())) {
                let _ = fs.remove(number.index_file().tmp());
                if !matches!(error, Error::Damaged(_)) {
                    return Err(error);
                }
                // The leaves that cannot be read are findings of their own.
                rebuilt.left.push(path);
                continue;
            }
            part.renew_index()?;
            rebuilt.names.push(path.display().to_string());
        }
    }
    Ok(rebuilt)
}

/// The leaves of a part that was verified.
struct Leaves<'a>(&'a RawPart);

impl NodeSource for Leaves<'_> {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let (block, skip) = self.0.place(level, first.0);
        let skip = usize::try_from(skip).unwrap_or(0);
        let nodes = (skip + out.len()).next_multiple_of(PART_BLOCK_LEN / size_of::<Hash>());
        let mut bytes = vec![0; nodes * size_of::<Hash>()];
        debug_assert!(bytes.len().is_multiple_of(PART_BLOCK_LEN));
        self.0.read(block, &mut bytes).map_err(ReadError::Damaged)?;
        let (nodes, _) = bytes.as_chunks();
        out.copy_from_slice(&nodes[skip..skip + out.len()]);
        Ok(())
    }
}
