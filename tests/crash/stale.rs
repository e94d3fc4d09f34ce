//! Bytes of an earlier life.

use duramen::fs::{FileKind, FileName};
#[cfg(duramen_mutants)]
use duramen::testing::faulty::{Flaw, Mutant};
use duramen::testing::sim::{CrashChoice, SimDisk};

use crate::check::{Bounds, check, reopen};
use crate::findings::{Finding, Outcome};
use crate::rig::{Rig, Step};
use crate::setup::{Setup, abandon};

const BLOCK: usize = 4096;

/// A crash may leave intact groups behind the end of the log: they were written after one that was
/// lost. They were never acknowledged and their leaves are other ones now. When their segment is used
/// again they must not come back, also not where one of them stands at the very place, and has the
/// very number, of the group that comes next.
#[test]
fn groups_that_were_cut_off_never_come_back_in_a_recycled_segment() {
    for single in 0..9 {
        for blocks in [1, 2, 4, 5, 6, 7, 9, 11, 12, 13] {
            recycle(Setup::PLAIN, single, blocks).unwrap_or_else(|finding| {
                panic!("{single} single leaves, then {blocks} blocks: {finding:?}")
            });
        }
    }
}

/// The numbers of groups alone keep them from coming back, where lives are not looked at: numbers that may stand
/// behind a torn end are left out.
#[cfg(duramen_mutants)]
#[test]
fn groups_that_were_cut_off_never_come_back_where_only_their_numbers_tell_them_apart() {
    let blind = Setup { flaw: Some(Flaw::Engine(Mutant::LivesIgnored)), ..Setup::PLAIN };
    for single in 0..9 {
        for blocks in [1, 4, 7] {
            recycle(blind, single, blocks).unwrap_or_else(|finding| {
                panic!("{single} single leaves, then {blocks} blocks: {finding:?}")
            });
        }
    }
}

pub(crate) fn recycle(plain: Setup, single: usize, blocks: usize) -> Outcome {
    // Every insert is written at once, as a group of its own, and not synced. All segments are kept.
    let segment = 16 * BLOCK as u64;
    let setup = Setup { segment, spare: 4 * segment, unflushed: 64, ..plain };
    let mut rig = Rig::new(setup, 3);
    rig.create()?;
    // The flush takes a group of its own, to say that the inserts before it end at a point.
    for step in [&[Step::Insert; 14][..], &[Step::Flush], &[Step::Insert; 15]].concat() {
        rig.step(step)?;
    }
    rig.restart(without_first_group_of_last_segment(&rig.disk))?;
    rig.settle();
    assert_eq!(rig.model.size(), 14);
    for step in [vec![Step::InsertDurable; 1 + single], vec![Step::Checkpoint]].concat() {
        rig.step(step)?;
    }
    for round in 0..8 {
        // Header and frame header leave a group of n blocks room for n * 128 - 5 leaves.
        rig.step(Step::Batch(blocks * 128 - 5))?;
        rig.step(Step::Flush)?;
        holds(&rig).map_err(|finding| finding.context(format_args!("round {round}")))?;
    }
    Ok(())
}

/// What a power cut leaves that loses one group and keeps all that were written later.
fn without_first_group_of_last_segment(disk: &SimDisk) -> SimDisk {
    let left = disk.crash(CrashChoice::AllKept);
    let is_used = |file: &FileName| {
        let first = disk.read(*file).and_then(|bytes| bytes.first().copied());
        file.kind == FileKind::Segment && first.is_some_and(|byte| byte != 0)
    };
    let last = left.files().into_iter().rfind(is_used).unwrap();
    let mut bytes = left.read(last).unwrap();
    assert_ne!(bytes[BLOCK], 0, "there is no group behind the first");
    bytes[..BLOCK].fill(0);
    left.put(last, &bytes);
    left
}

/// All of the model is there after a power cut.
fn holds(rig: &Rig) -> Outcome {
    let left = rig.disk.crash(CrashChoice::NothingKept);
    let store = reopen(&rig.setup, &left)?;
    let size = rig.model.size();
    let bounds = Bounds { from: size, to: size, checkpoints: rig.model.checkpoints.clone() };
    check(&store, &rig.model, &bounds)?;
    let torn = store.recovery().torn.clone();
    abandon(&left, store);
    match torn {
        None => Ok(()),
        Some(torn) => Err(Finding::new(crate::findings::Kind::Answer, torn)),
    }
}
