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

use duramen::{Config, DynAccumulator, FlushPolicy, Hash};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ack::Acks;
use crate::args::AppendArgs;
use crate::error::Error;
use crate::input::{Parser, Piece, Source};
use crate::signals::{Signal, Signals};
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

/// Appends the input and prints the head.
pub(crate) fn run(args: &AppendArgs, signals: &Signals) -> Result<(), Error> {
    let mut source = Source::open(&args.file)?;
    let config = Config::new(&args.dir)
        .flush_policy(args.flush_policy)
        .checkpoint_policy(args.checkpoint_policy.clone());
    let store = store::open_or_create(&args.dir, config, args.hasher, args.arity)?;
    signals.finish_first();
    let progress = progress(source.len, args.ack);
    let acks = args.ack.then(|| Acks::start(std::io::stdout()));

    let checkpoints = policy::checkpoints_on_the_way(&args.checkpoint_policy);
    let mut leaves = Leaves { store: &store, args, acks: acks.as_ref(), appended: 0, checkpoints };
    let streamed = stream(&mut source, signals, args, &mut leaves, &progress);
    let appended = leaves.appended;
    progress.finish_and_clear();

    let flushed = store.flush();
    let acked = acks.map_or(Ok(()), Acks::finish);
    flushed?;
    let size = store.size().get();
    let asked = streamed.and_then(|asked| acked.map(|()| asked));
    let asked = asked.map_err(|error| Error::Stopped {
        name: source.name.clone(),
        appended,
        size,
        source: Box::new(error),
    })?;
    let head = store.head()?;
    store.close()?;
    if let Some(signal) = asked {
        output::tell(&format!(
            "{} ended the input: {appended} records of {} are appended and durable",
            signal.name(),
            source.name
        ));
    }
    output::print_head_after(&head, asked.map(|_| appended), args.json)
}

/// Reads to the end of the input, to the first record that is no leaf or until a signal asks the program to
/// end, which is returned. The leaves before it are appended either way.
fn stream(
    source: &mut Source,
    signals: &Signals,
    args: &AppendArgs,
    out: &mut Leaves<'_>,
    progress: &ProgressBar,
) -> Result<Option<Signal>, Error> {
    let mut parser = Parser::new(args.input, out.store.hasher());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut leaves = Vec::new();
    loop {
        let bytes = match source.read_until(signals, &mut buffer)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => break,
            Piece::Asked(signal) => return Ok(Some(signal)),
        };
        let parsed = parser.feed(bytes, &mut leaves);
        progress.inc(bytes.len() as u64);
        if !out.append(&mut leaves)? {
            return Ok(None);
        }
        parsed?;
    }
    let parsed = parser.finish(&mut leaves);
    out.append(&mut leaves)?;
    Ok(parsed.map(|()| None)?)
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
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
