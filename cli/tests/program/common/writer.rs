//! A program that appends, fed by the test line by line.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Place;

/// `append --ack` of the store, with more flags, that waits for its input.
pub(crate) fn appending(place: &Place, flags: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_duramen"))
        .arg("append")
        .arg(place.path("store"))
        .arg("--ack")
        .args(flags.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a child prints, line by line.
pub(crate) fn lines_of(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// A store that is open for writing in another process.
pub(crate) struct Writer {
    child: Child,
    input: ChildStdin,
    acks: Lines<BufReader<ChildStdout>>,
    size: usize,
}

impl Writer {
    /// A writer of a store with nothing in it.
    pub(crate) fn new(place: &Place, flags: &str) -> Self {
        let mut child = appending(place, flags);
        let (input, acks) = (child.stdin.take().unwrap(), lines_of(&mut child));
        Self { child, input, acks, size: 0 }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Appends the lines of a text, and returns when all of them are acknowledged.
    pub(crate) fn append(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.flush().unwrap();
        for _ in text.lines() {
            assert_eq!(self.acks.next().unwrap().unwrap(), self.size.to_string());
            self.size += 1;
        }
    }

    /// Ends the input; what the program printed at last.
    pub(crate) fn end(mut self) -> String {
        drop(self.input);
        let rest: Vec<String> = self.acks.map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        rest.iter().map(|line| format!("{line}\n")).collect()
    }
}
