//! System calls of the program fail, or kill it: `strace -e inject`.

use std::path::Path;

use anyhow::Result;

use crate::Asked;
use crate::check::check;
use crate::program::{Feed, Writer};
use crate::random::Random;
use crate::system::{Workspace, text};
use crate::tally::Tally;

/// System calls and how they fail.
const FAULTS: [(&str, &[&str]); 10] = [
    ("fdatasync", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("fsync", &["error=EIO", "signal=KILL"]),
    ("pwritev", &["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"]),
    ("pwrite64", &["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"]),
    ("write", &["error=EIO", "signal=KILL"]),
    ("renameat2", &["error=EIO", "error=EROFS", "signal=KILL"]),
    ("openat", &["error=EMFILE", "error=EACCES", "error=EIO"]),
    ("unlinkat", &["error=EIO", "signal=KILL"]),
    ("fallocate", &["error=ENOSPC", "error=EFBIG"]),
    ("mkdirat", &["error=EIO", "error=EROFS", "signal=KILL"]),
];
/// The call that fails, for each of these numbers.
const NUMBERS: [u64; 10] = [1, 2, 3, 4, 5, 6, 8, 12, 20, 40];

pub(crate) fn run(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let mut random = Random(asked.seed);
    for (call, ways) in FAULTS {
        for way in ways {
            for number in NUMBERS {
                for forever in ["", "+"] {
                    if forever == "+" && way.starts_with("signal") {
                        continue;
                    }
                    let inject = format!("inject={call}:{way}:when={number}{forever}");
                    if one(&inject, call, random.next(), asked, workspace, tally)? == 0 {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

/// One run; tells how many calls failed.
fn one(
    inject: &str,
    call: &str,
    seed: u64,
    asked: &Asked,
    workspace: &Workspace,
    tally: &Tally,
) -> Result<u64> {
    // Calls that are interrupted for ever are tried for ever, as they should be.
    if inject.contains("EINTR") && inject.ends_with('+') {
        return Ok(0);
    }
    let dir = workspace.dir("traced")?;
    let store = dir.join("store");
    let trace = dir.join("trace");
    let (inject_arg, trace_text) = (inject.to_owned(), text(&trace)?.to_owned());
    let watched = format!("trace={call},fdatasync,fsync,pwritev,pwrite64");
    let command = [
        "strace",
        "-f",
        "-y",
        "-o",
        &trace_text,
        "-e",
        &watched,
        "-e",
        &inject_arg,
        &asked.program,
    ];
    let feed = Feed { first: 0, most: 400, seed };
    let ended = Writer::start(&command, &store, feed, |_| {})?.finish();
    let lines = std::fs::read_to_string(&trace).unwrap_or_default();
    let injected = lines.lines().filter(|line| line.contains("(INJECTED)")).count() as u64
        + u64::from(inject.contains("KILL") && lines.contains("+++ killed by SIGKILL"));
    if injected == 0 {
        tally.count("runs without the call", 1);
        return Ok(0);
    }
    tally.count("runs", 1);
    tally.count("injected errors", injected);
    let found = |what: String| tally.found(format!("{inject}, seed {seed}: {what}"));
    match ended {
        Ok((_, bounds)) => {
            if let Err(error) = check(&store, bounds) {
                found(format!("{error:#}"));
            }
        }
        Err(error) => found(format!("{error:#}")),
    }
    if inject.contains("error=") && !inject.contains("EINTR") {
        for retry in retries(&lines, &store) {
            found(format!("tried again: {retry}"));
        }
    }
    Ok(injected)
}

/// Calls on a file of the log on which the same call has failed before.
fn retries(trace: &str, store: &Path) -> Vec<String> {
    let log = store.join("wal").display().to_string();
    let mut failed: Vec<(String, String)> = Vec::new();
    let mut again = Vec::new();
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else { continue };
        let call = call.split_whitespace().last().unwrap_or_default().to_owned();
        if !["fdatasync", "fsync", "pwritev", "pwrite64"].contains(&&call[..]) {
            continue;
        }
        let file = rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if !file.starts_with(&log) {
            continue;
        }
        if failed.iter().any(|(_, before)| *before == file) && !line.contains("resumed") {
            again.push(line.to_owned());
        }
        if line.contains("(INJECTED)") {
            failed.push((call, file));
        }
    }
    again
}
