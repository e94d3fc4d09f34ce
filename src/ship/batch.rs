//! A piece of the log: groups, one after the other. Pure.
//!
//! ```text
//! sequence number before 8 | and after 8 | frames 4 | flags 4 | length of the frames 8 | frames
//! ```

use crate::codec::{Decoder, Encoder};
use crate::ids::{SegmentId, Seq};
use crate::wal::GroupEnd;
use crate::wal::frame::{GroupHeader, PROVISIONAL, frames, without_rolls};

/// Some groups of the log, the last of which ends at a state that the store may have after a restart.
///
/// See [`ship`](crate::ship) for an example.
#[derive(Clone, Debug)]
pub struct LogBatch {
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) bytes: Vec<u8>,
    /// The oldest segment that is read after this batch.
    pub(super) next: SegmentId,
}

impl LogBatch {
    /// The sequence number of the store before the batch.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// The sequence number of the store after the batch.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The groups.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One group of a batch.
///
/// See [`Groups`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The sequence number of the store before the group.
    pub first: Seq,
    /// The sequence number of the store after the group.
    pub last: Seq,
    /// All bytes of the group.
    pub bytes: &'a [u8],
}

/// The groups in the bytes of some batches, in order. Ends early, with an error, at bytes that are no group.
///
/// # Examples
///
/// ```
/// use duramen::ship::Groups;
///
/// assert_eq!(Groups::new(&[]).count(), 0);
/// assert!(Groups::new(b"no group").next().is_some_and(|group| group.is_err()));
/// ```
#[derive(Clone, Debug)]
pub struct Groups<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Groups<'a> {
    /// The groups in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// The next group, with its fields. Fails with the position of the bytes that are no group.
    pub(crate) fn parse(&mut self) -> Option<Result<Parsed<'a>, usize>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(parsed) = Parsed::take(self.rest) else {
            self.rest = &[];
            return Some(Err(self.at));
        };
        let len = parsed.group.bytes.len();
        self.rest = &self.rest[len..];
        self.at += len;
        Some(Ok(parsed))
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = Result<Group<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.parse()?.map(|parsed| parsed.group))
    }
}

/// A group with its fields.
pub(crate) struct Parsed<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) frames: u32,
    pub(crate) end: GroupEnd,
    pub(crate) body: &'a [u8],
}

const HEADER_LEN: usize = 32;

impl<'a> Parsed<'a> {
    fn take(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Decoder(bytes);
        let (first, last) = (Seq(fields.u64()?), Seq(fields.u64()?));
        let frames = fields.u32()?;
        let end = match fields.u32()? {
            0 => GroupEnd::Point,
            flags if flags == u32::from(PROVISIONAL) => GroupEnd::Provisional,
            _ => return None,
        };
        let len = usize::try_from(fields.u64()?).ok()?;
        let body = fields.bytes(len)?;
        let weight = self::frames(body, frames).ok()?;
        let weight = weight.iter().fold(0, |sum: u64, frame| sum.saturating_add(frame.weight()));
        if first.0.checked_add(weight)? != last.0 {
            return None;
        }
        let group = Group { first, last, bytes: bytes.get(..HEADER_LEN + len)? };
        Some(Self { group, frames, end, body })
    }
}

/// Appends a group of the log, unless nothing but its place in the log would be left of it.
pub(super) fn append(out: &mut Vec<u8>, header: &GroupHeader, body: &[u8]) {
    let (body, frames) = without_rolls(body, header.frames);
    if frames == 0 && header.end == GroupEnd::Point {
        return;
    }
    let mut fields = Encoder::default();
    fields.u64(header.first.0).u64(header.last.0).u32(frames);
    fields.u32(match header.end {
        GroupEnd::Point => 0,
        GroupEnd::Provisional => PROVISIONAL.into(),
    });
    fields.u64(body.len() as u64);
    out.extend_from_slice(&fields.0);
    out.extend_from_slice(&body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(first: u64, last: u64, frames: u32, body: &[u8]) -> Vec<u8> {
        let mut fields = Encoder::default();
        fields.u64(first).u64(last).u32(frames).u32(0).u64(body.len() as u64);
        [fields.0, body.to_vec()].concat()
    }

    #[test]
    fn bytes_that_are_no_group_end_the_groups_with_their_position() {
        let good = group(3, 3, 0, &[]);
        let all = [good.clone(), good.clone(), vec![1; 5]].concat();
        let found: Vec<_> = Groups::new(&all).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(found[2], Err(2 * HEADER_LEN));
        let weightless = group(3, 4, 0, &[]);
        assert_eq!(Groups::new(&weightless).next(), Some(Err(0)), "no frame counts");
        let long = group(3, 3, 0, &[]);
        let mut long = long;
        long[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Groups::new(&long).next(), Some(Err(0)));
    }
}
