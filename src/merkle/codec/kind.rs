//! What an encoding holds, and the byte that says so.

use core::fmt;

/// What an encoding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An [`InclusionClaim`](super::InclusionClaim).
    Inclusion,
    /// A [`ConsistencyClaim`](super::ConsistencyClaim).
    Consistency,
    /// A [`MultiClaim`](super::MultiClaim).
    Multi,
    /// A [`Frontier`](crate::merkle::Frontier).
    Frontier,
    /// A [`TreeProof`](crate::merkle::TreeProof).
    Tree,
}

impl Kind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Inclusion => 1,
            Self::Consistency => 2,
            Self::Multi => 3,
            Self::Frontier => 4,
            Self::Tree => 5,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Inclusion),
            2 => Some(Self::Consistency),
            3 => Some(Self::Multi),
            4 => Some(Self::Frontier),
            5 => Some(Self::Tree),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inclusion => "inclusion",
            Self::Consistency => "consistency",
            Self::Multi => "multi-inclusion",
            Self::Frontier => "frontier",
            Self::Tree => "tree of a store",
        })
    }
}
