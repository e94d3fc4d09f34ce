//! How entries get into the tree: many submitters, one thread that inserts, one that waits for the disk.
//!
//! A submitter hands over its entries and a place for the answer. The inserting thread takes everything that waits, and
//! inserts it in one call under one lock. It asks for a flush and passes the answers on. The waiting thread answers once
//! the flush is durable. So the next entries are inserted while the disk is busy, and one sync serves all submitters that
//! came meanwhile.
//!
//! # Invariants
//!
//! - An answer with an index is given only when the entry is durable.
//! - Every submission that was taken gets exactly one answer: its indexes, or one of two errors. Nothing is in the log,
//!   or everything is and may be lost with the next crash.
//! - What waits is bounded in bytes and in number. Beyond the bound a submission is refused, and nothing of it stays.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use duramen::{DurabilityToken, DynAccumulator};
use tokio::sync::oneshot;

use crate::error::LogError;

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its index.
    pub index: u64,
    /// Whether it was inserted. False if the tree had it.
    pub new: bool,
}

/// Why entries were not taken. Nothing of them was inserted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// An entry is longer than the log takes.
    #[error("entry {position} has {len} bytes, and the log takes at most {longest}")]
    TooLong {
        /// Its position in the submission, from 0.
        position: usize,
        /// Its bytes.
        len: usize,
        /// The most that the log takes.
        longest: usize,
    },
    /// The log signs nothing any more, so it takes nothing: no checkpoint would have the entries.
    #[error("the log takes no entries: {reason}")]
    Stopped {
        /// The error that stopped it.
        reason: String,
        /// Whether that is a full disk.
        disk_full: bool,
    },
    /// Too much waits to be inserted. Try again later.
    #[error("{entries} entries of {bytes} bytes wait to be inserted; try again later")]
    Full {
        /// The entries that wait.
        entries: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The log is being closed.
    #[error("the log is being closed")]
    Closing,
}

/// Why entries that were taken are not answered with their indexes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// Nothing of them is in the log, now and after a restart.
    #[error("the entries are not in the log")]
    NotInserted(#[source] LogError),
    /// They are in the tree, and are not known to be durable. After a restart they may be there or not, but all of those
    /// before an entry that is there are there as well.
    #[error("the entries are in the log, and not known to be durable")]
    NotDurable(#[source] LogError),
}

/// The answer to a submission, one item for every entry.
pub type Answer = Result<Vec<Added>, AddError>;

struct Job {
    entries: Vec<Bytes>,
    answer: oneshot::Sender<Answer>,
}

/// Bytes that an entry takes while it waits, beside its own.
const OVERHEAD: usize = 64;

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    entries: usize,
    bytes: usize,
    closing: bool,
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    most_bytes: usize,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock can leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses everything from now on, and answers what waits with an error.
    fn end(&self) {
        let mut waiting = self.lock();
        waiting.closing = true;
        (waiting.entries, waiting.bytes) = (0, 0);
        for job in waiting.jobs.drain(..) {
            let _ = job.answer.send(Err(AddError::NotInserted(LogError::Closing)));
        }
        self.changed.notify_all();
    }

    /// Takes everything that waits. `None` once the log is being closed and nothing waits.
    fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.closing {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        (waiting.entries, waiting.bytes) = (0, 0);
        Some(std::mem::take(&mut waiting.jobs))
    }
}

/// Ends the queue with its thread, also if that panics: no request must wait for a thread that is gone.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Answers that are given once the token is durable.
struct Ready {
    token: Result<DurabilityToken, LogError>,
    answers: Vec<(oneshot::Sender<Answer>, Vec<Added>)>,
}

/// Takes entries for one tree.
pub(crate) struct Intake {
    queue: Arc<Queue>,
    longest: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Intake {
    /// Starts the threads. `most_bytes` is how much may wait. With `unique` an entry that the tree has is not inserted.
    /// `settled` is told after each answer whether it was that entries are durable.
    pub(crate) fn start(
        tree: Arc<DynAccumulator>,
        unique: bool,
        (most_bytes, longest): (usize, usize),
        settled: impl Fn(&Result<(), LogError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (waiting, changed) = (Mutex::new(Waiting::default()), Condvar::new());
        let queue = Arc::new(Queue { waiting, changed, most_bytes });
        // The bound keeps the inserting thread from running far ahead of the disk.
        let (send, receive) = std::sync::mpsc::sync_channel::<Ready>(16);
        let ends = Ends(Arc::clone(&queue));
        let inserting = move || {
            while let Some(jobs) = ends.0.take() {
                if let Some(ready) = insert(&tree, unique, jobs)
                    && send.send(ready).is_err()
                {
                    return;
                }
            }
        };
        let ends = Ends(Arc::clone(&queue));
        let waiting = move || {
            let _ends = ends;
            for ready in receive {
                settled(&answer(ready));
            }
        };
        let intake = Self { queue, longest, threads: Mutex::default() };
        // If the second thread cannot be started, dropping the intake ends the first.
        intake.spawn("log-insert", inserting)?;
        intake.spawn("log-durable", waiting)?;
        Ok(intake)
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Submits entries, which are inserted together and in order. The answer comes once they are durable.
    ///
    /// # Errors
    ///
    /// [`Refused`] if an entry is too long, if too much waits already, or if the log is being closed.
    pub(crate) fn submit(&self, entries: Vec<Bytes>) -> Result<oneshot::Receiver<Answer>, Refused> {
        let longest = self.longest;
        let too_long = entries.iter().position(|entry| entry.len() > longest);
        if let Some(position) = too_long {
            return Err(Refused::TooLong { position, len: entries[position].len(), longest });
        }
        let (answer, receiver) = oneshot::channel();
        if entries.is_empty() {
            let _ = answer.send(Ok(Vec::new()));
            return Ok(receiver);
        }
        let bytes = entries.iter().map(|entry| entry.len() + OVERHEAD).sum::<usize>();
        let mut waiting = self.queue.lock();
        if waiting.closing {
            return Err(Refused::Closing);
        }
        // One submission alone is taken whatever its size.
        if waiting.bytes > 0 && waiting.bytes.saturating_add(bytes) > self.queue.most_bytes {
            return Err(Refused::Full { entries: waiting.entries, bytes: waiting.bytes });
        }
        waiting.entries += entries.len();
        waiting.bytes += bytes;
        waiting.jobs.push(Job { entries, answer });
        if waiting.jobs.len() == 1 {
            self.queue.changed.notify_one();
        }
        Ok(receiver)
    }

    /// Whether entries are taken. False once the log is being closed, and if a thread ended.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.lock().closing
    }

    /// How many entries wait to be inserted, and their bytes.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let waiting = self.queue.lock();
        (waiting.entries, waiting.bytes)
    }

    /// Takes no more, and returns once everything that was taken is answered.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.queue.changed.notify_all();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A thread that panicked has dropped its answers; the submitters see that.
            let _ = thread.join();
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.close();
    }
}

/// Inserts all entries of `jobs`. Answers at once if that fails.
fn insert(tree: &DynAccumulator, unique: bool, jobs: Vec<Job>) -> Option<Ready> {
    let entries: Vec<&Bytes> = jobs.iter().flat_map(|job| &job.entries).collect();
    let added = match add(tree, unique, &entries) {
        Ok(added) => added,
        Err(error) => {
            for job in jobs {
                let _ = job.answer.send(Err(AddError::NotInserted(error.clone())));
            }
            return None;
        }
    };
    let token = tree.flush_async().map_err(LogError::from);
    let mut added = added.into_iter();
    let split = |job: Job| {
        let of_job = added.by_ref().take(job.entries.len()).collect();
        (job.answer, of_job)
    };
    Some(Ready { token, answers: jobs.into_iter().map(split).collect() })
}

fn add(tree: &DynAccumulator, unique: bool, entries: &[&Bytes]) -> Result<Vec<Added>, LogError> {
    if unique {
        let unique = tree.insert_unique_entries(entries)?;
        let added = unique.iter();
        return Ok(added
            .map(|one| Added { index: one.index().get(), new: one.is_new() })
            .collect());
    }
    let inserted = tree.insert_entries(entries)?;
    Ok(inserted.range.map(|index| Added { index, new: true }).collect())
}

fn answer(ready: Ready) -> Result<(), LogError> {
    let durable = ready.token.and_then(|token| token.wait().map_err(LogError::from));
    for (answer, added) in ready.answers {
        // A submitter that went away does not hear that its entries are in the log.
        let _ = answer.send(durable.clone().map(|()| added).map_err(AddError::NotDurable));
    }
    durable
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]
mod tests {
    use duramen::{Arity, Config, EntryConfig, Rfc6962Sha256, Store, TreeConfig};

    use super::*;

    fn intake(
        dir: &std::path::Path,
        settled: impl Fn(&Result<(), LogError>) + Send + 'static,
    ) -> Intake {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(dir.join("store"))).unwrap();
        let tree = store.tree_dyn("main", config.entries(EntryConfig::new()).indexed()).unwrap();
        Intake::start(Arc::new(tree), true, (1000, 20), settled).unwrap()
    }

    #[test]
    fn entries_that_are_too_long_are_refused_and_no_entries_are_answered_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let intake = intake(dir.path(), |_| {});
        let refused = intake.submit(vec!["a".into(), "x".repeat(21).into()]).unwrap_err();
        assert_eq!(refused, Refused::TooLong { position: 1, len: 21, longest: 20 });
        assert_eq!(intake.submit(Vec::new()).unwrap().blocking_recv().unwrap().unwrap(), []);
        let added = intake.submit(vec!["a".into(), "a".into()]).unwrap().blocking_recv();
        let expected = [Added { index: 0, new: true }, Added { index: 0, new: false }];
        assert_eq!(added.unwrap().unwrap(), expected);
    }

    #[test]
    fn after_a_thread_has_panicked_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let intake = intake(dir.path(), |_| panic!("a test"));
        // The first answer is given before the panic.
        intake.submit(vec!["a".into()]).unwrap().blocking_recv().unwrap().unwrap();
        for number in 0..1000 {
            match intake.submit(vec![format!("{number}").into()]) {
                Err(refused) => {
                    assert_eq!(refused, Refused::Closing);
                    assert!(!intake.is_open());
                    return;
                }
                // An answer, an error, or none any more: each ends the wait.
                Ok(answer) => drop(answer.blocking_recv()),
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("entries are taken though nobody inserts them");
    }
}
