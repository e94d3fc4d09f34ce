//! Acknowledgements: a thread of its own waits for leaves to become durable, in order, and prints
//! their indexes, while the input goes on streaming.
//!
//! # Invariants
//!
//! - An index is printed only after its token has resolved, and printed lines are written at once.
//! - Once a signal has asked the program to end, a reader that takes nothing for [`PATIENCE`] is given up:
//!   from then on nothing more is printed, and no call here waits for it.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use duramen::DurabilityToken;

use crate::error::Error;
use crate::output::cannot_print;
use crate::signals::{self, PATIENCE, Signal};

/// How many batches may wait to become durable.
const BACKLOG: usize = 64;

/// The most bytes of one write. A pipe takes so many or none, so what was taken is known.
const PIECE: usize = 4096;

type Batch = (Range<u64>, DurabilityToken);

/// The end of the printing thread that batches are pushed into.
pub(crate) struct Acks {
    shared: Arc<Shared>,
    printer: JoinHandle<Result<(), Error>>,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether a write to the reader has begun and not ended.
    writing: AtomicBool,
    /// Writes that the reader took.
    writes: AtomicU64,
    /// Lines that the reader took.
    lines: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Batch>,
    /// Whether all batches are pushed.
    complete: bool,
    /// Whether the printing thread has ended.
    ended: bool,
    /// Whether the reader was given up.
    stuck: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&mut State) -> bool) -> MutexGuard<'_, State> {
        let state = self.changed.wait_while(self.lock(), condition);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Acks {
    /// Starts the thread, which prints to `out` what `wait` has returned for.
    pub(crate) fn start(
        out: impl Write + Send + 'static,
        wait: impl Fn(&DurabilityToken) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let watch = move || {
            // Without a signal it waits until the program ends.
            if signals::wait_until_asked().is_ok() {
                give_up_when_stuck(&watched);
            }
        };
        let printed = Arc::clone(&shared);
        let print = move || {
            let ended = Ended(&printed);
            let out = BufWriter::with_capacity(PIECE, Counted { out, shared: &printed });
            let done = print(&printed, out, wait);
            drop(ended);
            done
        };
        let started = Builder::new().spawn(watch).and_then(|_| Builder::new().spawn(print));
        let cannot = |error: io::Error| Error::Make { what: "threads", source: error.into() };
        Ok(Self { shared, printer: started.map_err(cannot)? })
    }

    /// Queues the indexes of a batch behind all earlier ones. If the queue is full, `make_room` is
    /// called once before waiting: where nothing becomes durable by itself it must flush. Once the reader is
    /// given up, batches are dropped.
    ///
    /// Returns false if the thread has ended; [`finish`](Self::finish) returns why.
    pub(crate) fn push(
        &self,
        range: Range<u64>,
        token: DurabilityToken,
        make_room: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let is_full =
            |state: &mut State| state.queue.len() >= BACKLOG && !state.ended && !state.stuck;
        if is_full(&mut self.shared.lock()) {
            make_room()?;
        }
        let mut state = self.shared.wait_while(is_full);
        if state.stuck {
            return Ok(true);
        }
        if state.ended {
            return Ok(false);
        }
        state.queue.push_back((range, token));
        drop(state);
        self.shared.changed.notify_all();
        Ok(true)
    }

    /// Waits until everything queued has been printed, or the reader is given up.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.shared.change(|state| state.complete = true);
        let state = self.shared.wait_while(|state| !state.ended && !state.stuck);
        if state.stuck {
            let signal = signals::asked().map_or("a signal", Signal::name);
            let taken = self.shared.lines.load(Ordering::SeqCst);
            return Err(Error::NotAcknowledged { signal, taken });
        }
        drop(state);
        match self.printer.join() {
            Ok(printed) => printed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Says that the printing thread has ended, however it does.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

fn print(
    shared: &Shared,
    mut out: impl Write,
    wait: impl Fn(&DurabilityToken) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let mut state = shared.wait_while(|state| state.queue.is_empty() && !state.complete);
        let Some((range, token)) = state.queue.pop_front() else { return Ok(()) };
        drop(state);
        shared.changed.notify_all();
        wait(&token)?;
        lines(&mut out, range).map_err(cannot_print)?;
    }
}

fn lines(out: &mut impl Write, indexes: Range<u64>) -> io::Result<()> {
    for index in indexes {
        writeln!(out, "{index}")?;
    }
    out.flush()
}

/// An output that counts what its reader takes.
struct Counted<'a, W> {
    out: W,
    shared: &'a Shared,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shared = self.shared;
        if shared.lock().stuck {
            return Err(io::ErrorKind::TimedOut.into());
        }
        shared.writing.store(true, Ordering::SeqCst);
        let taken = self.out.write(&bytes[..bytes.len().min(PIECE)]);
        if let Ok(taken) = taken {
            let lines = bytes[..taken].iter().filter(|byte| **byte == b'\n').count();
            shared.lines.fetch_add(lines as u64, Ordering::SeqCst);
        }
        shared.writes.fetch_add(1, Ordering::SeqCst);
        shared.writing.store(false, Ordering::SeqCst);
        taken
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Gives the reader up once one write to it takes longer than [`PATIENCE`].
fn give_up_when_stuck(shared: &Shared) {
    let in_flight =
        || (shared.writing.load(Ordering::SeqCst), shared.writes.load(Ordering::SeqCst));
    let mut state = shared.lock();
    while !state.ended {
        let before = in_flight();
        let waited = shared.changed.wait_timeout_while(state, PATIENCE, |state| !state.ended);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if before.0 && before == in_flight() && !state.ended {
            state.stuck = true;
            drop(state);
            return shared.changed.notify_all();
        }
    }
}
#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use duramen::{Accumulator, Blake3, Config, FlushPolicy};

    use super::*;

    /// A terminal whose content can be looked at.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn local(token: &DurabilityToken) -> Result<(), Error> {
        Ok(token.wait()?)
    }

    /// A pipe without a reader.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn manual(dir: &tempfile::TempDir) -> Accumulator<Blake3, 4> {
        Accumulator::open(Config::new(dir.path().join("s")).flush_policy(FlushPolicy::Manual))
            .unwrap()
    }

    #[test]
    fn a_full_queue_makes_room_where_nothing_becomes_durable_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let store = manual(&dir);
        let screen = Screen::default();
        let acks = Acks::start(screen.clone(), local).unwrap();
        let count = 3 * BACKLOG as u64;
        for _ in 0..count {
            let inserted = store.insert_many(&[[1; 32]]).unwrap();
            let room = || Ok(store.flush()?);
            assert!(acks.push(inserted.range, inserted.token, room).unwrap());
        }
        store.flush().unwrap();
        acks.finish().unwrap();
        let want: String = (0..count).map(|index| format!("{index}\n")).collect();
        assert_eq!(String::from_utf8(screen.0.lock().unwrap().clone()).unwrap(), want);
    }

    #[test]
    fn nothing_is_printed_before_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let store = manual(&dir);
        let screen = Screen::default();
        let acks = Acks::start(screen.clone(), local).unwrap();
        let first = store.insert_many(&[[1; 32]; 2]).unwrap();
        store.flush().unwrap();
        let second = store.insert_many(&[[2; 32]]).unwrap();
        assert!(acks.push(first.range, first.token, || Ok(())).unwrap());
        assert!(acks.push(second.range, second.token.clone(), || Ok(())).unwrap());
        while screen.0.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert!(!second.token.is_durable());
        assert_eq!(*screen.0.lock().unwrap(), b"0\n1\n");
        store.flush().unwrap();
        acks.finish().unwrap();
        assert_eq!(*screen.0.lock().unwrap(), b"0\n1\n2\n");
    }

    #[test]
    fn a_closed_pipe_ends_the_acknowledgements_with_its_error() {
        let dir = tempfile::tempdir().unwrap();
        let store = manual(&dir);
        let acks = Acks::start(Closed, local).unwrap();
        let mut taken = true;
        while taken {
            let inserted = store.insert_many(&[[1; 32]]).unwrap();
            store.flush().unwrap();
            taken = acks.push(inserted.range, inserted.token, || Ok(())).unwrap();
        }
        let error = acks.finish().unwrap_err().in_one_line();
        assert_eq!(error, "cannot write standard output: broken pipe");
    }
}
