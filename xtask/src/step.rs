//! One program that a command runs, and where it prints.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::process::{Command, Stdio};

/// One program to run.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    program: &'static str,
    args: &'static str,
    env: &'static [(&'static str, &'static str)],
    /// Whether arguments of the command line are handed on.
    takes_args: bool,
    /// A program that must succeed first and print this; else the step cannot run here.
    needs: Option<(&'static str, &'static str)>,
    /// Whether `--seconds N` of the command line becomes libFuzzer's limit of time.
    fuzzes: bool,
    /// Whether `DURAMEN_TEST_NO_SKIP` turns a skip into a failure, as in tests.
    is_test: bool,
    /// Whether it runs beside the steps that are not so.
    pub(crate) is_beside: bool,
}

/// Where a step and the program that it runs print.
pub(crate) enum Output {
    /// Where this program prints.
    Here,
    /// In a file, to be printed once nothing else is printed.
    Kept(File),
}

impl Output {
    /// Into a file that has no name.
    pub(crate) fn kept() -> io::Result<Self> {
        let path = format!("target/xtask-{}", std::process::id());
        std::fs::create_dir_all("target")?;
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(path)?;
        Ok(Self::Kept(file))
    }

    pub(crate) fn say(&mut self, line: &str) {
        match self {
            Self::Here => println!("{line}"),
            Self::Kept(file) => {
                let _ = writeln!(file, "{line}");
            }
        }
    }

    /// Lets `command` print here.
    fn direct(&self, command: &mut Command) -> io::Result<()> {
        if let Self::Kept(file) = self {
            command.stdin(Stdio::null());
            command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        }
        Ok(())
    }

    /// Prints what was kept.
    pub(crate) fn show(self) -> io::Result<()> {
        let Self::Kept(mut file) = self else { return Ok(()) };
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        io::stdout().write_all(&text)
    }
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should.
    Passed,
    /// It did not.
    Failed,
    /// What it needs is not here, and it said so.
    Skipped,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }

    pub(crate) fn is_ok(self) -> bool {
        self != Self::Failed
    }
}

impl Step {
    pub(crate) const fn cargo(name: &'static str, args: &'static str) -> Self {
        Self::program(name, "cargo", args)
    }

    pub(crate) const fn program(
        name: &'static str,
        program: &'static str,
        args: &'static str,
    ) -> Self {
        let (env, takes_args, needs) = (&[], false, None);
        let (fuzzes, is_test, is_beside) = (false, false, false);
        Self { name, program, args, env, takes_args, needs, fuzzes, is_test, is_beside }
    }

    /// Beside the other steps.
    pub(crate) const fn beside(self) -> Self {
        Self { is_beside: true, ..self }
    }

    /// A step of tests of a binding, which needs tools that not every machine has.
    pub(crate) const fn of_binding(self, program: &'static str, printing: &'static str) -> Self {
        Self { is_test: true, ..self.needing(program, printing).beside() }
    }

    pub(crate) const fn with_env(self, env: &'static [(&'static str, &'static str)]) -> Self {
        Self { env, ..self }
    }

    pub(crate) const fn with_args(self) -> Self {
        Self { takes_args: true, ..self }
    }

    pub(crate) const fn needing(self, program: &'static str, printing: &'static str) -> Self {
        Self { needs: Some((program, printing)), ..self }
    }

    pub(crate) const fn fuzz(name: &'static str, args: &'static str) -> Self {
        Self { fuzzes: true, ..Self::cargo(name, args).needing(CARGO_FUZZ, "cargo-fuzz") }
    }

    pub(crate) fn run(&self, rest: &[String], out: &mut Output) -> Outcome {
        if let Some((needs, printing)) = self.needs
            && !prints(needs, printing)
        {
            out.say(&format!(
                "SKIPPED: `{needs}` does not work here or does not name {printing:?}"
            ));
            if needs == CARGO_FUZZ {
                out.say("it takes a nightly toolchain and `cargo install cargo-fuzz`");
            }
            if self.is_test && std::env::var_os("DURAMEN_TEST_NO_SKIP").is_some() {
                out.say("DURAMEN_TEST_NO_SKIP is set: nothing may be skipped");
                return Outcome::Failed;
            }
            return Outcome::Skipped;
        }
        let limit;
        let rest: &[String] = match self {
            Self { fuzzes: true, .. } => {
                let Some(seconds) = seconds(rest) else {
                    out.say("usage: cargo xtask fuzz [--seconds N]");
                    return Outcome::Failed;
                };
                // What is found is kept apart from the corpus that the project keeps.
                if let Err(error) =
                    std::fs::create_dir_all(format!("target/fuzz-corpus/{}", self.name))
                {
                    out.say(&format!("cannot make a directory for the corpus: {error}"));
                    return Outcome::Failed;
                }
                limit = [format!("-max_total_time={seconds}")];
                &limit
            }
            Self { takes_args: true, .. } => rest,
            _ => &[],
        };
        let env: String = self.env.iter().map(|(key, value)| format!("{key}={value:?} ")).collect();
        out.say(&format!("$ {env}{} {} {}", self.program, self.args, rest.join(" ")));
        let mut command = Command::new(self.program);
        command.args(self.args.split_whitespace()).args(rest).envs(self.env.iter().copied());
        match out.direct(&mut command).and_then(|()| command.status()) {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => {
                out.say(&format!("ended with {status}"));
                Outcome::Failed
            }
            Err(error) => {
                out.say(&format!("cannot start {}: {error}", self.program));
                Outcome::Failed
            }
        }
    }
}

/// How long each target is fuzzed, five minutes if nothing is said; `None` if the arguments say something else.
fn seconds(args: &[String]) -> Option<u32> {
    match args {
        [] => Some(300),
        [flag, seconds] if flag == "--seconds" => seconds.parse().ok(),
        _ => None,
    }
}

/// What fuzzing takes.
const CARGO_FUZZ: &str = "cargo +nightly fuzz --version";

/// Whether `command` works here and prints `text`.
fn prints(command: &str, text: &str) -> bool {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return false };
    let output = Command::new(program).args(words).output();
    output.is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text)
    })
}
