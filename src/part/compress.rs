//! Compressing bundles. The only file that names the compressor.

use crate::entry::Compression;
use crate::fs::backing;

/// Longer bundles are stored as they are, so that reading one entry never needs more memory.
pub(super) const LONGEST: u64 = 32 << 20;

/// The bundle compressed, if the tree wants that and the result is shorter.
pub(super) fn compress(bundle: &[u8], compression: Compression) -> Option<Vec<u8>> {
    let Compression::Zstd { level } = compression else { return None };
    // Compressing fails only without memory. The bundle is then stored as it is.
    let compressed = zstd::bulk::compress(bundle, i32::from(level)).ok()?;
    (compressed.len() < bundle.len()).then_some(compressed)
}

/// The bundle of `len` bytes that was compressed to `stored`. `None` if there is none.
pub(super) fn decompress(stored: &[u8], len: u64) -> std::io::Result<Option<Vec<u8>>> {
    if len > LONGEST {
        return Ok(None);
    }
    let mut bundle = backing::zeros(len)?;
    let found = zstd::bulk::decompress_to_buffer(stored, &mut bundle);
    Ok(found.is_ok_and(|found| found == bundle.len()).then_some(bundle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_compressed_if_that_makes_it_shorter_and_comes_back() {
        let text = b"GET /index.html 200\n".repeat(1000);
        let stored = compress(&text, Compression::Zstd { level: 3 }).unwrap();
        assert!(stored.len() < text.len() / 10);
        assert_eq!(decompress(&stored, text.len() as u64).unwrap(), Some(text.clone()));
        assert_eq!(decompress(&stored, text.len() as u64 - 1).unwrap(), None);
        assert_eq!(decompress(&stored, text.len() as u64 + 1).unwrap(), None);
        assert_eq!(decompress(&stored[1..], text.len() as u64).unwrap(), None);
        assert_eq!(decompress(&stored, LONGEST + 1).unwrap(), None);
        assert_eq!(compress(&text, Compression::None), None);
        assert_eq!(compress(&stored, Compression::Zstd { level: 3 }), None);
        assert_eq!(compress(&[], Compression::Zstd { level: 3 }), None);
    }
}
