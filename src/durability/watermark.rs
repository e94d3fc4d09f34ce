//! The watermark: everything up to one sequence number is durable. Nothing is claimed about the rest.
//!
//! # Invariants
//!
//! - The watermark only rises. Only [`Watermark::advance`] raises it, after the fsync.
//! - After its end, by a failure or by closing, the watermark never rises again. Only the first end
//!   counts.
//! - A waiter is woken when the watermark reaches its number or ends. The waiter checks both under the
//!   lock that guards both. So no change is missed between the check and the sleep.
//! - In a forked child no call waits or takes a lock. Numbers that were durable at the fork are durable,
//!   and all others get an error.
//! - No call waits on the thread that raises the watermark. A call that would have to wait there fails.
//! - A rewind is noted under the lock under which the watermark rises. A thread that loads the watermark first and then
//!   looks for rewinds never reports a dropped leaf as durable, nor a durable leaf as dropped.
//! - Wakers are the caller's code. They are cloned, called and dropped without the lock, because each of
//!   these may drop a token. If one waker panics, the others are still called.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::task::Waker;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ids::{Seq, TreeId};
use crate::merkle::{TreeName, TreeSize};
use crate::sync;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::process::Process;
use crate::sync::{Condvar, Instant, Mutex, ThreadId};

/// Names one waiting future: the number it waits for, and an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WakerId(Seq, u64);

#[derive(Debug)]
pub(crate) struct Watermark {
    /// A copy of `state.durable` that is read without the lock.
    durable: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether `state` has rewinds. Set before a watermark that they concern can rise.
    has_rewinds: AtomicBool,
    /// The process whose threads raise the watermark.
    process: Process,
    /// The thread that raises the watermark. A thread only compares its own id with this one, so it does
    /// not matter when other threads see the value.
    raiser: OnceLock<ThreadId>,
}

#[derive(Debug)]
struct State {
    durable: Seq,
    ended: Option<Error>,
    sleepers: usize,
    wakers: Wakers,
    next_waker: u64,
    /// Rewinds that dropped leaves which were not durable, oldest first.
    rewinds: Vec<Rewind>,
}

/// A rewind of one tree: it dropped the leaves from `size` on. Those with a number above `durable` were not durable.
#[derive(Clone, Debug)]
struct Rewind {
    durable: Seq,
    /// The number of the record.
    seq: Seq,
    id: TreeId,
    tree: TreeName,
    size: u64,
}

/// So many rewinds are remembered one by one. Older ones are remembered together, one for each tree: a token that was not
/// asked for so long may then say of a leaf that it was dropped, although it was not.
const REWINDS: usize = 1 << 16;

/// Sorted by the number that they wait for, the lowest first. So finding the ready wakers, and removing one, does not visit
/// the others. (`BTreeMap::split_off` would: it counts what it splits off.)
type Wakers = BTreeMap<WakerId, Waker>;

impl State {
    /// The answer for `seq`, if there is one yet.
    fn answer(&self, seq: Seq) -> Option<Result<()>> {
        if self.durable >= seq {
            return Some(Ok(()));
        }
        self.ended.clone().map(Err)
    }

    fn keep_waker(&mut self, seq: Seq, waker: Waker) -> WakerId {
        let id = WakerId(seq, self.next_waker);
        self.next_waker += 1;
        self.wakers.insert(id, waker);
        id
    }

    fn take_waker(&mut self, id: WakerId) -> Option<Waker> {
        self.wakers.remove(&id)
    }

    /// Removes and returns the wakers that wait for `seq` or less.
    fn take_ready(&mut self, seq: Seq) -> Wakers {
        if self.wakers.last_key_value().is_none_or(|(WakerId(last, _), _)| *last <= seq) {
            return std::mem::take(&mut self.wakers);
        }
        let mut ready = Wakers::new();
        while let Some(first) = self.wakers.first_entry()
            && first.key().0 <= seq
        {
            let (id, waker) = first.remove_entry();
            ready.insert(id, waker);
        }
        ready
    }
}

/// The waiters at the moment the watermark ended.
#[must_use = "they sleep until they are woken"]
pub(crate) struct Ending<'a> {
    watermark: &'a Watermark,
    sleepers: usize,
    wakers: Wakers,
}

impl Ending<'_> {
    /// Wakes the waiters. The caller must hold no lock.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    #[cfg_attr(duramen_loom, track_caller)]
    pub(crate) fn wake(self) -> Result<()> {
        self.watermark.wake(self.sleepers, self.wakers)
    }
}

impl Watermark {
    pub(crate) fn new(durable: Seq, process: Process) -> Self {
        let state = State {
            durable,
            ended: None,
            sleepers: 0,
            wakers: Wakers::new(),
            next_waker: 0,
            rewinds: Vec::new(),
        };
        Self {
            durable: AtomicU64::new(durable.0),
            state: Mutex::new(state),
            changed: Condvar::new(),
            has_rewinds: AtomicBool::new(false),
            process,
            raiser: OnceLock::new(),
        }
    }

    /// Notes that the record `seq` rewinds trees: for each its number, its name and the size. The record before it has the
    /// number before.
    pub(crate) fn note_rewind(&self, seq: Seq, cuts: Vec<(TreeId, TreeName, u64)>) {
        let mut state = self.state.lock();
        if state.durable.0.saturating_add(1) >= seq.0 {
            // All leaves that are dropped are durable.
            return;
        }
        let durable = state.durable;
        let all = cuts.into_iter().map(|(id, tree, size)| Rewind { durable, seq, id, tree, size });
        state.rewinds.extend(all);
        if state.rewinds.len() > REWINDS {
            merge_older_half(&mut state.rewinds);
        }
        // Read after the watermark, which rises under the same lock.
        self.has_rewinds.store(true, Ordering::Release);
    }

    /// Whether a leaf may have been dropped before it was durable.
    #[inline]
    pub(crate) fn has_rewinds(&self) -> bool {
        self.has_rewinds.load(Ordering::Acquire)
    }

    /// Fails if a leaf of the tree `id` below `end`, with the number `seq`, was dropped before it was durable.
    pub(crate) fn check_rewound(&self, seq: Seq, id: TreeId, end: u64) -> Result<()> {
        self.process.check()?;
        let state = self.state.lock();
        let dropped = |rewind: &&Rewind| {
            rewind.id == id && rewind.size < end && rewind.durable < seq && seq < rewind.seq
        };
        match state.rewinds.iter().find(dropped) {
            None => Ok(()),
            Some(Rewind { tree, size, .. }) => {
                Err(Error::Rewound { tree: tree.clone(), size: TreeSize(*size) })
            }
        }
    }

    /// Runs `look` while no other thread can observe the end.
    #[cfg(test)]
    pub(crate) fn undisturbed<T>(&self, look: impl FnOnce() -> T) -> T {
        let _state = self.state.lock();
        look()
    }

    /// Declares the current thread the one that raises the watermark.
    pub(crate) fn raise_from_here(&self) {
        // The first thread stays the raiser.
        let _ = self.raiser.set(sync::this_thread());
    }

    /// Fails on the thread that raises the watermark, where `call` would wait for itself.
    pub(crate) fn refuse_on_raiser(&self, call: &'static str) -> Result<()> {
        if self.raiser.get().is_some_and(|raiser| *raiser == sync::this_thread()) {
            return Err(Error::WouldWaitForItself { call, thread: "flusher" });
        }
        Ok(())
    }

    /// The sequence number up to which everything is durable now.
    pub(crate) fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    /// Declares everything up to `seq` durable. Call this only after the fsync. Does nothing after the
    /// end.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    pub(crate) fn advance(&self, seq: Seq) -> Result<()> {
        let mut state = self.state.lock();
        if state.ended.is_some() || seq <= state.durable {
            return Ok(());
        }
        state.durable = seq;
        self.durable.store(seq.0, Ordering::Release);
        let ready = state.take_ready(seq);
        let sleepers = state.sleepers;
        drop(state);
        self.wake(sleepers, ready)
    }

    /// Ends the watermark. Every waiter, now or later, for a number that is not durable gets `error`.
    /// Returns whether this is the first end.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if a waker has forked and this is the child.
    pub(crate) fn end(&self, error: Error) -> Result<bool> {
        let ending = self.begin_end(error).map(Ending::wake).transpose()?;
        Ok(ending.is_some())
    }

    /// As [`end`](Self::end), for a caller that holds a lock. From now on every call gets `error`. The
    /// returned value wakes the current waiters, after the caller has released its lock. `None` if the
    /// watermark had already ended.
    pub(crate) fn begin_end(&self, error: Error) -> Option<Ending<'_>> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return None;
        }
        state.ended = Some(error);
        let wakers = std::mem::take(&mut state.wakers);
        Some(Ending { watermark: self, sleepers: state.sleepers, wakers })
    }

    #[cfg_attr(duramen_loom, track_caller)]
    fn wake(&self, sleepers: usize, wakers: Wakers) -> Result<()> {
        if sleepers > 0 {
            self.changed.notify_all();
        }
        let mut wakers = wakers.into_values();
        while let Some(waker) = wakers.next() {
            let returned = sync::returns(|| waker.wake());
            if let Err(forked) = self.process.check() {
                // In a child, the remaining wakers may wait for threads that do not exist there.
                std::mem::forget(wakers);
                return Err(forked);
            }
            if !returned {
                tracing::error!("the waker of a durability token panicked");
            }
        }
        Ok(())
    }

    /// Waits until `seq` is durable or the watermark has ended. In a forked child the watermark never
    /// rises.
    pub(crate) fn wait(&self, seq: Seq) -> Result<()> {
        if self.durable() >= seq {
            return Ok(());
        }
        self.process.check()?;
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer(seq) {
                return answer;
            }
            self.refuse_on_raiser("DurabilityToken::wait")?;
            state.sleepers += 1;
            state = self.changed.wait(state);
            state.sleepers -= 1;
        }
    }

    /// Fails if the watermark has ended.
    pub(crate) fn check(&self) -> Result<()> {
        self.state.lock().ended.clone().map_or(Ok(()), Err)
    }

    /// As [`wait`](Self::wait), but waits at most for `timeout`. Returns `Ok(false)` if `seq` is not
    /// durable by then.
    pub(crate) fn wait_timeout(&self, seq: Seq, timeout: Duration) -> Result<bool> {
        if self.durable() >= seq {
            return Ok(true);
        }
        self.process.check()?;
        // A timeout too long for the clock means no timeout.
        let Some(deadline) = Instant::now().checked_add(timeout) else {
            return self.wait(seq).map(|()| true);
        };
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answer(seq) {
                return answer.map(|()| true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.refuse_on_raiser("DurabilityToken::wait_timeout")?;
            state.sleepers += 1;
            state = self.changed.wait_for(state, left);
            state.sleepers -= 1;
        }
    }

    /// Returns the answer for `seq`, or keeps `waker` until there is one. `id` names the waker that an
    /// earlier call kept. The call replaces this waker and its id.
    pub(crate) fn poll(
        &self,
        seq: Seq,
        id: &mut Option<WakerId>,
        waker: &Waker,
    ) -> Option<Result<()>> {
        if let Err(forked) = self.process.check() {
            return Some(if self.durable() >= seq { Ok(()) } else { Err(forked) });
        }
        let new = waker.clone();
        let mut state = self.state.lock();
        let old = id.take().and_then(|id| state.take_waker(id));
        let answer = state.answer(seq);
        if answer.is_none() {
            *id = Some(state.keep_waker(seq, new));
        }
        drop(state);
        drop(old);
        answer
    }

    /// Removes a waker that [`poll`](Self::poll) kept. Does nothing in a forked child, which has no
    /// wakers of its own.
    pub(crate) fn forget(&self, id: WakerId) {
        if !self.process.is_current() {
            return;
        }
        let old = self.state.lock().take_waker(id);
        drop(old);
    }
}

/// Makes one rewind for each tree of the older half.
fn merge_older_half(rewinds: &mut Vec<Rewind>) {
    let later = rewinds.split_off(rewinds.len() / 2);
    let mut merged: BTreeMap<TreeId, Rewind> = BTreeMap::new();
    for rewind in rewinds.drain(..) {
        match merged.get_mut(&rewind.id) {
            Some(all) => {
                all.durable = all.durable.min(rewind.durable);
                all.seq = all.seq.max(rewind.seq);
                all.size = all.size.min(rewind.size);
            }
            None => drop(merged.insert(rewind.id, rewind)),
        }
    }
    rewinds.extend(merged.into_values());
    rewinds.extend(later);
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Wake};

    use super::*;
    use crate::durability::DurabilityToken;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn watermark() -> Arc<Watermark> {
        Arc::new(Watermark::new(Seq(0), Process::current().unwrap()))
    }

    fn token(watermark: &Arc<Watermark>, seq: u64) -> DurabilityToken {
        DurabilityToken::new(Seq(seq), Arc::clone(watermark))
    }

    fn poll(token: &mut DurabilityToken, waker: &Waker) -> Poll<Result<()>> {
        Pin::new(token).poll(&mut Context::from_waker(waker))
    }

    fn kept(watermark: &Watermark) -> usize {
        watermark.state.lock().wakers.len()
    }

    #[test]
    fn wakers_are_woken_by_what_they_wait_for_and_each_number_once() {
        let watermark = watermark();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut tokens: Vec<_> = [5, 1, 3, 3, 9].map(|seq| token(&watermark, seq)).into();
        for token in &mut tokens {
            assert!(poll(token, &waker).is_pending());
        }
        watermark.advance(Seq(3)).unwrap();
        assert_eq!((count.get(), kept(&watermark)), (3, 2));
        watermark.advance(Seq(4)).unwrap();
        assert_eq!(count.get(), 3);
        watermark.advance(Seq(u64::MAX)).unwrap();
        assert_eq!((count.get(), kept(&watermark)), (5, 0));
    }

    /// With a search through all other wakers, this test would take minutes.
    #[test]
    fn many_tokens_are_polled_again_and_dropped_in_any_order_without_a_search() {
        let many = if cfg!(miri) { 100 } else { 200_000 };
        let watermark = watermark();
        let waker = Waker::from(Arc::new(Count::default()));
        let mut tokens: Vec<_> = (1..=many).map(|seq| token(&watermark, seq)).collect();
        let started = std::time::Instant::now();
        for _ in 0..2 {
            for token in tokens.iter_mut().rev() {
                assert!(poll(token, &waker).is_pending());
            }
        }
        let even = tokens.extract_if(.., |token| token.seq().0 % 2 == 0);
        drop(even.collect::<Vec<_>>());
        assert_eq!(kept(&watermark) as u64, many / 2);
        watermark.advance(Seq(many / 2)).unwrap();
        drop(tokens);
        assert_eq!(kept(&watermark), 0);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    fn the_watermark_only_rises_and_stays_where_it_ended() {
        let watermark = watermark();
        watermark.advance(Seq(5)).unwrap();
        watermark.advance(Seq(3)).unwrap();
        assert_eq!(watermark.durable(), Seq(5));
        watermark.end(Error::Closed).unwrap();
        watermark.end(Error::ThreadPanicked { thread: "flusher" }).unwrap();
        watermark.advance(Seq(9)).unwrap();
        assert_eq!(watermark.durable(), Seq(5));
        token(&watermark, 5).wait().unwrap();
        assert!(matches!(token(&watermark, 6).wait(), Err(Error::Closed)));
    }

    #[test]
    fn a_wait_with_a_limit_tells_too_short_from_ended_from_durable() {
        let watermark = watermark();
        let (first, second) = (token(&watermark, 1), token(&watermark, 2));
        assert!(!first.wait_timeout(Duration::ZERO).unwrap());
        assert!(!first.wait_timeout(Duration::from_millis(2)).unwrap());
        watermark.advance(Seq(1)).unwrap();
        assert!(first.wait_timeout(Duration::ZERO).unwrap());
        watermark.end(Error::Closed).unwrap();
        assert!(first.wait_timeout(Duration::ZERO).unwrap());
        assert!(matches!(second.wait_timeout(Duration::ZERO), Err(Error::Closed)));
    }

    #[test]
    fn a_limit_beyond_the_end_of_time_is_none() {
        let watermark = watermark();
        let token = token(&watermark, 1);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| token.wait_timeout(Duration::MAX));
            watermark.advance(Seq(1)).unwrap();
            assert!(waiter.join().unwrap().unwrap());
        });
    }

    #[test]
    fn only_the_waker_of_the_last_poll_is_woken_and_once() {
        let watermark = watermark();
        let mut token = token(&watermark, 2);
        let (old, new) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(poll(&mut token, &old.clone().into()).is_pending());
        assert!(poll(&mut token, &new.clone().into()).is_pending());
        assert_eq!((kept(&watermark), Arc::strong_count(&old)), (1, 1));
        watermark.advance(Seq(1)).unwrap();
        assert_eq!((old.get(), new.get()), (0, 0), "woken for too little");
        watermark.advance(Seq(2)).unwrap();
        watermark.advance(Seq(3)).unwrap();
        assert_eq!((old.get(), new.get()), (0, 1));
        assert!(poll(&mut token, &old.clone().into()).is_ready());
        assert!(poll(&mut token, &old.clone().into()).is_ready(), "an answer stays");
        assert_eq!((kept(&watermark), Arc::strong_count(&old)), (0, 1));
    }

    #[test]
    fn a_dropped_token_leaves_nothing_behind_and_takes_nothing_from_its_clone() {
        let watermark = watermark();
        let mut token = token(&watermark, 1);
        let mut clone = token.clone();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(poll(&mut token, &first.clone().into()).is_pending());
        assert!(poll(&mut clone, &second.clone().into()).is_pending());
        drop(token);
        assert_eq!((kept(&watermark), Arc::strong_count(&first)), (1, 1));
        watermark.end(Error::Closed).unwrap();
        assert_eq!((first.get(), second.get()), (0, 1));
        assert!(matches!(poll(&mut clone, Waker::noop()), Poll::Ready(Err(Error::Closed))));
    }

    /// A task with its own token. Dropping its last waker drops the token too.
    struct Task {
        _token: DurabilityToken,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_waker_may_own_a_token_of_the_same_store() {
        let watermark = watermark();
        let task = || {
            let mut own = token(&watermark, 9);
            assert!(poll(&mut own, Waker::noop()).is_pending());
            Waker::from(Arc::new(Task { _token: own }))
        };
        // One waker is replaced, one is removed with its token, and one is dropped after an answer.
        let mut replaced = token(&watermark, 8);
        assert!(poll(&mut replaced, &task()).is_pending());
        assert!(poll(&mut replaced, Waker::noop()).is_pending());
        let mut forgotten = token(&watermark, 8);
        assert!(poll(&mut forgotten, &task()).is_pending());
        drop(forgotten);
        let mut answered = token(&watermark, 8);
        assert!(poll(&mut answered, &task()).is_pending());
        watermark.advance(Seq(8)).unwrap();
        assert!(poll(&mut answered, &task()).is_ready());
        drop(replaced);
        assert_eq!(kept(&watermark), 0);
    }

    /// A waker that panics.
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        for end in [false, true] {
            let watermark = watermark();
            let count = Arc::new(Count::default());
            let wakers = [Arc::new(Panics).into(), Waker::from(count.clone())];
            let mut tokens = wakers.map(|waker| {
                let mut token = token(&watermark, 1);
                assert!(poll(&mut token, &waker).is_pending());
                token
            });
            if end {
                watermark.end(Error::Closed).unwrap();
            } else {
                watermark.advance(Seq(1)).unwrap();
            }
            assert_eq!(count.get(), 1);
            for token in &mut tokens {
                assert!(poll(token, Waker::noop()).is_ready());
            }
        }
    }

    #[test]
    fn many_waiters_are_told_the_truth_each() {
        let watermark = watermark();
        let synced = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for seq in 1..=40 {
                let token = token(&watermark, seq);
                let synced = &synced;
                scope.spawn(move || {
                    let answer = match seq % 2 {
                        0 => token.wait(),
                        _ => token.wait_timeout(Duration::MAX).map(|durable| assert!(durable)),
                    };
                    assert_eq!(answer.is_ok(), seq <= 30);
                    assert!(answer.is_err() || synced.load(Ordering::Relaxed) >= seq);
                });
            }
            for seq in [1, 2, 7, 30] {
                synced.store(seq, Ordering::Relaxed);
                watermark.advance(Seq(seq)).unwrap();
            }
            watermark.end(Error::Closed).unwrap();
        });
        assert_eq!(watermark.state.lock().sleepers, 0);
    }
}
