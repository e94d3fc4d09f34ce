//! What fails, with the facts.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// # Examples
///
/// ```
/// use duramen_remote::Error;
///
/// let error = Error::Fenced { epoch: 3, by_epoch: 4 };
/// assert!(error.to_string().contains("epoch 4"));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing below the prefix says whose it is.
    #[error("there is no store in the bucket: the object `store` is missing")]
    NoStore,
    /// Another store is below the prefix.
    #[error("the bucket has another store: expected {expected}, found {found}")]
    OtherStore {
        /// The identifier of the store that was expected, in hex.
        expected: String,
        /// The identifier in the bucket, in hex.
        found: String,
    },
    /// An object has a format that this version does not know.
    #[error(
        "{name} has format version {found}, and this version of duramen-remote knows {supported}"
    )]
    UnknownFormat {
        /// The object.
        name: String,
        /// The version that it has.
        found: u16,
        /// The version that is known.
        supported: u16,
    },
    /// An object is not what the objects before it say.
    #[error("{name} is damaged: {what}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// An object that is needed does not exist.
    #[error("{name} is missing from the bucket")]
    Missing {
        /// The object.
        name: String,
    },
    /// A writer with a higher epoch has taken the store over. This one has stopped for good.
    #[error(
        "the writer of epoch {epoch} was fenced by epoch {by_epoch}: another writer has taken the store over"
    )]
    Fenced {
        /// The epoch of the writer that has stopped.
        epoch: u64,
        /// The epoch that was found.
        by_epoch: u64,
    },
    /// The bucket has what this store does not have: another writer has written to it since this directory was shipped or
    /// restored. Take the store over into another directory.
    #[error(
        "the bucket has records that this store does not have: it is at {remote}, written under epoch {by_epoch}, and \
         this directory has what was written up to epoch {epoch}, and {local} records"
    )]
    Superseded {
        /// The epoch up to which the directory has everything.
        epoch: u64,
        /// The epoch that has written since.
        by_epoch: u64,
        /// The sequence number of the store in the bucket.
        remote: u64,
        /// The sequence number of the store here.
        local: u64,
    },
    /// The bucket has what this directory had sent and no longer knows of: it was set back to an earlier state of itself,
    /// as when the image of a disk is restored. Take the store over into another directory.
    #[error(
        "this directory was set back to an earlier state of itself: the bucket is at {remote}, written from here under \
         epoch {epoch}, and the directory knows that it sent records up to {sent}; it has {local} records now"
    )]
    SetBack {
        /// The epoch under which the directory wrote to the bucket.
        epoch: u64,
        /// The sequence number up to which the directory knows that it has sent records.
        sent: u64,
        /// The sequence number of the store in the bucket.
        remote: u64,
        /// The sequence number of the store here.
        local: u64,
    },
    /// The store is in the bucket and nothing of it was shipped yet.
    #[error("nothing was shipped to the bucket yet")]
    Nothing,
    /// The shipper was closed before what was waited for was in the bucket.
    #[error("the shipper was closed at {remote}, before {wanted} was in the bucket")]
    Closed {
        /// The sequence number up to which everything is in the bucket.
        remote: u64,
        /// The one that was waited for.
        wanted: u64,
    },
    /// The bucket does not keep the one promise that all others rest on.
    #[error("the bucket is not suitable: {what}")]
    Unsuitable {
        /// What it was seen to do.
        what: String,
    },
    /// The bucket refuses a request in a way that does not pass by itself, as without credentials.
    #[error("cannot {action} {name}: {reason}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The object.
        name: String,
        /// What the bucket said.
        reason: String,
    },
    /// The bucket did not answer, or with failures that may pass. Nothing is lost: the same call may be made again.
    #[error("cannot {action} {name} after {tries} tries: {reason}")]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// The object.
        name: String,
        /// How often.
        tries: u32,
        /// What the last try ended with.
        reason: String,
    },
    /// An address that cannot be used.
    #[error("wrong address {url}: {reason}")]
    WrongUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of this machine could not be read or written.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] duramen::Error),
}

impl Error {
    /// Whether the same call may succeed later: the bucket did not answer.
    ///
    /// # Examples
    ///
    /// ```
    /// use duramen_remote::Error;
    ///
    /// assert!(!Error::NoStore.is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
