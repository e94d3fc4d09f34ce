//! What the process that has a store open says of it.

use crate::config::Config;
use crate::directory::status_file;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::report::StoreStatus;

/// Reads what a store said of itself last: a store that is open with
/// [`Config::status_file`](crate::Config::status_file), as the program `duramen` opens it. `None` if no process wrote a
/// status since the store was made, or since it was copied. Reads one small file, and changes nothing.
///
/// A status is a hint for operators: at most 100 ms behind a store that works, never synced, and no basis for a head.
/// [`running`](StoreStatus::running) says whether the process that wrote it has the store open now. It is false if another
/// process has the store open, without a status.
///
/// ```
/// use duramen::{Accumulator, Blake3, Config, inspect};
///
/// let dir = tempfile::tempdir()?;
/// let config = Config::new(dir.path().join("log")).status_file(true);
/// let log: Accumulator<Blake3, 4> = Accumulator::open(config.clone())?;
/// let status = inspect::status(&config)?.ok_or("no status")?;
/// assert!(status.running);
/// assert_eq!(status.pid, std::process::id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`NoStore`](crate::Error::NoStore) if there is no directory; [`Damaged`](crate::Error::Damaged) if the file is not what
/// a store writes; [`UnknownFormat`](crate::Error::UnknownFormat) if a later version wrote it.
pub fn status(config: &Config) -> Result<Option<StoreStatus>> {
    let fs = config.bind()?;
    let read = status_file::read(&*fs, &config.path)?;
    Ok(read.map(|status| StoreStatus { running: is_running(&*fs, &status), ..status }))
}

/// Whether the process that wrote `status` holds the lock.
fn is_running(fs: &dyn FileSystem, status: &StoreStatus) -> bool {
    let is_it =
        |owner: crate::error::LockOwner| owner.pid == status.pid && owner.since == status.opened;
    fs.is_locked().unwrap_or_default() && fs.lock_owner().is_none_or(is_it)
}
