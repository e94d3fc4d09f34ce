//! Entries that are submitted to be in a tree once.

use duramen::{Hash, Unique};

use super::model::Model;
use super::state::keeps_entries;
use crate::findings::{Finding, Kind, Outcome};

/// New entries, each twice, and between them some that the tree has: erased or not, durable or not.
pub(crate) struct Submission {
    name: String,
    leaves: Vec<Hash>,
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Submission {
    /// `count` new entries for the tree `name`, and some others. `None` if the tree is not there or takes none.
    pub(crate) fn new(model: &mut Model, name: &str, count: usize) -> Option<Self> {
        let known = model.now.get(name)?;
        if known.sealed || !keeps_entries(known.kind) {
            return None;
        }
        let step = known.leaves.len() / 5 + 1;
        let kept = known.leaves.iter().rev().step_by(step).copied();
        let lost = model.dropped_leaves(name);
        let lost = lost.into_iter().filter(|leaf| model.has_entry(leaf));
        let old: Vec<_> = lost.chain(kept).collect();
        let new = model.new_leaves(name, count).leaves;
        let mut leaves = Vec::new();
        for (at, new) in new.into_iter().enumerate() {
            leaves.push(new);
            leaves.extend(old.get(at % old.len().max(1)));
            leaves.push(new);
        }
        let entries = leaves.iter().map(|leaf| model.entry_of(leaf).to_vec()).collect();
        Some(Self { name: name.to_owned(), leaves, entries })
    }

    /// Checks what the tree has answered, and adds what is new to the model.
    pub(crate) fn settle(&self, model: &mut Model, done: &[Unique]) -> Outcome {
        let known = model.now.get_mut(&self.name).unwrap();
        if done.len() != self.leaves.len() {
            return Err(Finding::new(Kind::Answer, format!("{} answers", done.len())));
        }
        for (leaf, done) in self.leaves.iter().zip(done) {
            // What was pruned is not found any more.
            let base = usize::try_from(known.base).unwrap();
            let left = known.leaves[base..].iter().position(|other| other == leaf);
            let first = left.map(|at| base + at);
            let wanted = (first.is_none(), first.unwrap_or(known.leaves.len()) as u64);
            if (done.is_new(), done.index().0) != wanted {
                let text = format!("{done:?} of {} leaves, not {wanted:?}", known.leaves.len());
                return Err(Finding::new(Kind::Answer, text));
            }
            if first.is_none() {
                known.leaves.push(*leaf);
            }
        }
        Ok(())
    }
}
