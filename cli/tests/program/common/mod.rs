//! What the tests of the program share: how to start it, how to read what it prints, and a tree that is
//! too slow to be wrong.

pub(crate) mod process;
pub(crate) mod shell;
pub(crate) mod store;
pub(crate) mod writer;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) type Hash = [u8; 32];

/// A directory of its own for a test, with nothing in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// The program with the arguments of a line. In it `DIR` is the store's directory, and `@name` a path in
/// the test's own one.
pub(crate) fn duramen(place: &Place, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
    for word in line.split_whitespace() {
        match word {
            "DIR" => command.arg(place.path("store")),
            word => match word.strip_prefix('@') {
                Some(name) => command.arg(place.path(name)),
                None => command.arg(word),
            },
        };
    }
    command.timeout(std::time::Duration::from_secs(300));
    command
}

/// The same with something on standard input.
pub(crate) fn given(place: &Place, line: &str, input: impl Into<Vec<u8>>) -> Command {
    let mut command = duramen(place, line);
    command.write_stdin(input);
    command
}

/// A store with the leaves of these lines.
pub(crate) fn store_of(text: impl Into<Vec<u8>>) -> Place {
    let place = Place::new();
    printed(given(&place, "append DIR --checkpoint-policy close", text));
    place
}

/// Lines of every kind. The last one has no newline, and one is empty.
pub(crate) const ODD: &[u8] =
    b"one\n\n\0\x01\x7f\n\xff\xfe\xc3\n  two \r\n\xe6\x97\xa5\xe6\x9c\xac \"quoted\"\\\t\nlast";

/// A store whose tree keeps the lines of this text as entries.
pub(crate) fn entries_of(text: impl Into<Vec<u8>>, flags: &str) -> Place {
    let place = Place::new();
    printed(given(&place, &format!("append DIR --entries {flags}"), text));
    place
}

/// What a successful call printed.
#[track_caller]
pub(crate) fn printed(mut command: Command) -> String {
    let output = command.assert().success().stderr("").get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON that a successful call printed.
#[track_caller]
pub(crate) fn printed_json(command: Command) -> Value {
    serde_json::from_str(&printed(command)).unwrap()
}

/// The bytes that a successful call printed.
#[track_caller]
pub(crate) fn printed_bytes(mut command: Command) -> Vec<u8> {
    command.assert().success().stderr("").get_output().stdout.clone()
}

/// What a call that ended with this status printed on standard output.
#[track_caller]
pub(crate) fn told(mut command: Command, status: i32) -> String {
    let output = command.assert().code(status).get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that a failed call with this status printed on standard error.
#[track_caller]
pub(crate) fn refused(mut command: Command, status: i32) -> String {
    let output = command.assert().code(status).get_output().clone();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    let Ok(failure) = serde_json::from_str::<Value>(&text) else {
        assert!(text.starts_with("duramen: "), "{text:?}");
        return text.trim_end().to_owned();
    };
    assert_eq!(failure["status"], status, "{text:?}");
    format!("duramen: {}", failure["error"].as_str().unwrap())
}

/// A hash function as its documents have it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Blake3,
    Sha256,
}

impl Function {
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) fn leaf(self, data: &[u8]) -> Hash {
        match self {
            Self::Blake3 => blake3::derive_key("duramen 2026-11 leaf data v1", data),
            Self::Sha256 => Sha256::new().chain_update([0]).chain_update(data).finalize().into(),
        }
    }

    fn node(self, children: &[Hash]) -> Hash {
        let bytes = children.as_flattened();
        match self {
            Self::Blake3 => blake3::hash(bytes).into(),
            Self::Sha256 => Sha256::new().chain_update([1]).chain_update(bytes).finalize().into(),
        }
    }

    fn empty(self) -> Hash {
        match self {
            Self::Blake3 => blake3::hash(b"").into(),
            Self::Sha256 => Sha256::digest(b"").into(),
        }
    }

    /// The root, level by level: groups of `arity` become their parent, a single child rises.
    pub(crate) fn root(self, arity: usize, leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            let parent =
                |group: &[Hash]| if group.len() == 1 { group[0] } else { self.node(group) };
            level = level.chunks(arity).map(parent).collect();
        }
        level.first().copied().unwrap_or_else(|| self.empty())
    }
}

/// The leaves of a text's lines.
pub(crate) fn lines(function: Function, text: &[u8]) -> Vec<Hash> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(|line| function.leaf(line)).collect()
}

/// A number of leaves in words.
pub(crate) fn leaves(number: usize) -> String {
    format!("{number} {}", if number == 1 { "leaf" } else { "leaves" })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A head as `head` and `append` print it.
pub(crate) fn head_text(size: usize, root: Hash) -> String {
    format!("size {size}\nroot {}\n", hex(&root))
}

/// The same with `--json`.
pub(crate) fn head_json(size: usize, root: Hash) -> String {
    format!("{{\"size\":{size},\"root\":\"{}\"}}\n", hex(&root))
}
