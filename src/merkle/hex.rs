//! Hashes as text.

use core::fmt;

use super::types::Hash;

/// Shows bytes as lower-case hex.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows hashes as a list of hex, for `Debug`.
pub(crate) struct Hashes<'a>(pub(crate) &'a [Hash]);

impl fmt::Debug for Hashes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|hash| Hex(hash))).finish()
    }
}

/// Reads exactly 64 hex digits of either case.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    let (digits, odd) = text.as_bytes().as_chunks::<2>();
    let digits: &[[u8; 2]; 32] = digits.try_into().ok()?;
    if !odd.is_empty() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(digits) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(hash)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
