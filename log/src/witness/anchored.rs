//! How much a witness has recorded, kept in an anchor outside its store.
//!
//! A store that was restored from a backup looks whole, and does not know what was cosigned since: it would cosign another
//! continuation. A second copy that runs beside the first would do the same.
//!
//! # Invariants
//!
//! - A cosignature is answered only when the anchor has its record.
//! - What is in the anchor only grows: within a generation by its size, and then to the next generation.

use std::cmp::Ordering;
use std::sync::Arc;

use duramen::TreeSize;
use tokio::sync::Mutex;

use super::error::WitnessError;
use super::history::{Generation, number_of};
use crate::anchor::{Anchor, Anchored};

/// The anchor of a witness.
#[derive(Debug)]
pub(super) struct Recorded {
    anchor: Arc<dyn Anchor>,
    /// The name of the witness's first key.
    name: String,
    /// What the anchor holds.
    last: Mutex<Option<Anchored>>,
}

impl Recorded {
    /// Compares the anchor with the records of `generation`, and has it hold them. `first` says that there is none yet.
    pub(super) fn open(
        anchor: Arc<dyn Anchor>,
        name: &str,
        generation: &Generation,
        first: bool,
    ) -> Result<Self, WitnessError> {
        let found = anchor.load()?;
        let size = generation.tree.durable_size();
        match &found {
            Some(_) if first => return Err(WitnessError::AnchorExists { name: name.to_owned() }),
            None if size > TreeSize(0) && !first => {
                return Err(WitnessError::NoAnchor { name: name.to_owned(), records: size.get() });
            }
            Some(anchored) => compare(anchored, name, generation)?,
            None => {}
        }
        let new = present(name, generation)?;
        if found.as_ref() != Some(&new) {
            anchor.replace(found.as_ref(), &new)?;
        }
        Ok(Self { anchor, name: name.to_owned(), last: Mutex::new(Some(new)) })
    }

    /// Has the anchor hold the record `index` of `generation`, which is durable, and all that are durable besides. Requests
    /// that ask at the same time share a replacement.
    pub(super) async fn hold(
        &self,
        generation: &Arc<Generation>,
        index: u64,
    ) -> Result<(), WitnessError> {
        let mut last = self.last.lock().await;
        let tree = generation.tree.name().as_str();
        let holds = |last: &Anchored| last.store == tree && last.head.size > TreeSize(index);
        if last.as_ref().is_some_and(holds) {
            return Ok(());
        }
        let (anchor, old) = (Arc::clone(&self.anchor), last.clone());
        let (name, generation) = (self.name.clone(), Arc::clone(generation));
        let replace = move || {
            let new = present(&name, &generation)?;
            anchor.replace(old.as_ref(), &new)?;
            Ok::<_, WitnessError>(new)
        };
        let replaced = tokio::task::spawn_blocking(replace).await;
        *last = Some(replaced.map_err(|_| WitnessError::GivenUp)??);
        Ok(())
    }
}

/// What the anchor is to hold of a generation.
fn present(name: &str, generation: &Generation) -> Result<Anchored, WitnessError> {
    let store = generation.tree.name().as_str().to_owned();
    Ok(Anchored { origin: name.to_owned(), store, head: generation.tree.durable_head()? })
}

/// Refuses a store that does not have what the anchor holds.
fn compare(anchored: &Anchored, name: &str, generation: &Generation) -> Result<(), WitnessError> {
    let tree = &generation.tree;
    let size = tree.durable_size();
    let rolled_back = || WitnessError::RolledBack {
        anchored: format!("{} records of {}", anchored.head.size, anchored.store),
        found: format!("{size} of {}", tree.name()),
    };
    let forked =
        || WitnessError::Forked { tree: anchored.store.clone(), records: anchored.head.size.get() };
    if anchored.origin != name {
        return Err(WitnessError::OtherAnchor {
            expected: name.to_owned(),
            found: anchored.origin.clone(),
        });
    }
    let number = number_of(&anchored.store).ok_or_else(forked)?;
    match generation.number.cmp(&number) {
        Ordering::Less => Err(rolled_back()),
        Ordering::Equal if size < anchored.head.size => Err(rolled_back()),
        Ordering::Equal if tree.head_at(anchored.head.size)?.root != anchored.head.root => {
            Err(forked())
        }
        Ordering::Equal => Ok(()),
        // The witness ended after the next generation was durable and before the anchor held it.
        Ordering::Greater if generation.number == number + 1 => Ok(()),
        Ordering::Greater => Err(forked()),
    }
}
