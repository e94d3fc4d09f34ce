//! `duramen import`.
//!
//! A signal that asks the program to end ends the input: what was read whole becomes durable and is reported.

use super::header::MAGIC;
use super::input::Input;
use super::item::Item;
use super::malformed::{Failure, Malformed};
use super::target::Target;
use super::{framed, jsonl};
use crate::args::{ImportArgs, TransferFormat};
use crate::ended::Asked;
use crate::error::{Error, Failures};
use crate::input::{Source, UntilAsked};
use crate::{output, signals};

/// Appends the entries of an export to a tree and prints the head.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Error> {
    let source = Source::open(&args.file)?;
    let name = source.name.clone();
    let mut records = Records::new(source, args.format).map_err(|failure| failure.of(&name))?;
    let header = match &records {
        Records::Framed(reader) => Some(reader.header()),
        Records::Lines(_) => None,
    };
    let mut target = Target::open(args, header)?;
    signals::finish_first();
    let read = records.copy_to(&mut target, &name);
    let (read, asked) = match read {
        Err(Error::Asked(asked)) => (Ok(()), Some(Asked { begun: records.begun(), ..asked })),
        read => (read, None),
    };

    // Everything is ended whatever fails, and every failure is reported.
    let Target { tree, appended, .. } = target;
    let flushed = tree.flush();
    let (size, head) = (tree.size().get(), tree.head());
    let durable = tree.durable_size().get().saturating_sub(size - appended).min(appended);
    let closed = tree.close();
    signals::nothing_to_finish();
    let early = read.is_err();
    let failures = [read.err(), flushed.err().map(Into::into), closed.err().map(Into::into)];
    let mut failures: Vec<Error> = failures.into_iter().flatten().collect();
    match (head, failures.len()) {
        (Ok(head), 0) => {
            let Some(asked) = asked else { return output::print_head(&head, args.json) };
            output::tell(&asked.in_words(appended, &name));
            let counts = output::Input { records: Some(appended), ..Default::default() };
            output::print_head_after(&head, counts, args.json)?;
            if args.exit_signal { std::process::exit(asked.signal.exit_status()) } else { Ok(()) }
        }
        // Nothing was changed.
        (_, 1) if early && appended == 0 => Err(failures.swap_remove(0)),
        (head, _) => {
            failures.extend(head.err().map(Into::into));
            failures.splice(0..0, asked.map(Error::Asked));
            let failures = Failures(failures);
            Err(Error::Stopped { name, records: appended, durable, size, failures })
        }
    }
}

/// The input in one of the formats.
enum Records {
    Framed(framed::Reader<UntilAsked>),
    Lines(jsonl::Reader<UntilAsked>),
}

impl Records {
    /// Begins to read. Without a format it is the one that the first bytes show.
    fn new(source: Source, format: Option<TransferFormat>) -> Result<Self, Failure> {
        let mut input = Input::new(UntilAsked(source));
        let format = match format {
            Some(format) => format,
            None => found(input.peek(MAGIC.len())?)?,
        };
        Ok(match format {
            TransferFormat::Framed => Self::Framed(framed::Reader::new(input)?),
            TransferFormat::Jsonl => Self::Lines(jsonl::Reader::new(input)),
        })
    }

    /// The bytes that were read of a block or a line whose end was not.
    fn begun(&self) -> usize {
        match self {
            Self::Framed(reader) => reader.begun(),
            Self::Lines(reader) => reader.begun(),
        }
    }

    /// Hands all entries over, and verifies what the input says about the whole. If a signal ends the input, what was read
    /// whole has been handed over.
    fn copy_to(&mut self, target: &mut Target, name: &str) -> Result<(), Error> {
        match self {
            Self::Framed(reader) => {
                let (from, to, root) =
                    (reader.header().from, reader.header().to, reader.header().root);
                target.begin(from)?;
                target.check_root(from, &root)?;
                loop {
                    match reader.read().map_err(|failure| failure.of(name))? {
                        framed::Piece::Entries(first, entries) => target.take(first, &entries)?,
                        framed::Piece::End(root) => return target.check_root(to, &root),
                    }
                }
            }
            Self::Lines(reader) => {
                // A handle of its own, because the target is changed meanwhile.
                let tree = target.tree.clone();
                while let Some((first, entries)) =
                    reader.read(tree.hasher()).map_err(|failure| failure.of(name))?
                {
                    let items: Vec<_> = entries.into_iter().map(Item::Entry).collect();
                    target.take(first, &items)?;
                }
                Ok(())
            }
        }
    }
}

/// The format of an input that begins with these bytes.
fn found(start: &[u8]) -> Result<TransferFormat, Malformed> {
    match start {
        [] => Err(Malformed::Empty),
        [b'{', ..] => Ok(TransferFormat::Jsonl),
        // A magic that is cut is a framed export that is cut.
        start if MAGIC.starts_with(start) => Ok(TransferFormat::Framed),
        _ => Err(Malformed::Unknown),
    }
}
