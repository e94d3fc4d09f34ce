//! Hexadecimal digits, and the encodings straight from the text of FORMAT.md.

use testkit::reference::TreeOfStore;

pub(crate) type Hash = [u8; 32];

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

pub(crate) fn hash(text: &str) -> Hash {
    unhex(text).try_into().unwrap()
}

pub(crate) fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

pub(crate) fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex(hash)).collect()
}

/// The header of every encoding.
fn header(kind: u8, arity: usize, hasher: &str) -> Vec<u8> {
    let mut bytes = b"duPF".to_vec();
    bytes.extend([1, kind, u8::try_from(arity).unwrap(), u8::try_from(hasher.len()).unwrap()]);
    bytes.extend(hasher.as_bytes());
    bytes
}

/// An encoding of these numbers and hashes.
pub(crate) fn encode(
    kind: u8,
    (hasher, arity): (&str, usize),
    numbers: &[u64],
    hashes: &[Hash],
) -> Vec<u8> {
    let mut bytes = header(kind, arity, hasher);
    numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend(hashes.as_flattened());
    bytes
}

pub(crate) fn encode_tree(
    tree: &TreeOfStore<'_>,
    position: u64,
    count: u64,
    hashes: &[Hash],
) -> Vec<u8> {
    let mut bytes = header(5, tree.arity, tree.hasher);
    bytes.extend(tree.size.to_le_bytes());
    bytes.extend(tree.root);
    bytes.push(u8::try_from(tree.name.len()).unwrap());
    bytes.extend(tree.name.as_bytes());
    bytes.extend(position.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(hashes.as_flattened());
    bytes
}

/// Base64 with padding, RFC 4648 section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |number: usize, at| {
            number << 8 | usize::from(three.get(at).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let digit = DIGITS[number >> (18 - 6 * place) & 63];
            text.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}
