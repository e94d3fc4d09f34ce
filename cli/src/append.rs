//! `duramen append`: input, leaf by leaf, into a store.
//!
//! Every read hands over all leaves it completed as one batch, so a slow pipe is acknowledged
//! promptly and a fast file in large pieces.
//!
//! A signal that asks the program to end ends the input: what was read becomes durable and is reported.
//!
//! Memory stays bounded whatever the input's size: where checkpoints are made by themselves and the
//! input comes faster than they are written, it waits for one.

use std::io::IsTerminal;
use std::time::Duration;

use duramen::{Config, DynAccumulator, FlushPolicy, Hash};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ack::Acks;
use crate::args::AppendArgs;
use crate::ended::Asked;
use crate::error::{Error, Failures};
use crate::input::{Parser, Piece, Source};
use crate::signals;
use crate::store;
use crate::{output, policy};

/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The most leaves of one batch.
const BATCH_LEAVES: usize = 64 << 10;

/// How many bytes of nodes may be in memory only before the input waits for a checkpoint. Well below the 1 GiB
/// at which the store refuses leaves that follow on the last flush, which only this program calls for under
/// `manual`.
const MAX_TAIL_BYTES: u64 = 512 << 20;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Appends the input and prints the head.
pub(crate) fn run(args: &AppendArgs) -> Result<(), Error> {
    let mut source = Source::open(&args.file)?;
    let config = Config::new(&args.dir)
        .flush_policy(args.flush_policy)
        .checkpoint_policy(args.checkpoint_policy.clone());
    let store = store::open_or_create(config, &args.tree, args.hasher, args.arity)?;
    signals::finish_first();
    let acks = if args.ack { Some(Acks::start(output::standard_output()?)?) } else { None };
    let progress = progress(source.len, args.ack);

    let checkpoints = policy::checkpoints_on_the_way(&args.checkpoint_policy);
    let mut leaves = Leaves { store: &store, args, acks: acks.as_ref(), appended: 0, checkpoints };
    let streamed = stream(&mut source, args, &mut leaves, &progress);
    let appended = leaves.appended;
    signals::patiently(move || progress.finish_and_clear());

    // Everything is ended whatever fails, and every failure is reported.
    let flushed = store.flush();
    let acked = acks.map_or(Ok(()), Acks::finish);
    let (size, head) = (store.size().get(), store.head());
    let closed = store.close();
    signals::nothing_to_finish();

    let durable = flushed.is_ok();
    let early = !matches!(streamed, Ok(End::Input)) || acked.is_err();
    let (asked, stopped) = match streamed {
        Ok(End::Input) => (None, None),
        Ok(End::Asked(asked)) => (Some(asked), None),
        Err(error) => (None, Some(error)),
    };
    let failures =
        [stopped, acked.err(), flushed.err().map(Into::into), closed.err().map(Into::into)];
    let mut failures: Vec<Error> = failures.into_iter().flatten().collect();
    let name = source.name;
    match (head, failures.is_empty()) {
        (Ok(head), true) => {
            if let Some(asked) = &asked {
                output::tell(&asked.in_words(appended, &name));
            }
            output::print_head_after(&head, asked.map(|_| appended), args.json)
        }
        (head, _) => {
            failures.extend(head.err().map(Into::into));
            failures.splice(0..0, asked.map(Error::Asked));
            let failures = Failures(failures);
            Err(match early {
                true => Error::Stopped { name, appended, durable, size, failures },
                false => Error::Several(failures),
            })
        }
    }
}

/// Why no more is read.
enum End {
    /// The input has ended.
    Input,
    /// A signal asked the program to end.
    Asked(Asked),
}

/// Reads to the end of the input, to the first record that is no leaf or until a signal asks the program to
/// end. The leaves before it are appended either way.
fn stream(
    source: &mut Source,
    args: &AppendArgs,
    out: &mut Leaves<'_>,
    progress: &ProgressBar,
) -> Result<End, Error> {
    let mut parser = Parser::new(args.input, out.store.hasher());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut leaves = Vec::new();
    loop {
        let bytes = match source.read_until_asked(&mut buffer)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => break,
            Piece::Asked(signal) => {
                return Ok(End::Asked(Asked { signal, begun: parser.begun() }));
            }
        };
        let parsed = parser.feed(bytes, &mut leaves);
        progress.inc(bytes.len() as u64);
        if !out.append(&mut leaves)? {
            return Ok(End::Input);
        }
        parsed?;
    }
    let parsed = parser.finish(&mut leaves);
    out.append(&mut leaves)?;
    Ok(parsed.map(|()| End::Input)?)
}

/// Where leaves go.
struct Leaves<'a> {
    store: &'a DynAccumulator,
    args: &'a AppendArgs,
    acks: Option<&'a Acks>,
    appended: u64,
    /// Whether checkpoints are made while the input goes on.
    checkpoints: bool,
}

impl Leaves<'_> {
    /// Appends and empties `leaves`. False if the thread that prints acknowledgements has ended.
    fn append(&mut self, leaves: &mut Vec<Hash>) -> Result<bool, Error> {
        for batch in leaves.chunks(BATCH_LEAVES) {
            let inserted = self.store.insert_many(batch)?;
            self.appended += batch.len() as u64;
            if self.checkpoints && self.store.stats().memory_bytes > MAX_TAIL_BYTES {
                self.store.checkpoint()?;
            }
            let Some(acks) = self.acks else { continue };
            let make_room = || match self.args.flush_policy {
                FlushPolicy::Manual => Ok(self.store.flush()?),
                _ => Ok(()),
            };
            if !acks.push(inserted.range, inserted.token, make_room)? {
                return Ok(false);
            }
        }
        leaves.clear();
        Ok(true)
    }
}

/// A bar on standard error; nothing if that is no terminal, or if acknowledgements fill it.
fn progress(len: Option<u64>, ack: bool) -> ProgressBar {
    if ack && std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(len, target);
    let template = match len {
        Some(_) => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go",
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
