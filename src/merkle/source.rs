//! Where complete nodes come from: memory, mapped parts, a test's vector.

use super::types::{Hash, Level, NodeIndex};

/// Read access to the complete nodes of one tree.
///
/// Roots and proofs are computed against this, so that every storage is served by the same code.
///
/// ```
/// use std::convert::Infallible;
///
/// use duramen::merkle::{
///     Arity, Blake3, Hash, Hasher, InclusionProof, LeafIndex, Level, NodeIndex, NodeSource,
///     RightEdge, TreeSize,
/// };
///
/// /// Vectors of leaves and their complete parents.
/// struct TwoLevels([Vec<Hash>; 2]);
///
/// impl NodeSource for TwoLevels {
///     type Error = Infallible;
///
///     fn read_nodes(
///         &self,
///         level: Level,
///         first: NodeIndex,
///         out: &mut [Hash],
///     ) -> Result<(), Infallible> {
///         let first = first.get() as usize;
///         out.copy_from_slice(&self.0[usize::from(level.0)][first..first + out.len()]);
///         Ok(())
///     }
/// }
///
/// // Six leaves: one complete node of four, and two that are folded on demand.
/// let leaves: Vec<Hash> = ["a", "b", "c", "d", "e", "f"].map(|s| Blake3.leaf(s.as_bytes())).into();
/// let source = TwoLevels([leaves.clone(), vec![Blake3.node(&leaves[..4])]]);
/// let edge = RightEdge::fold(&source, &Blake3, Arity::Four, TreeSize(6))?;
/// let proof = InclusionProof::build(&source, &edge, LeafIndex(4))?;
///
/// // A verifier that trusts the head.
/// let head = edge.head();
/// proof.verify(&Blake3, Arity::Four, &head, LeafIndex(4), &Blake3.leaf(b"e"))?;
/// assert!(proof.verify(&Blake3, Arity::Four, &head, LeafIndex(4), &Blake3.leaf(b"x")).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

    /// The complete nodes `[first, first + count)` of `level` as they lie in memory, side by side,
    /// for a source that has them so. `None` where it has not, and always unless overridden:
    /// [`read_nodes`](Self::read_nodes) is asked then.
    #[inline]
    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let _ = (level, first, count);
        None
    }
}
