//! What transparency logs exchange: checkpoints, signed notes, cosignatures, policies and offline
//! proofs, as C2SP defines them (`tlog-checkpoint`, `signed-note`, `tlog-cosignature`, `tlog-policy`,
//! `tlog-proof@v1`); the paths of [tiles], the requests to [witness]es, and receipts as CBOR (module `cose`).
//!
//! Everything here is for the profile of RFC 6962: [`Rfc6962Sha256`](crate::Rfc6962Sha256) and arity
//! 2. `no_std` + `alloc`. Ed25519 keys and policies are behind the feature `note`, ML-DSA-44 keys behind
//! `mldsa`, receipts behind `cose`; other algorithms can be plugged in through [`NoteSigner`] and [`NoteVerifier`].
//!
//! Reading is strict: a text that is read is written back byte for byte.
#![cfg_attr(
    all(feature = "note", feature = "std"),
    doc = r#"
```
use duramen::tlog::{Checkpoint, Ed25519Signer, SignedNote, TlogProof};
use duramen::{Arity, Hasher, MemoryAccumulator, Rfc6962Sha256};

let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
let index = log.push_data(b"an entry")?;
log.push_data(b"another")?;

let key = Ed25519Signer::from_secret("example.com/log", &[7; 32])?;
let checkpoint =
    Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, log.head()?)?;
let checkpoint = SignedNote::sign(&checkpoint.to_string(), &key)?;
let proof = TlogProof { extra: None, index, proof: log.prove(index)?, checkpoint };
let text = proof.to_string();

// A verifier that has the key's public text.
let known = key.verifier();
let proof: TlogProof = text.parse()?;
proof.verify(&[&known], "example.com/log", &Rfc6962Sha256.leaf(b"an entry"))?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]

mod base64;
mod checkpoint;
#[cfg(feature = "cose")]
pub mod cose;
mod error;
#[cfg(feature = "note")]
mod key;
mod key_type;
mod note;
#[cfg(feature = "note")]
mod policy;
mod proof;
pub mod tiles;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use error::{SignerError, TlogError};
#[cfg(feature = "note")]
pub use key::{
    AnyVerifier, Cosigner, CosignerAt, Ed25519CosignatureVerifier, Ed25519Key, Ed25519Signer,
    Ed25519Verifier, MAX_TIMESTAMP, ML_DSA_44_PUBLIC, PublicKey, Signer,
};
#[cfg(feature = "mldsa")]
pub use key::{MlDsa44Key, MlDsa44Verifier};
pub use key_type::KeyType;
pub use note::{NoteSignature, NoteSigner, NoteVerifier, SignedNote};
#[cfg(feature = "note")]
pub use policy::{Policy, PolicyError, PolicyErrorKind, PolicyLog, PolicyWitness, Witnessed};
pub use proof::TlogProof;
