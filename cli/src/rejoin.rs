//! `duramen remote rejoin`: a machine whose store another one has gone on with in the bucket.
//!
//! # Invariants
//!
//! - Nothing of the directory is lost: the leaves that the bucket does not have are in a file, which is durable before the
//!   directory is renamed, and the directory stays under another name.
//! - Nothing is changed in the bucket, and no writer is fenced.
//! - Until the directory is renamed, a failure leaves it as it was. No other directory is renamed that has taken its place
//!   while the bucket was read, and a signal does not end the program between the two renames.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use duramen::inspect::{Printable, count};
use duramen::{Config, ReadMode, Snapshot, StoreReader};
use duramen_remote::Remote;
use serde::Serialize;

use crate::args::RemoteRejoinArgs;
use crate::entries::{Data, json};
use crate::error::{Error, name_of};
use crate::output::{self, Written};
use crate::remote::id;
use crate::{signals, store};

#[derive(Serialize)]
struct RejoinedJson {
    orphans: u64,
    kept: String,
    seq: u64,
}

/// Writes what the bucket does not have to a file, and puts what the bucket has in the directory's place.
pub(crate) fn run(args: &RemoteRejoinArgs) -> Result<(), Error> {
    let dir = fs::canonicalize(&args.dir).map_err(|source| cannot_write(&args.dir, source))?;
    let (kept, fresh) = (beside(&dir, ".superseded"), beside(&dir, ".rejoin"));
    if fs::symlink_metadata(&kept).is_ok() {
        return Err(Error::Usage(format!(
            "{} is there from an earlier time: move it elsewhere first",
            Printable::new(&kept)
        )));
    }
    let remote = Remote::new(&args.url)?;
    // No writer has it meanwhile.
    let store = store::open_existing(&dir, args.lock)?;
    let opened = identity(&dir)?;
    store.flush()?;
    let old = read(&dir)?;
    let (own, found) = (old.store_id(), id(&remote.status()?.store));
    if own != found {
        return Err(duramen_remote::Error::OtherStore { expected: own, found }.into());
    }
    let restored = remote.restore(&fresh)?;
    let new = read(&fresh)?;
    let mut orphans = 0;
    output::stream(Some(&args.orphans), |out| {
        orphans = write_orphans(&old, &new, out)?;
        Ok(())
    })?;
    drop((old, new));
    store.close()?;
    signals::hold(|| exchange(&dir, opened, &kept, &fresh))?;
    let (kept, seq) = (name_of(&kept), restored.seq);
    if args.json {
        let json = RejoinedJson { orphans, kept, seq };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    output::print(&format!(
        "{} that the bucket does not have, in {}\nthe directory as it was is {kept}\nthe directory has {}\n",
        count(orphans, "leaf", "leaves"),
        name_of(&args.orphans),
        count(seq, "record", "records"),
    ))
}

/// Gives the directory `dir` the name `kept`, and `fresh` its own.
fn exchange(dir: &Path, opened: (u64, u64), kept: &Path, fresh: &Path) -> Result<(), Error> {
    let taken = |path| Err(cannot_write(path, std::io::ErrorKind::AlreadyExists.into()));
    if identity(dir)? != opened {
        return taken(dir);
    }
    if fs::symlink_metadata(kept).is_ok() {
        return taken(kept);
    }
    fs::rename(dir, kept)
        .and_then(|()| fs::rename(fresh, dir))
        .and_then(|()| File::open(dir.parent().unwrap_or(dir))?.sync_all())
        .map_err(|source| cannot_write(dir, source))
}

/// What tells the directory at `dir` from others.
fn identity(dir: &Path) -> Result<(u64, u64), Error> {
    let found = fs::metadata(dir).map_err(|source| cannot_write(dir, source))?;
    Ok((found.dev(), found.ino()))
}

fn cannot_write(path: &Path, source: std::io::Error) -> Error {
    Error::Write { name: name_of(path), source }
}

/// The path with something behind its last name.
fn beside(dir: &Path, end: &str) -> PathBuf {
    let mut name: OsString = dir.into();
    name.push(end);
    name.into()
}

fn read(dir: &Path) -> Result<StoreReader, Error> {
    Ok(StoreReader::open(Config::new(dir).read_mode(ReadMode::Pread))?)
}

/// Writes the leaves that `old` has and `new` does not. Returns how many they are.
fn write_orphans(
    old: &StoreReader,
    new: &StoreReader,
    out: &mut dyn Write,
) -> Result<u64, output::Broken> {
    let known: Vec<_> = new.trees()?.into_iter().map(|tree| tree.name).collect();
    let mut orphans = 0;
    for info in old.trees()? {
        let ours = old.tree(&info.name)?;
        let theirs = known.contains(&info.name).then(|| new.tree(&info.name)).transpose()?;
        let common = match &theirs {
            Some(theirs) => common_leaves(&ours, theirs)?,
            None => 0,
        };
        let (from, to) = (common.max(ours.base().get()), ours.size().get());
        write_leaves(&ours, info.entries.is_some(), from..to, out)?;
        orphans += to - from;
    }
    Ok(orphans)
}

/// How many leaves two trees are known to have in common, from the first on.
fn common_leaves(ours: &Snapshot, theirs: &Snapshot) -> Result<u64, duramen::Error> {
    if ours.hasher().id() != theirs.hasher().id() || ours.arity() != theirs.arity() {
        return Ok(0);
    }
    // Equal roots have equal leaves.
    let is_common =
        |size: u64| Ok::<_, duramen::Error>(ours.head_at(size)?.root == theirs.head_at(size)?.root);
    let mut low = ours.base().max(theirs.base()).get();
    let mut high = ours.size().min(theirs.size()).get();
    if low > high || !is_common(low)? {
        return Ok(0);
    }
    if is_common(high)? {
        return Ok(high);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match is_common(middle)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(low)
}

/// Writes leaves as lines of JSON, as `entries --format jsonl` does, each with the name of its tree.
fn write_leaves(
    tree: &Snapshot,
    has_entries: bool,
    range: std::ops::Range<u64>,
    out: &mut dyn Write,
) -> Written {
    let name = output::to_json(&tree.name().to_string(), false)?;
    let mut leaves = tree.leaves_iter(range.clone())?;
    let mut write = |index: u64, data: Data<'_>| -> Written {
        let Some(leaf) = leaves.next() else { return Ok(()) };
        let line = json(index, &leaf?, data)?;
        let line = line.strip_prefix('{').unwrap_or(&line);
        Ok(writeln!(out, "{{\"tree\":{name},{line}")?)
    };
    if !has_entries {
        for index in range {
            write(index, Data::None)?;
        }
        return Ok(());
    }
    let mut entries = tree.entries(range)?;
    loop {
        let written =
            entries.try_visit(|index, entry| match write(index.get(), Data::Entry(entry)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(broken) => ControlFlow::Break(broken),
            });
        match written {
            Ok(ControlFlow::Continue(())) => return Ok(()),
            Ok(ControlFlow::Break(broken)) => return Err(broken),
            // The iterator goes on behind it.
            Err(duramen::Error::Erased { index, at }) => write(index.get(), Data::Erased(at))?,
            Err(error) => return Err(error.into()),
        }
    }
}
