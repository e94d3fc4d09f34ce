//! What each command runs: programs with their arguments, nothing hidden.

use std::process::Command;

/// The steps of one command, in order. All are run, also after one has failed.
pub(crate) type Steps = Vec<Step>;

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
    const fn cargo(name: &'static str, args: &'static str) -> Self {
        Self { name, program: "cargo", args, env: &[], takes_args: false, needs: None }
    }

    const fn with_env(self, env: &'static [(&'static str, &'static str)]) -> Self {
        Self { env, ..self }
    }

    const fn with_args(self) -> Self {
        Self { takes_args: true, ..self }
    }

    const fn needing(self, program: &'static str, printing: &'static str) -> Self {
        Self { needs: Some((program, printing)), ..self }
    }

    pub(crate) fn run(&self, rest: &[String]) -> Outcome {
        if let Some((needs, printing)) = self.needs
            && !prints(needs, printing)
        {
            println!("SKIPPED: `{needs}` does not work here or does not name {printing:?}");
            return Outcome::Skipped;
        }
        let rest: &[String] = if self.takes_args { rest } else { &[] };
        let env: String = self.env.iter().map(|(key, value)| format!("{key}={value:?} ")).collect();
        println!("$ {env}{} {} {}", self.program, self.args, rest.join(" "));
        let status = Command::new(self.program)
            .args(self.args.split_whitespace())
            .args(rest)
            .envs(self.env.iter().copied())
            .status();
        match status {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => {
                println!("ended with {status}");
                Outcome::Failed
            }
            Err(error) => {
                println!("cannot start {}: {error}", self.program);
                Outcome::Failed
            }
        }
    }
}

/// Whether `command` works here and prints `text`.
fn prints(command: &str, text: &str) -> bool {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return false };
    let output = Command::new(program).args(words).output();
    output.is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text)
    })
}

/// Loom's own switch; its crate is built apart so that it shares nothing with ordinary builds.
const LOOM: &[(&str, &str)] =
    &[("RUSTFLAGS", "--cfg duramen_loom"), ("CARGO_TARGET_DIR", "target/loom")];

pub(crate) fn test() -> Steps {
    vec![
        Step::cargo(
            "unit, integration, crash and program tests, examples, documentation",
            "test --workspace --all-features",
        ),
        Step::cargo(
            "equality with rotortree",
            "test --manifest-path tests/rotortree-equality/Cargo.toml --target-dir target/equality",
        ),
        Step::cargo(
            "a verifier without std",
            "test --manifest-path tests/light-client/Cargo.toml --target-dir target/light-client",
        ),
        Step::cargo("loom models", "test --release --manifest-path loom-tests/Cargo.toml")
            .with_env(LOOM),
    ]
}

pub(crate) fn check() -> Steps {
    vec![
        Step::cargo("formatting", "fmt --all --check"),
        Step::cargo("lints", "clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo(
            "lints without features",
            "clippy -p duramen --no-default-features -- -D warnings",
        ),
        Step::cargo("documentation", "doc --workspace --no-deps --all-features")
            .with_env(&[("RUSTDOCFLAGS", "-D warnings")]),
    ]
}

pub(crate) fn loom() -> Steps {
    vec![
        Step::cargo("models", "test --release --manifest-path loom-tests/Cargo.toml")
            .with_env(LOOM),
    ]
}

pub(crate) fn miri() -> Steps {
    vec![
        Step::cargo(
            "columns and watermark",
            "+nightly miri test -p duramen --lib -- column durability",
        )
        .with_env(&[("MIRIFLAGS", "-Zmiri-disable-isolation")])
        .needing("cargo +nightly miri --version", "miri"),
    ]
}

/// The sanitizer sees what it has built itself, so the standard library is built with it, apart from
/// everything else.
pub(crate) fn tsan() -> Steps {
    vec![
        Step::cargo(
            "stores under ThreadSanitizer",
            concat!(
                "+nightly test -Zbuild-std --target x86_64-unknown-linux-gnu",
                " --target-dir target/tsan -p duramen --features testing",
                " --test stress --test accumulator --test compaction --test limits",
            ),
        )
        .with_env(&[("RUSTFLAGS", "-Zsanitizer=thread"), ("TSAN_OPTIONS", "halt_on_error=1")])
        .needing("rustup component list --toolchain nightly --installed", "rust-src"),
    ]
}

pub(crate) fn bench() -> Steps {
    vec![Step::cargo("criterion", "bench -p duramen").with_args()]
}

pub(crate) fn peers() -> Steps {
    vec![
        Step::cargo("peers", "run --release --manifest-path benches/peers/Cargo.toml --")
            .with_args(),
    ]
}

pub(crate) fn torture() -> Steps {
    vec![
        Step::cargo("the program", "build --release -p duramen-cli"),
        Step::cargo(
            "torture",
            "run --release --manifest-path torture/Cargo.toml --target-dir target/torture --",
        )
        .with_args(),
    ]
}
