//! `duramen verify checkpoint`.

use duramen::tlog::{SignedNote, TlogError};

use super::trust::{Trust, by_witnesses};
use crate::args::CheckpointArgs;
use crate::error::Error;
use crate::{input, output};

/// Reads a signed checkpoint, verifies it, and prints its head.
pub(super) fn run(args: &CheckpointArgs) -> Result<(), Error> {
    let trust = Trust::read(&args.trust)?;
    let (name, bytes) = input::read_all(&args.checkpoint, SignedNote::MAX_BYTES as u64)?;
    let unreadable = |source| Error::Unreadable { name, what: "a signed checkpoint", source };
    let note: SignedNote = match std::str::from_utf8(&bytes) {
        Ok(text) => text.parse().map_err(|error: TlogError| unreadable(error.into()))?,
        Err(error) => return Err(unreadable(error.into())),
    };
    let trusted = trust.verify(&note).map_err(|reason| Error::Refused { reason })?;
    let by = by_witnesses(trusted.cosigned);
    output::print(&format!(
        "verified: the log {:?} signed this{by}\n",
        trusted.checkpoint.origin()
    ))?;
    output::print_head(&trusted.checkpoint.head(), false)
}
