//! `duramen checkpoint`: a checkpoint of a store that no process has open.

use duramen::CheckpointInfo;
use duramen::inspect::{Printable, count};
use serde::Serialize;

use crate::args::StoreCheckpointArgs;
use crate::error::Error;
use crate::{output, store};

#[derive(Serialize)]
struct CheckpointJson {
    trees: Vec<TreeJson>,
    leaves: u64,
    bytes: u64,
    seconds: f64,
}

/// A tree with new leaves.
#[derive(Serialize)]
struct TreeJson {
    tree: String,
    size: u64,
    leaves: u64,
    bytes: u64,
}

/// Writes what the log has into parts, and returns when that is durable.
pub(crate) fn run(args: &StoreCheckpointArgs) -> Result<(), Error> {
    let store = store::open_existing(&args.dir, args.lock)?;
    let info = store.checkpoint()?;
    store.close()?;
    match args.json {
        true => output::print(&format!("{}\n", output::to_json(&json(&info), false)?)),
        false => output::print(&text(&info)),
    }
}

fn json(info: &CheckpointInfo) -> CheckpointJson {
    let tree = |tree: &duramen::TreeCheckpoint| TreeJson {
        tree: tree.tree.to_string(),
        size: tree.size.get(),
        leaves: tree.leaves,
        bytes: tree.bytes,
    };
    CheckpointJson {
        trees: info.trees.iter().map(tree).collect(),
        leaves: info.leaves,
        bytes: info.bytes,
        seconds: info.duration.as_secs_f64(),
    }
}

fn text(info: &CheckpointInfo) -> String {
    let tree = |tree: &duramen::TreeCheckpoint| {
        let (name, leaves) =
            (Printable::new(tree.tree.as_str()), count(tree.leaves, "leaf", "leaves"));
        format!("{name}: {leaves} written, size {}\n", tree.size)
    };
    let trees: String = info.trees.iter().map(tree).collect();
    let bytes = count(info.bytes, "byte", "bytes");
    format!("{trees}{} in {bytes}\n", count(info.leaves, "leaf", "leaves"))
}
