//! `duramen trees`, `duramen seal` and `duramen drop-tree`.

use duramen::inspect::{Printable, count};
use duramen::{Compression, Config, EntryConfig, StoreReader, TreeInfo};
use serde::Serialize;

use crate::args::{DropTreeArgs, SealArgs, TreesArgs};
use crate::error::Error;
use crate::{output, store};

#[derive(Serialize)]
struct TreesJson {
    store: String,
    trees: Vec<TreeJson>,
}

#[derive(Serialize)]
pub(crate) struct TreeJson {
    name: String,
    id: u32,
    hasher: String,
    arity: usize,
    entries: Option<EntriesJson>,
    size: u64,
    /// The first leaf that was not pruned.
    base: u64,
    durable_size: u64,
    sealed: bool,
    indexed: bool,
    erased: u64,
    parts: u64,
    part_bytes: u64,
}

#[derive(Serialize)]
struct EntriesJson {
    longest: u32,
    /// The level of zstd.
    compress: Option<u8>,
}

/// Prints what trees a store has.
pub(crate) fn list(args: &TreesArgs) -> Result<(), Error> {
    let store = StoreReader::open(Config::new(&args.dir))?;
    let trees = store.trees()?;
    if args.json {
        let trees = trees.iter().map(json).collect();
        let json = TreesJson { store: store.store_id(), trees };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    output::print(&trees.iter().map(text).collect::<String>())
}

/// A tree as JSON.
pub(crate) fn json(tree: &TreeInfo) -> TreeJson {
    TreeJson {
        name: tree.name.to_string(),
        id: tree.id,
        hasher: tree.hasher.clone(),
        arity: tree.arity.children(),
        entries: tree.entries.map(entries_json),
        size: tree.size.get(),
        base: tree.base.get(),
        durable_size: tree.durable_size.get(),
        sealed: tree.sealed,
        indexed: tree.indexed,
        erased: tree.erased,
        parts: tree.parts,
        part_bytes: tree.part_bytes,
    }
}

fn entries_json(entries: EntryConfig) -> EntriesJson {
    let compress = match entries.stored() {
        Compression::Zstd { level, .. } => Some(level),
        _ => None,
    };
    EntriesJson { longest: entries.longest_bytes(), compress }
}

/// A tree in a line.
pub(crate) fn text(tree: &TreeInfo) -> String {
    let TreeInfo { name, hasher, arity, entries, size, sealed, indexed, erased, .. } = tree;
    let leaves = count(size.get(), "leaf", "leaves");
    let sealed = if *sealed { ", sealed" } else { "" };
    let indexed = if *indexed { ", indexed" } else { "" };
    let entries = entries.map_or_else(String::new, |entries| format!(", {entries}"));
    let erased = match erased {
        0 => String::new(),
        some => format!(", {} erased", count(*some, "entry", "entries")),
    };
    let name = Printable::new(name.as_str());
    let pruned = match tree.base.get() {
        0 => String::new(),
        base => format!(", pruned below {base}"),
    };
    format!("{name}: {leaves}, {hasher}, arity {arity}{entries}{erased}{pruned}{indexed}{sealed}\n")
}

/// Seals a tree, and returns when that is durable.
pub(crate) fn seal(args: &SealArgs) -> Result<(), Error> {
    let store = store::open_existing(&args.dir, args.lock)?;
    let sealed = store.seal(&args.tree)?;
    store.flush()?;
    sealed.wait()?;
    Ok(store.close()?)
}

/// Drops a tree, and returns when that is durable and its space is free.
pub(crate) fn drop_tree(args: &DropTreeArgs) -> Result<(), Error> {
    if !args.yes {
        let store = StoreReader::open(Config::new(&args.dir))?;
        let trees = store.trees()?;
        let tree = trees.iter().find(|tree| tree.name == args.tree);
        let what = tree.map(text).unwrap_or_default();
        if tree.is_none() {
            store.tree(&args.tree)?;
        }
        return Err(Error::Usage(format!(
            "nothing was dropped: add --yes to drop the tree {}",
            what.trim_end()
        )));
    }
    let store = store::open_existing(&args.dir, args.lock)?;
    let dropped = store.drop_tree(&args.tree)?;
    store.checkpoint()?;
    dropped.wait()?;
    Ok(store.close()?)
}
