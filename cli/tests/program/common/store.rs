//! A store with a few dozen entries, and the reference tree over them.

use serde_json::Value;

use super::{Function, Hash, Place, duramen, given, hex, lines, printed, printed_json};

/// How many entries the stores of these tests have.
pub(crate) const COUNT: usize = 61;

/// The entries, one per line.
pub(crate) fn text() -> String {
    (0..COUNT).map(|n| format!("entry {n}\n")).collect()
}

/// A store of `COUNT` lines and the trusted heads of all its sizes.
pub(crate) struct Store {
    pub(crate) place: Place,
    pub(crate) function: Function,
    pub(crate) arity: usize,
    pub(crate) leaves: Vec<Hash>,
}

impl Store {
    pub(crate) fn new(function: Function, arity: usize) -> Self {
        let place = Place::new();
        let flags = format!(
            "append DIR --hasher {} --arity {arity} --checkpoint-policy close",
            function.flag()
        );
        printed(given(&place, &flags, text()));
        Self { place, function, arity, leaves: lines(function, text().as_bytes()) }
    }

    pub(crate) fn head(&self, size: usize) -> String {
        format!("{size}:{}", hex(&self.function.root(self.arity, &self.leaves[..size])))
    }

    pub(crate) fn leaf(&self, index: usize) -> String {
        hex(&self.leaves[index])
    }

    pub(crate) fn prove(&self, index: usize, size: usize) -> Value {
        let line = format!("prove DIR {index} --size {size} --json");
        printed_json(duramen(&self.place, &line))
    }

    /// Runs `verify inclusion` with the proof on standard input.
    pub(crate) fn verify(&self, proof: &str, flags: &str) -> assert_cmd::Command {
        given(&self.place, &format!("verify inclusion - {flags}"), proof)
    }
}
