//! Transparency logs: every MUST of the texts of C2SP, of the subtrees of *Merkle Tree Certificates* and of COSE
//! receipts has a test. The comment above each test names the text and the section.
//!
//! A model that is too slow to be wrong stands beside: recursion from the definitions.

mod checkpoint;
#[cfg(feature = "cose")]
mod cose;
mod cosignature;
mod keys;
mod model;
mod note;
mod policy;
mod proof;
mod subtree;
mod tiles;
mod vectors;
mod witness;
