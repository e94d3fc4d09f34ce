//! `duramen import`.

use super::header::MAGIC;
use super::input::Input;
use super::item::Item;
use super::malformed::{Failure, Malformed};
use super::target::Target;
use super::{framed, jsonl};
use crate::args::{ImportArgs, TransferFormat};
use crate::error::{Error, Failures};
use crate::input::Source;
use crate::output;

/// Appends the entries of an export to a tree and prints the head.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Error> {
    let source = Source::open(&args.file)?;
    let name = source.name.clone();
    let records = Records::new(source, args.format).map_err(|failure| failure.of(&name))?;
    let header = match &records {
        Records::Framed(reader) => Some(reader.header()),
        Records::Lines(_) => None,
    };
    let mut target = Target::open(args, header)?;
    let read = records.copy_to(&mut target, &name);

    // Everything is ended whatever fails, and every failure is reported.
    let Target { tree, appended, .. } = target;
    let flushed = tree.flush();
    let (size, head) = (tree.size().get(), tree.head());
    let durable = tree.durable_size().get().saturating_sub(size - appended).min(appended);
    let closed = tree.close();
    let early = read.is_err();
    let failures = [read.err(), flushed.err().map(Into::into), closed.err().map(Into::into)];
    let mut failures: Vec<Error> = failures.into_iter().flatten().collect();
    match (head, failures.len()) {
        (Ok(head), 0) => output::print_head(&head, args.json),
        // Nothing was changed.
        (_, 1) if early && appended == 0 => Err(failures.swap_remove(0)),
        (head, _) => {
            failures.extend(head.err().map(Into::into));
            let failures = Failures(failures);
            Err(Error::Stopped { name, records: appended, durable, size, failures })
        }
    }
}

/// The input in one of the formats.
enum Records {
    Framed(framed::Reader<Source>),
    Lines(jsonl::Reader<Source>),
}

impl Records {
    /// Begins to read. Without a format it is the one that the first bytes show.
    fn new(source: Source, format: Option<TransferFormat>) -> Result<Self, Failure> {
        let mut input = Input::new(source);
        let format = match format {
            Some(format) => format,
            None => found(input.peek(MAGIC.len())?)?,
        };
        Ok(match format {
            TransferFormat::Framed => Self::Framed(framed::Reader::new(input)?),
            TransferFormat::Jsonl => Self::Lines(jsonl::Reader::new(input)),
        })
    }

    /// Hands all entries over, and verifies what the input says about the whole.
    fn copy_to(self, target: &mut Target, name: &str) -> Result<(), Error> {
        match self {
            Self::Framed(mut reader) => {
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
            Self::Lines(mut reader) => {
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
