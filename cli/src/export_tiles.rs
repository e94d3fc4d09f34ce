//! `duramen export-tiles`.

use duramen::inspect::count;
use duramen::tlog::SignedNote;
use duramen_log::{ExportError, export_tiles};

use crate::args::ExportTilesArgs;
use crate::error::{Error, Refusal};
use crate::{input, output, store};

/// A checkpoint with many signatures.
const MAX_CHECKPOINT: u64 = 1 << 20;

/// Writes the files and prints what was written.
pub(crate) fn run(args: &ExportTilesArgs) -> Result<(), Error> {
    let (name, bytes) = input::read_all(&args.checkpoint, MAX_CHECKPOINT)?;
    let unreadable = |source| Error::Unreadable { name, what: "a signed checkpoint", source };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(unreadable(error.into())),
    };
    let checkpoint: SignedNote = match text.parse() {
        Ok(note) => note,
        Err(error) => {
            let error: duramen::tlog::TlogError = error;
            return Err(unreadable(error.into()));
        }
    };
    let tree = store::read(&args.dir, &args.tree)?;
    let exported = export_tiles(&tree, &checkpoint, &args.out).map_err(|error| match error {
        ExportError::OtherTree { .. } | ExportError::Occupied { .. } => {
            Error::Refused { reason: Refusal::Export(Box::new(error)) }
        }
        error => Error::Export(Box::new(error)),
    })?;
    output::print(&format!(
        "size {}, before {}\n{}, {}\n",
        exported.to,
        exported.from,
        count(exported.tiles, "tile", "tiles"),
        count(exported.bundles, "bundle", "bundles")
    ))
}
