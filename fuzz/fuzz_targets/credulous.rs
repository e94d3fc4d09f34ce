//! A key that believes.

use duramen::tlog::{NoteSignature, NoteVerifier};

/// Finds every signature of its name right, so that what was signed is looked at.
#[derive(Debug)]
pub struct Credulous<'a> {
    name: &'a str,
    id: u32,
}

impl<'a> Credulous<'a> {
    /// The key that made this signature.
    pub fn of(signature: &'a NoteSignature) -> Self {
        Self { name: signature.name(), id: signature.id() }
    }
}

impl NoteVerifier for Credulous<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn verifies(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }
}
