//! Proofs of trees, and of the trees of a store.

use std::ffi::c_char;

use duramen_bindings::{Hash, Refusal, TreeKind};

use crate::raw;
use crate::status::{Failure, duramen_status, guard};

/// Size and root of a tree.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct duramen_head {
    /// How many leaves the tree has.
    pub size: u64,
    /// Its root.
    pub root: [u8; 32],
}

/// The kind of these names.
///
/// # Safety
///
/// As [`raw::text`].
unsafe fn kind(hasher: *const c_char, arity: u32) -> Result<TreeKind, Failure> {
    // SAFETY: the caller's promise.
    let hasher = unsafe { raw::text(hasher, "the hash function") }?;
    Ok(TreeKind::new(hasher, arity)?)
}

unsafe fn parts(head: *const duramen_head, what: &str) -> Result<(u64, Hash), Failure> {
    // SAFETY: the caller's promise: a head is there, or the pointer is null.
    let head = unsafe { raw::handle(head, what) }?;
    Ok((head.size, head.root))
}

/// Writes the leaf of raw data: 32 bytes. The hash functions are "blake3", "rfc6962-sha256" and "keccak256".
///
/// # Safety
///
/// `hasher` is a text that ends with a zero, `len` bytes can be read at `data`, and 32 written at `leaf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_leaf(
    hasher: *const c_char,
    data: *const u8,
    len: usize,
    leaf: *mut [u8; 32],
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let hash = kind(hasher, 2)?.leaf(raw::bytes(data, len, "the data")?);
        raw::write(leaf, hash);
        Ok(())
    })
}

/// Verifies an encoded proof that `leaf`, 32 bytes, is at `index` in the tree of `head`. The arity is 2, 4, 8 or 16.
///
/// # Safety
///
/// `hasher` is a text that ends with a zero; a head, 32 bytes and `proof_len` bytes can be read at the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_inclusion(
    hasher: *const c_char,
    arity: u32,
    head: *const duramen_head,
    index: u64,
    leaf: *const u8,
    proof: *const u8,
    proof_len: usize,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (kind, head) = (kind(hasher, arity)?, parts(head, "the head")?);
        let proof = raw::bytes(proof, proof_len, "the proof")?;
        Ok(kind.inclusion(head, index, &raw::hash(leaf, "the leaf")?, proof)?)
    })
}

/// Verifies an encoded proof that `count` leaves are in the tree of `head`: `leaves` has 32 bytes for each of `indexes`.
///
/// # Safety
///
/// `hasher` is a text that ends with a zero; a head, `count` numbers, `count` times 32 bytes and `proof_len` bytes can be read
/// at the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_multi(
    hasher: *const c_char,
    arity: u32,
    head: *const duramen_head,
    indexes: *const u64,
    leaves: *const u8,
    count: usize,
    proof: *const u8,
    proof_len: usize,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (kind, head) = (kind(hasher, arity)?, parts(head, "the head")?);
        let indexes = raw::numbers(indexes, count, "the indexes")?;
        let leaves = raw::hashes(leaves, count, "the leaves")?;
        let leaves: Vec<_> = indexes.iter().copied().zip(leaves.iter().copied()).collect();
        Ok(kind.multi(head, &leaves, raw::bytes(proof, proof_len, "the proof")?)?)
    })
}

/// Verifies an encoded proof that the tree of `old_head` is a prefix of the tree of `new_head`.
///
/// # Safety
///
/// `hasher` is a text that ends with a zero; heads and `proof_len` bytes can be read at the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_consistency(
    hasher: *const c_char,
    arity: u32,
    old_head: *const duramen_head,
    new_head: *const duramen_head,
    proof: *const u8,
    proof_len: usize,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let kind = kind(hasher, arity)?;
        let (old, new) = (parts(old_head, "the old head")?, parts(new_head, "the new head")?);
        Ok(kind.consistency(old, new, raw::bytes(proof, proof_len, "the proof")?)?)
    })
}

/// Verifies an encoded proof of the tree `name` against the commitment to all trees of a store, 32 bytes, and writes the head of
/// the tree. The tree must have this name, this hash function and this arity.
///
/// # Safety
///
/// `name` and `hasher` are texts that end with a zero; 32 and `proof_len` bytes can be read at `commitment` and `proof`; a head
/// can be written at `head`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_tree(
    commitment: *const u8,
    proof: *const u8,
    proof_len: usize,
    name: *const c_char,
    hasher: *const c_char,
    arity: u32,
    head: *mut duramen_head,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let commitment = raw::hash(commitment, "the commitment")?;
        let name = raw::text(name, "the name")?;
        let hasher = raw::text(hasher, "the hash function")?;
        let tree =
            duramen_bindings::prove_tree(&commitment, raw::bytes(proof, proof_len, "the proof")?)?;
        if (&*tree.name, &*tree.hasher, tree.arity) != (name, hasher, arity) {
            let (found, of) = (tree.name, tree.hasher);
            let arity = tree.arity;
            return Err(Refusal::DoesNotHold(format!(
                "the proof is of the tree {found:?} with {of} and arity {arity}"
            ))
            .into());
        }
        raw::write(head, duramen_head { size: tree.size, root: tree.root });
        Ok(())
    })
}
