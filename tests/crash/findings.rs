//! Broken promises, counted by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::Mutex;

/// The kinds of broken promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An acknowledged or shown leaf is gone.
    Lost,
    /// A leaf that was not submitted, or not there.
    Phantom,
    /// A part of a batch.
    TornBatch,
    WrongRoot,
    WrongProof,
    /// The store does not open any more.
    Refused,
    /// Neither the old nor the new checkpoint.
    Checkpoint,
    /// A call that should have failed, or should not have.
    Answer,
}

/// One broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Finding {
    pub(crate) fn new(kind: Kind, text: impl fmt::Display) -> Self {
        Self { kind, text: text.to_string() }
    }

    pub(crate) fn context(mut self, context: impl fmt::Display) -> Self {
        self.text = format!("{}\n    {context}", self.text);
        self
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Finding>;

/// What a run looked at and found. Shared by the threads of a test.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<&'static str, u64>,
    kinds: BTreeMap<Kind, u64>,
    examples: Vec<Finding>,
}

/// How many findings are printed in full.
const EXAMPLES: usize = 5;

impl Tally {
    pub(crate) fn count(&self, what: &'static str, number: u64) {
        *self.state.lock().unwrap().counts.entry(what).or_default() += number;
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.state.lock().unwrap().counts.get(what).copied().unwrap_or(0)
    }

    /// Everything that was counted, findings too.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let state = self.state.lock().unwrap();
        let counts = state.counts.iter().map(|(what, number)| ((*what).to_owned(), *number));
        let kinds = state.kinds.iter().map(|(kind, number)| (format!("found {kind:?}"), *number));
        counts.chain(kinds).collect()
    }

    /// Notes a finding; returns whether there is one.
    pub(crate) fn note(&self, outcome: Outcome) -> bool {
        let Err(finding) = outcome else { return false };
        let mut state = self.state.lock().unwrap();
        *state.kinds.entry(finding.kind).or_default() += 1;
        if state.examples.len() < EXAMPLES {
            state.examples.push(finding);
        }
        true
    }

    /// Whether it makes no sense to go on looking.
    pub(crate) fn is_enough(&self) -> bool {
        self.state.lock().unwrap().kinds.values().sum::<u64>() >= 200
    }

    /// Prints one line, past the test harness's capture, and fails if anything was found.
    pub(crate) fn report(&self, name: &str, zeros: &str) {
        let state = self.state.lock().unwrap();
        let counts: Vec<_> =
            state.counts.iter().map(|(what, number)| format!("{number} {what}")).collect();
        let mut line = format!("{name}: {}: ", counts.join(", "));
        if state.kinds.is_empty() {
            line += zeros;
        } else {
            line += &format!("{:?}", state.kinds);
        }
        let _ = writeln!(std::io::stderr(), "{line}");
        if !state.examples.is_empty() {
            let all: Vec<_> = state
                .examples
                .iter()
                .map(|finding| format!("{:?}: {}", finding.kind, finding.text))
                .collect();
            drop(state);
            panic!("broken promises:\n{}", all.join("\n"));
        }
    }
}
