//! The checker sees: a right trace passes, and with anything left out or out of order it does not.

use std::path::{Path, PathBuf};

use super::calls::{Call, What};
use super::order::{Seen, Subject, check, leaf};

fn at(name: &str) -> PathBuf {
    PathBuf::from("/place/store").join(name)
}

fn subject() -> Subject {
    let place = PathBuf::from("/place");
    Subject { store: at(""), said: "/place/said".into(), uncertain: Vec::new(), place }
}

/// Each call ends before the next one begins.
fn one_by_one(whats: &[What]) -> Vec<Call> {
    let start = std::iter::once(&What::Start);
    let calls = start.chain(whats).zip((0..).step_by(10));
    let call = |(what, begun): (&What, u64)| Call {
        begun,
        ended: Some(begun + 1),
        succeeded: true,
        what: what.clone(),
    };
    calls.map(call).collect()
}

fn wrong(whats: &[What]) -> Vec<String> {
    check(&subject(), &one_by_one(whats)).1
}

fn say(line: &str) -> What {
    What::Write("/place/said".into(), format!("{line}\n").into_bytes())
}

fn sync(name: &str) -> What {
    What::Sync(at(name))
}

fn write(name: &str, leaves: std::ops::Range<u64>) -> What {
    let mut bytes = b"some header".to_vec();
    leaves.for_each(|index| bytes.extend(leaf(index)));
    What::Write(at(name), bytes)
}

/// A file that gets its name when it is complete.
fn publish(name: &str, leaves: std::ops::Range<u64>) -> Vec<What> {
    let tmp = format!("{name}.tmp");
    let (dir, _) = name.split_once('/').unwrap();
    vec![
        What::Create(at(&tmp)),
        write(&tmp, leaves),
        sync(&tmp),
        What::Rename(at(&tmp), at(name)),
        sync(dir),
    ]
}

/// A store that is made, written to, checkpointed, merged and closed, with no sync too many.
fn life() -> Vec<What> {
    [
        vec![
            What::MakeDir("/place/store".into()),
            What::Sync("/place".into()),
            What::MakeDir(at("manifest")),
            What::MakeDir(at("wal")),
            What::MakeDir(at("parts")),
            sync(""),
            What::Create(at("LOCK")),
            What::Create(at("wal/1.wal")),
            What::Resize(at("wal/1.wal")),
            sync("wal/1.wal"),
            sync("wal"),
        ],
        publish("manifest/1.manifest", 0..0),
        vec![
            write("wal/1.wal", 0..3),
            sync("wal/1.wal"),
            say("0"),
            say("durable 3"),
            // The log goes on in another segment.
            What::Create(at("wal/2.wal")),
            What::Resize(at("wal/2.wal")),
            sync("wal"),
            write("wal/1.wal", 0..0),
            sync("wal/1.wal"),
            write("wal/2.wal", 3..5),
            sync("wal/2.wal"),
            say("3\n4"),
        ],
        publish("parts/1.part", 0..5),
        publish("manifest/2.manifest", 0..0),
        vec![
            say("archived 5"),
            What::Rename(at("wal/1.wal"), at("wal/3.wal")),
            sync("wal"),
            write("wal/2.wal", 0..0),
            sync("wal/2.wal"),
            write("wal/3.wal", 5..6),
            sync("wal/3.wal"),
            say("5"),
        ],
        publish("parts/2.part", 5..6),
        publish("manifest/3.manifest", 0..0),
        vec![say("archived 6"), What::Remove(at("manifest/1.manifest"))],
        publish("parts/3.part", 0..6),
        publish("manifest/4.manifest", 0..0),
        vec![
            What::Remove(at("parts/1.part")),
            What::Remove(at("parts/2.part")),
            What::Cut(at("wal/2.wal")),
            What::Remove(at("wal/2.wal")),
            say("size 6"),
        ],
    ]
    .concat()
}

/// One byte less than the leaves take, and the cut is one of them.
#[test]
fn a_segment_may_be_cut_behind_its_leaves_and_not_in_them() {
    let life = life();
    let cut = |len| {
        let bytes = vec![
            What::Create(at("wal/9.wal")),
            What::Sync(at("wal")),
            What::WriteUpTo(at("wal/9.wal"), leaf(6).to_vec(), 4096),
            What::Sync(at("wal/9.wal")),
            say("6"),
            What::CutTo(at("wal/9.wal"), len),
            say("6"),
        ];
        wrong(&[&life[..], &bytes].concat())
    };
    assert_eq!(cut(4096), Vec::<String>::new());
    assert!(!cut(4095).is_empty());
}

#[test]
fn a_life_in_order_is_not_complained_of() {
    let (seen, wrong) = check(&subject(), &one_by_one(&life()));
    assert_eq!(wrong, Vec::<String>::new());
    let expected =
        Seen { promises: 8, leaves: 6, dirs: 4, manifests: 4, parts: 3, recycled: 1, removed: 4 };
    assert_eq!(seen, expected);
}

#[test]
fn without_any_one_of_its_syncs_a_life_is_wrong() {
    let life = life();
    let mut syncs = 0;
    for (number, what) in life.iter().enumerate().filter(|(_, what)| matches!(what, What::Sync(_)))
    {
        let mut without = life.clone();
        without.remove(number);
        assert!(!wrong(&without).is_empty(), "{what:?}, number {number}, is not missed");
        syncs += 1;
    }
    assert_eq!(syncs, 25);
}

#[test]
fn a_sync_that_fails_is_none() {
    let life = life();
    let sync = |what: &What| matches!(what, What::Sync(_));
    for number in (0..life.len()).filter(|number| sync(&life[*number])) {
        let mut calls = one_by_one(&life);
        calls[number + 1].succeeded = false;
        assert!(!check(&subject(), &calls).1.is_empty(), "{:?}, number {number}", life[number]);
    }
}

#[test]
fn a_sync_that_ends_too_late_is_missed() {
    let life = life();
    let mut late = 0;
    for (number, pair) in life.windows(2).enumerate() {
        let says = |path: &Path| path == Path::new("/place/said");
        let (What::Sync(_), next) = (&pair[0], &pair[1]) else { continue };
        let needs_it = match next {
            What::Rename(..) | What::Remove(_) | What::MakeDir(_) => true,
            What::Write(path, _) => says(path),
            _ => false,
        };
        if needs_it {
            let mut calls = one_by_one(&life);
            calls[number + 1].ended = Some(calls[number + 2].begun + 2);
            assert!(!check(&subject(), &calls).1.is_empty(), "{:?}, then {next:?}", pair[0]);
            late += 1;
        }
    }
    assert_eq!(late, 14);
}

#[test]
fn a_sync_that_began_before_the_write_had_ended_does_not_cover_it() {
    let life = life();
    let of_log = |what: &What| *what == write("wal/1.wal", 0..3);
    let number = life.iter().position(of_log).unwrap();
    let mut calls = one_by_one(&life);
    let begun = calls[number + 2].begun;
    assert_eq!(calls[number + 2].what, sync("wal/1.wal"));
    calls[number + 1].ended = Some(begun + 1);
    let wrong = check(&subject(), &calls).1;
    assert!(wrong[0].contains("\"0\" is said, but leaf 0"), "{wrong:?}");
}

/// The first complaint after two calls of a life have been exchanged.
fn exchanged(one: &What, other: &What) -> String {
    let mut life = life();
    let find = |what: &What| life.iter().position(|known| known == what).unwrap();
    let (one, other) = (find(one), find(other));
    life.swap(one, other);
    wrong(&life).first().cloned().unwrap_or_default()
}

#[test]
fn a_part_that_is_named_before_it_is_synced_is_seen() {
    let rename = What::Rename(at("parts/1.part.tmp"), at("parts/1.part"));
    let wrong = exchanged(&sync("parts/1.part.tmp"), &rename);
    assert!(wrong.contains("1.part gets its name before it is synced"), "{wrong}");
}

#[test]
fn a_log_that_is_recycled_before_the_manifest_is_seen() {
    let recycle = What::Rename(at("wal/1.wal"), at("wal/3.wal"));
    let publish = What::Rename(at("manifest/2.manifest.tmp"), at("manifest/2.manifest"));
    let wrong = exchanged(&publish, &recycle);
    assert!(wrong.contains("1.wal is given another name, and leaf 0"), "{wrong}");
}

#[test]
fn inputs_that_are_removed_before_the_manifest_are_seen() {
    let publish = What::Rename(at("manifest/4.manifest.tmp"), at("manifest/4.manifest"));
    let wrong = exchanged(&publish, &What::Remove(at("parts/1.part")));
    assert!(wrong.contains("1.part is removed, and leaf 0"), "{wrong}");
}

#[test]
fn a_manifest_that_is_removed_before_a_newer_one_is_seen() {
    let publish = What::Rename(at("manifest/2.manifest.tmp"), at("manifest/2.manifest"));
    let wrong = exchanged(&publish, &What::Remove(at("manifest/1.manifest")));
    assert!(wrong.contains("1.manifest is removed"), "{wrong}");
}

#[test]
fn a_leaf_that_nobody_wrote_is_missed() {
    let mut life = life();
    life.push(say("6"));
    let wrong = wrong(&life);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("leaf 6 was never written"), "{wrong:?}");
}

#[test]
fn a_write_to_the_log_after_a_failed_sync_is_seen() {
    for (other, leaves, seen) in
        [("wal/1.wal", 0..1, true), ("wal/2.wal", 0..1, true), ("wal/2.wal", 0..0, false)]
    {
        let whats = [write("wal/1.wal", leaves), sync("wal/1.wal"), write(other, 1..2)];
        let mut calls = one_by_one(&whats);
        assert!(check(&subject(), &calls).1.is_empty());
        calls[2].succeeded = false;
        let wrong = check(&subject(), &calls).1;
        assert_eq!(!wrong.is_empty(), seen, "{other}: {wrong:?}");
        assert!(wrong.iter().all(|what| what.contains("is written to after a sync failed")));
    }
}

#[test]
fn a_log_that_goes_on_after_a_failed_sync_of_its_directory_is_seen() {
    let made =
        [What::Create(at("wal/1.wal")), sync("wal"), What::Create(at("wal/2.wal")), sync("wal")];
    let group = |leaf| [write("wal/1.wal", leaf..leaf + 1), sync("wal/1.wal")];
    let zeros = [write("wal/2.wal", 0..0)];
    let whats = [&made[..], &group(0), &zeros, &group(1)].concat();
    let mut calls = one_by_one(&whats);
    assert_eq!(check(&subject(), &calls).1, Vec::<String>::new());
    // The sync for the second segment, and the group after the one that may have been under way.
    calls[4].succeeded = false;
    let wrong = check(&subject(), &calls).1;
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("line 80: /place/store/wal/1.wal is written to after"), "{wrong:?}");
    // Of another directory it is none of the log's business.
    let whats = [&made[..2], &[sync("parts")], &group(0), &group(1)].concat();
    let mut calls = one_by_one(&whats);
    calls[3].succeeded = false;
    assert_eq!(check(&subject(), &calls).1, Vec::<String>::new());
}

#[test]
fn a_file_that_is_mapped_to_be_written_to_is_seen() {
    let mapped = [What::MapToWrite(at("parts/1.part"))];
    assert!(wrong(&mapped)[0].contains("1.part is mapped to be written to"));
    assert_eq!(wrong(&[What::MapToWrite("/elsewhere".into())]), Vec::<String>::new());
}

#[test]
fn a_name_whose_sync_failed_is_not_durable_after_another_try() {
    let synced = [sync("wal"), sync("wal")];
    let made = [What::Create(at("wal/1.wal"))];
    let used = [write("wal/1.wal", 0..1), sync("wal/1.wal"), say("0")];
    let mut calls = one_by_one(&[&made[..], &synced, &used].concat());
    assert_eq!(check(&subject(), &calls).1, Vec::<String>::new());
    calls[2].succeeded = false;
    let wrong = check(&subject(), &calls).1;
    assert!(wrong[0].contains("the name of /place/store/wal/1.wal"), "{wrong:?}");
}

#[test]
fn what_a_killed_process_wrote_is_durable_once_the_next_one_has_synced_it() {
    let known = [What::Create(at("wal/1.wal")), sync("wal"), write("wal/1.wal", 0..2)];
    let shown = [What::Start, say("durable 2")];
    let wrong_after = |between: &[What]| {
        let [start, say] = shown.clone();
        wrong(&[&known[..], &[start], between, &[say]].concat())
    };
    assert!(wrong_after(&[])[0].contains("1.wal is not synced"));
    assert_eq!(wrong_after(&[sync("wal/1.wal")]), Vec::<String>::new());
}

#[test]
fn a_directory_that_was_there_may_be_lost_until_its_parent_is_synced() {
    let subject = Subject { uncertain: vec![at("")], ..subject() };
    let made = [What::MakeDir(at("wal")), sync(""), say("made")];
    let wrong = check(&subject, &one_by_one(&made)).1;
    assert!(wrong[0].contains("the name of /place/store"), "{wrong:?}");
    let synced = [&[What::Sync("/place".into())][..], &made].concat();
    assert_eq!(check(&subject, &one_by_one(&synced)).1, Vec::<String>::new());
}

#[test]
fn any_other_file_is_durable_when_the_process_says_so() {
    let at = |name: &str| PathBuf::from("/place").join(name);
    let written = [
        What::Create(at("key.tmp")),
        What::Cut(at("key.tmp")),
        What::Write(at("key.tmp"), b"secret".to_vec()),
        What::Sync(at("key.tmp")),
        What::Rename(at("key.tmp"), at("key")),
        What::Sync("/place".into()),
        say("public"),
    ];
    assert_eq!(wrong(&written), Vec::<String>::new());
    for number in [3, 5] {
        let mut without = written.to_vec();
        without.remove(number);
        assert_eq!(wrong(&without).len(), 1, "{number}");
    }
}
