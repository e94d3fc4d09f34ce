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
//! - Every submission that was taken gets exactly one answer: an error if the store failed or the log is being closed.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
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

/// The answer to a submission, one item for every entry.
pub type Answer = Result<Vec<Added>, LogError>;

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

/// Answers that are given once the token is durable.
struct Ready {
    token: Result<DurabilityToken, LogError>,
    answers: Vec<(oneshot::Sender<Answer>, Vec<Added>)>,
}

/// Takes entries for one tree.
pub(crate) struct Intake {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Intake {
    /// Starts the threads. `most_bytes` is how much may wait.
    pub(crate) fn start(
        tree: Arc<DynAccumulator>,
        most_bytes: usize,
        durable: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (waiting, changed) = (Mutex::new(Waiting::default()), Condvar::new());
        let queue = Arc::new(Queue { waiting, changed, most_bytes });
        // The bound keeps the inserting thread from running far ahead of the disk.
        let (send, receive) = std::sync::mpsc::sync_channel::<Ready>(16);
        let inserting = {
            let queue = Arc::clone(&queue);
            move || {
                while let Some(jobs) = queue.take() {
                    if let Some(ready) = insert(&tree, jobs)
                        && send.send(ready).is_err()
                    {
                        return;
                    }
                }
            }
        };
        let waiting = move || {
            for ready in receive {
                answer(ready);
                durable();
            }
        };
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body)
        };
        let threads = vec![
            spawn("log-insert", Box::new(inserting))?,
            spawn("log-durable", Box::new(waiting))?,
        ];
        Ok(Self { queue, threads: Mutex::new(threads) })
    }

    /// Submits entries, which are inserted together and in order. The answer comes once they are durable.
    ///
    /// # Errors
    ///
    /// [`Refused`] if too much waits already, or if the log is being closed.
    pub(crate) fn submit(&self, entries: Vec<Bytes>) -> Result<oneshot::Receiver<Answer>, Refused> {
        let bytes = entries.iter().map(|entry| entry.len() + OVERHEAD).sum::<usize>();
        let mut waiting = self.queue.lock();
        if waiting.closing {
            return Err(Refused::Closing);
        }
        // One submission alone is taken whatever its size.
        if waiting.bytes > 0 && waiting.bytes.saturating_add(bytes) > self.queue.most_bytes {
            return Err(Refused::Full { entries: waiting.entries, bytes: waiting.bytes });
        }
        let (answer, receiver) = oneshot::channel();
        waiting.entries += entries.len();
        waiting.bytes += bytes;
        waiting.jobs.push(Job { entries, answer });
        if waiting.jobs.len() == 1 {
            self.queue.changed.notify_one();
        }
        Ok(receiver)
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
fn insert(tree: &DynAccumulator, jobs: Vec<Job>) -> Option<Ready> {
    let entries: Vec<&Bytes> = jobs.iter().flat_map(|job| &job.entries).collect();
    let added = match add(tree, &entries) {
        Ok(added) => added,
        Err(error) => {
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
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

fn add(tree: &DynAccumulator, entries: &[&Bytes]) -> Result<Vec<Added>, LogError> {
    if tree.is_indexed() {
        let unique = tree.insert_unique_entries(entries)?;
        let added = unique.iter();
        return Ok(added
            .map(|one| Added { index: one.index().get(), new: one.is_new() })
            .collect());
    }
    let inserted = tree.insert_entries(entries)?;
    Ok(inserted.range.map(|index| Added { index, new: true }).collect())
}

fn answer(ready: Ready) {
    let durable = ready.token.and_then(|token| token.wait().map_err(LogError::from));
    for (answer, added) in ready.answers {
        // A submitter that went away does not hear that its entries are in the log.
        let _ = answer.send(durable.clone().map(|()| added));
    }
}
