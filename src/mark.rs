//! Marks: names for the sizes that all trees had at one moment. Pure.
//!
//! # Invariants
//!
//! - No two marks in a list have the same name. The list is in the order of the records.
//! - A mark has the sizes of all trees of its moment, by rising id. An id of a tree that was dropped since leads to
//!   nothing, because no id is reused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::codec::{Decoder, Encoder};
use crate::ids::TreeId;
use crate::merkle::{TreeName, TreeNameError, TreeSize};

/// The name of a mark: 1 to 255 bytes, by the rules of a [`TreeName`]. A hash is named by its hex digits, see
/// [`of_bytes`](Self::of_bytes).
///
/// ```
/// use duramen::MarkName;
///
/// let block = MarkName::of_bytes(&[0xab; 4])?;
/// assert_eq!(block.as_str(), "abababab");
/// assert!("".parse::<MarkName>().is_err());
/// # Ok::<(), duramen::MarkNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkName(TreeName);

impl MarkName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = TreeName::MAX_LEN;

    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// [`MarkNameError`] names what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Self, MarkNameError> {
        TreeName::new(name).map(Self).map_err(MarkNameError)
    }

    /// The name of `bytes`, a block hash say: their hex digits.
    ///
    /// # Errors
    ///
    /// [`MarkNameError`] if there are no bytes or more than 127.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, MarkNameError> {
        Self::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for MarkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for MarkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl AsRef<str> for MarkName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for MarkName {
    type Err = MarkNameError;

    fn from_str(name: &str) -> Result<Self, MarkNameError> {
        Self::new(name)
    }
}

/// What is wrong with the name of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkNameError(TreeNameError);

impl fmt::Display for MarkNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TreeNameError::Empty => f.write_str("the name of a mark is empty"),
            TreeNameError::TooLong { found } => {
                write!(f, "the name of a mark has {found} bytes, more than {}", MarkName::MAX_LEN)
            }
            TreeNameError::Refused { at, found } => {
                write!(f, "the name of a mark has the character {found:?} at byte {at}")
            }
            TreeNameError::Dots => f.write_str("the name of a mark is \".\" or \"..\""),
        }
    }
}

impl std::error::Error for MarkNameError {}

/// A mark of a store, as [`Store::marks`](crate::Store::marks) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkInfo {
    /// The name.
    pub name: MarkName,
    /// The sizes of the trees at the moment of the mark, by name. Without trees that were dropped since.
    pub trees: Vec<(TreeName, TreeSize)>,
}

/// Bytes of the id of a tree and its size.
pub(crate) const SIZE_LEN: usize = 12;

/// A name for the sizes of all trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) name: MarkName,
    /// By rising id.
    sizes: Box<[(TreeId, u64)]>,
}

impl Mark {
    /// `None` unless `sizes` are sorted by id, each id once.
    pub(crate) fn new(name: MarkName, sizes: Vec<(TreeId, u64)>) -> Option<Self> {
        let rising = sizes.is_sorted_by(|(one, _), (other, _)| one < other);
        rising.then(|| Self { name, sizes: sizes.into() })
    }

    /// The size of a tree. `None` if it was created later.
    pub(crate) fn size(&self, id: TreeId) -> Option<u64> {
        let at = self.sizes.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.sizes[at].1)
    }

    /// The trees with their sizes, by rising id.
    pub(crate) fn sizes(&self) -> &[(TreeId, u64)] {
        &self.sizes
    }

    /// Whether none of the trees `cuts` is rewound below its size here.
    pub(crate) fn outlives(&self, cuts: &[(TreeId, u64)]) -> bool {
        cuts.iter().all(|(id, cut)| self.size(*id).is_none_or(|size| size <= *cut))
    }

    /// The payload of the record that sets the mark: the sizes, then the name.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut out = encode_sizes(&self.sizes);
        out.extend(self.name.as_str().as_bytes());
        out
    }

    /// Bytes of the payload.
    pub(crate) fn payload_len(&self) -> usize {
        self.sizes.len() * SIZE_LEN + self.name.as_str().len()
    }

    /// The mark with this payload, which has so many sizes.
    pub(crate) fn read(payload: &[u8], count: u64) -> Option<Self> {
        let mut fields = Decoder(payload);
        let sizes = read_sizes(&mut fields, count)?;
        Self::new(read_name(fields.0)?, sizes)
    }

    /// Describes the mark. `name` returns the names of trees that are there.
    pub(crate) fn describe(&self, name: impl Fn(TreeId) -> Option<TreeName>) -> MarkInfo {
        let named = |(id, size): &(TreeId, u64)| Some((name(*id)?, TreeSize(*size)));
        let mut trees: Vec<_> = self.sizes.iter().filter_map(named).collect();
        trees.sort_unstable();
        MarkInfo { name: self.name.clone(), trees }
    }

    fn encode(&self, out: &mut Encoder) {
        let name = self.name.as_str();
        out.u16(u16::try_from(name.len()).unwrap_or(u16::MAX)).bytes(name.as_bytes());
        out.u32(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        for (id, size) in &self.sizes {
            out.u32(id.0).u64(*size);
        }
    }

    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let len = usize::from(fields.u16()?);
        let name = read_name(fields.bytes(len)?)?;
        let count = u64::from(fields.u32()?);
        Self::new(name, read_sizes(fields, count)?)
    }
}

/// The sizes of trees as a record has them.
pub(crate) fn encode_sizes(sizes: &[(TreeId, u64)]) -> Vec<u8> {
    let mut out = Encoder::default();
    for (id, size) in sizes {
        out.u32(id.0).u64(*size);
    }
    out.0
}

/// So many sizes of trees, by rising id, and nothing behind them.
pub(crate) fn decode_sizes(bytes: &[u8], count: u64) -> Option<Vec<(TreeId, u64)>> {
    let mut fields = Decoder(bytes);
    let sizes = read_sizes(&mut fields, count)?;
    let rising = sizes.is_sorted_by(|(one, _), (other, _)| one < other);
    (rising && fields.remaining() == 0).then_some(sizes)
}

/// A name of a mark with these bytes.
pub(crate) fn read_name(bytes: &[u8]) -> Option<MarkName> {
    MarkName::new(std::str::from_utf8(bytes).ok()?).ok()
}

/// Memory grows with the bytes that are present, not with the count.
fn read_sizes(fields: &mut Decoder<'_>, count: u64) -> Option<Vec<(TreeId, u64)>> {
    let mut sizes = Vec::new();
    for _ in 0..count {
        sizes.push((TreeId(fields.u32()?), fields.u64()?));
    }
    Some(sizes)
}

/// The marks of a store. Cheap to clone and immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(Arc<[Arc<Mark>]>);

impl Marks {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The marks, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mark>> {
        self.0.iter()
    }

    pub(crate) fn get(&self, name: &MarkName) -> Option<&Arc<Mark>> {
        self.0.iter().find(|mark| mark.name == *name)
    }

    /// These marks with one more. `None` if there is one of its name.
    pub(crate) fn with(&self, mark: Arc<Mark>) -> Option<Self> {
        let is_new = self.get(&mark.name).is_none();
        is_new.then(|| Self(self.0.iter().cloned().chain([mark]).collect()))
    }

    /// These marks without the one of this name. `None` if there is none.
    pub(crate) fn without(&self, name: &MarkName) -> Option<Self> {
        self.get(name)?;
        Some(self.only(|mark| mark.name != *name))
    }

    /// Those of the marks that `keep` keeps.
    pub(crate) fn only(&self, keep: impl Fn(&Mark) -> bool) -> Self {
        if self.0.iter().all(|mark| keep(mark)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|mark| keep(mark)).cloned().collect())
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.iter().for_each(|mark| mark.encode(out));
    }

    /// `None` also if two marks have the same name.
    pub(crate) fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let count = fields.u32()?;
        let mut marks = Vec::new();
        for _ in 0..count {
            marks.push(Arc::new(Mark::decode(fields)?));
        }
        Self::from_list(marks)
    }

    fn from_list(marks: Vec<Arc<Mark>>) -> Option<Self> {
        let names: std::collections::HashSet<_> = marks.iter().map(|mark| &mark.name).collect();
        (names.len() == marks.len()).then(|| Self(marks.into()))
    }

    /// The positions in this list of the marks that `now` does not have, and the marks that only `now` has. `now` is this
    /// list after changes: marks were removed, and others were added at its end.
    pub(crate) fn changes(&self, now: &Self) -> (Vec<u32>, Self) {
        let mut gone = Vec::new();
        let mut left = now.0.iter().peekable();
        for (at, mark) in (0..).zip(&*self.0) {
            if left.next_if(|next| Arc::ptr_eq(next, mark) || *next == mark).is_none() {
                gone.push(at);
            }
        }
        (gone, Self(left.cloned().collect()))
    }

    /// This list without the marks at the positions `gone`, which rise, and with those of `added`. `None` if that is no
    /// list of marks.
    pub(crate) fn changed(&self, gone: &[u32], added: &Self) -> Option<Self> {
        let mut gone = gone.iter().copied().peekable();
        let mut marks = Vec::with_capacity(self.len() + added.len());
        for (at, mark) in (0..).zip(&*self.0) {
            if gone.next_if_eq(&at).is_none() {
                marks.push(Arc::clone(mark));
            }
        }
        marks.extend(added.0.iter().cloned());
        if gone.next().is_some() { None } else { Self::from_list(marks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str, sizes: &[(u32, u64)]) -> Arc<Mark> {
        let sizes = sizes.iter().map(|(id, size)| (TreeId(*id), *size)).collect();
        Arc::new(Mark::new(MarkName::new(name).unwrap(), sizes).unwrap())
    }

    fn marks(names: &[&str]) -> Marks {
        let with = |marks: Marks, name: &&str| marks.with(mark(name, &[(1, 5)])).unwrap();
        names.iter().fold(Marks::default(), with)
    }

    fn name(text: &str) -> MarkName {
        MarkName::new(text).unwrap()
    }

    #[test]
    fn a_name_is_taken_once_and_is_free_again_without_its_mark() {
        let all = marks(&["a", "b"]);
        assert_eq!(all.with(mark("a", &[])), None);
        let less = all.without(&name("a")).unwrap();
        assert_eq!(less.without(&name("a")), None);
        assert_eq!(less.with(mark("a", &[(1, 5)])).unwrap(), marks(&["b", "a"]));
    }

    #[test]
    fn a_size_is_found_by_its_tree() {
        let mark = mark("a", &[(0, 7), (4, 0), (9, 2)]);
        let found = [0, 1, 4, 9, 10].map(|id| mark.size(TreeId(id)));
        assert_eq!(found, [Some(7), None, Some(0), Some(2), None]);
        assert_eq!(Mark::new(name("a"), vec![(TreeId(1), 0), (TreeId(1), 0)]), None);
    }

    #[test]
    fn a_mark_is_read_back_from_its_record_and_from_a_manifest() {
        let one = mark("block 7", &[(0, 7), (4, u64::MAX)]);
        assert_eq!(Mark::read(&one.payload(), 2).as_ref(), Some(&*one));
        assert_eq!(one.payload().len(), one.payload_len());
        for count in [0, 1, 3, u64::MAX] {
            assert_ne!(Mark::read(&one.payload(), count).as_ref(), Some(&*one));
        }
        let all = marks(&["a"]).with(one).unwrap();
        let mut out = Encoder::default();
        all.encode(&mut out);
        assert_eq!(Marks::decode(&mut Decoder(&out.0)), Some(all));
        for len in 0..out.0.len() {
            assert_eq!(Marks::decode(&mut Decoder(&out.0[..len])), None);
        }
        let mut twice = Encoder::default();
        twice.u32(2);
        mark("a", &[]).encode(&mut twice);
        mark("a", &[]).encode(&mut twice);
        assert_eq!(Marks::decode(&mut Decoder(&twice.0)), None);
    }

    #[test]
    fn changes_to_a_list_lead_to_the_list_that_changed() {
        let lists = [
            marks(&[]),
            marks(&["a"]),
            marks(&["a", "b", "c"]),
            marks(&["b", "d"]),
            marks(&["c", "a"]),
        ];
        for before in &lists {
            for now in &lists {
                let (gone, added) = before.changes(now);
                assert_eq!(before.changed(&gone, &added).as_ref(), Some(now));
            }
        }
        let all = marks(&["a", "b"]);
        assert_eq!(all.changed(&[2], &marks(&[])), None, "one behind all is gone");
        assert_eq!(all.changed(&[1, 0], &marks(&[])), None, "positions fall");
        assert_eq!(all.changed(&[0], &marks(&["b"])), None, "a name is taken");
    }
}
