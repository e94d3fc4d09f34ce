//! Takes entries and keeps none: what a monitor does.

use std::ops::ControlFlow;

use super::follower::{FollowError, Sink};

/// Counts the entries that were verified.
#[derive(Debug)]
pub struct Counter {
    size: u64,
    stop: fn() -> bool,
}

impl Counter {
    /// Goes on behind `size` entries. `stop` says whether no more are wanted.
    #[must_use]
    pub fn new(size: u64, stop: fn() -> bool) -> Self {
        Self { size, stop }
    }
}

impl Sink for Counter {
    fn size(&self) -> u64 {
        self.size
    }

    fn fits(&self, _: &[u8; 32]) -> Result<(), FollowError> {
        Ok(())
    }

    fn take(&mut self, entries: &[&[u8]]) -> Result<ControlFlow<()>, FollowError> {
        self.size += entries.len() as u64;
        Ok(if (self.stop)() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn begin_at(&mut self, index: u64) -> Result<(), FollowError> {
        self.size = index;
        Ok(())
    }

    fn keep(&mut self) -> Result<(), FollowError> {
        Ok(())
    }
}
