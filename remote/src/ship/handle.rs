//! What other threads see of a shipper, and end it with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use duramen::DurabilityToken;

use super::RemoteToken;
use super::shared::Shared;

/// Watches a [`Shipper`](crate::Shipper) from other threads, and abandons it.
///
/// # Examples
///
/// See [`ShipHandle::abandon`].
#[derive(Clone)]
pub struct ShipHandle {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for ShipHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShipHandle").finish_non_exhaustive()
    }
}

impl ShipHandle {
    /// As [`Shipper::remote`](crate::Shipper::remote).
    ///
    /// # Examples
    ///
    /// See [`Shipper::remote`](crate::Shipper::remote).
    #[must_use]
    pub fn remote(&self, token: &DurabilityToken) -> RemoteToken {
        RemoteToken { token: token.clone(), shared: Arc::clone(&self.shared) }
    }

    /// The sequence number up to which everything is in the bucket.
    ///
    /// # Examples
    ///
    /// See [`abandon`](Self::abandon).
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.shared.lock().remote
    }

    /// How long the bucket has taken nothing, although there was something to ship. `None` if it has everything.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Config, Store};
    /// # use duramen_remote::{Level, Remote, ShipConfig, ShipPolicy};
    /// # let path = dir.path().join("store");
    /// # let store = Store::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&store)?;
    /// let shipper = remote.ship(&store, ShipConfig::new(&path).policy(ShipPolicy::Manual))?;
    /// assert_eq!(shipper.handle().waits(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn waits(&self) -> Option<Duration> {
        self.shared.waits()
    }

    /// Whether the shipper has ended: closed, abandoned or fenced.
    ///
    /// # Examples
    ///
    /// See [`abandon`](Self::abandon).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Ends the shipper without waiting for the bucket, as a program does that must end: no request is made any more, and
    /// the one under way is given up. Every waiter gets [`Closed`](crate::Error::Closed). What is not in the bucket is
    /// shipped when the store is shipped again. Call [`Shipper::close`](crate::Shipper::close) as well.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Error, Remote, ShipConfig, ShipPolicy};
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path).policy(ShipPolicy::Manual))?;
    /// log.insert_durable([7; 32])?;
    /// let handle = shipper.handle();
    /// handle.abandon();
    /// assert!(matches!(shipper.close(), Err(Error::Closed { .. })));
    /// assert!(handle.has_ended() && handle.seq() == 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abandon(&self) {
        self.shared.abandon();
    }
}
