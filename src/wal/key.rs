//! How the store recognises its own groups in a segment: by values that no caller knows.
//!
//! The caller chooses the leaves, a group of leaves may begin in any block, and segment files are
//! recycled. So bytes that look like a group do not prove that this store wrote a group there. A
//! *stretch* is a run of the log without a gap. Each stretch has a random *key*, which is stored only in
//! the manifest. The key and a segment's number determine the segment's *life*: 16 bytes in the header
//! of every group. The checksums of the groups' bodies are keyed by the life.
//!
//! # Invariants
//!
//! - Every store draws a key, and so does every stretch that begins after an unclean stop. The manifest
//!   with the key is durable before any group carries a life derived from the key.
//! - A segment number is used once under one key, so a life is used once.
//! - No key leaves the manifest. Messages, events and dumps do not show keys. A copy of a store gets a
//!   new key.

use std::fmt;

use crate::error::Result;
use crate::fs::FileSystem;
use crate::ids::SegmentId;

const LIFE_CONTEXT: &str = "duramen 2026-11 life of a log segment v1";
const BODY_CONTEXT: &str = "duramen 2026-11 body of a log group v1";

/// The key of a stretch of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogKey(pub(crate) [u8; 16]);

impl LogKey {
    /// A new key.
    pub(crate) fn fresh(fs: &dyn FileSystem) -> Result<Self> {
        crate::random::bytes(fs).map(Self)
    }

    /// The life of `segment` in the stretch with this key.
    pub(crate) fn life(self, segment: SegmentId) -> Life {
        let mut hasher = blake3::Hasher::new_derive_key(LIFE_CONTEXT);
        hasher.update(&self.0).update(&segment.0.to_le_bytes());
        let mut life = [0; 16];
        hasher.finalize_xof().fill(&mut life);
        Life(life)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey(..)")
    }
}

/// What all groups of a segment carry while the log uses the segment under one number and one key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) [u8; 16]);

impl Life {
    /// The key of the checksums of group bodies.
    pub(crate) fn body_key(self) -> BodyKey {
        BodyKey(blake3::derive_key(BODY_CONTEXT, &self.0))
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Life(..)")
    }
}

/// Computes checksums of the bodies of groups of one [`Life`]. A checksum without a key is not enough. A
/// torn write leaves old sectors between new ones. A caller who chose the leaves of both can choose them
/// so that an unkeyed or linear checksum does not change.
#[derive(Clone, Copy)]
pub(crate) struct BodyKey([u8; 32]);

impl BodyKey {
    /// Begins a checksum of bytes that come in pieces.
    pub(crate) fn begin(self) -> BodySum {
        BodySum(blake3::Hasher::new_keyed(&self.0))
    }

    pub(crate) fn checksum(self, body: &[u8]) -> u64 {
        let mut sum = self.begin();
        sum.update(body);
        sum.finish()
    }
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKey(..)")
    }
}

/// The checksum of a body: the first 8 bytes of its keyed BLAKE3.
pub(crate) struct BodySum(blake3::Hasher);

impl BodySum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        let mut sum = [0; 8];
        self.0.finalize_xof().fill(&mut sum);
        u64::from_le_bytes(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_follows_from_every_bit_of_key_and_number() {
        let life = |key: [u8; 16], number| LogKey(key).life(SegmentId(number));
        let base = life([7; 16], 5);
        for bit in 0..128 {
            let mut key = [7; 16];
            key[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(life(key, 5), base, "bit {bit}");
        }
        for bit in 0..64 {
            assert_ne!(life([7; 16], 5 ^ (1 << bit)), base, "bit {bit} of the number");
        }
    }

    #[test]
    fn a_checksum_depends_on_the_life() {
        let sum = |life| Life([life; 16]).body_key().checksum(b"body");
        assert_ne!(sum(1), sum(2));
        let mut pieces = Life([1; 16]).body_key().begin();
        pieces.update(b"bo");
        pieces.update(b"dy");
        assert_eq!(pieces.finish(), sum(1));
    }

    /// Two leaves whose difference is a multiple of the polynomial of CRC-64/NVME. An earlier version
    /// used this CRC for bodies. The CRC of a group is the same with either leaf.
    #[test]
    fn leaves_that_a_linear_checksum_confuses_are_told_apart() {
        let one = [0_u8; 32];
        let other = crc_twin(one);
        assert_ne!(one, other);
        let body = |leaf: [u8; 32]| [[3; 32], leaf, [9; 32]].concat();
        assert_eq!(crate::checksum::checksum(&body(one)), crate::checksum::checksum(&body(other)));
        let key = Life([1; 16]).body_key();
        assert_ne!(key.checksum(&body(one)), key.checksum(&body(other)));
    }

    /// Another leaf with the same CRC, by Gaussian elimination over the effect of the first 65 bits.
    fn crc_twin(leaf: [u8; 32]) -> [u8; 32] {
        let base = crate::checksum::checksum(&leaf);
        let mut rows: Vec<(u64, [u8; 32])> = Vec::new();
        for bit in 0..65 {
            let mut change = [0; 32];
            change[bit / 8] |= 1 << (bit % 8);
            let mut changed = leaf;
            changed[bit / 8] ^= change[bit / 8];
            let mut effect = crate::checksum::checksum(&changed) ^ base;
            for (row, of) in &rows {
                if effect ^ row < effect {
                    effect ^= row;
                    change.iter_mut().zip(of).for_each(|(byte, other)| *byte ^= other);
                }
            }
            if effect == 0 {
                let mut twin = leaf;
                twin.iter_mut().zip(change).for_each(|(byte, other)| *byte ^= other);
                return twin;
            }
            rows.push((effect, change));
            rows.sort_unstable_by_key(|(row, _)| std::cmp::Reverse(*row));
        }
        leaf
    }
}
