//! What a crash leaves of a file's bytes and of its length.

use std::collections::BTreeSet;

use super::*;

#[test]
fn unsynced_bytes_are_lost_and_synced_ones_kept() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1024]);
    write(&*file, 512, &[2; 1024]);
    let nothing = disk.crash(CrashChoice::NothingKept);
    assert_eq!(nothing.read(SEGMENT).unwrap(), [1; 1024]);
    let all = disk.crash(CrashChoice::AllKept);
    assert_eq!(all.read(SEGMENT).unwrap(), [[1; 512], [2; 512], [2; 512]].concat());
    assert_eq!(all.read(SEGMENT), disk.read(SEGMENT));

    file.sync().unwrap();
    for bytes in left(&disk, SEGMENT, 100) {
        assert_eq!(bytes, disk.read(SEGMENT));
    }
}

#[test]
fn a_new_sector_is_old_new_torn_or_zero_and_nothing_else() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    let seen: BTreeSet<_> = left(&disk, SEGMENT, 500).into_iter().flatten().collect();
    for whole in [[0; 512], [1; 512], [2; 512]] {
        assert!(seen.contains(whole.as_slice()), "{whole:?}");
    }
    let is_torn = |bytes: &[u8]| {
        let new = bytes.iter().take_while(|byte| **byte == 2).count();
        (1..512).contains(&new) && bytes[new..].iter().all(|byte| *byte == 1)
    };
    assert!(seen.iter().any(|bytes| is_torn(bytes)));
    for bytes in &seen {
        let whole = bytes.iter().all(|byte| *byte == bytes[0]);
        assert!(bytes.len() == 512 && (whole || is_torn(bytes)), "{bytes:?}");
    }
}

#[test]
fn bytes_that_no_unsynced_write_changed_survive_beside_those_that_were() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 700]);
    write(&*file, 100, &[2; 50]);
    write(&*file, 700, &[3; 50]);
    for bytes in left(&disk, SEGMENT, 500).into_iter().flatten() {
        assert_eq!(bytes[..100], [1; 100]);
        assert_eq!(bytes[150..700], [1; 550]);
    }
}

#[test]
fn a_sector_written_twice_may_be_left_as_it_was_in_between() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    write(&*file, 0, &[3; 512]);
    assert!(left(&disk, SEGMENT, 500).contains(&Some(vec![2; 512])));
}

#[test]
fn sectors_are_decided_one_by_one() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1024]);
    write(&*file, 0, &[2; 1024]);
    let left = left(&disk, SEGMENT, 500);
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let bytes = [[first; 512], [second; 512]].concat();
        assert!(left.contains(&Some(bytes)), "{first} {second}");
    }
}

#[test]
fn some_seeds_cut_the_writes_in_their_order() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 8 * 512]);
    for sector in 0..8 {
        write(&*file, sector * 512, &[2; 512]);
    }
    let left = left(&disk, SEGMENT, 500);
    for kept in 0..=8 {
        let bytes = [vec![2; kept * 512], vec![1; (8 - kept) * 512]].concat();
        assert!(left.contains(&Some(bytes)), "the first {kept} of 8");
    }
}

#[test]
fn a_length_is_decided_apart_from_the_bytes() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, b"");
    write(&*file, 0, &[5; 512]);
    let left = left(&disk, SEGMENT, 500);
    assert!(left.contains(&Some(vec![])), "the length is lost, and the bytes with it");
    assert!(left.contains(&Some(vec![0; 512])), "the length is kept and the bytes are lost");
    assert!(left.contains(&Some(vec![5; 512])));
}

#[test]
fn a_cut_is_lost_without_a_sync_and_brings_nothing_back_with_one() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1500]);
    file.allocate(600).unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [1; 1500]);
    assert_eq!(disk.crash(CrashChoice::AllKept).read(SEGMENT).unwrap(), [1; 600]);
    file.sync().unwrap();
    file.allocate(1500).unwrap();
    for bytes in left(&disk, SEGMENT, 100).into_iter().flatten() {
        assert_eq!(bytes[..600], [1; 600]);
        assert!(bytes[600..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_cut_that_grew_again_in_one_go_is_old_or_new_by_the_sector() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, &[1; 1536]);
    file.allocate(512).unwrap();
    file.allocate(1536).unwrap();
    let left = left(&disk, SEGMENT, 500);
    assert!(left.contains(&Some([vec![1; 512], vec![0; 512], vec![1; 512]].concat())));
    assert!(left.contains(&Some([vec![1; 512], vec![0; 1024]].concat())));
}

#[test]
fn a_file_that_was_only_allocated_has_its_length_after_a_sync() {
    let disk = disk();
    let file = synced(&disk, SEGMENT, b"");
    file.allocate(1 << 20).unwrap();
    file.sync().unwrap();
    for bytes in left(&disk, SEGMENT, 20) {
        assert_eq!(bytes, Some(vec![0; 1 << 20]));
    }
}

#[test]
fn a_killed_process_leaves_its_writes_and_they_can_still_be_lost() {
    let disk = disk();
    let _lock = disk.lock().unwrap();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 512]);
    let killed = disk.kill();
    assert_eq!(killed.read(SEGMENT).unwrap(), [2; 512]);
    assert_eq!(killed.operations(), 0);
    drop(killed.lock().unwrap());
    assert_eq!(killed.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [1; 512]);

    let synced_later = disk.kill();
    synced_later.open(SEGMENT, duramen::fs::Access::Read).unwrap().sync().unwrap();
    let kept = synced_later.crash(CrashChoice::NothingKept);
    assert_eq!(kept.read(SEGMENT).unwrap(), [2; 512]);

    let file = killed.open(SEGMENT, duramen::fs::Access::ReadWrite).unwrap();
    write(&*file, 0, &[3; 512]);
    file.sync().unwrap();
    assert_eq!(killed.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), [3; 512]);
    assert_eq!(disk.read(SEGMENT).unwrap(), [2; 512], "the first disk went on by itself");
}

#[test]
fn a_crashed_disk_is_synced_and_free() {
    let disk = disk();
    let _lock = disk.lock().unwrap();
    let file = synced(&disk, SEGMENT, &[1; 512]);
    write(&*file, 0, &[2; 1024]);
    disk.stop_after(disk.operations());
    for choice in choices(50) {
        let crashed = disk.crash(choice);
        assert_eq!(crashed.operations(), 0);
        crashed.lock().unwrap();
        assert_eq!(
            crashed.crash(CrashChoice::NothingKept).read(SEGMENT),
            crashed.crash(CrashChoice::AllKept).read(SEGMENT),
        );
    }
}
