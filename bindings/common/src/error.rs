//! Why nothing was verified.

use std::error::Error;
use std::fmt;

/// Why nothing was verified, as a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller's own input cannot be used: an unknown hash function, a key or a policy that cannot be read. No proof
    /// was looked at.
    Input(String),
    /// The proof or the signed text does not hold, or cannot be read.
    DoesNotHold(String),
}

impl Refusal {
    pub(crate) fn input(reason: impl fmt::Display) -> Self {
        Self::Input(reason.to_string())
    }

    pub(crate) fn does_not_hold(reason: impl fmt::Display) -> Self {
        Self::DoesNotHold(reason.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Input(reason) | Self::DoesNotHold(reason)) = self;
        f.write_str(reason)
    }
}

impl Error for Refusal {}
