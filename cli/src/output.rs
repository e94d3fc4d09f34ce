//! What the program prints and writes.
//!
//! Text for standard output is made in full and then written, so a failure ends with status 2. Standard
//! error may be closed or full: then a message is lost, and the exit status stays what it is.

mod file;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use duramen::inspect::{Printable, is_printable};
use duramen::{NamedHead, StoreHead, TreeHead, TreeName};
use serde::Serialize;

use crate::error::{Error, one_line};
use crate::{hex, signals};

pub(crate) use file::{append_to, create_private};

#[derive(Serialize)]
struct HeadJson {
    size: u64,
    root: String,
    #[serde(flatten)]
    input: Input,
}

/// How much of an input is in a tree, where a head alone does not say it.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Input {
    /// Records that are in the tree, if the input was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) records: Option<u64>,
    /// Records that were in the tree before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<u64>,
    /// Records that are no leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bad: Option<u64>,
}

/// A tree and its head.
#[derive(Serialize)]
pub(crate) struct NamedHeadJson {
    tree: String,
    hasher: String,
    arity: usize,
    size: u64,
    root: String,
}

impl NamedHeadJson {
    pub(crate) fn of(head: &NamedHead) -> Self {
        Self {
            tree: head.name.to_string(),
            hasher: head.hasher.clone(),
            arity: head.arity.children(),
            size: head.head.size.get(),
            root: hex::encode(&head.head.root),
        }
    }
}

/// Heads for people: two lines for each tree, and its name before them unless it is the only one, `main`.
pub(crate) fn heads_text(heads: &[NamedHead]) -> String {
    let alone = matches!(heads, [head] if head.name == TreeName::main());
    let text = |NamedHead { name, head, .. }: &NamedHead| {
        let tree =
            if alone { String::new() } else { format!("tree {}\n", Printable::new(name.as_str())) };
        format!("{tree}size {}\nroot {}\n", head.size, hex::encode(&head.root))
    };
    heads.iter().map(text).collect()
}

#[derive(Serialize)]
struct StoreHeadJson {
    commitment: String,
    trees: Vec<NamedHeadJson>,
}

/// Prints the heads of all trees of a store and the commitment to them.
pub(crate) fn print_store(head: &StoreHead, json: bool) -> Result<(), Error> {
    let commitment = hex::encode(&head.commitment());
    if json {
        let trees = head.trees().iter().map(NamedHeadJson::of).collect();
        let json = StoreHeadJson { commitment, trees };
        return print(&format!("{}\n", to_json(&json, false)?));
    }
    let tree = |NamedHead { name, head, .. }: &NamedHead| {
        let root = hex::encode(&head.root);
        format!("tree {}\nsize {}\nroot {root}\n", Printable::new(name.as_str()), head.size)
    };
    let trees: String = head.trees().iter().map(tree).collect();
    print(&format!("{trees}commitment {commitment}\n"))
}

/// Prints heads for people.
pub(crate) fn print_heads(heads: &[NamedHead]) -> Result<(), Error> {
    print(&heads_text(heads))
}

/// Prints a head: two lines for people, or one line of JSON.
pub(crate) fn print_head(head: &TreeHead, json: bool) -> Result<(), Error> {
    print_head_after(head, Input::default(), json)
}

/// Prints a head and what is to be said of the input that led to it.
pub(crate) fn print_head_after(head: &TreeHead, input: Input, json: bool) -> Result<(), Error> {
    let size = head.size.get();
    let root = hex::encode(&head.root);
    if json {
        return print(&format!("{}\n", to_json(&HeadJson { size, root, input }, false)?));
    }
    let counts = [("records", input.records), ("found", input.found), ("bad", input.bad)];
    let counts =
        counts.into_iter().filter_map(|(name, count)| Some(format!("{name} {}\n", count?)));
    print(&format!("size {size}\nroot {root}\n{}", counts.collect::<String>()))
}

/// Writes text to standard output, all of it. After a signal, a reader that takes nothing is an error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let bytes = text.as_bytes().to_owned();
    signals::patiently(move || write_out(&bytes))
        .unwrap_or_else(|| Err(cannot_print(takes_nothing())))
}

/// What a write fails with that was given up.
pub(crate) fn takes_nothing() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "its reader takes nothing")
}

fn write_out(bytes: &[u8]) -> Result<(), Error> {
    StandardOutput.write_all(bytes).map_err(cannot_print)
}

/// Standard output without a buffer. Unlike the standard library's, it fails where it was opened for reading.
pub(crate) struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes bytes to standard output, or to `file`, which then has them or is as it was. The path `-` is
/// standard output.
pub(crate) fn write(bytes: &[u8], file: Option<&Path>) -> Result<(), Error> {
    match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => file::replace(file, |out| Ok(out.write_all(bytes)?)),
        None => write_out(bytes),
    }
}

/// Refuses to write binary output to a terminal: `file` is none, or `-`, and standard output is one.
pub(crate) fn refuse_terminal(file: Option<&Path>) -> Result<(), Error> {
    let is_standard = file.is_none_or(|file| file.as_os_str() == "-");
    if is_standard && io::stdout().is_terminal() {
        let message = "the output is binary: send it to a file or a pipe, not to a terminal";
        return Err(Error::Usage(message.to_owned()));
    }
    Ok(())
}

/// As [`write`], for output that does not fit into memory: what `write` writes. A file gets its name when `write` has
/// returned without an error.
pub(crate) fn stream(
    file: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Written,
) -> Result<(), Error> {
    let buffered = |out: &mut dyn Write| {
        let mut out = BufWriter::with_capacity(STREAM_BYTES, out);
        let written = write(&mut out);
        // What was read before an error of reading.
        let flushed = out.flush();
        written.and_then(|()| Ok(flushed?))
    };
    match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => file::replace(file, buffered),
        None => buffered(&mut StandardOutput)
            .map_err(|broken| broken.into_error(|| "standard output".to_owned())),
    }
}

/// How much of a stream is written at once.
const STREAM_BYTES: usize = 64 << 10;

/// Why the writing of a stream ended early.
pub(crate) enum Broken {
    /// The output takes no more.
    Write(io::Error),
    /// There is no more to be written.
    Source(Error),
}

/// How the writing of a stream ended.
pub(crate) type Written = Result<(), Broken>;

impl Broken {
    fn into_error(self, name: impl FnOnce() -> String) -> Error {
        match self {
            Self::Write(source) => Error::Write { name: name(), source },
            Self::Source(error) => error,
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Source(error)
    }
}

impl From<duramen::Error> for Broken {
    fn from(error: duramen::Error) -> Self {
        Self::Source(error.into())
    }
}

/// Prints a message on standard error, in one line. If that cannot be written, or after a signal its reader
/// takes nothing, the message is lost.
pub(crate) fn tell(message: &str) {
    let line = format!("duramen: {}\n", one_line(message));
    let _ = signals::patiently(move || io::stderr().lock().write_all(line.as_bytes()));
}

/// Prints a failure on standard error as a line of JSON. If that cannot be written, it is lost.
pub(crate) fn tell_json(failure: &impl Serialize) {
    let Ok(text) = to_json(failure, false) else { return };
    let _ =
        signals::patiently(move || io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}

/// A failure of standard output.
pub(crate) fn cannot_print(source: io::Error) -> Error {
    Error::Write { name: "standard output".to_owned(), source }
}

/// JSON in one line, or indented.
pub(crate) fn to_json(value: &impl Serialize, pretty: bool) -> Result<String, Error> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map(|text| printable_json(&text)).map_err(|error| cannot_print(error.into()))
}

/// The same JSON with what steers terminals as escape sequences of JSON. The serializer escapes only what
/// JSON must not have: a terminal also obeys delete, the controls from U+0080 on, and marks that turn the
/// direction of text.
fn printable_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        // Line ends are those of the layout; in a string they are escaped already.
        if character != '\n' && !is_printable(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_steers_no_terminal() {
        let name = "a\n\u{1b}[31m\u{7f}\u{9b}\u{202e}\u{e0001}größe \"日本\"";
        for pretty in [false, true] {
            let json = to_json(&[name], pretty).unwrap();
            assert!(json.chars().all(|c| c == '\n' || !c.is_control()), "{json:?}");
            assert!(!json.contains(['\u{202e}', '\u{e0001}']), "{json:?}");
            assert!(json.contains("größe"), "{json}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [name]);
        }
    }
}
