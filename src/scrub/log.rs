//! Verifies the log, group by group, and that each entry in it hashes to its leaf.

use super::Source;
use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::{Dir, Entry, FileKind, FileSystem};
use crate::ids::SegmentId;
use crate::per_tree::PerTree;
use crate::report::scrub::{Element, Finding, Remedy};
use crate::wal::frame::{Frame, GroupHeader};
use crate::wal::{Change, Log, Purpose, Replayed, not_the_entry, replay_closed, replay_read_only};

/// The result of verifying the log.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFacts {
    pub(super) groups: u64,
    pub(super) bytes: u64,
    pub(super) leaves: u64,
    /// Entries that hash to their leaf.
    pub(super) entries: u64,
    pub(super) torn: Option<String>,
    pub(super) finding: Option<Finding>,
}

/// Verifies the log of `manifest` up to its end.
pub(super) fn verify(source: &Source<'_>, manifest: &Manifest) -> Result<LogFacts> {
    let fs = source.fs;
    let files = segments(fs)?;
    let purpose = Purpose::Verify;
    walk(manifest, source, |apply| {
        replay_read_only(fs, manifest.store, &manifest.log, &files, purpose, apply)
    })
}

/// Verifies the closed stretches of a log.
pub(super) fn verify_closed(
    source: &Source<'_>,
    manifest: &Manifest,
    log: &Log,
) -> Result<LogFacts> {
    walk(manifest, source, |apply| replay_closed(source.fs, manifest.store, log, apply))
}

type Apply<'a> = &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>;

fn walk(
    manifest: &Manifest,
    source: &Source<'_>,
    replay: impl FnOnce(Apply<'_>) -> Result<Replayed>,
) -> Result<LogFacts> {
    let mut trees = manifest.logged();
    let mut facts = LogFacts::default();
    // Those of the trees with entries in the log.
    let mut hashers = PerTree::default();
    let fs = source.fs;
    let replayed = replay(&mut |header, frame| {
        let Change::Leaves(id, logged) = trees.apply(fs, header, frame)? else { return Ok(()) };
        facts.leaves += logged.leaves.len() as u64;
        if logged.entries.is_empty() {
            return Ok(());
        }
        if hashers.get(id).is_none() {
            let Some(tree) = trees.get(id) else { return Ok(()) };
            hashers.insert(id, (source.hasher)(&tree.spec)?);
        }
        let Some(hasher) = hashers.get(id) else { return Ok(()) };
        let bare = logged.bare(&**hasher).map_err(|index| not_the_entry(fs, header, index))?;
        facts.entries += (logged.entries.len() - bare.len()) as u64;
        trees.note_bare(id, bare);
        Ok(())
    });
    let replayed = replayed.and_then(|replayed| {
        trees.check_end(|| fs.display(replayed.end.segment.file()))?;
        Ok(replayed)
    });
    match replayed {
        Ok(replayed) => {
            facts.groups = replayed.groups;
            facts.bytes = replayed.bytes;
            facts.torn = replayed.torn.map(|torn| torn.to_string());
        }
        Err(Error::Damaged(damage)) => {
            facts.finding = Some(Finding {
                damage: *damage,
                tree: None,
                element: Element::Log,
                blocks: None,
                leaves: None,
                remedy: Remedy::None,
            });
        }
        Err(error) => return Err(error),
    }
    Ok(facts)
}

/// The segments in the directory.
pub(crate) fn segments(fs: &dyn FileSystem) -> Result<Vec<SegmentId>> {
    let entries = fs.list(Dir::Wal).map_err(|error| Error::io("list", Dir::Wal.path(), error))?;
    let mut ids: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::File(name, _) if name.kind == FileKind::Segment && !name.temporary => {
                Some(SegmentId(name.number))
            }
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    Ok(ids)
}
