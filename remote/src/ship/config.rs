//! How a store is shipped.

use std::path::PathBuf;
use std::time::Duration;

/// When what is durable is shipped.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use duramen_remote::{ShipConfig, ShipPolicy};
///
/// let config = ShipConfig::new("store").policy(ShipPolicy::Interval(Duration::from_millis(20)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShipPolicy {
    /// This often, if there is something new. Nothing is sent while there is not.
    Interval(Duration),
    /// When it is asked for, as by [`Shipper::flush_to`](crate::Shipper::flush_to).
    Manual,
}

impl Default for ShipPolicy {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(100))
    }
}

/// What a record survives.
///
/// # Examples
///
/// See [`Remote`](crate::Remote).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// A power cut of this machine.
    Local,
    /// The loss of this machine: the record is part of what every later writer takes over.
    Remote,
}

/// Settings of a [`Shipper`](crate::Shipper).
///
/// # Examples
///
/// ```
/// use duramen_remote::{ShipConfig, ShipPolicy};
///
/// let config = ShipConfig::new("/var/lib/log").policy(ShipPolicy::Manual);
/// ```
#[derive(Clone, Debug)]
pub struct ShipConfig {
    pub(crate) dir: PathBuf,
    pub(crate) policy: ShipPolicy,
    pub(crate) slot_bytes: usize,
}

impl ShipConfig {
    /// Ships the store in the directory `dir` every 100 ms.
    ///
    /// A file `remote` in the directory notes what the bucket had, so that a directory that has missed something is
    /// refused. `dir` is the path that the store was opened at.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), policy: ShipPolicy::default(), slot_bytes: 4 << 20 }
    }

    /// When to ship.
    ///
    /// # Examples
    ///
    /// See [`ShipConfig`].
    #[must_use]
    pub fn policy(mut self, policy: ShipPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// About how many bytes of log are sent at a time; at first 4 MiB. Groups that count only together are not split.
    ///
    /// # Examples
    ///
    /// ```
    /// use duramen_remote::ShipConfig;
    ///
    /// let config = ShipConfig::new("/var/lib/log").slot_bytes(1 << 20);
    /// ```
    #[must_use]
    pub fn slot_bytes(mut self, bytes: usize) -> Self {
        self.slot_bytes = bytes.max(1);
        self
    }
}
