//! Keys, and notes that they signed.

use duramen::TreeHead;
use duramen::tlog::{AnyVerifier, NoteVerifier, SignedNote};

use crate::Refusal;

/// Reads a key: its name, id and type.
pub(crate) fn key(text: &str) -> Result<Vec<String>, Refusal> {
    let key = read_key(text)?;
    Ok(vec![key.name().to_owned(), format!("{:08x}", key.id()), key.key_type().to_string()])
}

/// The head of the checkpoint of the log `origin` that `key` signed.
pub(crate) fn head(note: &str, origin: &str, key: &str) -> Result<TreeHead, Refusal> {
    let (note, key) = (read_note(note)?, read_key(key)?);
    verified(&note, origin, &key)
}

/// A checkpoint and the state of each of its signatures: `log` for the log's own, `cosigned` for one by a key of
/// `others`, `wrong`, or `unknown`.
pub(crate) fn checkpoint(
    note: &str,
    origin: &str,
    key: &str,
    others: &str,
) -> Result<Vec<String>, Refusal> {
    let (note, key) = (read_note(note)?, read_key(key)?);
    let others = others.lines().map(read_key).collect::<Result<Vec<_>, _>>()?;
    let head = verified(&note, origin, &key)?;
    let mut answer = vec![head.size.to_string(), const_hex::encode(head.root)];
    for signature in note.signatures() {
        let is_of =
            |key: &&AnyVerifier| key.id() == signature.id() && key.name() == signature.name();
        // Two keys may share name and id, which is half of a hash of 8 bytes: one of them has to verify.
        let text = note.unverified_text().as_bytes();
        let verifies = |key: &&AnyVerifier| key.verifies(text, signature.bytes());
        let mut known = others.iter().filter(is_of).peekable();
        let (state, time) = if is_of(&&key) {
            // It was verified with the head.
            ("log", None)
        } else if known.peek().is_none() {
            ("unknown", None)
        } else {
            match known.find(verifies) {
                Some(other) => ("cosigned", other.timestamp(signature.bytes())),
                None => ("wrong", None),
            }
        };
        answer.extend([
            signature.name().to_owned(),
            format!("{:08x}", signature.id()),
            state.to_owned(),
            time.map_or_else(String::new, |time| time.to_string()),
        ]);
    }
    Ok(answer)
}

fn verified(note: &SignedNote, origin: &str, key: &AnyVerifier) -> Result<TreeHead, Refusal> {
    let checkpoint = note.verify_checkpoint(&[key as &dyn NoteVerifier], origin);
    Ok(checkpoint.map_err(|error| error.to_string())?.head())
}

fn read_note(text: &str) -> Result<SignedNote, Refusal> {
    text.parse().map_err(|error: duramen::tlog::TlogError| error.to_string())
}

fn read_key(text: &str) -> Result<AnyVerifier, Refusal> {
    text.parse().map_err(|error: duramen::tlog::TlogError| error.to_string())
}
