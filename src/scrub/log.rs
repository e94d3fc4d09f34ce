//! Verifies the log, group by group.

use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::{Dir, Entry, FileKind, FileSystem};
use crate::ids::SegmentId;
use crate::report::scrub::{Element, Finding, Remedy};
use crate::wal::frame::{Frame, GroupHeader};
use crate::wal::{Change, Log, Purpose, Replayed, replay_closed, replay_read_only};

/// The result of verifying the log.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFacts {
    pub(super) groups: u64,
    pub(super) bytes: u64,
    pub(super) leaves: u64,
    pub(super) torn: Option<String>,
    pub(super) finding: Option<Finding>,
}

/// Verifies the log of `manifest` up to its end.
pub(super) fn verify(fs: &dyn FileSystem, manifest: &Manifest) -> Result<LogFacts> {
    let files = segments(fs)?;
    let purpose = Purpose::Verify;
    walk(manifest, fs, |apply| {
        replay_read_only(fs, manifest.store, &manifest.log, &files, purpose, apply)
    })
}

/// Verifies the closed stretches of a log.
pub(super) fn verify_closed(
    fs: &dyn FileSystem,
    manifest: &Manifest,
    log: &Log,
) -> Result<LogFacts> {
    walk(manifest, fs, |apply| replay_closed(fs, manifest.store, log, apply))
}

type Apply<'a> = &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>;

fn walk(
    manifest: &Manifest,
    fs: &dyn FileSystem,
    replay: impl FnOnce(Apply<'_>) -> Result<Replayed>,
) -> Result<LogFacts> {
    let mut trees = manifest.logged();
    let mut facts = LogFacts::default();
    let replayed = replay(&mut |header, frame| {
        if let Change::Leaves(_, logged) = trees.apply(fs, header, frame)? {
            facts.leaves += logged.leaves.len() as u64;
        }
        Ok(())
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
