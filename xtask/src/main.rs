//! The project's own commands. `cargo xtask` lists them.

mod steps;

use std::process::ExitCode;
use std::time::Instant;

use steps::{Step, Steps};

/// A command and what it is for.
struct Command {
    name: &'static str,
    about: &'static str,
    steps: fn() -> Steps,
}

const COMMANDS: [Command; 6] = [
    Command {
        name: "test",
        about: "all tests, in under 10 minutes on 2 cores",
        steps: steps::test,
    },
    Command { name: "check", about: "formatting, lints, docs, no_std", steps: steps::check },
    Command { name: "loom", about: "the concurrency models and their mutants", steps: steps::loom },
    Command {
        name: "miri",
        about: "the modules with unsafe code, under miri (needs nightly with miri)",
        steps: steps::miri,
    },
    Command {
        name: "bench",
        about: "criterion benchmarks, one per operation",
        steps: steps::bench,
    },
    Command {
        name: "peers",
        about: "duramen beside rotortree and the bare machine",
        steps: steps::peers,
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
    let mut done = Vec::new();
    for step in (command.steps)() {
        println!("\n== {}", step.name);
        let started = Instant::now();
        let outcome = step.run(&rest);
        done.push((step, outcome, started.elapsed()));
    }
    println!("\n== {}", command.name);
    for (Step { name, .. }, outcome, took) in &done {
        println!("{:<10} {:>6.1} s  {name}", outcome.word(), took.as_secs_f64());
    }
    let failed = done.iter().filter(|(_, outcome, _)| !outcome.is_ok()).count();
    println!("{} steps passed, {failed} failed", done.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
