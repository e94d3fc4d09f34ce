//! The body of a state: what the local store calls its state, and which objects have its parts. Pure.
//!
//! ```text
//! length of the state 8 | state | parts 8 | for each: number 8 | bytes 8 | checksum 8 | objects 8
//! ```
//!
//! The objects of the parts follow one another in the list of the state, each with the next [`CHUNK`] bytes.

use bytes::Bytes;
use duramen::ship::ShippedPart;

use crate::error::{Error, Result};
use crate::objects::{Object, Reference, State};

/// Bytes of a part in one object. What fails is sent again from the start, so it is not larger.
pub(crate) const CHUNK: usize = 32 << 20;

/// A part in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemotePart {
    pub(crate) number: u64,
    pub(crate) len: u64,
    pub(crate) checksum: u64,
    pub(crate) chunks: Vec<Reference>,
}

impl RemotePart {
    /// Whether it has the bytes of `part`.
    pub(crate) fn is(&self, part: &ShippedPart) -> bool {
        (self.number, self.len, self.checksum) == (part.number, part.len, part.checksum)
    }
}

pub(crate) fn encode(state: &[u8], parts: &[RemotePart]) -> (Vec<Reference>, Bytes) {
    let mut out = Vec::new();
    let mut objects = Vec::new();
    out.extend_from_slice(&(state.len() as u64).to_le_bytes());
    out.extend_from_slice(state);
    out.extend_from_slice(&(parts.len() as u64).to_le_bytes());
    for part in parts {
        for field in [part.number, part.len, part.checksum, part.chunks.len() as u64] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        objects.extend_from_slice(&part.chunks);
    }
    (objects, out.into())
}

/// The state and the parts of an object.
pub(crate) fn decode(state: &State) -> Result<(Bytes, Vec<RemotePart>)> {
    read(state).ok_or_else(|| Error::Damaged {
        name: state.name().to_string(),
        what: "its body is not a state and parts".to_owned(),
    })
}

fn read(state: &State) -> Option<(Bytes, Vec<RemotePart>)> {
    let mut at = 0;
    let mut number = || {
        let field = state.body.get(at..at + 8)?.try_into().ok()?;
        at += 8;
        Some(u64::from_le_bytes(field))
    };
    let len = usize::try_from(number()?).ok()?;
    let end = 8_usize.checked_add(len)?;
    (end <= state.body.len()).then_some(())?;
    let own = state.body.slice(8..end);
    let mut rest = state.body.get(end..)?;
    let mut number = || {
        let (field, behind) = rest.split_first_chunk()?;
        rest = behind;
        Some(u64::from_le_bytes(*field))
    };
    let mut objects = state.objects.iter();
    let mut parts = Vec::new();
    for _ in 0..number()? {
        let (id, len, checksum, count) = (number()?, number()?, number()?, number()?);
        let chunks: Vec<_> = objects.by_ref().take(usize::try_from(count).ok()?).cloned().collect();
        let bytes: u64 = chunks.iter().try_fold(0_u64, |sum, chunk| sum.checked_add(chunk.len))?;
        (chunks.len() as u64 == count && bytes == len).then_some(())?;
        parts.push(RemotePart { number: id, len, checksum, chunks });
    }
    (rest.is_empty() && objects.next().is_none()).then_some((own, parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn a_body_is_read_back_and_one_that_does_not_add_up_is_refused() {
        let chunk = |chunk: u8| Reference::to(Name::part(1, 7, chunk.into()), &[chunk; 5]);
        let chunks = vec![chunk(0), chunk(1)];
        let parts = vec![RemotePart { number: 7, len: 10, checksum: 3, chunks }];
        let (objects, body) = encode(b"state", &parts);
        let state = State { store: [0; 16], epoch: 1, nonce: [0; 16], objects, body };
        assert_eq!(decode(&state).unwrap(), (Bytes::from_static(b"state"), parts));
        for len in 0..state.body.len() {
            let cut = State { body: state.body.slice(..len), ..state.clone() };
            assert!(decode(&cut).is_err(), "{len}");
        }
        let fewer = State { objects: state.objects[..1].to_vec(), ..state.clone() };
        assert!(decode(&fewer).is_err());
        let mut more = state.clone();
        more.objects.push(chunk(2));
        assert!(decode(&more).is_err());
    }
}
