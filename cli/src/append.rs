//! `duramen append`: input, record by record, into a store.
//!
//! Every read hands over all records it completed as one batch, so a slow pipe is acknowledged
//! promptly and a fast file in large pieces.
//!
//! A signal that asks the program to end ends the input: what was read becomes durable and is reported.
//!
//! Memory stays bounded whatever the input's size: where checkpoints are made by themselves and the
//! input comes faster than they are written, it waits for one.

use std::io::IsTerminal;
use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use duramen::{
    Config, DurabilityToken, DynAccumulator, EntryConfig, FlushPolicy, Hash, InsertedMany, Unique,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ack::Acks;
use crate::args::{AppendArgs, InputKind};
use crate::ended::{Asked, InputError};
use crate::error::{Error, Failures};
use crate::input::{Parser, Piece, Source};
use crate::lines::Lines;
use crate::signals;
use crate::store::{self, Wanted, WantedEntries};
use crate::{output, policy};

/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The most records of one batch.
const BATCH_RECORDS: usize = 64 << 10;

/// The most bytes of the entries of one batch, unless it is one entry.
const BATCH_BYTES: usize = 4 << 20;

/// How many bytes of nodes and entries may be in memory only before the input waits for a checkpoint. Well below the 1 GiB
/// at which the store refuses leaves that follow on the last flush, which only this program calls for under
/// `manual`.
pub(crate) const MAX_TAIL_BYTES: u64 = 512 << 20;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// After so long without input, readers know that all leaves are durable.
pub(crate) const CLAIM_IDLE: Duration = Duration::from_millis(100);

/// Appends the input and prints the head.
pub(crate) fn run(args: &AppendArgs) -> Result<(), Error> {
    if args.entries && args.input != InputKind::Lines {
        return Err(Error::Usage(format!("--entries does not go with {}", no_entries(args.input))));
    }
    let mut source = Source::open(&args.file)?;
    let config = Config::new(&args.dir)
        .flush_policy(args.flush_policy)
        // For those who follow: input may pause for long.
        .claim_idle(CLAIM_IDLE)?
        .checkpoint_policy(args.checkpoint_policy.clone());
    let entries = args.entries.then(|| WantedEntries {
        longest: args.longest,
        compress: args.compress,
        new: EntryConfig::new(),
    });
    let (hasher, arity) = (args.hasher, args.arity);
    let wanted =
        Wanted { tree: &args.tree, create: true, hasher, arity, entries, indexed: args.unique };
    let store = store::open_or_create(config, &wanted, args.lock)?;
    if store.entry_config().is_some() && args.input != InputKind::Lines {
        return Err(Error::Usage(format!(
            "the tree {:?} keeps entries, which does not go with {}",
            args.tree,
            no_entries(args.input)
        )));
    }
    signals::finish_first();
    let acks = if args.ack { Some(Acks::start(output::standard_output()?)?) } else { None };
    let progress = progress(source.len, args.ack);

    let checkpoints = policy::checkpoints_on_the_way(&args.checkpoint_policy);
    let mut out = Sink { store: &store, args, acks: acks.as_ref(), appended: 0, checkpoints };
    let streamed = stream(&mut source, args.input, &mut out, &progress);
    let appended = out.appended;
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

/// Why an input has no entries.
fn no_entries(input: InputKind) -> String {
    let name = input.to_possible_value().map(|value| value.get_name().to_owned());
    format!("--input {}: its records are leaves without their data", name.unwrap_or_default())
}

/// Why no more is read.
enum End {
    /// The input has ended.
    Input,
    /// A signal asked the program to end.
    Asked(Asked),
}

/// Reads to the end of the input, to the first bad record or until a signal asks the program to end. The
/// records before it are appended either way.
fn stream(
    source: &mut Source,
    input: InputKind,
    out: &mut Sink<'_>,
    progress: &ProgressBar,
) -> Result<End, Error> {
    let mut records = Records::new(input, out.store);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = match source.read_until_asked(&mut buffer)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => break,
            Piece::Asked(signal) => {
                return Ok(End::Asked(Asked { signal, begun: records.begun() }));
            }
        };
        let (parsed, appended) = records.feed(bytes, out);
        progress.inc(bytes.len() as u64);
        if !appended? {
            return Ok(End::Input);
        }
        parsed?;
    }
    let (parsed, appended) = records.finish(out);
    appended?;
    Ok(parsed.map(|()| End::Input)?)
}

/// Makes of the input what the tree takes.
enum Records<'a> {
    /// Leaves, for a tree that keeps nothing else.
    Leaves { parser: Parser<'a>, leaves: Vec<Hash> },
    /// Lines, for a tree that keeps entries.
    Entries(Lines),
}

/// How the parsing of some bytes went, and the appending of the records before the first bad one: false if the
/// thread that prints acknowledgements has ended.
type Fed = (Result<(), InputError>, Result<bool, Error>);

impl<'a> Records<'a> {
    fn new(input: InputKind, tree: &'a DynAccumulator) -> Self {
        match tree.entry_config() {
            Some(entries) => Self::Entries(Lines::of_entries(entries.longest_bytes())),
            None => Self::Leaves { parser: Parser::new(input, tree.hasher()), leaves: Vec::new() },
        }
    }

    /// Appends the records that `bytes` complete.
    fn feed(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Fed {
        match self {
            Self::Leaves { parser, leaves } => {
                leaves.clear();
                (parser.feed(bytes, leaves), out.append_leaves(leaves))
            }
            Self::Entries(lines) => {
                let mut entries = Vec::new();
                let parsed = lines.feed(bytes, |_, line| {
                    entries.push(line);
                    Ok(())
                });
                (parsed, out.append_entries(&entries))
            }
        }
    }

    /// Appends the last record, if it ends with the input.
    fn finish(&mut self, out: &mut Sink<'_>) -> Fed {
        match self {
            Self::Leaves { parser, leaves } => {
                leaves.clear();
                (parser.finish(leaves), out.append_leaves(leaves))
            }
            Self::Entries(lines) => {
                let mut entries = Vec::new();
                let parsed = lines.finish(|_, line| {
                    entries.push(line);
                    Ok(())
                });
                (parsed, out.append_entries(&entries))
            }
        }
    }

    /// How many bytes there are of a record that has begun and not ended.
    fn begun(&self) -> usize {
        match self {
            Self::Leaves { parser, .. } => parser.begun(),
            Self::Entries(lines) => lines.begun(),
        }
    }
}

/// Where records go.
struct Sink<'a> {
    store: &'a DynAccumulator,
    args: &'a AppendArgs,
    acks: Option<&'a Acks>,
    appended: u64,
    /// Whether checkpoints are made while the input goes on.
    checkpoints: bool,
}

impl Sink<'_> {
    /// Appends leaves. False if the thread that prints acknowledgements has ended.
    fn append_leaves(&mut self, leaves: &[Hash]) -> Result<bool, Error> {
        for batch in leaves.chunks(BATCH_RECORDS) {
            let going = match self.args.unique {
                true => self.count_unique(self.store.insert_unique_many(batch)?)?,
                false => self.count(self.store.insert_many(batch)?)?,
            };
            if !going {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`append_leaves`](Self::append_leaves), for a tree that keeps entries.
    fn append_entries(&mut self, entries: &[&[u8]]) -> Result<bool, Error> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            let going = match self.args.unique {
                true => self.count_unique(self.store.insert_unique_entries(batch)?)?,
                false => self.count(self.store.insert_entries(batch)?)?,
            };
            if !going {
                return Ok(false);
            }
            rest = after;
        }
        Ok(true)
    }

    /// Counts a batch, makes room if there is little, and has the batch acknowledged.
    fn count(&mut self, inserted: InsertedMany) -> Result<bool, Error> {
        self.appended += inserted.range.end - inserted.range.start;
        self.make_room()?;
        self.acknowledge(inserted.range, inserted.token)
    }

    /// As [`count`](Self::count), for records of which some were there.
    fn count_unique(&mut self, batch: Vec<Unique>) -> Result<bool, Error> {
        self.appended += batch.len() as u64;
        self.make_room()?;
        let mut batch = batch.into_iter().peekable();
        while let Some(unique) = batch.next() {
            // Adjacent new leaves have one token.
            let (first, mut end) = (unique.index().get(), unique.index().get() + 1);
            let is_next =
                |next: &Unique, end| unique.is_new() && next.is_new() && next.index().get() == end;
            while batch.next_if(|next| is_next(next, end)).is_some() {
                end += 1;
            }
            if !self.acknowledge(first..end, unique.token().clone())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn make_room(&self) -> Result<(), Error> {
        if self.checkpoints && self.store.stats().memory_bytes > MAX_TAIL_BYTES {
            self.store.checkpoint()?;
        }
        Ok(())
    }

    fn acknowledge(&self, range: Range<u64>, token: DurabilityToken) -> Result<bool, Error> {
        let Some(acks) = self.acks else { return Ok(true) };
        let make_room = || match self.args.flush_policy {
            FlushPolicy::Manual => Ok(self.store.flush()?),
            _ => Ok(()),
        };
        acks.push(range, token, make_room)
    }
}

/// How many of the entries make the next batch. At least one, whatever its length.
fn batch_len(entries: &[&[u8]]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&&[u8]| {
        bytes += entry.len();
        bytes <= BATCH_BYTES
    };
    entries.iter().take(BATCH_RECORDS).take_while(fits).count().max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_bytes_and_by_count_and_has_at_least_one_entry() {
        let long = vec![0; BATCH_BYTES + 1];
        let half = &long[..BATCH_BYTES / 2];
        assert_eq!(batch_len(&[&long, &long]), 1);
        assert_eq!(batch_len(&[half, half, b"x"]), 2);
        assert_eq!(batch_len(&[half, b"x", half]), 2);
        assert_eq!(batch_len(&[b"", b"", &long]), 2);
        assert_eq!(batch_len(&vec![&b""[..]; BATCH_RECORDS + 1]), BATCH_RECORDS);
    }
}
