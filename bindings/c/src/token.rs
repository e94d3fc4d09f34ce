//! The receipt of an insert.

use std::time::Duration;

use duramen::DurabilityToken;

use crate::raw;
use crate::status::{Failure, duramen_status, guard};

/// The receipt of an insert: settled once the leaves are durable. The caller frees it, at any time, with `duramen_token_free`.
/// Any thread may use it, also after the store was closed.
#[derive(Debug)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct duramen_token(pub(crate) DurabilityToken);

/// Waits until the leaves are durable, at most for so many milliseconds: DURAMEN_TIMEOUT if they are not by then. Waiting
/// does not cause a flush.
///
/// # Safety
///
/// `token` came from an insert and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_token_wait(
    token: *const duramen_token,
    milliseconds: u64,
) -> duramen_status {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let token = raw::handle(token, "the token")?;
        match token.0.wait_timeout(Duration::from_millis(milliseconds))? {
            true => Ok(()),
            false => Err(Failure::timeout()),
        }
    })
}

/// Frees a token. The leaves become durable all the same. Null does nothing.
///
/// # Safety
///
/// `token` is null, or came from an insert and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn duramen_token_free(token: *mut duramen_token) {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        drop(raw::take(token));
        Ok(())
    });
}
