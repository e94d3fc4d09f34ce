//! Background work: a few threads, started when there is something to do and gone when there is not.
//!
//! # Invariants
//!
//! - A job that waits is not queued a second time; one that runs may be queued again, and starts
//!   when it has ended. So the queue is never longer than there are kinds of jobs, and a slow job
//!   takes up one thread, however often it is asked for.
//! - A job that waits and could run has a thread that is on its way to it, unless all threads are
//!   busy or none could be started. In the latter case [`Jobs::request`] returns false, and
//!   its caller calls [`Jobs::start_waiting`] after a while. A thread decides to leave, and counts itself out, under the lock
//!   under which jobs are queued.
//! - Where no thread can be started, a thread that waits for a job may do it itself: [`Jobs::lend`]. It counts as one of the
//!   workers meanwhile.
//! - After [`Jobs::stop`] has returned no job runs and none will.
//! - A thread that comes back from a job in a forked child takes no lock there and ends.

use std::sync::Arc;
use std::time::Duration;

use crate::sync;
use crate::sync::process::Process;
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, ThreadId};

/// Threads that may work at once: a checkpoint and a merge, which take long, leave one for what is
/// short and in a hurry.
const MOST_THREADS: usize = if cfg!(duramen_loom) { 2 } else { 3 };
/// How long a thread without work stays.
const LINGER: Duration = Duration::from_secs(2);

/// Runs jobs of type `J` in the background.
pub(crate) struct Jobs<J> {
    shared: Arc<Shared<J>>,
}

struct Shared<J> {
    /// Where the threads are.
    process: Process,
    /// Does a job; the second argument is how long it has waited.
    run: Box<dyn Fn(J, Duration) + Send + Sync>,
    state: Mutex<State<J>>,
    changed: Condvar,
}

struct State<J> {
    queue: Vec<(J, Instant)>,
    /// What runs, and where.
    running: Vec<(J, ThreadId)>,
    threads: usize,
    /// Threads that wait, also if they have been woken and are not yet back.
    idle: usize,
    /// The last start of a thread failed.
    short: bool,
    stopped: bool,
}

impl<J: Copy + PartialEq> State<J> {
    fn runs(&self, job: J) -> bool {
        self.running.iter().any(|(running, _)| *running == job)
    }

    /// How many waiting jobs could run now.
    fn ready(&self) -> usize {
        self.queue.iter().filter(|(job, _)| !self.runs(*job)).count()
    }

    /// Threads that do no job: they wait, or are on their way to a job.
    fn free(&self) -> usize {
        self.threads - self.running.len()
    }

    /// Takes the oldest of them.
    fn start(&mut self) -> Option<(J, Duration)> {
        let at = self.queue.iter().position(|(job, _)| !self.runs(*job))?;
        let (job, since) = self.queue.remove(at);
        self.running.push((job, sync::this_thread()));
        Some((job, since.elapsed()))
    }
}

impl<J: Copy + PartialEq + Send + 'static> Jobs<J> {
    /// Workers in `process` that do their jobs with `run`; its second argument is how long the job has
    /// waited.
    pub(crate) fn new(process: Process, run: impl Fn(J, Duration) + Send + Sync + 'static) -> Self {
        let (queue, running) = (Vec::new(), Vec::new());
        let state = State { queue, running, threads: 0, idle: 0, short: false, stopped: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { shared: Arc::new(Shared { process, run: Box::new(run), state, changed }) }
    }

    /// Has `job` run soon, unless the same job waits already. Returns false if there is no thread for it.
    #[must_use = "a job that has no thread waits for the next request"]
    pub(crate) fn request(&self, job: J) -> bool {
        let mut state = self.shared.state.lock();
        if state.stopped {
            return true;
        }
        if !state.queue.iter().any(|(waiting, _)| *waiting == job) {
            state.queue.push((job, Instant::now()));
        }
        self.start(state)
    }

    /// Sees to it that jobs that wait have a thread. Returns false if there is none for them.
    #[must_use = "a job that has no thread waits for the next request"]
    pub(crate) fn start_waiting(&self) -> bool {
        let state = self.shared.state.lock();
        state.stopped || self.start(state)
    }

    fn start(&self, mut state: MutexGuard<'_, State<J>>) -> bool {
        let ready = state.ready();
        if ready > 0 && state.idle > 0 {
            self.shared.changed.notify_all();
        }
        if ready > state.free() && state.threads < MOST_THREADS {
            state.threads += 1;
            drop(state);
            let shared = Arc::clone(&self.shared);
            let started = sync::spawn("duramen-worker", move || shared.work());
            let mut state = self.shared.state.lock();
            let was_short = std::mem::replace(&mut state.short, started.is_err());
            if let Err(error) = started {
                // The job stays queued.
                self.shared.leave(state);
                if !was_short {
                    tracing::warn!(%error, "cannot start a worker thread, and will try again");
                }
                return false;
            }
            drop(state);
            if was_short {
                tracing::info!("worker threads can be started again");
            }
        }
        true
    }

    /// Whether a thread was needed and could not be started when this was last tried.
    pub(crate) fn are_short(&self) -> bool {
        self.shared.state.lock().short
    }

    /// Does the oldest waiting job on this thread if there are no workers and none could be started. Returns whether it did one.
    /// The caller holds no lock that a job takes.
    pub(crate) fn lend(&self) -> bool {
        let mut state = self.shared.state.lock();
        if !state.short || state.threads > 0 || state.stopped {
            return false;
        }
        let Some((job, waited)) = state.start() else { return false };
        state.threads += 1;
        drop(state);
        if let Some(state) = self.shared.run(job, waited) {
            self.shared.leave(state);
        }
        true
    }

    /// How many jobs wait, and how many run.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.shared.state.lock();
        (state.queue.len() as u64, state.running.len() as u64)
    }

    /// Whether this is the thread of a worker, in the middle of a job.
    pub(crate) fn are_here(&self) -> bool {
        let here = sync::this_thread();
        self.shared.state.lock().running.iter().any(|(_, thread)| *thread == here)
    }

    /// Whether nothing waits and nothing runs.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.shared.state.lock();
        state.queue.is_empty() && state.idle == state.threads
    }

    /// Drops what waits and returns when nothing runs any more. Where something does, `hasten` is called
    /// before it is waited for, when no job begins any more.
    pub(crate) fn stop(&self, hasten: impl FnOnce()) {
        let mut state = self.shared.state.lock();
        state.stopped = true;
        state.queue.clear();
        self.shared.changed.notify_all();
        if !state.running.is_empty() {
            drop(state);
            hasten();
            state = self.shared.state.lock();
        }
        while state.threads > 0 {
            state = self.shared.changed.wait(state);
        }
    }
}

impl<J: Copy + PartialEq> Shared<J> {
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some((job, waited)) = state.start() {
                drop(state);
                let Some(after) = self.run(job, waited) else { return };
                state = after;
                continue;
            }
            if state.stopped {
                break;
            }
            state.idle += 1;
            let before = Instant::now();
            state = self.changed.wait_for(state, LINGER);
            state.idle -= 1;
            if state.ready() == 0 && before.elapsed() >= LINGER {
                break;
            }
        }
        if sync::defect("a worker decides to leave and counts itself out later") {
            drop(state);
            state = self.state.lock();
        }
        self.leave(state);
    }

    /// Runs a job that was started. Returns the state after it, or `None` in a forked child.
    fn run(&self, job: J, waited: Duration) -> Option<MutexGuard<'_, State<J>>> {
        let returned = sync::returns(|| (self.run)(job, waited));
        if !self.process.is_current() {
            // The queue's lock may be held by a thread that is not here.
            return None;
        }
        if !returned {
            tracing::error!("a background job panicked");
        }
        let mut state = self.state.lock();
        state.running.retain(|(running, _)| *running != job);
        Some(state)
    }

    /// Counts a thread out, or one that could not be started.
    #[cfg_attr(duramen_loom, track_caller)]
    fn leave(&self, mut state: MutexGuard<'_, State<J>>) {
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn new<J: Copy + PartialEq + Send + 'static>(
        run: impl Fn(J, Duration) + Send + Sync + 'static,
    ) -> Jobs<J> {
        Jobs::new(Process::current().unwrap(), run)
    }

    #[test]
    fn every_requested_job_runs_and_none_after_stop() {
        let (sender, receiver) = mpsc::channel();
        let jobs = new(move |job, _| sender.send(job).unwrap());
        for job in 0..10 {
            let _ = jobs.request(job);
        }
        let mut ran: Vec<u32> = receiver.iter().take(10).collect();
        ran.sort_unstable();
        assert_eq!(ran, (0..10).collect::<Vec<_>>());
        jobs.stop(|| ());
        let _ = jobs.request(10);
        assert!(receiver.try_recv().is_err(), "a job ran after stop");
    }

    #[test]
    fn a_waiting_job_is_not_queued_twice() {
        let (release, gate) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        let jobs = new(move |job: usize, _| {
            sender.send(job).unwrap();
            // So many jobs that block fill all threads.
            if job < MOST_THREADS {
                gate.lock().unwrap().recv().unwrap();
            }
        });
        for job in 0..MOST_THREADS {
            let _ = jobs.request(job);
            receiver.recv().unwrap();
        }
        for _ in 0..3 {
            let _ = jobs.request(7);
        }
        for _ in 0..MOST_THREADS {
            release.send(()).unwrap();
        }
        assert_eq!(receiver.recv(), Ok(7));
        jobs.stop(|| ());
        assert!(receiver.try_recv().is_err(), "job 7 ran twice");
    }

    #[test]
    fn a_job_is_not_run_beside_itself_and_leaves_a_thread_for_others() {
        let (release, gate) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        let jobs = new(move |job: u32, _| {
            sender.send(job).unwrap();
            if job == 0 {
                gate.lock().unwrap().recv().unwrap();
            }
        });
        let _ = jobs.request(0);
        assert_eq!(receiver.recv(), Ok(0));
        let _ = jobs.request(0);
        let _ = jobs.request(1);
        assert_eq!(receiver.recv(), Ok(1), "job 0 took both threads");
        release.send(()).unwrap();
        assert_eq!(receiver.recv(), Ok(0), "what was asked for while it ran was forgotten");
        release.send(()).unwrap();
        jobs.stop(|| ());
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn a_worker_without_work_ends_and_a_later_job_gets_another_one() {
        let (sender, receiver) = mpsc::channel();
        let jobs = new(move |job: u32, _| sender.send((job, sync::this_thread())).unwrap());
        let mut earlier = Vec::new();
        for job in 0..2 {
            assert_eq!(jobs.shared.state.lock().threads, 0);
            assert!(jobs.request(job));
            let (ran, thread) = receiver.recv().unwrap();
            assert!(ran == job && !earlier.contains(&thread), "{ran} on {thread:?}");
            earlier.push(thread);
            // It never ends if the worker never does.
            let mut state = jobs.shared.state.lock();
            while state.threads > 0 {
                state = jobs.shared.changed.wait(state);
            }
        }
        jobs.stop(|| ());
    }

    #[test]
    fn who_waits_does_the_job_where_no_worker_can_be_started() {
        let (sender, receiver) = mpsc::channel();
        let jobs = new(move |job: u32, _| sender.send((job, sync::this_thread())).unwrap());
        assert!(!jobs.lend(), "nothing was asked for");
        crate::sync::FAILING_SPAWNS.set(2);
        assert!(!jobs.request(1) && !jobs.request(2));
        assert!(jobs.are_short() && jobs.lend() && jobs.lend() && !jobs.lend());
        let here = sync::this_thread();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [(1, here), (2, here)]);
        // A worker is started again as soon as that succeeds.
        assert!(jobs.request(3));
        assert_ne!(receiver.recv().unwrap().1, here);
        assert!(!jobs.are_short() && !jobs.lend());
        jobs.stop(|| ());
    }

    #[test]
    fn a_job_that_panics_takes_no_other_with_it() {
        let (sender, receiver) = mpsc::channel();
        let jobs = new(move |job: u32, _| {
            assert!(job != 0, "on purpose");
            sender.send(job).unwrap();
        });
        for job in [0, 1, 0, 2, 0, 3] {
            let _ = jobs.request(job);
        }
        let mut ran: Vec<u32> = receiver.iter().take(3).collect();
        ran.sort_unstable();
        assert_eq!(ran, [1, 2, 3]);
        jobs.stop(|| ());
    }

    #[test]
    fn a_worker_that_comes_back_from_a_job_in_a_forked_child_takes_no_lock_there() {
        let (release, gate) = mpsc::channel::<()>();
        let (sender, begun) = mpsc::channel();
        let gate = std::sync::Mutex::new(gate);
        // For the worker it is as if the job had forked.
        let jobs = Jobs::new(Process::another(), move |(): (), _| {
            sender.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
        });
        let _ = jobs.request(());
        begun.recv().unwrap();
        // Held, in a child, by a thread that is not there.
        let state = jobs.shared.state.lock();
        release.send(()).unwrap();
        for _ in 0..30_000 {
            if Arc::strong_count(&jobs.shared) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(Arc::strong_count(&jobs.shared), 1, "the worker waits");
        drop(state);
    }
}
