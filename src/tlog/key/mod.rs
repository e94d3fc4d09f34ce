//! Keys that sign and verify: where they are is a [`Signer`], what they sign is the other types' to say.

mod any;
mod cosignature;
mod cosigner;
mod ed25519;
mod message;
#[cfg(feature = "mldsa")]
mod mldsa;
mod signer;
mod text;

pub use any::AnyVerifier;
pub use cosignature::Ed25519CosignatureVerifier;
pub use cosigner::{Cosigner, CosignerAt};
#[cfg(feature = "cose")]
pub(super) use ed25519::is_signed_by;
pub use ed25519::{Ed25519Key, Ed25519Signer, Ed25519Verifier};
pub use message::MAX_TIMESTAMP;
#[cfg(feature = "mldsa")]
pub use mldsa::{MlDsa44Key, MlDsa44Verifier};
pub use signer::{ML_DSA_44_PUBLIC, PublicKey, Signer};
