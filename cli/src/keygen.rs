//! `duramen keygen`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use duramen::tlog::Ed25519Signer;

use crate::args::KeygenArgs;
use crate::error::Error;
use crate::output;

/// Makes a key, writes the private text to a new file and prints the public one.
pub(crate) fn run(args: &KeygenArgs) -> Result<(), Error> {
    let cannot = |source| Error::Make { what: "a key", source };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| cannot(error.to_string().into()))?;
    let key = Ed25519Signer::from_secret(&args.name, &secret);
    let key = key.map_err(|error| cannot(error.into()))?;
    write_private(&args.output, &key.secret_text())
        .map_err(|source| Error::Write { name: args.output.display().to_string(), source })?;
    output::print(&format!("{}\n", key.verifier()))
}

/// Writes a file that nobody else can read. One that exists is left as it is: it may be a key that
/// is in use.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
