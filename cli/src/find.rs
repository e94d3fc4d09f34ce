//! `duramen find` and `duramen index`.

use duramen::{Error as StoreError, Hash, LeafIndex, Snapshot};
use serde::Serialize;

use crate::args::{FindArgs, IndexArgs};
use crate::error::{Error, Refusal};
use crate::{hex, input, output, store};

#[derive(Serialize)]
struct FoundJson {
    leaf: String,
    /// Rising.
    indexes: Vec<u64>,
}

/// Prints where a leaf is.
pub(crate) fn find(args: &FindArgs) -> Result<(), Error> {
    let tree = store::read(&args.dir, &args.tree)?;
    let leaf = match (&args.leaf, &args.data) {
        (Some(leaf), _) => *leaf,
        (None, Some(file)) => input::leaf(file, tree.hasher())?,
        (None, None) => return Err(Error::Usage("neither a leaf nor --data is given".to_owned())),
    };
    let found = match args.all {
        true => all(&tree, &leaf)?,
        false => first(&tree, &leaf)?.into_iter().collect(),
    };
    if args.json {
        let indexes = found.iter().map(|index| index.get()).collect();
        let json = FoundJson { leaf: hex::encode(&leaf), indexes };
        output::print(&format!("{}\n", output::to_json(&json, false)?))?;
    } else {
        output::print(&found.iter().map(|index| format!("{index}\n")).collect::<String>())?;
    }
    if found.is_empty() {
        let (leaf, tree) = (hex::encode(&leaf), args.tree.to_string());
        return Err(Error::Refused { reason: Refusal::NoLeaf { leaf, tree } });
    }
    Ok(())
}

/// The first leaf that is equal. Without an index every leaf is read.
fn first(tree: &Snapshot, leaf: &Hash) -> Result<Option<LeafIndex>, Error> {
    match tree.find(leaf) {
        Err(StoreError::NoIndex { .. }) => Ok(search(tree, leaf, 1)?.first().copied()),
        found => Ok(found?),
    }
}

fn all(tree: &Snapshot, leaf: &Hash) -> Result<Vec<LeafIndex>, Error> {
    match tree.find_all(leaf) {
        Err(StoreError::NoIndex { .. }) => search(tree, leaf, usize::MAX),
        found => Ok(found?.collect::<Result<_, _>>()?),
    }
}

fn search(tree: &Snapshot, leaf: &Hash, most: usize) -> Result<Vec<LeafIndex>, Error> {
    let mut found = Vec::new();
    for (index, other) in (0..).zip(tree.leaves_iter(0..tree.size().get())?) {
        if other? == *leaf {
            found.push(LeafIndex(index));
            if found.len() == most {
                break;
            }
        }
    }
    Ok(found)
}

/// Gives a tree an index, and returns when it is durable and written.
pub(crate) fn index(args: &IndexArgs) -> Result<(), Error> {
    let store = store::open_existing(&args.dir, args.lock)?;
    let tree = store.existing_tree(&args.tree)?;
    let added = tree.add_index()?;
    tree.flush()?;
    added.wait()?;
    tree.build_index()?;
    Ok(store.close()?)
}
