//! Loads a tree of a manifest from its parts and its tail.

use std::sync::Arc;

use super::tree::Tree;
use crate::column::{Columns, Layout, LeafWriter, NodeWriter, Seed};
use crate::config::ReadMode;
use crate::directory::manifest::TreeEntry;
use crate::directory::manifests;
use crate::error::{Damage, Error, Result};
use crate::fs::FileSystem;
use crate::ids::StoreId;
use crate::merkle::{Frontier, Hasher};
use crate::part::{Part, PartRef, PartSet};
use crate::sync::process::Process;
use crate::tree_spec::TreeSpec;

/// Loads trees.
#[derive(Clone, Debug)]
pub(crate) struct Loader {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) store: StoreId,
    pub(crate) read_mode: ReadMode,
    pub(crate) huge_pages: bool,
    pub(crate) process: Process,
}

impl Loader {
    /// Returns the tree of `entry` and the one writer of its leaves. `manifest` is the number of a manifest that
    /// has the entry, for messages. Reads O(log size) blocks, and both ends of each part.
    ///
    /// # Errors
    ///
    /// [`Damaged`](Error::Damaged) if a part is missing or wrong, or if the root of the parts and the tail differs
    /// from the root in the manifest.
    pub(crate) fn load(
        &self,
        manifest: u64,
        entry: &TreeEntry,
        hasher: Arc<dyn Hasher>,
    ) -> Result<(Arc<Tree>, LeafWriter)> {
        let parts = self.open_parts(entry, &PartSet::default())?;
        let layout = Layout::new(entry.spec.arity).huge_pages(self.huge_pages);
        let (columns, leaves, nodes) = resume(layout, entry.parts_end(), &parts)?;
        let tree = Tree::new(Arc::clone(&entry.spec), hasher, columns, nodes, parts);
        let tree = tree.only_in(self.process);
        let mut leaves = leaves.with_entries(tree.framing);
        if tree.hasher.first_refused(&entry.tail).is_none() {
            leaves.append(&entry.tail);
        }
        if entry.indexed {
            tree.give_index();
        }
        self.check_root(manifest, entry, &tree)?;
        tree.set_durable(entry.size);
        tree.set_erasures(Arc::clone(&entry.erasures));
        tree.activity.stored(entry.size);
        Ok((Arc::new(tree), leaves))
    }

    /// A new tree, behind `origin` if there is one, and the one writer of its leaves.
    pub(crate) fn make(
        &self,
        spec: Arc<TreeSpec>,
        hasher: Arc<dyn Hasher>,
        origin: Option<&Frontier>,
    ) -> Result<(Arc<Tree>, LeafWriter)> {
        let Some(origin) = origin else {
            let (tree, leaves) = Tree::empty(spec, hasher, self.huge_pages);
            return Ok((Arc::new(tree.only_in(self.process)), leaves));
        };
        // No manifest has the entry, and its root is that of the frontier.
        self.load(0, &TreeEntry::begun(spec, origin, &*hasher), hasher)
    }

    /// Opens the parts of `entry`. Takes over those that are in `known`, with the index that each one has open.
    pub(super) fn open_parts(&self, entry: &TreeEntry, known: &PartSet) -> Result<PartSet> {
        let open = |part: &PartRef| {
            if let Some(known) = known.parts().iter().find(|known| known.reference() == *part) {
                return Ok(Arc::clone(known));
            }
            let identity = entry.identity(self.store, part);
            Part::open(&self.fs, &identity, *part, self.read_mode).map(Arc::new)
        };
        let parts = entry.parts.iter().map(open).collect::<Result<_>>()?;
        Ok(PartSet::new(entry.base.clone(), parts))
    }

    /// Fails unless the root of the parts and the tail is the root in the manifest.
    fn check_root(&self, manifest: u64, entry: &TreeEntry, tree: &Tree) -> Result<()> {
        let root = entry.root_over(&tree.columns.view(), &*tree.hasher)?.unwrap_or_default();
        if root == entry.root {
            return Ok(());
        }
        let hex =
            |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = self.fs.display(manifests::file(manifest));
        let damage = Damage::field(&path, 0, "root", hex(entry.root), hex(root));
        Err(Error::Damaged(damage))
    }
}

/// Makes columns over `parts`, with the children of incomplete nodes in memory. Reads O(log size) blocks.
fn resume(
    layout: Layout,
    size: u64,
    parts: &PartSet,
) -> Result<(Arc<Columns>, LeafWriter, NodeWriter)> {
    if size == 0 {
        return Ok(Columns::empty(layout));
    }
    let seeds = Seed::read(layout, size, parts)?;
    Ok(Columns::resume(layout, size, Some(Arc::new(parts.clone())), &seeds))
}
