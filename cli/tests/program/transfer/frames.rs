//! Exports in frames, written as FORMAT.md has them.

use crate::common::Hash;

/// An export.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a> {
    pub(super) store: &'a str,
    pub(super) hasher: &'a str,
    pub(super) arity: u16,
    pub(super) level: u8,
    pub(super) longest: u32,
    pub(super) tree: &'a str,
    pub(super) from: u64,
    /// The root at the size `from`.
    pub(super) before: Hash,
    pub(super) entries: &'a [&'a [u8]],
    pub(super) root: Hash,
}

impl Frames<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut check = [0; 32];
        let mut put = |part: Vec<u8>| {
            let all = [&check[..], &part].concat();
            check = blake3::derive_key("duramen 2026-11 part of an export v1", &all);
            out.extend(part);
            out.extend(check);
        };
        let to = self.from + self.entries.len() as u64;
        let mut header = b"duraEXP\n\x02\0".to_vec();
        header.extend(self.arity.to_le_bytes());
        header.extend([0; 4]);
        let store = self.store.replace('-', "");
        header.extend((0..16).map(|at| u8::from_str_radix(&store[2 * at..][..2], 16).unwrap()));
        header.extend(self.from.to_le_bytes());
        header.extend(to.to_le_bytes());
        header.extend(self.before);
        header.extend([1, self.level, 0, 0]);
        header.extend(self.longest.to_le_bytes());
        header.extend(short(self.hasher.len()).to_le_bytes());
        header.extend(short(self.tree.len()).to_le_bytes());
        header.extend(self.hasher.as_bytes());
        header.extend(self.tree.as_bytes());
        put(header);
        let mut block = |entries: &mut u32, bytes: &mut Vec<u8>| {
            if *entries > 0 {
                let length = long(bytes.len());
                put([&entries.to_le_bytes()[..], &length.to_le_bytes(), bytes].concat());
            }
            *entries = 0;
            bytes.clear();
        };
        let (mut entries, mut bytes) = (0_u32, Vec::new());
        for entry in self.entries {
            bytes.extend(long(entry.len()).to_le_bytes());
            bytes.extend(*entry);
            entries += 1;
            if bytes.len() >= 256 << 10 {
                block(&mut entries, &mut bytes);
            }
        }
        block(&mut entries, &mut bytes);
        let count = self.entries.len() as u64;
        put([&[0, 0, 0, 0, 40, 0, 0, 0], &count.to_le_bytes()[..], &self.root].concat());
        out
    }
}

fn short(length: usize) -> u16 {
    length.try_into().unwrap()
}

fn long(length: usize) -> u32 {
    length.try_into().unwrap()
}
