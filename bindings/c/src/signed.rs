//! What transparency logs sign: checkpoints, and proofs as texts.

use std::ffi::c_char;

use duramen_bindings::Signed;

use crate::raw;
use crate::status::{duramen_status, guard};
use crate::tree::duramen_head;

/// Writes what was verified.
///
/// # Safety
///
/// As [`raw::write`].
unsafe fn give(signed: &Signed, head: *mut duramen_head, index: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        raw::write(head, duramen_head { size: signed.size, root: signed.root });
        raw::write(index, signed.index.unwrap_or(0));
    }
}

/// Verifies a checkpoint: one of `keys`, public texts of keys of the log, signed it for the log `origin`. Writes its head.
///
/// # Safety
///
/// The texts end with a zero, `key_count` of them are at `keys`; a head can be written at `head`, or it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_checkpoint(
    note: *const c_char,
    origin: *const c_char,
    keys: *const *const c_char,
    key_count: usize,
    head: *mut duramen_head,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (note, origin) = (raw::text(note, "the note")?, raw::text(origin, "the origin")?);
        let keys = raw::texts(keys, key_count, "a key")?;
        give(&duramen_bindings::checkpoint(note, origin, &keys)?, head, std::ptr::null_mut());
        Ok(())
    })
}

/// Verifies a checkpoint against a policy (C2SP `tlog-policy`): a log that it has signed it, and enough of its witnesses
/// cosigned it. Writes its head.
///
/// # Safety
///
/// The texts end with a zero; a head can be written at `head`, or it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_witnessed(
    note: *const c_char,
    policy: *const c_char,
    head: *mut duramen_head,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (note, policy) = (raw::text(note, "the note")?, raw::text(policy, "the policy")?);
        give(&duramen_bindings::witnessed(note, policy)?, head, std::ptr::null_mut());
        Ok(())
    })
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, 32 bytes, whose checkpoint one of `keys` signed for the log
/// `origin`. Writes the head of the checkpoint and the index of the leaf.
///
/// # Safety
///
/// The texts end with a zero, `key_count` of them are at `keys`; 32 bytes can be read at `leaf`; a head and a number can be
/// written at `head` and `index`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_proof(
    text: *const c_char,
    origin: *const c_char,
    keys: *const *const c_char,
    key_count: usize,
    leaf: *const u8,
    head: *mut duramen_head,
    index: *mut u64,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (text, origin) = (raw::text(text, "the proof")?, raw::text(origin, "the origin")?);
        let keys = raw::texts(keys, key_count, "a key")?;
        let leaf = raw::hash(leaf, "the leaf")?;
        give(&duramen_bindings::proof(text, origin, &keys, &leaf)?, head, index);
        Ok(())
    })
}

/// Verifies the text of a proof (C2SP `tlog-proof`) of `leaf`, 32 bytes, whose checkpoint the policy accepts. Writes the head
/// of the checkpoint and the index of the leaf.
///
/// # Safety
///
/// As `duramen_verify_proof`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_verify_witnessed_proof(
    text: *const c_char,
    policy: *const c_char,
    leaf: *const u8,
    head: *mut duramen_head,
    index: *mut u64,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (text, policy) = (raw::text(text, "the proof")?, raw::text(policy, "the policy")?);
        let leaf = raw::hash(leaf, "the leaf")?;
        give(&duramen_bindings::witnessed_proof(text, policy, &leaf)?, head, index);
        Ok(())
    })
}
