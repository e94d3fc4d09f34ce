//! Disks that are full, and what failures leave behind.

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};

use crate::fault::{Patient, STEPS, setups};
use crate::findings::Tally;
use crate::model::Model;
use crate::setup::Setup;

#[test]
fn a_full_disk_loses_nothing_and_the_store_works_again_once_there_is_room() {
    let tally = Tally::default();
    for setup in setups() {
        let disk = SimDisk::new();
        Patient::new(setup, disk.clone(), u64::MAX, &tally).run(&STEPS).unwrap();
        let most = disk.used_space();
        for limit in (0..most).step_by(4096) {
            let disk = SimDisk::new();
            disk.limit_space(Some(limit));
            let found = Patient::new(setup, disk, u64::MAX, &tally).run(&STEPS);
            tally.count("sizes of disks", 1);
            tally.note(found.map_err(|finding| {
                finding.context(format_args!("a disk of {limit} bytes, {setup:?}"))
            }));
        }
    }
    tally.report("full disks", "0 leaves lost, 0 stores that do not open");
}

fn files(disk: &SimDisk, kind: FileKind) -> Vec<FileName> {
    disk.files().into_iter().filter(|file| file.kind == kind).collect()
}

#[test]
fn checkpoints_that_fail_again_and_again_take_no_room() {
    let on = |kind, file| When::nth(kind, 1).on(file);
    let steps = [
        on(OperationKind::Create, FileKind::Part),
        on(OperationKind::Allocate, FileKind::Part),
        on(OperationKind::Write, FileKind::Part),
        on(OperationKind::Sync, FileKind::Part),
        on(OperationKind::Rename, FileKind::Part),
        on(OperationKind::Create, FileKind::Manifest),
        on(OperationKind::Write, FileKind::Manifest),
        on(OperationKind::Sync, FileKind::Manifest),
        on(OperationKind::Rename, FileKind::Manifest),
    ];
    for step in steps {
        for kept in [CrashChoice::NothingKept, CrashChoice::AllKept] {
            let disk = SimDisk::new();
            let setup = Setup { segment: 1 << 20, ..Setup::PLAIN };
            let store = setup.open(&disk).unwrap();
            let model = Model::new(setup.oracle(), setup.arity.children(), 5);
            store.insert_many(&model.next(300)).unwrap();
            store.checkpoint().unwrap();
            store.insert_many(&model.next(200)).unwrap();
            store.flush().unwrap();
            store.wait_idle();
            let before = (disk.files(), disk.used_space());
            disk.inject(Fault::new(step, FaultError::ENOSPC).keeping(kept).for_ever());
            let in_doubt = kept == CrashChoice::AllKept && step == steps[8];
            for _ in 0..3 {
                store.checkpoint().unwrap_err();
                // A manifest that can be seen may count, and needs its part.
                if !in_doubt {
                    assert_eq!((disk.files(), disk.used_space()), before, "{step:?} {kept:?}");
                }
            }
            assert_eq!(store.stats().failed_checkpoints, 3);
            disk.clear_faults();
            store.checkpoint().unwrap();
            store.close().unwrap();
            let store = setup.open(&disk).unwrap();
            assert_eq!(store.recovery().checkpointed, 500);
        }
    }
}

#[test]
fn segments_that_cannot_be_made_ready_leave_nothing_behind_and_the_log_goes_on() {
    for kind in [OperationKind::Allocate, OperationKind::Write, OperationKind::Sync] {
        let disk = SimDisk::new();
        let setup = Setup { segment: 64 << 10, ..Setup::PLAIN };
        let store = setup.open(&disk).unwrap();
        // The log's own writes and syncs of the segment in use come in between.
        let mut made = 1;
        for leaf in Model::new(setup.oracle(), 4, 5).next(15) {
            store.flush().unwrap();
            let nth = if kind == OperationKind::Allocate { 1 } else { 2 };
            disk.inject(Fault::new(When::nth(kind, nth).on(FileKind::Segment), FaultError::EIO));
            store.insert_durable(leaf).unwrap();
            store.wait_idle();
            disk.clear_faults();
            made = made.max(files(&disk, FileKind::Segment).len());
        }
        assert_eq!(made, 1, "{kind:?}");
        let tried = disk.trace().iter().filter(|done| done.kind() == OperationKind::Create).count();
        assert!(tried > 5, "{tried} files were made");
        store.close().unwrap();
    }
}
