//! The name of a tree in a store.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use crate::characters::is_for_names;

/// The name of a tree: 1 to 255 bytes of UTF-8 without `/`, and neither `.` nor `..`. All its characters
/// are seen: none is a control character, invisible, or turns the direction of text. It never becomes a path.
/// Clones share the characters.
///
/// ```
/// use duramen::merkle::TreeName;
///
/// let name: TreeName = "receipts 2026".parse()?;
/// assert_eq!(name.as_str(), "receipts 2026");
/// assert!("../receipts".parse::<TreeName>().is_err());
/// # Ok::<(), duramen::merkle::TreeNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeName(Arc<str>);

impl TreeName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks and takes a name.
    ///
    /// # Errors
    ///
    /// [`TreeNameError`] names what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Self, TreeNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(TreeNameError::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(TreeNameError::TooLong { found: name.len() });
        }
        let refused = |found: &char| !is_for_names(*found) || *found == '/';
        if let Some((at, found)) = name.char_indices().find(|(_, found)| refused(found)) {
            return Err(TreeNameError::Refused { at, found });
        }
        if matches!(name.as_str(), "." | "..") {
            return Err(TreeNameError::Dots);
        }
        Ok(Self(name.into()))
    }

    /// `main`: the name of the one tree of a store that has no others.
    #[must_use]
    pub fn main() -> Self {
        Self("main".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl AsRef<str> for TreeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TreeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for TreeName {
    type Err = TreeNameError;

    fn from_str(name: &str) -> Result<Self, TreeNameError> {
        Self::new(name.to_owned())
    }
}

impl TryFrom<&str> for TreeName {
    type Error = TreeNameError;

    fn try_from(name: &str) -> Result<Self, TreeNameError> {
        Self::new(name.to_owned())
    }
}

/// What is wrong with the name of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeNameError {
    /// It has no bytes.
    Empty,
    /// It has too many bytes.
    TooLong {
        /// How many.
        found: usize,
    },
    /// It has a character that no name may have.
    Refused {
        /// Where, in bytes from its start.
        at: usize,
        /// The character.
        found: char,
    },
    /// It is `.` or `..`.
    Dots,
}

impl fmt::Display for TreeNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name of a tree is empty"),
            Self::TooLong { found } => {
                write!(f, "the name of a tree has {found} bytes, more than {}", TreeName::MAX_LEN)
            }
            Self::Refused { at, found } => {
                write!(f, "the name of a tree has the character {found:?} at byte {at}")
            }
            Self::Dots => f.write_str("the name of a tree is \".\" or \"..\""),
        }
    }
}

impl core::error::Error for TreeNameError {}
