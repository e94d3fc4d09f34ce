//! `duramen mark` and `duramen marks`.

use duramen::inspect::{Printable, count};
use duramen::{Config, DurabilityToken, MarkInfo, MarkName, Store, StoreReader, TreeName};
use serde::Serialize;

use crate::args::{MarkArgs, MarksArgs};
use crate::error::Error;
use crate::{output, store};

#[derive(Serialize)]
struct MarksJson {
    store: String,
    marks: Vec<MarkJson>,
}

#[derive(Serialize)]
struct MarkJson {
    name: String,
    trees: Vec<SizeJson>,
}

#[derive(Serialize)]
struct SizeJson {
    name: String,
    size: u64,
}

/// Sets a mark or removes one, and returns when that is durable.
pub(crate) fn set(args: &MarkArgs) -> Result<(), Error> {
    let store = store::open_existing(&args.dir, args.lock)?;
    let before = store.marks()?;
    let gone = match args.drop {
        true => store.drop_mark(&args.mark).map(|done| (done, Vec::new())),
        false => mark(&store, args, &before),
    };
    let (done, gone) = gone?;
    store.flush()?;
    done.wait()?;
    let after = store.marks()?;
    store.close()?;
    let (there, what) = if args.drop { (&before, "removed") } else { (&after, "set") };
    let mark = there.iter().find(|mark| mark.name == args.mark).map(text).unwrap_or_default();
    let left = count(after.len(), "mark", "marks");
    let gone: String = gone.iter().map(|mark| format!("removed: {}", text(mark))).collect();
    output::print(&format!("{gone}{what}: {mark}the store has {left}\n"))
}

/// Sets a mark, and removes the oldest ones if there are more than are to be kept. Returns those that go.
fn mark(
    store: &Store,
    args: &MarkArgs,
    before: &[MarkInfo],
) -> Result<(DurabilityToken, Vec<MarkInfo>), duramen::Error> {
    let keep = args.keep.and_then(|marks| usize::try_from(marks).ok()).unwrap_or(usize::MAX);
    let gone = match before.iter().any(|mark| mark.name == args.mark) {
        // It is refused below, and nothing goes.
        true => &[],
        false => &before[..(before.len() + 1).saturating_sub(keep)],
    };
    for mark in gone {
        drop(store.drop_mark(&mark.name)?);
    }
    Ok((store.mark(&args.mark)?, gone.to_vec()))
}

/// The size that a command is asked about: that of the tree at a mark, or `size`.
pub(crate) fn size(
    reader: &StoreReader,
    tree: &TreeName,
    mark: Option<&MarkName>,
    size: Option<u64>,
) -> Result<Option<u64>, Error> {
    let Some(mark) = mark else { return Ok(size) };
    Ok(Some(reader.tree_at(mark, tree)?.size().get()))
}

/// Prints what marks a store has.
pub(crate) fn list(args: &MarksArgs) -> Result<(), Error> {
    let store = StoreReader::open(Config::new(&args.dir))?;
    let marks = store.marks()?;
    if args.json {
        let marks = marks.iter().map(json).collect();
        let json = MarksJson { store: store.store_id(), marks };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    output::print(&marks.iter().map(text).collect::<String>())
}

fn json(mark: &MarkInfo) -> MarkJson {
    let size = |(name, size): &(duramen::TreeName, duramen::TreeSize)| SizeJson {
        name: name.to_string(),
        size: size.get(),
    };
    MarkJson { name: mark.name.to_string(), trees: mark.trees.iter().map(size).collect() }
}

/// A mark in a line.
fn text(mark: &MarkInfo) -> String {
    let size = |(name, size): &(duramen::TreeName, duramen::TreeSize)| {
        format!("{} {}", Printable::new(name.as_str()), count(size.get(), "leaf", "leaves"))
    };
    let trees: Vec<_> = mark.trees.iter().map(size).collect();
    let trees = if trees.is_empty() { "no trees".to_owned() } else { trees.join(", ") };
    format!("{}: {trees}\n", Printable::new(mark.name.as_str()))
}
