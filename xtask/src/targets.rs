//! The library's tests where a word has 32 bits, and where the first byte of a number is its highest.
//!
//! Programs for another processor run in QEMU. A target whose standard library, linker or QEMU is not here is skipped,
//! and it is said what is missing.

use std::path::Path;
use std::process::{Command, ExitCode};

struct Target {
    about: &'static str,
    triple: &'static str,
    linker: &'static str,
    runner: &'static str,
}

const TARGETS: [Target; 2] = [
    Target {
        about: "32 bits",
        triple: "i686-unknown-linux-gnu",
        linker: "i686-linux-gnu-gcc",
        runner: "",
    },
    Target {
        about: "the highest byte first",
        triple: "s390x-unknown-linux-gnu",
        linker: "s390x-linux-gnu-gcc",
        runner: "qemu-s390x -L /usr/s390x-linux-gnu",
    },
];

/// Trees, proofs, notes and their texts from the outside, and every unit test of the library: formats, log, parts, indexes.
const TESTS: [&str; 9] = [
    "test",
    "-p",
    "duramen",
    "--features",
    "cose,keccak,metrics,mldsa,note,poseidon,serde,stream,testing",
    "--lib",
    "--test",
    "merkle",
    "--no-fail-fast",
];

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What is missing for a target, if anything is.
fn missing(target: &Target) -> Option<String> {
    let libdir = output("rustc", &["--print", "target-libdir", "--target", target.triple]);
    if !libdir.is_some_and(|libdir| Path::new(&libdir).is_dir()) {
        return Some(format!("the standard library: rustup target add {}", target.triple));
    }
    let runner = target.runner.split(' ').next().filter(|runner| !runner.is_empty());
    let mut programs = std::iter::once(target.linker).chain(runner);
    let absent = programs.find(|program| output(program, &["--version"]).is_none());
    absent.map(|program| format!("the program {program}"))
}

/// Runs the tests for every target, or for those that the arguments name; what follows `--` goes to the tests.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let split = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let (named, rest) = args.split_at(split);
    if let Some(unknown) = named.iter().find(|name| TARGETS.iter().all(|one| one.triple != **name))
    {
        println!("{unknown} is none of {:?}", TARGETS.map(|target| target.triple));
        return ExitCode::from(2);
    }
    let mut outcomes = Vec::new();
    for target in
        TARGETS.iter().filter(|one| named.is_empty() || named.contains(&one.triple.into()))
    {
        println!("\n== {} ({})", target.about, target.triple);
        if let Some(missing) = missing(target) {
            println!("SKIPPED: not here: {missing}");
            outcomes.push((target, "SKIPPED"));
            continue;
        }
        let variable = target.triple.to_uppercase().replace('-', "_");
        let mut command = Command::new("cargo");
        command
            .args(TESTS)
            .args(["--target", target.triple, "--target-dir", "target/targets"])
            .args(rest)
            .env(format!("CARGO_TARGET_{variable}_LINKER"), target.linker);
        if !target.runner.is_empty() {
            command.env(format!("CARGO_TARGET_{variable}_RUNNER"), target.runner);
        }
        let passed = command.status().is_ok_and(|status| status.success());
        outcomes.push((target, if passed { "passed" } else { "FAILED" }));
    }
    println!("\n== targets");
    for (target, outcome) in &outcomes {
        println!("{outcome:<10} {} ({})", target.about, target.triple);
    }
    let failed = outcomes.iter().any(|(_, outcome)| *outcome == "FAILED");
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
