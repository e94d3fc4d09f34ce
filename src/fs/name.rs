//! The names of a store's files: a kind and a number, nothing else.

use crate::ids::{PartId, SegmentId};
use std::ffi::OsStr;
use std::fmt;

/// A directory of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dir {
    /// The store's own directory.
    Root,
    /// `manifest/`.
    Manifest,
    /// `wal/`.
    Wal,
    /// `parts/`.
    Parts,
}

impl Dir {
    /// The directories inside [`Dir::Root`].
    pub const INNER: [Self; 3] = [Self::Manifest, Self::Wal, Self::Parts];

    /// The path from the store's directory, empty for the root itself.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Manifest => "manifest",
            Self::Wal => "wal",
            Self::Parts => "parts",
        }
    }
}

/// What a numbered file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// `manifest/NNNNNNNN.manifest`.
    Manifest,
    /// `wal/NNNNNNNN.wal`.
    Segment,
    /// `parts/NNNNNNNN.part`.
    Part,
    /// `parts/NNNNNNNN.index`.
    Index,
}

/// All kinds.
const KINDS: [FileKind; 4] =
    [FileKind::Manifest, FileKind::Segment, FileKind::Part, FileKind::Index];

impl FileKind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Segment => "wal",
            Self::Part => "part",
            Self::Index => "index",
        }
    }
}

/// The name of a file of the store: a kind, a number, and whether it is still being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// What the file is.
    pub kind: FileKind,
    /// Its number, never reused within its kind.
    pub number: u64,
    /// Whether the name ends in `.tmp`: the file is not part of the store yet.
    pub temporary: bool,
}

impl FileName {
    /// No number is higher. Counting never gets there, so a file with a higher number is not the
    /// store's, and numbers can be counted on without overflow.
    pub const LAST_NUMBER: u64 = u64::MAX / 2;

    /// No number that stands in a manifest is believed to be higher, and no store goes on from half of
    /// it: so counting comes neither here nor to a number without a name.
    pub(crate) const LAST_BELIEVED: u64 = Self::LAST_NUMBER / 2;

    /// How far beyond what a store knows of a number can be that a crash made it forget: it counts on by
    /// one for each file.
    pub(crate) const FARTHEST: u64 = 1 << 31;

    /// The first number from `next` on that none of `files` has. A file so far off that no store came there
    /// does not count: its name would leave no numbers for those to come.
    pub(crate) fn beyond(next: u64, files: impl IntoIterator<Item = Self>) -> u64 {
        let last = next.saturating_add(Self::FARTHEST);
        let near = files.into_iter().map(|name| name.number).filter(|number| *number < last);
        near.map(|number| number + 1).max().unwrap_or(0).max(next)
    }

    /// The file of this kind and number.
    #[must_use]
    pub const fn new(kind: FileKind, number: u64) -> Self {
        Self { kind, number, temporary: false }
    }

    /// The same file while it is being made.
    #[must_use]
    pub const fn tmp(self) -> Self {
        Self { temporary: true, ..self }
    }

    /// The same file once it is complete.
    #[must_use]
    pub const fn complete(self) -> Self {
        Self { temporary: false, ..self }
    }

    /// The directory it stands in.
    #[must_use]
    pub const fn dir(self) -> Dir {
        match self.kind {
            FileKind::Manifest => Dir::Manifest,
            FileKind::Segment => Dir::Wal,
            FileKind::Part | FileKind::Index => Dir::Parts,
        }
    }

    /// The name within its directory.
    #[must_use]
    pub fn base(self) -> String {
        let tmp = if self.temporary { ".tmp" } else { "" };
        format!("{:08}.{}{tmp}", self.number, self.kind.extension())
    }

    /// Reads a name within `dir`; `None` for anything that [`base`](Self::base) would not return.
    #[must_use]
    pub fn parse(dir: Dir, base: impl AsRef<OsStr>) -> Option<Self> {
        let base = base.as_ref().to_str()?;
        let mut pieces = base.split('.');
        let (digits, extension) = (pieces.next()?, pieces.next()?);
        let number = digits.parse().ok().filter(|number| *number <= Self::LAST_NUMBER)?;
        let kind = KINDS.into_iter().find(|kind| kind.extension() == extension)?;
        let name = Self { kind, number, temporary: base.ends_with(".tmp") };
        (name.dir() == dir && name.base() == base).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dir().path(), self.base())
    }
}

impl SegmentId {
    pub(crate) const fn file(self) -> FileName {
        FileName::new(FileKind::Segment, self.0)
    }
}

impl PartId {
    pub(crate) const fn file(self) -> FileName {
        FileName::new(FileKind::Part, self.0)
    }

    /// The file of the part's index.
    pub(crate) const fn index_file(self) -> FileName {
        FileName::new(FileKind::Index, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_it_was_written_and_nothing_else_is_a_name() {
        for kind in KINDS {
            for number in [0, 7, 99_999_999, 100_000_000, FileName::LAST_NUMBER] {
                for name in [FileName::new(kind, number), FileName::new(kind, number).tmp()] {
                    assert_eq!(FileName::parse(name.dir(), name.base()), Some(name));
                }
            }
        }
        let beyond = FileName::new(FileKind::Segment, FileName::LAST_NUMBER + 1).base();
        assert_eq!(FileName::parse(Dir::Wal, &beyond), None);
        for bad in ["", "1.wal", "+0000001.wal", "00000001.part", "00000001.wal.tmp.tmp", "../x"] {
            assert_eq!(FileName::parse(Dir::Wal, bad), None, "{bad:?}");
        }
    }
}
