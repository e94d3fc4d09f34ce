//! `cargo xtask crash`: stores on a simulated disk whose power is cut and whose calls fail.
//!
//! `--full` is the run whose figures are published. It may be done in parts, on different days; what a
//! part counted is kept in `target/crash`, and the sum is printed once all parts are there. `--rest` runs the
//! parts that are not there yet, one after the other, and may itself be ended at any time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::steps::MUTANTS;

const USAGE: &str = "usage: cargo xtask crash [--full] [--seed S | --seed S-K] [--part I/N | --rest N]
       cargo xtask crash --remote [--full | --seed S]

  without --full   the crash tests as `cargo xtask test` runs them, with another seed if one is given
  --full           everything, at least 1,000,000 crash images: well over half an hour on 2 cores
  --seed S         the seed from which all random choices follow; default 0
  --seed S-K       nothing but workload K of that run: what a failure prints
  --part I/N       every Nth workload of the full run from the Ith on
  --rest N         those of the N parts of the full run that have not been run yet
  --remote         writers of one store in a bucket that loses answers, repeats and delays requests and fails:
                   3,000 schedules and every mistake that they must notice; 400,000 with --full; one with --seed S
";

/// What was asked for.
struct Asked {
    full: bool,
    seed: String,
    /// Which parts of how many.
    part: Option<(Parts, u64)>,
}

/// Which parts of a full run.
#[derive(Clone, Copy)]
enum Parts {
    One(u64),
    Rest,
}

/// How many tests of a full run write down what they counted.
const TESTS: u64 = 2;
/// What each of them writes down last.
const COMPLETE: &str = "tests that came to their end";

impl Asked {
    fn parse(args: &[String]) -> Option<Self> {
        let mut asked = Self { full: false, seed: "0".to_owned(), part: None };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match &arg[..] {
                "--full" => asked.full = true,
                "--seed" => {
                    let seed = args.next()?;
                    seed.split('-').all(|number| number.parse::<u64>().is_ok()).then_some(())?;
                    asked.seed.clone_from(seed);
                }
                "--part" => {
                    let (part, parts) = args.next()?.split_once('/')?;
                    let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
                    (1..=parts).contains(&part).then_some(())?;
                    asked.part = Some((Parts::One(part), parts));
                }
                "--rest" => {
                    let parts = args.next()?.parse().ok().filter(|parts| *parts > 0)?;
                    asked.part = Some((Parts::Rest, parts));
                }
                _ => return None,
            }
        }
        (asked.full || asked.part.is_none()).then_some(asked)
    }
}

/// Runs the command.
pub(crate) fn run(args: &[String]) -> ExitCode {
    if let Some((flag, rest)) = args.split_first()
        && flag == "--remote"
    {
        return remote(rest);
    }
    let Some(asked) = Asked::parse(args) else {
        print!("{USAGE}");
        return ExitCode::from(2);
    };
    if !asked.full {
        // One workload alone is in the tests of power cuts.
        let alone = ["--", "power::no_power_cut", "trees::"];
        let tests: &[&str] = if asked.seed.contains('-') { &alone } else { &[] };
        return exit(cargo_test(&asked.seed, &[], tests));
    }
    let (which, parts) = asked.part.unwrap_or((Parts::One(1), 1));
    let mut passed = true;
    let all = match which {
        Parts::One(part) => vec![part],
        Parts::Rest => {
            (1..=parts).filter(|part| counts(&asked.seed, *part, parts).is_none()).collect()
        }
    };
    for part in all {
        passed = passed && run_part(&asked.seed, part, parts);
    }
    if !asked.seed.contains('-') {
        // Without these the zeros would say nothing.
        let controls = cargo_test(&asked.seed, &[], &["--", "controls::", "flaws_are_found"]);
        passed &= controls;
        sum(&asked.seed, parts, controls);
    }
    exit(passed)
}

/// Runs schedules of the protocol in a bucket.
fn remote(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (full, seed) = match args[..] {
        [] => (false, None),
        ["--full"] => (true, None),
        ["--seed", seed] if seed.parse::<u64>().is_ok() => (false, Some(seed)),
        _ => {
            print!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut command = Command::new("cargo");
    command.args(["test", "-p", "duramen-remote", "--lib", "--"]).args(["sim::", "--nocapture"]);
    if full {
        // The mistakes that must be noticed too: without them the zeros would say nothing.
        command.args(["--include-ignored", "--test-threads=1"]);
    }
    if let Some(seed) = seed {
        command.arg("no_acknowledged_leaf_is_lost_and").env("DURAMEN_REMOTE_SEED", seed);
    }
    match command.env(MUTANTS.0, MUTANTS.1).status() {
        Ok(status) => exit(status.success()),
        Err(error) => {
            println!("cannot start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one part of a full run. Returns whether it found nothing.
fn run_part(seed: &str, part: u64, parts: u64) -> bool {
    let started = Instant::now();
    let counts = counts_file(seed, part, parts);
    if let Some(dir) = counts.parent()
        && let Err(error) = fs::create_dir_all(dir)
    {
        println!("cannot make {}: {error}", dir.display());
        return false;
    }
    let env = [
        ("DURAMEN_CRASH_PART", format!("{part}/{parts}")),
        ("DURAMEN_CRASH_COUNTS", counts.display().to_string()),
    ];
    // The tests add to this file one after the other.
    let _ = fs::remove_file(&counts);
    let found = cargo_test(seed, &env, &["--", "--ignored", "--nocapture", "--test-threads=1"]);
    println!("part {part} of {parts} took {:.0} s", started.elapsed().as_secs_f64());
    found
}

/// What a part counted; `None` if it has not been run to its end.
fn counts(seed: &str, part: u64, parts: u64) -> Option<BTreeMap<String, u64>> {
    let text = fs::read_to_string(counts_file(seed, part, parts)).ok()?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in text.lines() {
        let (number, what) = line.split_once(' ')?;
        *counts.entry(what.to_owned()).or_default() += number.parse::<u64>().ok()?;
    }
    (counts.get(COMPLETE) == Some(&TESTS)).then_some(counts)
}

fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo_test(seed: &str, env: &[(&str, String)], args: &[&str]) -> bool {
    let status = Command::new("cargo")
        .args(["test", "-p", "duramen", "--features", "testing", "--test", "crash"])
        .args(args)
        .env("DURAMEN_CRASH_SEED", seed)
        .env(MUTANTS.0, MUTANTS.1)
        .envs(env.iter().map(|(key, value)| (key, value)))
        .status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start cargo: {error}");
            false
        }
    }
}

fn counts_file(seed: &str, part: u64, parts: u64) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    root.join(format!("target/crash/seed-{seed}-part-{part}-of-{parts}"))
}

/// Prints the line to publish, if all parts are there.
fn sum(seed: &str, parts: u64, controls: bool) {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for part in 1..=parts {
        let Some(counts) = counts(seed, part, parts) else {
            println!("part {part} of {parts} has not been run to its end with seed {seed} yet");
            return;
        };
        for (what, number) in counts {
            *sums.entry(what).or_default() += number;
        }
    }
    let get = |what: &str| sums.get(what).copied().unwrap_or(0);
    let found =
        |kinds: &[&str]| kinds.iter().map(|kind| get(&format!("found {kind}"))).sum::<u64>();
    println!(
        "\n{} crash images ({} of them of several trees) at {} crash points of {} workloads, {} cuts of a recovery, {} later cuts, \
         {} images after failed calls: {} acknowledged leaves lost, {} phantoms, {} torn batches, \
         {} wrong roots or proofs, {} mixed checkpoints, {} stores that do not open. {} injected \
         errors: {} wrong answers (retries, false acknowledgements, tokens without answer). {} flipped \
         bits of stores of {} bytes, {} files cut short, {} taken away, exchanged or replaced: 0 \
         undetected. Negative controls: {}. (cargo xtask crash --full --seed {seed}, {parts} parts)",
        Thousands(get("crash images")),
        Thousands(get("crash images of several trees")),
        Thousands(get("crash points")),
        Thousands(get("workloads")),
        Thousands(get("cuts of a recovery")),
        Thousands(get("later cuts") + get("second cuts")),
        Thousands(get("images")),
        found(&["Lost"]),
        found(&["Phantom"]),
        found(&["TornBatch"]),
        found(&["WrongRoot", "WrongProof"]),
        found(&["Checkpoint"]),
        found(&["Refused"]),
        Thousands(get("injected errors")),
        found(&["Answer"]),
        Thousands(get("flipped bits")),
        Thousands(get("bytes") / parts),
        Thousands(get("files cut short")),
        Thousands(get("files taken away") + get("files exchanged") + get("files replaced")),
        if controls { "all mistakes that are built in were caught" } else { "NOT ALL CAUGHT" },
    );
}

/// A number in groups of three digits.
struct Thousands(u64);

impl std::fmt::Display for Thousands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
