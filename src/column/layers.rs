//! The complete nodes of a tree that was rewound, in memory and in parts: what the tree had before, cut.
//!
//! A rewound tree goes on in columns of its own. What is below the cut stays where it is: in the columns of the tree before,
//! where nothing below that size is written any more, and in the parts beneath. So a rewind copies nothing.
//!
//! # Invariants
//!
//! - A layer has every node that is complete at its end and not at its begin, in the memory of its view. Layers follow
//!   each other without a gap, and the archive beneath has every node that is complete at the begin of the first.
//! - Entries leave memory before nodes do. So the archive beneath has the first entries of the first layer where that has
//!   them no more; entries of other layers are all in memory.
//! - No layer has an archive, so the stack is as high as there were rewinds since the last checkpoint, and a node is found
//!   by bisection.

use std::sync::Arc;

use super::entries::{EntryBytes, EntrySpan};
use super::layout::Layout;
use super::version::{Archive, EntryHash};
use super::view::View;
use crate::error::ReadError;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource as _};

/// The archive of a tree that was rewound.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    layout: Layout,
    /// What is below the first layer.
    beneath: Option<Arc<dyn Archive>>,
    /// By rising end.
    layers: Vec<Layer>,
    /// The length of an entry's length.
    prefix: usize,
}

/// The leaves `[begin, end)` of a tree, and the nodes that become complete with them.
#[derive(Clone, Debug)]
struct Layer {
    begin: u64,
    end: u64,
    view: View,
}

impl View {
    /// An archive of the first `size` leaves of this view, which has all nodes that are complete there. `None` if there
    /// are none. `prefix` is the length of an entry's length.
    pub(crate) fn archive_below(&self, size: u64, prefix: usize) -> Option<Arc<dyn Archive>> {
        debug_assert!(size <= self.leaves && size <= self.hashed, "nodes are hashed");
        let begin = self.version.memory_from;
        let beneath = self.version.archive.clone();
        if size == 0 {
            return None;
        }
        let below = beneath.as_ref().and_then(|archive| archive.as_layers().cloned());
        let (beneath, mut layers) = match below {
            Some(Layers { beneath, layers, .. }) => (beneath, layers),
            None => (beneath, Vec::new()),
        };
        if begin < size {
            layers.push(Layer { begin, end: size, view: self.without_archive() });
        }
        layers.retain(|layer| layer.begin < size);
        if let Some(last) = layers.last_mut() {
            last.end = last.end.min(size);
        }
        if layers.is_empty() {
            return beneath;
        }
        Some(Arc::new(Layers { layout: self.layout, beneath, layers, prefix }))
    }
}

impl Layers {
    /// Where the nodes `[at, end)` of `level` are from `at` on, and how far they are there.
    fn place(&self, level: Level, at: u64) -> (Place<'_>, u64) {
        let complete = |size| self.layout.complete(level, size);
        let number = self.layers.partition_point(|layer| complete(layer.end) <= at);
        match self.layers.get(number) {
            Some(layer) if number > 0 || at >= complete(layer.begin) => {
                (Place::Layer(&layer.view), complete(layer.end))
            }
            Some(layer) => (Place::Beneath(self.beneath.as_ref()), complete(layer.begin)),
            None => (Place::Nowhere, at),
        }
    }
}

impl Layers {
    /// Where the entries from `at` on are, and how far they are there.
    fn entry_place(&self, at: u64) -> (Place<'_>, u64) {
        let (place, end) = self.place(Level::LEAVES, at);
        let first = self.layers.first().filter(|first| at < first.end);
        let in_memory = first.map_or(0, |first| first.view.version.first_entry().unwrap_or(end));
        match place {
            Place::Layer(_) if at < in_memory => {
                (Place::Beneath(self.beneath.as_ref()), end.min(in_memory))
            }
            place => (place, end),
        }
    }

    /// These layers over `beneath`, which has every node that is complete at `size`. `None` if a node would be nowhere.
    pub(super) fn over(&self, size: u64, beneath: Arc<dyn Archive>) -> Option<Self> {
        let first = self.layers.first()?;
        (first.begin <= size).then(|| Self { beneath: Some(beneath), ..self.clone() })
    }

    /// The entries from `from` on in memory, as runs of framed bytes, and how far they go.
    pub(super) fn entry_slices(&self, from: u64, to: u64) -> Result<(Vec<&[u8]>, u64), ReadError> {
        match self.place(Level::LEAVES, from) {
            (Place::Layer(view), end) => Ok((view.entry_slices(from, to.min(end))?, to.min(end))),
            _ => Err(ReadError::Absent { level: Level::LEAVES, at: from }),
        }
    }
}

/// Where nodes are.
enum Place<'a> {
    Layer(&'a View),
    Beneath(Option<&'a Arc<dyn Archive>>),
    Nowhere,
}

impl Archive for Layers {
    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        let mut at = first.0;
        let mut rest = out;
        while !rest.is_empty() {
            let (place, end) = self.place(level, at);
            let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(len.min(rest.len()));
            match place {
                Place::Layer(view) => view.read_nodes(level, NodeIndex(at), now)?,
                Place::Beneath(Some(archive)) => archive.read_nodes(level, NodeIndex(at), now)?,
                Place::Beneath(None) | Place::Nowhere => {
                    return Err(ReadError::Absent { level, at });
                }
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn borrow_nodes(&self, level: Level, first: NodeIndex, count: usize) -> Option<&[Hash]> {
        let (place, end) = self.place(level, first.0);
        if first.0.checked_add(count as u64)? > end {
            return None;
        }
        match place {
            Place::Layer(view) => view.borrow_nodes(level, first, count),
            Place::Beneath(archive) => archive?.borrow_nodes(level, first, count),
            Place::Nowhere => None,
        }
    }

    fn entry(&self, index: u64, hash: EntryHash<'_>) -> Result<EntryBytes, ReadError> {
        match self.entry_place(index) {
            (Place::Layer(view), _) => view.entry(index, self.prefix, hash),
            (Place::Beneath(Some(archive)), _) => archive.entry(index, hash),
            _ => Err(ReadError::Absent { level: Level::LEAVES, at: index }),
        }
    }

    fn entry_run(&self, from: u64, to: u64, hash: EntryHash<'_>) -> Result<EntrySpan, ReadError> {
        match self.entry_place(from) {
            (Place::Layer(view), end) => view.entry_run(from, to.min(end), hash),
            (Place::Beneath(Some(archive)), end) => archive.entry_run(from, to.min(end), hash),
            _ => Err(ReadError::Absent { level: Level::LEAVES, at: from }),
        }
    }

    fn as_layers(&self) -> Option<&Self> {
        Some(self)
    }
}
