//! `duramen dump`.

use std::io::{self, BufWriter, Write};

use duramen::inspect;

use crate::args::DumpArgs;
use crate::error::{Error, Refusal, name_of};
use crate::output::{StandardOutput, cannot_print};

/// Prints a file, and ends with status 1 if something in it is damaged.
pub(crate) fn run(args: &DumpArgs) -> Result<(), Error> {
    let mut out = Out { out: BufWriter::new(StandardOutput), failed: None };
    let dumped = inspect::dump(&args.file, &mut out).and_then(|damaged| {
        out.flush()?;
        Ok(damaged)
    });
    match dumped {
        Ok(0) => Ok(()),
        Ok(left) => {
            Err(Error::Refused { reason: Refusal::Damaged { dir: args.file.clone(), left } })
        }
        Err(error) => Err(match out.failed {
            Some(kind) => cannot_print(if error.kind() == kind { error } else { kind.into() }),
            None => Error::Read { name: name_of(&args.file), source: error },
        }),
    }
}

/// An output that remembers that it failed: the dump reads and writes, and reports either as an error.
struct Out<W> {
    out: W,
    failed: Option<io::ErrorKind>,
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| self.failed = Some(error.kind()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.failed = Some(error.kind()))
    }
}
