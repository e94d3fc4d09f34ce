//! A kill at any moment, and a power cut once what it left has been shown.

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{Error, Hash};
use testkit::stores::leaves;

use crate::setup::{Setup, abandon};

/// Stores that are opened after orderly ends, log that goes on from there, checkpoints.
fn work(setup: &Setup, disk: &SimDisk, all: &[Hash]) -> Result<(), Error> {
    let mut at = 0;
    for counts in [&[1, 3][..], &[2, 1], &[200, 1, 1]] {
        let store = setup.open(disk)?;
        for count in counts {
            store.insert_many(&all[at..at + count])?;
            at += count;
            store.flush()?;
        }
        store.wait_idle();
        if counts.len() == 3 {
            store.checkpoint()?;
        }
        store.close()?;
    }
    Ok(())
}

#[test]
fn what_an_open_shows_of_a_killed_store_survives_a_power_cut() {
    let setup = Setup::PLAIN;
    let all = leaves(209, 5);
    for moment in 0.. {
        let disk = SimDisk::new();
        disk.stop_after(moment);
        let finished = work(&setup, &disk, &all).is_ok();
        let left = disk.kill();
        let store = setup.open(&left).unwrap();
        let size = store.size().get();
        abandon(&left, store);
        let store = setup.open(&left.crash(CrashChoice::NothingKept));
        let store = store.unwrap_or_else(|error| panic!("killed after {moment}: {error}"));
        let shown = usize::try_from(size).unwrap();
        assert!(store.size().get() >= size, "killed after {moment}: {size} leaves were shown");
        assert_eq!(store.leaves(0..size).unwrap(), all[..shown], "killed after {moment}");
        store.close().unwrap();
        if finished {
            assert!(moment > 60, "{moment}");
            break;
        }
    }
}
