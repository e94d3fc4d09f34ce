//! How much a witness reads of a request.

/// The longest request that is read, in bytes: a proof, and a checkpoint with many signatures.
pub const MAX_REQUEST: usize = 128 << 10;
