//! The records of a witness in its store, and how old ones are dropped.
//!
//! A record is a cosigned checkpoint, as text: an entry of the tree `cosigned-N`. The last record of a log is the one that
//! counts. So a cosignature costs one append, and the appends of all logs share one sync.
//!
//! Such a tree is a *generation*. Once it has many more records than there are logs, the last record of each log goes into
//! the tree of the next generation, in one batch, and when that is durable the old tree is dropped.
//!
//! # Invariants
//!
//! - The last generation that has a record has the last record of every log: the batch is in it whole, or not at all.
//! - Nothing is added to a generation once the batch for the next one was committed.

use std::ops::ControlFlow;
use std::sync::Arc;

use duramen::tlog::{Checkpoint, SignedNote, TlogError};
use duramen::{Arity, DynAccumulator, EntryConfig, Rfc6962Sha256, Store, TreeConfig, TreeHead};

use super::error::WitnessError;
use super::limits::MAX_REQUEST;
use super::signer::WitnessSigner;
use crate::number::number;

/// What the name of a generation's tree begins with.
const PREFIX: &str = "cosigned-";

/// The records since old ones were dropped last.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) tree: DynAccumulator,
}

/// A checkpoint that was cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) origin: String,
    pub(super) head: TreeHead,
    /// The time of the cosignature, in seconds since 1970.
    pub(super) time: u64,
}

impl Record {
    /// Reads a record. `keys` are those of the witness, by which the time is found; 0 if none of them cosigned.
    fn read(bytes: &[u8], keys: &[Arc<dyn WitnessSigner>]) -> Result<Self, TlogError> {
        // A byte that is not of UTF-8 becomes a character that no record has.
        let note: SignedNote = String::from_utf8_lossy(bytes).parse()?;
        let checkpoint: Checkpoint = note.unverified_text().parse()?;
        let own = note.signatures().iter().filter(|signature| {
            let mut keys = keys.iter();
            keys.any(|key| key.key_id() == signature.id() && key.key_name() == signature.name())
        });
        let time = own.filter_map(|signature| signature.bytes().first_chunk().copied());
        let time = time.map(u64::from_be_bytes).max().unwrap_or(0);
        Ok(Self { origin: checkpoint.origin().to_owned(), head: checkpoint.head(), time })
    }
}

/// The number of the generation whose tree has this name.
pub(super) fn number_of(tree: &str) -> Option<u64> {
    number(tree.strip_prefix(PREFIX)?)
}

/// The current generation of a store of the witness `name`. Creates the first one in a store that is said to be `new`.
pub(super) fn open(store: &Store, name: &str, new: bool) -> Result<Generation, WitnessError> {
    let trees = store.trees()?;
    let mut found: Vec<_> = trees
        .iter()
        .filter_map(|info| Some((number_of(info.name.as_str())?, info.size.get())))
        .collect();
    if found.is_empty()
        && let Some(other) = trees.first()
    {
        return Err(WitnessError::NotAWitness { tree: other.name.clone() });
    }
    match (found.is_empty(), new) {
        (true, false) => return Err(WitnessError::NewStore { name: name.to_owned() }),
        (false, true) => return Err(WitnessError::NotNew { name: name.to_owned() }),
        _ => {}
    }
    found.sort_unstable();
    let current = found.iter().rev().find(|(_, size)| *size > 0).or(found.last());
    let generation = create(store, current.map_or(1, |(number, _)| *number))?;
    generation.tree.flush()?;
    Ok(generation)
}

/// Drops the generations that are not the current one.
pub(super) fn drop_others(current: &Generation) -> Result<(), WitnessError> {
    let store = current.tree.store();
    for info in store.trees()? {
        if number_of(info.name.as_str()).is_some_and(|number| number != current.number) {
            drop(store.drop_tree(&info.name)?);
        }
    }
    Ok(())
}

fn create(store: &Store, number: u64) -> Result<Generation, WitnessError> {
    let most = u32::try_from(2 * MAX_REQUEST).unwrap_or(u32::MAX);
    let tree = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
    let name = format!("{PREFIX}{number}");
    let tree = match store.existing_tree(&name) {
        Err(duramen::Error::NoTree { .. }) => {
            store.tree_dyn(&name, tree.entries(EntryConfig::new().longest(most)?))?
        }
        tree => tree?,
    };
    Ok(Generation { number, tree })
}

/// Reads all records in order.
pub(super) fn read_all(
    generation: &Generation,
    keys: &[Arc<dyn WitnessSigner>],
    mut each: impl FnMut(u64, Record),
) -> Result<(), WitnessError> {
    let mut entries = generation.tree.entries(0..generation.tree.size().get())?;
    let read = entries.try_visit(|index, bytes| match Record::read(bytes, keys) {
        Ok(record) => {
            each(index.get(), record);
            ControlFlow::Continue(())
        }
        Err(reason) => {
            let tree = generation.tree.name().clone();
            ControlFlow::Break(WitnessError::Record { tree, index: index.get(), reason })
        }
    })?;
    match read {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A generation could not be ended.
#[derive(Debug)]
pub(super) struct NotEnded {
    pub(super) error: WitnessError,
    /// Whether nothing of the next generation can be there. The old one may then be added to.
    pub(super) is_unchanged: bool,
}

/// Puts the records of `old` at `indexes`, which are the last ones of all logs, into the next generation. Returns it, once
/// it is durable. Record `i` of it is the one that was at `indexes[i]`.
pub(super) fn next(old: &Generation, indexes: &[u64]) -> Result<Generation, NotEnded> {
    let store = old.tree.store();
    let unchanged = |error: WitnessError| NotEnded { error, is_unchanged: true };
    let doubtful = |error: duramen::Error| NotEnded { error: error.into(), is_unchanged: false };
    let gather = || -> Result<_, WitnessError> {
        let new = create(&store, old.number + 1)?;
        let mut batch = store.batch();
        for index in indexes {
            batch.insert_entry(&new.tree, old.tree.entry(*index)?)?;
        }
        Ok((new, batch))
    };
    let (new, batch) = gather().map_err(unchanged)?;
    let committed = batch.commit().map_err(|error| unchanged(error.into()))?;
    let durable = store.flush_async().and_then(|_| committed.token.wait());
    durable.map_err(doubtful)?;
    Ok(new)
}

/// Drops a generation that another one has replaced. Its space is freed by the next checkpoint of the store.
pub(super) fn drop_old(old: &Generation) {
    if let Err(error) = old.tree.store().drop_tree(old.tree.name()) {
        // The next open drops it.
        tracing::warn!(tree = %old.tree.name(), %error, "old records are not dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_generation_has_one_spelling() {
        assert_eq!(number_of("cosigned-7"), Some(7));
        for other in ["cosigned-+7", "cosigned-07", "cosigned-", "cosigned-x", "7"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
