//! Which parts backups still need. Removes nothing.

use crate::fs::FileName;
use crate::sync::Mutex;

/// The holds on files of parts, and the files to remove when they end.
#[derive(Debug, Default)]
pub(super) struct Holds {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// For each hold, the number of the first part that is too new for it.
    beyond: Vec<u64>,
    retired: Vec<FileName>,
}

impl State {
    fn need(&self, part: &FileName) -> bool {
        self.beyond.iter().any(|beyond| part.number < *beyond)
    }

    /// Keeps those of `parts` that a hold needs, and returns the others.
    fn keep(&mut self, parts: impl IntoIterator<Item = FileName>) -> Vec<FileName> {
        let (held, free) = parts.into_iter().partition::<Vec<_>, _>(|part| self.need(part));
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
    pub(super) fn end(&self, beyond: u64) -> Vec<FileName> {
        let mut state = self.state.lock();
        if let Some(own) = state.beyond.iter().position(|other| *other == beyond) {
            state.beyond.swap_remove(own);
        }
        let retired = std::mem::take(&mut state.retired);
        state.keep(retired)
    }

    /// Notes that the manifest in force no longer names `parts`. Returns those that can be removed now.
    pub(super) fn retire(&self, parts: impl Iterator<Item = FileName>) -> Vec<FileName> {
        self.state.lock().keep(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartId;

    #[test]
    fn a_hold_needs_every_part_that_has_a_number_when_it_begins() {
        let holds = State { beyond: vec![5, 3], retired: Vec::new() };
        let needed = (1..8).filter(|number| holds.need(&PartId(*number).file()));
        assert_eq!(needed.collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
