//! The verifier of the page: what a browser checks of a log, as WebAssembly.
//!
//! It is the library's own code for notes, proofs and SHA-256, compiled for `wasm32-unknown-unknown`. The page puts a
//! request into memory, and gets an answer: [`answer`] is all of it, and `abi` makes it callable. Both are
//! `fields`: bytes with their length before them.
//!
//! # Invariants
//!
//! - An answer begins with `ok` only if everything that the request asks about holds.
//! - A head comes from a note that the log's key signed, in the same request. A caller cannot mix up heads.

mod abi;
mod fields;
mod proofs;
mod signed;

pub use fields::{pack, unpack};

/// Why something does not hold, in words for a person.
pub type Refusal = String;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Question {
    /// The leaf of an entry. Fields: the entry. Answer: the hash.
    Leaf = 1,
    /// A public key. Fields: its text. Answer: name, id, type.
    Key = 2,
    /// A signed checkpoint. Fields: the note, the origin, the log's key, other keys in lines. Answer: size, root, and
    /// the name, id, state and time of each signature.
    Checkpoint = 3,
    /// That a leaf is in a checkpoint. Fields: the note, the origin, the log's key, index, leaf, siblings in lines.
    /// Answer: size, root, and the side, sibling and node of each level.
    Inclusion = 4,
    /// That one checkpoint continues another. Fields: both notes, the origin, the log's key, hashes in lines. Answer:
    /// both sizes.
    Consistency = 5,
}

/// Answers a request: the number of a [`Question`] and its fields. The answer is `ok` and its fields, or `no` and the
/// reason.
#[must_use]
pub fn answer(request: &[u8]) -> Vec<u8> {
    match reply(request) {
        Ok(fields) => pack(&[vec!["ok".to_owned()], fields].concat()),
        Err(reason) => pack(&["no".to_owned(), reason]),
    }
}

fn reply(request: &[u8]) -> Result<Vec<String>, Refusal> {
    let unreadable = || "the request to the verifier cannot be read".to_owned();
    let (question, fields) = request.split_first().ok_or_else(unreadable)?;
    let fields = unpack(fields).ok_or_else(unreadable)?;
    if *question == Question::Leaf as u8 {
        let [entry] = fields[..] else { return Err(unreadable()) };
        return Ok(vec![proofs::leaf(entry)]);
    }
    // All others are text.
    let texts: Option<Vec<&str>> =
        fields.iter().map(|field| core::str::from_utf8(field).ok()).collect();
    let texts = texts.ok_or("what is to be verified is no text")?;
    let is = |asked: Question| *question == asked as u8;
    match texts[..] {
        [key] if is(Question::Key) => signed::key(key),
        [note, origin, key, others] if is(Question::Checkpoint) => {
            signed::checkpoint(note, origin, key, others)
        }
        [note, origin, key, index, leaf, siblings] if is(Question::Inclusion) => {
            let head = signed::head(note, origin, key)?;
            proofs::inclusion(&head, index, leaf, siblings)
        }
        [old, new, origin, key, hashes] if is(Question::Consistency) => {
            let heads = (signed::head(old, origin, key)?, signed::head(new, origin, key)?);
            proofs::consistency(&heads.0, &heads.1, hashes)
        }
        _ => Err(unreadable()),
    }
}
