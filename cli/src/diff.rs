//! `duramen diff`: whether two stores have the same history.
//!
//! # Invariant
//!
//! Two trees of one hash function and one arity have equal roots at a size if, and only if, all their leaves below it are
//! equal. So the common prefix is found by halving, and reads a few nodes of each.

use std::collections::BTreeSet;
use std::path::Path;

use duramen::inspect::{Printable, count};
use duramen::{Config, ReadMode, Snapshot, StoreReader, TreeInfo, TreeName};
use serde::Serialize;

use crate::args::DiffArgs;
use crate::error::{Error, Refusal};
use crate::output;

#[derive(Serialize)]
struct DiffJson {
    /// The ids of the stores.
    stores: [String; 2],
    same_store: bool,
    trees: Vec<TreeDiff>,
}

/// What two stores have of one tree.
#[derive(Serialize)]
struct TreeDiff {
    tree: String,
    /// The sizes of the tree. `None` where a store does not have it.
    sizes: [Option<u64>; 2],
    /// How many leaves are equal, from the first on. `None` if the trees cannot be compared.
    common: Option<u64>,
    relation: Relation,
}

/// What the two trees are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Relation {
    Equal,
    /// The first has all leaves of the second, and more.
    SecondIsPrefix,
    FirstIsPrefix,
    /// They have different leaves at one index.
    Diverged,
    /// Their hash functions or arities differ.
    OtherKind,
    OnlyFirst,
    OnlySecond,
}

/// A store and its trees.
struct Side {
    store: StoreReader,
    trees: Vec<TreeInfo>,
}

/// Compares two stores. Ends with status 1 if neither history goes on from the other.
pub(crate) fn run(args: &DiffArgs) -> Result<(), Error> {
    let sides = [Side::open(&args.first)?, Side::open(&args.second)?];
    let stores = sides.each_ref().map(|side| side.store.store_id());
    let names = sides.iter().flat_map(|side| side.trees.iter().map(|tree| &tree.name));
    let names: BTreeSet<&TreeName> = names.collect();
    let trees = names.into_iter().map(|name| compare(&sides, name));
    let trees = trees.collect::<Result<Vec<_>, Error>>()?;
    let diverged =
        |tree: &&TreeDiff| matches!(tree.relation, Relation::Diverged | Relation::OtherKind);
    let others = trees.iter().filter(diverged).count() as u64;
    let json = DiffJson { same_store: stores[0] == stores[1], stores, trees };
    match args.json {
        true => output::print(&format!("{}\n", output::to_json(&json, false)?))?,
        false => output::print(&text(&json))?,
    }
    match others {
        0 => Ok(()),
        trees => Err(Error::Refused { reason: Refusal::Diverged { trees } }),
    }
}

impl Side {
    fn open(dir: &Path) -> Result<Self, Error> {
        let store = StoreReader::open(Config::new(dir).read_mode(ReadMode::Pread))?;
        let trees = store.trees()?;
        Ok(Self { store, trees })
    }

    fn tree(&self, name: &TreeName) -> Result<Option<Snapshot>, Error> {
        let has = self.trees.iter().any(|tree| tree.name == *name);
        Ok(has.then(|| self.store.tree(name)).transpose()?)
    }
}

fn compare(sides: &[Side; 2], name: &TreeName) -> Result<TreeDiff, Error> {
    let [first, second] = sides;
    let (first, second) = (first.tree(name)?, second.tree(name)?);
    let size = |tree: &Option<Snapshot>| tree.as_ref().map(|tree| tree.size().get());
    let sizes = [size(&first), size(&second)];
    let (relation, common) = match (&first, &second) {
        (Some(first), Some(second)) => relation(first, second)?,
        (Some(_), None) => (Relation::OnlyFirst, None),
        (None, _) => (Relation::OnlySecond, None),
    };
    Ok(TreeDiff { tree: name.to_string(), sizes, common, relation })
}

fn relation(first: &Snapshot, second: &Snapshot) -> Result<(Relation, Option<u64>), Error> {
    if first.hasher().id() != second.hasher().id() || first.arity() != second.arity() {
        return Ok((Relation::OtherKind, None));
    }
    let (ours, theirs) = (first.size().get(), second.size().get());
    let is_common =
        |size: u64| Ok::<_, Error>(first.head_at(size)?.root == second.head_at(size)?.root);
    let mut common = ours.min(theirs);
    if !is_common(common)? {
        // Of the leaves below `low` all are equal, of those below `high` one is not.
        let (mut low, mut high) = (0, common);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match is_common(middle)? {
                true => low = middle,
                false => high = middle,
            }
        }
        common = low;
        return Ok((Relation::Diverged, Some(common)));
    }
    let relation = match ours.cmp(&theirs) {
        std::cmp::Ordering::Equal => Relation::Equal,
        std::cmp::Ordering::Greater => Relation::SecondIsPrefix,
        std::cmp::Ordering::Less => Relation::FirstIsPrefix,
    };
    Ok((relation, Some(common)))
}

fn text(diff: &DiffJson) -> String {
    let [first, second] = &diff.stores;
    let mut text = match diff.same_store {
        true => format!("both are the store {first}\n"),
        false => format!("two stores: {first} and {second}\n"),
    };
    for tree in &diff.trees {
        let common = count(tree.common.unwrap_or(0), "leaf", "leaves");
        let more = tree.sizes[0].unwrap_or(0).abs_diff(tree.sizes[1].unwrap_or(0));
        let what = match tree.relation {
            Relation::Equal => format!("equal, {common}"),
            Relation::SecondIsPrefix => format!("{common} in common, the first has {more} more"),
            Relation::FirstIsPrefix => format!("{common} in common, the second has {more} more"),
            Relation::Diverged => {
                format!("DIVERGED: {common} in common, leaf {} differs", tree.common.unwrap_or(0))
            }
            Relation::OtherKind => "other hash functions or arities".to_owned(),
            Relation::OnlyFirst => "only in the first".to_owned(),
            Relation::OnlySecond => "only in the second".to_owned(),
        };
        text += &format!("{}: {what}\n", Printable::new(&tree.tree));
    }
    text
}
