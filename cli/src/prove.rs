//! `duramen prove`.

use duramen::LeafIndex;

use crate::args::ProveArgs;
use crate::error::Error;
use crate::proof::{Hex, InclusionJson, Kind};
use crate::{output, store};

/// Prints or writes an inclusion proof.
pub(crate) fn run(args: &ProveArgs) -> Result<(), Error> {
    let store = store::read(&args.dir)?;
    let snapshot = store.snapshot();
    let head = match args.size {
        Some(size) => snapshot.head_at(size)?,
        None => snapshot.head()?,
    };
    let index = LeafIndex(args.index);
    let proof = snapshot.prove_at(index, head.size)?;
    let json = InclusionJson {
        kind: Kind::Inclusion,
        hasher: store.hasher().id().to_string(),
        arity: store.arity().children(),
        size: head.size.get(),
        root: Hex(head.root),
        index: args.index,
        leaf: Hex(snapshot.leaf(index)?),
        siblings: proof.siblings().iter().copied().map(Hex).collect(),
    };
    drop(snapshot);

    let text = format!("{}\n", output::to_json(&json, !args.json)?);
    match &args.output {
        None => output::print(&text),
        Some(file) => std::fs::write(file, text)
            .map_err(|source| Error::Write { name: file.display().to_string(), source }),
    }
}
