//! What a tree is trusted by: its size and its root.

use core::fmt;
use core::str::FromStr;

use super::hasher::HasherId;
use super::hex;
use super::hex::Hex;
use super::types::{Arity, Hash, TreeSize};
use crate::words::count;

/// The size of a tree and the root of its leaves.
///
/// A proof is verified against a head that the verifier trusts; nothing of it is read from the
/// proof. A root alone does not say how many leaves it commits to, so both belong together: trust a
/// head as a whole, or its [`commitment`](Self::commitment).
///
/// As text a head is `SIZE:ROOTHEX`, with the size in decimal and the root as 64 lower-case
/// hex digits.
///
/// ```
/// use duramen::merkle::TreeHead;
///
/// let text = "1:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
/// let head: TreeHead = text.parse()?;
/// assert_eq!(head.size.get(), 1);
/// assert_eq!(head.to_string(), text);
/// # Ok::<(), duramen::merkle::ParseHeadError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TreeHead {
    /// How many leaves the root commits to.
    pub size: TreeSize,
    /// The root.
    #[cfg_attr(feature = "serde", serde(with = "super::serial::hash"))]
    pub root: Hash,
}

impl TreeHead {
    /// The derive-key context of [`commitment`](Self::commitment).
    pub const COMMITMENT_CONTEXT: &str = "duramen 2026-11 tree head commitment v1";

    /// One 32-byte value that binds hasher, arity, size and root, for places that can keep only 32
    /// bytes.
    ///
    /// It is `blake3::derive_key` of [`COMMITMENT_CONTEXT`](Self::COMMITMENT_CONTEXT) and these
    /// bytes, whatever the tree's own hasher is:
    ///
    /// | offset | length | content |
    /// | --- | --- | --- |
    /// | 0 | 1 | length of the hasher's id, L |
    /// | 1 | L | the hasher's id, ASCII |
    /// | 1 + L | 1 | arity: 2, 4, 8 or 16 |
    /// | 2 + L | 8 | size, little-endian |
    /// | 10 + L | 32 | root |
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ids have up to 32 bytes, arity is up to 16"
    )]
    pub fn commitment(&self, hasher: HasherId, arity: Arity) -> Hash {
        let id = hasher.as_str().as_bytes();
        let mut input = blake3::Hasher::new_derive_key(Self::COMMITMENT_CONTEXT);
        input.update(&[id.len() as u8]);
        input.update(id);
        input.update(&[arity.children() as u8]);
        input.update(&self.size.get().to_le_bytes());
        input.update(&self.root);
        *input.finalize().as_bytes()
    }
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, Hex(&self.root))
    }
}

impl fmt::Debug for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHead({self})")
    }
}

impl FromStr for TreeHead {
    type Err = ParseHeadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (size, root) = text.split_once(':').ok_or(ParseHeadError::NoColon)?;
        let canonical = !size.is_empty()
            && size.bytes().all(|digit| digit.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| canonical).ok_or(ParseHeadError::BadSize)?;
        let root = hex::parse_hash(root)
            .ok_or_else(|| ParseHeadError::BadRoot { digits: root.chars().count() })?;
        Ok(Self { size: TreeSize(size), root })
    }
}

/// Why a text is not a tree head of the form `SIZE:ROOTHEX`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseHeadError {
    /// There is no colon.
    #[error("a tree head has the form SIZE:ROOTHEX, but there is no colon")]
    NoColon,
    /// What stands before the colon is not a size.
    #[error(
        "the size of a tree head is a decimal number below 2^64 without a sign or leading zeros"
    )]
    BadSize,
    /// What stands behind the colon is not a root.
    #[error(
        "the root of a tree head is 64 hex digits, but {} given, or one that is no hex digit",
        count(*digits, "character was", "characters were")
    )]
    BadRoot {
        /// How many characters stand behind the colon.
        digits: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn a_head_reads_back_what_it_shows() {
        for size in [0, 1, 10, u64::MAX] {
            let head = TreeHead { size: TreeSize(size), root: [0xa5; 32] };
            assert_eq!(head.to_string().parse(), Ok(head));
            assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        }
    }

    #[test]
    fn a_text_that_is_no_head_is_refused_with_the_reason() {
        let root = "a5".repeat(32);
        assert_eq!(root.parse::<TreeHead>(), Err(ParseHeadError::NoColon));
        for size in ["", "+1", "-1", "01", "00", " 1", "1 ", "0x1", "18446744073709551616"] {
            let text = format!("{size}:{root}");
            assert_eq!(text.parse::<TreeHead>(), Err(ParseHeadError::BadSize), "{text}");
        }
        for bad in ["", "a5", &root[1..], &format!("{root}a"), &format!("{root}a5")] {
            let text = format!("1:{bad}");
            let digits = bad.len();
            assert_eq!(text.parse::<TreeHead>(), Err(ParseHeadError::BadRoot { digits }), "{text}");
        }
        let text = format!("1:g{}", &root[1..]);
        assert_eq!(text.parse::<TreeHead>(), Err(ParseHeadError::BadRoot { digits: 64 }));
    }

    #[test]
    fn the_commitment_is_the_derived_key_of_the_documented_bytes() {
        let head = TreeHead { size: TreeSize(0x0102_0304), root: [7; 32] };
        let mut bytes = Vec::new();
        bytes.extend(b"\x06blake3\x04\x04\x03\x02\x01\0\0\0\0");
        bytes.extend([7; 32]);
        assert_eq!(
            head.commitment(HasherId::new("blake3"), Arity::Four),
            blake3::derive_key("duramen 2026-11 tree head commitment v1", &bytes)
        );
    }

    #[test]
    fn the_commitment_differs_if_any_part_differs() {
        let head = TreeHead { size: TreeSize(5), root: [7; 32] };
        let blake3 = HasherId::new("blake3");
        let mut all = Vec::from([
            head.commitment(blake3, Arity::Four),
            head.commitment(blake3, Arity::Two),
            head.commitment(HasherId::new("rfc6962-sha256"), Arity::Four),
            TreeHead { size: TreeSize(6), ..head }.commitment(blake3, Arity::Four),
            TreeHead { root: [8; 32], ..head }.commitment(blake3, Arity::Four),
        ]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5);
    }
}
