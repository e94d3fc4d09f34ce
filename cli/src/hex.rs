//! Hashes as text: exactly 64 hexadecimal digits, no prefix.

use duramen::Hash;

/// The hash that `digits` spell.
pub(crate) fn decode(digits: &[u8]) -> Option<Hash> {
    // The library takes a prefix of 0x, which would make two spellings of one hash.
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    plain.then(|| const_hex::decode_to_array(digits).ok()).flatten()
}

/// The digits of a hash, in lower case.
pub(crate) fn encode(hash: &Hash) -> String {
    const_hex::encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_spelling_but_for_case() {
        let digits = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD";
        let hash = decode(digits.as_bytes()).unwrap();
        assert_eq!(encode(&hash), digits.to_lowercase());
        for bad in [
            String::new(),
            digits[1..].to_owned(),
            format!("{digits}00"),
            format!("0x{digits}"),
            format!("0x{}", &digits[2..]),
            format!("{} ", &digits[1..]),
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
