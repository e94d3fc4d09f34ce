//! `duramen entry` and `duramen entries`.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::time::SystemTime;

use duramen::inspect::count;
use duramen::{Config, Hash, Leaves, ReadMode, StoreReader};
use serde::Serialize;

use crate::args::{EntriesArgs, EntriesFormat, EntryArgs};
use crate::erase::moment;
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
    /// The moment of the erasure, if the entry was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<String>,
}

/// What a leaf is printed with.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    /// The tree keeps no entries.
    None,
    Entry(&'a [u8]),
    Erased(SystemTime),
}

/// Says how many entries are not printed because they were erased.
pub(crate) fn tell_left_out(erased: u64) {
    if erased > 0 {
        let (entries, are) = (
            count(erased, "erased entry", "erased entries"),
            if erased == 1 { "is" } else { "are" },
        );
        output::tell(&format!("{entries} {are} left out"));
    }
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
    let out = BufWriter::with_capacity(BUFFER_BYTES, output::StandardOutput);
    let leaves = tree.leaves_iter(from..to)?;
    let mut printer = Printer { out, format: args.format, leaves, left_out: 0 };
    let printed = loop {
        let visited = entries.try_visit(|index, entry| {
            match printer.print(index.get(), Data::Entry(entry)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        });
        match visited {
            Ok(ControlFlow::Continue(())) => break Ok(()),
            Ok(ControlFlow::Break(error)) => break Err(error),
            // The iterator goes on behind it.
            Err(duramen::Error::Erased { index, at }) => {
                if let Err(error) = printer.print(index.get(), Data::Erased(at)) {
                    break Err(error);
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    // What could be read before an error is printed.
    let flushed = printer.out.flush().map_err(cannot_print);
    tell_left_out(printer.left_out);
    printed.and(flushed)
}

/// Prints entries in one of the formats.
struct Printer {
    out: BufWriter<output::StandardOutput>,
    format: EntriesFormat,
    /// The leaves of the entries that are still to come, where they are printed.
    leaves: Leaves,
    /// How many erased entries were not printed.
    left_out: u64,
}

impl Printer {
    fn print(&mut self, index: u64, data: Data<'_>) -> Result<(), Error> {
        let line;
        let bytes = match (self.format, data) {
            (EntriesFormat::Jsonl, data) => {
                let Some(leaf) = self.leaves.next() else { return Ok(()) };
                line = json(index, &leaf?, data)?;
                line.as_bytes()
            }
            (EntriesFormat::Lines, Data::Entry(entry)) => entry,
            (EntriesFormat::Hex, Data::Entry(entry)) => {
                line = const_hex::encode(entry);
                line.as_bytes()
            }
            (EntriesFormat::Lines | EntriesFormat::Hex, _) => {
                self.left_out += 1;
                return Ok(());
            }
        };
        let written = self.out.write_all(bytes).and_then(|()| self.out.write_all(b"\n"));
        written.map_err(cannot_print)
    }
}

/// A leaf, with its entry if there is one, as a line of JSON.
pub(crate) fn json(index: u64, leaf: &Hash, data: Data<'_>) -> Result<String, Error> {
    let (entry, erased) = match data {
        Data::None => (None, None),
        Data::Entry(entry) => (Some(entry), None),
        Data::Erased(at) => (None, Some(moment(at))),
    };
    let text = entry.and_then(|entry| str::from_utf8(entry).ok());
    let entry_hex = entry.filter(|_| text.is_none()).map(const_hex::encode);
    let leaf = hex::encode(leaf);
    output::to_json(&EntryJson { index, leaf, entry: text, entry_hex, erased }, false)
}
