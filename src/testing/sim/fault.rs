//! What can go wrong on purpose: failing operations, operations that wait, failing reads.

use std::io;
use std::ops::Range;

use super::choice::CrashChoice;
use super::operation::{Operation, Watch, When};
use crate::fs::{FileKind, FileName};

/// The error of an injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultError {
    /// An error of this kind, without an error number.
    Kind(io::ErrorKind),
    /// The operating system's error of this number.
    Os(i32),
}

impl FaultError {
    /// The device failed.
    pub const EIO: Self = Self::Os(5);
    /// The process has too many files open.
    pub const EMFILE: Self = Self::Os(24);
    /// The file is too large.
    pub const EFBIG: Self = Self::Os(27);
    /// The device is full.
    pub const ENOSPC: Self = Self::Os(28);
    /// The file system is mounted read-only.
    pub const EROFS: Self = Self::Os(30);
}

impl From<io::ErrorKind> for FaultError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Kind(kind) => kind.into(),
            FaultError::Os(number) => Self::from_raw_os_error(number),
        }
    }
}

/// An operation that fails.
///
/// It fails once and leaves nothing behind, unless configured otherwise.
#[derive(Clone, Copy, Debug)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    when: When,
    error: FaultError,
    for_ever: bool,
    kept: CrashChoice,
}

impl Fault {
    /// The operation meant by `when` fails with `error`.
    pub fn new(when: When, error: impl Into<FaultError>) -> Self {
        Self { when, error: error.into(), for_ever: false, kept: CrashChoice::NothingKept }
    }

    /// So do all after it that `when` is about: of its kind and on its files.
    pub const fn for_ever(self) -> Self {
        Self { for_ever: true, ..self }
    }

    /// What the failed operation has done all the same: of a write, which sectors arrived in the
    /// cache; of a sync, which sectors became durable; of a `sync_dir`, which names; of
    /// `make_dirs`, which directories are there; of others, whether they happened.
    pub const fn keeping(self, kept: CrashChoice) -> Self {
        Self { kept, ..self }
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) error: FaultError,
    pub(super) kept: CrashChoice,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    failing: Vec<(Fault, Watch)>,
    holds: Vec<HoldState>,
    next_hold: u64,
    reads: Vec<(FileName, Range<u64>, FaultError)>,
    held_reads: Option<HeldReads>,
}

/// Reads that wait.
#[derive(Clone, Copy, Debug)]
struct HeldReads {
    kind: FileKind,
    waiting: usize,
}

#[derive(Debug)]
struct HoldState {
    id: HoldId,
    watch: Watch,
    reached: bool,
}

/// The identity of a hold on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HoldId(u64);

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.failing.push((fault, Watch::new(fault.when)));
    }

    pub(super) fn inject_read(&mut self, file: FileName, range: Range<u64>, error: FaultError) {
        self.reads.push((file, range, error));
    }

    /// Forgets what fails. Holds stay.
    pub(super) fn clear(&mut self) {
        self.failing.clear();
        self.reads.clear();
    }

    /// Looks at the next operation: how it fails, if it does.
    pub(super) fn failure(&mut self, number: u64, operation: &Operation) -> Option<Failure> {
        let mut failure = None;
        self.failing.retain_mut(|(fault, watch)| {
            let hit = watch.matches(number, operation, fault.for_ever);
            if hit && failure.is_none() {
                failure = Some(Failure { error: fault.error, kept: fault.kept });
            }
            !hit || fault.for_ever
        });
        failure
    }

    /// The error that reading these bytes of a file gives, if any.
    pub(super) fn read_error(&self, file: FileName, range: &Range<u64>) -> Option<FaultError> {
        let overlaps = |bad: &Range<u64>| bad.start < range.end && range.start < bad.end;
        let hit = self.reads.iter().find(|(name, bad, _)| *name == file && overlaps(bad));
        hit.map(|(_, _, error)| *error)
    }

    pub(super) fn hold(&mut self, when: When) -> HoldId {
        let id = HoldId(self.next_hold);
        self.next_hold += 1;
        self.holds.push(HoldState { id, watch: Watch::new(when), reached: false });
        id
    }

    /// Looks at the next operation: the hold it has to wait for, if any.
    pub(super) fn held_by(&mut self, number: u64, operation: &Operation) -> Option<HoldId> {
        let mut held_by = None;
        for hold in self.holds.iter_mut().filter(|hold| !hold.reached) {
            if hold.watch.matches(number, operation, false) && held_by.is_none() {
                hold.reached = true;
                held_by = Some(hold.id);
            }
        }
        held_by
    }

    pub(super) fn hold_reads(&mut self, kind: FileKind) {
        self.held_reads = Some(HeldReads { kind, waiting: 0 });
    }

    pub(super) fn release_reads(&mut self) {
        self.held_reads = None;
    }

    /// Whether a read of this file has to wait. `again` says that it does already.
    pub(super) fn holds_read(&mut self, file: FileName, again: bool) -> bool {
        let Some(held) = self.held_reads.as_mut().filter(|held| held.kind == file.kind) else {
            return false;
        };
        held.waiting += usize::from(!again);
        true
    }

    /// How many reads wait.
    pub(super) fn waiting_reads(&self) -> usize {
        self.held_reads.map_or(0, |held| held.waiting)
    }

    pub(super) fn holds(&self, id: HoldId) -> bool {
        self.holds.iter().any(|hold| hold.id == id)
    }

    pub(super) fn reached(&self, id: HoldId) -> bool {
        self.holds.iter().any(|hold| hold.id == id && hold.reached)
    }

    pub(super) fn release(&mut self, id: HoldId) {
        self.holds.retain(|hold| hold.id != id);
    }
}
