//! The types of keys and signatures.

use core::fmt;

/// The signature type of a key, as C2SP `signed-note` assigns it: the first byte of a key's text.
///
/// ```
/// use duramen::tlog::KeyType;
///
/// assert_eq!(KeyType::ED25519_COSIGNATURE.to_string(), "0x04 (Ed25519 cosignatures)");
/// assert_eq!(KeyType(0x02).to_string(), "0x02 (ECDSA signatures)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyType(pub u8);

impl KeyType {
    /// Ed25519 over the text of the note.
    pub const ED25519: Self = Self(0x01);
    /// Ed25519 cosignatures of checkpoints, with a time.
    pub const ED25519_COSIGNATURE: Self = Self(0x04);
    /// ML-DSA-44 cosignatures of checkpoints and subtrees, with a time.
    pub const ML_DSA_44_COSIGNATURE: Self = Self(0x06);
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0x01 => "Ed25519 signatures",
            0x02 => "ECDSA signatures",
            0x03 | 0xfa..=0xfe => "reserved",
            0x04 => "Ed25519 cosignatures",
            0x05 => "RFC 6962 tree head signatures",
            0x06 => "ML-DSA-44 cosignatures",
            0xff => "a type without a number",
            _ => "not assigned",
        };
        write!(f, "{:#04x} ({name})", self.0)
    }
}
