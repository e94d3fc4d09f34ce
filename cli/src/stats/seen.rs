//! A status as it is read, and what the reader knows beside it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use duramen::inspect::{self, StoreStatus};
use duramen::{Config, StoreInfo};

use crate::error::{Error, Refusal};

/// A status, and what the reader knows beside it.
pub(super) struct Seen {
    pub(super) status: StoreStatus,
    /// How long ago it was written.
    pub(super) age: Duration,
    /// Bytes that are free where the store is, and bytes in all.
    pub(super) space: Option<(u64, u64)>,
}

/// Reads the status of a store.
pub(super) fn look(dir: &Path) -> Result<Seen, Error> {
    let Some(status) = inspect::status(&Config::new(dir))? else {
        StoreInfo::read(dir)?;
        return Err(Error::Refused { reason: Refusal::NoStatus { dir: dir.to_owned() } });
    };
    // A clock that was set back.
    let age = SystemTime::now().duration_since(status.written).unwrap_or_default();
    let space = rustix::fs::statvfs(dir).ok();
    let space = space.map(|found| {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        (bytes(found.f_bavail), bytes(found.f_blocks))
    });
    Ok(Seen { status, age, space })
}

impl Seen {
    /// How long the space lasts if parts grow as they did since the store was opened.
    pub(super) fn full_in(&self) -> Option<Duration> {
        let (free, _) = self.space?;
        let open = self.status.written.duration_since(self.status.opened).ok()?;
        let grown = self.status.stats.part_bytes_written;
        if grown == 0 || open.is_zero() {
            return None;
        }
        let nanos = u128::from(free) * open.as_nanos() / u128::from(grown);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The state in one word.
    pub(super) fn state(&self) -> &'static str {
        match (&self.status.state, self.status.running) {
            (inspect::RunState::Open, true) => "open",
            (inspect::RunState::Open, false) => "gone",
            (inspect::RunState::Closed, _) => "closed",
            _ => "poisoned",
        }
    }

    /// Why the store takes nothing more.
    pub(super) fn poison(&self) -> Option<&str> {
        match &self.status.state {
            inspect::RunState::Poisoned { error } => Some(error),
            _ => None,
        }
    }
}
