//! `duramen begin`: a tree that goes on behind the frontier of another one.

use duramen::{Arity, Config, EntryConfig, Frontier, TreeConfig, TreeSize};
use serde::Deserialize;

use crate::args::{BeginArgs, HasherName};
use crate::error::{Error, Refusal};
use crate::{hex, input, memory, output, store};

/// More than any frontier takes as JSON.
const MAX_FRONTIER: u64 = 1 << 16;

/// As `frontier --json` prints it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontierJson {
    hasher: String,
    arity: usize,
    size: u64,
    root: String,
    nodes: Vec<String>,
}

/// Creates the tree and prints its head.
pub(crate) fn run(args: &BeginArgs) -> Result<(), Error> {
    let (name, bytes) = input::read_all(&args.file, MAX_FRONTIER)?;
    let wrong = |why: String| Error::Usage(format!("{name} is not a frontier: {why}"));
    let read: FrontierJson =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let hasher = HasherName::known(&read.hasher).map_err(wrong)?.hasher();
    let arity =
        Arity::new(read.arity).ok_or_else(|| wrong(format!("no tree has arity {}", read.arity)))?;
    let hash = |what: &str, digits: &String| {
        let hash = hex::decode(digits.as_bytes());
        hash.ok_or_else(|| wrong(format!("{what} is not 64 hexadecimal digits")))
    };
    let nodes = read.nodes.iter().map(|node| hash("a node", node)).collect::<Result<_, _>>()?;
    let stated = hash("the root", &read.root)?;
    let frontier = Frontier::from_nodes(arity, TreeSize(read.size), nodes)
        .map_err(|error| wrong(error.to_string()))?;
    let computed = frontier.head(&*hasher).root;
    if computed != stated {
        let (size, stated, computed) = (read.size, hex::encode(&stated), hex::encode(&computed));
        return Err(Error::Refused { reason: Refusal::OtherRoot { size, stated, computed } });
    }
    let mut tree = TreeConfig::new(hasher, arity).begun_behind(frontier)?;
    if args.entries {
        let longest = args.longest.map(|bytes| EntryConfig::new().longest(bytes)).transpose()?;
        tree = tree.entries(longest.unwrap_or_default());
    }
    let config = memory::bounded(Config::new(&args.dir), None)?;
    let store = store::open(&config, args.lock)?;
    let tree = store.tree_dyn(&args.tree, tree)?;
    tree.created().wait()?;
    let head = tree.head()?;
    drop(tree);
    store.close()?;
    output::print_head(&head, args.json)
}
