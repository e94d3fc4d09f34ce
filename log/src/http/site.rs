//! The logs that one process serves.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, watch};

use super::answer::Failed;
use super::cache::Cache;
use super::counted::Counted;
use super::history::History;
use super::limits::Limits;
use super::room::Room;
use super::watch::Watch;
use crate::error::LogError;
use crate::log::Log;
use crate::published::Published;

/// One log, with what its handlers need.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) log: Log,
    pub(super) limits: Limits,
    pub(super) counted: Counted,
    pub(super) history: History,
    /// The names of all logs of the site.
    pub(super) names: Arc<[String]>,
    pub(super) watch: Option<Watch>,
    pub(super) tails: Arc<Semaphore>,
    /// The memory that all requests share.
    pub(super) room: Room,
    /// Reads that may wait for the disk.
    pub(super) reads: Arc<Semaphore>,
    pub(super) cache: Cache,
    /// True once the server stops.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Served {
    /// The checkpoint that stands.
    pub(super) fn published(&self) -> Result<Arc<Published>, Failed> {
        self.log.published().ok_or_else(Failed::no_checkpoint)
    }

    /// Refuses an index below the smallest one that the log publishes. The store has it still.
    pub(super) fn must_be_published(&self, index: u64) -> Result<(), Failed> {
        let least = self.log.minimum_index();
        if index >= least {
            return Ok(());
        }
        let message = format!("the log publishes nothing below index {least}, and this is {index}");
        Err(Failed::new(StatusCode::GONE, message))
    }

    /// Runs `work`, which may wait for the disk, where it keeps no other request from going on.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Failed> {
        let given_up =
            || Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was given up");
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| given_up())?;
        let served = Arc::clone(self);
        let run = move || {
            let done = work(&served);
            drop(permit);
            done
        };
        let done = tokio::task::spawn_blocking(run).await.map_err(|_| given_up())?;
        if let Err(failed) = &done {
            self.look_for_damage(failed);
        }
        done
    }

    /// Has the log remember the damage because of which something failed.
    pub(super) fn look_for_damage(&self, failed: &Failed) {
        if let Some(damage) = failed.damage() {
            self.log.found_damage(damage.clone());
        }
    }

    /// Counts a request that added entries, and how long it took to become durable.
    pub(super) fn added(&self, entries: u64, bytes: u64, took: Duration) {
        self.counted.added(entries, bytes, took);
        self.history.record(entries, took, || self.log.backlog().1 as u64);
    }
}

/// How the paths begin that the first log has at the root, and those of the process.
const OWN_PATHS: [&str; 8] =
    ["add", "add-batch", "checkpoint", "healthz", "page", "readyz", "tile", "v1"];

fn refused(name: &str, reason: &str) -> LogError {
    LogError::Served { name: name.to_owned(), reason: reason.to_owned() }
}

/// The logs of one process.
#[derive(Debug)]
pub struct Site {
    served: Vec<Arc<Served>>,
    stopping: watch::Sender<bool>,
    pub(super) open: AtomicU64,
}

impl Site {
    /// Serves these logs, each under its name. The first one is at the root as well.
    ///
    /// # Errors
    ///
    /// As [`check_names`](Self::check_names), and if two logs have one origin.
    pub fn new(logs: Vec<(String, Log)>, limits: &Limits) -> Result<Arc<Self>, LogError> {
        Self::build(logs, limits, None)
    }

    /// As [`new`](Self::new), and the page of each log shows what `watch` sees of the store.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn watched(
        logs: Vec<(String, Log)>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<Self>, LogError> {
        Self::build(logs, limits, Some(watch))
    }

    /// Whether logs can be served under these names. To be asked before anything is made for them.
    ///
    /// # Errors
    ///
    /// [`LogError::Served`] if a name is not of letters, digits, `.`, `_` and `-`, if it is the beginning of a path that
    /// the server has for something else, and if two are equal.
    pub fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), LogError> {
        let mut seen = HashSet::new();
        for name in names {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || !name.chars().all(plain) || [".", ".."].contains(&name) {
                let reason = "a name in a path is of letters, digits, '.', '_' and '-'";
                return Err(refused(name, reason));
            }
            if OWN_PATHS.contains(&name) {
                return Err(refused(name, "the server has this path for something else"));
            }
            if !seen.insert(name) {
                return Err(refused(name, "two logs have this name"));
            }
        }
        Ok(())
    }

    fn build(
        logs: Vec<(String, Log)>,
        limits: &Limits,
        watch: Option<&Watch>,
    ) -> Result<Arc<Self>, LogError> {
        Self::check_names(logs.iter().map(|(name, _)| name.as_str()))?;
        for (place, (name, log)) in logs.iter().enumerate() {
            if logs[..place].iter().any(|(_, other)| other.origin() == log.origin()) {
                return Err(refused(name, "two logs have one origin"));
            }
        }
        let stopping = watch::Sender::new(false);
        let room = Room::new(limits.memory);
        let reads = Arc::new(Semaphore::new(limits.reads.max(1)));
        // The cache must leave room for requests.
        let cached = limits.cache.min(limits.memory / 4) / logs.len().max(1);
        let names: Arc<[String]> = logs.iter().map(|(name, _)| name.clone()).collect();
        let serve = |(name, log)| {
            Arc::new(Served {
                name,
                log,
                limits: limits.clone(),
                counted: Counted::default(),
                history: History::default(),
                names: Arc::clone(&names),
                watch: watch.cloned(),
                tails: Arc::new(Semaphore::new(limits.tails)),
                room: room.clone(),
                reads: Arc::clone(&reads),
                cache: Cache::new(cached),
                stopping: stopping.subscribe(),
            })
        };
        let served: Vec<_> = logs.into_iter().map(serve).collect();
        if let Some(watch) = watch {
            let logs: Vec<_> = served.iter().map(Arc::downgrade).collect();
            watch.on_damage(move |tree, found| {
                for served in logs.iter().filter_map(std::sync::Weak::upgrade) {
                    if served.log.tree().name() == tree {
                        served.log.found_damage(found.clone());
                    }
                }
            });
        }
        Ok(Arc::new(Self { served, stopping, open: AtomicU64::new(0) }))
    }

    /// The names of the logs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.served.iter().map(|served| served.name.as_str())
    }

    pub(super) fn log(&self, name: &str) -> Option<&Arc<Served>> {
        self.served.iter().find(|served| served.name == name)
    }

    pub(super) fn all(&self) -> &[Arc<Served>] {
        &self.served
    }

    /// Open connections.
    pub(super) fn connections(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Has every log read the files of its store again. A log that cannot keeps the files that it has.
    pub(super) fn refresh(&self) {
        for served in &self.served {
            if let Err(error) = served.log.refresh() {
                tracing::warn!(log = %served.name, %error, "cannot read the files of the store again");
            }
            // A bundle may have an entry that was erased.
            served.cache.clear();
        }
    }

    /// Ends the streams, which would never end by themselves.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers every entry that was taken, and publishes the last checkpoint of each log.
    ///
    /// # Errors
    ///
    /// The first error of a log, behind its name. The others are closed all the same.
    pub fn close(&self) -> Result<(), (String, LogError)> {
        let mut result = Ok(());
        for served in &self.served {
            let closed = served.log.close().map_err(|error| (served.name.clone(), error));
            result = result.and(closed);
        }
        result
    }
}
