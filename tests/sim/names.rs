//! What a crash leaves of names.

use std::collections::{BTreeMap, BTreeSet};

use duramen::fs::{Dir, Entry};
use proptest::prelude::*;

use super::*;

#[test]
fn a_name_is_lost_without_a_sync_of_its_directory() {
    let disk = disk();
    let file = disk.create(SEGMENT).unwrap();
    write(&*file, 0, b"synced");
    file.sync().unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).list(Dir::Wal).unwrap(), []);
    let kept = disk.crash(CrashChoice::AllKept);
    assert_eq!(kept.list(Dir::Wal).unwrap(), [Entry::File(SEGMENT, 6)]);
    assert_eq!(kept.read(SEGMENT).unwrap(), b"synced");
    let left = left(&disk, SEGMENT, 100);
    assert!(left.contains(&None) && left.contains(&Some(b"synced".to_vec())));
    for other in [Dir::Root, Dir::Parts, Dir::Manifest] {
        disk.sync_dir(other).unwrap();
        assert_eq!(disk.crash(CrashChoice::NothingKept).files(), [], "{other:?} is another one");
    }
    disk.sync_dir(Dir::Wal).unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(SEGMENT).unwrap(), b"synced");
}

#[test]
fn a_durable_name_does_not_make_the_bytes_durable() {
    let disk = disk();
    let file = disk.create(PART).unwrap();
    write(&*file, 0, b"bytes");
    disk.sync_dir(Dir::Parts).unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(PART).unwrap(), b"");
}

#[test]
fn a_rename_leaves_one_name_or_the_other() {
    let disk = disk();
    synced(&disk, PART.tmp(), b"part");
    disk.rename(PART.tmp(), PART).unwrap();
    let left: BTreeSet<_> = choices(100).into_iter().map(|it| disk.crash(it).files()).collect();
    assert_eq!(left, BTreeSet::from([vec![PART.tmp()], vec![PART]]));
    disk.sync_dir(Dir::Parts).unwrap();
    for choice in choices(100) {
        assert_eq!(disk.crash(choice).files(), [PART]);
    }
}

#[test]
fn a_new_file_that_was_renamed_has_one_name_or_none() {
    let disk = disk();
    disk.create(PART.tmp()).unwrap().sync().unwrap();
    disk.rename(PART.tmp(), PART).unwrap();
    let left: BTreeSet<_> = choices(500).into_iter().map(|it| disk.crash(it).files()).collect();
    assert_eq!(left, BTreeSet::from([vec![], vec![PART.tmp()], vec![PART]]));
}

#[test]
fn a_removed_file_comes_back_without_a_sync_of_its_directory() {
    let disk = disk();
    synced(&disk, PART, b"part");
    disk.remove(PART).unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(PART).unwrap(), b"part");
    let left = left(&disk, PART, 100);
    assert!(left.contains(&None) && left.contains(&Some(b"part".to_vec())));
    disk.sync_dir(Dir::Parts).unwrap();
    for choice in choices(100) {
        assert_eq!(disk.crash(choice).files(), []);
    }
}

#[test]
fn two_renames_are_kept_one_by_one() {
    let disk = disk();
    let other = FileName::new(FileKind::Part, 2);
    synced(&disk, PART.tmp(), b"1");
    synced(&disk, other.tmp(), b"2");
    disk.rename(PART.tmp(), PART).unwrap();
    disk.rename(other.tmp(), other).unwrap();
    let left: BTreeSet<_> = choices(200).into_iter().map(|it| disk.crash(it).files()).collect();
    let all: BTreeSet<_> =
        [[PART, other], [PART, other.tmp()], [PART.tmp(), other], [PART.tmp(), other.tmp()]]
            .into_iter()
            .map(|mut names| {
                names.sort();
                names.to_vec()
            })
            .collect();
    assert_eq!(left, all);
}

#[test]
fn a_name_that_was_given_again_belongs_to_one_of_its_owners() {
    let disk = disk();
    synced(&disk, PART, b"old");
    disk.remove(PART).unwrap();
    let file = disk.create(PART).unwrap();
    write(&*file, 0, b"new");
    file.sync().unwrap();
    let left: BTreeSet<_> = left(&disk, PART, 200).into_iter().collect();
    let one = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(left, BTreeSet::from([None, one(b"old"), one(b"new")]));
}

#[test]
fn a_renamed_file_is_not_lost_when_its_old_name_is_given_again() {
    let disk = disk();
    let other = FileName::new(FileKind::Part, 2);
    synced(&disk, PART, b"first");
    disk.rename(PART, other).unwrap();
    let second = disk.create(PART).unwrap();
    write(&*second, 0, b"second");
    second.sync().unwrap();
    let mut both = false;
    for choice in choices(200) {
        let crashed = disk.crash(choice);
        let found = [PART, other].map(|name| crashed.read(name));
        assert!(found.contains(&Some(b"first".to_vec())), "{found:?} after {choice:?}");
        both |= found.contains(&Some(b"second".to_vec()));
    }
    assert!(both);
}

#[test]
fn a_name_that_is_durable_is_not_taken_back_by_an_owner_in_doubt() {
    use duramen::testing::sim::{Fault, FaultError, OperationKind, When};

    let disk = disk();
    let other = FileName::new(FileKind::Part, 2);
    synced(&disk, PART, b"first");
    disk.rename(PART, other).unwrap();
    disk.inject(Fault::new(When::nth(OperationKind::SyncDir, 1), FaultError::EIO));
    disk.sync_dir(Dir::Parts).unwrap_err();
    assert_eq!(disk.crash(CrashChoice::AllKept).read(PART).unwrap(), b"first");
    synced(&disk, PART, b"second");
    for choice in choices(50) {
        assert_eq!(disk.crash(choice).read(PART).unwrap(), b"second");
    }
}

#[test]
fn a_failure_to_make_directories_leaves_a_part_of_them() {
    use duramen::testing::sim::{Fault, FaultError, OperationKind, When};

    let mut seen = BTreeSet::new();
    for choice in choices(100) {
        let disk = SimDisk::new();
        let first = When::nth(OperationKind::MakeDirs, 1);
        disk.inject(Fault::new(first, FaultError::ENOSPC).keeping(choice));
        disk.make_dirs().unwrap_err();
        let there = |dir: Dir| disk.sync_dir(dir).is_ok();
        let made = Dir::INNER.map(there);
        assert!(there(Dir::Root) || made == [false; 3], "nothing is in a directory that is not");
        seen.insert((there(Dir::Root), made));
    }
    assert!(seen.len() == 9, "no root, or any of the three in it: {seen:?}");
}

#[test]
fn directories_that_were_not_made_to_the_end_are_lost_with_their_files() {
    use duramen::testing::sim::{Fault, FaultError, OperationKind, When};

    let disk = SimDisk::new();
    let first = When::nth(OperationKind::MakeDirs, 1);
    disk.inject(Fault::new(first, FaultError::EIO).keeping(CrashChoice::AllKept));
    disk.make_dirs().unwrap_err();
    synced(&disk, PART, b"part");
    assert_eq!(disk.crash(CrashChoice::NothingKept).files(), []);
    let left = left(&disk, PART, 100);
    assert!(left.contains(&None) && left.contains(&Some(b"part".to_vec())));
    disk.make_dirs().unwrap();
    assert_eq!(disk.crash(CrashChoice::NothingKept).read(PART).unwrap(), b"part");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create(usize),
    Rename(usize, usize),
    Remove(usize),
    Sync,
    FailedSync(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_usize).prop_map(Step::Create),
        4 => (0..4_usize, 0..4_usize).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (0..4_usize).prop_map(Step::Remove),
        1 => Just(Step::Sync),
        1 => any::<u64>().prop_map(Step::FailedSync),
    ]
}

proptest! {
    /// Each file has its number as its only content, so that it is known under any name.
    #[test]
    fn each_file_has_at_most_one_of_the_names_it_had_since_the_last_sync(
        steps in proptest::collection::vec(step(), 0..25),
        seed in any::<u64>(),
    ) {
        use duramen::testing::sim::{Fault, FaultError, When};

        let names = [PART, PART.tmp(), FileName::new(FileKind::Part, 2), FileName::new(FileKind::Part, 3)];
        let disk = disk();
        // The files under each name, and the names each file may be left with.
        let mut now: BTreeMap<FileName, u8> = BTreeMap::new();
        let mut possible: Vec<BTreeSet<Option<FileName>>> = Vec::new();
        let mut doubtful = false;
        for step in steps {
            match step {
                Step::Create(name) => {
                    if let Ok(file) = disk.create(names[name]) {
                        let number = u8::try_from(possible.len()).unwrap();
                        write(&*file, 0, &[number]);
                        file.sync().unwrap();
                        prop_assert_eq!(now.insert(names[name], number), None);
                        possible.push(BTreeSet::from([None, Some(names[name])]));
                    }
                }
                Step::Rename(from, to) => {
                    if disk.rename(names[from], names[to]).is_ok() {
                        let number = now.remove(&names[from]).unwrap();
                        possible[usize::from(number)].insert(Some(names[to]));
                        prop_assert_eq!(now.insert(names[to], number), None);
                    }
                }
                Step::Remove(name) => {
                    if disk.remove(names[name]).is_ok() {
                        let number = now.remove(&names[name]).unwrap();
                        possible[usize::from(number)].insert(None);
                    }
                }
                Step::Sync => {
                    disk.sync_dir(Dir::Parts).unwrap();
                    if !doubtful {
                        for (number, possible) in (0..).zip(&mut possible) {
                            let name = now.iter().find(|(_, file)| **file == number);
                            *possible = BTreeSet::from([name.map(|(name, _)| *name)]);
                        }
                    }
                }
                Step::FailedSync(seed) => {
                    let when = When::operation(disk.operations() + 1);
                    let fault = Fault::new(when, FaultError::EIO);
                    disk.inject(fault.keeping(CrashChoice::Seeded(seed)));
                    disk.sync_dir(Dir::Parts).unwrap_err();
                    doubtful = true;
                    // Another file may be in its place, and it need not have got its new one.
                    for possible in &mut possible {
                        possible.insert(None);
                    }
                }
            }
        }
        for choice in [CrashChoice::NothingKept, CrashChoice::AllKept, CrashChoice::Seeded(seed)] {
            let crashed = disk.crash(choice);
            let mut left = BTreeMap::new();
            for name in crashed.files() {
                let number = crashed.read(name).unwrap()[0];
                prop_assert_eq!(left.insert(number, name), None, "two names of one file");
            }
            for (number, possible) in (0..).zip(&possible) {
                let name = left.get(&number).copied();
                prop_assert!(possible.contains(&name), "file {number}: {name:?} of {possible:?}");
            }
            if choice == CrashChoice::AllKept && !doubtful {
                let now: BTreeMap<_, _> = now.iter().map(|(name, file)| (*file, *name)).collect();
                prop_assert_eq!(left, now);
            }
        }
    }
}
