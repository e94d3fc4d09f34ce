//! Exports in lines of JSON, as `entries --format jsonl` prints them.
//!
//! # Invariants
//!
//! - The indexes of the entries that are returned rise by one.
//! - The entries before a line that is wrong are returned before the error.

use std::borrow::Cow;
use std::io::Read;

use duramen::Hasher;
use serde::Deserialize;

use super::header::LONGEST_ENTRY;
use super::input::{Input, Line};
use super::malformed::{Failure, Malformed};
use crate::hex;

/// The longest line: every byte of the longest entry may be an escape sequence of six.
const MAX_LINE: usize = LONGEST_ENTRY as usize * 6 + 1024;

/// A batch ends with the entry that makes it as long as this.
const BATCH_BYTES: usize = 1 << 20;

/// The most entries of a batch.
const BATCH_ENTRIES: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson<'a> {
    index: u64,
    #[serde(borrow)]
    leaf: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entry_hex: Option<Cow<'a, str>>,
}

/// Reads entries, batch by batch.
pub(super) struct Reader<R> {
    input: Input<R>,
    /// The index of the next line. None before the first.
    next: Option<u64>,
    /// What is wrong with the line behind the batch that was returned.
    failure: Option<Failure>,
    /// The entries of the batch, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Entries that follow one another, behind the index of the first.
pub(super) type Batch<'a> = (u64, Vec<&'a [u8]>);

impl<R: Read> Reader<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self { input, next: None, failure: None, bytes: Vec::new(), ends: Vec::new() }
    }

    /// The bytes that were read of the line that comes next.
    pub(super) fn begun(&self) -> usize {
        self.input.unused()
    }

    /// The next entries, and the index of the first. Nothing at the end of the input.
    ///
    /// A leaf on a line must be that of its entry under `hasher`.
    pub(super) fn read(&mut self, hasher: &dyn Hasher) -> Result<Option<Batch<'_>>, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.bytes.clear();
        self.ends.clear();
        while self.bytes.len() < BATCH_BYTES && self.ends.len() < BATCH_ENTRIES {
            match self.read_line(hasher) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) if self.ends.is_empty() => return Err(failure),
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        let Some(next) = self.next.filter(|_| !self.ends.is_empty()) else { return Ok(None) };
        let mut begin = 0;
        let entry = |end: &usize| &self.bytes[std::mem::replace(&mut begin, *end)..*end];
        let entries: Vec<&[u8]> = self.ends.iter().map(entry).collect();
        Ok(Some((next - entries.len() as u64, entries)))
    }

    /// Adds the entry of the next line to the batch. False at the end of the input.
    fn read_line(&mut self, hasher: &dyn Hasher) -> Result<bool, Failure> {
        let Some(Line { number, at, text }) = self.input.line(MAX_LINE)? else { return Ok(false) };
        let wrong = |why: String| Malformed::Line { line: number, at, why };
        let read: EntryJson<'_> = serde_json::from_slice(text).map_err(|error| {
            // The place is that of the line, the column a byte of it. The text names both.
            let at = at + (error.column() as u64).saturating_sub(1);
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or(&why).to_owned();
            Malformed::Line { line: number, at, why }
        })?;
        let EntryJson { index, leaf, entry, entry_hex } = read;
        if let Some(next) = self.next.filter(|next| *next != index) {
            return Err(wrong(format!("index {index}, expected {next}")).into());
        }
        let entry = match (entry, entry_hex) {
            (Some(entry), None) => Cow::Owned(entry.into_owned().into_bytes()),
            (None, Some(digits)) => const_hex::decode(digits.as_bytes())
                .map(Cow::Owned)
                .map_err(|error| wrong(format!("entry_hex: {error}")))?,
            (None, None) => return Err(wrong("neither entry nor entry_hex".to_owned()).into()),
            (Some(_), Some(_)) => return Err(wrong("both entry and entry_hex".to_owned()).into()),
        };
        let entry: Cow<'_, [u8]> = entry;
        if let Some(leaf) = leaf {
            let stated = hex::decode(leaf.as_bytes())
                .ok_or_else(|| wrong("leaf is not 64 hexadecimal digits".to_owned()))?;
            if hasher.leaf(&entry) != stated {
                let hasher = hasher.id();
                let why = format!("leaf {leaf} is not that of the entry under {hasher}");
                return Err(wrong(why).into());
            }
        }
        let next = index.checked_add(1).ok_or_else(|| wrong(format!("index {index}")))?;
        self.next = Some(next);
        self.bytes.extend_from_slice(&entry);
        self.ends.push(self.bytes.len());
        Ok(true)
    }
}
