//! The argument of commands that write to a store for long.

use crate::policy;

/// How much memory a store holds.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    /// Hold about this much memory for the store, such as 256MiB, at least 16MiB [default: half of what the control
    /// group allows, and no bound without one].
    #[arg(long, value_name = "BYTES", value_parser = policy::bytes)]
    pub(crate) max_memory: Option<u64>,
}
