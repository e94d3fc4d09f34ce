//! What was done and what was found.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Counts and broken promises.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    found: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn count(&self, what: &'static str, number: u64) {
        *self.counts.lock().unwrap().entry(what).or_default() += number;
    }

    pub(crate) fn found(&self, what: String) {
        println!("BROKEN PROMISE: {what}");
        self.found.lock().unwrap().push(what);
    }

    /// Prints one line of figures; returns whether nothing was found.
    pub(crate) fn report(&self, name: &str, seed: u64) -> bool {
        let counts = self.counts.lock().unwrap();
        let counts: Vec<_> =
            counts.iter().map(|(what, number)| format!("{number} {what}")).collect();
        let found = self.found.lock().unwrap().len();
        let verdict = if found == 0 {
            "0 acknowledged leaves lost, 0 phantoms, 0 wrong roots, 0 hung".to_owned()
        } else {
            format!("{found} BROKEN PROMISES")
        };
        println!("{name}: {}: {verdict} (--seed {seed})", counts.join(", "));
        found == 0
    }
}
