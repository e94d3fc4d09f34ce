//! The reports of a store: plain data, and the listeners that receive events.

pub(crate) mod backup;
pub(crate) mod checkpoint;
pub(crate) mod compact;
pub(crate) mod distribution;
pub(crate) mod event;
pub(crate) mod fields;
pub(crate) mod jobs;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
pub(crate) mod prune;
pub(crate) mod recovery;
pub(crate) mod rewind;
pub(crate) mod scrub;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod tree;
pub(crate) mod tree_stats;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsListener;
pub use backup::BackupInfo;
pub use checkpoint::{CheckpointInfo, CheckpointReason, TreeCheckpoint};
pub use compact::{Compact, CompactInfo};
pub use distribution::Distribution;
pub(crate) use distribution::Recorder;
pub(crate) use event::Listeners;
pub use event::{Event, EventGroup, EventListener, TreeFlush};
pub use jobs::{JobStats, Times};
pub(crate) use jobs::{Reasons, Steps, Work};
pub use prune::PruneInfo;
pub use recovery::{RecoveryReport, TreeRecovery};
pub use rewind::{RewindInfo, TreeRewind};
pub use stats::Stats;
pub use status::{RunState, StoreStatus};
pub use tree::TreeInfo;
pub use tree_stats::TreeStats;
