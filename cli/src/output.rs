//! What the program prints.

use std::io::{self, Write};
use std::path::Path;

use duramen::TreeHead;
use serde::Serialize;

use crate::error::Error;
use crate::hex;

#[derive(Serialize)]
struct HeadJson {
    size: u64,
    root: String,
}

/// Prints a head: two lines for people, or one line of JSON.
pub(crate) fn print_head(head: &TreeHead, json: bool) -> Result<(), Error> {
    let size = head.size.get();
    let root = hex::encode(&head.root);
    if json {
        return print(&format!("{}\n", to_json(&HeadJson { size, root }, false)?));
    }
    print(&format!("size {size}\nroot {root}\n"))
}

/// Writes text to standard output, all of it.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    write(text.as_bytes(), None)
}

/// Writes bytes to `file`, replacing it, or to standard output, all of them.
pub(crate) fn write(bytes: &[u8], file: Option<&Path>) -> Result<(), Error> {
    if let Some(file) = file {
        let fail = |source| Error::Write { name: file.display().to_string(), source };
        return std::fs::write(file, bytes).map_err(fail);
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(cannot_print)
}

/// A failure of standard output.
pub(crate) fn cannot_print(source: io::Error) -> Error {
    Error::Write { name: "standard output".to_owned(), source }
}

/// JSON in one line, or indented.
pub(crate) fn to_json(value: &impl Serialize, pretty: bool) -> Result<String, Error> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| cannot_print(error.into()))
}
