//! `duramen erase` and `duramen compact`.

use std::ops::Range;
use std::time::SystemTime;

use duramen::inspect::{Printable, count, utc};
use duramen::{Compact, CompactInfo, Erasure, LeafIndex, TreeName};
use serde::Serialize;

use crate::args::{CompactArgs, EraseArgs};
use crate::error::Error;
use crate::{output, store};

#[derive(Serialize)]
struct ErasuresJson<'a> {
    tree: &'a str,
    erasures: Vec<ErasureJson<'a>>,
}

#[derive(Serialize)]
struct ErasureJson<'a> {
    at: String,
    reason: &'a str,
    entries: u64,
    ranges: Vec<RangeJson>,
}

#[derive(Serialize)]
struct RangeJson {
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct ErasedJson {
    erased: u64,
}

#[derive(Serialize)]
struct CompactJson {
    parts: u64,
    bytes_read: u64,
    bytes_wiped: u64,
    pinned_files: u64,
    pinned_bytes: u64,
    seconds: f64,
}

/// Erases entries, and returns when that is durable. Or lists what is erased.
pub(crate) fn run(args: &EraseArgs) -> Result<(), Error> {
    if args.list {
        return list(args);
    }
    if !args.yes {
        return Err(would_erase(args)?);
    }
    let store = store::open_existing(&args.dir, args.lock)?;
    let tree = store.existing_tree(&args.tree)?;
    let before = entries_of(&tree.erasures()?);
    let token = tree.erase(args.ranges.clone(), args.reason.as_deref().unwrap_or_default())?;
    store.flush()?;
    token.wait()?;
    let erased = entries_of(&tree.erasures()?) - before;
    drop(tree);
    store.close()?;
    if args.json {
        return output::print(&format!("{}\n", output::to_json(&ErasedJson { erased }, false)?));
    }
    let entries = count(erased, "entry", "entries");
    output::print(&format!("erased {entries}; duramen compact removes the data from the files\n"))
}

/// What the command would do. Fails as it would.
fn would_erase(args: &EraseArgs) -> Result<Error, Error> {
    let tree = store::read(&args.dir, &args.tree)?;
    let (size, end) = (tree.size(), args.ranges.iter().map(|range| range.end).max());
    // A tree that keeps no entries is refused here.
    drop(tree.entries(0..0)?);
    if let Some(last) = end.filter(|end| *end > size.get()).map(|end| end - 1) {
        return Err(duramen::Error::IndexOutOfRange { index: LeafIndex(last), size }.into());
    }
    let erased = tree.erasures()?;
    let is_erased = |index: &u64| {
        erased.iter().flat_map(|erasure| &erasure.ranges).any(|range| range.contains(index))
    };
    let mut ranges = args.ranges.clone();
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut from, mut fresh) = (0, 0);
    for range in &ranges {
        let new = range.start.max(from)..range.end;
        from = from.max(range.end);
        fresh += match erased.is_empty() {
            true => new.end.saturating_sub(new.start),
            false => new.filter(|index| !is_erased(index)).count() as u64,
        };
    }
    let (fresh, name) = (count(fresh, "entry", "entries"), Printable::new(args.tree.as_str()));
    Ok(Error::Usage(format!("--yes would erase {fresh} of {name}, which nothing brings back")))
}

fn entries_of(erasures: &[Erasure]) -> u64 {
    erasures.iter().map(Erasure::entries).sum()
}

fn list(args: &EraseArgs) -> Result<(), Error> {
    let tree = store::read(&args.dir, &args.tree)?;
    drop(tree.entries(0..0)?);
    let erasures = tree.erasures()?;
    if args.json {
        let json = json(&args.tree, &erasures);
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    output::print(&erasures.iter().map(text).collect::<String>())
}

fn json<'a>(tree: &'a TreeName, erasures: &'a [Erasure]) -> ErasuresJson<'a> {
    let range = |range: &Range<u64>| RangeJson { from: range.start, to: range.end };
    let erasure = |erasure: &'a Erasure| ErasureJson {
        at: moment(erasure.at),
        reason: &erasure.reason,
        entries: erasure.entries(),
        ranges: erasure.ranges.iter().map(range).collect(),
    };
    ErasuresJson { tree: tree.as_str(), erasures: erasures.iter().map(erasure).collect() }
}

fn text(erasure: &Erasure) -> String {
    let range = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{}-{}", range.start, range.end - 1),
    };
    let ranges: Vec<_> = erasure.ranges.iter().map(range).collect();
    let (at, entries) = (moment(erasure.at), count(erasure.entries(), "entry", "entries"));
    let reason = match &erasure.reason[..] {
        "" => String::new(),
        reason => format!(": {}", Printable::new(reason)),
    };
    format!("{at} {entries} {}{reason}\n", ranges.join(" "))
}

/// A moment as it is printed.
pub(crate) fn moment(at: SystemTime) -> String {
    utc(at).to_string()
}

/// Removes the data of erased entries from all files of a store.
pub(crate) fn compact(args: &CompactArgs) -> Result<(), Error> {
    let store = store::open_existing(&args.dir, args.lock)?;
    let info = store.compact(Compact::new().full(args.full))?;
    store.close()?;
    let text = match args.json {
        true => format!("{}\n", output::to_json(&compact_json(&info), false)?),
        false => compact_text(&info),
    };
    output::print(&text)?;
    match info.pinned_files {
        0 => Ok(()),
        files => Err(Error::Pinned { files }),
    }
}

fn compact_json(info: &CompactInfo) -> CompactJson {
    CompactJson {
        parts: info.parts,
        bytes_read: info.bytes_read,
        bytes_wiped: info.bytes_wiped,
        pinned_files: info.pinned_files,
        pinned_bytes: info.pinned_bytes,
        seconds: info.duration.as_secs_f64(),
    }
}

fn compact_text(info: &CompactInfo) -> String {
    let (parts, read) =
        (count(info.parts, "part", "parts"), count(info.bytes_read, "byte", "bytes"));
    let wiped = count(info.bytes_wiped, "byte", "bytes");
    format!("{parts} of {read} written again, {wiped} wiped\n")
}
