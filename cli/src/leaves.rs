//! `duramen leaves` and `duramen frontier`.

use std::io::{BufWriter, Write};

use duramen::{Config, ReadMode, StoreReader};
use serde::Serialize;

use crate::args::{FrontierArgs, LeavesArgs, LeavesFormat};
use crate::error::Error;
use crate::output::{self, cannot_print};
use crate::{hex, store};

/// How much is printed at once.
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Serialize)]
struct LeafJson {
    index: u64,
    leaf: String,
}

#[derive(Serialize)]
struct FrontierJson {
    hasher: String,
    arity: usize,
    size: u64,
    root: String,
    /// From left to right.
    nodes: Vec<String>,
}

/// Prints the leaves of a range.
pub(crate) fn run(args: &LeavesArgs) -> Result<(), Error> {
    if args.format == LeavesFormat::Raw {
        output::refuse_terminal(None)?;
    }
    // Without mapping: every page of a mapped part that was read would count as memory of the program.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let tree = StoreReader::open(config)?.tree(&args.tree)?;
    let from = args.range.0.unwrap_or(0);
    // A range that begins beyond the size is refused with its beginning.
    let to = args.range.1.unwrap_or_else(|| tree.size().get().max(from));
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, output::StandardOutput);
    for (index, leaf) in (from..).zip(tree.leaves_iter(from..to)?) {
        let printed = match (leaf, args.format) {
            // What could be read before an error is printed.
            (Err(error), _) => {
                out.flush().map_err(cannot_print)?;
                return Err(error.into());
            }
            (Ok(leaf), LeavesFormat::Raw) => out.write_all(&leaf),
            (Ok(leaf), LeavesFormat::Hex) => writeln!(out, "{}", hex::encode(&leaf)),
            (Ok(leaf), LeavesFormat::Jsonl) => {
                let json = LeafJson { index, leaf: hex::encode(&leaf) };
                writeln!(out, "{}", output::to_json(&json, false)?)
            }
        };
        printed.map_err(cannot_print)?;
    }
    out.flush().map_err(cannot_print)
}

/// Prints the complete nodes at the right edge of a tree.
pub(crate) fn frontier(args: &FrontierArgs) -> Result<(), Error> {
    let tree = store::read(&args.dir, &args.tree)?;
    let head = match args.size {
        Some(size) => tree.head_at(size)?,
        None => tree.head()?,
    };
    let frontier = tree.frontier_at(head.size)?;
    let (size, root) = (head.size.get(), hex::encode(&head.root));
    let nodes: Vec<String> = frontier.nodes().iter().map(hex::encode).collect();
    if args.json {
        let (hasher, arity) = (tree.hasher().id().to_string(), tree.arity().children());
        let json = FrontierJson { hasher, arity, size, root, nodes };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    let nodes: String = nodes.iter().map(|node| format!("node {node}\n")).collect();
    output::print(&format!("size {size}\nroot {root}\n{nodes}"))
}
