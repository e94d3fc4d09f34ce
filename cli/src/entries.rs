//! `duramen entry` and `duramen entries`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use duramen::{Config, Hash, Leaves, ReadMode, StoreReader};
use serde::Serialize;

use crate::args::{EntriesArgs, EntriesFormat, EntryArgs};
use crate::error::Error;
use crate::output::{self, cannot_print};
use crate::{hex, store};

/// How much is printed at once.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct EntryJson<'a> {
    index: u64,
    leaf: String,
    /// The entry, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a str>,
    /// The entry in hex, if it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_hex: Option<String>,
}

/// Prints one entry.
pub(crate) fn one(args: &EntryArgs) -> Result<(), Error> {
    let tree = store::read(&args.dir, &args.tree)?;
    output::write(&tree.entry(args.index)?, args.output.as_deref())
}

/// Prints the entries of a range.
pub(crate) fn many(args: &EntriesArgs) -> Result<(), Error> {
    let from = args.from;
    if let Some(to) = args.to.filter(|to| *to < from) {
        return Err(Error::Usage(format!("--from {from} is beyond --to {to}")));
    }
    // Without mapping: every page of a mapped part that was read would count as memory of the program.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let tree = StoreReader::open(config)?.tree(&args.tree)?;
    // A range that begins beyond the size is refused with its beginning.
    let to = args.to.unwrap_or_else(|| tree.size().get().max(from));
    let mut entries = tree.entries(from..to)?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, output::standard_output()?);
    let leaves = tree.leaves_iter(from..to)?;
    let mut printer = Printer { out, format: args.format, leaves };
    let printed = entries.try_visit(|index, entry| match printer.print(index.get(), entry) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    // What could be read before an error is printed.
    let flushed = printer.out.flush().map_err(cannot_print);
    match printed? {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => flushed,
    }
}

/// Prints entries in one of the formats.
struct Printer {
    out: BufWriter<File>,
    format: EntriesFormat,
    /// The leaves of the entries that are still to come, where they are printed.
    leaves: Leaves,
}

impl Printer {
    fn print(&mut self, index: u64, entry: &[u8]) -> Result<(), Error> {
        let line;
        let bytes = match self.format {
            EntriesFormat::Lines => entry,
            EntriesFormat::Jsonl => {
                let Some(leaf) = self.leaves.next() else { return Ok(()) };
                line = json(index, &leaf?, Some(entry))?;
                line.as_bytes()
            }
            EntriesFormat::Hex => {
                line = const_hex::encode(entry);
                line.as_bytes()
            }
        };
        let written = self.out.write_all(bytes).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(cannot_print)
    }
}

/// A leaf, with its entry if there is one, as a line of JSON.
pub(crate) fn json(index: u64, leaf: &Hash, entry: Option<&[u8]>) -> Result<String, Error> {
    let text = entry.and_then(|entry| str::from_utf8(entry).ok());
    let hex = entry.filter(|_| text.is_none()).map(const_hex::encode);
    output::to_json(
        &EntryJson { index, leaf: hex::encode(leaf), entry: text, entry_hex: hex },
        false,
    )
}
