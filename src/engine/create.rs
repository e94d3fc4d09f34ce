//! Creates a store: its first segment, then its first manifest. The store exists once the manifest is durable.

use std::sync::Arc;

use super::catalog::{Slot, Wanted};
use super::keeper::{Live, Numbers};
use super::log::FlushPoint;
use super::opened::{Admitted, Opened, loader};
use super::recover::segment_limits;
use super::tally::Tally;
use super::tree::Tree;
use crate::ages::Ages;
use crate::config::Config;
use crate::directory::files;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests::Stored;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{GroupNumber, StoreId, TreeId};
use crate::mark::Marks;
use crate::random;
use crate::report::recovery::RecoveryReport;
use crate::tree_spec::TreeSpec;
use crate::wal::{Log, LogKey, LogWriter, Position, Segments};

/// Creates a store in `fs`, with the tree `first` if there is one. The tree becomes durable with the store.
pub(super) fn create(
    config: &Config,
    fs: &Arc<dyn FileSystem>,
    first: Option<&Wanted>,
) -> Result<Opened> {
    let leftovers = files::check_empty(&**fs, &config.path)?;
    files::remove(&**fs, &leftovers, false)?;
    let store = StoreId(random::id(&**fs)?);
    let loader = loader(config, fs, store)?;
    let mut admitted = Vec::new();
    let mut entries = Vec::new();
    if let Some(Wanted { name, hasher, arity, entries: kept, indexed, origin: _ }) = first {
        let spec = TreeSpec::new(TreeId(0), name.clone(), &**hasher, *arity).with_entries(*kept);
        let spec = Arc::new(spec);
        let root = hasher.empty_root();
        let (tree, leaves) = Tree::empty(Arc::clone(&spec), Arc::clone(hasher), loader.huge_pages);
        let tree = Arc::new(tree.only_in(loader.process));
        entries.push(Arc::new(TreeEntry {
            spec,
            size: 0,
            root,
            sealed: false,
            indexed: *indexed,
            base: None,
            parts: Vec::new(),
            tail: Box::default(),
            erasures: Arc::default(),
            ages: Ages::default(),
        }));
        if *indexed {
            tree.give_index();
        }
        admitted.push(Admitted { tree, leaves, sealed: false });
    }
    let key = LogKey::fresh(&**fs)?;
    let segments = Arc::new(Segments::new(Arc::clone(fs), segment_limits(config), 1, Vec::new()));
    let segment = segments.take(0, false)?;
    let position =
        Position { segment: segment.id, offset: ByteOffset(0), group: GroupNumber(1), key };
    let manifest = Manifest {
        store,
        number: 1,
        checkpoint: random::id(&**fs)?,
        next_segment: segments.next_id(),
        next_part: 1,
        next_tree: entries.len() as u64,
        log: Log { closed: Vec::new(), open: position, seq: Seq(0), clean: false },
        erased: false,
        trees: entries,
        marks: Marks::default(),
    };
    let tally = Tally::opened(Seq(0), 0, manifest.next_tree);
    let relied_on = manifest.files();
    let stored = Stored::publish(&**fs, manifest, &relied_on)?;
    let point = FlushPoint { tally, position, log_bytes: 0 };
    Ok(Opened {
        slots: admitted.iter().map(|admitted| Slot::awake(&admitted.tree)).collect(),
        admitted,
        changed: Vec::new(),
        log: LogWriter::new(
            Arc::clone(fs),
            store,
            Arc::clone(&segments),
            segment,
            position,
            Seq(0),
            false,
        ),
        live: Live::new(stored, Numbers { manifest: 2, part: 1 }, config.whole_below),
        segments,
        point,
        checkpointed: tally,
        erasing: false,
        pinned: Vec::new(),
        marks: Marks::default(),
        report: RecoveryReport { created: true, ..RecoveryReport::default() },
        loader,
    })
}
