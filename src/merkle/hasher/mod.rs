//! The hash function of a tree.

mod blake3;
#[cfg(feature = "keccak")]
mod keccak;
#[cfg(feature = "poseidon")]
mod poseidon;
mod rfc6962;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::types::{Arity, Hash};

pub use super::hasher::blake3::Blake3;
#[cfg(feature = "keccak")]
pub use keccak::Keccak256;
#[cfg(feature = "poseidon")]
pub use poseidon::PoseidonBn254;
pub use rfc6962::Rfc6962Sha256;

/// The stable name of a hasher, recorded in every store and every proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HasherId(&'static str);

impl HasherId {
    /// Names a hasher. The name is 1 to 32 bytes of lower-case ASCII letters, digits and `-`, and
    /// never changes its meaning.
    ///
    /// # Panics
    ///
    /// On a name of another form; a name is a constant of the program, so this shows when it is
    /// compiled or first run.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            Self::is_name(name),
            "a hasher's name is 1 to 32 lower-case letters, digits and '-'"
        );
        Self(name)
    }

    /// Whether a hasher may have this name: 1 to 32 bytes of lower-case ASCII letters, digits and `-`.
    #[must_use]
    pub const fn is_name(name: &str) -> bool {
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
                return false;
            }
            at += 1;
        }
        matches!(bytes.len(), 1..=32)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for HasherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The hash function of a tree: how raw data becomes a leaf, and children a parent.
///
/// All functions are pure. Two hashers with the same [`id`](Hasher::id) must return the same bytes
/// for the same input, forever: a store is reopened by the id.
pub trait Hasher: Send + Sync + 'static {
    /// The stable name of this hash function.
    fn id(&self) -> HasherId;

    /// The leaf for raw `data`, kept apart from inner nodes by its own domain.
    fn leaf(&self, data: &[u8]) -> Hash;

    /// Begins the leaf for raw data that comes in pieces, such as from a file that is larger than memory.
    ///
    /// The result equals [`leaf`](Hasher::leaf) of all the pieces in one, wherever they are cut. By
    /// default the pieces are kept until the end; a hasher overrides this to keep a state of fixed size.
    ///
    /// ```
    /// use duramen::{Blake3, Hasher};
    ///
    /// let mut leaf = Blake3.leaf_in_pieces();
    /// leaf.update(b"half ");
    /// leaf.update(b"and half");
    /// assert_eq!(leaf.finish(), Blake3.leaf(b"half and half"));
    /// ```
    fn leaf_in_pieces(&self) -> Box<dyn LeafInPieces + '_> {
        Box::new(Kept { hasher: self, data: Vec::new() })
    }

    /// The leaves for many pieces of raw data: `leaves[i]` becomes the leaf for `data[i]`.
    ///
    /// The result equals [`leaf`](Hasher::leaf) on each; a hasher overrides this to fill vector lanes.
    ///
    /// # Panics
    ///
    /// If `leaves` is not exactly as long as `data`.
    fn leaves(&self, data: &[&[u8]], leaves: &mut [Hash]) {
        assert_eq!(data.len(), leaves.len());
        for (data, leaf) in data.iter().zip(leaves) {
            *leaf = self.leaf(data);
        }
    }

    /// The parent of 2 to 16 `children`. For any other number of them it may panic, or return what is
    /// no node of any tree.
    fn node(&self, children: &[Hash]) -> Hash;

    /// The parents of many complete groups: `parents[i]` becomes the parent of
    /// `children[i * N..(i + 1) * N]`, with `N` the arity.
    ///
    /// The result equals [`node`](Hasher::node) on every group; a hasher overrides this to fill
    /// vector lanes.
    ///
    /// # Panics
    ///
    /// If `children` is not exactly `N` times as long as `parents`.
    fn nodes(&self, arity: Arity, children: &[Hash], parents: &mut [Hash]) {
        assert_eq!(children.len(), parents.len() * arity.children());
        for (group, parent) in children.chunks_exact(arity.children()).zip(parents) {
            *parent = self.node(group);
        }
    }

    /// The node at the end of a chain of incomplete ones: the first of `groups` is hashed to its parent, and
    /// each further group together with the node so far to the next. A group has 1 to 15 nodes;
    /// a first group of one node is its own parent.
    ///
    /// The result equals [`node`](Hasher::node) called group by group; a hasher overrides this to
    /// hash ahead what does not depend on the node so far.
    ///
    /// # Panics
    ///
    /// If there is no group or a group is empty or longer.
    fn chain(&self, groups: &[&[Hash]]) -> Hash {
        let (first, others) = chain_of(groups);
        node_by_node(self, first, others)
    }

    /// The root of the tree without leaves.
    fn empty_root(&self) -> Hash;

    /// The position of the first of `leaves` that this hash function cannot take, for hashers whose
    /// input is a field element. Every other hasher takes any 32 bytes.
    fn first_refused(&self, leaves: &[Hash]) -> Option<usize> {
        let _ = leaves;
        None
    }
}

/// A leaf whose data comes in pieces: what [`Hasher::leaf_in_pieces`] begins.
pub trait LeafInPieces {
    /// Adds a piece of data, of any length, behind those before.
    fn update(&mut self, data: &[u8]);

    /// The leaf for all the data.
    fn finish(self: Box<Self>) -> Hash;
}

/// The pieces as they came.
struct Kept<'a, H: ?Sized> {
    hasher: &'a H,
    data: Vec<u8>,
}

impl<H: Hasher + ?Sized> LeafInPieces for Kept<'_, H> {
    fn update(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }

    fn finish(self: Box<Self>) -> Hash {
        self.hasher.leaf(&self.data)
    }
}

/// Takes the first of the groups of a chain, and checks them.
fn chain_of<'a, 'b>(groups: &'a [&'b [Hash]]) -> (&'b [Hash], &'a [&'b [Hash]]) {
    assert!(
        groups.iter().all(|group| (1..Arity::MAX).contains(&group.len())),
        "a group of a chain has 1 to 15 nodes"
    );
    assert!(!groups.is_empty(), "a chain has a group");
    (groups[0], &groups[1..])
}

/// The chain as it is defined.
fn node_by_node<H: Hasher + ?Sized>(hasher: &H, first: &[Hash], others: &[&[Hash]]) -> Hash {
    let mut node = match first {
        [single] => *single,
        several => hasher.node(several),
    };
    let mut children = [[0; 32]; Arity::MAX];
    for group in others {
        children[..group.len()].copy_from_slice(group);
        children[group.len()] = node;
        node = hasher.node(&children[..=group.len()]);
    }
    node
}
