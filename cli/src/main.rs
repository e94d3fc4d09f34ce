//! `duramen`: appends input to a durable Merkle accumulator, prints its root, proves and verifies.
//!
//! The exit status says why a command failed: see [`status`]. Errors are one line on standard error, with every
//! cause behind it.

mod ack;
mod admin;
mod anchored;
mod any_key;
mod append;
mod args;
mod backup;
mod begin;
mod checkpoint;
mod diff;
mod doctor;
mod dump;
mod ended;
mod entries;
mod erase;
mod error;
mod export_tiles;
mod find;
mod follow;
mod fsck;
mod hash;
mod head;
mod hex;
mod info;
mod input;
mod key;
mod keygen;
mod leaves;
mod lines;
mod listen;
mod marks;
mod memory;
mod messages;
mod mirror;
mod monitor;
mod notify;
mod number;
mod output;
mod pages;
mod policy;
mod progress;
mod proof;
mod prove;
mod prove_consistency;
mod prune;
mod read_only;
mod record;
mod records;
mod recover;
mod rejects;
mod rejoin;
mod remote;
mod restore;
mod rewind;
mod scrub;
mod serve;
mod settings;
mod signals;
mod sink;
mod statistics;
mod stats;
mod status;
mod store;
mod tail;
mod transfer;
mod trees;
mod verify;
mod witness;
mod witness_policy;

use std::process::ExitCode;

use serde::Serialize;

use crate::args::Command;
use crate::error::one_line;
use crate::settings::Settings;
use crate::status::Status;

fn main() -> ExitCode {
    if let Err(error) = signals::catch() {
        return failed(Status::Failed, &format!("cannot catch signals: {error}"));
    }
    let settings = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => return failed(error.status(), &error.in_one_line()),
    };
    let args = match settings.arguments() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    messages::show(args.messages, args.command.serves());
    let done = match &args.command {
        Command::Append(args) => append::run(args),
        Command::Head(args) => head::run(args),
        Command::Info(args) => info::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Leaves(args) => leaves::run(args),
        Command::Hash(args) => hash::run(args),
        Command::Frontier(args) => leaves::frontier(args),
        Command::Begin(args) => begin::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Prove(args) => prove::run(args),
        Command::ProveConsistency(args) => prove_consistency::run(args),
        Command::Entry(args) => entries::one(args),
        Command::Entries(args) => entries::many(args),
        Command::Tail(args) => tail::run(args),
        Command::Export(args) => transfer::export(args),
        Command::Import(args) => transfer::import(args),
        Command::Find(args) => find::find(args),
        Command::Index(args) => find::index(args),
        Command::Erase(args) => erase::run(args),
        Command::Compact(args) => erase::compact(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Scrub(args) => scrub::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Witness(args) => witness::run(args),
        Command::Monitor(args) => monitor::run(args),
        Command::Mirror(args) => mirror::run(args),
        Command::ExportTiles(args) => export_tiles::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Remote(args) => remote::run(args),
        Command::Fsck(args) => fsck::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Trees(args) => trees::list(args),
        Command::Seal(args) => trees::seal(args),
        Command::Mark(args) => marks::set(args),
        Command::Marks(args) => marks::list(args),
        Command::Rewind(args) => rewind::run(args),
        Command::Prune(args) => prune::run(args),
        Command::DropTree(args) => trees::drop_tree(args),
        Command::Restore(args) => restore::run(args),
        Command::Recover(args) => recover::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Config(args) => settings::print(args, &settings),
        Command::Completions(args) => pages::completions(args),
        Command::Man(args) => pages::man(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed_after(error.status(), &error.in_one_line(), error.records()),
    }
}

fn failed(status: Status, message: &str) -> ExitCode {
    failed_after(status, message, None)
}

/// Says why the command failed, as JSON if its output is JSON. `records` are those of the input that are in the tree, and
/// those of them that are durable.
fn failed_after(status: Status, message: &str, records: Option<(u64, u64)>) -> ExitCode {
    let before_files = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    if before_files.into_iter().any(|argument| argument == "--json") {
        output::tell_json(&Failure {
            error: &one_line(message),
            kind: status.word(),
            status: status.number(),
            records: records.map(|(records, _)| records),
            durable: records.map(|(_, durable)| durable),
        });
    } else {
        output::tell(message);
    }
    ExitCode::from(status.number())
}

/// What standard error says as JSON.
#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    kind: &'static str,
    status: u8,
    /// Records of the input that are in the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Those of them that are known to be durable, from the first on.
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<u64>,
}

/// Prints help as it is, and a mistake in one line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match output::print(&error.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(error.status(), &error.in_one_line()),
        };
    }
    let text = error.to_string();
    // Behind the mistake stands how to use the command, or where that can be read.
    let mistake = text.split("\n\nUsage:").next().unwrap_or_default();
    let mistake = mistake.split("\n\nFor more information").next().unwrap_or_default();
    let mistake = mistake.strip_prefix("error: ").unwrap_or(mistake);
    failed(Status::Failed, &format!("{}; see duramen --help", mistake.trim_end()))
}
