//! What a client without an operating system needs of duramen: proofs are read from bytes and
//! verified, a frontier is read, appended to, and gives roots.
//!
//! It is compiled for targets that have no `std`, and its tests run what it does on proofs that
//! stand in the repository.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use duramen::merkle::FrontierError;
use duramen::merkle::codec::{ConsistencyClaim, DecodeError, InclusionClaim};
use duramen::tlog::{NoteVerifier, TlogError, TlogProof};
use duramen::{Arity, Blake3, Frontier, Hash, Hasher, LeafIndex, TreeHead, VerifyError};

const ARITY: Arity = Arity::Four;

/// Why a client does not believe what it was given.
#[derive(Debug)]
pub enum Refused {
    /// The bytes are no proof.
    Unreadable(DecodeError),
    /// The proof does not hold.
    Wrong(VerifyError),
    /// The frontier is not that of the trusted head, or does not take the leaves.
    Frontier(Option<FrontierError>),
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Self {
        Self::Wrong(error)
    }
}

impl From<FrontierError> for Refused {
    fn from(error: FrontierError) -> Self {
        Self::Frontier(Some(error))
    }
}

/// A client that trusts one head.
pub struct Client {
    head: TreeHead,
}

impl Client {
    /// Trusts `head`.
    pub const fn new(head: TreeHead) -> Self {
        Self { head }
    }

    /// The head that is trusted now.
    pub const fn head(&self) -> TreeHead {
        self.head
    }

    /// Believes that `leaf` stands at `index`, or says why not.
    pub fn includes(&self, proof: &[u8], index: LeafIndex, leaf: &Hash) -> Result<(), Refused> {
        let claim = InclusionClaim::decode(proof, Blake3.id(), ARITY)?;
        Ok(claim.verify(&Blake3, ARITY, &self.head, index, leaf)?)
    }

    /// Trusts `new` from now on, if it continues the head that is trusted.
    pub fn grow(&mut self, proof: &[u8], new: TreeHead) -> Result<(), Refused> {
        let claim = ConsistencyClaim::decode(proof, Blake3.id(), ARITY)?;
        claim.verify(&Blake3, ARITY, &self.head, &new)?;
        self.head = new;
        Ok(())
    }

    /// The head after appending `leaves`, from the frontier of the trusted head.
    pub fn append(&self, frontier: &[u8], leaves: &[Hash]) -> Result<(TreeHead, Vec<u8>), Refused> {
        let mut frontier = Frontier::decode(frontier, Blake3.id(), ARITY)?;
        if frontier.head(&Blake3) != self.head {
            return Err(Refused::Frontier(None));
        }
        frontier.append_many(&Blake3, leaves)?;
        Ok((frontier.head(&Blake3), frontier.encode(Blake3.id())))
    }
}

/// Verifies the text of an offline proof.
pub fn offline(
    text: &str,
    key: &dyn NoteVerifier,
    origin: &str,
    leaf: &Hash,
) -> Result<TreeHead, TlogError> {
    let proof: TlogProof = text.parse()?;
    Ok(proof.verify(&[key], origin, leaf)?.head())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCLUSION: &[u8] = include_bytes!("../../golden/inclusion-blake3-4.bin");
    const CONSISTENCY: &[u8] = include_bytes!("../../golden/consistency-blake3-4.bin");
    const FRONTIER: &[u8] = include_bytes!("../../golden/frontier-blake3-4.bin");
    const HEADS: &str = include_str!("../../golden/heads.txt");

    /// The heads at 600 and at 1,000 leaves.
    fn heads() -> [TreeHead; 2] {
        let mut of_profile = HEADS.lines().filter_map(|line| line.strip_prefix("blake3 4 "));
        [(); 2].map(|()| of_profile.next().unwrap().parse().unwrap())
    }

    /// The leaf at index 700 of the golden trees.
    fn leaf_700() -> Hash {
        blake3::hash(&700_u64.to_le_bytes()).into()
    }

    #[test]
    fn a_client_grows_and_believes_what_is_proven_and_nothing_else() {
        let [old, new] = heads();
        let mut client = Client::new(old);
        let index = LeafIndex(700);
        assert!(client.includes(INCLUSION, index, &leaf_700()).is_err(), "of another size");
        client.grow(CONSISTENCY, new).unwrap();
        assert_eq!(client.head(), new);
        client.includes(INCLUSION, index, &leaf_700()).unwrap();
        assert!(client.includes(INCLUSION, index, &[0; 32]).is_err());
        assert!(client.includes(CONSISTENCY, index, &leaf_700()).is_err());
        assert!(client.grow(CONSISTENCY, old).is_err());
    }

    #[test]
    fn a_frontier_goes_on_where_the_tree_ended() {
        let [old, new] = heads();
        let client = Client::new(new);
        let (head, frontier) = client.append(FRONTIER, &[[1; 32], [2; 32]]).unwrap();
        assert_eq!(head.size.get(), 1002);
        let (last, _) = Client::new(head).append(&frontier, &[]).unwrap();
        assert_eq!(last, head);
        assert!(Client::new(old).append(FRONTIER, &[]).is_err());
    }
}
