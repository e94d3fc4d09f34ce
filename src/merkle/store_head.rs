//! One commitment to the heads of all trees of a store.
//!
//! # Definition
//!
//! The trees are sorted by the bytes of their names. Tree `i` is the leaf
//! `derive_key(TREE_CONTEXT, n ‖ name ‖ h ‖ hasher ‖ arity ‖ size ‖ root)`, where `n` and `h` are the
//! lengths of the names in one byte, the arity has one byte and the size eight, little-endian. The leaves
//! form a binary tree under [`Blake3`]. The commitment is
//! `derive_key(STORE_CONTEXT, count ‖ root of that tree)`, the count of trees in eight bytes,
//! little-endian. `derive_key` is that of BLAKE3.
//!
//! # Invariants
//!
//! - The commitment follows from names, hash functions, arities, sizes and roots alone. Two stores with
//!   equal trees have equal commitments, whatever their ids and the order in which the trees were made.
//! - A proof holds nothing that it does not bind: the count of trees is part of the commitment, so the
//!   number of siblings follows from it and from the position.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

use super::edge::RightEdge;
use super::hasher::{Blake3, Hasher, HasherId};
use super::head::TreeHead;
use super::proof::{InclusionProof, VerifyError};
use super::source::NodeSource;
use super::tree_name::TreeName;
use super::types::{Arity, Hash, LeafIndex, Level, NodeIndex, TreeSize};

/// The BLAKE3 context of a tree's leaf in the store's tree.
pub const TREE_CONTEXT: &str = "duramen 2026-11 head of a tree in a store";
/// The BLAKE3 context of the commitment to a store.
pub const STORE_CONTEXT: &str = "duramen 2026-11 head of a store";

/// The head of one tree of a store, with what the tree is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct NamedHead {
    /// The tree's name.
    pub name: TreeName,
    /// The stable name of the tree's hash function, as [`HasherId`](super::HasherId).
    pub hasher: String,
    /// The tree's arity.
    pub arity: Arity,
    /// Its size and root.
    pub head: TreeHead,
}

impl NamedHead {
    fn leaf(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key(TREE_CONTEXT);
        for name in [self.name.as_str(), &self.hasher] {
            // Both names have at most 255 bytes.
            hasher.update(&[u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            hasher.update(name.as_bytes());
        }
        #[expect(clippy::cast_possible_truncation, reason = "an arity is at most 16")]
        hasher.update(&[self.arity.children() as u8]);
        hasher.update(&self.head.size.get().to_le_bytes());
        hasher.update(&self.head.root);
        hasher.finalize().into()
    }
}

/// The heads of all trees of a store at one moment.
///
/// ```
/// use duramen::merkle::{Arity, Blake3, Hasher, NamedHead, StoreHead, TreeHead, TreeName, TreeSize};
///
/// let leaf = Blake3.leaf(b"a note");
/// let tree = |name, root| NamedHead {
///     name,
///     hasher: "blake3".to_owned(),
///     arity: Arity::Four,
///     head: TreeHead { size: TreeSize(1), root },
/// };
/// let (notes, nullifiers) = (TreeName::new("notes")?, TreeName::new("nullifiers")?);
/// let store = StoreHead::new(vec![tree(notes, leaf), tree(nullifiers, [7; 32])])?;
///
/// // A reader who trusts the commitment alone.
/// let commitment = store.commitment();
/// let proof = store.prove("notes").ok_or("no such tree")?;
/// let head = proof.verify(&commitment)?;
/// assert_eq!(head.root, leaf);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreHead {
    trees: Vec<NamedHead>,
}

impl StoreHead {
    /// The heads `trees`, in any order.
    ///
    /// # Errors
    ///
    /// [`StoreHeadError`] if two trees have one name, or a hash function has a name that none may have.
    pub fn new(mut trees: Vec<NamedHead>) -> Result<Self, StoreHeadError> {
        trees.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        if let Some([tree, _]) = trees.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(StoreHeadError::SameName { name: tree.name.clone() });
        }
        let unnamed = |tree: &&NamedHead| !HasherId::is_name(&tree.hasher);
        if let Some(tree) = trees.iter().find(unnamed) {
            return Err(StoreHeadError::HasherName { found: tree.hasher.clone() });
        }
        Ok(Self { trees })
    }

    /// The trees, sorted by name.
    #[must_use]
    pub fn trees(&self) -> &[NamedHead] {
        &self.trees
    }

    /// The head of the tree `name`. O(log trees).
    #[must_use]
    pub fn tree(&self, name: &str) -> Option<&NamedHead> {
        self.find(name).map(|at| &self.trees[at])
    }

    /// The 32 bytes that commit to all of it. O(trees) hashes.
    #[must_use]
    pub fn commitment(&self) -> Hash {
        commit(self.trees.len() as u64, self.nodes().root())
    }

    /// Proves the head of the tree `name` against the [`commitment`](Self::commitment); `None` if there is
    /// no such tree. O(trees) hashes.
    #[must_use]
    pub fn prove(&self, name: &str) -> Option<TreeProof> {
        let at = self.find(name)?;
        let position = LeafIndex(at as u64);
        let path = self.nodes().path(position)?;
        let count = self.trees.len() as u64;
        Some(TreeProof { tree: self.trees[at].clone(), position, count, path })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.trees.binary_search_by(|tree| tree.name.as_str().cmp(name)).ok()
    }

    fn nodes(&self) -> Nodes {
        let mut levels: Vec<Vec<Hash>> = Vec::new();
        let mut level: Vec<Hash> = self.trees.iter().map(NamedHead::leaf).collect();
        while level.len() > 1 {
            let complete = level.len() / 2;
            let mut parents = alloc::vec![[0; 32]; complete];
            Blake3.nodes(Arity::Two, &level[..2 * complete], &mut parents);
            levels.push(core::mem::replace(&mut level, parents));
        }
        levels.push(level);
        Nodes { levels, size: TreeSize(self.trees.len() as u64) }
    }
}

/// That a tree of a store has a head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TreeProof {
    /// The tree and its head: what is proven.
    pub tree: NamedHead,
    /// The tree's position among the trees of the store, sorted by name.
    pub position: LeafIndex,
    /// How many trees the store has.
    pub count: u64,
    /// The siblings of the tree's leaf.
    pub path: InclusionProof,
}

impl TreeProof {
    /// Verifies the proof against a trusted commitment and returns the head that it proves.
    ///
    /// A leaf is proven up to the commitment by an [`InclusionProof`] against this head. Which tree the
    /// caller means is the caller's to compare: [`tree`](Self::tree) has the proven name, hash function and
    /// arity.
    ///
    /// At most 66 hashes.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] says why nothing was proven.
    pub fn verify(&self, commitment: &Hash) -> Result<&TreeHead, VerifyError> {
        if !HasherId::is_name(&self.tree.hasher) {
            return Err(VerifyError::HasherName);
        }
        let size = TreeSize(self.count);
        let root = self.path.root(&Blake3, Arity::Two, size, self.position, &self.tree.leaf())?;
        let computed = commit(self.count, root);
        if computed != *commitment {
            return Err(VerifyError::RootMismatch { size, computed, trusted: *commitment });
        }
        Ok(&self.tree.head)
    }
}

fn commit(count: u64, root: Hash) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(STORE_CONTEXT);
    hasher.update(&count.to_le_bytes());
    hasher.update(&root);
    hasher.finalize().into()
}

/// The complete nodes over the trees of a store.
struct Nodes {
    levels: Vec<Vec<Hash>>,
    size: TreeSize,
}

impl Nodes {
    fn edge(&self) -> RightEdge {
        match RightEdge::fold(self, &Blake3, Arity::Two, self.size) {
            Ok(edge) => edge,
            Err(never) => match never {},
        }
    }

    fn root(&self) -> Hash {
        self.edge().head().root
    }

    fn path(&self, index: LeafIndex) -> Option<InclusionProof> {
        InclusionProof::build(self, &self.edge(), index).ok()
    }
}

impl NodeSource for Nodes {
    type Error = Infallible;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), Infallible> {
        let nodes = &self.levels[usize::from(level.0)];
        // Only complete nodes are asked for, and all of them are in memory.
        let first = usize::try_from(first.get()).unwrap_or(usize::MAX);
        out.copy_from_slice(&nodes[first..first + out.len()]);
        Ok(())
    }
}

/// Why heads of trees are not the head of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreHeadError {
    /// Two trees have one name.
    SameName {
        /// The name.
        name: TreeName,
    },
    /// The name of a hash function is not 1 to 32 lower-case letters, digits and `-`.
    HasherName {
        /// What was given.
        found: String,
    },
}

impl fmt::Display for StoreHeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { name } => write!(f, "two trees have the name {name:?}"),
            Self::HasherName { found } => {
                f.write_str(
                    "the name of a hash function is 1 to 32 lower-case letters, digits and '-'",
                )?;
                match found.len() {
                    0..=64 => write!(f, ", found {found:?}"),
                    len => write!(f, ", found {len} bytes"),
                }
            }
        }
    }
}

impl core::error::Error for StoreHeadError {}
