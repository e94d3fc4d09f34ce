//! A tree head with the name of its log, as text.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::base64;
use super::error::TlogError;
use crate::merkle::{Arity, Hash, Hasher, HasherId, Rfc6962Sha256, TreeHead, TreeSize};

/// A tree head in the text form of C2SP `tlog-checkpoint`: what a log signs.
///
/// Three lines: the origin, the size in decimal, the root in Base 64; then, rarely, extension lines.
/// The format is defined for the tree of RFC 6962: [`Rfc6962Sha256`](crate::Rfc6962Sha256) with
/// arity 2. It names neither hasher nor arity, so heads of other trees have no checkpoint.
///
/// ```
/// use duramen::tlog::Checkpoint;
///
/// let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// let checkpoint: Checkpoint = text.parse()?;
/// assert_eq!(checkpoint.head().size.get(), 0);
/// assert_eq!(checkpoint.to_string(), text);
/// # Ok::<(), duramen::tlog::TlogError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of the log `origin` at `head`, without extensions. The tree that `head` is of has the hash
    /// function `hasher` and the arity `arity`.
    ///
    /// ```
    /// use duramen::tlog::{Checkpoint, TlogError};
    /// use duramen::{Arity, Blake3, Hasher, Rfc6962Sha256, TreeHead, TreeSize};
    ///
    /// let head = TreeHead { size: TreeSize(0), root: Rfc6962Sha256.empty_root() };
    /// Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, head)?;
    /// let other = Checkpoint::new("example.com/log", Blake3.id(), Arity::Four, head);
    /// assert!(matches!(other, Err(TlogError::OtherProfile { .. })));
    /// # Ok::<(), TlogError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TlogError::CheckpointLine`] if the origin is empty or has control characters,
    /// [`TlogError::OtherProfile`] if the tree is not of RFC 6962 SHA-256 with arity 2.
    pub fn new(
        origin: &str,
        hasher: HasherId,
        arity: Arity,
        head: TreeHead,
    ) -> Result<Self, TlogError> {
        if (hasher, arity) != (Rfc6962Sha256.id(), Arity::Two) {
            return Err(TlogError::OtherProfile { hasher: hasher.as_str(), arity });
        }
        Self::rfc6962(origin, head)
    }

    /// The checkpoint of a tree of RFC 6962.
    pub(super) fn rfc6962(origin: &str, head: TreeHead) -> Result<Self, TlogError> {
        check_line(1, origin)?;
        Ok(Self { origin: origin.to_owned(), head, extensions: Vec::new() })
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        self.head
    }

    #[cfg(feature = "note")]
    pub(super) const fn head_ref(&self) -> &TreeHead {
        &self.head
    }

    /// The same without the lines behind the third.
    pub(super) fn without_extensions(self) -> Self {
        Self { extensions: Vec::new(), ..self }
    }

    /// The lines behind the third.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TreeHead { size, root } = &self.head;
        write!(f, "{}\n{size}\n{}\n", self.origin, base64::encode(root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        let text = text.strip_suffix('\n').ok_or(TlogError::NoFinalNewline)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(TlogError::CheckpointLines { found: text.split('\n').count() });
        };
        let head = TreeHead { size: TreeSize(number(size, "size")?), root: hash(root, "root")? };
        let mut checkpoint = Self::rfc6962(origin, head)?;
        for (line, extension) in (4..).zip(lines) {
            check_line(line, extension)?;
            checkpoint.extensions.push(extension.to_owned());
        }
        Ok(checkpoint)
    }
}

fn check_line(line: usize, text: &str) -> Result<(), TlogError> {
    if text.is_empty() || text.bytes().any(|byte| byte < b' ') {
        return Err(TlogError::CheckpointLine { line });
    }
    Ok(())
}

/// A decimal number as these formats write it.
pub(super) fn number(text: &str, what: &'static str) -> Result<u64, TlogError> {
    let canonical =
        text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical).ok_or(TlogError::Number { what })
}

/// A hash as these formats write it.
pub(super) fn hash(text: &str, what: &'static str) -> Result<Hash, TlogError> {
    let bytes = base64::decode(text).and_then(|bytes| Hash::try_from(bytes).ok());
    bytes.ok_or(TlogError::Base64 { what })
}
