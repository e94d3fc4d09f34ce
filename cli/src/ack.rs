//! Acknowledgements: a thread of its own waits for leaves to become durable, in order, and prints
//! their indexes, while the input goes on streaming.
//!
//! An index is printed only after its token has resolved, and printed lines are flushed at once.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use duramen::DurabilityToken;

use crate::error::Error;
use crate::output::cannot_print;

/// How many batches may wait to become durable.
const BACKLOG: usize = 64;

type Batch = (Range<u64>, DurabilityToken);

/// The sending end of the printing thread.
pub(crate) struct Acks {
    batches: SyncSender<Batch>,
    printer: JoinHandle<Result<(), Error>>,
}

impl Acks {
    /// Starts the thread, which prints to `out`.
    pub(crate) fn start(out: impl Write + Send + 'static) -> Self {
        let (batches, receiver) = sync_channel(BACKLOG);
        let printer = std::thread::spawn(move || print(&receiver, BufWriter::new(out)));
        Self { batches, printer }
    }

    /// Queues the indexes of a batch behind all earlier ones. If the queue is full, `make_room` is
    /// called once before waiting: where nothing becomes durable by itself it must flush.
    ///
    /// Returns false if the thread has ended; [`finish`](Self::finish) returns why.
    pub(crate) fn push(
        &self,
        range: Range<u64>,
        token: DurabilityToken,
        make_room: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        match self.batches.try_send((range, token)) {
            Ok(()) => Ok(true),
            Err(TrySendError::Disconnected(_)) => Ok(false),
            Err(TrySendError::Full(batch)) => {
                make_room()?;
                Ok(self.batches.send(batch).is_ok())
            }
        }
    }

    /// Waits until everything queued has been printed.
    pub(crate) fn finish(self) -> Result<(), Error> {
        drop(self.batches);
        match self.printer.join() {
            Ok(printed) => printed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn print(batches: &Receiver<Batch>, mut out: impl Write) -> Result<(), Error> {
    for (range, token) in batches {
        token.wait()?;
        lines(&mut out, range).map_err(cannot_print)?;
    }
    Ok(())
}

fn lines(out: &mut impl Write, indexes: Range<u64>) -> io::Result<()> {
    for index in indexes {
        writeln!(out, "{index}")?;
    }
    out.flush()
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
        let acks = Acks::start(screen.clone());
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
        let acks = Acks::start(screen.clone());
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
        let acks = Acks::start(Closed);
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
