//! `duramen export`.

use std::io::Write;
use std::ops::{ControlFlow, Range};
use std::time::SystemTime;

use duramen::{Config, Erasure, ReadMode, Snapshot, StoreReader};

use super::framed;
use super::header::Header;
use super::item::{Cause, Erased};
use crate::args::{ExportArgs, TransferFormat};
use crate::entries::{Data, json};
use crate::error::Error;
use crate::output::{self, Written};

/// Writes the entries of a tree.
pub(crate) fn run(args: &ExportArgs) -> Result<(), Error> {
    let from = args.from;
    if let Some(to) = args.to.filter(|to| *to < from) {
        return Err(Error::Usage(format!("--from {from} is beyond --to {to}")));
    }
    if args.format == TransferFormat::Framed {
        output::refuse_terminal(args.output.as_deref())?;
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
    let mut causes = Causes::default();
    loop {
        let pushed = entries.try_visit(|_, entry| match writer.push(entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        match pushed {
            Ok(ControlFlow::Continue(())) => return Ok(writer.finish(&root)?),
            Ok(ControlFlow::Break(error)) => return Err(error.into()),
            // The iterator goes on behind it.
            Err(error @ duramen::Error::Erased { index, .. }) => {
                let Some(erasure) = causes.of(tree, index.get())? else { return Err(error.into()) };
                let since = erasure.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let at = u64::try_from(since.as_millis()).unwrap_or_default();
                let cause = Cause { at, reason: &erasure.reason };
                writer.push_erased(&Erased { leaf: tree.leaf(index)?, cause })?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The erasures of a tree, as far as they are needed.
#[derive(Default)]
struct Causes {
    erasures: Vec<Erasure>,
    /// The ranges of all of them in order, each with its erasure.
    ranges: Vec<(Range<u64>, usize)>,
}

impl Causes {
    /// The erasure of entry `index`, which is erased.
    fn of(&mut self, tree: &Snapshot, index: u64) -> Result<Option<&Erasure>, duramen::Error> {
        if self.find(index).is_none() {
            // It may have been erased meanwhile.
            self.erasures = tree.erasures()?;
            let ranges = self.erasures.iter().enumerate().flat_map(|(number, erasure)| {
                erasure.ranges.iter().map(move |range| (range.clone(), number))
            });
            self.ranges = ranges.collect();
            self.ranges.sort_unstable_by_key(|(range, _)| range.start);
        }
        Ok(self.find(index).and_then(|number| self.erasures.get(number)))
    }

    fn find(&self, index: u64) -> Option<usize> {
        let at = self.ranges.partition_point(|(range, _)| range.end <= index);
        self.ranges.get(at).filter(|(range, _)| range.start <= index).map(|(_, number)| *number)
    }
}

fn lines(tree: &Snapshot, range: Range<u64>, out: &mut dyn Write) -> Written {
    let mut leaves = tree.leaves_iter(range.clone())?;
    let mut write = |index: u64, data: Data<'_>| -> Written {
        let Some(leaf) = leaves.next() else { return Ok(()) };
        let line = json(index, &leaf?, data)?;
        out.write_all(line.as_bytes())?;
        Ok(out.write_all(b"\n")?)
    };
    let mut entries = tree.entries(range)?;
    loop {
        let written =
            entries.try_visit(|index, entry| match write(index.get(), Data::Entry(entry)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(broken) => ControlFlow::Break(broken),
            });
        match written {
            Ok(ControlFlow::Continue(())) => return Ok(()),
            Ok(ControlFlow::Break(broken)) => return Err(broken),
            // The iterator goes on behind it.
            Err(duramen::Error::Erased { index, at }) => write(index.get(), Data::Erased(at))?,
            Err(error) => return Err(error.into()),
        }
    }
}
