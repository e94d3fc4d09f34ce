//! How far a command is, on standard error: a bar on a terminal, or lines for a file.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, mpsc::Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::ProgressKind;
use crate::{output, signals};

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written.
const LINE: Duration = Duration::from_secs(10);

/// Shows how many bytes are done.
pub(crate) enum Progress {
    None,
    Bar(ProgressBar),
    Lines(Lines),
}

/// A thread that writes lines.
pub(crate) struct Lines {
    counts: Arc<Counts>,
    /// Dropped when the thread is to end.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

/// How much is done, in bytes.
struct Counts {
    done: AtomicU64,
    /// 0 if it is not known.
    total: AtomicU64,
    begun: Instant,
}

impl Progress {
    /// Shows progress up to `total` bytes, where that is known. A bar and `output` do not share a terminal.
    pub(crate) fn start(kind: ProgressKind, total: Option<u64>, output: bool) -> Self {
        match kind {
            ProgressKind::Never => Self::None,
            ProgressKind::Auto if output && std::io::stdout().is_terminal() => Self::None,
            ProgressKind::Auto if !std::io::stderr().is_terminal() => Self::None,
            ProgressKind::Auto => Self::Bar(bar(total)),
            // Without the thread there are no lines, which is no failure of the command.
            ProgressKind::Plain => Lines::start(total).map_or(Self::None, Self::Lines),
        }
    }

    /// Counts bytes that are done.
    pub(crate) fn add(&self, bytes: u64) {
        match self {
            Self::None => {}
            Self::Bar(bar) => bar.inc(bytes),
            Self::Lines(lines) => drop(lines.counts.done.fetch_add(bytes, Ordering::Relaxed)),
        }
    }

    /// Sets how many bytes are done, and how many there are.
    pub(crate) fn set(&self, done: u64, total: u64) {
        match self {
            Self::None => {}
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Lines(lines) => {
                lines.counts.total.store(total, Ordering::Relaxed);
                lines.counts.done.store(done, Ordering::Relaxed);
            }
        }
    }

    /// Removes the bar, or writes the last line.
    pub(crate) fn end(self) {
        match self {
            Self::None => {}
            Self::Bar(bar) => drop(signals::patiently(move || bar.finish_and_clear())),
            Self::Lines(Lines { counts, end, thread }) => {
                drop(end);
                // It writes with patience, and then ends.
                let _ = thread.join();
                output::tell(&counts.line());
            }
        }
    }
}

/// A bar that fits every terminal.
fn bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go",
        None => "{spinner} {bytes}, {bytes_per_sec}",
    };
    // The template is a constant; were it wrong, the default bar would do.
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    if !bar.is_hidden() {
        // A thread of its own draws, so that a terminal that takes nothing stops no input.
        bar.enable_steady_tick(REDRAW);
    }
    bar
}

impl Lines {
    fn start(total: Option<u64>) -> Option<Self> {
        let (done, total) = (AtomicU64::new(0), AtomicU64::new(total.unwrap_or(0)));
        let counts = Arc::new(Counts { done, total, begun: Instant::now() });
        let (end, ended) = mpsc::channel::<()>();
        let shown = Arc::clone(&counts);
        let write = move || {
            while ended.recv_timeout(LINE) == Err(RecvTimeoutError::Timeout) {
                output::tell(&shown.line());
            }
        };
        let thread = std::thread::Builder::new().spawn(write).ok()?;
        Some(Self { counts, end, thread })
    }
}

impl Counts {
    fn line(&self) -> String {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let seconds = self.begun.elapsed().as_secs();
        let rate = ByteSize(done / seconds.max(1));
        let of = match total {
            0 => String::new(),
            total => format!(" of {}, {} %", ByteSize(total), done.saturating_mul(100) / total),
        };
        format!("{}{of} in {seconds} s, {rate}/s", ByteSize(done))
    }
}
