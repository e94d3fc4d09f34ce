//! `duramen rewind`.

use duramen::inspect::{Printable, count};
use duramen::{Config, RewindInfo, StoreReader, TreeName, TreeSize};

use crate::args::RewindArgs;
use crate::error::Error;
use crate::{output, store};

/// Rewinds a tree, or all trees to a mark, and returns when that is durable.
pub(crate) fn run(args: &RewindArgs) -> Result<(), Error> {
    if !args.yes {
        let would = would(args)?;
        return Err(Error::Usage(format!("--yes would rewind {would}")));
    }
    let store = store::open_existing(&args.dir, args.lock)?;
    let done = match (&args.mark, args.size) {
        (Some(mark), _) => store.rewind_to(mark)?,
        (None, size) => store.existing_tree(&args.tree)?.rewind(size.unwrap_or_default())?,
    };
    store.close()?;
    output::print(&text(&done))
}

/// What would be dropped. Changes nothing.
fn would(args: &RewindArgs) -> Result<String, Error> {
    let store = StoreReader::open(Config::new(&args.dir))?;
    let trees = store.trees()?;
    let mut all = Vec::new();
    if let Some(mark) = &args.mark {
        let found = store.marks()?.into_iter().find(|known| known.name == *mark);
        let found = found.ok_or_else(|| duramen::Error::NoMark { mark: mark.clone() })?;
        for tree in trees {
            let then = found.trees.iter().find(|(name, _)| *name == tree.name);
            let size = then.map_or(TreeSize(0), |(_, size)| *size);
            if size < tree.size {
                all.push(line(&tree.name, tree.size, size));
            }
        }
    } else {
        let (tree, size) = (store.tree(&args.tree)?.size(), args.size.unwrap_or_default());
        if size > tree.get() {
            let (size, current) = (TreeSize(size), tree);
            return Err(duramen::Error::SizeOutOfRange { size, current }.into());
        }
        all.push(line(&args.tree, tree, TreeSize(size)));
    }
    Ok(if all.is_empty() { "nothing".to_owned() } else { all.join(", ") })
}

fn line(name: &TreeName, before: TreeSize, after: TreeSize) -> String {
    let name = Printable::new(name.as_str());
    format!("{name} from {} to {}", count(before.get(), "leaf", "leaves"), after.get())
}

fn text(done: &RewindInfo) -> String {
    let tree =
        |tree: &duramen::TreeRewind| format!("{}\n", line(&tree.tree, tree.before, tree.after));
    let mut text: String = done.trees.iter().map(tree).collect();
    for mark in &done.marks {
        text += &format!("the mark {} is gone\n", Printable::new(mark.as_str()));
    }
    text
}
