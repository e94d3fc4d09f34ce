//! The quantities of a tree, each with a type of its own.

use core::fmt;

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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
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
