//! Memory that requests and answers take, of all clients together.
//!
//! # Invariants
//!
//! - What is held is at most the limit. A request that would hold more is refused and not kept waiting: it would hold
//!   what it has meanwhile.
//! - What was taken is given back when its [`Held`] is dropped, or the last of the [`Bytes`] that it was bound to.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Failed;

/// What is counted at once: a small request takes this much.
const UNIT: usize = 1 << 10;

/// The memory that all requests share.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Holds nothing yet.
    pub(super) fn empty(&self) -> Held {
        Held { room: self.clone(), bytes: 0, permit: None }
    }

    /// Holds this many bytes.
    pub(super) fn take(&self, bytes: usize) -> Result<Held, Failed> {
        let mut held = self.empty();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Bytes that may be taken now.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.available_permits() * UNIT
    }
}

/// Bytes that a request or an answer takes.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Holds this many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Failed> {
        let all = self.bytes.saturating_add(bytes);
        let units = all.div_ceil(UNIT) - self.bytes.div_ceil(UNIT);
        let full = || {
            let message = "the server has no memory for this request at the moment";
            Failed::later(StatusCode::SERVICE_UNAVAILABLE, message, 1)
        };
        if units > 0 {
            let units = u32::try_from(units).map_err(|_| full())?;
            let more = Arc::clone(&self.room.0).try_acquire_many_owned(units);
            let more = more.map_err(|_| full())?;
            match &mut self.permit {
                Some(permit) => permit.merge(more),
                none => *none = Some(more),
            }
        }
        self.bytes = all;
        Ok(())
    }

    /// Bytes of an answer, which are held until they were sent.
    pub(super) fn bind(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Bound { bytes, _held: self })
    }
}

struct Bound {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_comes_back_when_it_is_dropped() {
        let room = Room::new(10 * UNIT);
        let mut one = room.take(4 * UNIT).unwrap();
        one.grow(1).unwrap();
        assert_eq!(room.free(), 5 * UNIT);
        // What was rounded up is there for more.
        one.grow(UNIT - 1).unwrap();
        assert_eq!(room.free(), 5 * UNIT);
        assert!(room.take(5 * UNIT + 1).is_err());
        let rest = room.take(5 * UNIT).unwrap();
        assert!(one.grow(1).is_err() && room.take(1).is_err());
        room.take(0).unwrap();
        drop(one);
        assert_eq!(room.free(), 5 * UNIT);
        let bytes = rest.bind(vec![7; 3]);
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!((room.free(), &part[..]), (5 * UNIT, &[7][..]));
        drop(part);
        assert_eq!(room.free(), 10 * UNIT);
        assert!(room.take(usize::MAX).is_err());
    }
}
