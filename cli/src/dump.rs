//! `duramen dump`.

use std::io::{self, BufWriter, Write};

use duramen::inspect;

use crate::args::DumpArgs;
use crate::error::{Error, Refusal};
use crate::output::cannot_print;

/// Prints a file, and ends with status 1 if something in it is damaged.
pub(crate) fn run(args: &DumpArgs) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    let damaged = inspect::dump(&args.file, &mut out)
        .map_err(|source| Error::Read { name: args.file.display().to_string(), source })?;
    out.flush().map_err(cannot_print)?;
    match damaged {
        0 => Ok(()),
        left => Err(Error::Refused { reason: Refusal::Damaged { dir: args.file.clone(), left } }),
    }
}
