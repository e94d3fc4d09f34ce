//! Keccak-256 as Ethereum uses it.

use alloc::boxed::Box;

use sha3::{Digest, Keccak256 as Function};

use super::{Hasher, HasherId, LeafInPieces};
use crate::merkle::types::Hash;

/// Keccak-256, the hash function of Ethereum (not SHA3-256, which pads otherwise).
///
/// | value | definition | in Solidity |
/// | --- | --- | --- |
/// | node | keccak256(child \|\| child \|\| ...) | `keccak256(bytes.concat(left, right))` |
/// | leaf of raw data | keccak256(keccak256(data)) | `keccak256(bytes.concat(keccak256(data)))` |
/// | empty root | 32 zero bytes | `bytes32(0)` |
///
/// A leaf's outer input has 32 bytes and a node's at least 64, so no data is mistaken for children.
///
/// # LeanIMT
///
/// With [`Arity::Two`](crate::Arity::Two) the tree is the LeanIMT of `zk-kit` with this hash
/// function: a node without a right sibling is lifted, the depth follows from the size, and there
/// are no zero leaves that fill it up. What differs is around the tree, not in it:
///
/// - A proof there has the same siblings in the same order. Its `index` is not the leaf's index but
///   the turns of the path, one bit for each level that *has* a sibling, the lowest first; here the
///   turns follow from the leaf's index and the size.
/// - Verification there takes a root alone and believes the proof's index and length; here it takes
///   a size too.
/// - The contracts there refuse the leaf 0 and a leaf that is in the tree already; here any leaf is
///   taken, any number of times. Their root of an empty tree is 0 as well.
/// - Leaves can be updated there; here they cannot.
///
/// ```
/// use duramen::{Hasher, Keccak256, MemoryAccumulator};
///
/// let mut tree = MemoryAccumulator::<Keccak256, 2>::new();
/// tree.extend(&[[1; 32], [2; 32], [3; 32]])?;
/// let pair = Keccak256.node(&[[1; 32], [2; 32]]);
/// assert_eq!(tree.head()?.root, Keccak256.node(&[pair, [3; 32]]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Keccak256;

impl Hasher for Keccak256 {
    fn id(&self) -> HasherId {
        const { HasherId::new("keccak256") }
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Function::digest(Function::digest(data)).into()
    }

    fn leaf_in_pieces(&self) -> Box<dyn LeafInPieces + '_> {
        Box::new(Leaf(Function::new()))
    }

    fn node(&self, children: &[Hash]) -> Hash {
        Function::digest(children.as_flattened()).into()
    }

    fn empty_root(&self) -> Hash {
        [0; 32]
    }
}

struct Leaf(Function);

impl LeafInPieces for Leaf {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Hash {
        Function::digest(self.0.finalize()).into()
    }
}
