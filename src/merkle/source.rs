//! Where complete nodes come from: memory, mapped parts, a test's vector.

use super::types::{Hash, Level, NodeIndex};

/// Read access to the complete nodes of one tree.
///
/// Roots and proofs are computed against this, so that every storage is served by the same code.
pub trait NodeSource {
    /// What a failed read reports.
    type Error;

    /// Copies the complete nodes `[first, first + out.len())` of `level` into `out`.
    ///
    /// The caller asks only for nodes that are complete at the size it works with.
    ///
    /// # Errors
    ///
    /// Fails if the storage cannot be read or is damaged; `out` is then unspecified.
    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), Self::Error>;
}
