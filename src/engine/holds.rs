//! Which parts backups still need. Removes nothing.

use crate::fs::FileName;
use crate::part::PartRef;
use crate::sync::Mutex;

/// A part that the manifest in force no longer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retired {
    pub(super) name: FileName,
    /// Whether the part has entries, so that it is wiped once the store has erased some.
    pub(super) keeps_entries: bool,
}

impl Retired {
    pub(super) fn of(part: &PartRef) -> Self {
        Self { name: part.number.file(), keeps_entries: part.entry_bytes > 0 }
    }
}

/// The holds on files of parts, and the files to remove when they end.
#[derive(Debug, Default)]
pub(super) struct Holds {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// For each hold, the number of the first part that is too new for it.
    beyond: Vec<u64>,
    retired: Vec<Retired>,
}

impl State {
    fn need(&self, part: FileName) -> bool {
        self.beyond.iter().any(|beyond| part.number < *beyond)
    }

    /// Keeps those of `parts` that a hold needs, and returns the others.
    fn keep(&mut self, parts: impl IntoIterator<Item = Retired>) -> Vec<Retired> {
        let (held, free) = parts.into_iter().partition::<Vec<_>, _>(|part| self.need(part.name));
        self.retired.extend(held);
        free
    }
}

impl Holds {
    /// Begins a hold on all parts with numbers below `beyond`.
    pub(super) fn begin(&self, beyond: u64) {
        self.state.lock().beyond.push(beyond);
    }

    /// Ends a hold with this `beyond`. Returns the parts that can be removed now.
    pub(super) fn end(&self, beyond: u64) -> Vec<Retired> {
        let mut state = self.state.lock();
        if let Some(own) = state.beyond.iter().position(|other| *other == beyond) {
            state.beyond.swap_remove(own);
        }
        let retired = std::mem::take(&mut state.retired);
        state.keep(retired)
    }

    /// Notes that the manifest in force no longer names `parts`. Returns those that can be removed now.
    pub(super) fn retire(&self, parts: impl Iterator<Item = Retired>) -> Vec<Retired> {
        self.state.lock().keep(parts)
    }

    /// The parts with entries that are given up when the holds on them end.
    pub(super) fn unwiped(&self) -> Vec<FileName> {
        let state = self.state.lock();
        state.retired.iter().filter(|part| part.keeps_entries).map(|part| part.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartId;

    #[test]
    fn a_hold_needs_every_part_that_has_a_number_when_it_begins() {
        let holds = State { beyond: vec![5, 3], retired: Vec::new() };
        let needed = (1..8).filter(|number| holds.need(PartId(*number).file()));
        assert_eq!(needed.collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
