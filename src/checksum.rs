//! The two checksums: CRC-64/NVME of headers, groups and manifests, CRC-32C of blocks of parts.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of everything but part blocks: CRC-64/NVME. It finds every error of up to 64
/// neighbouring bits.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The checksum of a part's block: CRC-32C.
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit checksum in a u64")]
pub(crate) fn block_checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A [`checksum`] of bytes that come piece by piece.
pub(crate) struct Checksum(Digest);

impl Checksum {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finalize()
    }
}
