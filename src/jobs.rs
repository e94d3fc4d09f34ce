//! Background work: a few threads, started when there is something to do and gone when there is not.
//!
//! # Invariants
//!
//! - A job that waits is not queued a second time; one that runs may be queued again. So the queue
//!   is never longer than there are kinds of jobs.
//! - After [`Jobs::stop`] has returned no job runs and none will.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

/// Threads that may work at once. One may wait for the disk while another computes.
const MOST_THREADS: usize = 2;
/// How long a thread without work stays.
const LINGER: Duration = Duration::from_secs(2);

/// Runs jobs of type `J` in the background.
pub(crate) struct Jobs<J> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    run: Box<dyn Fn(J) + Send + Sync>,
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    queue: Vec<J>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

impl<J: PartialEq + Send + 'static> Jobs<J> {
    /// Workers that do their jobs with `run`.
    pub(crate) fn new(run: impl Fn(J) + Send + Sync + 'static) -> Self {
        let state = State { queue: Vec::new(), threads: 0, idle: 0, stopped: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { shared: Arc::new(Shared { run: Box::new(run), state, changed }) }
    }

    /// Has `job` run soon, unless the same job waits already.
    pub(crate) fn request(&self, job: J) {
        let mut state = self.shared.state.lock();
        if state.stopped || state.queue.contains(&job) {
            return;
        }
        state.queue.push(job);
        if state.idle > 0 {
            drop(state);
            self.shared.changed.notify_all();
        } else if state.threads < MOST_THREADS {
            state.threads += 1;
            drop(state);
            let shared = Arc::clone(&self.shared);
            let spawned = std::thread::Builder::new()
                .name("duramen-worker".to_owned())
                .spawn(move || shared.work());
            if let Err(error) = spawned {
                // The job stays queued; the next request tries again.
                tracing::warn!(%error, "cannot start a worker thread");
                self.shared.state.lock().threads -= 1;
            }
        }
    }

    /// Whether nothing waits and nothing runs.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.shared.state.lock();
        state.queue.is_empty() && state.idle == state.threads
    }

    /// Drops what waits and returns when nothing runs any more.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.stopped = true;
        state.queue.clear();
        self.shared.changed.notify_all();
        while state.threads > 0 {
            state = self.shared.changed.wait(state);
        }
    }
}

impl<J> Shared<J> {
    fn work(self: Arc<Self>) {
        // Counts the thread out however it ends.
        let leave = Leave(&self);
        let mut state = self.state.lock();
        loop {
            if !state.queue.is_empty() {
                let job = state.queue.remove(0);
                drop(state);
                (self.run)(job);
                state = self.state.lock();
                continue;
            }
            if state.stopped {
                break;
            }
            state.idle += 1;
            let before = std::time::Instant::now();
            state = self.changed.wait_for(state, LINGER);
            state.idle -= 1;
            if state.queue.is_empty() && before.elapsed() >= LINGER {
                break;
            }
        }
        drop(state);
        drop(leave);
    }
}

struct Leave<'a, J>(&'a Shared<J>);

impl<J> Drop for Leave<'_, J> {
    fn drop(&mut self) {
        self.0.state.lock().threads -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_requested_job_runs_and_none_after_stop() {
        let (sender, receiver) = mpsc::channel();
        let jobs = Jobs::new(move |job| sender.send(job).unwrap());
        for job in 0..10 {
            jobs.request(job);
        }
        let mut ran: Vec<u32> = receiver.iter().take(10).collect();
        ran.sort_unstable();
        assert_eq!(ran, (0..10).collect::<Vec<_>>());
        jobs.stop();
        jobs.request(10);
        assert!(receiver.try_recv().is_err(), "a job ran after stop");
    }

    #[test]
    fn a_waiting_job_is_not_queued_twice() {
        let (release, gate) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        let jobs = Jobs::new(move |job: u32| {
            sender.send(job).unwrap();
            // Two jobs that block fill both threads.
            if job < 2 {
                gate.lock().unwrap().recv().unwrap();
            }
        });
        for job in [0, 1] {
            jobs.request(job);
            receiver.recv().unwrap();
        }
        for _ in 0..3 {
            jobs.request(7);
        }
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(receiver.recv(), Ok(7));
        jobs.stop();
        assert!(receiver.try_recv().is_err(), "job 7 ran twice");
    }
}
