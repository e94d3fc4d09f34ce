//! The arguments of every command that locks a store.

use std::time::Duration;

use crate::policy;

/// What to do about a store that is open elsewhere.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct LockArgs {
    /// Wait so long, such as 30s, for a store that is open elsewhere. Without this option that is an error at once.
    #[arg(long, value_name = "DURATION", value_parser = policy::duration)]
    pub(crate) wait_lock: Option<Duration>,
}
