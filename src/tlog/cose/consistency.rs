//! A receipt that a tree extends an older one.

use super::envelope::{CONSISTENCY, Envelope, read_proof, write_proof};
use super::error::CoseError;
use crate::merkle::{Arity, ConsistencyProof, Hash, MAX_DEPTH, Rfc6962Sha256, TreeHead, TreeSize};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::key::{PublicKey, Signer};

/// A receipt of consistency: RFC 9942, section 5.3.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyReceipt {
    envelope: Envelope,
    old: TreeSize,
    new: TreeSize,
    proof: ConsistencyProof,
}

impl ConsistencyReceipt {
    /// The receipt, signed by `signer`, that `proof` leads from the tree of `old` leaves to that of `checkpoint`. The
    /// payload is detached. `key_id` becomes the header `kid`.
    ///
    /// It is as true as `proof` is: nothing is verified here.
    ///
    /// # Errors
    ///
    /// [`CoseError::EmptyPath`] if the proof has no hash, because both sizes are equal or the old one is 0,
    /// [`CoseError::OtherKey`] if the key is not of Ed25519, [`CoseError::Signer`] if it cannot sign.
    pub fn sign(
        signer: &dyn Signer,
        key_id: Option<&[u8]>,
        old: TreeSize,
        checkpoint: &Checkpoint,
        proof: ConsistencyProof,
    ) -> Result<Self, CoseError> {
        let head = checkpoint.head();
        let bytes = write_proof([old.get(), head.size.get()], proof.hashes())?;
        let envelope = Envelope::sign(signer, key_id, CONSISTENCY, &bytes, &head.root)?;
        Ok(Self { envelope, old, new: head.size, proof })
    }

    /// Reads a receipt: a tagged `COSE_Sign1` with `vds` 1, an algorithm of Ed25519 and one consistency proof. As
    /// strict as [`InclusionReceipt::read`](super::InclusionReceipt::read).
    ///
    /// # Errors
    ///
    /// [`CoseError`] with the first thing that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, CoseError> {
        let (envelope, proof) = Envelope::read(bytes, CONSISTENCY)?;
        let ([old, new], hashes) = read_proof(proof, MAX_DEPTH + 1)?;
        let proof = ConsistencyProof::from_hashes(hashes);
        Ok(Self { envelope, old: TreeSize(old), new: TreeSize(new), proof })
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

    /// The size of the older tree.
    #[must_use]
    pub const fn old_size(&self) -> TreeSize {
        self.old
    }

    /// The size of the newer tree, as the receipt says. No signature covers it.
    #[must_use]
    pub const fn new_size(&self) -> TreeSize {
        self.new
    }

    /// The consistency proof.
    #[must_use]
    pub const fn proof(&self) -> &ConsistencyProof {
        &self.proof
    }

    /// Verifies that a tree whose root `key` signed extends the tree of `old`. Returns the root.
    ///
    /// # Errors
    ///
    /// [`CoseError`] with the first thing that does not hold. Nothing was proven then.
    pub fn verify(&self, key: &PublicKey, old: &TreeHead) -> Result<Hash, CoseError> {
        if old.size != self.old {
            let (claimed, trusted) = (self.old.get(), old.size.get());
            return Err(CoseError::OtherOldSize { claimed, trusted });
        }
        let root = self.proof.new_root(&Rfc6962Sha256, Arity::Two, old, self.new)?;
        self.envelope.verify(key, &root)?;
        Ok(root)
    }
}
