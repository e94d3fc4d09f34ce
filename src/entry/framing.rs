//! Where an entry ends and the next one begins. Pure.
//!
//! An entry is its length, big-endian, and its data. The length has two bytes in trees whose entries are
//! no longer than 65,535 bytes, as in the entry bundles of C2SP tlog-tiles, and four in other trees.

use super::config::EntryConfig;

/// How many bytes the length of an entry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Two.
    Short,
    /// Four.
    Long,
}

/// The length of an entry, as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix {
    bytes: [u8; 4],
    from: usize,
}

impl Prefix {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Framing {
    /// The framing of a tree.
    pub(crate) fn of(config: EntryConfig) -> Self {
        match u16::try_from(config.longest_bytes()) {
            Ok(_) => Self::Short,
            Err(_) => Self::Long,
        }
    }

    /// Bytes of a length.
    #[inline]
    pub(crate) const fn prefix_len(self) -> usize {
        match self {
            Self::Short => 2,
            Self::Long => 4,
        }
    }

    /// Bytes that an entry of `len` bytes takes.
    #[inline]
    pub(crate) const fn framed_len(self, len: usize) -> usize {
        self.prefix_len() + len
    }

    /// The length of an entry of `len` bytes. The tree accepts such an entry, so it fits.
    #[inline]
    pub(crate) fn prefix(self, len: usize) -> Prefix {
        debug_assert!(self == Self::Long || len <= usize::from(u16::MAX), "the length fits");
        let bytes = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        Prefix { bytes, from: bytes.len() - self.prefix_len() }
    }

    /// The length that a prefix says.
    #[inline]
    pub(crate) fn len_of(self, prefix: &[u8]) -> usize {
        prefix.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
    }

    /// The data of the first entry in `bytes`, and what follows the entry. `None` if the bytes end
    /// within it.
    #[inline]
    pub(crate) fn split(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = match self {
            Self::Short => {
                let (prefix, rest) = bytes.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*prefix)), rest)
            }
            Self::Long => {
                let (prefix, rest) = bytes.split_first_chunk()?;
                (usize::try_from(u32::from_be_bytes(*prefix)).ok()?, rest)
            }
        };
        rest.split_at_checked(len)
    }
}

/// The entries in a run of bytes, in order. `None` stands for bytes that end within an entry, and is the
/// last item.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a> {
    framing: Framing,
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(crate) fn new(framing: Framing, bytes: &'a [u8]) -> Self {
        Self { framing, rest: bytes }
    }

    /// All entries, if they are exactly `count` and nothing follows them.
    pub(crate) fn exactly(mut self, count: u64) -> Option<Vec<&'a [u8]>> {
        let count = usize::try_from(count).ok()?;
        let entries: Vec<_> = self.by_ref().take(count).collect::<Option<_>>()?;
        (entries.len() == count && self.rest.is_empty()).then_some(entries)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.framing.split(self.rest);
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(entry, _)| entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(framing: Framing, entries: &[&[u8]]) -> Vec<u8> {
        let one = |entry: &&[u8]| [framing.prefix(entry.len()).bytes(), entry].concat();
        entries.iter().flat_map(one).collect()
    }

    #[test]
    fn entries_are_read_back_as_they_were_framed() {
        let longest = vec![7; 65_535];
        let entries: [&[u8]; 5] = [b"", b"a", b"bc", &longest, b""];
        for framing in [Framing::Short, Framing::Long] {
            let bytes = frame(framing, &entries);
            let len: usize = entries.iter().map(|entry| framing.framed_len(entry.len())).sum();
            assert_eq!(bytes.len(), len);
            let read = Entries::new(framing, &bytes).exactly(5).unwrap();
            assert_eq!(read, entries);
            assert_eq!(Entries::new(framing, &bytes).exactly(4), None);
            assert_eq!(Entries::new(framing, &bytes).exactly(6), None);
            assert_eq!(Entries::new(framing, &[]).exactly(0), Some(vec![]));
        }
        // As C2SP tlog-tiles writes it.
        assert_eq!(frame(Framing::Short, &[b"abc"]), b"\x00\x03abc");
        assert_eq!(frame(Framing::Long, &[b"abc"]), b"\x00\x00\x00\x03abc");
    }

    #[test]
    fn bytes_that_end_within_an_entry_are_no_entries() {
        for framing in [Framing::Short, Framing::Long] {
            let bytes = frame(framing, &[b"abc", b"d"]);
            let whole = [0, framing.framed_len(3), bytes.len()];
            for end in 0..bytes.len() {
                let all: Option<Vec<_>> = Entries::new(framing, &bytes[..end]).collect();
                assert_eq!(all.is_some(), whole.contains(&end), "{end}");
            }
        }
    }
}
