//! The two checksums without a key: CRC-64/NVME of headers and manifests, CRC-32C of blocks of parts.

use crc_fast::CrcAlgorithm;

/// The checksum of everything but part blocks and bodies of groups: CRC-64/NVME. It finds every error of up to 64
/// neighbouring bits.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The checksum of a part's block: CRC-32C.
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit checksum in a u64")]
pub(crate) fn block_checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
