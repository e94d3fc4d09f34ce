//! What users see of a scrub that takes from a backup. It reads the backup as a reader of a store does, which is the engine's
//! business: the scrub itself knows no engine.

use crate::config::Config;
use crate::error::Result;
use crate::scrub::Options;

impl Options {
    /// Takes from the store in `config`, a backup of the scrubbed one, what cannot be rebuilt: leaves, entries, and
    /// whole parts. With [`repair`](Self::repair) it goes into new parts, and without it the report says what would.
    ///
    /// The backup is not trusted. Leaves are taken only if the hashes above them lead to an intact node, or to the
    /// root in the manifest. Entries are taken only if they hash to their leaves, and an entry that is erased in the
    /// store stays erased. The backup is neither locked nor changed, may be older than the store, and may be in use.
    ///
    /// Missing and damaged entries of a part are taken if the backup has all of them. Trees with the caller's own hash
    /// functions need [`Config::hasher`] in this `config` too. What the log of the backup has is held in memory.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::open`](crate::StoreReader::open). A scrub with these options fails with
    /// [`OtherStore`](crate::Error::OtherStore) if the backup is one of another store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (dir, copy) = (dir.path().join("log"), dir.path().join("copy"));
    /// use std::ops::ControlFlow;
    ///
    /// use duramen::{Accumulator, Config, scrub};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(&dir))?;
    /// log.insert_many(&[[1; 32]; 1000])?;
    /// log.checkpoint()?;
    /// log.snapshot_to(&copy)?;
    /// log.close()?;
    ///
    /// let options = scrub::Options::new().repair(true).backup(&Config::new(&copy))?;
    /// let report = scrub::run(&Config::new(&dir), &options, &mut |_| ControlFlow::Continue(()))?;
    /// assert!(report.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(self, config: &Config) -> Result<Self> {
        Ok(self.with_donor(crate::engine::donor(config)?))
    }
}
