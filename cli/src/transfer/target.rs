//! The tree that an import appends to.
//!
//! # Invariants
//!
//! - Entry `i` of the input becomes leaf `i` of the tree, or is compared with that leaf. None is left out. One that was
//!   erased becomes a leaf with an erased entry.
//! - Nothing is appended behind an entry that is not the one of the tree.

use std::time::{Duration, SystemTime};

use duramen::{Config, DynAccumulator, EntryConfig, Snapshot};

use super::header::Header;
use super::item::{Cause, Item};
use crate::append::CLAIM_IDLE;
use crate::args::{HasherName, ImportArgs};
use crate::error::{Error, Refusal};
use crate::sink::MAX_TAIL_BYTES;
use crate::store::{self, Wanted, WantedEntries};
use crate::{hex, memory, policy};

/// A tree, and how much of the input is in it.
pub(super) struct Target {
    pub(super) tree: DynAccumulator,
    /// The tree as it was before the import.
    before: Snapshot,
    resume: bool,
    begun: bool,
    size: u64,
    pub(super) appended: u64,
}

impl Target {
    /// Opens the tree that `args` names, and creates it and its store where they are missing. A new tree is as
    /// `header` says, and otherwise as `args` says.
    pub(super) fn open(args: &ImportArgs, header: Option<&Header>) -> Result<Self, Error> {
        let (hasher, arity) = kind(args, header)?;
        // Nothing is created for entries that cannot be the first.
        let create = header.is_none_or(|header| header.from == 0);
        let config = Config::new(&args.dir)
            .create(create)
            .claim_idle(CLAIM_IDLE)?
            .checkpoint_policy(policy::checkpoint(policy::CHECKPOINTS).map_err(Error::Usage)?);
        let config = memory::bounded(config, args.memory.max_memory)?;
        let entries = WantedEntries {
            longest: args.longest,
            compress: args.compress,
            new: header.map_or_else(EntryConfig::new, |header| header.entries),
        };
        let (entries, indexed) = (Some(entries), false);
        let wanted = Wanted { tree: &args.tree, create, hasher, arity, entries, indexed };
        let tree = store::open_or_create(&config, &wanted, args.lock)?;
        let (before, size) = (tree.snapshot(), tree.size().get());
        Ok(Self { tree, before, resume: args.resume, begun: false, size, appended: 0 })
    }

    /// Begins with the entry of this index. It must be the next one of the tree, or one that the tree has if the
    /// import resumes.
    pub(super) fn begin(&mut self, first: u64) -> Result<(), Error> {
        self.begun = true;
        let size = self.size;
        match first.cmp(&size) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less if self.resume => Ok(()),
            std::cmp::Ordering::Less => Err(Error::Occupied { first, size }),
            std::cmp::Ordering::Greater => Err(Error::Gap { first, size }),
        }
    }

    /// Checks that the tree had `root` when it had `size` leaves.
    pub(super) fn check_root(&self, size: u64, root: &[u8; 32]) -> Result<(), Error> {
        let head = self.tree.head_at(size)?;
        if head.root == *root {
            return Ok(());
        }
        let (stated, computed) = (hex::encode(root), hex::encode(&head.root));
        Err(Error::Refused { reason: Refusal::OtherRoot { size, stated, computed } })
    }

    /// Appends the entries that the tree does not have, and compares the others. `first` is the index of the first.
    pub(super) fn take(&mut self, first: u64, entries: &[Item<'_>]) -> Result<(), Error> {
        if !self.begun {
            self.begin(first)?;
        }
        let there = self.size.saturating_sub(first);
        let there = usize::try_from(there).map_or(entries.len(), |there| there.min(entries.len()));
        let (there, new) = entries.split_at(there);
        self.compare(first, there)?;
        if new.is_empty() {
            return Ok(());
        }
        // Those that were erased together are inserted together.
        for run in new.chunk_by(|one, other| one.cause() == other.cause()) {
            self.append(run)?;
            self.appended += run.len() as u64;
        }
        if self.tree.stats().memory_bytes > MAX_TAIL_BYTES {
            self.tree.checkpoint()?;
        }
        Ok(())
    }

    /// Appends entries, or leaves whose entries were all erased for the same reason.
    fn append(&mut self, run: &[Item<'_>]) -> Result<(), Error> {
        let inserted = match run.first().and_then(|item| item.cause()) {
            None => {
                let entries: Vec<_> = run.iter().filter_map(|item| item.entry()).collect();
                self.tree.insert_entries(&entries)?
            }
            Some(Cause { at, reason }) => {
                let leaves: Vec<_> = run.iter().map(|item| item.leaf(self.tree.hasher())).collect();
                let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at));
                let at = at.unwrap_or(SystemTime::UNIX_EPOCH);
                self.tree.insert_erased(&leaves, at, reason)?
            }
        };
        self.size = inserted.range.end;
        Ok(())
    }

    fn compare(&self, first: u64, entries: &[Item<'_>]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let leaves = self.before.leaves_iter(first..first + entries.len() as u64)?;
        for ((index, entry), leaf) in (first..).zip(entries).zip(leaves) {
            if entry.leaf(self.tree.hasher()) != leaf? {
                return Err(Error::Refused { reason: Refusal::OtherEntry { index } });
            }
        }
        Ok(())
    }
}

/// The hash function and the arity that the tree must have: those of the export, with which its roots are computed.
fn kind(
    args: &ImportArgs,
    header: Option<&Header>,
) -> Result<(Option<HasherName>, Option<duramen::Arity>), Error> {
    let Some(header) = header else { return Ok((args.hasher, args.arity)) };
    let hasher = HasherName::known(&header.hasher).map_err(Error::Usage)?;
    let (name, arity) = (&header.hasher, header.arity);
    if args.hasher.is_some_and(|asked| asked != hasher)
        || args.arity.is_some_and(|asked| asked != arity)
    {
        return Err(Error::Usage(format!(
            "the export is of a tree of {name} and arity {}, and so is the tree that it makes",
            arity.children()
        )));
    }
    Ok((Some(hasher), Some(arity)))
}
