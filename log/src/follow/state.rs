//! What a follower knows of a log, in a directory: a restart goes on there.
//!
//! - `checkpoint`: the last checkpoint of which everything was verified, as the log signed it.
//! - `pending`: a later one that was accepted, and how many of its entries were verified.
//! - `unverified`: entries that were left out because the log is pruned, a line `A B` for those from A up to B.
//! - `evidence/`: what was seen that must not be.
//!
//! # Invariants
//!
//! - Both files are replaced as a whole. Of both, the checkpoint with the larger size is the one that was accepted last.
//! - One process uses a directory. It changes names through the descriptor that it has locked, and none once the path of the
//!   directory leads elsewhere.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use duramen::inspect::Printable;
use duramen::tlog::{Checkpoint, SignedNote};
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr};

use super::evidence::Evidence;
use crate::dirs;
use crate::number::number;

/// The longest file that is read.
const MOST_BYTES: u64 = SignedNote::MAX_BYTES as u64 + 100;

/// The state of a follower in a directory.
#[derive(Debug)]
pub struct FollowState {
    dir: PathBuf,
    /// Locked for as long as this lives.
    lock: File,
    accepted: Option<SignedNote>,
    /// How many entries were verified or left out.
    verified: u64,
    /// Entries that were left out.
    left_out: Vec<Range<u64>>,
}

/// Why a state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refuses.
    #[error("cannot {action} {}", Printable::new(path))]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("another process uses {}", Printable::new(path))]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was moved, removed or replaced since the state was opened. Nothing is changed, neither in it nor in what
    /// has taken its place.
    #[error(
        "{} is not changed: its directory was moved, removed or replaced meanwhile",
        Printable::new(path)
    )]
    Displaced {
        /// The file that was to be changed, or the directory.
        path: PathBuf,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {reason}", Printable::new(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl FollowState {
    /// Opens the state in `dir`, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StateError> {
        let dir = dir.into();
        dirs::make(&dir, 0o777).map_err(failed("create", &dir))?;
        let Some(lock) = dirs::try_lock(&dir).map_err(failed("lock", &dir))? else {
            return Err(StateError::InUse { path: dir });
        };
        dirs::check(&dir, &lock).map_err(failed("open", &dir))?;
        let mut state = Self { dir, lock, accepted: None, verified: 0, left_out: Vec::new() };
        if let Some(text) = state.read("unverified")? {
            let range = |line: &str| {
                let (start, end) = line.split_once(' ')?;
                let range = number(start)?..number(end)?;
                (range.start < range.end).then_some(range)
            };
            let ranges: Option<Vec<_>> = text.lines().map(range).collect();
            state.left_out = ranges.ok_or_else(|| StateError::Damaged {
                path: state.dir.join("unverified"),
                reason: "a line is not `A B`, with A below B".to_owned(),
            })?;
        }
        if let Some(text) = state.read("checkpoint")? {
            let (note, size) = state.note("checkpoint", &text)?;
            (state.accepted, state.verified) = (Some(note), size);
        }
        if let Some(text) = state.read("pending")? {
            let bad = |reason: &str| StateError::Damaged {
                path: state.dir.join("pending"),
                reason: reason.to_owned(),
            };
            let (first, text) = text.split_once("\n\n").ok_or_else(|| bad("it has no head"))?;
            let verified = first.strip_prefix("verified ").and_then(number);
            let verified = verified.ok_or_else(|| bad("its first line is not `verified N`"))?;
            let (note, size) = state.note("pending", text)?;
            // If it was completed, the other file has it or a later one.
            if size > state.verified {
                state.accepted = Some(note);
                state.verified = state.verified.max(verified.min(size));
            }
        }
        Ok(state)
    }

    /// The checkpoint that was accepted last.
    #[must_use]
    pub fn accepted(&self) -> Option<&SignedNote> {
        self.accepted.as_ref()
    }

    /// How many entries were verified, with those that were [left out](Self::unverified).
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// The entries that were left out, because the log published them no more. Nothing was verified of them but that they
    /// are below the checkpoints.
    #[must_use]
    pub fn unverified(&self) -> &[Range<u64>] {
        &self.left_out
    }

    /// Notes that entries are left out. When this returns, that is durable.
    pub(super) fn leave_out(&mut self, entries: Range<u64>) -> Result<(), StateError> {
        let mut ranges = self.left_out.clone();
        match ranges.last_mut() {
            // What was noted before a step that failed.
            Some(last) if entries.start <= last.end => last.end = last.end.max(entries.end),
            _ => ranges.push(entries),
        }
        let lines: String =
            ranges.iter().map(|range| format!("{} {}\n", range.start, range.end)).collect();
        self.write("unverified", &lines)?;
        self.left_out = ranges;
        Ok(())
    }

    /// The file that has the last checkpoint of which everything was verified, as the log signed it.
    #[must_use]
    pub fn checkpoint_file(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// Notes that `note` was accepted, and how many of its entries were verified. If these are all, everything of it was
    /// verified. When this returns, that is durable.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] and [`StateError::Displaced`]. The files are then as they were.
    pub(super) fn set(&mut self, note: &SignedNote, verified: u64) -> Result<(), StateError> {
        let (note, size) = self.note("checkpoint", &note.to_string())?;
        if verified >= size {
            self.write("checkpoint", &note.to_string())?;
            self.remove("pending")?;
        } else {
            self.write("pending", &format!("verified {verified}\n\n{note}"))?;
        }
        (self.accepted, self.verified) = (Some(note), verified);
        Ok(())
    }

    /// Keeps evidence. Returns where.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; [`StateError::Displaced`] if the directory is no longer at its path.
    pub fn keep(&self, evidence: &Evidence) -> Result<PathBuf, StateError> {
        let dir = self.dir.join("evidence");
        let check = || dirs::check(&self.dir, &self.lock);
        check().and_then(|()| dirs::make(&dir, 0o777)).map_err(failed("create", &dir))?;
        evidence.keep_while(&dir, &check).map_err(failed("write", &dir))
    }

    fn note(&self, name: &str, text: &str) -> Result<(SignedNote, u64), StateError> {
        let bad = |error: duramen::tlog::TlogError| StateError::Damaged {
            path: self.dir.join(name),
            reason: error.to_string(),
        };
        let note: SignedNote = text.parse().map_err(bad)?;
        let checkpoint: Checkpoint = note.unverified_text().parse().map_err(bad)?;
        Ok((note, checkpoint.head().size.get()))
    }

    fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("open", &path))?,
        };
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(failed("read", &path))?;
        Ok(Some(text))
    }

    /// Replaces a file. When this returns, that is durable.
    fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        let temporary = format!("{name}.tmp");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let replace = || {
            dirs::check(&self.dir, &self.lock)?;
            let create = || openat(&self.lock, &*temporary, flags, Mode::from_raw_mode(0o666));
            let mut file = File::from(retry_on_intr(create)?);
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            dirs::check(&self.dir, &self.lock)?;
            retry_on_intr(|| renameat(&self.lock, &*temporary, &self.lock, name))?;
            self.lock.sync_all()
        };
        replace().map_err(failed("write", &self.dir.join(name)))
    }

    /// Removes a file, if there is one.
    fn remove(&self, name: &str) -> Result<(), StateError> {
        let remove = || {
            dirs::check(&self.dir, &self.lock)?;
            match retry_on_intr(|| unlinkat(&self.lock, name, AtFlags::empty())) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        remove().map_err(failed("remove", &self.dir.join(name)))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| match dirs::is_displaced(&source) {
        true => StateError::Displaced { path },
        false => StateError::Io { action, path, source },
    }
}
