//! `duramen prune`.

use duramen::inspect::{Printable, count};
use duramen::{Config, PruneInfo, StoreReader, TreeInfo, TreeSize};

use crate::args::PruneArgs;
use crate::error::Error;
use crate::{output, store};

/// Prunes a tree, and returns when that is durable.
pub(crate) fn run(args: &PruneArgs) -> Result<(), Error> {
    if !args.yes {
        let would = would(args)?;
        return Err(Error::Usage(format!("--yes would prune {would}")));
    }
    let store = store::open_existing(&args.dir, args.lock)?;
    let done = store.existing_tree(&args.tree)?.prune(args.below)?;
    store.close()?;
    output::print(&text(&done))
}

/// What would be dropped. Changes nothing.
fn would(args: &PruneArgs) -> Result<String, Error> {
    let store = StoreReader::open(Config::new(&args.dir))?;
    // Fails if there is no such tree.
    store.tree(&args.tree)?;
    let trees = store.trees()?;
    let tree = trees.iter().find(|tree| tree.name == args.tree);
    let nothing = || "nothing".to_owned();
    let Some(TreeInfo { name, base, size, part_bytes, .. }) = tree else { return Ok(nothing()) };
    if args.below > size.get() {
        let (size, current) = (TreeSize(args.below), *size);
        return Err(duramen::Error::SizeOutOfRange { size, current }.into());
    }
    if args.below <= base.get() {
        return Ok(nothing());
    }
    let name = Printable::new(name.as_str());
    let gone = count(args.below - base.get(), "leaf", "leaves");
    let left = count(size.get() - args.below, "leaf", "leaves");
    let bytes = count(*part_bytes, "byte", "bytes");
    Ok(format!("{name}: {gone} from {base} on, and leave {left}. Its parts have {bytes}"))
}

fn text(done: &PruneInfo) -> String {
    let PruneInfo { tree, before, base, size, bytes_before, bytes, .. } = done;
    let name = Printable::new(tree.as_str());
    let left = count(size.get() - base.get(), "leaf", "leaves");
    format!(
        "{name}: {left} from {base} on, before from {before} on\nparts: {}, before {bytes_before}\n",
        count(*bytes, "byte", "bytes")
    )
}
