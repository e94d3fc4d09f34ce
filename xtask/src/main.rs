//! The project's own commands. `cargo xtask` lists them.

mod crash;
mod features;
#[cfg(test)]
mod links;
#[cfg(test)]
mod map;
mod page;
mod step;
mod steps;
mod targets;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use step::{Outcome, Output, Step};
use steps::Steps;

/// A command and what it is for.
struct Command {
    name: &'static str,
    about: &'static str,
    run: Run,
}

/// How a command does its work.
enum Run {
    /// One program after the other.
    Steps(fn() -> Steps),
    /// In its own way, with the arguments behind its name.
    Own(fn(&[String]) -> ExitCode),
}

const COMMANDS: [Command; 14] = [
    Command {
        name: "test",
        about: "all tests, in under 10 minutes on 2 cores once everything is built",
        run: Run::Steps(steps::test),
    },
    Command {
        name: "check",
        about: "formatting, spelling, lints, licences, packages, docs, no_std targets, fuzz targets",
        run: Run::Steps(steps::check),
    },
    Command {
        name: "features",
        about: "the library with each of its features alone",
        run: Run::Own(features::run),
    },
    Command {
        name: "page",
        about: "makes the verifier of a served log's page; --check compares it with the one checked in",
        run: Run::Own(page::run),
    },
    Command {
        name: "torture",
        about: "real file systems going down, devices and system calls that fail (root)",
        run: Run::Steps(steps::torture),
    },
    Command {
        name: "crash",
        about: "power cuts and failing calls on a simulated disk; --full for all of it",
        run: Run::Own(crash::run),
    },
    Command {
        name: "remote",
        about: "a store in a bucket of SeaweedFS, which is killed (needs the program weed)",
        run: Run::Steps(steps::remote),
    },
    Command {
        name: "loom",
        about: "the concurrency models and their mutants",
        run: Run::Steps(steps::loom),
    },
    Command {
        name: "miri",
        about: "the modules with unsafe code, under miri (needs nightly with miri)",
        run: Run::Steps(steps::miri),
    },
    Command {
        name: "targets",
        about: "tests with 32 bits and with the highest byte first (needs their standard libraries, gcc, QEMU)",
        run: Run::Own(targets::run),
    },
    Command {
        name: "tsan",
        about: "whole stores under ThreadSanitizer (needs nightly with rust-src)",
        run: Run::Steps(steps::tsan),
    },
    Command {
        name: "fuzz",
        about: "every decoder with hostile bytes, five minutes or --seconds N each (nightly, cargo-fuzz)",
        run: Run::Steps(steps::fuzz),
    },
    Command {
        name: "bench",
        about: "criterion benchmarks, one per operation",
        run: Run::Steps(steps::bench),
    },
    Command {
        name: "peers",
        about: "duramen beside rotortree and the bare machine",
        run: Run::Steps(steps::peers),
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next();
    let Some(command) = COMMANDS.iter().find(|command| Some(command.name) == name.as_deref())
    else {
        println!("usage: cargo xtask COMMAND [ARG ...]\n");
        for Command { name, about, .. } in &COMMANDS {
            println!("  {name:<8} {about}");
        }
        return ExitCode::from(2);
    };
    let rest: Vec<String> = args.collect();
    let steps = match command.run {
        Run::Steps(steps) => steps,
        Run::Own(run) => return run(&rest),
    };
    let done = match Output::kept() {
        Ok(kept) => run_beside(steps(), &rest, kept),
        Err(error) => {
            println!("one step after the other: no file for what two print at once: {error}");
            run(steps(), &rest, &mut Output::Here)
        }
    };
    println!("\n== {}", command.name);
    for (Step { name, .. }, outcome, took) in &done {
        println!("{:<10} {:>6.1} s  {name}", outcome.word(), took.as_secs_f64());
    }
    let failed = done.iter().filter(|(_, outcome, _)| !outcome.is_ok()).count();
    println!("{} steps passed, {failed} failed", done.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A step, how it ended and how long it took.
type Done = (Step, Outcome, Duration);

/// Runs steps one after the other.
fn run(steps: Steps, rest: &[String], out: &mut Output) -> Vec<Done> {
    let run = |step: Step| {
        out.say(&format!("\n== {}", step.name));
        let started = Instant::now();
        let outcome = step.run(rest, out);
        (step, outcome, started.elapsed())
    };
    steps.into_iter().map(run).collect()
}

/// Runs those that may run beside the others so, and prints what they say after the others.
fn run_beside(steps: Steps, rest: &[String], mut kept: Output) -> Vec<Done> {
    let (beside, first): (Steps, Steps) = steps.into_iter().partition(|step| step.is_beside);
    let mut done = std::thread::scope(|scope| {
        let beside = scope.spawn(|| run(beside, rest, &mut kept));
        let mut done = run(first, rest, &mut Output::Here);
        match beside.join() {
            Ok(beside) => done.extend(beside),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        done
    });
    if let Err(error) = kept.show() {
        println!("what the last steps printed cannot be read: {error}");
        done.iter_mut()
            .filter(|(step, ..)| step.is_beside)
            .for_each(|done| done.1 = Outcome::Failed);
    }
    done
}
