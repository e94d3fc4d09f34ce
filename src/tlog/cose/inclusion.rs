//! A receipt that a leaf is in a tree.

use super::envelope::{Envelope, INCLUSION, read_proof, write_proof};
use super::error::CoseError;
use crate::merkle::{Arity, Hash, InclusionProof, LeafIndex, MAX_DEPTH, Rfc6962Sha256, TreeSize};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::key::{PublicKey, Signer};

/// A receipt of inclusion: RFC 9942, section 5.2.1.
///
/// ```
/// use duramen::tlog::cose::InclusionReceipt;
/// use duramen::tlog::{Checkpoint, Ed25519Key, Signer};
/// # #[cfg(feature = "std")] {
/// use duramen::{Arity, Hasher, MemoryAccumulator, Rfc6962Sha256};
///
/// let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
/// let index = log.push_data(b"an entry")?;
/// log.push_data(b"another")?;
/// let head = log.head()?;
/// let checkpoint = Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, head)?;
///
/// let key = Ed25519Key::from_secret(&[7; 32]);
/// let receipt = InclusionReceipt::sign(&key, None, &checkpoint, index, log.prove(index)?)?;
/// let bytes = receipt.as_bytes().to_vec();
///
/// // Who verifies has the public key and the entry.
/// let receipt = InclusionReceipt::read(&bytes)?;
/// let root = receipt.verify(&key.public_key(), &Rfc6962Sha256.leaf(b"an entry"))?;
/// assert_eq!(root, head.root);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionReceipt {
    envelope: Envelope,
    size: TreeSize,
    index: LeafIndex,
    proof: InclusionProof,
}

impl InclusionReceipt {
    /// The receipt, signed by `signer`, that `proof` is that of the leaf `index` in the tree of `checkpoint`. The
    /// payload is detached. `key_id` becomes the header `kid`.
    ///
    /// It is as true as `proof` is: nothing is verified here.
    ///
    /// # Errors
    ///
    /// [`CoseError::EmptyPath`] if the tree has one leaf, [`CoseError::OtherKey`] if the key is not of Ed25519,
    /// [`CoseError::Signer`] if it cannot sign.
    pub fn sign(
        signer: &dyn Signer,
        key_id: Option<&[u8]>,
        checkpoint: &Checkpoint,
        index: LeafIndex,
        proof: InclusionProof,
    ) -> Result<Self, CoseError> {
        let head = checkpoint.head();
        let bytes = write_proof([head.size.get(), index.get()], proof.siblings())?;
        let envelope = Envelope::sign(signer, key_id, INCLUSION, &bytes, &head.root)?;
        Ok(Self { envelope, size: head.size, index, proof })
    }

    /// Reads a receipt: a tagged `COSE_Sign1` with `vds` 1, an algorithm of Ed25519 and one inclusion proof.
    ///
    /// Headers that are not known are stepped over, unless they must be understood. Other lengths than definite ones,
    /// labels that stand twice and bytes behind the end are refused.
    ///
    /// # Errors
    ///
    /// [`CoseError`] with the first thing that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, CoseError> {
        let (envelope, proof) = Envelope::read(bytes, INCLUSION)?;
        let ([size, index], hashes) = read_proof(proof, MAX_DEPTH)?;
        let proof = InclusionProof::from_siblings(hashes);
        Ok(Self { envelope, size: TreeSize(size), index: LeafIndex(index), proof })
    }

    /// The receipt as CBOR: the bytes that were read, or deterministic ones.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.envelope.bytes
    }

    /// The header `kid`, if there is one. It helps to find a key and proves nothing.
    #[must_use]
    pub fn key_id(&self) -> Option<&[u8]> {
        self.envelope.key_id.as_deref()
    }

    /// The size of the tree, as the receipt says. No signature covers it.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The index of the leaf, as the receipt says. No signature covers it.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The inclusion proof.
    #[must_use]
    pub const fn proof(&self) -> &InclusionProof {
        &self.proof
    }

    /// Verifies that `leaf` is in a tree whose root `key` signed. Returns the root.
    ///
    /// # Errors
    ///
    /// [`CoseError`] with the first thing that does not hold. Nothing was proven then.
    pub fn verify(&self, key: &PublicKey, leaf: &Hash) -> Result<Hash, CoseError> {
        let root = self.proof.root(&Rfc6962Sha256, Arity::Two, self.size, self.index, leaf)?;
        self.envelope.verify(key, &root)?;
        Ok(root)
    }
}
