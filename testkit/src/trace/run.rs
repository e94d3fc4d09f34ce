//! Running a process under strace.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::calls::{Call, TRACED, What, parse};
use super::order::{Seen, Subject, check};

/// Set where nothing may be skipped.
const NO_SKIP: &str = "DURAMEN_TEST_NO_SKIP";

/// Whether processes can be traced here. Prints why if they cannot.
///
/// # Panics
///
/// If they cannot and nothing may be skipped.
pub fn can_trace(test: &str) -> bool {
    let tried =
        Command::new("strace").args(["-f", "-y", "-xx", "-o", "/dev/null", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os(NO_SKIP).is_none(), "strace does not work here: {why}");
    // Not through the test harness, which keeps what a test that passes says.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: strace does not work here: {why}");
    false
}

/// Processes that were traced one after the other, in a directory of their own.
pub struct Traced {
    temp: tempfile::TempDir,
    place: PathBuf,
    calls: Vec<Call>,
    uncertain: Vec<PathBuf>,
    moment: u64,
}

impl Traced {
    pub fn in_a_new_place() -> Self {
        let temp = tempfile::tempdir().unwrap();
        // The system tells paths without links.
        let place = temp.path().canonicalize().unwrap().join("place");
        std::fs::create_dir(&place).unwrap();
        Self { temp, place, calls: Vec::new(), uncertain: Vec::new(), moment: 0 }
    }

    /// A path in the directory that is watched.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// The file to which traced processes say what they promise.
    pub fn said(&self) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join("said")
    }

    /// Makes a directory whose name may be lost.
    pub fn uncertain_dir(&mut self, name: &str) {
        let path = self.path(name);
        std::fs::create_dir(&path).unwrap();
        self.uncertain.push(path);
    }

    /// Runs `command` to its end, which says what it promises itself. `more` are arguments for strace.
    pub fn play(&mut self, command: &Command, more: &[&str]) -> ExitStatus {
        self.said_file();
        self.run(command, b"", Stdio::null(), more)
    }

    /// Runs `command` to its end, which promises what it prints.
    pub fn print(&mut self, command: &Command, input: &[u8]) -> ExitStatus {
        let said = self.said_file();
        self.run(command, input, said.into(), &[])
    }

    /// Lets the processes that have ended promise that everything is durable, where they print nothing.
    pub fn ended_well(&mut self) {
        let what = What::Write(self.said(), b"ended well\n".to_vec());
        self.moment += 1;
        let ended = Some(self.moment);
        self.calls.push(Call { begun: self.moment, ended, succeeded: true, what });
    }

    fn said_file(&self) -> File {
        File::options().create(true).append(true).open(self.said()).unwrap()
    }

    fn run(&mut self, command: &Command, input: &[u8], out: Stdio, more: &[&str]) -> ExitStatus {
        let trace = self.temp.path().join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-xx", "-v", "-s", "4000000", "-e", TRACED]).args(more);
        strace.arg("-o").arg(&trace).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                strace.env(key, value);
            }
        }
        strace.stdin(Stdio::piped()).stdout(out);
        let mut child = strace.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may not want to read.
        let _ = stdin.write_all(input);
        drop(stdin);
        let status = child.wait().unwrap();
        let text = std::fs::read_to_string(&trace).unwrap();
        self.calls.extend(parse(&text, self.moment).unwrap());
        self.moment += text.lines().count() as u64 + 1;
        status
    }

    /// What was seen, in which nothing may be wrong. The store is the directory `store`.
    pub fn check(&self) -> Seen {
        let (seen, wrong) = self.look();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        seen
    }

    pub fn look(&self) -> (Seen, Vec<String>) {
        let subject = Subject {
            store: self.path("store"),
            said: self.said(),
            uncertain: self.uncertain.clone(),
            place: self.place.clone(),
        };
        check(&subject, &self.calls)
    }

    /// What was said.
    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.said()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Adds a line to what a process says, in one call.
pub fn say(said: &Path, line: &str) {
    let mut file = File::options().append(true).open(said).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
