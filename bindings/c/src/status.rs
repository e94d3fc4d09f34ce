//! What a call returns, and why it failed.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use duramen::Error;
use duramen_bindings::Refusal;

/// What every call returns. `duramen_last_error` has the sentence of what is not DURAMEN_OK.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub enum duramen_status {
    /// It is done, or verified.
    DURAMEN_OK = 0,
    /// What the caller gave cannot be used.
    DURAMEN_INPUT = 1,
    /// The proof or the signature does not hold, or cannot be read.
    DURAMEN_DOES_NOT_HOLD = 2,
    /// The leaves are not durable within the time that the caller waits.
    DURAMEN_TIMEOUT = 3,
    /// The store is open already, here or in another process.
    DURAMEN_LOCKED = 4,
    /// There is no such store.
    DURAMEN_NOT_FOUND = 5,
    /// The tree was made with other properties than those that were asked for.
    DURAMEN_MISMATCH = 6,
    /// The tree has no such index or size, or what was there was erased, pruned or rewound.
    DURAMEN_NOT_THERE = 7,
    /// A file of the store is missing, or its bytes are wrong.
    DURAMEN_DAMAGED = 8,
    /// There is no room. Nothing was inserted; retry later.
    DURAMEN_BACKPRESSURE = 9,
    /// The store is closed, poisoned, or of the process that this one was forked from.
    DURAMEN_UNUSABLE = 10,
    /// A call to the operating system failed, or something else did: the sentence says it.
    DURAMEN_FAILED = 11,
    /// A defect of duramen. What the call should have done may be done in part.
    DURAMEN_DEFECT = 12,
}

/// Why a call failed.
pub(crate) struct Failure {
    status: duramen_status,
    sentence: String,
}

impl Failure {
    pub(crate) fn timeout() -> Self {
        let sentence = "the leaves are not durable yet".to_owned();
        Self { status: duramen_status::DURAMEN_TIMEOUT, sentence }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Input(_) => duramen_status::DURAMEN_INPUT,
            Refusal::DoesNotHold(_) => duramen_status::DURAMEN_DOES_NOT_HOLD,
        };
        Self { status, sentence: refusal.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use duramen_status as status;
        let status = match error {
            Error::Config { .. }
            | Error::NoIndexes
            | Error::EntryMissing { .. }
            | Error::NoEntries { .. }
            | Error::EntryTooLong { .. }
            | Error::LeafRefused { .. } => status::DURAMEN_INPUT,
            Error::Locked { .. } => status::DURAMEN_LOCKED,
            Error::NoStore { .. } | Error::NoTree { .. } => status::DURAMEN_NOT_FOUND,
            Error::HasherMismatch { .. }
            | Error::ArityMismatch { .. }
            | Error::EntriesMismatch { .. }
            | Error::UnknownHasher { .. }
            | Error::UnknownFormat { .. } => status::DURAMEN_MISMATCH,
            Error::IndexOutOfRange { .. }
            | Error::SizeOutOfRange { .. }
            | Error::OldBeyondNew { .. }
            | Error::Erased { .. }
            | Error::Pruned { .. }
            | Error::Rewound { .. } => status::DURAMEN_NOT_THERE,
            Error::Damaged(_) => status::DURAMEN_DAMAGED,
            Error::Backpressure { .. } | Error::CheckpointsFail { .. } => {
                status::DURAMEN_BACKPRESSURE
            }
            Error::Poisoned { .. }
            | Error::Closed
            | Error::Forked { .. }
            | Error::Displaced(_)
            | Error::MemoryChanged { .. } => status::DURAMEN_UNUSABLE,
            _ => status::DURAMEN_FAILED,
        };
        let mut sentence = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            sentence = format!("{sentence}: {error}");
            cause = error.source();
        }
        Self { status, sentence }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs a call: its failure becomes a status and the sentence of this thread, and so does a panic.
pub(crate) fn guard(call: impl FnOnce() -> Result<(), Failure>) -> duramen_status {
    // What a panic leaves half done is behind locks that are poisoned or in values that are dropped with it.
    let done = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        let sentence = "duramen panicked: this is a defect".to_owned();
        Err(Failure { status: duramen_status::DURAMEN_DEFECT, sentence })
    });
    let Err(failure) = done else { return duramen_status::DURAMEN_OK };
    let sentence = CString::new(failure.sentence.replace('\0', " ")).unwrap_or_default();
    // A thread that ends has no place for a sentence any more.
    let _ = LAST_ERROR.try_with(|last| last.replace(sentence));
    failure.status
}

/// The sentence of the last call of this thread that was not DURAMEN_OK; empty if there was none. It belongs to duramen and
/// stays until the next call of this thread fails.
#[unsafe(no_mangle)]
pub extern "C" fn duramen_last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
