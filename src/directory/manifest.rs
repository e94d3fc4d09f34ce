//! The manifest: the only list of what is live in a store, and its bytes. Pure.
//!
//! A manifest is written whole, or as what changed since a whole one, see [`changes`](super::changes).

use std::collections::HashSet;
use std::sync::Arc;

use crate::ages::Ages;
use crate::checksum::checksum;
use crate::codec::{Decoder, Encoder};
use crate::entry::{Erasures, Framing};
use crate::fs::FileName;
use crate::ids::ByteOffset;
use crate::ids::PartId;
use crate::ids::Seq;
use crate::ids::{GroupNumber, SegmentId, StoreId, TreeId};
use crate::mark::Marks;
use crate::merkle::{Frontier, Hash, Hasher, NamedHead, NodeSource, Shape, TreeHead, TreeSize};
use crate::part::{Base, PartIdentity, PartRef};
use crate::tree_spec::TreeSpec;
use crate::wal::{Extent, Log, LogKey, LoggedTree, LoggedTrees, Position};

const MAGIC: [u8; 8] = *b"duraMAN\n";
pub(crate) const MANIFEST_VERSION: u16 = 6;
const FLAG_CLEAN: u16 = 1;
/// The flag of a store in which entries were erased.
const FLAG_ERASED: u16 = 2;
/// The flag of a manifest that has only what changed since another one.
const FLAG_CHANGES: u16 = 4;
/// The flag of a manifest that has marks, or changes of marks.
const FLAG_MARKS: u16 = 8;
/// The flag of a manifest that has a tree which was pruned.
const FLAG_PRUNED_TREES: u16 = 16;
/// All flags of a manifest.
pub(super) const FLAGS: u16 =
    FLAG_CLEAN | FLAG_ERASED | FLAG_CHANGES | FLAG_MARKS | FLAG_PRUNED_TREES;
/// The flag of a tree that takes no more leaves.
const FLAG_SEALED: u16 = 1;
/// The flag of a tree that has an index.
const FLAG_INDEXED: u16 = 2;
/// The flag of a tree whose parts have leaves that nothing reads, because the tree was rewound below them.
const FLAG_HIDDEN: u16 = 4;
/// The flag of a tree that was pruned, or that began behind a frontier: it has a base.
const FLAG_PRUNED: u16 = 8;
/// The flag of a tree with tiles whose base has no beginnings of tiles: the tree began behind a frontier, which has none.
const FLAG_UNTILED: u16 = 16;
/// The flag of a tree with moments at which it had some size.
const FLAG_AGES: u16 = 32;
/// All flags of a tree.
const TREE_FLAGS: u16 =
    FLAG_SEALED | FLAG_INDEXED | FLAG_HIDDEN | FLAG_PRUNED | FLAG_UNTILED | FLAG_AGES;
/// The state of a store: everything that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    /// Counts the manifests of the store.
    pub(crate) number: u64,
    /// A random id of this state, for people and backups.
    pub(crate) checkpoint: [u8; 16],
    /// No segment with this number or a higher one was ever made, as far as is known here. The same
    /// holds for `next_part` and parts.
    pub(crate) next_segment: u64,
    pub(crate) next_part: u64,
    /// The id of the next tree to be created.
    pub(crate) next_tree: u64,
    pub(crate) log: Log,
    /// Whether entries were ever erased, also of a tree that is gone. Files that are given up are wiped from then on.
    pub(crate) erased: bool,
    /// Sorted by id. No two trees have the same name.
    pub(crate) trees: Vec<Arc<TreeEntry>>,
    /// None has more leaves of a tree than the tree has.
    pub(crate) marks: Marks,
}

/// The state of one tree where replay of the log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    pub(crate) spec: Arc<TreeSpec>,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// Whether the tree takes no more leaves.
    pub(crate) sealed: bool,
    /// Whether the tree has an index.
    pub(crate) indexed: bool,
    /// What is left of the first leaves, if the tree was pruned.
    pub(crate) base: Option<Arc<Base>>,
    /// The parts, which have the first leaves behind the base.
    pub(crate) parts: Vec<PartRef>,
    /// The last leaves, if they are too few for a part.
    pub(crate) tail: Box<[Hash]>,
    /// The entries that are erased.
    pub(crate) erasures: Arc<Erasures>,
    /// When the tree had which size, if a policy wants to know.
    pub(crate) ages: Ages,
}

impl TreeEntry {
    /// A new tree that goes on behind `origin`, which is not empty.
    pub(crate) fn begun(spec: Arc<TreeSpec>, origin: &Frontier, hasher: &dyn Hasher) -> Self {
        let TreeHead { size, root } = origin.head(hasher);
        Self {
            spec,
            size: size.get(),
            root,
            sealed: false,
            indexed: false,
            base: Some(Arc::new(Base::begun(origin.clone()))),
            parts: Vec::new(),
            tail: Box::default(),
            erasures: Arc::default(),
            ages: Ages::default(),
        }
    }

    /// The head of the tree.
    pub(crate) fn head(&self) -> NamedHead {
        self.spec.at(TreeHead { size: TreeSize(self.size), root: self.root })
    }

    /// The root of the tree. `source` has the nodes at the end of the tree's parts, and the tail follows
    /// them. `None` if the hash function rejects a leaf of the tail. O(log n) reads and O(tail) hashes.
    pub(crate) fn root_over<S>(
        &self,
        source: &S,
        hasher: &dyn Hasher,
    ) -> Result<Option<Hash>, S::Error>
    where
        S: NodeSource + ?Sized,
    {
        let mut frontier = Frontier::read(source, self.spec.arity, TreeSize(self.parts_end()))?;
        let taken = frontier.append_many(hasher, &self.tail);
        Ok(taken.is_ok().then(|| frontier.head(hasher).root))
    }

    /// The first leaf that is there: those before it were pruned.
    pub(crate) fn begin(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.size())
    }

    /// Where the parts end.
    pub(crate) fn parts_end(&self) -> u64 {
        self.parts.last().map_or_else(|| self.begin(), |part| part.to)
    }

    /// This tree pruned below `base`. `rest` has the leaves from the base on of the part that begins before it, if there is
    /// such a part.
    pub(crate) fn pruned(&self, base: &Arc<Base>, rest: Option<PartRef>) -> Self {
        let behind = self.parts.iter().filter(|part| part.from >= base.size());
        let gone = usize::try_from(base.size().saturating_sub(self.parts_end()));
        let gone = gone.unwrap_or(usize::MAX).min(self.tail.len());
        Self {
            base: Some(Arc::clone(base)),
            parts: rest.into_iter().chain(behind.copied()).collect(),
            tail: self.tail[gone..].into(),
            erasures: Arc::new(self.erasures.behind(base.size())),
            ..self.clone()
        }
    }

    /// This tree rewound to `size`, at most its own and not below its base: without the parts and leaves above. The root stays that of before.
    pub(crate) fn cut(&self, size: u64) -> Self {
        let parts = self.parts.iter().filter_map(|part| part.cut(size, &self.erasures)).collect();
        let tail = usize::try_from(size.saturating_sub(self.parts_end())).unwrap_or(usize::MAX);
        Self {
            size: self.size.min(size),
            parts,
            tail: self.tail[..tail.min(self.tail.len())].into(),
            erasures: Arc::new(self.erasures.cut(size)),
            ages: self.ages.cut(size),
            ..self.clone()
        }
    }

    /// The identity that the header of `part` must have. `part` is one of this tree's parts in `store`.
    pub(crate) fn identity(&self, store: StoreId, part: &PartRef) -> PartIdentity {
        PartIdentity {
            store,
            tree: self.spec.id,
            hasher: self.spec.hasher.clone(),
            arity: self.spec.arity,
            number: part.number,
            from: part.from,
            to: part.file_end(),
            entries: self.spec.entries.map(Framing::of),
        }
    }
}

/// One manifest as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// With a link, `trees` and `marks` are only those that the base does not have so.
    pub(crate) manifest: Manifest,
    /// Where everything else is. `None` in a manifest that is whole.
    pub(crate) link: Option<Link>,
}

/// Refers to the whole manifest to which another one has the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The number of the whole manifest.
    pub(crate) base: u64,
    /// The checksum at the end of that manifest.
    pub(crate) checksum: u64,
    /// The trees that are gone since, by rising id.
    pub(crate) gone: Vec<TreeId>,
    /// The positions of the marks that are gone since, in the list of the base.
    pub(crate) marks_gone: Vec<u32>,
}

/// Why bytes are not a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestFault {
    Magic,
    Version(u16),
    Flags(u16),
    Checksum { stored: u64, computed: u64 },
    Fields,
}

impl std::fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("it does not begin as a manifest does"),
            Self::Version(found) => write!(
                f,
                "it has format version {found}, and this program reads version {MANIFEST_VERSION}"
            ),
            Self::Flags(found) => {
                write!(f, "it has the flags {found:#x}, and this program knows {FLAGS:#x}")
            }
            Self::Checksum { stored, computed } => {
                write!(f, "checksum stored {stored:#018x}, computed {computed:#018x}")
            }
            Self::Fields => f.write_str("its fields contradict each other"),
        }
    }
}

impl Manifest {
    /// The tree with this id. O(log trees).
    pub(crate) fn tree(&self, id: TreeId) -> Option<&Arc<TreeEntry>> {
        self.place(id).ok().map(|at| &self.trees[at])
    }

    /// The parts of all trees, and the segments in which the log begins, goes on and ends.
    pub(crate) fn files(&self) -> Vec<FileName> {
        let parts = self.trees.iter().flat_map(|tree| &tree.parts).map(|part| part.number.file());
        let closed = self.log.closed.iter().flat_map(|extent| [extent.from, extent.to]);
        let log = closed.chain([self.log.open]).map(|at| at.segment.file());
        parts.chain(log).collect()
    }

    /// Replaces the tree with the id of `entry`, or adds `entry` if no tree has this id.
    pub(crate) fn put(&mut self, entry: Arc<TreeEntry>) {
        match self.place(entry.spec.id) {
            Ok(at) => self.trees[at] = entry,
            Err(at) => self.trees.insert(at, entry),
        }
    }

    /// Removes and returns the tree with this id.
    pub(crate) fn take(&mut self, id: TreeId) -> Option<Arc<TreeEntry>> {
        self.place(id).ok().map(|at| self.trees.remove(at))
    }

    fn place(&self, id: TreeId) -> Result<usize, usize> {
        self.trees.binary_search_by_key(&id, |tree| tree.spec.id)
    }

    /// The trees at the start of the log.
    pub(crate) fn logged(&self) -> LoggedTrees {
        let trees = self.trees.iter().map(|tree| LoggedTree {
            spec: Arc::clone(&tree.spec),
            size: tree.size,
            sealed: tree.sealed,
            indexed: tree.indexed,
            entry_bytes: 0,
            erasures: Arc::clone(&tree.erasures),
        });
        LoggedTrees::new(trees, self.next_tree, self.erased).with_marks(self.marks.clone())
    }

    fn flags(&self) -> u16 {
        let clean = if self.log.clean { FLAG_CLEAN } else { 0 };
        clean | if self.erased { FLAG_ERASED } else { 0 }
    }

    /// The bytes of this manifest, whole.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_with(None)
    }

    fn encode_with(&self, link: Option<&Link>) -> Vec<u8> {
        let changes = if link.is_some() { FLAG_CHANGES } else { 0 };
        let pruned = self.trees.iter().any(|tree| tree.base.is_some());
        let pruned = if pruned { FLAG_PRUNED_TREES } else { 0 };
        let marks_gone = link.map_or(&[][..], |link| &link.marks_gone);
        let has_marks = !self.marks.is_empty() || !marks_gone.is_empty();
        let marked = if has_marks { FLAG_MARKS } else { 0 };
        let mut out = Encoder::default();
        out.bytes(&MAGIC)
            .u16(MANIFEST_VERSION)
            .u16(self.flags() | changes | marked | pruned)
            .u32(0)
            .bytes(&self.store.0)
            .u64(self.number)
            .bytes(&self.checkpoint)
            .u64(self.next_segment)
            .u64(self.next_part)
            .u64(self.next_tree)
            .u64(self.log.seq.0)
            .u32(count(&self.log.closed));
        for extent in &self.log.closed {
            encode_position(&mut out, extent.from);
            encode_position(&mut out, extent.to);
        }
        encode_position(&mut out, self.log.open);
        if let Some(link) = link {
            out.u64(link.base).u64(link.checksum).u32(count(&link.gone));
            for id in &link.gone {
                out.u32(id.0);
            }
        }
        out.u32(count(&self.trees));
        for tree in &self.trees {
            out.u32(tree.spec.id.0);
            encode_text(&mut out, tree.spec.name.as_str());
            encode_text(&mut out, &tree.spec.hasher);
            out.u16(tree.spec.children())
                .bytes(&tree.spec.entry_settings())
                .u16(tree.flags())
                .u64(tree.size)
                .bytes(&tree.root);
            if let Some(base) = &tree.base {
                out.u64(base.size()).bytes(base.frontier().nodes().as_flattened());
                out.bytes(base.tiles().as_flattened());
            }
            out.u32(count(&tree.parts));
            for part in &tree.parts {
                out.u64(part.number.0).u64(part.from).u64(part.to).u64(part.len).u64(part.checksum);
                out.u64(part.entry_bytes).u64(part.erased);
                if tree.flags() & FLAG_HIDDEN != 0 {
                    out.u64(part.hidden);
                }
            }
            out.u32(count(&tree.tail)).bytes(tree.tail.as_flattened());
            tree.erasures.encode(&mut out);
            if !tree.ages.is_empty() {
                tree.ages.encode(&mut out);
            }
        }
        if has_marks {
            if link.is_some() {
                out.u32(count(marks_gone));
                for at in marks_gone {
                    out.u32(*at);
                }
            }
            self.marks.encode(&mut out);
        }
        let sum = checksum(&out.0);
        out.u64(sum);
        out.0
    }

    /// The manifest with these bytes, which is whole.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestFault> {
        let Written { manifest, link } = Written::decode(bytes)?;
        if link.is_none() { Ok(manifest) } else { Err(ManifestFault::Fields) }
    }

    fn fields(fields: &mut Decoder<'_>, flags: u16) -> Option<Written> {
        fields.u32()?;
        let store = StoreId(fields.array()?);
        let number = decode_number(fields)?;
        let checkpoint = fields.array()?;
        let next_segment = decode_number(fields)?;
        let next_part = decode_number(fields)?;
        let next_tree = fields.u64().filter(|next| *next <= u64::from(u32::MAX) + 1)?;
        let seq = Seq(decode_number(fields)?);
        let closed = decode_list(fields, |fields| {
            Some(Extent { from: decode_position(fields)?, to: decode_position(fields)? })
        })?;
        let open = decode_position(fields)?;
        let (clean, erased) = (flags & FLAG_CLEAN != 0, flags & FLAG_ERASED != 0);
        let log = Log { closed, open, seq, clean };
        let mut link = match flags & FLAG_CHANGES {
            0 => None,
            _ => Some(Link::decode(fields).filter(|link| link.base < number)?),
        };
        let trees = decode_list(fields, |fields| TreeEntry::decode(fields).map(Arc::new))?;
        // The flag says that there is one.
        if (flags & FLAG_PRUNED_TREES != 0) != trees.iter().any(|tree| tree.base.is_some()) {
            return None;
        }
        let mut marks = Marks::default();
        if flags & FLAG_MARKS != 0 {
            if let Some(link) = &mut link {
                let gone = decode_list(fields, Decoder::u32)?;
                link.marks_gone = Some(gone).filter(|gone| gone.is_sorted_by(|a, b| a < b))?;
            }
            marks = Marks::decode(fields)?;
            // The flag says that there is something.
            if marks.is_empty() && link.as_ref().is_none_or(|link| link.marks_gone.is_empty()) {
                return None;
            }
        }
        let manifest = Self {
            store,
            number,
            checkpoint,
            next_segment,
            next_part,
            next_tree,
            log,
            erased,
            trees,
            marks,
        };
        manifest.is_consistent().then_some(Written { manifest, link })
    }

    /// Whether the trees, which are sorted by id, have different ids below the next one and different names, nothing
    /// is erased in them unless the store notes that, and no mark has more leaves than they have.
    pub(super) fn is_consistent(&self) -> bool {
        let Self { trees, next_tree, erased, marks, .. } = self;
        let rising = trees.is_sorted_by(|one, other| one.spec.id < other.spec.id);
        let below = trees.last().is_none_or(|last| u64::from(last.spec.id.0) < *next_tree);
        let noted = *erased || trees.iter().all(|tree| tree.erasures.is_empty());
        let names: HashSet<_> = trees.iter().map(|tree| &tree.spec.name).collect();
        let fits = |(id, size): &(TreeId, u64)| {
            u64::from(id.0) < *next_tree && self.tree(*id).is_none_or(|tree| *size <= tree.size)
        };
        let marked = marks.iter().all(|mark| mark.sizes().iter().all(fits));
        rising && below && noted && marked && names.len() == trees.len()
    }
}

impl Written {
    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.manifest.encode_with(self.link.as_ref())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestFault> {
        if !bytes.starts_with(&MAGIC) {
            return Err(ManifestFault::Magic);
        }
        let (covered, stored) =
            bytes.split_at_checked(bytes.len().saturating_sub(8)).ok_or(ManifestFault::Fields)?;
        let stored = Decoder(stored).u64().ok_or(ManifestFault::Fields)?;
        let computed = checksum(covered);
        if stored != computed {
            return Err(ManifestFault::Checksum { stored, computed });
        }
        let mut fields = Decoder(&covered[MAGIC.len()..]);
        let version = fields.u16().ok_or(ManifestFault::Fields)?;
        if version != MANIFEST_VERSION {
            return Err(ManifestFault::Version(version));
        }
        let flags = fields.u16().ok_or(ManifestFault::Fields)?;
        if flags & !FLAGS != 0 {
            return Err(ManifestFault::Flags(flags));
        }
        match Manifest::fields(&mut fields, flags) {
            Some(written) if fields.remaining() == 0 => Ok(written),
            _ => Err(ManifestFault::Fields),
        }
    }
}

impl Link {
    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let (base, checksum) = (decode_number(fields)?, fields.u64()?);
        let gone = decode_list(fields, |fields| fields.u32().map(TreeId))?;
        let marks_gone = Vec::new();
        let rising = gone.is_sorted_by(|one, other| one < other);
        rising.then_some(Self { base, checksum, gone, marks_gone })
    }
}

impl TreeEntry {
    fn flags(&self) -> u16 {
        let sealed = if self.sealed { FLAG_SEALED } else { 0 };
        let hidden = self.parts.iter().any(|part| part.hidden > 0);
        let hidden = if hidden { FLAG_HIDDEN } else { 0 };
        let pruned = if self.base.is_some() { FLAG_PRUNED } else { 0 };
        let untiled =
            self.base.as_ref().is_some_and(|base| self.spec.has_tiles() && !base.has_tiles());
        let untiled = if untiled { FLAG_UNTILED } else { 0 };
        let aged = if self.ages.is_empty() { 0 } else { FLAG_AGES };
        aged | untiled | pruned | hidden | sealed | if self.indexed { FLAG_INDEXED } else { 0 }
    }

    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let id = TreeId(fields.u32()?);
        let name = decode_text(fields)?;
        let hasher = decode_text(fields)?;
        let spec = TreeSpec::read(id, name, hasher, fields.u16()?, fields.array()?)?;
        let flags = fields.u16()?;
        if flags & !TREE_FLAGS != 0 {
            return None;
        }
        let (sealed, indexed) = (flags & FLAG_SEALED != 0, flags & FLAG_INDEXED != 0);
        let size = decode_number(fields)?;
        let root = fields.array()?;
        let base = match flags & FLAG_PRUNED {
            0 => None,
            _ => Some(Arc::new(decode_base(fields, &spec, flags & FLAG_UNTILED == 0)?)),
        };
        // Only the base of a tree with tiles can lack them.
        if flags & FLAG_UNTILED != 0 && (base.is_none() || !spec.has_tiles()) {
            return None;
        }
        let parts = decode_list(fields, |fields| {
            Some(PartRef {
                number: PartId(decode_number(fields)?),
                from: fields.u64()?,
                to: fields.u64()?,
                len: fields.u64()?,
                checksum: fields.u64()?,
                entry_bytes: fields.u64()?,
                erased: fields.u64()?,
                hidden: if flags & FLAG_HIDDEN == 0 { 0 } else { decode_number(fields)? },
            })
        })?;
        // The flag says that there is one.
        if (flags & FLAG_HIDDEN != 0) != parts.iter().any(|part| part.hidden > 0) {
            return None;
        }
        let tail = decode_list(fields, Decoder::array)?.into_boxed_slice();
        let erasures = Arc::new(Erasures::decode(fields)?);
        let ages = if flags & FLAG_AGES == 0 { Ages::default() } else { Ages::decode(fields)? };
        if ages.size() > size {
            return None;
        }
        // The parts cover the leaves from the base on without gaps, and the tail covers the rest up to
        // the size.
        let begin = base.as_ref().map_or(0, |base: &Arc<Base>| base.size());
        let mut end = begin;
        for part in &parts {
            if part.from != end || part.to <= part.from {
                return None;
            }
            end = part.to;
        }
        // The manifest has no entries, so a tree that keeps some has all its leaves in parts.
        if spec.entries.is_some() && !tail.is_empty() {
            return None;
        }
        let end = end.checked_add(tail.len() as u64)?;
        // Only entries that are there are erased, and no part lacks one that is not erased.
        if !erasures.is_empty()
            && (spec.entries.is_none() || erasures.end() > size || erasures.has_below(begin))
            || parts.iter().any(|part| part.erased > erasures.count_in(part.from..part.to))
        {
            return None;
        }
        (end == size).then_some(Self {
            spec,
            size,
            root,
            sealed,
            indexed,
            base,
            parts,
            tail,
            erasures,
            ages,
        })
    }
}

/// The base of a tree, `tiled` if the tree has tiles: its size, and as many nodes as follow from that.
fn decode_base(fields: &mut Decoder<'_>, spec: &TreeSpec, tiled: bool) -> Option<Base> {
    let size = decode_number(fields)?;
    let count = Shape::new(spec.arity, TreeSize(size)).frontier_nodes();
    let tiles = if tiled && spec.has_tiles() { Base::tile_nodes(spec.arity, size) } else { 0 };
    let mut read = |count| (0..count).map(|_| fields.array()).collect::<Option<Vec<Hash>>>();
    let (nodes, tiles) = (read(count)?, read(tiles)?);
    Base::from_nodes(spec.arity, size, nodes, tiles)
}

/// A number from which the store continues to count. Rejects numbers that no store can reach, because no
/// file name could carry them.
fn decode_number(fields: &mut Decoder<'_>) -> Option<u64> {
    fields.u64().filter(|number| *number <= FileName::LAST_BELIEVED)
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// A count and that many items. Memory grows with the bytes that are present, not with the count.
fn decode_list<'a, T>(
    fields: &mut Decoder<'a>,
    item: impl Fn(&mut Decoder<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = fields.u32()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(fields)?);
    }
    Some(items)
}

fn encode_text(out: &mut Encoder, text: &str) {
    out.u16(u16::try_from(text.len()).unwrap_or(u16::MAX)).bytes(text.as_bytes());
}

fn decode_text<'a>(fields: &mut Decoder<'a>) -> Option<&'a [u8]> {
    let len = usize::from(fields.u16()?);
    fields.bytes(len)
}

fn encode_position(out: &mut Encoder, position: Position) {
    let Position { segment, offset, group, key } = position;
    out.u64(segment.0).u64(offset.0).u64(group.0).bytes(&key.0);
}

fn decode_position(fields: &mut Decoder<'_>) -> Option<Position> {
    Some(Position {
        segment: SegmentId(decode_number(fields)?),
        offset: ByteOffset(fields.u64()?),
        group: GroupNumber(decode_number(fields)?),
        key: LogKey(fields.array()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Cause;
    use crate::mark::{Mark, MarkName};

    fn manifest() -> Manifest {
        let at = |segment, offset, group| Position {
            segment: SegmentId(segment),
            offset: ByteOffset(offset),
            group: GroupNumber(group),
            key: LogKey([6; 16]),
        };
        Manifest {
            store: StoreId([7; 16]),
            number: 4,
            checkpoint: [8; 16],
            next_segment: 9,
            next_part: 3,
            log: Log {
                closed: vec![Extent { from: at(1, 0, 1), to: at(2, 4096, 5) }],
                open: at(3, 0, 5),
                seq: Seq(100),
                clean: true,
            },
            erased: true,
            next_tree: 12,
            trees: vec![
                Arc::new(TreeEntry {
                    spec: spec(0, b"main"),
                    size: 90,
                    root: [5; 32],
                    sealed: false,
                    indexed: false,
                    base: None,
                    parts: vec![part(1, 0, 50), part(2, 50, 90)],
                    tail: Box::default(),
                    erasures: Arc::default(),
                    ages: Ages::default(),
                }),
                Arc::new(TreeEntry {
                    spec: spec(7, b"receipts"),
                    size: 2,
                    root: [6; 32],
                    sealed: true,
                    indexed: true,
                    base: None,
                    parts: Vec::new(),
                    tail: Box::new([[3; 32], [4; 32]]),
                    erasures: Arc::default(),
                    ages: Ages::default(),
                }),
                Arc::new(kept_tree()),
            ],
            marks: Marks::default(),
        }
    }

    fn mark(name: &str, sizes: &[(u32, u64)]) -> Arc<Mark> {
        let sizes = sizes.iter().map(|(id, size)| (TreeId(*id), *size)).collect();
        Arc::new(Mark::new(MarkName::new(name).unwrap(), sizes).unwrap())
    }

    /// The same manifest with two marks. A tree of the second was dropped since.
    fn marked() -> Manifest {
        let marks = Marks::default().with(mark("block 1", &[(0, 80), (7, 0)])).unwrap();
        let marks = marks.with(mark("block 2", &[(0, 90), (3, 5), (11, 300)])).unwrap();
        Manifest { marks, ..manifest() }
    }

    #[test]
    fn a_manifest_with_marks_has_the_bytes_of_the_golden_file() {
        let bytes = marked().encode();
        crate::testing::golden::check("manifest_marks.hex", &bytes);
        assert_eq!(Manifest::decode(&bytes), Ok(marked()));
        let mut written = changes();
        let link = written.link.as_mut().unwrap();
        link.marks_gone = vec![0, 4];
        assert_eq!(Written::decode(&written.encode()), Ok(written.clone()), "only gone ones");
        written.manifest = marked();
        assert_eq!(Written::decode(&written.encode()), Ok(written.clone()));
        written.link.as_mut().unwrap().marks_gone = vec![4, 4];
        assert_eq!(Written::decode(&written.encode()), Err(ManifestFault::Fields));
    }

    #[test]
    fn a_tree_that_was_rewound_has_what_is_below_the_cut() {
        let mut manifest = manifest();
        let before = kept_tree();
        let cut = before.cut(260);
        assert_eq!((cut.size, cut.parts[1].to, cut.parts[1].hidden), (260, 260, 40));
        assert_eq!(cut.identity(StoreId([7; 16]), &cut.parts[1]).to, 300);
        assert_eq!(cut.erasures.end(), 260);
        assert_eq!(before.cut(300), before);
        // Entries 200 to 249 are erased above the cut, and what the part lacks may be among them.
        assert_eq!(before.cut(210).parts[0].erased, 0);
        assert_eq!(before.cut(210).parts.len(), 1);
        assert_eq!(before.cut(250).parts[0], before.parts[0]);
        assert_eq!(before.cut(0).parts, []);
        let again = before.cut(260).cut(255);
        assert_eq!((again.parts[1].to, again.parts[1].hidden), (255, 45));
        *Arc::make_mut(manifest.trees.last_mut().unwrap()) = cut;
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        crate::testing::golden::check("manifest_rewound.hex", &manifest.encode());
        let tail = Arc::clone(&manifest.trees[1]).cut(1);
        assert_eq!((tail.size, &*tail.tail), (1, &[[3; 32]][..]));
    }

    #[test]
    fn a_tree_has_the_moments_at_which_it_had_some_size_and_none_with_more_leaves_than_it_has() {
        let mut manifest = manifest();
        let tree = kept_tree();
        let age = std::time::Duration::from_secs(3600);
        let ages = |size| {
            Ages::default().noted(1_795_000_000_000, 240, age).noted(1_795_000_900_000, size, age)
        };
        manifest.trees[2] = Arc::new(TreeEntry { ages: ages(300), ..tree.clone() });
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        assert_eq!(manifest.trees[2].cut(250).ages, ages(250));
        manifest.trees[2] = Arc::new(TreeEntry { ages: ages(301), ..tree });
        assert_eq!(Manifest::decode(&manifest.encode()), Err(ManifestFault::Fields));
    }

    #[test]
    fn a_tree_that_was_pruned_has_its_base_and_what_is_behind_it() {
        let base = |arity, size: u64, byte: u8| {
            let count = Shape::new(arity, TreeSize(size)).frontier_nodes();
            let nodes = (0..count).map(|at| [byte + u8::try_from(at).unwrap(); 32]).collect();
            Arc::new(Base::from_nodes(arity, size, nodes, Vec::new()).unwrap())
        };
        let mut manifest = manifest();
        let tree = kept_tree();
        let rest = PartRef { entry_bytes: 100, erased: 0, ..part(7, 240, 250) };
        let pruned = tree.pruned(&base(tree.spec.arity, 240, 1), Some(rest));
        assert_eq!((pruned.begin(), pruned.parts_end(), pruned.size), (240, 300, 300));
        assert_eq!(pruned.parts, [rest, tree.parts[1]]);
        assert_eq!(pruned.erasures.count(), 60);
        assert!(!pruned.erasures.has_below(240));
        let later = pruned.pruned(&base(tree.spec.arity, 300, 1), None);
        assert_eq!((later.begin(), later.parts_end(), later.parts.len()), (300, 300, 0));
        let cut = pruned.cut(260);
        assert_eq!((cut.begin(), cut.size, cut.parts[1].hidden), (240, 260, 40));
        let tail = manifest.trees[1].pruned(&base(manifest.trees[1].spec.arity, 1, 9), None);
        assert_eq!((tail.begin(), &*tail.tail), (1, &[[4; 32]][..]));
        manifest.trees[1] = Arc::new(tail);
        *Arc::make_mut(manifest.trees.last_mut().unwrap()) = pruned.clone();
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        crate::testing::golden::check("manifest_pruned.hex", &bytes);

        let mut wrong: Vec<fn(&mut TreeEntry)> =
            vec![|tree| tree.base = None, |tree| tree.parts[0].from = 239, |tree| {
                tree.parts.remove(0);
            }];
        // An erased entry that is not there.
        wrong.push(|tree| tree.erasures = Arc::clone(&kept_tree().erasures));
        for change in wrong {
            let mut other = manifest.clone();
            change(Arc::make_mut(other.trees.last_mut().unwrap()));
            assert_eq!(Manifest::decode(&other.encode()), Err(ManifestFault::Fields));
        }
        // A program that does not know the flag refuses the manifest as another format.
        assert_eq!(u16::from_le_bytes([bytes[10], bytes[11]]) & FLAG_PRUNED_TREES, 16);
        let (mut flagged, body) = (manifest_without_flag(&bytes), bytes.len() - 8);
        let sum = checksum(&flagged[..body]).to_le_bytes();
        flagged[body..].copy_from_slice(&sum);
        assert_eq!(Manifest::decode(&flagged), Err(ManifestFault::Fields));
    }

    /// The bytes of a manifest without the flag that a tree was pruned.
    fn manifest_without_flag(bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[10] &= !16;
        bytes
    }

    #[test]
    fn a_mark_with_more_leaves_than_a_tree_has_is_refused() {
        for (sizes, good) in [
            (&[(0, 90)][..], true),
            (&[(0, 91)], false),
            (&[(3, u64::MAX)], true),
            (&[(12, 0)], false),
        ] {
            let marks = Marks::default().with(mark("m", sizes)).unwrap();
            let manifest = Manifest { marks, ..manifest() };
            assert_eq!(Manifest::decode(&manifest.encode()).is_ok(), good, "{sizes:?}");
        }
    }

    /// A tree with entries, some of which are erased.
    fn kept_tree() -> TreeEntry {
        let settings = [1, 0, 0, 0, 100, 0, 0, 0];
        let cause = |at, reason: &str| Cause { at, reason: reason.into() };
        let erasures = Erasures::default().with(&[3..5, 200..300], cause(7, "asked for")).unwrap();
        let erasures = erasures.with(std::slice::from_ref(&(0..4)), cause(9, "")).unwrap();
        TreeEntry {
            spec: TreeSpec::read(TreeId(11), b"log", b"blake3", 4, settings).unwrap(),
            size: 300,
            root: [9; 32],
            sealed: false,
            indexed: false,
            base: None,
            parts: vec![
                PartRef { entry_bytes: 5000, erased: 4, ..part(5, 0, 250) },
                PartRef { entry_bytes: 77, ..part(6, 250, 300) },
            ],
            tail: Box::default(),
            erasures: Arc::new(erasures),
            ages: Ages::default(),
        }
    }

    #[test]
    fn a_manifest_in_which_more_is_erased_than_there_is_is_refused() {
        type Change = fn(&mut TreeEntry);
        let changes: [(Change, bool); 5] = [
            (|_| {}, true),
            (|tree| tree.parts[0].erased = 55, true),
            (|tree| tree.parts[0].erased = 56, false),
            (|tree| tree.parts[1].to = 299, false),
            (|tree| tree.spec = spec(11, b"log"), false),
        ];
        for (change, right) in changes {
            let mut manifest = manifest();
            let tree = Arc::make_mut(manifest.trees.last_mut().unwrap());
            change(tree);
            tree.size = tree.parts[1].to;
            assert_eq!(Manifest::decode(&manifest.encode()).is_ok(), right, "{manifest:?}");
        }
        let unnoted = Manifest { erased: false, ..manifest() };
        assert_eq!(Manifest::decode(&unnoted.encode()), Err(ManifestFault::Fields));
        // What was erased is gone with its tree, and was erased all the same.
        let gone = Manifest { trees: Vec::new(), ..manifest() };
        assert_eq!(Manifest::decode(&gone.encode()), Ok(gone));
    }

    fn part(number: u64, from: u64, to: u64) -> PartRef {
        let (number, checksum) = (PartId(number), number);
        PartRef { number, from, to, len: 16384, checksum, entry_bytes: 0, erased: 0, hidden: 0 }
    }

    fn spec(id: u32, name: &[u8]) -> Arc<TreeSpec> {
        TreeSpec::read(TreeId(id), name, b"blake3", 4, [0; 8]).unwrap()
    }

    fn main_tree(manifest: &mut Manifest) -> &mut TreeEntry {
        Arc::make_mut(&mut manifest.trees[0])
    }

    #[test]
    fn a_manifest_is_read_back_as_it_was_written() {
        assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    }

    #[test]
    fn numbers_that_counting_never_gets_to_are_refused() {
        let changes: [fn(&mut Manifest, u64); 9] = [
            |manifest, number| manifest.number = number,
            |manifest, number| manifest.next_segment = number,
            |manifest, number| manifest.next_part = number,
            |manifest, number| manifest.log.seq = Seq(number),
            |manifest, number| manifest.log.open.segment = SegmentId(number),
            |manifest, number| manifest.log.open.group = GroupNumber(number),
            |manifest, number| manifest.log.closed[0].to.group = GroupNumber(number),
            |manifest, number| main_tree(manifest).parts[1].number = PartId(number),
            |manifest, number| {
                main_tree(manifest).size = number;
                main_tree(manifest).parts[1].to = number;
            },
        ];
        for change in changes {
            let last = FileName::LAST_BELIEVED;
            for (number, good) in [(last, true), (last + 1, false), (u64::MAX, false)] {
                let mut manifest = manifest();
                change(&mut manifest, number);
                assert_eq!(Manifest::decode(&manifest.encode()).is_ok(), good, "{manifest:?}");
            }
        }
    }

    #[test]
    fn flags_that_this_version_does_not_know_are_another_format() {
        for flags in [32, 33, 0x8000] {
            let mut bytes = manifest().encode();
            bytes[10..12].copy_from_slice(&u16::to_le_bytes(flags));
            let end = bytes.len() - 8;
            let sum = checksum(&bytes[..end]);
            bytes[end..].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(Manifest::decode(&bytes), Err(ManifestFault::Flags(flags)));
        }
    }

    #[test]
    fn a_manifest_has_the_bytes_of_the_golden_file() {
        crate::testing::golden::check("manifest.hex", &manifest().encode());
    }

    /// The same manifest as changes to another one.
    fn changes() -> Written {
        let (gone, marks_gone) = (vec![TreeId(1), TreeId(6)], Vec::new());
        let link = Link { base: 2, checksum: 0x0102_0304, gone, marks_gone };
        Written { manifest: manifest(), link: Some(link) }
    }

    #[test]
    fn changes_have_the_bytes_of_the_golden_file() {
        let bytes = changes().encode();
        crate::testing::golden::check("manifest_changes.hex", &bytes);
        assert_eq!(Written::decode(&bytes), Ok(changes()));
        assert_eq!(Manifest::decode(&bytes), Err(ManifestFault::Fields), "not whole");
    }

    #[test]
    fn changes_to_a_manifest_that_is_not_older_are_refused() {
        for (base, good) in [(3, true), (4, false), (5, false), (u64::MAX, false)] {
            let mut written = changes();
            written.link.as_mut().unwrap().base = base;
            assert_eq!(Written::decode(&written.encode()).is_ok(), good, "{base}");
        }
        let mut written = changes();
        written.link.as_mut().unwrap().gone.reverse();
        assert_eq!(Written::decode(&written.encode()), Err(ManifestFault::Fields));
    }

    #[test]
    fn a_manifest_with_any_bit_changed_or_any_length_is_refused() {
        for bytes in [manifest().encode(), changes().encode(), marked().encode()] {
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(Written::decode(&bytes).is_err(), "bit {bit}");
            }
            for len in 0..bytes.len() {
                assert!(Written::decode(&bytes[..len]).is_err(), "length {len}");
            }
        }
    }

    #[test]
    fn a_manifest_whose_parts_and_tail_leave_a_gap_is_refused() {
        let mut gap = manifest();
        main_tree(&mut gap).parts[1].from = 51;
        assert_eq!(Manifest::decode(&gap.encode()), Err(ManifestFault::Fields));
        let mut beyond = manifest();
        main_tree(&mut beyond).size = 91;
        assert_eq!(Manifest::decode(&beyond.encode()), Err(ManifestFault::Fields));
        main_tree(&mut beyond).tail = Box::new([[1; 32]]);
        assert_eq!(Manifest::decode(&beyond.encode()), Ok(beyond.clone()));
        main_tree(&mut beyond).size = 90;
        assert_eq!(Manifest::decode(&beyond.encode()), Err(ManifestFault::Fields));
    }

    #[test]
    fn a_manifest_whose_trees_share_a_name_or_an_id_or_fall_in_id_is_refused() {
        let changes: [fn(&mut Manifest); 4] = [
            |manifest| main_tree(manifest).spec = spec(0, b"receipts"),
            |manifest| main_tree(manifest).spec = spec(7, b"main"),
            |manifest| manifest.trees.reverse(),
            |manifest| manifest.next_tree = 11,
        ];
        for change in changes {
            let mut manifest = manifest();
            change(&mut manifest);
            assert_eq!(Manifest::decode(&manifest.encode()), Err(ManifestFault::Fields));
        }
    }

    #[test]
    fn trees_are_found_put_and_taken_by_id() {
        let mut manifest = manifest();
        let entry = |id, size| {
            Arc::new(TreeEntry {
                spec: spec(id, b"blocks"),
                size,
                root: [1; 32],
                sealed: false,
                indexed: false,
                base: None,
                parts: Vec::new(),
                tail: Box::default(),
                erasures: Arc::default(),
                ages: Ages::default(),
            })
        };
        assert_eq!(manifest.tree(TreeId(3)), None);
        manifest.put(entry(3, 0));
        manifest.put(entry(3, 5));
        assert_eq!(manifest.tree(TreeId(3)).unwrap().size, 5);
        assert_eq!(manifest.trees.len(), 4);
        assert_eq!(
            Manifest::decode(&manifest.encode()).map(|_| ()),
            Err(ManifestFault::Fields),
            "no parts"
        );
        assert_eq!(manifest.take(TreeId(3)).unwrap().size, 5);
        assert_eq!(manifest.take(TreeId(3)), None);
        assert_eq!(manifest, super::tests::manifest());
    }
}
