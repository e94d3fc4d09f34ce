//! Format features of a file that this version of the crate does not know.

use std::fmt;

/// The feature that makes a file unreadable for this version. See
/// [`UnknownFormat`](crate::Error::UnknownFormat).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FormatFeature {
    /// The version of the file's format.
    Version,
    /// The kind of a frame in a group of the log.
    FrameKind,
    /// The flags of a group of the log.
    GroupFlags,
    /// The flags of a manifest.
    ManifestFlags,
}

impl FormatFeature {
    /// The text before the number that this version reads.
    pub(super) fn reads(self) -> &'static str {
        match self {
            Self::Version => "version ",
            Self::FrameKind | Self::GroupFlags | Self::ManifestFlags => "those up to ",
        }
    }
}

impl fmt::Display for FormatFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "format version",
            Self::FrameKind => "frame kind",
            Self::GroupFlags => "group flags",
            Self::ManifestFlags => "manifest flags",
        })
    }
}
