//! Where in a bundle some of its entries begin. Pure.

use super::Framing;

/// Every 16th entry of a bundle has a mark, so that reading one steps over at most 15 others.
pub(crate) const STRIDE: usize = 16;
/// Marks of a bundle. Its first entry begins at byte 0 and needs none.
pub(crate) const MARKS: usize = 15;

/// Finds the marks of a bundle in its bytes, which may come in pieces of any length.
#[derive(Debug)]
pub(crate) struct Marks {
    framing: Framing,
    /// Where the entries 16, 32, .. of the bundle begin. Behind the last one the length of the bundle.
    found: Vec<u64>,
    /// Bytes so far.
    at: u64,
    /// Entries whose length was read.
    count: u64,
    /// Bytes of the length that is being read.
    prefix: Vec<u8>,
    /// Bytes of the current entry's data that are still to come.
    left: u64,
}

impl Marks {
    pub(crate) fn new(framing: Framing) -> Self {
        let (found, prefix) = (Vec::with_capacity(MARKS), Vec::with_capacity(4));
        Self { framing, found, at: 0, count: 0, prefix, left: 0 }
    }

    /// Goes on with the next `bytes` of the bundle.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let skip = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.left -= skip as u64;
            self.at += skip as u64;
            rest = &rest[skip..];
            if rest.is_empty() {
                return;
            }
            if self.prefix.is_empty() && self.count > 0 && self.count.is_multiple_of(STRIDE as u64)
            {
                self.found.push(self.at);
            }
            let more = (self.framing.prefix_len() - self.prefix.len()).min(rest.len());
            self.prefix.extend_from_slice(&rest[..more]);
            self.at += more as u64;
            rest = &rest[more..];
            if self.prefix.len() < self.framing.prefix_len() {
                return;
            }
            self.left = self.framing.len_of(&self.prefix) as u64;
            self.prefix.clear();
            self.count += 1;
        }
    }

    /// How many entries there are, if the bytes end with one.
    pub(crate) fn count(&self) -> Option<u64> {
        (self.left == 0 && self.prefix.is_empty()).then_some(self.count)
    }

    /// Bytes of the bundle.
    pub(crate) fn len(&self) -> u64 {
        self.at
    }

    /// The marks. Entries that the bundle does not have begin at its end.
    pub(crate) fn finish(&self) -> [u64; MARKS] {
        let mut marks = [self.at; MARKS];
        marks.iter_mut().zip(&self.found).for_each(|(mark, found)| *mark = *found);
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::BUNDLE;

    #[test]
    fn marks_do_not_depend_on_how_the_bytes_are_cut() {
        for framing in [Framing::Short, Framing::Long] {
            for count in [0, 1, 15, 16, 17, 240, 241, BUNDLE] {
                let mut bytes = Vec::new();
                let mut begins = Vec::new();
                for number in 0..usize::try_from(count).unwrap() {
                    begins.push(bytes.len() as u64);
                    let len = number * 7 % 50;
                    bytes.extend_from_slice(framing.prefix(len).bytes());
                    bytes.resize(bytes.len() + len, 0xff);
                }
                let end = bytes.len() as u64;
                let begin = |mark: usize| begins.get(mark * STRIDE).copied().unwrap_or(end);
                let expected: [u64; MARKS] = std::array::from_fn(|mark| begin(mark + 1));
                for step in [1, 2, 3, 5, 64, 1 << 20] {
                    let mut marks = Marks::new(framing);
                    bytes.chunks(step).for_each(|piece| marks.add(piece));
                    assert_eq!(marks.finish(), expected, "{count} in steps of {step}");
                    assert_eq!((marks.count(), marks.len()), (Some(count), end));
                }
            }
        }
    }

    #[test]
    fn bytes_that_end_within_an_entry_have_no_count() {
        let mut marks = Marks::new(Framing::Short);
        for (byte, count) in [(0, None), (2, None), (9, None), (9, Some(1)), (0, None)] {
            marks.add(&[byte]);
            assert_eq!(marks.count(), count);
        }
    }
}
