//! Checkpoints that logs signed, and the texts of proofs.

use duramen::tlog::{
    AnyVerifier, Checkpoint, NoteVerifier, Policy, SignedNote, TlogError, TlogProof,
};

use crate::{Hash, Refusal};

/// What a log signed, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The name of the log.
    pub origin: String,
    /// The size of its tree.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// The lines behind the root, if a signature of the log covers them.
    pub extensions: Vec<String>,
    /// For each witness of the policy, in order, the time of its cosignature in seconds since 1970. Empty without a
    /// policy.
    pub cosigned: Vec<Option<u64>>,
    /// The index of the leaf, for the text of a proof.
    pub index: Option<u64>,
}

impl Signed {
    fn new(checkpoint: &Checkpoint, cosigned: Vec<Option<u64>>, index: Option<u64>) -> Self {
        let head = checkpoint.head();
        let (origin, extensions) =
            (checkpoint.origin().to_owned(), checkpoint.extensions().to_vec());
        Self { origin, size: head.size.get(), root: head.root, extensions, cosigned, index }
    }
}

/// Verifies a checkpoint: one of `keys`, public texts of keys of the log, signed it for the log `origin`.
///
/// # Errors
///
/// [`Refusal::Input`] if one of the keys cannot be read, [`Refusal::DoesNotHold`] for everything else.
pub fn checkpoint(note: &str, origin: &str, keys: &[impl AsRef<str>]) -> Result<Signed, Refusal> {
    let keys = read_keys(keys)?;
    let note = read_note(note)?;
    let verified = note.verify_checkpoint(&as_verifiers(&keys), origin);
    Ok(Signed::new(&verified.map_err(Refusal::does_not_hold)?, Vec::new(), None))
}

/// Verifies a checkpoint against a policy of C2SP `tlog-policy`: a log that it has signed it, and enough of its witnesses
/// cosigned it.
///
/// # Errors
///
/// [`Refusal::Input`] if the policy cannot be read, [`Refusal::DoesNotHold`] for everything else.
pub fn witnessed(note: &str, policy: &str) -> Result<Signed, Refusal> {
    let policy = read_policy(policy)?;
    let verified = policy.verify(&read_note(note)?).map_err(Refusal::does_not_hold)?;
    Ok(Signed::new(&verified.checkpoint, verified.cosigned, None))
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, whose checkpoint one of `keys` signed for the log `origin`.
///
/// # Errors
///
/// As [`checkpoint`].
pub fn proof(
    text: &str,
    origin: &str,
    keys: &[impl AsRef<str>],
    leaf: &Hash,
) -> Result<Signed, Refusal> {
    let keys = read_keys(keys)?;
    let proof = read_proof(text)?;
    let verified = proof.verify(&as_verifiers(&keys), origin, leaf);
    let verified = verified.map_err(Refusal::does_not_hold)?;
    Ok(Signed::new(&verified, Vec::new(), Some(proof.index.get())))
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, whose checkpoint the policy accepts.
///
/// # Errors
///
/// As [`witnessed`].
pub fn witnessed_proof(text: &str, policy: &str, leaf: &Hash) -> Result<Signed, Refusal> {
    let policy = read_policy(policy)?;
    let proof = read_proof(text)?;
    let verified = proof.verify_witnessed(&policy, leaf).map_err(Refusal::does_not_hold)?;
    Ok(Signed::new(&verified.checkpoint, verified.cosigned, Some(proof.index.get())))
}

fn read_keys(texts: &[impl AsRef<str>]) -> Result<Vec<AnyVerifier>, Refusal> {
    texts
        .iter()
        .map(|text| text.as_ref().parse().map_err(|e: TlogError| Refusal::input(e)))
        .collect()
}

fn as_verifiers(keys: &[AnyVerifier]) -> Vec<&dyn NoteVerifier> {
    keys.iter().map(|key| key as &dyn NoteVerifier).collect()
}

fn read_policy(text: &str) -> Result<Policy, Refusal> {
    Policy::read(text.as_bytes()).map_err(Refusal::input)
}

fn read_note(text: &str) -> Result<SignedNote, Refusal> {
    text.parse().map_err(|error: TlogError| Refusal::does_not_hold(error))
}

fn read_proof(text: &str) -> Result<TlogProof, Refusal> {
    text.parse().map_err(|error: TlogError| Refusal::does_not_hold(error))
}
