//! What happens in the background, on standard error.
//!
//! # Invariants
//!
//! - What ends a command is said once, by the command: the failure of a log is no message of its own unless a caller
//!   asks for more.
//! - Messages that cannot be written are lost, and change no exit status.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{self, MakeWriter};

use crate::args::{LogFormat, MessageArgs};
use crate::signals;

/// Where the engine says that a log has failed. The call that meets it returns the same error.
const LOG: &str = "duramen::engine::log";

/// Shows messages from now on. A command that `serves` says more by itself than one that ends.
pub(crate) fn show(args: MessageArgs, serves: bool) {
    let level = match (args.quiet, args.verbose, serves) {
        (true, ..) => LevelFilter::OFF,
        (false, 0, false) => LevelFilter::WARN,
        (false, 0, true) | (false, 1, false) => LevelFilter::INFO,
        (false, 1, true) | (false, 2, false) => LevelFilter::DEBUG,
        (false, ..) => LevelFilter::TRACE,
    };
    let all = serves || args.verbose > 0;
    let messages = fmt::fmt().with_ansi(false).with_max_level(level).with_writer(Messages { all });
    // The only call of this function, so nothing is there yet.
    let _ = match args.log_format {
        LogFormat::Text => messages.try_init(),
        LogFormat::Json => messages.json().flatten_event(true).try_init(),
    };
}

/// Writes messages to standard error.
#[derive(Clone, Copy)]
struct Messages {
    /// Whether to write those that the command says itself, too.
    all: bool,
}

impl<'a> MakeWriter<'a> for Messages {
    type Writer = Message;

    fn make_writer(&'a self) -> Message {
        Message { is_shown: true }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Message {
        let is_said = *meta.level() == Level::ERROR && meta.target().starts_with(LOG);
        Message { is_shown: self.all || !is_said }
    }
}

/// One message.
struct Message {
    is_shown: bool,
}

impl Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_shown {
            let line = bytes.to_vec();
            let _ = signals::patiently(move || io::stderr().lock().write_all(&line));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
