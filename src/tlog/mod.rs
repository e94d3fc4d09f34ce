//! The text forms of transparency logs: checkpoints, signed notes and offline proofs, as C2SP
//! defines them (`tlog-checkpoint`, `signed-note`, `tlog-proof@v1`).
//!
//! Everything here is for the profile of RFC 6962: [`Rfc6962Sha256`](crate::Rfc6962Sha256) and arity
//! 2. `no_std` + `alloc`; Ed25519 keys are behind the feature `note`, other algorithms can be plugged
//! in through [`NoteSigner`] and [`NoteVerifier`].
//!
//! Reading is strict: a text that is read is written back byte for byte.
#![cfg_attr(
    all(feature = "note", feature = "std"),
    doc = r#"
```
use duramen::tlog::{Checkpoint, Ed25519Signer, SignedNote, TlogProof};
use duramen::{Hasher, MemoryAccumulator, Rfc6962Sha256};

let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
let index = log.push_data(b"an entry")?;
log.push_data(b"another")?;

let key = Ed25519Signer::from_secret("example.com/log", &[7; 32])?;
let checkpoint = Checkpoint::new("example.com/log", log.head()?)?;
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
#[cfg(feature = "note")]
mod ed25519;
mod error;
mod note;
mod proof;

pub use checkpoint::Checkpoint;
#[cfg(feature = "note")]
pub use ed25519::{Ed25519Signer, Ed25519Verifier};
pub use error::TlogError;
pub use note::{NoteSignature, NoteSigner, NoteVerifier, SignedNote};
pub use proof::TlogProof;
