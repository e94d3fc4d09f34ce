//! A text and signatures of it.
//!
//! # Invariants
//!
//! - A note that was read is written back byte for byte.
//! - Until a signature by a known key was verified, its text is available only as `unverified_text`.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::base64;
use super::checkpoint::Checkpoint;
use super::error::TlogError;
use crate::characters::is_for_names;

/// Longer notes are not read.
const MOST_BYTES: usize = 1 << 20;
/// Notes with more signatures are not read.
const MOST_SIGNATURES: usize = 100;
const DASH: &str = "\u{2014} ";

/// A key that signs notes.
pub trait NoteSigner {
    /// The key's name, of the form of a [signature's](NoteSignature).
    fn name(&self) -> &str;

    /// The key's id.
    fn id(&self) -> u32;

    /// The signature of `text`.
    fn sign(&self, text: &[u8]) -> Vec<u8>;
}

/// A key that verifies signatures of notes.
pub trait NoteVerifier {
    /// The key's name.
    fn name(&self) -> &str;

    /// The key's id.
    fn id(&self) -> u32;

    /// Whether `signature` is this key's of `text`.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool;
}

/// A signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key, without spaces and plus.
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// The name of the key that the line names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key that the line names.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The signature itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn read(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        check_name(name).ok()?;
        let signature = base64::decode(signature)?;
        let (id, bytes) = signature.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.id.to_be_bytes(), &self.bytes[..]].concat();
        write!(f, "{DASH}{} {}", self.name, base64::encode(&signature))
    }
}

/// A note in the form of C2SP `signed-note`: a text with one or more signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// Ends with a newline.
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs `text`, which ends with a newline: the `Display` form of a [`Checkpoint`], or any other.
    ///
    /// # Errors
    ///
    /// [`TlogError`] if the text is empty, does not end with a newline, has other control
    /// characters, is too long, or if the key has an impossible name.
    pub fn sign(text: &str, signer: &dyn NoteSigner) -> Result<Self, TlogError> {
        if !text.ends_with('\n') {
            return Err(TlogError::NoFinalNewline);
        }
        check_text(text)?;
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        note.add_signature(signer)?;
        Ok(note)
    }

    /// Adds the signature of one more key.
    ///
    /// # Errors
    ///
    /// [`TlogError`] if the key has an impossible name or the note would be larger than what is
    /// read. The note is then as it was.
    pub fn add_signature(&mut self, signer: &dyn NoteSigner) -> Result<(), TlogError> {
        check_key_name(signer.name())?;
        let found = self.signatures.len() + 1;
        if found > MOST_SIGNATURES {
            return Err(TlogError::TooManySignatures { most: MOST_SIGNATURES, found });
        }
        self.signatures.push(NoteSignature {
            name: signer.name().to_owned(),
            id: signer.id(),
            bytes: signer.sign(self.text.as_bytes()),
        });
        let fits = check_text(&self.to_string());
        if fits.is_err() {
            self.signatures.pop();
        }
        fits
    }

    /// The text, if one of `keys` signed it.
    ///
    /// Signatures by other keys are ignored, as the format asks for.
    ///
    /// # Errors
    ///
    /// [`TlogError::NotSignedByKnownKey`] if none of them did, [`TlogError::WrongSignature`] if a
    /// signature by any of them is wrong.
    pub fn verify(&self, keys: &[&dyn NoteVerifier]) -> Result<&str, TlogError> {
        let mut known = false;
        for signature in &self.signatures {
            let by =
                |key: &&&dyn NoteVerifier| key.id() == signature.id && key.name() == signature.name;
            if let Some(key) = keys.iter().find(by) {
                if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                    return Err(TlogError::WrongSignature { name: signature.name.clone() });
                }
                known = true;
            }
        }
        if !known {
            return Err(TlogError::NotSignedByKnownKey { signatures: self.signatures.len() });
        }
        Ok(&self.text)
    }

    /// The checkpoint of the log `origin` that this note is, if one of `keys` signed it.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify); [`TlogError`] if the text is no checkpoint or one of another log.
    pub fn verify_checkpoint(
        &self,
        keys: &[&dyn NoteVerifier],
        origin: &str,
    ) -> Result<Checkpoint, TlogError> {
        let checkpoint: Checkpoint = self.verify(keys)?.parse()?;
        if checkpoint.origin() != origin {
            let (expected, found) = (origin.to_owned(), checkpoint.origin().to_owned());
            return Err(TlogError::OtherOrigin { expected, found });
        }
        Ok(checkpoint)
    }

    /// The text, of which no signature was verified.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signatures, right or wrong.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for SignedNote {
    type Err = TlogError;

    fn from_str(note: &str) -> Result<Self, TlogError> {
        check_text(note)?;
        // The last empty line; the text keeps the newline before it.
        let at = note.rfind("\n\n").ok_or(TlogError::NoSignatures)?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let lines = signatures.strip_suffix('\n').ok_or(TlogError::NoSignatures)?;
        let found = lines.split('\n').count();
        if found > MOST_SIGNATURES {
            return Err(TlogError::TooManySignatures { most: MOST_SIGNATURES, found });
        }
        let signatures = (1..)
            .zip(lines.split('\n'))
            .map(|(line, text)| NoteSignature::read(text).ok_or(TlogError::SignatureLine { line }))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }
}

fn check_text(text: &str) -> Result<(), TlogError> {
    if text.len() > MOST_BYTES {
        return Err(TlogError::TooLong { most: MOST_BYTES, found: text.len() });
    }
    match text.bytes().enumerate().find(|(_, byte)| *byte < b' ' && *byte != b'\n') {
        Some((at, found)) => Err(TlogError::ControlCharacter { at, found }),
        None => Ok(()),
    }
}

/// Refuses names that a key may not have: those that a signature line cannot carry, and those with hidden
/// characters, which look like others. A signature by such a key, which other tools may make, is read: it is
/// by no key that is known here.
pub(super) fn check_key_name(name: &str) -> Result<(), TlogError> {
    check_name(name)?;
    match name.chars().all(is_for_names) {
        true => Ok(()),
        false => Err(TlogError::KeyName { name: name.to_owned() }),
    }
}

/// Refuses names that a signature line cannot carry.
fn check_name(name: &str) -> Result<(), TlogError> {
    let bad = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    if name.is_empty() || name.contains(bad) {
        return Err(TlogError::KeyName { name: name.to_owned() });
    }
    Ok(())
}
