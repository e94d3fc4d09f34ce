//! `duramen hash`: leaves of data, without a store.

use std::io::{BufWriter, Write};

use duramen::Hasher;

use crate::args::{HashArgs, InputKind};
use crate::ended::Bad;
use crate::error::Error;
use crate::input::{self, Source};
use crate::lines::Lines;
use crate::output::{self, cannot_print};
use crate::record::{Decoder, Record};
use crate::{hex, output::StandardOutput};

/// How much is read and printed at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Prints the leaf of a file, or of each of its records.
pub(crate) fn run(args: &HashArgs) -> Result<(), Error> {
    let hasher = args.hasher.hasher();
    match args.input {
        None => {
            let leaf = input::leaf(&args.file, &*hasher)?;
            output::print(&format!("{}\n", hex::encode(&leaf)))
        }
        Some(InputKind::Raw) => {
            Err(Error::Usage("--input raw has leaves already: there is nothing to hash".to_owned()))
        }
        Some(kind) => records(args, kind, &*hasher),
    }
}

/// Prints the leaf of each record. Those before a bad one are printed.
fn records(args: &HashArgs, kind: InputKind, hasher: &dyn Hasher) -> Result<(), Error> {
    let decoder = Decoder { kind, strip_cr: false, longest: None };
    let mut lines = Lines::new(decoder.unit(), decoder.longest_text());
    let mut source = Source::open(&args.file)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, StandardOutput);
    let mut leaves = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        leaves.clear();
        let take = |number, text: &[u8]| {
            leaves.push(match decoder.decode(hasher, number, text)? {
                Record::Data(data) => hasher.leaf(&data),
                Record::Leaf(leaf) => leaf,
            });
            Ok(())
        };
        let (parsed, ended) = match source.read(&mut buffer)? {
            Some(bytes) => (lines.feed(bytes, take), false),
            None => (lines.finish(take), true),
        };
        for leaf in &leaves {
            writeln!(out, "{}", hex::encode(leaf)).map_err(cannot_print)?;
        }
        // A pipe gets the leaves of what it sent.
        out.flush().map_err(cannot_print)?;
        if let Err(Bad { error: Some(error), .. }) = parsed.map_err(|bad| *bad) {
            return Err(error.into());
        }
        if ended {
            return Ok(());
        }
    }
}
