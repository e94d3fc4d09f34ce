//! Policies of witnesses in files.

use std::path::Path;

use duramen::tlog::{Ed25519Verifier, Policy};

use crate::error::Error;
use crate::input;

/// Reads the policy in `file`.
pub(crate) fn read(file: &Path) -> Result<Policy, Error> {
    let (name, bytes) = input::read_all(file, Policy::MAX_BYTES as u64)?;
    Policy::read(&bytes).map_err(|error| Error::Unreadable {
        name,
        what: "a policy of witnesses",
        source: error.into(),
    })
}

/// Refuses a policy that lists logs and not the one with this key: clients that have it would not trust the log.
pub(crate) fn must_list(policy: &Policy, key: &Ed25519Verifier) -> Result<(), Error> {
    let public = key.public_key();
    if policy.logs().is_empty() || policy.logs().iter().any(|log| log.key.public_key() == public) {
        return Ok(());
    }
    Err(Error::Usage(format!("the policy lists logs, and not {key}")))
}
