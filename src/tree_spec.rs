//! The permanent properties of a tree.

use std::fmt;
use std::sync::Arc;

use crate::codec::{Decoder, Encoder};
use crate::entry::{Compression, EntryConfig};
use crate::error::Printable;
use crate::ids::TreeId;
use crate::merkle::{Arity, Hasher, HasherId, NamedHead, Rfc6962Sha256, TreeHead, TreeName};

/// What was fixed when a tree was created. Two trees never have the same id, even if one is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeSpec {
    pub(crate) id: TreeId,
    pub(crate) name: TreeName,
    /// The stable name of its hash function, of the form that [`HasherId`] has.
    pub(crate) hasher: String,
    pub(crate) arity: Arity,
    /// How the tree keeps entries, if it does.
    pub(crate) entries: Option<EntryConfig>,
}

/// The most leaves of a frontier that a tree begins behind. Numbers in files stay far below 2^64.
pub(crate) const LARGEST_ORIGIN: u64 = 1 << 60;

/// Bytes of the [entry settings](TreeSpec::entry_settings) in a file.
pub(crate) const ENTRY_SETTINGS_LEN: usize = 8;

/// The tree keeps entries.
const KEPT: u8 = 1;

impl TreeSpec {
    /// A tree without entries.
    pub(crate) fn new(id: TreeId, name: TreeName, hasher: &dyn Hasher, arity: Arity) -> Self {
        Self { id, name, hasher: hasher.id().to_string(), arity, entries: None }
    }

    /// The same tree, with or without entries.
    pub(crate) fn with_entries(self, entries: Option<EntryConfig>) -> Self {
        Self { entries, ..self }
    }

    /// A tree as a file describes it. `None` if no tree can have such properties.
    pub(crate) fn read(
        id: TreeId,
        name: &[u8],
        hasher: &[u8],
        arity: u16,
        entries: [u8; ENTRY_SETTINGS_LEN],
    ) -> Option<Arc<Self>> {
        let name = TreeName::new(str::from_utf8(name).ok()?).ok()?;
        let hasher = str::from_utf8(hasher).ok().filter(|hasher| HasherId::is_name(hasher))?;
        let arity = Arity::new(usize::from(arity))?;
        let entries = read_entries(entries)?;
        Some(Arc::new(Self { id, name, hasher: hasher.to_owned(), arity, entries }))
    }

    /// The tree with this head.
    pub(crate) fn at(&self, head: TreeHead) -> NamedHead {
        NamedHead { name: self.name.clone(), hasher: self.hasher.clone(), arity: self.arity, head }
    }

    /// Whether the tree can be published as tiles: it is of SHA-256, with arity 2.
    pub(crate) fn has_tiles(&self) -> bool {
        self.arity == Arity::Two && self.hasher == Rfc6962Sha256.id().as_str()
    }

    /// The arity as files have it.
    pub(crate) fn children(&self) -> u16 {
        u16::try_from(self.arity.children()).unwrap_or(0)
    }

    /// How the tree keeps entries, as files have it: 1 if it does, the zstd level or 0, two zero bytes,
    /// the length of the longest entry. All zero for a tree without entries.
    pub(crate) fn entry_settings(&self) -> [u8; ENTRY_SETTINGS_LEN] {
        let mut bytes = [0; ENTRY_SETTINGS_LEN];
        if let Some(entries) = self.entries {
            let level = match entries.stored() {
                Compression::None => 0,
                Compression::Zstd { level } => level,
            };
            let mut out = Encoder::default();
            out.bytes(&[KEPT, level]).u16(0).u32(entries.longest_bytes());
            bytes.copy_from_slice(&out.0);
        }
        bytes
    }
}

/// `None` if the bytes are no settings of this version.
#[expect(clippy::option_option, reason = "no settings, and settings that say none")]
fn read_entries(bytes: [u8; ENTRY_SETTINGS_LEN]) -> Option<Option<EntryConfig>> {
    if bytes == [0; ENTRY_SETTINGS_LEN] {
        return Some(None);
    }
    let mut fields = Decoder(&bytes);
    let [KEPT, level] = fields.array()? else { return None };
    let 0 = fields.u16()? else { return None };
    let compression = match level {
        0 => Compression::None,
        level => Compression::zstd(level).ok()?,
    };
    let entries = EntryConfig::new().longest(fields.u32()?).ok()?;
    Some(Some(entries.compression(compression)))
}

impl fmt::Display for TreeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hasher, arity, entries, .. } = self;
        write!(f, "tree {name:?}: {}, arity {arity}", Printable::new(hasher))?;
        match entries {
            Some(entries) => write!(f, ", {entries}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Blake3;

    #[test]
    fn entry_settings_are_read_back_as_written() {
        let spec = TreeSpec::new(TreeId(1), TreeName::main(), &Blake3, Arity::Two);
        let longest = |bytes| EntryConfig::new().longest(bytes).unwrap();
        let compressed = longest(64 << 20).compression(Compression::Zstd { level: 22 });
        for entries in [None, Some(longest(0)), Some(compressed)] {
            let bytes = spec.clone().with_entries(entries).entry_settings();
            assert_eq!(read_entries(bytes), Some(entries));
        }
    }

    #[test]
    fn settings_that_no_tree_has_are_refused() {
        let refused = [
            [2, 0, 0, 0, 9, 0, 0, 0],
            [1, 23, 0, 0, 9, 0, 0, 0],
            [1, 0, 1, 0, 9, 0, 0, 0],
            [1, 0, 0, 0, 1, 0, 0, 4],
            [0, 0, 0, 0, 9, 0, 0, 0],
        ];
        for bytes in refused {
            assert_eq!(read_entries(bytes), None, "{bytes:?}");
        }
    }
}
