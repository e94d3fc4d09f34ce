//! What the page shows of the store below the logs: when it checkpointed and merged, and how full its disk is.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use duramen::{Error, Event, TreeName};

use super::history::{SECONDS, uptime};
use crate::damage::{FoundBy, FoundDamage};

/// The most jobs that are kept. With more the oldest ones are forgotten.
const MOST: usize = 1000;

/// Watches a store: give it the store's events, and the logs of the store to [`Site::watched`](super::Site::watched).
///
/// ```
/// use duramen::{Config, Event};
/// use duramen_log::http::Watch;
///
/// let watch = Watch::new("some/directory");
/// let events = watch.clone();
/// let config = Config::new("some/directory").listener(move |event: &Event| events.event(event));
/// # let _ = config;
/// ```
#[derive(Clone)]
pub struct Watch(Arc<Watched>);

struct Watched {
    dir: PathBuf,
    jobs: Mutex<VecDeque<Job>>,
    damaged: Mutex<Vec<OnDamage>>,
}

/// Takes damage of a tree that the store found.
type OnDamage = Box<dyn Fn(&TreeName, &FoundDamage) + Send + Sync>;

/// What a store does in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    /// Of the parts of one tree.
    Merge(TreeName),
}

/// One checkpoint or merge.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) begun: Duration,
    /// `None` while it runs.
    pub(super) ended: Option<Duration>,
}

/// How much room a file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) free: u64,
    pub(super) total: u64,
}

impl Space {
    /// Whether it is time to make room: less than 1 GiB is free, or less than a twentieth and less than 64 GiB.
    pub(super) fn is_low(self) -> bool {
        self.free < 1 << 30 || self.free < self.total / 20 && self.free < 64 << 30
    }

    /// The part that is free, in thousandths.
    pub(super) fn thousandths(self) -> u64 {
        let (free, total) = (u128::from(self.free), u128::from(self.total.max(1)));
        u64::try_from(free * 1000 / total).unwrap_or(1000)
    }
}

impl Watch {
    /// Watches the store in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        // From here on time is counted.
        uptime();
        Self(Arc::new(Watched {
            dir: dir.into(),
            jobs: Mutex::default(),
            damaged: Mutex::default(),
        }))
    }

    /// Calls `told` for damage that the store finds while it checkpoints and merges.
    pub(super) fn on_damage(&self, told: impl Fn(&TreeName, &FoundDamage) + Send + Sync + 'static) {
        self.0.damaged.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(told));
    }

    fn look_for_damage<'a>(&self, error: &Error, trees: impl IntoIterator<Item = &'a TreeName>) {
        let Some(found) = FoundDamage::of(error, FoundBy::Store) else { return };
        let told = self.0.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        for tree in trees {
            told.iter().for_each(|told| told(tree, &found));
        }
    }

    /// Takes note of an event of the store. Returns at once.
    pub fn event(&self, event: &Event) {
        match event {
            Event::CheckpointFailed { trees, error, .. } => self.look_for_damage(error, trees),
            Event::CompactionFailed { tree, error, .. }
            | Event::PruneFailed { tree, error, .. } => {
                self.look_for_damage(error, [tree]);
            }
            _ => {}
        }
        match event {
            Event::CheckpointBegun { .. } => self.begin(Kind::Checkpoint),
            Event::CheckpointCompleted { .. } | Event::CheckpointFailed { .. } => {
                self.end(&Kind::Checkpoint);
            }
            Event::CompactionBegun { tree, .. } => self.begin(Kind::Merge(tree.clone())),
            Event::CompactionCompleted { tree, .. }
            | Event::CompactionFailed { tree, .. }
            | Event::CompactionAbandoned { tree, .. } => self.end(&Kind::Merge(tree.clone())),
            _ => {}
        }
    }

    fn begin(&self, kind: Kind) {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let now = uptime();
        let old = |job: &Job| job.ended.is_some_and(|end| end.as_secs() + SECONDS < now.as_secs());
        while jobs.len() >= MOST || jobs.front().is_some_and(old) {
            jobs.pop_front();
        }
        jobs.push_back(Job { kind, begun: now, ended: None });
    }

    fn end(&self, kind: &Kind) {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = |job: &&mut Job| job.ended.is_none() && job.kind == *kind;
        if let Some(job) = jobs.iter_mut().rev().find(runs) {
            job.ended = Some(uptime());
        }
    }

    /// The jobs that ran in the last minutes: checkpoints of the store, and merges of `tree`.
    pub(super) fn jobs(&self, tree: &TreeName) -> Vec<Job> {
        let oldest = uptime().saturating_sub(Duration::from_secs(SECONDS));
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = |job: &&Job| {
            let is_of_tree = !matches!(&job.kind, Kind::Merge(other) if other != tree);
            is_of_tree && job.ended.is_none_or(|ended| ended >= oldest)
        };
        jobs.iter().filter(is_shown).cloned().collect()
    }

    /// The room of the file system of the store. `None` if the system does not tell.
    pub(super) fn space(&self) -> Option<Space> {
        let stat = rustix::fs::statvfs(&self.0.dir).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_before_nothing_is_left() {
        let room = |free: u64, total: u64| Space { free: free << 20, total: total << 20 };
        assert!(room(1023, 4000).is_low());
        assert!(!room(1024, 4000).is_low());
        assert!(room(4999, 100_000).is_low());
        assert!(!room(5000, 100_000).is_low());
        // A twentieth of a large disk is a lot.
        assert!(!room(70_000, 10_000_000).is_low());
        assert_eq!((room(1, 3).thousandths(), room(0, 0).thousandths()), (333, 0));
    }

    #[test]
    fn a_merge_of_another_tree_is_not_shown() {
        let watch = Watch::new("x");
        let tree = |name: &str| name.parse::<TreeName>().unwrap();
        watch.begin(Kind::Merge(tree("a")));
        watch.begin(Kind::Merge(tree("b")));
        watch.begin(Kind::Checkpoint);
        watch.end(&Kind::Merge(tree("a")));
        let jobs = watch.jobs(&tree("a"));
        let shown: Vec<_> = jobs.into_iter().map(|job| (job.kind, job.ended.is_some())).collect();
        assert_eq!(shown, [(Kind::Merge(tree("a")), true), (Kind::Checkpoint, false)]);
    }

    #[test]
    fn jobs_are_bounded() {
        let watch = Watch::new("x");
        for _ in 0..MOST + 10 {
            watch.begin(Kind::Checkpoint);
        }
        assert_eq!(watch.0.jobs.lock().unwrap().len(), MOST);
    }
}
