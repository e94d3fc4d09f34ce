//! Exports in frames: a header, blocks of entries, and an end frame. FORMAT.md has the layout.
//!
//! # Invariants
//!
//! - Every checksum covers all bytes before it, so blocks of two exports cannot be mixed, and none can be left out,
//!   repeated or exchanged.
//! - The reader returns the entries of a block only after it has verified the block's checksum, and the root only
//!   after it has seen all entries and the end of the input.
//! - All entries of a block begin within its first [`BLOCK_BYTES`]. So a block takes little more memory than its
//!   last entry, whatever the input says.

use std::io::{self, Read, Write};

use duramen::Hash;

use super::header::{CHECK, Chain, Header};
use super::input::Input;
use super::item::{Cause, Erased, Item};
use super::malformed::{Failure, Malformed, Part};

/// A block ends with the entry that makes it as long as this.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Bytes before the entries of a block: how many they are, and how many bytes they take.
const HEAD: usize = 8;

/// Bytes of an entry's length.
const LENGTH: usize = 4;

/// The length that stands for an erased entry.
const ERASED: u32 = u32::MAX;

/// Bytes behind it before the reason: the leaf, the moment, and the length of the reason.
const ERASED_HEAD: usize = 32 + 8 + 2;

/// The longest reason, in bytes.
const LONGEST_REASON: usize = 1024;

/// The end of the year 9999, in milliseconds since the start of 1970. No entry is erased later.
const LAST_MOMENT: u64 = 253_402_300_799_999;

/// Bytes of the end frame behind its head, without its checksum: how many entries there are, and the root.
const END: u8 = 40;

/// Writes an export.
pub(super) struct Writer<W> {
    out: W,
    chain: Chain,
    /// The block that is not complete, with room for its head.
    block: Vec<u8>,
    /// How many entries it has.
    count: u32,
    /// How many entries the export has so far.
    entries: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub(super) fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let (bytes, chain) = header.encode();
        out.write_all(&bytes)?;
        Ok(Self { out, chain, block: vec![0; HEAD], count: 0, entries: 0 })
    }

    pub(super) fn push(&mut self, entry: &[u8]) -> io::Result<()> {
        let length = u32::try_from(entry.len()).map_err(io::Error::other)?;
        self.block.extend(length.to_le_bytes());
        self.block.extend(entry);
        self.pushed()
    }

    /// Adds an entry that was erased.
    pub(super) fn push_erased(&mut self, erased: &Erased<'_>) -> io::Result<()> {
        let Erased { leaf, cause: Cause { at, reason } } = erased;
        let length = u16::try_from(reason.len()).map_err(io::Error::other)?;
        self.block.extend(ERASED.to_le_bytes());
        self.block.extend(leaf);
        self.block.extend(at.to_le_bytes());
        self.block.extend(length.to_le_bytes());
        self.block.extend(reason.as_bytes());
        self.pushed()
    }

    fn pushed(&mut self) -> io::Result<()> {
        self.count += 1;
        if self.block.len() - HEAD >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(())
    }

    /// Writes the end frame with the root of the tree behind the last entry.
    pub(super) fn finish(mut self, root: &Hash) -> io::Result<()> {
        if self.count > 0 {
            self.write_block()?;
        }
        let mut end = head(0, END.into())?.to_vec();
        end.extend(self.entries.to_le_bytes());
        end.extend(root);
        self.write(&end)
    }

    fn write_block(&mut self) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.block);
        let head = head(self.count, block.len() - HEAD)?;
        block[..HEAD].copy_from_slice(&head);
        self.write(&block)?;
        self.entries += u64::from(self.count);
        self.count = 0;
        block.truncate(HEAD);
        self.block = block;
        Ok(())
    }

    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.chain = self.chain.after(&[part]);
        self.out.write_all(part)?;
        self.out.write_all(self.chain.bytes())
    }
}

fn head(count: u32, bytes: usize) -> io::Result<[u8; HEAD]> {
    let bytes = u32::try_from(bytes).map_err(io::Error::other)?;
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&count.to_le_bytes());
    head[4..].copy_from_slice(&bytes.to_le_bytes());
    Ok(head)
}

/// Reads an export.
pub(super) struct Reader<R> {
    input: Input<R>,
    header: Header,
    chain: Chain,
    /// The index of the entry that comes next.
    next: u64,
    /// The offset of the block that comes next.
    start: u64,
}

/// What an export has next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Entries that follow one another, and the index of the first.
    Entries(u64, Vec<Item<'a>>),
    /// The end: the root of the tree behind the last entry.
    End(Hash),
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub(super) fn new(mut input: Input<R>) -> Result<Self, Failure> {
        let (header, chain) = Header::read(&mut input)?;
        let (next, start) = (header.from, input.offset());
        Ok(Self { input, header, chain, next, start })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes that were read of the block that comes next.
    pub(super) fn begun(&self) -> usize {
        let taken = usize::try_from(self.input.offset() - self.start).unwrap_or(usize::MAX);
        self.input.unused().saturating_add(taken)
    }

    /// Reads the next block, or the end frame, behind which there is nothing to be read.
    pub(super) fn read(&mut self) -> Result<Piece<'_>, Failure> {
        let start = self.input.offset();
        self.start = start;
        let found = self.input.take(HEAD)?;
        let Some(head) = found.first_chunk::<HEAD>().copied() else {
            let end = start + found.len() as u64;
            return Err(match found {
                [] => Malformed::NoEnd { end },
                _ => Malformed::Torn { part: Part::Block, start, end },
            }
            .into());
        };
        let [a, b, c, d, bytes @ ..] = head;
        let (count, bytes) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(bytes));
        let longest = self.header.entries.longest_bytes();
        check_lengths(start, (count, bytes), self.header.to - self.next, longest)?;
        if count == 0 {
            return Ok(Piece::End(self.read_end(start, &head)?));
        }
        let Self { input, chain, next, .. } = self;
        let body = checked(input, chain, (Part::Block, start), &head, bytes)?;
        let entries = entries(body, start + HEAD as u64, count, longest)?;
        let first = std::mem::replace(next, *next + u64::from(count));
        Ok(Piece::Entries(first, entries))
    }

    /// Reads the end frame behind its head, and returns the root.
    fn read_end(&mut self, start: u64, head: &[u8; HEAD]) -> Result<Hash, Failure> {
        let Self { input, header, chain, .. } = self;
        let body = checked(input, chain, (Part::End, start), head, END.into())?;
        let (mut number, mut root) = ([0; 8], [0; 32]);
        for (to, from) in number.iter_mut().chain(&mut root).zip(body) {
            *to = *from;
        }
        let (number, entries) = (u64::from_le_bytes(number), header.to - header.from);
        if number != entries {
            let (what, at) = ("number of entries in all", start + HEAD as u64);
            let (found, expected) = (number.to_string(), entries.to_string());
            return Err(Malformed::Field { what, at, found, expected }.into());
        }
        match input.peek(1)? {
            [] => Ok(root),
            _ => Err(Malformed::Behind { at: input.offset() }.into()),
        }
    }
}

/// Reads a part behind its head, and its checksum, which must be right.
fn checked<'a, R: Read>(
    input: &'a mut Input<R>,
    chain: &mut Chain,
    (part, start): (Part, u64),
    head: &[u8; HEAD],
    length: u32,
) -> Result<&'a [u8], Failure> {
    let length = usize::try_from(length).unwrap_or(usize::MAX - CHECK);
    let found = input.take(length + CHECK)?;
    let whole = found.split_at_checked(length).filter(|(_, check)| check.len() == CHECK);
    let Some((body, check)) = whole else {
        let end = start + (HEAD + found.len()) as u64;
        return Err(Malformed::Torn { part, start, end }.into());
    };
    *chain = chain.after(&[head, body]);
    if chain.is(check) { Ok(body) } else { Err(Malformed::Checksum { part, start }.into()) }
}

/// Refuses lengths that no writer writes, before anything is read for them. `left` entries are still to come.
fn check_lengths(
    start: u64,
    (count, bytes): (u32, u32),
    left: u64,
    longest: u32,
) -> Result<(), Malformed> {
    let field = |what, at, found: u32, expected: String| {
        Err(Malformed::Field { what, at, found: found.to_string(), expected })
    };
    if count == 0 && left > 0 {
        return field("number of entries", start, count, format!("1 to {left}"));
    }
    if u64::from(count) > left {
        return field("number of entries", start, count, format!("at most {left}"));
    }
    let longest = u64::from(longest).max((ERASED_HEAD + LONGEST_REASON) as u64);
    let most = (BLOCK_BYTES - 1 + LENGTH) as u64 + longest;
    if count == 0 && bytes != u32::from(END) {
        return field("length of the end frame", start + 4, bytes, END.to_string());
    }
    if count > 0 && u64::from(bytes) > most {
        return field("length of the block", start + 4, bytes, format!("at most {most}"));
    }
    Ok(())
}

/// The entries of a block whose bytes begin at `at`.
fn entries(body: &[u8], at: u64, count: u32, longest: u32) -> Result<Vec<Item<'_>>, Malformed> {
    let mut entries = Vec::new();
    let mut rest = body;
    for _ in 0..count {
        let begin = body.len() - rest.len();
        let wrong = |found: String, expected: String| {
            let at = at + begin as u64;
            Malformed::Field { what: "length of an entry", at, found, expected }
        };
        if begin >= BLOCK_BYTES {
            return Err(wrong("none".to_owned(), "the next block".to_owned()));
        }
        let Some((length, after)) = rest.split_first_chunk::<LENGTH>() else {
            return Err(wrong(format!("{} bytes", rest.len()), format!("{LENGTH} bytes")));
        };
        let length = u32::from_le_bytes(*length);
        if length == ERASED {
            let (erased, after) = erased(after, at + (begin + LENGTH) as u64)?;
            entries.push(Item::Erased(erased));
            rest = after;
            continue;
        }
        if length > longest {
            return Err(wrong(length.to_string(), format!("at most {longest}")));
        }
        let split = usize::try_from(length).ok().and_then(|length| after.split_at_checked(length));
        let Some((entry, after)) = split else {
            return Err(wrong(length.to_string(), format!("at most {}", after.len())));
        };
        entries.push(Item::Entry(entry));
        rest = after;
    }
    if rest.is_empty() {
        return Ok(entries);
    }
    let (what, at) = ("end of the block", at + (body.len() - rest.len()) as u64);
    let (found, expected) = (format!("{} bytes", rest.len()), "none".to_owned());
    Err(Malformed::Field { what, at, found, expected })
}

/// Reads what is left of an erased entry from `body`, which begins at `at`. Returns what is behind it.
fn erased(body: &[u8], at: u64) -> Result<(Erased<'_>, &[u8]), Malformed> {
    let wrong = |what, behind: usize, found: String, expected: String| {
        Err(Malformed::Field { what, at: at + behind as u64, found, expected })
    };
    let fields = body.split_first_chunk::<ERASED_HEAD>();
    let Some((fields, rest)) = fields else {
        let found = format!("{} bytes", body.len());
        return wrong("erased entry", 0, found, format!("{ERASED_HEAD} bytes"));
    };
    let (mut leaf, mut moment) = ([0; 32], [0; 8]);
    for (to, from) in leaf.iter_mut().chain(&mut moment).zip(fields) {
        *to = *from;
    }
    let [.., low, high] = *fields;
    let (moment, length) = (u64::from_le_bytes(moment), u16::from_le_bytes([low, high]));
    if moment > LAST_MOMENT {
        let expected = format!("at most {LAST_MOMENT}");
        return wrong("moment of an erasure", 32, moment.to_string(), expected);
    }
    let split = Some(usize::from(length)).filter(|length| *length <= LONGEST_REASON);
    let Some((reason, rest)) = split.and_then(|length| rest.split_at_checked(length)) else {
        let expected = format!("at most {}", rest.len().min(LONGEST_REASON));
        return wrong("length of a reason", 40, length.to_string(), expected);
    };
    match str::from_utf8(reason) {
        Ok(reason) => Ok((Erased { leaf, cause: Cause { at: moment, reason } }, rest)),
        Err(_) => wrong("reason", ERASED_HEAD, "other bytes".to_owned(), "UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests;
