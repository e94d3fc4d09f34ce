//! Rewrites damaged parts, also with what comes from a backup.
//!
//! # Invariants
//!
//! - A repair does not change the damaged file. The new part gets its own number and is published as a
//!   checkpoint is: part, then its name, then manifest, each durable before the next.
//! - Before the manifest is published, every byte of the new parts is read back and verified. The only
//!   damage that may be left is the damage that the plan could not repair.
//! - A block that could not be repaired keeps a checksum that does not match, so later reads still
//!   detect the damage.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::donor::{Donation, Donor, Refilled};
use super::entries::EntryFaults;
use super::pass::TreeParts;
use super::plan::Plan;
use super::{Options, Source};
use crate::directory::files;
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests;
use crate::entry::{Compression, EntryConfig};
use crate::error::{Error, Result};
use crate::fs::wipe::wipe_and_remove;
use crate::fs::{Dir, FileName, FileSystem};
use crate::ids::PartId;
use crate::part::{Part, PartEntries, PartIdentity, PartRef, write_part_with};

/// The result of a repair.
pub(super) struct Rebuilt {
    pub(super) names: Vec<String>,
}

/// Writes new parts for those that `plans` wants rewritten, and publishes a manifest with them. There is
/// one plan per tree.
pub(super) fn rebuild(
    fs: &Arc<dyn FileSystem>,
    source: &Source<'_>,
    manifest: &Manifest,
    plans: &[Plan],
    donor: Option<&dyn Donor>,
) -> Result<Rebuilt> {
    let mut next = manifest.clone();
    next.next_part = files::next_part(&**fs, manifest)?;
    next.number = manifests::next_number(&**fs, manifest.number)?;
    next.checkpoint = crate::random::id(&**fs)?;
    let mut made = Vec::new();
    let done = write_all(fs, source, &mut next, plans, donor, &mut made)
        .and_then(|()| check(source, &next, plans));
    if let Err(error) = done {
        for name in &made {
            // Nothing refers to the file, which may have copies of erased entries. The next open removes it if this fails.
            let _ = wipe_and_remove(&**fs, *name);
        }
        return Err(error);
    }
    manifests::publish(&**fs, &next, &next.files())?;
    let complete = made.iter().filter(|name| !name.temporary);
    Ok(Rebuilt { names: complete.map(|name| fs.display(*name).display().to_string()).collect() })
}

fn write_all(
    fs: &Arc<dyn FileSystem>,
    source: &Source<'_>,
    next: &mut Manifest,
    plans: &[Plan],
    donor: Option<&dyn Donor>,
    made: &mut Vec<FileName>,
) -> Result<()> {
    for (at, plan) in plans.iter().enumerate().filter(|(_, plan)| !plan.rewrite.is_empty()) {
        let entry = Arc::clone(&next.trees[at]);
        let tree = &source.open(next, &entry)?;
        let donation = donor.map(|donor| Donation { donor, spec: &entry.spec });
        for &number in &plan.rewrite {
            let id = PartId(next.next_part);
            next.next_part += 1;
            made.push(id.file().tmp());
            let identity = PartIdentity { number: id, ..tree.parts[number].identity.clone() };
            let reference = write_one(fs, tree, plan, donation, number, &identity)?;
            let name = id.file();
            fs.rename(name.tmp(), name)
                .map_err(|error| Error::io("rename", fs.display(name.tmp()), error))?;
            made.push(name);
            fs.sync_dir(Dir::Parts)
                .map_err(|error| Error::io("sync the directory of", fs.display(name), error))?;
            Part::open(fs, &identity, reference, source.mode)?;
            Arc::make_mut(&mut next.trees[at]).parts[number] = reference;
        }
    }
    Ok(())
}

fn write_one(
    fs: &Arc<dyn FileSystem>,
    tree: &TreeParts,
    plan: &Plan,
    donation: Option<Donation<'_>>,
    number: usize,
    identity: &PartIdentity,
) -> Result<PartRef> {
    let frame = &tree.frames[number];
    let part = &tree.parts[number];
    let is_taken = |bundle| plan.takes(number, bundle);
    let refilled =
        identity.entries.zip(donation).filter(|_| plan.refills(number)).map(
            |(framing, donation)| Refilled { tree, part, framing, donation, is_taken: &is_taken },
        );
    let entries = match (&refilled, identity.entries) {
        (Some(source), _) => {
            let kept = source.donation.spec.entries;
            let compression = kept.map_or(Compression::None, EntryConfig::stored);
            Some(PartEntries::Stored { source, compression, erasures: &tree.erasures })
        }
        (None, kept) => kept.map(|_| PartEntries::Copied(part)),
    };
    let source = plan.source(tree, number);
    let written = write_part_with(&**fs, identity, &source, entries, true, |block, computed| {
        if plan.lost.contains(&(number, block)) {
            frame.keep_damaged(block, computed)
        } else {
            computed
        }
    })?;
    // What a rewind hides stays hidden.
    Ok(PartRef { to: part.reference.to, hidden: part.reference.hidden, ..written })
}

/// Checks that every tree with a new part in `next` is intact, except for the damage that the plans
/// could not repair.
fn check(source: &Source<'_>, next: &Manifest, plans: &[Plan]) -> Result<()> {
    let rewritten = |(_, plan): &(&Arc<TreeEntry>, &Plan)| !plan.rewrite.is_empty();
    for (entry, plan) in next.trees.iter().zip(plans).filter(rewritten) {
        let tree = source.open(next, entry)?;
        let faults = tree.verify(None, &mut |_| ControlFlow::Continue(()));
        let mut entries = EntryFaults::default();
        if entry.spec.entries.is_some() {
            entries = tree.verify_entries(0, None, &mut |_| ControlFlow::Continue(()));
        }
        let found = Plan::new(&tree, &faults, &entries, entry, &source.root_damage(next), None);
        let known = |number: usize| !plan.rewrite.contains(&number);
        let new = found.lost.iter().find(|id| !plan.lost.contains(id) && !known(id.0));
        let wanted = found.rewrite.iter().find(|number| !known(**number));
        if new.is_some() || wanted.is_some() {
            let damage = found.findings.into_iter().next().map(|finding| finding.damage);
            let damage = damage.unwrap_or_else(|| source.root_damage(next));
            return Err(Error::Damaged(Box::new(damage)));
        }
    }
    Ok(())
}

/// Whether a repair is requested and has work to do.
pub(super) fn is_wanted(options: &Options, plans: &[Plan]) -> bool {
    options.repair && plans.iter().any(|plan| !plan.rewrite.is_empty())
}
