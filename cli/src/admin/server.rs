//! Does what operators ask for, in the process that has the store open.
//!
//! # Invariants
//!
//! - It is a hand for operators and no part of the command: no failure here ends the command.
//! - Once [`Server::end`] has returned no request runs any more. A scrub ends early then, everything else runs to its end.
//! - A connection that asks nothing, or takes no answer, is given up after [`PATIENCE`].
//! - A request gives back its place of [`MOST`], also if it panics.
//! - Where no connection can be accepted, the thread sleeps before it tries again.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use duramen::{Compact, Store, scrub};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use super::place::Place;
use super::request::{Answer, LONGEST, Request};
use crate::error::one_line;

/// How long a client may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a connection that asks nothing looks whether the server is ended.
const LOOK: Duration = Duration::from_millis(100);
/// How many requests run at a time.
const MOST: usize = 8;
/// How long the thread sleeps where the process has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How many requests run.
#[derive(Clone, Debug, Default)]
struct Running(Arc<AtomicUsize>);

/// The place of a request that runs, which is given back when this is dropped.
#[derive(Debug)]
struct Taken(Running);

impl Running {
    /// Takes a place. `None` if as many requests run as may.
    fn take(&self) -> Option<Taken> {
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        let taken = Taken(self.clone());
        (before < MOST).then_some(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Listens for operators until it is ended.
#[derive(Debug)]
pub(crate) struct Server {
    /// Dropped to end the thread.
    stop: UnixStream,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens in the directory of `store`, which this process has locked. `None` if that cannot be done: then the
    /// command goes on without it.
    pub(crate) fn start(dir: &Path, store: Store) -> Option<Self> {
        let started = Self::try_start(dir, store);
        started.inspect_err(|error| tracing::warn!(%error, "operators cannot be listened for")).ok()
    }

    fn try_start(dir: &Path, store: Store) -> io::Result<Self> {
        let place = Place::make(dir)?;
        place.listener.set_nonblocking(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let run = move || serve(&place, &stopped, &Arc::new(store), &end);
        let thread = thread::Builder::new().name("duramen-admin".to_owned()).spawn(run)?;
        Ok(Self { stop, ended, thread })
    }

    /// Accepts nothing more, and returns when no request runs any more.
    pub(crate) fn end(self) {
        let Self { stop, ended, thread } = self;
        ended.store(true, Ordering::SeqCst);
        drop(stop);
        // It has told its panic.
        let _ = thread.join();
    }
}

fn serve(place: &Place, stopped: &UnixStream, store: &Arc<Store>, ended: &Arc<AtomicBool>) {
    let running = Running::default();
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let mut on =
            [PollFd::new(&place.listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut on, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        if !on[1].revents().is_empty() {
            break;
        }
        let stream = match place.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                let gone =
                    [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
                if !gone.contains(&error.kind()) {
                    // The connection stays, and `poll` would return at once.
                    thread::sleep(PAUSE);
                }
                continue;
            }
        };
        threads.retain(|thread| !thread.is_finished());
        let Some(taken) = running.take() else {
            let _ = answer(&stream, &Answer::Failed("too many requests run".to_owned()));
            continue;
        };
        let (store, ended) = (Arc::clone(store), Arc::clone(ended));
        let one = thread::Builder::new().spawn(move || {
            let _taken = taken;
            // Whoever has asked may be gone.
            let _ = handle(&stream, &store, &ended);
        });
        threads.extend(one.ok());
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn answer(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer).map_err(io::Error::other)?;
    line.push('\n');
    stream.write_all(line.as_bytes())
}

fn handle(stream: &UnixStream, store: &Store, ended: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = asked(stream, ended)?;
    let answered = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => act(&request, store, ended),
        Err(error) => Answer::Failed(format!("that is no request: {error}")),
    };
    answer(stream, &answered)
}

/// The line that a client sends.
fn asked(stream: &UnixStream, ended: &AtomicBool) -> io::Result<Vec<u8>> {
    let begun = Instant::now();
    let mut reader = BufReader::new(stream.take(LONGEST));
    let mut line = Vec::new();
    loop {
        match reader.read_until(b'\n', &mut line) {
            Ok(_) => return Ok(line),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if ended.load(Ordering::SeqCst) || begun.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn act(request: &Request, store: &Store, ended: &AtomicBool) -> Answer {
    tracing::info!(?request, "an operator asks");
    let done = match request {
        Request::Flush => store.flush().map(|()| json!({ "durable": store.stats().durable })),
        Request::Checkpoint => store.checkpoint().map(
            |info| json!({ "trees": info.trees.len(), "leaves": info.leaves, "bytes": info.bytes }),
        ),
        Request::Compact => store.compact(Compact::new()).map(|info| {
            json!({
                "parts": info.parts,
                "bytes_read": info.bytes_read,
                "bytes_wiped": info.bytes_wiped,
                "pinned_files": info.pinned_files,
            })
        }),
        Request::Backup { dir } => store.snapshot_to(dir).map(|info| {
            json!({
                "parts": info.parts,
                "bytes_linked": info.bytes_linked,
                "bytes_copied": info.bytes_copied,
            })
        }),
        // What was accepted before is durable as well.
        Request::ReadOnly => store
            .set_read_only(true)
            .and_then(|()| store.flush())
            .map(|()| json!({ "read_only": true, "durable": store.stats().durable })),
        Request::Writable => store.set_read_only(false).map(|()| json!({ "read_only": false })),
        Request::Scrub => return scrubbed(store, ended),
        Request::Status => Ok(status(store)),
    };
    match done {
        Ok(value) => Answer::Done(value),
        Err(error) => Answer::Failed(crate::error::Error::from(error).in_one_line()),
    }
}

fn scrubbed(store: &Store, ended: &AtomicBool) -> Answer {
    let mut progress = |_: scrub::Progress| match ended.load(Ordering::SeqCst) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    match store.scrub(&scrub::Options::new(), &mut progress) {
        Err(error) => Answer::Failed(crate::error::Error::from(error).in_one_line()),
        Ok(_) if ended.load(Ordering::SeqCst) => {
            Answer::Failed("the store is being closed; the scrub is not complete".to_owned())
        }
        Ok(report) => {
            let findings = report.findings.iter();
            let findings: Vec<_> =
                findings.map(|finding| one_line(&finding.damage.to_string())).collect();
            let clean = report.is_clean();
            let value = json!({
                "clean": clean,
                "parts": report.parts,
                "leaves": report.leaves,
                "findings": findings,
            });
            if clean { Answer::Done(value) } else { Answer::Damaged(value) }
        }
    }
}

fn status(store: &Store) -> Value {
    let stats = store.stats();
    json!({
        "leaves": stats.leaves,
        "durable": stats.durable,
        "pending": stats.pending,
        "read_only": store.is_read_only(),
        "checkpoints": stats.checkpoints,
        "failed_checkpoints": stats.failed_checkpoints,
        "parts": stats.parts,
        "memory_bytes": stats.memory_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gives_back_its_place_also_if_it_panics() {
        let running = Running::default();
        for _ in 0..3 * MOST {
            let taken = running.take().unwrap();
            let ended = thread::spawn(move || {
                let _taken = taken;
                std::panic::resume_unwind(Box::new("a test"));
            });
            ended.join().unwrap_err();
        }
        let all: Vec<_> = (0..MOST).map(|_| running.take().unwrap()).collect();
        assert!(running.take().is_none());
        drop(all);
        assert!(running.take().is_some());
    }
}
