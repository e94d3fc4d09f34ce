//! `duramen tail`.

use std::io::{BufWriter, Write};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use duramen::{Appended, Config, ReadMode, Reader, Tail, TreeConfig, TreeSize};

use crate::args::{EntriesFormat, HasherName, TailArgs};
use crate::entries::{BUFFER_BYTES, Data, json, tell_left_out};
use crate::error::Error;
use crate::output::{self, cannot_print};
use crate::{hex, signals, store};

/// How many leaves are printed if the caller names none.
const LAST: u64 = 10;

/// Prints the leaves of a tree from one of them on, and those that come.
pub(crate) fn run(args: &TailArgs) -> Result<(), Error> {
    let reader = open(args)?;
    let size = reader.durable_size();
    let from = args.from.unwrap_or_else(|| size.get().saturating_sub(LAST));
    if !args.follow && from > size.get() {
        let size = duramen::Error::SizeOutOfRange { size: TreeSize(from), current: size };
        return Err(size.into());
    }
    let tail = reader.tail(from)?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, output::StandardOutput);
    let left_out = AtomicU64::new(0);
    let printer = Printer { out: Arc::new(Mutex::new(out)), format: args.format, left_out };
    let printed = match args.follow {
        true => {
            end_when_asked(&printer.out)?;
            follow(tail, &printer)
        }
        false => some(tail, size.get().saturating_sub(from), &printer),
    };
    // What could be read before an error is printed.
    let flushed = printer.flush();
    tell_left_out(printer.left_out.load(Ordering::Relaxed));
    printed.and(flushed)
}

/// The tree with the settings that it was made with.
fn open(args: &TailArgs) -> Result<Reader, Error> {
    let found = store::read(&args.dir, &args.tree)?;
    let hasher = HasherName::known(found.hasher().id().as_str()).map_err(Error::Usage)?;
    let tree = TreeConfig::new(hasher.hasher(), found.arity());
    // Without mapping: every page of a mapped part that was read would count as memory of the program.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    Ok(Reader::open_tree(config, &args.tree, tree)?)
}

/// Prints so many leaves.
fn some(mut tail: Tail, count: u64, printer: &Printer) -> Result<(), Error> {
    for _ in 0..count {
        let Some(appended) = tail.try_next()? else { break };
        printer.print(&appended)?;
    }
    Ok(())
}

/// Prints all leaves that come, until no more can come.
fn follow(mut tail: Tail, printer: &Printer) -> Result<(), Error> {
    loop {
        let appended = match tail.try_next()? {
            Some(appended) => appended,
            None => {
                printer.flush()?;
                let Some(appended) = tail.next() else { return Ok(()) };
                appended?
            }
        };
        printer.print(&appended)?;
    }
}

type Out = Arc<Mutex<BufWriter<output::StandardOutput>>>;

/// Prints leaves in one of the formats.
struct Printer {
    /// A thread that holds the lock writes whole lines.
    out: Out,
    format: EntriesFormat,
    /// How many erased entries were not printed.
    left_out: AtomicU64,
}

impl Printer {
    fn print(&self, appended: &Appended) -> Result<(), Error> {
        let Appended { index, leaf, .. } = appended;
        let data = match (&appended.entry, appended.erased) {
            (Some(entry), _) => Data::Entry(entry),
            (None, Some(at)) => Data::Erased(at),
            (None, None) => Data::None,
        };
        let line;
        let bytes = match (self.format, data) {
            (EntriesFormat::Lines, Data::Entry(entry)) => entry,
            (EntriesFormat::Jsonl, data) => {
                line = json(index.get(), leaf, data)?;
                line.as_bytes()
            }
            (EntriesFormat::Hex, Data::Entry(entry)) => {
                line = const_hex::encode(entry);
                line.as_bytes()
            }
            (EntriesFormat::Lines | EntriesFormat::Hex, Data::Erased(_)) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            (EntriesFormat::Lines | EntriesFormat::Hex, Data::None) => {
                line = hex::encode(leaf);
                line.as_bytes()
            }
        };
        let mut out = lock(&self.out);
        if signals::asked().is_some() {
            // The other thread ends the program, and needs the lock for that.
            drop(out);
            loop {
                std::thread::park();
            }
        }
        out.write_all(bytes).and_then(|()| out.write_all(b"\n")).map_err(cannot_print)
    }

    fn flush(&self) -> Result<(), Error> {
        lock(&self.out).flush().map_err(cannot_print)
    }
}

fn lock(out: &Out) -> MutexGuard<'_, BufWriter<output::StandardOutput>> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program after the first signal, when the line that is being printed is complete.
fn end_when_asked(out: &Out) -> Result<(), Error> {
    let out = Arc::clone(out);
    signals::finish_first();
    let end = move || {
        let asked = signals::wait_until_asked().map_err(cannot_wait);
        process::exit(match asked.and_then(|()| complete(&out)) {
            Ok(()) => 0,
            Err(error) => {
                output::tell(&error.in_one_line());
                2
            }
        })
    };
    std::thread::Builder::new().spawn(end).map(drop).map_err(cannot_wait)
}

fn cannot_wait(source: std::io::Error) -> Error {
    Error::Make { what: "a thread that waits for signals", source: source.into() }
}

/// Prints what is complete. Gives up if the reader of the output takes nothing for too long.
fn complete(out: &Out) -> Result<(), Error> {
    const LOOK: Duration = Duration::from_millis(10);
    let asked = Instant::now();
    let takes_nothing = || cannot_print(output::takes_nothing());
    loop {
        match out.try_lock() {
            Ok(mut out) => {
                // Nothing is printed behind it: the lock is held until the end.
                let flushed = flush_patiently(&mut out).ok_or_else(takes_nothing)?;
                flushed.map_err(cannot_print)?;
                std::mem::forget(out);
                return Ok(());
            }
            Err(TryLockError::Poisoned(_)) => return Ok(()),
            Err(TryLockError::WouldBlock) if asked.elapsed() > signals::PATIENCE => {
                return Err(takes_nothing());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
        }
    }
}

/// Flushes, unless that takes longer than a signal allows.
fn flush_patiently(out: &mut BufWriter<output::StandardOutput>) -> Option<std::io::Result<()>> {
    let bytes = out.buffer().to_vec();
    signals::patiently(move || output::StandardOutput.write_all(&bytes))
}
