//! The quantities of a tree, each with a type of its own.

use core::fmt;
use core::str::FromStr;

/// A node's 32 bytes: a leaf, an inner node or a root.
pub type Hash = [u8; 32];

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(transparent))]
        pub struct $name(pub u64);

        impl $name {
            /// The bare number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                Self(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNumberError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                number(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Why a text is not a number in the one form that numbers are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number from 0 to 2^64 - 1 has decimal digits alone, without a sign or leading zeros")]
pub struct ParseNumberError;

/// Reads a number as it is printed, and in no other form.
fn number(text: &str) -> Result<u64, ParseNumberError> {
    let printed =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| printed).ok_or(ParseNumberError)
}

quantity! {
    /// A leaf's place in the tree, counted from 0 in the order of insertion.
    LeafIndex
}
quantity! {
    /// How many leaves a tree has. Every size up to the current one names a tree of its own.
    TreeSize
}
quantity! {
    /// A node's place in its level, counted from 0. At level 0 it is the leaf's index.
    NodeIndex
}

/// A level of the tree: 0 holds the leaves, `k + 1` the parents of level `k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub u8);

impl Level {
    /// The level that holds the leaves.
    pub const LEAVES: Self = Self(0);

    /// The level of the parents. Level 255, far above any tree, stays where it is.
    #[must_use]
    pub const fn up(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How many children a complete node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Arity {
    /// Binary, the shape of RFC 6962 and of most other trees.
    Two,
    /// Four children: the default.
    Four,
    /// Eight children.
    Eight,
    /// Sixteen children.
    Sixteen,
}

/// Why a text is not an arity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an arity is 2, 4, 8 or 16")]
pub struct ParseArityError;

impl FromStr for Arity {
    type Err = ParseArityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|arity| match arity {
            Self::Two => text == "2",
            Self::Four => text == "4",
            Self::Eight => text == "8",
            Self::Sixteen => text == "16",
        });
        found.ok_or(ParseArityError)
    }
}

impl Arity {
    /// Every arity there is.
    pub const ALL: [Self; 4] = [Self::Two, Self::Four, Self::Eight, Self::Sixteen];
    /// The largest number of children of any arity.
    pub const MAX: usize = 16;

    /// The arity with `children` children, if it is 2, 4, 8 or 16.
    #[must_use]
    pub const fn new(children: usize) -> Option<Self> {
        match children {
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            16 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// The arity of a type that carries it as a const parameter. Any `N` other than 2, 4, 8 or 16
    /// does not compile.
    #[must_use]
    pub const fn of<const N: usize>() -> Self {
        const {
            match Self::new(N) {
                Some(arity) => arity,
                None => panic!("the arity must be 2, 4, 8 or 16"),
            }
        }
    }

    /// How many children a complete node has.
    #[must_use]
    #[inline]
    pub const fn children(self) -> usize {
        1 << self.bits()
    }

    /// The logarithm of the number of children to base 2: how far an index shifts per level.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Two => 1,
            Self::Four => 2,
            Self::Eight => 3,
            Self::Sixteen => 4,
        }
    }
}

impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.children(), f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn numbers_and_arities_are_read_as_they_are_printed_and_in_no_other_form() {
        for number in [0, 1, 10, u64::MAX] {
            assert_eq!(LeafIndex(number).to_string().parse(), Ok(LeafIndex(number)));
        }
        for text in ["", "+1", "-0", "00", "01", " 1", "1 ", "1_000", "0x1", "18446744073709551616"]
        {
            assert_eq!(text.parse::<TreeSize>(), Err(ParseNumberError), "{text:?}");
        }
        for arity in Arity::ALL {
            assert_eq!(arity.to_string().parse(), Ok(arity));
        }
        for text in ["", "3", "02", "+2", "32", "two"] {
            assert_eq!(text.parse::<Arity>(), Err(ParseArityError), "{text:?}");
        }
    }
}
