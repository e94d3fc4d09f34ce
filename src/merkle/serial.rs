//! How the types of this module look to serde.
//!
//! A hash is 64 hex digits in human-readable formats and 32 bytes in others; a list of hashes is a
//! list of hex texts, or all their bytes in one run. Whether the number of hashes is right shows when
//! a proof is verified; a frontier is checked when it is read.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::frontier::Frontier;
use super::hex;
use super::hex::Hex;
use super::store_head::StoreHead;
use super::tree_name::TreeName;
use super::types::{Arity, Hash, TreeSize};

/// One hash: for `#[serde(with = "...")]`.
pub(super) mod hash {
    use super::{Deserialize, Deserializer, Hash, OneHash, Serialize, Serializer};

    pub(in crate::merkle) fn serialize<S: Serializer>(
        hash: &Hash,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        OneHash(*hash).serialize(serializer)
    }

    pub(in crate::merkle) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Hash, D::Error> {
        OneHash::deserialize(deserializer).map(|hash| hash.0)
    }
}

/// A list of hashes: for `#[serde(with = "...")]`.
pub(super) mod hashes {
    use super::{Deserializer, Hash, HashList, OneHash, SerializeSeq, Serializer, Vec};

    pub(in crate::merkle) fn serialize<S: Serializer>(
        hashes: &[Hash],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(hashes.as_flattened());
        }
        let mut list = serializer.serialize_seq(Some(hashes.len()))?;
        for hash in hashes {
            list.serialize_element(&OneHash(*hash))?;
        }
        list.end()
    }

    pub(in crate::merkle) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Hash>, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_seq(HashList)
        } else {
            deserializer.deserialize_bytes(HashList)
        }
    }
}

struct OneHash(Hash);

impl Serialize for OneHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Hex(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for OneHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;

        impl Visitor<'_> for Expect {
            type Value = OneHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a hash of 64 hex digits or 32 bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneHash, E> {
                let wrong = || E::invalid_value(Unexpected::Str(text), &self);
                hex::parse_hash(text).map(OneHash).ok_or_else(wrong)
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<OneHash, E> {
                let wrong = |_| E::invalid_length(bytes.len(), &self);
                bytes.try_into().map(OneHash).map_err(wrong)
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Expect)
        } else {
            deserializer.deserialize_bytes(Expect)
        }
    }
}

struct HashList;

impl<'de> Visitor<'de> for HashList {
    type Value = Vec<Hash>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hashes, or a multiple of 32 bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Hash>, A::Error> {
        // What the input says about its length is not believed.
        let mut hashes = Vec::new();
        while let Some(OneHash(hash)) = list.next_element()? {
            hashes.push(hash);
        }
        Ok(hashes)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<Hash>, E> {
        match bytes.as_chunks() {
            (hashes, []) => Ok(hashes.to_vec()),
            _ => Err(E::invalid_length(bytes.len(), &self)),
        }
    }
}

impl Serialize for Arity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.children().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Arity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let children = usize::deserialize(deserializer)?;
        Self::new(children).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Unsigned(children as u64), &"2, 4, 8 or 16")
        })
    }
}

/// A text, which is checked when it is read.
impl Serialize for TreeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TreeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(name).map_err(D::Error::custom)
    }
}

/// The list of the trees. Read in any order, refused if two have the same name.
impl Serialize for StoreHead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.trees().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoreHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Frontier", deny_unknown_fields)]
struct FrontierFields {
    arity: Arity,
    size: TreeSize,
    #[serde(with = "hashes")]
    nodes: Vec<Hash>,
}

impl Serialize for Frontier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (arity, size, nodes) = (self.arity(), self.size(), self.nodes().to_vec());
        FrontierFields { arity, size, nodes }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Frontier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let FrontierFields { arity, size, nodes } = Deserialize::deserialize(deserializer)?;
        Self::from_nodes(arity, size, nodes).map_err(D::Error::custom)
    }
}
