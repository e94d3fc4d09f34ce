//! Threads, locks, atomics and clock as loom sees them, and the defects that models must find.
//!
//! A *site* is one call in the shipped code of something that can be broken: a notify, a wait, an
//! atomic load or store, a call of a waker or a job. `DURAMEN_MUTANT` in the environment names what
//! is broken in this run: either a site in the form that [`knobs::sites`] lists, or a name that
//! [`defect`] is asked for. What is broken is
//!
//! - at a `notify`: no thread is woken,
//! - at a `call`: nothing is called,
//! - at a `wait`: the lock is released and taken again between the look and the sleep,
//! - at a `load` or `store`: it is relaxed.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(crate) use loom::thread::{JoinHandle, ThreadId};

/// What models set for the threads that they start. One model runs on one thread of the operating
/// system, whatever threads loom makes of it.
pub(crate) mod knobs {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;
    use std::time::Duration;

    thread_local! {
        pub(super) static EXPIRE: Cell<bool> = const { Cell::new(false) };
        pub(super) static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        pub(super) static FAILING_SPAWNS: Cell<usize> = const { Cell::new(0) };
        pub(super) static SITES: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Begins one run of a model: the clock stands at its start and stays there until a timed wait
    /// expires. Timed waits do that all at once, or never.
    pub fn begin(timed_waits_expire: bool) {
        EXPIRE.set(timed_waits_expire);
        CLOCK.set(Duration::ZERO);
        FAILING_SPAWNS.set(0);
    }

    /// Lets the next `count` threads fail to start.
    pub fn fail_spawns(count: usize) {
        FAILING_SPAWNS.set(count);
    }

    /// The sites that were passed so far.
    pub fn sites() -> Vec<String> {
        SITES.with_borrow(|sites| sites.iter().cloned().collect())
    }
}

/// The defect of this run, if it has one.
fn mutant() -> Option<&'static str> {
    static MUTANT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    MUTANT.get_or_init(|| std::env::var("DURAMEN_MUTANT").ok()).as_deref()
}

/// Whether the model runs with the defect `name` built in.
pub(crate) fn defect(name: &str) -> bool {
    note(|| format!("defect {name}"))
}

/// Whether this site is the one that is broken.
#[track_caller]
fn broken(kind: &str) -> bool {
    let place = Location::caller();
    note(|| {
        let file = place.file();
        let file = file.rfind("src/").map_or(file, |at| &file[at..]);
        format!("{kind} {file}:{}", place.line())
    })
}

fn note(site: impl FnOnce() -> String) -> bool {
    static LISTS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let lists = *LISTS.get_or_init(|| std::env::var_os("DURAMEN_SITES").is_some());
    if !lists && mutant().is_none() {
        return false;
    }
    let site = site();
    let broken = mutant() == Some(&site);
    if lists {
        knobs::SITES.with_borrow_mut(|sites| sites.insert(site));
    }
    broken
}

/// Mutual exclusion.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { mutex: self, held }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|held| MutexGuard { mutex: self, held })
    }
}

/// A held [`Mutex`].
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: loom::sync::MutexGuard<'a, T>,
}

impl<T> MutexGuard<'_, T> {
    /// Lets go, so that others may come first, and takes the lock again.
    fn let_go(self) -> Self {
        let Self { mutex, held } = self;
        drop(held);
        mutex.lock()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

/// Waiting for a change of what a [`Mutex`] guards.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let guard = if broken("wait") { guard.let_go() } else { guard };
        self.sleep(guard)
    }

    /// As [`wait`](Self::wait). Either it never times out, or it does so at once and lets every
    /// other thread run first.
    #[track_caller]
    pub(crate) fn wait_for<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        if knobs::EXPIRE.get() {
            let guard = guard.let_go();
            knobs::CLOCK.set(knobs::CLOCK.get().saturating_add(timeout));
            return guard;
        }
        let guard = if broken("wait") { guard.let_go() } else { guard };
        self.sleep(guard)
    }

    fn sleep<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let MutexGuard { mutex, held } = guard;
        let held = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        MutexGuard { mutex, held }
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        if !broken("notify") {
            self.0.notify_one();
        }
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        if !broken("notify") {
            self.0.notify_all();
        }
    }
}

/// The atomics of shipped code. Those that guard slots and answers can be broken.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};

    use super::broken;

    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        #[track_caller]
        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.0.load(if broken("load") { Ordering::Relaxed } else { order })
        }

        #[track_caller]
        pub(crate) fn store(&self, value: u64, order: Ordering) {
            self.0.store(value, if broken("store") { Ordering::Relaxed } else { order });
        }
    }
}

/// `std::sync::OnceLock` as far as it is used here: a thread that finds the value sees what was done before it was set.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: loom::sync::atomic::AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        let is_set = loom::sync::atomic::AtomicBool::new(false);
        Self { value: std::sync::OnceLock::new(), is_set }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.is_set.load(atomic::Ordering::Acquire).then(|| self.value.get()).flatten()
    }

    /// `init` is not run twice, because the only caller holds a lock.
    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(init);
        self.is_set.store(true, atomic::Ordering::Release);
        value
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self { value: value.into(), is_set: loom::sync::atomic::AtomicBool::new(true) }
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceLock").finish_non_exhaustive()
    }
}

/// `arc_swap::ArcSwap` as far as it is used here. loom cannot look into the real one, which is taken
/// on trust: a load sees a whole `Arc` that was stored, and at least one as new as any store that
/// happened before the load. It may see an older one than others do: there is no lock in it that
/// would order its users.
pub(crate) struct ArcSwap<T> {
    stored: std::sync::Mutex<Vec<Arc<T>>>,
    newest: loom::sync::atomic::AtomicUsize,
}

impl<T> ArcSwap<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        let stored = std::sync::Mutex::new(vec![value]);
        Self { stored, newest: loom::sync::atomic::AtomicUsize::new(0) }
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        let at = self.newest.load(atomic::Ordering::Acquire);
        Arc::clone(&self.stored()[at])
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.load_full()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        let at = {
            let mut stored = self.stored();
            stored.push(value);
            stored.len() - 1
        };
        self.newest.swap(at, atomic::Ordering::AcqRel);
    }

    /// Not held while loom may switch threads.
    fn stored(&self) -> std::sync::MutexGuard<'_, Vec<Arc<T>>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for ArcSwap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArcSwap").finish_non_exhaustive()
    }
}

/// A moment on the model's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(knobs::CLOCK.get())
    }

    pub(crate) fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }
}

/// The thread that calls.
pub(crate) fn this_thread() -> ThreadId {
    loom::thread::current().id()
}

/// Room for the stack of a thread, in words.
const STACK_WORDS: usize = 1 << 16;

/// Starts a thread, unless the model wants that to fail.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let failing = knobs::FAILING_SPAWNS.get();
    if failing > 0 {
        knobs::FAILING_SPAWNS.set(failing - 1);
        // Starting a thread takes a while even if it fails.
        loom::thread::yield_now();
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    loom::thread::Builder::new().name(name.to_owned()).stack_size(STACK_WORDS).spawn(work)
}

/// Calls `work` and returns whether it returned. A panic is a model's finding and goes on.
#[track_caller]
pub(crate) fn returns(work: impl FnOnce()) -> bool {
    if !broken("call") {
        work();
    }
    true
}
