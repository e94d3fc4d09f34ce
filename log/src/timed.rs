//! A log that cosigns its own checkpoints: with ML-DSA-44, as C2SP `tlog-checkpoint` asks for.
//!
//! # Invariants
//!
//! - The times in signatures of one signer do not decrease, whatever the clock of the system does: a cosignature says
//!   which checkpoint is the largest at its time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use duramen::tlog::{Cosigner, NoteSigner, Signer, SignerError};

/// A cosigner that signs as of now. Of a log it signs the checkpoints that are published, each of which is the largest.
///
/// ```
/// use duramen::tlog::{AnyVerifier, Cosigner, MlDsa44Key, SignedNote};
/// use duramen_log::TimedSigner;
///
/// let key = Cosigner::new("example.com/log", MlDsa44Key::from_seed(&[7; 32]))?;
/// let known: AnyVerifier = key.vkey().parse()?;
/// let checkpoint = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// let note = SignedNote::sign(checkpoint, &TimedSigner::new(key))?;
/// assert_eq!(note.verify_checkpoint(&[&known], "example.com/log")?.to_string(), checkpoint);
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
#[derive(Debug)]
pub struct TimedSigner<S> {
    cosigner: Cosigner<S>,
    last: AtomicU64,
}

impl<S: Signer> TimedSigner<S> {
    /// Signs with this key.
    #[must_use]
    pub fn new(cosigner: Cosigner<S>) -> Self {
        Self { cosigner, last: AtomicU64::new(0) }
    }

    /// The time of the next signature, in seconds since 1970.
    fn time(&self, now: u64) -> u64 {
        self.last.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

impl<S: Signer> NoteSigner for TimedSigner<S> {
    fn name(&self) -> &str {
        self.cosigner.name()
    }

    fn id(&self) -> u32 {
        self.cosigner.id()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignerError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(SignerError::new)?;
        self.cosigner.at(self.time(now.as_secs())).sign(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use duramen::tlog::MlDsa44Key;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_take_back_the_time_of_signatures() {
        let key = Cosigner::new("example.com/log", MlDsa44Key::from_seed(&[7; 32])).unwrap();
        let signer = TimedSigner::new(key);
        let times = [5, 7, 3, 7, 8].map(|now| signer.time(now));
        assert_eq!(times, [5, 7, 7, 7, 8]);
    }
}
