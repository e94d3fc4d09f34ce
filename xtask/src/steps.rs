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
    /// Whether `--seconds N` of the command line becomes libFuzzer's limit of time.
    fuzzes: bool,
    /// Whether `DURAMEN_TEST_NO_SKIP` turns a skip into a failure, as in tests.
    is_test: bool,
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
        Self::program(name, "cargo", args)
    }

    const fn program(name: &'static str, program: &'static str, args: &'static str) -> Self {
        let (env, takes_args, needs, fuzzes, is_test) = (&[], false, None, false, false);
        Self { name, program, args, env, takes_args, needs, fuzzes, is_test }
    }

    /// A step of tests of a binding, which needs tools that not every machine has.
    const fn of_binding(self, program: &'static str, printing: &'static str) -> Self {
        Self { is_test: true, ..self.needing(program, printing) }
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

    const fn fuzz(name: &'static str, args: &'static str) -> Self {
        Self { fuzzes: true, ..Self::cargo(name, args).needing(CARGO_FUZZ, "cargo-fuzz") }
    }

    pub(crate) fn run(&self, rest: &[String]) -> Outcome {
        if let Some((needs, printing)) = self.needs
            && !prints(needs, printing)
        {
            println!("SKIPPED: `{needs}` does not work here or does not name {printing:?}");
            if needs == CARGO_FUZZ {
                println!("it takes a nightly toolchain and `cargo install cargo-fuzz`");
            }
            if self.is_test && std::env::var_os("DURAMEN_TEST_NO_SKIP").is_some() {
                println!("DURAMEN_TEST_NO_SKIP is set: nothing may be skipped");
                return Outcome::Failed;
            }
            return Outcome::Skipped;
        }
        let limit;
        let rest: &[String] = match self {
            Self { fuzzes: true, .. } => {
                let Some(seconds) = seconds(rest) else {
                    println!("usage: cargo xtask fuzz [--seconds N]");
                    return Outcome::Failed;
                };
                // What is found is kept apart from the corpus that the project keeps.
                if let Err(error) =
                    std::fs::create_dir_all(format!("target/fuzz-corpus/{}", self.name))
                {
                    println!("cannot make a directory for the corpus: {error}");
                    return Outcome::Failed;
                }
                limit = [format!("-max_total_time={seconds}")];
                &limit
            }
            Self { takes_args: true, .. } => rest,
            _ => &[],
        };
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

/// Loom's own switch; its crate is built apart so that it shares nothing with ordinary builds.
const LOOM: &[(&str, &str)] =
    &[("RUSTFLAGS", "--cfg duramen_loom"), ("CARGO_TARGET_DIR", "target/loom")];

/// Compiles the mistakes into the engine that its tests must notice. These commands lint and
/// test with it, and so everything is built once.
pub(crate) const MUTANTS: (&str, &str) = ("RUSTFLAGS", "--cfg duramen_mutants");

pub(crate) fn test() -> Steps {
    vec![
        Step::cargo(
            "unit, integration, crash and program tests, examples, documentation",
            "test --workspace --all-features --no-fail-fast",
        )
        .with_env(&[MUTANTS]),
        Step::cargo(
            "equality with rotortree",
            "test --manifest-path compat/rotortree/Cargo.toml --target-dir target/equality",
        ),
        Step::cargo(
            "a verifier without std",
            "test --manifest-path tests/light-client/Cargo.toml --target-dir target/light-client",
        ),
        Step::cargo("loom models", "test --release --manifest-path loom-tests/Cargo.toml")
            .with_env(LOOM),
        Step::cargo(
            "the npm package of the verifier",
            "run --manifest-path bindings/Cargo.toml --target-dir target/bindings \
             -p duramen-wasm-pack -- target/npm",
        )
        .of_binding("rustup target add wasm32-unknown-unknown", ""),
        Step::program("test vectors in Node", "node", "bindings/wasm/tests/node.js target/npm")
            .of_binding("node --version", "v"),
        Step::program(
            "test vectors in Chromium",
            "node",
            "bindings/wasm/tests/browser.js target/npm",
        )
        .of_binding("chromium --version", "Chromium"),
        // It looks itself for the packages that it needs.
        Step::program("the binding for Python", "python3", "bindings/python/tests/run.py")
            .of_binding("python3 --version", "Python"),
        Step::cargo(
            "the binding for C",
            "test --manifest-path bindings/Cargo.toml --target-dir target/bindings -p duramen-c",
        )
        .of_binding("cc --version", ""),
    ]
}

pub(crate) fn check() -> Steps {
    vec![
        Step::cargo("formatting", "fmt --all --check"),
        Step::cargo(
            "formatting of the bindings",
            "fmt --manifest-path bindings/Cargo.toml --all --check",
        ),
        Step::cargo("lints", "clippy --workspace --all-targets --all-features -- -D warnings")
            .with_env(&[MUTANTS]),
        Step::cargo(
            "lints of the bindings",
            "clippy --manifest-path bindings/Cargo.toml --workspace --all-targets \
             --target-dir target/bindings -- -D warnings",
        ),
        Step::cargo(
            "lints without features",
            "clippy -p duramen --no-default-features -- -D warnings",
        ),
        Step::cargo(
            "lints of what is shipped, without mistakes built in",
            "clippy -p duramen -p duramen-cli --all-features -- -D warnings",
        ),
        Step::cargo(
            "the verifier for a microcontroller",
            "check --target thumbv7em-none-eabi --manifest-path tests/light-client/Cargo.toml \
             --target-dir target/light-client",
        )
        .needing("rustup target add thumbv7em-none-eabi", ""),
        Step::cargo(
            "the verifier for a browser",
            "check --target wasm32-unknown-unknown --manifest-path tests/light-client/Cargo.toml \
             --target-dir target/light-client",
        )
        .needing("rustup target add wasm32-unknown-unknown", ""),
        Step::cargo(
            "the verifier of the page",
            "check --target wasm32-unknown-unknown -p duramen-verifier --target-dir target/verifier",
        )
        .needing("rustup target add wasm32-unknown-unknown", ""),
        Step::cargo(
            "fuzz targets",
            "check --manifest-path fuzz/Cargo.toml --target-dir target/fuzz-check",
        )
        .needing("c++ --version", ""),
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
                " --test store -- stress accumulator compaction limits",
            ),
        )
        .with_env(&[("RUSTFLAGS", "-Zsanitizer=thread"), ("TSAN_OPTIONS", "halt_on_error=1")])
        .needing("rustup component list --toolchain nightly --installed", "rust-src"),
    ]
}

pub(crate) fn fuzz() -> Steps {
    vec![
        Step::fuzz(
            "claims",
            "+nightly fuzz run --fuzz-dir fuzz claims target/fuzz-corpus/claims fuzz/corpus/claims --",
        ),
        Step::fuzz(
            "frontier",
            "+nightly fuzz run --fuzz-dir fuzz frontier target/fuzz-corpus/frontier fuzz/corpus/frontier --",
        ),
        Step::fuzz(
            "group",
            "+nightly fuzz run --fuzz-dir fuzz group target/fuzz-corpus/group fuzz/corpus/group --",
        ),
        Step::fuzz(
            "manifest",
            "+nightly fuzz run --fuzz-dir fuzz manifest target/fuzz-corpus/manifest fuzz/corpus/manifest --",
        ),
        Step::fuzz(
            "part",
            "+nightly fuzz run --fuzz-dir fuzz part target/fuzz-corpus/part fuzz/corpus/part --",
        ),
        Step::fuzz(
            "index",
            "+nightly fuzz run --fuzz-dir fuzz index target/fuzz-corpus/index fuzz/corpus/index --",
        ),
        Step::fuzz(
            "operations",
            "+nightly fuzz run --fuzz-dir fuzz operations target/fuzz-corpus/operations fuzz/corpus/operations --",
        ),
        Step::fuzz(
            "note",
            "+nightly fuzz run --fuzz-dir fuzz note target/fuzz-corpus/note fuzz/corpus/note --",
        ),
        Step::fuzz(
            "tlog_proof",
            "+nightly fuzz run --fuzz-dir fuzz tlog_proof target/fuzz-corpus/tlog_proof fuzz/corpus/tlog_proof --",
        ),
        Step::fuzz(
            "json",
            "+nightly fuzz run --fuzz-dir fuzz json target/fuzz-corpus/json fuzz/corpus/json --",
        ),
    ]
}

/// A real server, which the test starts and kills.
pub(crate) fn remote() -> Steps {
    vec![
        Step::cargo(
            "a bucket of SeaweedFS",
            "test -p duramen-remote --features s3 --test server -- --ignored --nocapture",
        )
        .with_env(&[
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "testtest"),
            ("AWS_ENDPOINT", "http://127.0.0.1:8333"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
            MUTANTS,
        ])
        .needing("weed version", "version"),
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
