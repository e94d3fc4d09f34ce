//! Signals that ask the program to end, and the one that reports a file that became too long.
//!
//! # Invariants
//!
//! - Until [`finish_first`] is called a signal ends the program at once, as if nothing caught it: there is
//!   nothing to finish. From then on the first signal only asks, and the second one ends the program at once.
//! - A signal that was ignored when the program started stays ignored: `nohup` and shells mean it so.
//! - Process 1 of a container or of a pid namespace has no default actions: a signal that nothing catches is
//!   lost there. So all three are caught whatever the command is, and there "at once" is an exit.
//!
//! [`finish_first`]: Signals::finish_first

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// What asks the program to end.
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// The signals that the program catches.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The first signal since the start, 0 before it.
    first: Arc<AtomicUsize>,
    /// Whether the next signal ends the program at once.
    at_once: Arc<AtomicBool>,
    /// Becomes readable with the first signal.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// Its name, such as `SIGTERM`.
    pub(crate) fn name(self) -> &'static str {
        low_level::signal_name(self.0).unwrap_or("a signal")
    }
}

impl Signals {
    /// Catches the signals. Called once, at the start.
    pub(crate) fn catch() -> io::Result<Self> {
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
        Ok(Self { first, at_once, woken })
    }

    /// From now on the first signal asks, and the second one ends the program.
    pub(crate) fn finish_first(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// The signal that asked the program to end.
    fn asked(&self) -> Option<Signal> {
        let number = i32::try_from(self.first.load(Ordering::SeqCst)).ok()?;
        (number != 0).then_some(Signal(number))
    }

    /// Waits until `input` can be read without waiting or the program is asked to end.
    pub(crate) fn wait_for(&self, input: BorrowedFd<'_>) -> io::Result<Woken> {
        loop {
            if let Some(signal) = self.asked() {
                return Ok(Woken::Asked(signal));
            }
            let mut on = [
                PollFd::from_borrowed_fd(input, PollFlags::IN),
                PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN),
            ];
            match poll(&mut on, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                // Whatever happened to the input, a read finds it out.
                Ok(_) if !on[0].revents().is_empty() && on[1].revents().is_empty() => {
                    return Ok(Woken::Input);
                }
                Ok(_) => {}
            }
        }
    }
}

/// The signals that this process ignores, a bit each, the first signal's the lowest. Where the system does
/// not say, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
