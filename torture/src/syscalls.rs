//! System calls of the program fail, or kill it: `strace -e inject`. Of a program that makes a store, and
//! of one that recovers a store which a kill has left.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::Asked;
use crate::check::check;
use crate::program::{Feed, Writer};
use testkit::random::Random;
use crate::system::{Workspace, run as tool, text};
use crate::tally::Tally;

/// System calls and how they fail.
const FAULTS: [(&str, &[&str]); 15] = [
    ("fdatasync", &["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"]),
    ("fsync", &["error=EIO", "error=EINTR", "signal=KILL"]),
    ("pwritev", &["error=EIO", "error=ENOSPC", "error=EFBIG", "error=EINTR", "signal=KILL"]),
    ("pwrite64", &["error=EIO", "error=ENOSPC", "error=EFBIG", "error=EINTR", "signal=KILL"]),
    ("write", &["error=EIO", "signal=KILL"]),
    ("renameat2", &["error=EIO", "error=EROFS", "signal=KILL"]),
    ("openat", &["error=EMFILE", "error=EACCES", "error=EROFS", "error=EIO", "error=EINTR"]),
    ("unlinkat", &["error=EIO", "signal=KILL"]),
    ("fallocate", &["error=ENOSPC", "error=EFBIG", "error=EROFS", "error=EINTR"]),
    ("mkdirat", &["error=EIO", "error=EROFS", "signal=KILL"]),
    ("flock", &["error=EINTR", "error=ENOLCK"]),
    ("pread64", &["error=EIO", "error=EINTR"]),
    ("getdents64", &["error=EIO", "error=EACCES"]),
    ("sync_file_range", &["error=EIO", "error=ENOSPC"]),
    ("ftruncate", &["error=EIO", "error=EFBIG"]),
];
/// The call that fails, for each of these numbers.
const NUMBERS: [u64; 10] = [1, 2, 3, 4, 5, 6, 8, 12, 20, 40];

pub(crate) fn run(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let mut random = Random(asked.seed);
    let left = Left::new(asked, workspace, random.number())?;
    for found in [None, Some(&left)] {
        for (call, ways) in FAULTS {
            for way in ways {
                for number in NUMBERS {
                    for forever in ["", "+"] {
                        // Calls that are interrupted forever are tried forever, as they should be.
                        if forever == "+" && (way.starts_with("signal") || way.contains("EINTR")) {
                            continue;
                        }
                        let inject = format!("inject={call}:{way}:when={number}{forever}");
                        if one(&inject, call, found, random.number(), asked, workspace, tally)? == 0 {
                            break;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// A store that a kill has left.
struct Left {
    store: PathBuf,
    /// What opening it shows.
    size: u64,
}

impl Left {
    fn new(asked: &Asked, workspace: &Workspace, seed: u64) -> Result<Self> {
        let store = workspace.dir("left")?.join("store");
        // Parts of all ages, and a log.
        let feed = Feed { first: 0, most: u64::MAX / 2, seed: seed & !3 };
        let mut writer = Writer::start(&[&asked.program], &store, feed, |_| {})?;
        writer.wait_for(2000)?;
        writer.kill()?;
        let (_, bounds) = writer.finish()?;
        let copy = workspace.dir("looked at")?.join("store");
        copy_to(&store, &copy)?;
        Ok(Self { size: check(&copy, bounds)?, store })
    }
}

fn copy_to(store: &Path, copy: &Path) -> Result<()> {
    tool("cp", &["-r", text(store)?, text(copy)?]).map(drop)
}

/// One run; returns how many calls failed.
fn one(
    inject: &str,
    call: &str,
    found: Option<&Left>,
    seed: u64,
    asked: &Asked,
    workspace: &Workspace,
    tally: &Tally,
) -> Result<u64> {
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
    let feed = Feed { first: found.map_or(0, |left| left.size), most: 400, seed };
    if let Some(left) = found {
        copy_to(&left.store, &store)?;
    }
    let ended = Writer::start(&command, &store, feed, |_| {})?.finish();
    let lines = std::fs::read_to_string(&trace).unwrap_or_default();
    let injected = lines.lines().filter(|line| line.contains("(INJECTED)")).count() as u64
        + u64::from(inject.contains("KILL") && lines.contains("+++ killed by SIGKILL"));
    if injected == 0 {
        tally.count("runs without the call", 1);
        return Ok(0);
    }
    tally.count(if found.is_some() { "recoveries" } else { "runs" }, 1);
    tally.count("injected errors", injected);
    let begun = if found.is_some() { "recovering" } else { "new" };
    let found = |what: String| tally.found(format!("{inject}, {begun}, seed {seed}: {what}"));
    match ended {
        Ok((status, bounds)) => {
            // What is interrupted goes on. Where a program is started, others are responsible.
            let in_store = |line: &str| line.contains(&store.display().to_string());
            let mut hits = lines.lines().filter(|line| line.contains("(INJECTED)"));
            if inject.contains("EINTR") && hits.all(in_store) {
                tally.count("interrupted calls that went on", injected);
                if !status.success() || bounds.acked < bounds.submitted {
                    found(format!("{status} after {bounds:?}"));
                }
            }
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
