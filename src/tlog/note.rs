//! A text and signatures of it.
//!
//! # Invariants
//!
//! - A note that was read is written back byte for byte.
//! - Until a signature by a known key was verified, its text is available only as `unverified_text`.
//! - A wrong signature by a known key refuses the note, however many others are right.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::base64;
use super::checkpoint::Checkpoint;
use super::error::{SignerError, TlogError};
use crate::characters::is_for_names;

const DASH: &str = "\u{2014} ";

/// A key that signs notes, with a name and a way to sign that fits its type.
///
/// A key proper, in memory or elsewhere, is a `Signer` (feature `note`); the types of keys here are made of one.
pub trait NoteSigner {
    /// The key's name, of the form of a [signature's](NoteSignature).
    fn name(&self) -> &str;

    /// The key's id.
    fn id(&self) -> u32;

    /// The signature of the note's `text`, as a signature line has it behind the id.
    ///
    /// # Errors
    ///
    /// [`SignerError`] if the key cannot sign now, or does not sign such a text.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// A key that verifies signatures of notes. It is public, and any thread may use it.
pub trait NoteVerifier: fmt::Debug + Send + Sync {
    /// The key's name.
    fn name(&self) -> &str;

    /// The key's id.
    fn id(&self) -> u32;

    /// Whether `signature` is this key's of `text`.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool;

    /// The time in a signature that this key verifies, in seconds since 1970; `None` if its type has none.
    fn timestamp(&self, signature: &[u8]) -> Option<u64> {
        let _ = signature;
        None
    }

    /// Whether a signature covers the extension lines of a checkpoint. True for every type but 0x06, ML-DSA-44
    /// cosignatures, which cover the first three lines.
    fn covers_extensions(&self) -> bool {
        true
    }
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
    /// A signature of a key whose name was checked.
    #[cfg(feature = "note")]
    pub(super) fn new(name: &str, id: u32, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), id, bytes }
    }

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

    /// Reads a signature line without its newline.
    pub(super) fn read(line: &str) -> Option<Self> {
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
///
/// A note has at most [`MAX_BYTES`](Self::MAX_BYTES) bytes and [`MAX_SIGNATURES`](Self::MAX_SIGNATURES)
/// signatures; a larger one is neither made nor read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// Ends with a newline.
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// The longest note that is made or read, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;
    /// The most signatures of a note that is made or read.
    pub const MAX_SIGNATURES: usize = 100;

    /// Signs `text`, which ends with a newline: the `Display` form of a [`Checkpoint`], or any other.
    ///
    /// # Errors
    ///
    /// [`TlogError`] if the text is empty, does not end with a newline, has other control
    /// characters, is too long, or if the key has an impossible name or cannot sign.
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
    /// [`TlogError::KeyName`] if the key has an impossible name, [`TlogError::Signer`] if it cannot sign,
    /// [`TlogError::TooManySignatures`] or [`TlogError::TooLong`] if the note would be larger than what is
    /// read. The note is then as it was.
    pub fn add_signature(&mut self, signer: &dyn NoteSigner) -> Result<(), TlogError> {
        let signature = self.signature(signer)?;
        self.add(signature)
    }

    /// The signature of a key, without adding it to the note: what a witness answers.
    ///
    /// # Errors
    ///
    /// [`TlogError::KeyName`] if the key has an impossible name, [`TlogError::Signer`] if it cannot sign.
    pub fn signature(&self, signer: &dyn NoteSigner) -> Result<NoteSignature, TlogError> {
        check_key_name(signer.name())?;
        let name = signer.name().to_owned();
        let bytes = match signer.sign(self.text.as_bytes()) {
            Ok(bytes) if bytes.is_empty() => Err(SignerError::new("the signature is empty")),
            signed => signed,
        };
        let bytes = bytes.map_err(|error| TlogError::signer(&name, error))?;
        Ok(NoteSignature { name, id: signer.id(), bytes })
    }

    /// Adds a signature, right or wrong.
    fn add(&mut self, signature: NoteSignature) -> Result<(), TlogError> {
        let found = self.signatures.len() + 1;
        if found > Self::MAX_SIGNATURES {
            return Err(TlogError::TooManySignatures { most: Self::MAX_SIGNATURES, found });
        }
        self.signatures.push(signature);
        let fits = check_text(&self.to_string());
        if fits.is_err() {
            self.signatures.pop();
        }
        fits
    }

    /// Adds the signatures by `keys` out of `answered`, each verified; those by other keys are ignored. A signature by
    /// the same key that the note has already is replaced. Returns how many were added: what a log does with the
    /// answer of a witness.
    ///
    /// # Errors
    ///
    /// [`TlogError::NotSignedByKnownKey`] if there is none by `keys`, [`TlogError::WrongSignature`] if one by them is
    /// wrong, [`TlogError::NoTime`] if a cosignature has the time 0; [`TlogError::TooManySignatures`] or
    /// [`TlogError::TooLong`] if the note would be larger than what is read. The note is then as it was.
    pub fn add_cosignatures(
        &mut self,
        answered: &[NoteSignature],
        keys: &[&dyn NoteVerifier],
    ) -> Result<usize, TlogError> {
        let mut changed = self.clone();
        let mut added = 0;
        for signature in answered {
            let NoteSignature { name, id, bytes } = signature;
            let Some(key) = keys.iter().find(|key| key.id() == *id && key.name() == name) else {
                continue;
            };
            if !key.verifies(self.text.as_bytes(), bytes) {
                return Err(TlogError::WrongSignature { name: name.clone() });
            }
            if key.timestamp(bytes) == Some(0) {
                return Err(TlogError::NoTime { name: name.clone() });
            }
            changed.signatures.retain(|other| other.id != *id || other.name != *name);
            changed.add(signature.clone())?;
            added += 1;
        }
        if added == 0 {
            return Err(TlogError::NotSignedByKnownKey { signatures: answered.len() });
        }
        *self = changed;
        Ok(added)
    }

    /// The text, if one of `keys` signed it.
    ///
    /// Signatures by other keys are ignored, as the format asks for.
    ///
    /// # Errors
    ///
    /// [`TlogError::NotSignedByKnownKey`] if none of them did, [`TlogError::WrongSignature`] if a
    /// signature by any of them is wrong, [`TlogError::ExtensionsNotSigned`] if the signatures by them
    /// do not cover all of the text.
    pub fn verify(&self, keys: &[&dyn NoteVerifier]) -> Result<&str, TlogError> {
        let covered = self.is_covered_by(keys)?;
        if !covered
            && self.text.parse().map_or(true, |text: Checkpoint| !text.extensions().is_empty())
        {
            return Err(TlogError::ExtensionsNotSigned);
        }
        Ok(&self.text)
    }

    /// The checkpoint of the log `origin` that this note is, if one of `keys` signed it: the keys of the log. A
    /// policy says which witnesses must have signed it as well: `Policy::verify` (feature `note`).
    ///
    /// Extension lines that no signature by these keys covers are left out.
    ///
    /// # Errors
    ///
    /// [`TlogError::NotSignedByKnownKey`] if no key signed it, [`TlogError::WrongSignature`] if a signature by any
    /// of them is wrong; [`TlogError`] if the text is no checkpoint or one of another log.
    pub fn verify_checkpoint(
        &self,
        keys: &[&dyn NoteVerifier],
        origin: &str,
    ) -> Result<Checkpoint, TlogError> {
        let covered = self.is_covered_by(keys)?;
        let checkpoint: Checkpoint = self.text.parse()?;
        if checkpoint.origin() != origin {
            let (expected, found) = (origin.to_owned(), checkpoint.origin().to_owned());
            return Err(TlogError::OtherOrigin { expected, found });
        }
        Ok(if covered { checkpoint } else { checkpoint.without_extensions() })
    }

    /// Verifies that one of `keys` signed. Returns whether its signature covers extension lines.
    fn is_covered_by(&self, keys: &[&dyn NoteVerifier]) -> Result<bool, TlogError> {
        let (mut known, mut covered) = (false, false);
        for key in keys {
            if self.signature_by(*key)?.is_some() {
                (known, covered) = (true, covered || key.covers_extensions());
            }
        }
        if !known {
            return Err(TlogError::NotSignedByKnownKey { signatures: self.signatures.len() });
        }
        Ok(covered)
    }

    /// The first signature by `key`, verified; `None` if it did not sign.
    ///
    /// # Errors
    ///
    /// [`TlogError::WrongSignature`] if any signature that names the key is wrong.
    pub fn signature_by(
        &self,
        key: &dyn NoteVerifier,
    ) -> Result<Option<&NoteSignature>, TlogError> {
        let (name, id) = (key.name(), key.id());
        let mut found = None;
        for signature in &self.signatures {
            if signature.id != id || signature.name != name {
                continue;
            }
            if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                return Err(TlogError::WrongSignature { name: name.to_owned() });
            }
            found = found.or(Some(signature));
        }
        Ok(found)
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
        if found > Self::MAX_SIGNATURES {
            return Err(TlogError::TooManySignatures { most: Self::MAX_SIGNATURES, found });
        }
        let signatures = (1..)
            .zip(lines.split('\n'))
            .map(|(line, text)| NoteSignature::read(text).ok_or(TlogError::SignatureLine { line }))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }
}

fn check_text(text: &str) -> Result<(), TlogError> {
    if text.len() > SignedNote::MAX_BYTES {
        return Err(TlogError::TooLong { most: SignedNote::MAX_BYTES, found: text.len() });
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
