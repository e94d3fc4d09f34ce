//! The last checkpoint that was published, in a file that is replaced as a whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use duramen::tlog::SignedNote;

/// Replaces the file. When this returns, the new one is durable.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let temporary = file.with_extension("checkpoint.tmp");
    let mut new = File::create(&temporary)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&temporary, file)?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads the file. `None` if there is none.
pub(super) fn read(file: &Path) -> io::Result<Option<String>> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    opened.take(SignedNote::MAX_BYTES as u64).read_to_string(&mut text)?;
    Ok(Some(text))
}
