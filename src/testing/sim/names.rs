//! The names of one file over time, of which a power cut leaves one or none.
//!
//! # Invariant
//!
//! A file has at most one name at any time. A rename replaces one state by the next in a single step,
//! so whichever state is left, the file is there under one of its names.

use std::collections::BTreeMap;

use super::choice::{Chooser, Stamp, take_before};
use crate::fs::FileName;

/// A name, or none, and the operation that gave it.
type State = (Stamp, Option<FileName>);

#[derive(Clone, Debug)]
pub(super) struct Names {
    durable: State,
    unsynced: Vec<State>,
    current: State,
    /// The newest name there was, for messages.
    last: FileName,
}

impl Names {
    /// A file that has just been created: nothing of its name is durable.
    pub(super) fn created(stamp: Stamp, name: FileName) -> Self {
        let current = (stamp, Some(name));
        Self { durable: (stamp, None), unsynced: vec![current], current, last: name }
    }

    /// A name that is on the disk already.
    pub(super) fn durable(stamp: Stamp, name: FileName) -> Self {
        let state = (stamp, Some(name));
        Self { durable: state, unsynced: Vec::new(), current: state, last: name }
    }

    pub(super) fn last(&self) -> FileName {
        self.last
    }

    pub(super) fn change(&mut self, stamp: Stamp, name: Option<FileName>) {
        self.current = (stamp, name);
        self.unsynced.push(self.current);
        self.last = name.unwrap_or(self.last);
    }

    /// Decides what becomes durable of the changes made before `before`.
    pub(super) fn settle(&mut self, before: Stamp, chooser: &mut Chooser) {
        let settled = take_before(&mut self.unsynced, before);
        if let Some(index) = chooser.state(&settled) {
            self.durable = settled[index];
        }
    }

    /// Whether the file has a name, or may have one after a power cut.
    pub(super) fn may_be_found(&self) -> bool {
        let states = self.unsynced.iter().chain([&self.durable, &self.current]);
        states.into_iter().any(|(_, name)| name.is_some())
    }

    /// The stamps of all unsynced changes of the name.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = Stamp> {
        self.unsynced.iter().map(|(stamp, _)| *stamp)
    }

    /// The states a power cut may leave, oldest first. The newest of all comes last: it is what is
    /// left where another file has taken the place.
    fn states(&self) -> Vec<State> {
        let mut states = vec![self.durable];
        states.extend(&self.unsynced);
        states.push(self.current);
        states
    }
}

/// Which name each file has after a power cut, for files that have one.
pub(super) fn after_crash<Id: Copy + Ord>(
    files: &[(Id, &Names)],
    chooser: &mut Chooser,
) -> BTreeMap<Id, FileName> {
    let mut picks: Vec<_> = files
        .iter()
        .map(|(_, names)| {
            let index = chooser.state(&names.unsynced).map_or(0, |index| index + 1);
            (names.states(), index)
        })
        .collect();
    // A name whose next owner is there was given up by the one before: that one moves on in time,
    // past its newest state at the latest. So this ends.
    while let Some(earlier) = clash(&picks) {
        picks[earlier].1 += 1;
    }
    let named = files.iter().zip(&picks);
    named.filter_map(|((id, _), (states, index))| Some((*id, states.get(*index)?.1?))).collect()
}

/// Of two files that claim one name, the one that had it earlier.
fn clash(picks: &[(Vec<State>, usize)]) -> Option<usize> {
    let mut owners = BTreeMap::new();
    for (file, (states, index)) in picks.iter().enumerate() {
        let Some((stamp, Some(name))) = states.get(*index).copied() else { continue };
        if let Some((other_stamp, other)) = owners.insert(name, (stamp, file)) {
            return Some(if other_stamp < stamp { other } else { file });
        }
    }
    None
}
