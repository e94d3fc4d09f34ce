//! The names of objects in a bucket.
//!
//! # Invariants
//!
//! - A name is never used for two different contents. Names that writers of different epochs could both choose are
//!   the ones over which they race: epochs, manifests and slots. Every other name carries the epoch of its writer,
//!   and a number that this writer uses once.
//! - Numbers have a fixed width, so that a listing is in the order of the numbers.

use std::fmt;

/// A name below the prefix of a store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

/// The kinds of names that are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Epochs,
    Manifests,
    Slots,
    Blobs,
    Parts,
    States,
}

impl Folder {
    const ALL: [Self; 6] =
        [Self::Epochs, Self::Manifests, Self::Slots, Self::Blobs, Self::Parts, Self::States];

    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Epochs => "epoch/",
            Self::Manifests => "manifest/",
            Self::Slots => "wal/",
            Self::Blobs => "blob/",
            Self::Parts => "part/",
            Self::States => "state/",
        }
    }
}

impl Name {
    /// The object that says whose prefix this is.
    pub(crate) fn store() -> Self {
        Self("store".to_owned())
    }

    pub(crate) fn epoch(epoch: u64) -> Self {
        Self(format!("{}{epoch:020}", Folder::Epochs.prefix()))
    }

    pub(crate) fn manifest(number: u64) -> Self {
        Self(format!("{}{number:020}", Folder::Manifests.prefix()))
    }

    pub(crate) fn slot(slot: u64) -> Self {
        Self(format!("{}{slot:020}", Folder::Slots.prefix()))
    }

    /// The body of a slot that is too large for the slot.
    pub(crate) fn blob(epoch: u64, nonce: [u8; 16]) -> Self {
        Self(format!("{}{epoch:020}-{}", Folder::Blobs.prefix(), const_hex::encode(nonce)))
    }

    /// What a manifest points to.
    pub(crate) fn state(epoch: u64, nonce: [u8; 16]) -> Self {
        Self(format!("{}{epoch:020}-{}", Folder::States.prefix(), const_hex::encode(nonce)))
    }

    /// One chunk of a part.
    pub(crate) fn part(epoch: u64, part: u64, chunk: u32) -> Self {
        Self(format!("{}{epoch:020}-{part:020}-{chunk:05}", Folder::Parts.prefix()))
    }

    /// An object of the test that a bucket has to pass.
    pub(crate) fn probe(nonce: [u8; 16], key: u32) -> Self {
        Self(format!("probe/{}-{key:02}", const_hex::encode(nonce)))
    }

    /// A name that a listing or an object contains. `None` if no object of a store has such a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let known = name == "store"
            || name.starts_with("probe/")
            || Folder::ALL.iter().any(|folder| name.starts_with(folder.prefix()));
        let printable = name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-".contains(&byte)
        });
        (known && printable && name.len() <= 128).then(|| Self(name.to_owned()))
    }

    pub(crate) fn is_in(&self, folder: Folder) -> bool {
        self.0.starts_with(folder.prefix())
    }

    /// The number of an epoch, a manifest or a slot.
    pub(crate) fn number(&self) -> Option<u64> {
        let folders = [Folder::Epochs, Folder::Manifests, Folder::Slots];
        folders.iter().find_map(|folder| self.0.strip_prefix(folder.prefix()))?.parse().ok()
    }

    /// The number of a slot.
    pub(crate) fn slot_number(&self) -> Option<u64> {
        self.0.strip_prefix(Folder::Slots.prefix())?.parse().ok()
    }

    /// The epoch in the name of a blob, a state or a part.
    pub(crate) fn writer(&self) -> Option<u64> {
        let folders = [Folder::Blobs, Folder::States, Folder::Parts];
        let rest = folders.iter().find_map(|folder| self.0.strip_prefix(folder.prefix()))?;
        rest.get(..20)?.parse().ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_sort_like_their_numbers() {
        let names = [
            Name::store(),
            Name::epoch(7),
            Name::manifest(u64::MAX),
            Name::slot(8),
            Name::blob(3, [0xab; 16]),
            Name::state(3, [0xab; 16]),
            Name::part(3, 9, 2),
        ];
        for name in names {
            assert_eq!(Name::parse(name.as_str()), Some(name));
        }
        assert_eq!(Name::slot(8).slot_number(), Some(8));
        assert_eq!(Name::epoch(8).slot_number(), None);
        let numbered = [Name::epoch(8), Name::manifest(8), Name::slot(8)];
        assert!(numbered.iter().all(|name| name.number() == Some(8)));
        assert_eq!(Name::state(3, [1; 16]).number(), None);
        assert_eq!(Name::part(3, 9, 2).writer(), Some(3));
        assert_eq!(Name::slot(8).writer(), None);
        assert!(Name::slot(9) < Name::slot(10));
        for other in ["", "wal", "wal/../store", "readme", "part/é"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
