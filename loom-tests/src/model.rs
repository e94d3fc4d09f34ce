use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use duramen::testing::models;

/// A model and its bounds.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Model {
    preemptions: usize,
    expire: bool,
}

impl Model {
    /// Every order in which threads are interrupted at most `preemptions` times. Timed waits never
    /// time out.
    pub fn new(preemptions: usize) -> Self {
        Self { preemptions, expire: false }
    }

    /// Timed waits time out, whatever comes first.
    pub fn timed_waits_expire(self) -> Self {
        Self { expire: true, ..self }
    }

    /// Runs `model` in all these orders. Panics where it does, where all threads sleep, and where
    /// threads race for memory.
    ///
    /// With `DURAMEN_SITES` in the environment, lists what the model passed that could be broken.
    pub fn check(self, model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        let bound = std::env::var("DURAMEN_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok());
        builder.preemption_bound = Some(bound.unwrap_or(self.preemptions));
        builder.max_branches = 20_000;
        let runs = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&runs);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            models::begin(self.expire);
            model();
        });
        println!("orders: {}", runs.load(Ordering::Relaxed));
        if std::env::var_os("DURAMEN_SITES").is_some() {
            for site in models::sites() {
                println!("site: {site}");
            }
        }
    }
}

/// A flag that a thread sleeps for. Also a waker, and so a small executor.
#[derive(Debug, Default)]
pub struct Signal {
    given: loom::sync::Mutex<bool>,
    changed: loom::sync::Condvar,
}

impl Signal {
    /// A flag that is not given.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Gives it.
    pub fn give(&self) {
        *self.given.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Sleeps until it is given, and takes it.
    pub fn take(&self) {
        let mut given = self.given.lock().unwrap();
        while !std::mem::take(&mut *given) {
            given = self.changed.wait(given).unwrap();
        }
    }

    /// A waker that gives it.
    #[must_use]
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.give();
    }
}
