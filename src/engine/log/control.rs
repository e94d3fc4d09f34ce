//! Requests to the flusher.
//!
//! # Invariants
//!
//! - A request for a sequence number is kept until the flusher has taken it. The flusher takes requests before it
//!   cuts a group. So every leaf inserted before a request is in the group that answers it.
//! - Without requests and new leaves the flusher sleeps. Its only timers then are for a checkpoint, and once
//!   after the last group for a claim and after the last change for a report.
//! - A report waits for what is to be flushed, but never for longer than twice the time between two reports.
//! - Every change of the time at which the flusher has to work wakes it, from any thread.

use std::time::Duration;

use crate::ids::Seq;
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

/// What the flusher has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Write what is new and sync it.
    Flush,
    /// Write what is new without a sync.
    Spill,
    /// Write that the last group is durable.
    Claim,
    /// Check whether a checkpoint is due.
    Tick,
    /// Write what is new, sync it, and leave the segment.
    Roll,
    /// Write the status of the store for other processes.
    Report,
    /// Flush for the last time and end.
    Stop,
}

/// How often the flusher yields its core before it sleeps, after a group that a thread waited for. A thread that
/// inserts durably in a loop makes its next request within microseconds, and waking the flusher takes longer.
const PATIENCE: u32 = if cfg!(duramen_loom) { 0 } else { 16 };

#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The highest number that a thread waits for to be durable.
    wanted: Seq,
    /// Since when leaves wait without a request to flush them.
    dirty_since: Option<Instant>,
    spill: bool,
    /// When to write that the last group is durable.
    claim: Option<Instant>,
    roll: bool,
    /// When to check the checkpoint policy.
    tick: Option<Instant>,
    /// How often at most the flusher reports. `None`: never.
    report_every: Option<Duration>,
    /// When the flusher reported last.
    reported: Option<Instant>,
    /// When to report next.
    report: Option<Instant>,
    stop: bool,
    /// Whether the last group was requested. The thread that waited for it is likely to request another at once.
    answered: bool,
    /// Whether the flusher sleeps and no thread has woken it yet.
    asleep: bool,
}

impl State {
    /// Requests a report of what has changed, if reports are made.
    fn report_change(&mut self) {
        if let (Some(every), None) = (self.report_every, self.report) {
            let now = Instant::now();
            let next = self.reported.and_then(|last| last.checked_add(every));
            self.report = Some(next.map_or(now, |next| next.max(now)));
        }
    }

    /// Notes that a report is made now.
    fn reports(&mut self, now: Instant) -> Work {
        (self.report, self.reported) = (None, Some(now));
        Work::Report
    }
}

impl Control {
    /// Has the flusher report changes, at most once in `every`.
    pub(crate) fn report_every(&self, every: Duration) {
        self.state.lock().report_every = Some(every);
    }

    /// Notes a change that a report has to show.
    pub(crate) fn changed(&self) {
        let mut state = self.state.lock();
        if state.report_every.is_some() && state.report.is_none() {
            state.report_change();
            self.wake(state);
        }
    }

    /// When the first leaf came that no group was begun for.
    pub(crate) fn dirty_since(&self) -> Option<Instant> {
        self.state.lock().dirty_since
    }

    /// Requests a flush up to `seq` now.
    pub(crate) fn request(&self, seq: Seq) {
        let mut state = self.state.lock();
        if state.wanted < seq {
            state.wanted = seq;
            self.wake(state);
        }
    }

    /// Notes the first leaf since the last group.
    pub(crate) fn dirty(&self) {
        let mut state = self.state.lock();
        if state.dirty_since.is_none() {
            state.dirty_since = Some(Instant::now());
            state.report_change();
            self.wake(state);
        }
    }

    /// Requests that the flusher writes everything new without a sync, even what an earlier flush does not reach.
    pub(crate) fn spill(&self) {
        let mut state = self.state.lock();
        state.spill = true;
        self.wake(state);
    }

    /// Requests that the flusher flushes and then leaves the log's segment.
    pub(crate) fn roll(&self) {
        let mut state = self.state.lock();
        state.roll = true;
        self.wake(state);
    }

    /// Requests [`Work::Tick`] after `wait`. Replaces any earlier request for it.
    pub(crate) fn tick_in(&self, wait: Option<Duration>) {
        let mut state = self.state.lock();
        state.tick = wait.and_then(|wait| Instant::now().checked_add(wait));
        self.wake(state);
    }

    /// Requests [`Work::Tick`] after `wait` at the latest.
    pub(crate) fn tick_within(&self, wait: Option<Duration>) {
        let mut state = self.state.lock();
        let tick = wait.and_then(|wait| Instant::now().checked_add(wait));
        state.tick = [state.tick, tick].into_iter().flatten().min();
        self.wake(state);
    }

    /// Requests [`Work::Claim`] after `wait`, for the flusher itself. Replaces any earlier request for it.
    pub(crate) fn claim_in(&self, wait: Duration) {
        self.state.lock().claim = Instant::now().checked_add(wait);
    }

    /// Ends the pause before a claim, if the flusher waits for one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn end_pause(&self) {
        let mut state = self.state.lock();
        if state.claim.is_some() {
            state.claim = Some(Instant::now());
            self.wake(state);
        }
    }

    /// Requests the flusher's end.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        self.wake(state);
    }

    /// Wakes the flusher if it sleeps. Makes no system call while the flusher works.
    #[cfg_attr(duramen_loom, track_caller)]
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.changed.notify_one();
        }
    }

    /// Whether the flusher sleeps and no request is pending.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_idle(&self, durable: Seq) -> bool {
        let state = self.state.lock();
        state.asleep && !state.stop && !state.spill && !state.roll && state.wanted <= durable
    }

    /// Waits for work. `durable` is what is durable now. With an `interval`, leaves are flushed that long after
    /// the first of them was inserted.
    pub(crate) fn next(&self, durable: Seq, interval: Option<Duration>) -> Work {
        let mut state = self.state.lock();
        let mut patience = if std::mem::take(&mut state.answered) { PATIENCE } else { 0 };
        loop {
            if state.stop {
                return Work::Stop;
            }
            if std::mem::take(&mut state.roll) {
                return Work::Roll;
            }
            let now = Instant::now();
            // A report may have waited for as long again, because there always was something to flush.
            let late = |at: Instant, every| at.checked_add(every).is_some_and(|late| late <= now);
            if let (Some(at), Some(every)) = (state.report, state.report_every)
                && late(at, every)
            {
                return state.reports(now);
            }
            let flush_at = match (interval, state.dirty_since) {
                // An interval beyond the clock's end is never over.
                (Some(interval), Some(since)) => since.checked_add(interval),
                _ => None,
            };
            if state.wanted > durable || flush_at.is_some_and(|at| at <= now) {
                state.answered = state.wanted > durable;
                state.dirty_since = None;
                return Work::Flush;
            }
            if std::mem::take(&mut state.spill) {
                return Work::Spill;
            }
            if state.claim.is_some_and(|at| at <= now) {
                state.claim = None;
                return Work::Claim;
            }
            if state.tick.is_some_and(|at| at <= now) {
                state.tick = None;
                return Work::Tick;
            }
            if state.report.is_some_and(|at| at <= now) {
                return state.reports(now);
            }
            if patience > 0 {
                patience -= 1;
                drop(state);
                std::thread::yield_now();
                state = self.state.lock();
                continue;
            }
            let wake_at =
                [flush_at, state.claim, state.tick, state.report].into_iter().flatten().min();
            state.asleep = true;
            state = match wake_at {
                Some(at) => self.changed.wait_for(state, at.saturating_duration_since(now)),
                None => self.changed.wait(state),
            };
            state.asleep = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Option<Duration> = Some(Duration::from_millis(1));
    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    #[test]
    fn an_interval_begins_with_the_first_leaf_and_ends_with_one_flush() {
        let control = Control::default();
        control.dirty();
        let since = control.state.lock().dirty_since;
        assert!(since.is_some());
        control.dirty();
        assert_eq!(control.state.lock().dirty_since, since, "a later leaf put the flush off");
        assert_eq!(control.next(Seq(0), SHORT), Work::Flush);
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), SHORT), Work::Tick, "one leaf was flushed twice");
    }

    #[test]
    fn an_interval_that_is_too_long_for_the_clock_never_ends() {
        let control = Control::default();
        control.dirty();
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), Some(Duration::MAX)), Work::Tick);
        control.tick_in(Some(Duration::MAX));
        assert_eq!(control.state.lock().tick, None);
    }

    #[test]
    fn without_an_interval_leaves_wait_until_they_are_asked_for() {
        let control = Control::default();
        control.dirty();
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), None), Work::Tick);
        control.request(Seq(1));
        assert_eq!(control.next(Seq(0), None), Work::Flush);
    }

    #[test]
    fn what_is_durable_already_is_not_flushed_again() {
        let control = Control::default();
        control.request(Seq(3));
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(3), None), Work::Tick);
        assert_eq!(control.next(Seq(2), None), Work::Flush, "the request was forgotten");
    }

    #[test]
    fn a_later_request_for_less_takes_none_back() {
        let control = Control::default();
        control.request(Seq(9));
        control.request(Seq(3));
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(3), None), Work::Flush);
    }

    #[test]
    fn a_tick_comes_once_and_a_new_one_replaces_the_old() {
        let control = Control::default();
        control.tick_in(HOUR);
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), None), Work::Tick);
        assert_eq!(control.state.lock().tick, None);
        control.tick_in(SHORT);
        control.tick_in(None);
        control.request(Seq(1));
        assert_eq!(control.next(Seq(0), None), Work::Flush);
        assert_eq!(control.state.lock().tick, None);
    }

    #[test]
    fn a_claim_comes_once_and_every_group_puts_it_off() {
        let control = Control::default();
        control.claim_in(Duration::from_secs(3600));
        control.claim_in(Duration::ZERO);
        assert_eq!(control.next(Seq(0), None), Work::Claim);
        assert_eq!(control.state.lock().claim, None);
        control.claim_in(Duration::ZERO);
        control.request(Seq(1));
        assert_eq!(control.next(Seq(0), None), Work::Flush, "a group claims what is before it");
    }

    #[test]
    fn a_report_comes_after_a_change_and_not_too_often() {
        let control = Control::default();
        control.changed();
        control.dirty();
        assert_eq!(control.state.lock().report, None, "no reports were asked for");
        control.next(Seq(0), Some(Duration::ZERO));
        control.report_every(Duration::from_secs(3600));
        control.dirty();
        assert_eq!(control.next(Seq(0), Some(Duration::ZERO)), Work::Flush, "a flush comes first");
        assert_eq!(control.next(Seq(0), None), Work::Report);
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), None), Work::Tick, "nothing has changed");
        control.changed();
        control.tick_in(SHORT);
        assert_eq!(control.next(Seq(0), None), Work::Tick, "the last report was just now");
        let last = control.state.lock().reported.unwrap();
        assert_eq!(control.state.lock().report, Some(last + Duration::from_secs(3600)));
    }

    #[test]
    fn a_report_is_made_although_there_is_always_something_to_flush() {
        let control = Control::default();
        control.report_every(Duration::from_nanos(1));
        control.changed();
        control.request(Seq(9));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(control.next(Seq(0), None), Work::Report);
        assert_eq!(control.next(Seq(0), None), Work::Flush);
    }

    #[test]
    fn of_several_things_to_do_the_most_urgent_comes_first() {
        let control = Control::default();
        control.tick_in(Some(Duration::ZERO));
        control.spill();
        assert_eq!(control.next(Seq(0), None), Work::Spill);
        assert_eq!(control.next(Seq(0), None), Work::Tick);
        control.spill();
        control.request(Seq(1));
        assert_eq!(control.next(Seq(0), None), Work::Flush);
        assert_eq!(control.next(Seq(1), None), Work::Spill, "a flush may reach less than a spill");
        control.request(Seq(9));
        control.stop();
        assert_eq!(control.next(Seq(1), None), Work::Stop);
        assert_eq!(control.next(Seq(1), None), Work::Stop, "a stop is for ever");
    }

    #[test]
    fn a_sleeping_flusher_is_woken_from_any_thread_and_a_busy_one_is_not_called() {
        let control = Control::default();
        std::thread::scope(|scope| {
            for (call, work) in [
                (Box::new(|| control.request(Seq(1))) as Box<dyn Fn() + Sync>, Work::Flush),
                (Box::new(|| control.spill()), Work::Spill),
                (Box::new(|| control.tick_in(SHORT)), Work::Tick),
                (Box::new(|| control.stop()), Work::Stop),
            ] {
                let flusher = scope.spawn(|| control.next(Seq(0), None));
                call();
                assert_eq!(flusher.join().unwrap(), work);
                control.state.lock().wanted = Seq(0);
                assert!(!control.state.lock().asleep);
            }
        });
    }
}
