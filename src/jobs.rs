//! Background work: a few threads, started when there is something to do and gone when there is not.
//!
//! # Invariants
//!
//! - A job that waits is not queued a second time; one that runs may be queued again. So the queue
//!   is never longer than there are kinds of jobs.
//! - A job that waits has a thread that will look for it, or gets one at the next request, whatever
//!   became of the threads before.
//! - After [`Jobs::stop`] has returned no job runs and none will.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};

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
        if state.stopped {
            return;
        }
        if !state.queue.contains(&job) {
            state.queue.push(job);
        }
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
                self.shared.leave(self.shared.state.lock());
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
        let leave = LeaveOnPanic(&self);
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
        std::mem::forget(leave);
        self.leave(state);
    }

    /// Counts a thread out, under the lock under which it found that there is nothing to do: nobody
    /// counts on it in between.
    fn leave(&self, mut state: MutexGuard<'_, State<J>>) {
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }
}

struct LeaveOnPanic<'a, J>(&'a Shared<J>);

impl<J> Drop for LeaveOnPanic<'_, J> {
    fn drop(&mut self) {
        self.0.leave(self.0.state.lock());
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

    #[test]
    fn a_job_that_waited_for_threads_that_panicked_runs_at_the_next_request() {
        let (release, gate) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        let jobs = Jobs::new(move |job: u32| {
            sender.send(job).unwrap();
            if job < 2 {
                gate.lock().unwrap().recv().unwrap();
                std::panic::resume_unwind(Box::new(()));
            }
        });
        for job in [0, 1] {
            jobs.request(job);
            receiver.recv().unwrap();
        }
        jobs.request(7);
        for _ in 0..2 {
            release.send(()).unwrap();
        }
        while jobs.shared.state.lock().threads > 0 {
            std::thread::yield_now();
        }
        assert!(receiver.try_recv().is_err(), "nobody was left to run job 7");
        jobs.request(7);
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(7));
        jobs.stop();
    }
}
