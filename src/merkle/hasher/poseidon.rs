//! Poseidon over the scalar field of BN254, as circom uses it.
//!
//! # Invariants
//!
//! - Every leaf made here and every node is a field element, written as 32 big-endian bytes.
//! - No function depends on how a value outside the field would be read: such leaves are refused
//!   before they are hashed.

use alloc::boxed::Box;
use core::cell::RefCell;

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField};
use light_poseidon::{Poseidon, PoseidonHasher};

use super::{Hasher, HasherId, LeafInPieces};
use crate::merkle::types::Hash;

/// The order of the field, big-endian.
const MODULUS: Hash = [
    0x30, 0x64, 0x4e, 0x72, 0xe1, 0x31, 0xa0, 0x29, 0xb8, 0x50, 0x45, 0xb6, 0x81, 0x81, 0x58, 0x5d,
    0x28, 0x33, 0xe8, 0x48, 0x79, 0xb9, 0x70, 0x91, 0x43, 0xe1, 0xf5, 0x93, 0xf0, 0x00, 0x00, 0x01,
];
/// The most inputs that the parameters are known for.
const MOST_INPUTS: usize = 12;
/// How many children of a larger node are hashed on their own.
const LEFT: usize = 8;

std::thread_local! {
    /// The permutation for 1 to 12 inputs. Its parameters are many and its state is written to.
    static PERMUTATIONS: RefCell<[Option<Poseidon<Fr>>; MOST_INPUTS]> =
        const { RefCell::new([const { None }; MOST_INPUTS]) };
}

/// Poseidon over the scalar field of BN254 with the parameters of circom's `Poseidon(n)`.
///
/// Leaves and nodes are elements of the field, each written as 32 **big-endian** bytes, the number
/// that circom and `snarkjs` print. A leaf of another value is refused with
/// [`LeafRefused`](crate::Error::LeafRefused), and so is a proof that holds one.
///
/// | value | definition |
/// | --- | --- |
/// | node of up to 12 children | Poseidon(child, child, ...) |
/// | node of 13 to 16 children | Poseidon(Poseidon(the first 8), Poseidon(the others)) |
/// | leaf of raw data | [`leaf`](Hasher::leaf): 64 bytes of BLAKE3 output, as a big-endian number modulo the field's order |
/// | empty root | 0 |
///
/// With [`Arity::Two`](crate::Arity::Two) the tree is the LeanIMT of `zk-kit` (the one that
/// Semaphore uses); what its proofs and contracts do otherwise stands at
/// `Keccak256`. A node costs some ten microseconds.
///
/// ```
/// use duramen::{Error, MemoryAccumulator, PoseidonBn254};
///
/// let mut tree = MemoryAccumulator::<PoseidonBn254, 2>::new();
/// let (mut one, mut two) = ([0; 32], [0; 32]);
/// (one[31], two[31]) = (1, 2);
/// tree.extend(&[one, two])?;
/// assert_eq!(tree.head()?.root[..4], [0x11, 0x5c, 0xc0, 0xf5]);
/// assert!(matches!(tree.push([0xff; 32]), Err(Error::LeafRefused { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PoseidonBn254;

impl PoseidonBn254 {
    /// The derive-key context under which raw data becomes a leaf.
    pub const LEAF_CONTEXT: &str = "duramen 2026-11 poseidon-bn254 leaf data v1";
}

impl Hasher for PoseidonBn254 {
    fn id(&self) -> HasherId {
        const { HasherId::new("poseidon-bn254") }
    }

    /// 64 bytes of BLAKE3's output for `data` in derive-key mode under
    /// [`PoseidonBn254::LEAF_CONTEXT`], read as a big-endian number, modulo the order of the field:
    /// another function than that of nodes, and close to uniform.
    fn leaf(&self, data: &[u8]) -> Hash {
        finish(blake3::Hasher::new_derive_key(Self::LEAF_CONTEXT).update(data))
    }

    fn leaf_in_pieces(&self) -> Box<dyn LeafInPieces + '_> {
        Box::new(Leaf(blake3::Hasher::new_derive_key(Self::LEAF_CONTEXT)))
    }

    fn node(&self, children: &[Hash]) -> Hash {
        if children.len() > MOST_INPUTS {
            let (left, right) = children.split_at(LEFT);
            return self.node(&[self.node(left), self.node(right)]);
        }
        let mut inputs = [Fr::default(); MOST_INPUTS];
        for (input, child) in inputs.iter_mut().zip(children) {
            *input = Fr::from_be_bytes_mod_order(child);
        }
        bytes(hash(&inputs[..children.len()]))
    }

    fn empty_root(&self) -> Hash {
        [0; 32]
    }

    fn first_refused(&self, leaves: &[Hash]) -> Option<usize> {
        leaves.iter().position(|leaf| *leaf >= MODULUS)
    }
}

struct Leaf(blake3::Hasher);

impl LeafInPieces for Leaf {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finish(self: Box<Self>) -> Hash {
        finish(&self.0)
    }
}

/// The leaf that follows from the data given to BLAKE3.
fn finish(data: &blake3::Hasher) -> Hash {
    let mut wide = [0; 64];
    data.finalize_xof().fill(&mut wide);
    bytes(Fr::from_be_bytes_mod_order(&wide))
}

/// Poseidon of 1 to 12 elements.
#[expect(
    clippy::expect_used,
    reason = "there are parameters for 1 to 12 inputs, and as many inputs are given"
)]
fn hash(inputs: &[Fr]) -> Fr {
    PERMUTATIONS.with_borrow_mut(|permutations| {
        let slot = &mut permutations[inputs.len().saturating_sub(1)];
        let permutation = slot.get_or_insert_with(|| {
            Poseidon::<Fr>::new_circom(inputs.len()).expect("parameters for 1 to 12 inputs")
        });
        permutation.hash(inputs).expect("as many inputs as the parameters are for")
    })
}

fn bytes(element: Fr) -> Hash {
    let mut bytes = [0; 32];
    let big_endian = element.into_bigint().to_bytes_be();
    bytes.copy_from_slice(&big_endian);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modulus_is_that_of_the_field() {
        assert_eq!(Fr::MODULUS.to_bytes_be(), MODULUS);
    }
}
