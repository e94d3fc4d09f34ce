//! Damage of the store that was found while a log is open.
//!
//! It is found when a client reads, when the gate reads entries back, when parts are merged, and when an operator scrubs the
//! store. Damage *concerns* what a log signs if it is in the leaves, the inner nodes or the entries of the log's own tree, in
//! a file that has them, or in the log of the store, from which they would be recovered. Damage of an index, of padding
//! and of another tree does not.
//!
//! # Invariants
//!
//! - What was found is not forgotten before the log is opened again.
//! - Once damage was found that concerns what a log signs, the log signs nothing and takes no entries.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use duramen::scrub::{Element, Finding};
use duramen::{Damage, Error, TreeName};

/// The most that is remembered of one log. What comes then is of the same kind.
const MOST: usize = 100;
/// Errors of the system with which a disk says that it does not return the bytes: EIO, ENXIO, ENODATA, EBADMSG, EUCLEAN.
const NO_BYTES: [i32; 5] = [5, 6, 61, 74, 117];

/// How damage was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundBy {
    /// A request read what is damaged.
    Request,
    /// The gate read entries back, to verify a new head.
    ReadBack,
    /// The store read parts to merge them or to checkpoint.
    Store,
    /// A scrub.
    Scrub,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "a request",
            Self::ReadBack => "reading entries back",
            Self::Store => "a merge or a checkpoint",
            Self::Scrub => "a scrub",
        })
    }
}

/// Damage of the store that was found while a log was open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundDamage {
    /// What is damaged, in words. They name a file of the store, and not where the store is.
    pub what: String,
    /// How it was found.
    pub by: FoundBy,
    /// Whether it concerns what the log signs: then nothing is signed any more.
    pub concerns: bool,
}

impl fmt::Display for FoundDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, found by {}", self.what, self.by)
    }
}

impl FoundDamage {
    /// The damage that `error` is about, if it is.
    pub(crate) fn of(error: &Error, by: FoundBy) -> Option<Self> {
        match error {
            Error::Damaged(damage) => {
                Some(Self { what: words(damage), by, concerns: !is_index(&damage.file) })
            }
            Error::NodeAbsent { .. } => Some(Self { what: error.to_string(), by, concerns: true }),
            Error::Io { path, offset: Some(offset), source, .. }
                if source.raw_os_error().is_some_and(|code| NO_BYTES.contains(&code)) =>
            {
                let what = format!("cannot read {} at byte {offset}: {source}", name_of(path));
                Some(Self { what, by, concerns: !is_index(path) })
            }
            Error::CheckpointsFail { source, .. } => Self::of(source, by),
            _ => None,
        }
    }

    /// What a finding of a scrub means for the log in `tree`. `None` if it is of another tree.
    pub(crate) fn in_finding(finding: &Finding, tree: &TreeName) -> Option<Self> {
        if finding.tree.as_ref().is_some_and(|found| found != tree) || finding.remedy.is_done() {
            return None;
        }
        let concerns = !matches!(finding.element, Element::Index | Element::Padding);
        Some(Self { what: words(&finding.damage), by: FoundBy::Scrub, concerns })
    }
}

/// The damage in words, with the name of the file and without its directory.
pub(crate) fn words(damage: &Damage) -> String {
    let mut damage = damage.clone();
    damage.file = name_of(&damage.file).into();
    damage.to_string()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_index(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "index")
}

/// What was found of one log.
#[derive(Debug, Default)]
pub(crate) struct Damages(Mutex<Vec<FoundDamage>>);

impl Damages {
    /// Remembers damage. Returns whether it was not known.
    pub(crate) fn add(&self, found: FoundDamage) -> bool {
        let mut all = self.lock();
        let known = all.iter().position(|known| known.what == found.what);
        if known.is_some_and(|at| all[at].concerns || !found.concerns) {
            return false;
        }
        // It is known, and stops the log only now: it moves to its place.
        let is_new = known.map(|at| all.remove(at)).is_none();
        // What stops a log is remembered whatever came before it.
        let stops = found.concerns && !all.iter().any(|known| known.concerns);
        if all.len() >= MOST && !stops {
            return false;
        }
        // The first one is what is told, and what stops the log comes before what does not.
        match stops {
            true => all.insert(0, found),
            false => all.push(found),
        }
        is_new
    }

    pub(crate) fn all(&self) -> Vec<FoundDamage> {
        self.lock().clone()
    }

    /// The damage because of which nothing is signed.
    pub(crate) fn that_stops(&self) -> Option<FoundDamage> {
        self.lock().iter().find(|found| found.concerns).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FoundDamage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn io(code: i32, offset: Option<u64>, path: &str) -> Error {
        let source = Arc::new(std::io::Error::from_raw_os_error(code));
        Error::Io { action: "read", path: path.into(), offset, source }
    }

    #[test]
    fn bytes_that_a_disk_does_not_return_are_damage_and_other_failures_are_not() {
        let of = |error: &Error| FoundDamage::of(error, FoundBy::Request);
        let found = of(&io(5, Some(4096), "/secret/parts/00000001.part")).unwrap();
        assert!(found.what.starts_with("cannot read 00000001.part at byte 4096: "), "{found}");
        assert!(found.concerns);
        assert!(!of(&io(5, Some(0), "/secret/parts/00000001.index")).unwrap().concerns);
        // No descriptor is left; a directory.
        assert_eq!(of(&io(24, Some(0), "/secret/parts/00000001.part")), None);
        assert_eq!(of(&io(5, None, "/secret")), None);
        assert_eq!(of(&Error::Closed), None);
    }

    #[test]
    fn what_stops_a_log_is_told_first_and_never_dropped() {
        let damages = Damages::default();
        let found = |number: usize, concerns| {
            let what = format!("part {number}");
            FoundDamage { what, by: FoundBy::Scrub, concerns }
        };
        for number in 0..MOST + 10 {
            damages.add(found(number, false));
        }
        assert_eq!((damages.all().len(), damages.that_stops()), (MOST, None));
        assert!(!damages.add(found(1, false)), "it is known");
        assert!(damages.add(found(1000, true)));
        assert!(!damages.add(found(1001, true)));
        assert_eq!(damages.all()[0], damages.that_stops().unwrap());
        assert_eq!(damages.that_stops().unwrap().what, "part 1000");
        // It is the same, seen more exactly.
        let damages = Damages::default();
        damages.add(found(0, false));
        damages.add(found(1, false));
        assert!(!damages.add(found(1, true)), "it is known");
        assert_eq!(damages.that_stops().unwrap().what, "part 1");
        assert_eq!(damages.all()[0].what, "part 1", "it is told first");
        assert_eq!(damages.all().len(), 2);
    }
}
