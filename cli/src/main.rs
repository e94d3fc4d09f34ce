//! `duramen`: appends input to a durable Merkle accumulator, tells its root, proves and verifies.
//!
//! Exit status: 0 done or verified, 1 a check failed, 2 anything else that went wrong. Errors are
//! one line on standard error, with every cause behind it.

mod ack;
mod append;
mod args;
mod backup;
mod dump;
mod error;
mod fsck;
mod head;
mod hex;
mod input;
mod key;
mod keygen;
mod output;
mod policy;
mod proof;
mod prove;
mod prove_consistency;
mod scrub;
mod store;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::error::{Error, one_line};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let done = match &args.command {
        Command::Append(args) => append::run(args),
        Command::Head(args) => head::run(args),
        Command::Prove(args) => prove::run(args),
        Command::ProveConsistency(args) => prove_consistency::run(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Scrub(args) => scrub::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Fsck(args) => fsck::run(args),
        Command::Dump(args) => dump::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("duramen: {}", error.in_one_line());
            match error {
                Error::Refused { .. } => ExitCode::from(1),
                _ => ExitCode::from(2),
            }
        }
    }
}

/// Prints help as it is, and a mistake in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody is left to tell if even the help cannot be printed.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let mistake = text.split("\n\nUsage:").next().unwrap_or_default();
    let mistake = mistake.strip_prefix("error: ").unwrap_or(mistake);
    eprintln!("duramen: {}; see duramen --help", one_line(mistake));
    ExitCode::from(2)
}
