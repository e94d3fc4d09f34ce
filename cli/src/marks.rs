//! `duramen mark` and `duramen marks`.

use duramen::inspect::{Printable, count};
use duramen::{Config, MarkInfo, StoreReader};
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
    let done = match args.drop {
        true => store.drop_mark(&args.mark)?,
        false => store.mark(&args.mark)?,
    };
    store.flush()?;
    done.wait()?;
    let after = store.marks()?;
    store.close()?;
    let (there, what) = if args.drop { (&before, "removed") } else { (&after, "set") };
    let mark = there.iter().find(|mark| mark.name == args.mark).map(text).unwrap_or_default();
    let left = count(after.len(), "mark", "marks");
    output::print(&format!("{what}: {mark}the store has {left}\n"))
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
