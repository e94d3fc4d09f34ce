//! Chooses the parts of one tree that are read, and verifies them.
//!
//! # Invariant
//!
//! The leaves of a part are hashed, and the nodes at the end of the part, as the part has them, must be the result. So a part
//! of another history, or one that does not belong behind those before it, is not taken.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::report::Skipped;
use crate::config::ReadMode;
use crate::entry::Erasures;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::merkle::{Arity, Frontier, Hash, Hasher, Level, NodeIndex, NodeSource, TreeSize};
use crate::part::{Part, PartIdentity, PartRef, PartSet};

/// Leaves that are read at a time.
pub(super) const STEP: u64 = 1 << 14;

/// The parts of a tree that are read, one after another from leaf 0 on.
pub(super) struct Cover {
    pub(super) parts: PartSet,
    /// How many leaves they have, without a gap. The last part may have more, which are damaged.
    pub(super) size: u64,
}

/// Reads leaves of `parts`.
pub(super) fn read_leaves(parts: &PartSet, range: Range<u64>) -> Result<Vec<Hash>> {
    let len = usize::try_from(range.end - range.start).unwrap_or(0);
    let mut leaves = vec![[0; 32]; len];
    parts.read_nodes(Level::LEAVES, NodeIndex(range.start), &mut leaves)?;
    Ok(leaves)
}

/// Chooses among `parts`. Adds those that cannot be used to `skipped`.
pub(super) fn choose(
    fs: &Arc<dyn FileSystem>,
    parts: &[(PartIdentity, PartRef)],
    hasher: &dyn Hasher,
    mode: ReadMode,
    skipped: &mut Vec<Skipped>,
) -> Result<Cover> {
    let mut open = Vec::new();
    for (identity, reference) in parts {
        let reference = below_rewinds(*reference, parts);
        match Part::open(fs, identity, reference, mode) {
            Ok(part) => open.push(Arc::new(part)),
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => skip(skipped, fs.display(identity.number.file()), &error),
        }
    }
    let Some(arity) = open.first().map(|part| part.identity().arity) else {
        return Ok(Cover { parts: PartSet::default(), size: 0 });
    };
    let mut taken: Vec<Arc<Part>> = Vec::new();
    let mut frontier = Frontier::new(arity);
    loop {
        let at = frontier.size().get();
        let fits = |part: &&Arc<Part>| (part.reference().from..part.reference().to).contains(&at);
        let mut candidates: Vec<_> = open.iter().filter(fits).cloned().collect();
        // The one that reaches farthest; of equal ones the newest, which lacks what was erased.
        candidates.sort_unstable_by_key(|part| (part.reference().to, part.reference().number));
        let mut best: Option<(Frontier, Arc<Part>)> = None;
        let mut whole = false;
        while let Some(part) = candidates.pop() {
            let set =
                PartSet::new(None, taken.iter().cloned().chain([Arc::clone(&part)]).collect());
            let (reached, fault) = hash(&set, frontier.clone(), arity, hasher);
            whole = fault.is_none();
            if let Some(error) = fault {
                skip(skipped, fs.display(part.reference().number.file()), &error);
            }
            let farther = best.as_ref().is_none_or(|(best, _)| reached.size() > best.size());
            if farther && reached.size().get() > at {
                best = Some((reached, part));
            }
            if whole {
                break;
            }
        }
        let Some((reached, part)) = best else { break };
        taken.push(part);
        frontier = reached;
        if !whole {
            break;
        }
    }
    Ok(Cover { size: frontier.size().get(), parts: PartSet::new(None, taken) })
}

/// The part as far as it still counts. A later part that begins within it was written after the tree was rewound to where
/// that one begins: a merge takes whole parts, and a checkpoint begins where the parts end.
fn below_rewinds(part: PartRef, all: &[(PartIdentity, PartRef)]) -> PartRef {
    let is_within = |other: &PartRef| {
        other.number > part.number && part.from < other.from && other.from < part.to
    };
    let later = all.iter().map(|(_, other)| other).filter(|other| is_within(other));
    let cut = later.map(|other| other.from).min();
    cut.and_then(|size| part.cut(size, &Erasures::default())).unwrap_or(part)
}

/// Hashes the leaves of the last part behind those of `frontier`. Returns how far that came, and why no farther.
fn hash(
    set: &PartSet,
    frontier: Frontier,
    arity: Arity,
    hasher: &dyn Hasher,
) -> (Frontier, Option<Error>) {
    let before = frontier.clone();
    let (mut frontier, end) = (frontier, set.end());
    while frontier.size().get() < end {
        let at = frontier.size().get();
        // The leaves up to a damaged block count.
        let mut step = STEP.min(end - at);
        let leaves = loop {
            match read_leaves(set, at..at + step) {
                Ok(leaves) => break leaves,
                Err(error) if step == 1 => return (frontier, Some(error)),
                Err(_) => step = step.div_ceil(2),
            }
        };
        if let Err(error) = frontier.append_many(hasher, &leaves) {
            return (
                frontier,
                Some(Error::io("hash", "", std::io::Error::other(error.to_string()))),
            );
        }
    }
    // Nodes that cannot be read prove nothing, and are no reason not to take the leaves.
    match Frontier::read(set, arity, TreeSize(end)) {
        Ok(stored) if stored.nodes() != frontier.nodes() => {
            let fault = std::io::Error::other("its leaves are not those of its nodes");
            (before, Some(Error::io("verify", "", fault)))
        }
        _ => (frontier, None),
    }
}

fn skip(skipped: &mut Vec<Skipped>, file: PathBuf, error: &Error) {
    skipped.push(Skipped { file, reason: error.to_string() });
}
