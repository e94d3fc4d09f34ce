//! A program that serves over HTTP until its end, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Place;

/// A process that says where it listens. It is killed at the end of its test.
pub(crate) struct Process {
    child: Child,
    /// Kept open: a program that cannot print ends.
    _output: BufReader<ChildStdout>,
    pub(crate) address: String,
}

/// The program with the arguments of a line, in which `@name` is a path in the place of the test. `before` stands before
/// the program, such as a tracer.
pub(crate) fn command(place: &Place, before: &[&str], line: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_duramen");
    let mut words = before.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    for word in line.split_whitespace() {
        match word.strip_prefix('@') {
            Some(name) => command.arg(place.path(name)),
            None => command.arg(word),
        };
    }
    command
}

impl Process {
    /// Starts a command that prints where it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let told = line.trim();
        let address = told.strip_prefix("listening on http://");
        let address = address.or_else(|| told.strip_prefix("listening on https://"));
        let address = address.map(str::to_owned);
        let mut process = Self { child, _output: output, address: address.unwrap_or_default() };
        assert!(!process.address.is_empty(), "{line:?} {}", process.end().1);
        process
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.try_request(method, path, body).unwrap()
    }

    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        exchange(&mut stream, method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end. Returns the status and what was told.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }

    /// Asks it to end, which it must do well. Returns what was told.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let (status, told) = self.end();
        assert_eq!(status, Some(0), "{told}");
        told
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request on a connection, which stays open.
pub(crate) fn exchange(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let len = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\n\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head[9..12].parse().unwrap();
    let mut answer = Answer { status, head, body: Vec::new() };
    let len: usize = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
    answer.body = vec![0; len];
    reader.read_exact(&mut answer.body)?;
    Ok(answer)
}
