//! Signals that ask the program to end, and the one that reports a file that became too long.
//!
//! # Invariants
//!
//! - Until [`finish_first`] is called a signal ends the program at once, as if nothing caught it: there is
//!   nothing to finish. From then on the first signal only asks, and the second one ends the program at once.
//! - No write of output waits longer than [`PATIENCE`] for its reader once a signal has asked.
//! - A signal that was ignored when the program started stays ignored: `nohup` and shells mean it so.
//! - Process 1 of a container or of a pid namespace has no default actions: a signal that nothing catches is
//!   lost there. So all three are caught whatever the command is, and there "at once" is an exit.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::{flag, low_level};

/// What asks the program to end.
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// How long a write of output waits for a reader that takes nothing, once a signal has asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The signals of this process, once they are caught.
static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// The signals that the program catches.
#[derive(Debug)]
struct Signals {
    /// The first signal since the start, 0 before it.
    first: Arc<AtomicUsize>,
    /// Whether the next signal ends the program at once.
    at_once: Arc<AtomicBool>,
    /// Becomes readable with the first signal. Never read, so that it wakes every thread.
    woken: UnixStream,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read, or the end of it.
    Input,
    /// The program was asked to end.
    Asked(Signal),
}

/// A signal that asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} asked the program to end", self.name())]
pub(crate) struct Signal(i32);

impl Signal {
    /// Its name, such as `SIGTERM`.
    pub(crate) fn name(self) -> &'static str {
        low_level::signal_name(self.0).unwrap_or("a signal")
    }

    /// The exit status of a program that it ended, as shells have it.
    pub(crate) fn exit_status(self) -> i32 {
        128 + self.0
    }

    /// Ends the program as the signal does where nothing catches it.
    fn end(self) -> ! {
        if std::process::id() != 1 {
            // It does not return, unless the system refuses to reset the signal.
            let _ = low_level::emulate_default_handler(self.0);
        }
        std::process::exit(self.exit_status())
    }
}

/// Catches the signals. Called once, at the start.
pub(crate) fn catch() -> io::Result<()> {
    // Without a handler, writing beyond RLIMIT_FSIZE kills. With one, the write fails with EFBIG.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;

    let (woken, wakes) = UnixStream::pair()?;
    let first = Arc::new(AtomicUsize::new(0));
    let at_once = Arc::new(AtomicBool::new(true));
    let ignored = ignored();
    for signal in ENDING {
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        // Actions run in the order of their registration: the first signal finds the flag as it was.
        if std::process::id() == 1 {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&at_once))?;
        } else {
            flag::register_conditional_default(signal, Arc::clone(&at_once))?;
        }
        flag::register(signal, Arc::clone(&at_once))?;
        let number = usize::try_from(signal).map_err(io::Error::other)?;
        flag::register_usize(signal, Arc::clone(&first), number)?;
        low_level::pipe::register(signal, wakes.try_clone()?)?;
    }
    // The only call of this function, so nothing is there yet.
    let _ = SIGNALS.set(Signals { first, at_once, woken });
    Ok(())
}

/// From now on the first signal asks, and the second one ends the program.
pub(crate) fn finish_first() {
    if let Some(signals) = SIGNALS.get() {
        signals.at_once.store(false, Ordering::SeqCst);
    }
}

/// From now on a signal ends the program at once again. One that asked before is not lost:
/// [`asked`] returns it.
pub(crate) fn nothing_to_finish() {
    if let Some(signals) = SIGNALS.get() {
        signals.at_once.store(true, Ordering::SeqCst);
    }
}

/// The signal that asked the program to end.
pub(crate) fn asked() -> Option<Signal> {
    let number = i32::try_from(SIGNALS.get()?.first.load(Ordering::SeqCst)).ok()?;
    (number != 0).then_some(Signal(number))
}

/// Runs `work`, which leaves something behind if it ends in its middle. A signal meanwhile ends the program
/// when `work` has returned; it should look at [`asked`] and return early.
pub(crate) fn hold<T>(work: impl FnOnce() -> T) -> T {
    finish_first();
    let done = work();
    nothing_to_finish();
    match asked() {
        Some(signal) => signal.end(),
        None => done,
    }
}

/// Waits until `input` can be read without waiting or the program is asked to end.
pub(crate) fn wait_for(input: BorrowedFd<'_>) -> io::Result<Woken> {
    wait(Some(input))
}

/// Waits until the program is asked to end.
pub(crate) fn wait_until_asked() -> io::Result<()> {
    wait(None).map(drop)
}

fn wait(input: Option<BorrowedFd<'_>>) -> io::Result<Woken> {
    loop {
        if let Some(signal) = asked() {
            return Ok(Woken::Asked(signal));
        }
        let woken = SIGNALS.get().map(|signals| signals.woken.as_fd());
        // Whatever happened to the input, a read finds it out.
        let mut on: Vec<PollFd<'_>> = input
            .into_iter()
            .chain(woken)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut on, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let is_woken = on.get(usize::from(input.is_some()));
                let is_woken = is_woken.is_some_and(|woken| !woken.revents().is_empty());
                if input.is_some() && !on[0].revents().is_empty() && !is_woken {
                    return Ok(Woken::Input);
                }
            }
        }
    }
}

/// Writes output. Once a signal has asked, gives up when that takes longer than [`PATIENCE`], and returns
/// nothing: a reader that takes nothing must not keep the program from ending.
pub(crate) fn patiently<T: Send + 'static>(
    write: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if asked().is_none() {
        return Some(write());
    }
    let (send, done) = mpsc::channel();
    // Where no thread can be started, the second signal ends the program.
    std::thread::Builder::new()
        .spawn(move || {
            let _ = send.send(write());
        })
        .ok()?;
    done.recv_timeout(PATIENCE).ok()
}

/// Runs `report` for SIGUSR1, on a thread of its own. Several signals while it runs are one.
pub(crate) fn on_usr1(report: impl Fn() + Send + 'static) -> io::Result<()> {
    let (mut woken, wakes) = UnixStream::pair()?;
    let run = move || {
        let mut pending = [0; 64];
        while woken.read(&mut pending).is_ok_and(|read| read > 0) {
            report();
        }
    };
    std::thread::Builder::new().spawn(run)?;
    low_level::pipe::register(SIGUSR1, wakes).map(drop)
}

/// The signals that this process ignores, a bit each, the first signal's the lowest. Where the system does
/// not say, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
