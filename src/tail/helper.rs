//! A thread that waits for changes of a store's directory on behalf of futures.
//!
//! # Invariants
//!
//! - The thread waits for a change only after a future has asked for one. So a writer that is faster than its
//!   follower does not keep it busy.
//! - A change is kept until a future takes it.
//! - Wakers are cloned, called and dropped without the lock.
//! - In a forked child, which lacks the thread, no lock is taken.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::fs::Watch;
use crate::sync;
use crate::sync::process::Process;
use crate::sync::{Condvar, Mutex};

/// The waiting thread. Dropping this has it end, without waiting for it: what drops it may be its own waker.
pub(super) struct Helper {
    shared: Arc<Shared>,
    process: Process,
}

struct Shared {
    watch: Option<Arc<dyn Watch>>,
    state: Mutex<State>,
    /// A future has asked, or the thread has to end.
    asked: Condvar,
}

#[derive(Default)]
struct State {
    /// Set while a future waits. Where the system reports no changes: after how long there may be one.
    asked: Option<Duration>,
    waker: Option<Waker>,
    /// What the wait ended with, until a future takes it.
    answer: Option<io::Result<()>>,
    end: bool,
}

impl Helper {
    /// Starts the thread. Without a `watch` each wait lasts as long as the future says.
    pub(super) fn start(watch: Option<Arc<dyn Watch>>, process: Process) -> io::Result<Self> {
        let (state, asked) = (Mutex::new(State::default()), Condvar::new());
        let shared = Arc::new(Shared { watch, state, asked });
        let own = Arc::clone(&shared);
        drop(sync::spawn("duramen-tail", move || own.run())?);
        Ok(Self { shared, process })
    }

    /// Takes the answer of a wait that has ended, or waits for one. Without a watch the wait lasts for `pause`.
    pub(super) fn poll(&self, context: &mut Context<'_>, pause: Duration) -> Poll<io::Result<()>> {
        let new = context.waker().clone();
        let mut state = self.shared.state.lock();
        let answer = state.answer.take();
        let old = match answer {
            Some(_) => state.waker.take(),
            None => {
                state.asked.get_or_insert(pause);
                state.waker.replace(new)
            }
        };
        drop(state);
        drop(old);
        match answer {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.shared.asked.notify_one();
                Poll::Pending
            }
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let mut state = self.state.lock();
            let pause = loop {
                match state.asked {
                    _ if state.end => return,
                    Some(pause) => break pause,
                    None => state = self.asked.wait(state),
                }
            };
            let answer = match &self.watch {
                Some(watch) => {
                    drop(state);
                    let changed = watch.wait(None);
                    state = self.state.lock();
                    changed.map(drop)
                }
                None => {
                    // A wake-up before its time costs one look.
                    state = self.asked.wait_for(state, pause);
                    Ok(())
                }
            };
            if state.end {
                return;
            }
            state.answer = Some(answer);
            state.asked = None;
            let waker = state.waker.take();
            drop(state);
            let woken = sync::returns(|| waker.into_iter().for_each(Waker::wake));
            if !woken {
                tracing::error!("the waker of a tail panicked");
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        let waker = {
            let mut state = self.shared.state.lock();
            state.end = true;
            state.waker.take()
        };
        drop(waker);
        self.shared.asked.notify_one();
        if let Some(watch) = &self.shared.watch {
            watch.interrupt();
        }
    }
}
