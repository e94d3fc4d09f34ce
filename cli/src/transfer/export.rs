//! `duramen export`.

use std::io::Write;
use std::ops::{ControlFlow, Range};

use duramen::{Config, ReadMode, Snapshot, StoreReader};

use super::framed;
use super::header::Header;
use crate::args::{ExportArgs, TransferFormat};
use crate::entries::json;
use crate::error::Error;
use crate::output::{self, Written};

/// Writes the entries of a tree.
pub(crate) fn run(args: &ExportArgs) -> Result<(), Error> {
    let from = args.from;
    if let Some(to) = args.to.filter(|to| *to < from) {
        return Err(Error::Usage(format!("--from {from} is beyond --to {to}")));
    }
    // Without mapping: every page of a mapped part that was read would count as memory of the program.
    let config = Config::new(&args.dir).read_mode(ReadMode::Pread);
    let store = StoreReader::open(config)?;
    let tree = store.tree(&args.tree)?;
    // A range that begins beyond the size is refused with its beginning.
    let range = from..args.to.unwrap_or_else(|| tree.size().get().max(from));
    match args.format {
        TransferFormat::Framed => {
            let header = header(&store, &tree, range)?;
            output::stream(args.output.as_deref(), |out| framed(&tree, &header, out))
        }
        TransferFormat::Jsonl => {
            output::stream(args.output.as_deref(), |out| lines(&tree, range, out))
        }
    }
}

fn header(store: &StoreReader, tree: &Snapshot, range: Range<u64>) -> Result<Header, Error> {
    let infos = store.trees()?;
    let info = infos.iter().find(|info| info.name == *tree.name());
    let kept = info.and_then(|info| info.entries);
    let (Some(info), Some(entries)) = (info, kept) else {
        return Err(duramen::Error::NoEntries { tree: tree.name().clone() }.into());
    };
    // The reader made sure of the form of its id.
    let id = const_hex::decode(store.store_id().replace('-', "")).ok();
    let id = id.and_then(|id| id.try_into().ok()).unwrap_or_default();
    Ok(Header {
        arity: tree.arity(),
        tree: info.id,
        store: id,
        from: range.start,
        to: range.end,
        root: tree.head_at(range.start)?.root,
        entries,
        hasher: tree.hasher().id().to_string(),
        name: tree.name().clone(),
    })
}

fn framed(tree: &Snapshot, header: &Header, out: &mut dyn Write) -> Written {
    let (from, to) = (header.from, header.to);
    let root = tree.head_at(to)?.root;
    let mut entries = tree.entries(from..to)?;
    let mut writer = framed::Writer::new(out, header)?;
    let pushed = entries.try_visit(|_, entry| match writer.push(entry) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    })?;
    match pushed {
        ControlFlow::Break(error) => Err(error.into()),
        ControlFlow::Continue(()) => Ok(writer.finish(&root)?),
    }
}

fn lines(tree: &Snapshot, range: Range<u64>, out: &mut dyn Write) -> Written {
    let mut leaves = tree.leaves_iter(range.clone())?;
    let mut write = |index: u64, entry: &[u8]| -> Written {
        let Some(leaf) = leaves.next() else { return Ok(()) };
        let line = json(index, &leaf?, Some(entry))?;
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    };
    let written =
        tree.entries(range)?.try_visit(|index, entry| match write(index.get(), entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(broken) => ControlFlow::Break(broken),
        })?;
    match written {
        ControlFlow::Break(broken) => Err(broken),
        ControlFlow::Continue(()) => Ok(()),
    }
}
