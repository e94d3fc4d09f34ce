//! Decides where the log continues after recovery has read it. Pure.
//!
//! # Invariant
//!
//! After an unclean stop the log continues at the start of a segment under a new key. A manifest that has the key
//! and the end of the old stretch is durable before any group is written there. So bytes behind a torn end are
//! never read again.

/// The facts that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    /// Whether the store was closed cleanly and nothing was written since.
    pub(super) clean: bool,
    /// Whether there are files to recycle or remove, which needs a durable manifest of this process.
    pub(super) leftovers: bool,
    /// Whether the segment in which the log ends has no group of the log.
    pub(super) blank: bool,
    /// Whether that segment is long enough to be reused.
    pub(super) long: bool,
}

/// What recovery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: the log continues where it ended.
    Continue,
    /// Makes a manifest of this process durable. The log continues where it ended.
    Publish,
    /// Begins a new stretch in the segment in which the log ended, under a new key.
    ReuseSegment,
    /// Begins a new stretch in another segment, under a new key.
    NewSegment,
}

pub(super) fn plan(found: Situation) -> Plan {
    match found {
        Situation { clean: true, leftovers: false, .. } => Plan::Continue,
        Situation { clean: true, leftovers: true, .. } => Plan::Publish,
        // Under the new key the segment gets a new life, which no old bytes in it have.
        Situation { clean: false, blank: true, long: true, .. } => Plan::ReuseSegment,
        Situation { clean: false, .. } => Plan::NewSegment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: clean, leftovers, blank, long.
    #[test]
    fn the_plan_of_every_situation_stands_in_this_table() {
        use Plan::{Continue, NewSegment, Publish, ReuseSegment};
        #[rustfmt::skip]
        let table = [
            (0b0000, NewSegment), (0b0001, NewSegment), (0b0010, NewSegment), (0b0011, ReuseSegment),
            (0b0100, NewSegment), (0b0101, NewSegment), (0b0110, NewSegment), (0b0111, ReuseSegment),
            (0b1000, Continue),   (0b1001, Continue),   (0b1010, Continue),   (0b1011, Continue),
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
