//! From bytes to what a tree takes, a buffer at a time: at most one unfinished record is kept, so an input of any size
//! takes constant memory.

use std::borrow::Cow;

use duramen::{DynAccumulator, Hash, Hasher};

use crate::args::InputKind;
use crate::ended::{Bad, InputError};
use crate::error::Error;
use crate::lines::Lines;
use crate::record::{Decoder, Record};
use crate::sink::Sink;

/// Cuts the input into records and has them appended.
pub(crate) struct Records<'a> {
    hasher: &'a dyn Hasher,
    decoder: Decoder,
    cut: Cut,
    /// Room for leaves, used again.
    leaves: Vec<Hash>,
}

enum Cut {
    Lines(Lines),
    Raw(Raw),
}

/// How the parsing of some bytes went, and the appending of the records before the first bad one: false if the
/// thread that prints acknowledgements has ended.
pub(crate) type Fed = (Result<(), Box<Bad>>, Result<bool, Error>);

impl<'a> Records<'a> {
    pub(crate) fn new(kind: InputKind, strip_cr: bool, tree: &'a DynAccumulator) -> Self {
        let longest = tree.entry_config().map(duramen::EntryConfig::longest_bytes);
        let decoder = Decoder { kind, strip_cr, longest };
        let cut = match kind {
            InputKind::Raw => Cut::Raw(Raw::default()),
            _ => Cut::Lines(Lines::new(decoder.unit(), decoder.longest_text())),
        };
        Self { hasher: tree.hasher(), decoder, cut, leaves: Vec::new() }
    }

    /// Appends the records that `bytes` complete, up to the first bad one.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Sink<'_>) -> Fed {
        self.leaves.clear();
        let Self { hasher, decoder, cut, leaves } = self;
        match cut {
            Cut::Raw(raw) => {
                raw.feed(bytes, leaves);
                (Ok(()), out.append_leaves(leaves))
            }
            Cut::Lines(lines) if decoder.longest.is_some() => {
                let mut entries = Vec::new();
                let parsed = lines.feed(bytes, |number, text| {
                    take_entry(*decoder, *hasher, (number, text), &mut entries)
                });
                (parsed, out.append_entries(&entries))
            }
            Cut::Lines(lines) => {
                let parsed = lines.feed(bytes, |number, text| {
                    take_leaf(*decoder, *hasher, (number, text), leaves)
                });
                (parsed, out.append_leaves(leaves))
            }
        }
    }

    /// Appends the last record, if it ends with the input.
    pub(crate) fn finish(&mut self, out: &mut Sink<'_>) -> Fed {
        self.leaves.clear();
        let Self { hasher, decoder, cut, leaves } = self;
        match cut {
            Cut::Raw(raw) => (raw.finish(), Ok(true)),
            Cut::Lines(lines) if decoder.longest.is_some() => {
                let mut entries = Vec::new();
                let parsed = lines.finish(|number, text| {
                    take_entry(*decoder, *hasher, (number, text), &mut entries)
                });
                (parsed, out.append_entries(&entries))
            }
            Cut::Lines(lines) => {
                let parsed = lines
                    .finish(|number, text| take_leaf(*decoder, *hasher, (number, text), leaves));
                (parsed, out.append_leaves(leaves))
            }
        }
    }

    /// How many bytes there are of a record that has begun and not ended.
    pub(crate) fn begun(&self) -> usize {
        match &self.cut {
            Cut::Lines(lines) => lines.begun(),
            Cut::Raw(raw) => raw.unfinished.len(),
        }
    }

    /// The byte behind each record, if there is one.
    pub(crate) fn separator(&self) -> Option<u8> {
        match &self.cut {
            Cut::Lines(_) => Some(self.decoder.unit().separator()),
            Cut::Raw(_) => None,
        }
    }
}

fn take_leaf(
    decoder: Decoder,
    hasher: &dyn Hasher,
    (number, text): (u64, &[u8]),
    leaves: &mut Vec<Hash>,
) -> Result<(), InputError> {
    leaves.push(match decoder.decode(hasher, number, text)? {
        Record::Data(data) => hasher.leaf(&data),
        Record::Leaf(leaf) => leaf,
    });
    Ok(())
}

fn take_entry<'t>(
    decoder: Decoder,
    hasher: &dyn Hasher,
    (number, text): (u64, &'t [u8]),
    entries: &mut Vec<Cow<'t, [u8]>>,
) -> Result<(), InputError> {
    match decoder.decode(hasher, number, text)? {
        Record::Data(data) => entries.push(data),
        Record::Leaf(_) => return Err(InputError::NoEntry { line: number }),
    }
    Ok(())
}

/// Cuts bytes into leaves.
#[derive(Default)]
struct Raw {
    /// The leaf that the bytes so far have begun but not ended.
    unfinished: Vec<u8>,
    /// Leaves that have ended.
    ended: u64,
}

impl Raw {
    fn feed(&mut self, mut bytes: &[u8], leaves: &mut Vec<Hash>) {
        let before = leaves.len();
        if !self.unfinished.is_empty() {
            let missing = (32 - self.unfinished.len()).min(bytes.len());
            self.unfinished.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if let Ok(leaf) = Hash::try_from(self.unfinished.as_slice()) {
                leaves.push(leaf);
                self.unfinished.clear();
            }
        }
        let (whole, rest) = bytes.as_chunks::<32>();
        leaves.extend_from_slice(whole);
        self.unfinished.extend_from_slice(rest);
        self.ended += (leaves.len() - before) as u64;
    }

    /// A last leaf must be whole.
    fn finish(&mut self) -> Result<(), Box<Bad>> {
        let bytes = std::mem::take(&mut self.unfinished);
        if bytes.is_empty() {
            return Ok(());
        }
        let (start, extra) = (self.ended * 32, bytes.len());
        let error = InputError::CutLeaf { start, end: start + extra as u64, extra };
        Err(Box::new(Bad { error: Some(error), bytes, ended: true, consumed: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_cut_every_32_and_a_cut_leaf_is_named() {
        let bytes: Vec<u8> = (0..100).collect();
        for step in 1..=100 {
            let (mut raw, mut leaves) = (Raw::default(), Vec::new());
            bytes.chunks(step).for_each(|piece| raw.feed(piece, &mut leaves));
            assert_eq!(leaves.as_flattened(), &bytes[..96]);
            let bad = raw.finish().unwrap_err();
            assert_eq!(bad.error, Some(InputError::CutLeaf { start: 96, end: 100, extra: 4 }));
            assert_eq!(bad.bytes, &bytes[96..]);
            assert_eq!(raw.finish(), Ok(()));
        }
    }
}
