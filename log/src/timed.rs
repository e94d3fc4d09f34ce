//! A log that cosigns its own checkpoints: with ML-DSA-44, as C2SP `tlog-checkpoint` asks for.
//!
//! # Invariants
//!
//! - The times in signatures of one signer are as `clock` decides: they do not decrease while the clock is right.
//! - A signature without a time is never made: of a checkpoint it would say less than the text asks for.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use duramen::tlog::{Cosigner, NoteSigner, Signer, SignerError};

use crate::clock::{Clock, NoTime, time_after};

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
    clock: Clock,
    /// The time of the last signature.
    last: Mutex<u64>,
}

impl<S: Signer> TimedSigner<S> {
    /// Signs with this key, and the clock of the system.
    #[must_use]
    pub fn new(cosigner: Cosigner<S>) -> Self {
        Self { cosigner, clock: Clock::system(), last: Mutex::new(0) }
    }

    /// Takes the time from this clock. One that goes back by at most an hour has the last time used again until it has
    /// come up to it; one that goes back by more was wrong before, and is followed.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use duramen::tlog::{Cosigner, MlDsa44Key};
    /// use duramen_log::TimedSigner;
    ///
    /// let key = Cosigner::new("example.com/log", MlDsa44Key::from_seed(&[7; 32]))?;
    /// let signer = TimedSigner::new(key).clock(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    /// # Ok::<(), duramen::tlog::TlogError>(())
    /// ```
    #[must_use]
    pub fn clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Clock::new(now), ..self }
    }

    /// The time of the next signature, in seconds since 1970.
    fn time(&self) -> Result<u64, NoTime> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = time_after(self.clock.seconds(), *last)?;
        Ok(*last)
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
        self.cosigner.at(self.time().map_err(SignerError::new)?).sign(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::{Duration, UNIX_EPOCH};

    use duramen::tlog::{AnyVerifier, MlDsa44Key, NoteVerifier, SignedNote};

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const CHECKPOINT: &str = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

    /// A signer whose clock shows what is set.
    fn signer() -> (TimedSigner<MlDsa44Key>, Arc<AtomicI64>) {
        let shown = Arc::new(AtomicI64::new(NOW));
        let read = Arc::clone(&shown);
        let clock = move || {
            let seconds = read.load(Ordering::Relaxed);
            let from = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { UNIX_EPOCH - from } else { UNIX_EPOCH + from }
        };
        let key = Cosigner::new("example.com/log", MlDsa44Key::from_seed(&[7; 32])).unwrap();
        (TimedSigner::new(key).clock(clock), shown)
    }

    /// The time in a signature that is made when the clock shows this.
    fn signed_at((signer, shown): &(TimedSigner<MlDsa44Key>, Arc<AtomicI64>), now: i64) -> u64 {
        shown.store(now, Ordering::Relaxed);
        let note = SignedNote::sign(CHECKPOINT, signer).unwrap();
        let key: AnyVerifier = signer.cosigner.vkey().parse().unwrap();
        note.verify_checkpoint(&[&key], "example.com/log").unwrap();
        key.timestamp(note.signatures()[0].bytes()).unwrap()
    }

    #[test]
    fn a_clock_that_goes_back_a_little_does_not_take_back_the_time_of_signatures() {
        let signer = signer();
        let times = [5, 7, 3, 7, 8].map(|now| signed_at(&signer, NOW + now));
        assert_eq!(times, [5, 7, 7, 7, 8].map(|time| NOW as u64 + time));
    }

    #[test]
    fn a_clock_that_was_far_ahead_is_forgotten_once_it_is_right() {
        let signer = signer();
        let ahead = NOW + 10 * 365 * 86_400;
        let times = [NOW, ahead, NOW + 60, NOW + 61].map(|now| signed_at(&signer, now));
        assert_eq!(times, [NOW, ahead, NOW + 60, NOW + 61].map(|time| time as u64));
    }

    #[test]
    fn without_a_time_nothing_is_signed() {
        for now in [-1, 0] {
            let (signer, shown) = signer();
            shown.store(now, Ordering::Relaxed);
            let refused = SignedNote::sign(CHECKPOINT, &signer).unwrap_err().to_string();
            assert!(refused.contains("1970 has not begun"), "{refused}");
            // It signs once the clock is set.
            assert_eq!(signed_at(&(signer, shown), NOW), NOW as u64);
        }
    }
}
