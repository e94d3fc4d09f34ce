//! A proof as JSON.
//!
//! Size, root, index and leaf stand in it for people and for tools that pass it on. Verification
//! takes them from the caller and only compares.

use duramen::{Arity, Hash};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::args::HasherName;
use crate::hex;

/// `{"kind":"inclusion", ...}`, hashes as 64 hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InclusionJson {
    pub(crate) kind: Kind,
    pub(crate) hasher: String,
    pub(crate) arity: usize,
    pub(crate) size: u64,
    pub(crate) root: Hex,
    pub(crate) index: u64,
    pub(crate) leaf: Hex,
    pub(crate) siblings: Vec<Hex>,
}

/// What a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// That a leaf is in a tree.
    Inclusion,
}

/// A hash that JSON has as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Hash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Self).ok_or_else(|| {
            de::Error::custom(format!("a hash is 64 hexadecimal digits, not {text:?}"))
        })
    }
}

/// What a proof says it was made with, if the program knows it.
pub(crate) fn made_with(proof: &InclusionJson) -> Result<(HasherName, Arity), String> {
    let hasher = HasherName::by_id(&proof.hasher)
        .ok_or_else(|| format!("the hasher {:?} is unknown", proof.hasher))?;
    let arity = Arity::new(proof.arity)
        .ok_or_else(|| format!("the arity is {}, not 2, 4, 8 or 16", proof.arity))?;
    Ok((hasher, arity))
}
