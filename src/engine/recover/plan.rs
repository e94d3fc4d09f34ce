//! Where the log goes on after it was read. Pure.
//!
//! # Invariant
//!
//! After an unclean stop the log goes on at the start of a segment under a new key, and a manifest that
//! names the key and says where the old stretch ended is durable before anything is written there. So
//! bytes behind a torn end are never read again.

/// What was found that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// Whether the store was closed in order and nothing was written since.
    pub(super) clean: bool,
    /// Whether there are files to recycle or to remove: only behind a manifest of this process.
    pub(super) leftovers: bool,
    /// Whether the log ends in a segment that holds nothing of it.
    pub(super) blank: bool,
    /// Whether that segment is long enough to be used.
    pub(super) long: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: the log goes on where it ended.
    GoOn,
    /// The log goes on where it ended; a manifest of this process is made durable.
    Publish,
    /// The log begins again in the segment in which it ended, under a new key.
    BeginAgain,
    /// The log begins in another segment, under a new key.
    BeginFresh,
}

pub(super) fn plan(found: Situation) -> Plan {
    match found {
        Situation { clean: true, leftovers: false, .. } => Plan::GoOn,
        Situation { clean: true, leftovers: true, .. } => Plan::Publish,
        // What stands in a segment that holds nothing is of no life that the new key gives it.
        Situation { clean: false, blank: true, long: true, .. } => Plan::BeginAgain,
        Situation { clean: false, .. } => Plan::BeginFresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: clean, leftovers, blank, long.
    #[test]
    fn the_plan_of_every_situation_stands_in_this_table() {
        use Plan::{BeginAgain, BeginFresh, GoOn, Publish};
        #[rustfmt::skip]
        let table = [
            (0b0000, BeginFresh), (0b0001, BeginFresh), (0b0010, BeginFresh), (0b0011, BeginAgain),
            (0b0100, BeginFresh), (0b0101, BeginFresh), (0b0110, BeginFresh), (0b0111, BeginAgain),
            (0b1000, GoOn),       (0b1001, GoOn),       (0b1010, GoOn),       (0b1011, GoOn),
            (0b1100, Publish),    (0b1101, Publish),    (0b1110, Publish),    (0b1111, Publish),
        ];
        for (row, (bits, expected)) in table.into_iter().enumerate() {
            assert_eq!(row, bits);
            let bit = |number: usize| bits >> number & 1 == 1;
            let found = Situation { clean: bit(3), leftovers: bit(2), blank: bit(1), long: bit(0) };
            assert_eq!(plan(found), expected, "{found:?}");
        }
    }
}
