//! The arguments of the commands that sign, about the anchor of a log.

use std::path::PathBuf;

/// Where the last head that a log signed is kept, and whether it may be missing.
#[derive(Debug, clap::Args)]
pub(crate) struct AnchorArgs {
    /// The directory, outside the store, that keeps the last head that each log signed [default: that of the key].
    #[arg(long, value_name = "DIR")]
    pub(crate) anchor: Option<PathBuf>,

    /// The key never signed a head, so there is no anchor yet. For the first time alone: later it is refused.
    #[arg(long)]
    pub(crate) first_anchor: bool,

    /// The log has moved to this store, and its anchor names another one, which is not to be signed any more.
    #[arg(long)]
    pub(crate) adopt_store: bool,
}

impl AnchorArgs {
    /// Whether any of it was given.
    pub(crate) fn is_given(&self) -> bool {
        self.anchor.is_some() || self.first_anchor || self.adopt_store
    }
}
