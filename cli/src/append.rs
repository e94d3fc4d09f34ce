//! `duramen append`: input, record by record, into a store.
//!
//! Every read hands over all records it completed as one batch, so a slow pipe is acknowledged
//! promptly and a fast file in large pieces.
//!
//! A signal that asks the program to end ends the input: what was read becomes durable and is reported.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum;
use duramen::{Config, DynAccumulator, EntryConfig};

use crate::ack::Acks;
use crate::admin;
use crate::args::{AppendArgs, InputKind};
use crate::ended::{Asked, Bad};
use crate::error::{Error, Failures, Refusal};
use crate::input::{Piece, Source};
use crate::memory;
use crate::notify;
use crate::output::{self, Input};
use crate::progress::Progress;
use crate::records::{Fed, Records};
use crate::rejects::Rejects;
use crate::remote::Shipping;
use crate::signals;
use crate::sink::Sink;
use crate::statistics::Reported;
use crate::store::{self, Wanted, WantedEntries};

/// How much is read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// After so long without input, readers know that all leaves are durable.
pub(crate) const CLAIM_IDLE: Duration = Duration::from_millis(100);

/// Appends the input and prints the head.
pub(crate) fn run(args: &AppendArgs) -> Result<(), Error> {
    if args.entries && !args.input.has_data() {
        return Err(Error::Usage(format!("--entries does not go with {}", no_entries(args.input))));
    }
    if args.strip_cr && args.input != InputKind::Lines {
        return Err(Error::Usage("--strip-cr belongs to --input lines".to_owned()));
    }
    let reported = Reported::start()?;
    let mut source = Source::open(&args.file)?;
    let store = open(args)?;
    let before = store.size().get();
    let begin = |url| Shipping::begin(&store.store(), &args.dir, url, args.acknowledge);
    let shipping = args.remote.as_deref().map(begin).transpose()?;
    // Until here a bucket may have been waited for, and nothing was read.
    signals::finish_first();
    let acks = match (args.ack, &shipping) {
        (false, _) => None,
        (true, None) => Some(Acks::start(output::StandardOutput, |token| Ok(token.wait()?))?),
        (true, Some(shipping)) => Some(Acks::start(output::StandardOutput, shipping.wait())?),
    };
    let progress = Progress::start(args.progress.progress, source.len, args.ack);
    reported.show(&store);
    let operators = admin::Server::start(&args.dir, store.store());
    notify::ready();

    let from = args.resume.then(|| args.expect_size.unwrap_or(0));
    let mut out = Sink::new(&store, args, acks.as_ref(), &reported.records, from)?;
    let mut records = Records::new(args.input, args.strip_cr, &store);
    let rejects = args.skip_bad.as_deref();
    let rejects = rejects.map(|file| Rejects::open(file, records.separator())).transpose();
    let (mut rejects, streamed) = match rejects {
        Ok(mut rejects) => {
            let streamed = stream(&mut source, &mut records, &mut out, rejects.as_mut(), &progress);
            (rejects, streamed)
        }
        Err(error) => (None, Err(error)),
    };
    let appended = out.appended;
    drop(records);
    progress.end();

    notify::stopping();
    // Everything is ended whatever fails, and every failure is reported.
    if let Some(operators) = operators {
        operators.end();
    }
    let flushed = store.flush();
    let acked = acks.map_or(Ok(()), Acks::finish);
    let shipped = shipping.map_or(Ok(()), Shipping::end);
    let kept = rejects.as_mut().map_or(Ok(()), Rejects::finish);
    let (size, head) = (store.size().get(), store.head());
    let records = reported.records.load(Ordering::Relaxed);
    // What was there before is durable, and then the records from the first on.
    let new = store.durable_size().get().saturating_sub(before).min(appended);
    let durable = records - appended + if flushed.is_ok() { appended } else { new };
    reported.hide();
    let closed = store.close();
    signals::nothing_to_finish();

    let (asked, stopped) = match streamed {
        Ok(End::Input) => (None, None),
        Ok(End::Asked(asked)) => (Some(asked), None),
        Err(error) => (None, Some(error)),
    };
    let (flushed, closed) = (flushed.err().map(Into::into), closed.err().map(Into::into));
    let failures = [stopped, acked.err(), shipped.err(), kept.err(), flushed, closed];
    let mut failures: Vec<Error> = failures.into_iter().flatten().collect();
    let name = source.name;
    match (head, failures.is_empty()) {
        (Ok(head), true) => {
            if let Some(asked) = &asked {
                output::tell(&asked.in_words(records, &name));
            }
            if let Some(bad) = rejects.as_ref().and_then(Rejects::in_words) {
                output::tell(&bad);
            }
            let counts = Input {
                records: asked.map(|_| records),
                found: args.resume.then_some(records - appended),
                bad: rejects.map(|rejects| rejects.records),
            };
            output::print_head_after(&head, counts, args.json)?;
            match asked.filter(|_| args.exit_signal) {
                Some(asked) => std::process::exit(asked.signal.exit_status()),
                None => Ok(()),
            }
        }
        (head, _) => {
            failures.extend(head.err().map(Into::into));
            failures.splice(0..0, asked.map(Error::Asked));
            let failures = Failures(failures);
            Err(Error::Stopped { name, records, durable, size, failures })
        }
    }
}

/// Opens the tree, if it is one that the input can go to.
fn open(args: &AppendArgs) -> Result<DynAccumulator, Error> {
    // Where leaves are expected, nothing is created that has none.
    let create = !args.no_create && args.expect_size.is_none_or(|size| size == 0);
    let config = Config::new(&args.dir)
        .create(create)
        .flush_policy(args.flush_policy)
        // For those who follow: input may pause for long.
        .claim_idle(CLAIM_IDLE)?
        .checkpoint_policy(args.checkpoint_policy.clone())
        .retention_of(args.tree.clone(), args.retention.clone());
    let config = memory::bounded(config, args.memory.max_memory)?;
    let entries = args.entries.then(|| WantedEntries {
        longest: args.longest,
        compress: args.compress,
        new: EntryConfig::new(),
    });
    let (hasher, arity) = (args.hasher, args.arity);
    let wanted = Wanted { tree: &args.tree, create, hasher, arity, entries, indexed: args.unique };
    let store = store::open_or_create(&config, &wanted, args.lock)?;
    if store.entry_config().is_some() && !args.input.has_data() {
        return Err(Error::Usage(format!(
            "the tree {:?} keeps entries, which does not go with {}",
            args.tree,
            no_entries(args.input)
        )));
    }
    let size = store.size().get();
    match args.expect_size {
        Some(expected) if size < expected || !args.resume && size > expected => {
            let (tree, at_least) = (args.tree.to_string(), args.resume);
            Err(Error::Refused { reason: Refusal::OtherSize { tree, size, expected, at_least } })
        }
        _ => Ok(store),
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

/// Reads to the end of the input, to the first bad record that nothing takes, or until a signal asks the program to
/// end. The records before it are appended either way.
fn stream(
    source: &mut Source,
    records: &mut Records<'_>,
    out: &mut Sink<'_>,
    mut rejects: Option<&mut Rejects>,
    progress: &Progress,
) -> Result<End, Error> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let mut rest = match source.read_until_asked(&mut buffer)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => break,
            Piece::Asked(signal) => {
                return Ok(End::Asked(Asked { signal, begun: records.begun() }));
            }
        };
        let read = rest.len() as u64;
        loop {
            match next_bad(records.feed(rest, out))? {
                Fault::None => break,
                Fault::NotAcknowledged => return Ok(End::Input),
                Fault::Bad(bad) => {
                    rest = &rest[bad.consumed..];
                    reject(*bad, rejects.as_deref_mut())?;
                }
            }
        }
        progress.add(read);
    }
    if let Fault::Bad(bad) = next_bad(records.finish(out))? {
        reject(*bad, rejects)?;
    }
    Ok(End::Input)
}

/// Why some bytes were not read to their end.
enum Fault {
    None,
    /// The thread that prints acknowledgements has ended.
    NotAcknowledged,
    Bad(Box<Bad>),
}

fn next_bad((parsed, appended): Fed) -> Result<Fault, Error> {
    Ok(match (parsed, appended?) {
        (_, false) => Fault::NotAcknowledged,
        (Err(bad), true) => Fault::Bad(bad),
        (Ok(()), true) => Fault::None,
    })
}

/// Keeps a bad record, or fails with what is wrong with it.
fn reject(bad: Bad, rejects: Option<&mut Rejects>) -> Result<(), Error> {
    match (rejects, bad.error) {
        (Some(rejects), error) => rejects.take(Bad { error, ..bad }),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Ok(()),
    }
}
