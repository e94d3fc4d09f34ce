//! What the operating system refuses: no room, no descriptors, no permission, files too large, file
//! systems that cannot be written to. All of it real, in processes of their own; what takes more rights
//! than the tests have says SKIPPED.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::space;

use duramen::fs::{FileKind, FileName, OsPlace, Place};
use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, LeafIndex,
    TreeHead, inspect, scrub,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::stores::{copy_of, leaves, root_of, tree};
use testkit::words::words;

type Store = Accumulator<Blake3, 4>;

/// Small segments, so that every few groups take a new one.
fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(0)
}

/// The files of a store, without the one that names who has it open.
fn stored(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(dir);
    files.remove(&dir.join("LOCK"));
    files
}

/// What the system said, of a call that failed or of the one that poisoned the store.
fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Poisoned { source } => kind(source),
        Error::Io { source, .. } => Some(source.kind()),
        _ => None,
    }
}

/// The size of the store, whose leaves are the first of `all`, with the right root and proofs.
fn check(store: &Store, all: &[Hash]) -> usize {
    let head = store.head().unwrap();
    let size = usize::try_from(head.size.get()).unwrap();
    assert_eq!(store.leaves(0..head.size.get()).unwrap(), all[..size]);
    assert_eq!(head.root, root_of(&Blake3, Arity::Four, &all[..size]));
    for index in [0, size / 2].into_iter().filter(|index| *index < size) {
        let at = LeafIndex(index as u64);
        let proof = store.prove(at).unwrap();
        proof.verify(&Blake3, Arity::Four, &head, at, &all[index]).unwrap();
    }
    size
}

/// What a store acknowledges while the system refuses things.
#[derive(Debug, Default)]
struct Met {
    acked: usize,
    submitted: usize,
    log: Option<Error>,
    checkpoint: Option<Error>,
}

/// Inserts `all`, a few at a time, and makes checkpoints, until the log fails.
fn work(store: &Store, all: &[Hash]) -> Met {
    let mut met = Met { acked: check(store, all), ..Met::default() };
    met.submitted = met.acked;
    for round in 0_usize.. {
        // One group in four is longer than a segment.
        let len = if round % 4 == 2 { 2000 } else { 70 };
        let group = &all[met.submitted..all.len().min(met.submitted + len)];
        if group.is_empty() {
            break;
        }
        let token = store.insert_many(group).unwrap().token;
        met.submitted += group.len();
        match store.flush() {
            Ok(()) => met.acked = met.submitted,
            Err(error) => {
                assert!(matches!(error, Error::Poisoned { .. }), "{}", words(&error));
                assert!(matches!(token.wait(), Err(Error::Poisoned { .. })));
                assert!(matches!(store.insert([1; 32]), Err(Error::Poisoned { .. })));
                assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
                met.log = Some(error);
                break;
            }
        }
        if round % 4 == 0 || round % 4 == 3 {
            match store.checkpoint() {
                Ok(_) => {}
                Err(Error::Poisoned { .. }) => panic!("a checkpoint that fails poisons nothing"),
                Err(error) => met.checkpoint = Some(error),
            }
        }
    }
    // Reading goes on.
    assert_eq!(check(store, all), met.submitted);
    met
}

/// Opens what a fault has left, looks at it, and goes on.
fn reopen(dir: &Path, all: &[Hash], met: &Met) {
    let store = Store::open(config(dir)).unwrap();
    let size = check(&store, all);
    assert!((met.acked..=met.submitted).contains(&size), "{size}: {met:?}");
    let mut all = all[..size].to_vec();
    for seed in [8, 9] {
        store.insert_many(&leaves(30, seed)).unwrap();
        all.extend(leaves(30, seed));
        store.flush().unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    assert_eq!(check(&Store::open(config(dir)).unwrap(), &all), size + 60);
}

/// Which of the scenarios a child plays, and where.
const SCENARIO: &str = "DURAMEN_TEST_SCENARIO";
const PLACE: &str = "DURAMEN_TEST_PLACE";

/// Not a test by itself: the process in which a scenario is played.
#[test]
fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    match &name[..] {
        "few descriptors" => few_descriptors(&place),
        "small files" => small_files(&place),
        "no permission" => no_permission(&place),
        "read-only" => read_only(&place),
        "full" => full(&place),
        other => panic!("{other}"),
    }
    // Without this line the scenario was not played to its end.
    println!("played {name}");
}

/// A command that plays a scenario, behind `wrapper`.
fn play(wrapper: &[&str], exe: &Path, name: &str, place: &Path) -> Command {
    let exe = exe.to_str().unwrap();
    let words = [wrapper, &[exe, "--exact", "faults::scenario", "--nocapture"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(SCENARIO, name).env(PLACE, place);
    command
}

/// What a scenario printed, if it was played.
fn played(command: &mut Command, name: &str) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() && text.contains(&format!("played {name}")) {
        Ok(text)
    } else {
        Err(text)
    }
}

fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}

/// Whether this process may do what only root may: take a mount namespace of its own.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn limit(resource: Resource, current: Option<u64>) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: current.or(maximum), maximum }).unwrap();
}

/// Calls `work` with at most `most` of a resource.
fn limited<T>(resource: Resource, most: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource).current;
    limit(resource, Some(most));
    let done = work();
    limit(resource, before);
    done
}

/// Calls `work` with `room` descriptors more than are open.
fn with_descriptors<T>(room: u64, work: impl FnOnce() -> T) -> T {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse());
    let mut open: BTreeSet<u64> = open.map(Result::unwrap).collect();
    // The limit is on their numbers, of which some may be free. The directory that was read had one.
    let (mut most, mut free) = (0, 0);
    open.retain(|number| Path::new(&format!("/proc/self/fd/{number}")).exists());
    while free < room || open.contains(&most) {
        free += u64::from(!open.contains(&most));
        most += 1;
    }
    limited(Resource::Nofile, most, work)
}

/// EMFILE has no kind of its own.
fn is_emfile(error: &Error) -> bool {
    words(error).contains("Too many open files")
}

/// The system may refuse a descriptor before it looks at the name.
fn a_file_of_another_program_stays_its_own(dir: &Path) {
    let fs = OsPlace::new(dir).make().unwrap();
    let _lock = fs.lock().unwrap();
    let name = FileName::new(FileKind::Part, 3);
    let mine = FileName::new(FileKind::Part, 4);
    fs.create(mine).unwrap();
    let path = dir.join(name.to_string());
    std::fs::write(&path, "planted").unwrap();
    for room in 0..2 {
        let refused = with_descriptors(room, || fs.create(name).unwrap_err());
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{room}: {refused}");
        fs.remove(name).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "planted");
    }
    fs.remove(mine).unwrap();
}

fn few_descriptors(place: &Path) {
    a_file_of_another_program_stays_its_own(&place.join("planted"));
    let all = leaves(3000, 1);
    let (mut logs, mut checkpoints, mut openings, mut readings) = (0, 0, 0, 0);
    for room in 0..14 {
        let dir = place.join(room.to_string());
        let store = Store::open(config(&dir)).unwrap();
        store.insert_many(&all[..100]).unwrap();
        store.checkpoint().unwrap();
        let (met, read) = with_descriptors(room, || {
            let read = Store::open_read_only(config(&dir)).map(|reader| reader.head());
            (work(&store, &all), read)
        });
        match read {
            Ok(head) => drop(head.unwrap()),
            Err(error) => {
                assert!(is_emfile(&error), "{room}: {}", words(&error));
                readings += 1;
            }
        }
        for error in met.log.iter().chain(&met.checkpoint) {
            assert!(is_emfile(error), "{room}: {}", words(error));
        }
        logs += usize::from(met.log.is_some());
        checkpoints += usize::from(met.checkpoint.is_some());
        if let Some(error) = &met.checkpoint {
            assert!(error.is_transient(), "{room}: {}", words(error));
        }
        if met.log.is_none() {
            assert_eq!(store.checkpoint().unwrap().seq.0, 3000);
            store.close().unwrap();
        } else {
            assert!(is_emfile(&store.close().unwrap_err()));
        }
        match with_descriptors(room, || Store::open(config(&dir))) {
            Ok(store) => assert!(check(&store, &all) >= met.acked),
            Err(error) => {
                assert!(is_emfile(&error), "{room}: {}", words(&error));
                openings += 1;
            }
        }
        reopen(&dir, &all, &met);
        // A new store.
        let dir = place.join(format!("new {room}"));
        match with_descriptors(room, || Store::open(config(&dir))) {
            Ok(store) => drop(store),
            Err(error) => assert!(is_emfile(&error), "{room}: {}", words(&error)),
        }
        reopen(&dir, &[], &Met::default());
    }
    println!(
        "EMFILE: {logs} logs, {checkpoints} checkpoints, {openings} openings, {readings} readers"
    );
    assert!(logs > 0 && checkpoints > 0 && openings > 2 && readings > 0);
}

#[test]
fn without_descriptors_calls_fail_in_words_and_go_on_when_there_are_some() {
    let place = tempfile::tempdir().unwrap();
    let name = "few descriptors";
    let text = played(&mut play(&[], &this(), name, place.path()), name);
    text.unwrap_or_else(|text| panic!("{text}"));
}

fn small_files(place: &Path) {
    let all = leaves(6000, 1);
    let (mut logs, mut checkpoints, mut openings) = (0, 0, 0);
    let grows = |dir: &Path| config(dir).wal_segment_bytes(1 << 20).unwrap();
    // In the middle of blocks and headers, too, so that writes end short of what they were given.
    let limits = [0, 1, 4095, 5000, 16_384, 17_000, 33_333, 50_001, 69_632, 70_001, 80_000, 91_234];
    for most in limits.into_iter().chain([150_000, 262_143, 262_144, 300_001, 600_000]) {
        let dir = place.join(most.to_string());
        // The segment is as large as it may be from the beginning, or as large as is needed.
        for (way, config) in [("small", config as fn(&Path) -> Config), ("growing", grows)] {
            let dir = dir.join(way);
            let limited =
                |work: &dyn Fn() -> Result<Met, Error>| limited(Resource::Fsize, most, work);
            let met = limited(&|| {
                let store = Store::open(config(&dir))?;
                let met = work(&store, &all);
                let closed = store.close();
                assert_eq!(closed.is_ok(), met.log.is_none(), "{most}, {way}: {closed:?}");
                Ok(met)
            });
            let met = met.unwrap_or_else(|error| {
                assert_eq!(kind(&error), Some(ErrorKind::FileTooLarge), "{}", words(&error));
                openings += 1;
                Met::default()
            });
            for error in met.log.iter().chain(&met.checkpoint) {
                let found = (kind(error), error.is_transient());
                assert_eq!(found, (Some(ErrorKind::FileTooLarge), false), "{}", words(error));
            }
            logs += usize::from(met.log.is_some());
            checkpoints += usize::from(met.checkpoint.is_some());
            reopen(&dir, &all, &met);
        }
    }
    println!("EFBIG: {logs} logs, {checkpoints} checkpoints, {openings} openings");
    assert!(logs > 2 && checkpoints > 2 && openings > 2);
}

#[test]
fn files_that_may_not_grow_fail_in_words_and_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let name = "small files";
    // The signal that comes with the error would end the process.
    let ignoring = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let text = played(&mut play(&ignoring, &this(), name, place.path()), name);
    text.unwrap_or_else(|text| panic!("{text}"));
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// All a read-only store has to offer. The store holds `all`, the last of them perhaps torn.
fn read(dir: &Path, all: &[Hash]) {
    let reader = Store::open_read_only(config(dir)).unwrap();
    let head = reader.head().unwrap();
    let expected =
        TreeHead { size: (all.len() as u64).into(), root: root_of(&Blake3, Arity::Four, all) };
    assert_eq!(head, expected);
    let at = LeafIndex(all.len() as u64 / 2);
    let leaf = all[all.len() / 2];
    reader.prove(at).unwrap().verify(&Blake3, Arity::Four, &head, at, &leaf).unwrap();
    reader.prove_consistency(1).unwrap();
    assert_eq!(reader.refresh().unwrap(), head.size);
    let survey = inspect::survey(&config(dir)).unwrap();
    assert!(survey.is_clean(), "{survey:?}");
    assert_eq!(survey.leaves, Some(all.len() as u64));
    for file in &survey.files {
        let mut text = Vec::new();
        inspect::dump(&file.path, &mut text).unwrap();
        assert!(!text.is_empty(), "{}", file.path.display());
    }
    let options = scrub::Options::new();
    let report = scrub::run(&config(dir), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// A store with parts and a log, closed or left by a kill, in `dir`.
fn make(dir: &Path, closed: bool) -> Vec<Hash> {
    let all = leaves(900, 4);
    let store = Store::open(config(dir)).unwrap();
    for (number, group) in all.chunks(100).enumerate() {
        store.insert_many(group).unwrap();
        store.flush().unwrap();
        if number == 2 || number == 5 {
            store.checkpoint().unwrap();
        }
    }
    let left = copy_of(dir);
    store.close().unwrap();
    if !closed {
        std::fs::remove_dir_all(dir).unwrap();
        assert!(Command::new("cp").arg("-r").args([left.path(), dir]).status().unwrap().success());
    }
    all
}

fn no_permission(place: &Path) {
    let denied = |error: &Error| {
        assert_eq!(kind(error), Some(ErrorKind::PermissionDenied), "{}", words(error));
        assert!(!error.is_transient());
    };
    let all = leaves(3000, 1);
    // Directories that cannot be written to, under a store that is open.
    for inner in ["parts", "manifest", "wal"] {
        let dir = place.join(format!("open, {inner}"));
        let store = Store::open(config(&dir)).unwrap();
        set_mode(&dir.join(inner), 0o500);
        let met = work(&store, &all);
        if inner == "wal" {
            denied(met.log.as_ref().unwrap());
            denied(&store.close().unwrap_err());
            set_mode(&dir.join(inner), 0o700);
        } else {
            denied(met.checkpoint.as_ref().unwrap());
            assert_eq!(met.acked, 3000, "{inner}");
            set_mode(&dir.join(inner), 0o700);
            assert_eq!(store.checkpoint().unwrap().seq.0, 3000);
            store.close().unwrap();
        }
        reopen(&dir, &all, &met);
    }
    let dir = place.join("store");
    let all = make(&dir, false);
    let before = stored(&dir);
    // Everything out of reach in turn.
    let mut refused = 0;
    let inner = ["parts", "manifest", "wal"].map(|inner| dir.join(inner));
    for path in before.keys().chain(&inner).chain([&dir]) {
        let copy = copy_of(&dir);
        let before = stored(copy.path());
        let path = copy.path().join(path.strip_prefix(&dir).unwrap());
        let name = path.display();
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        set_mode(&path, 0);
        match Store::open(config(copy.path())) {
            // A file that nothing needs.
            Ok(store) => assert_eq!(check(&store, &all), 900, "{name}"),
            Err(error) => {
                assert!(words(&error).contains("ermission denied"), "{name}: {}", words(&error));
                refused += 1;
                if let Err(error) = Store::open_read_only(config(copy.path())) {
                    assert!(words(&error).contains("ermission denied"), "{}", words(&error));
                }
                set_mode(&path, mode);
                assert_eq!(stored(copy.path()), before, "{name}");
            }
        }
        if path.exists() {
            set_mode(&path, mode);
        }
    }
    assert!(refused >= 8, "{refused}");
    // To be read and no more.
    before.keys().for_each(|file| set_mode(file, 0o400));
    inner.iter().for_each(|inner| set_mode(inner, 0o500));
    set_mode(&dir, 0o500);
    denied(&Store::open(config(&dir)).unwrap_err());
    read(&dir, &all);
    assert_eq!(stored(&dir), before);
    set_mode(&dir, 0o700);
    inner.iter().for_each(|inner| set_mode(inner, 0o700));
    before.keys().for_each(|file| set_mode(file, 0o600));
    reopen(&dir, &all, &Met { acked: 900, submitted: 900, ..Met::default() });
    // A directory in which nothing can be made.
    let dir = place.join("above");
    std::fs::create_dir(&dir).unwrap();
    set_mode(&dir, 0o500);
    denied(&Store::open(config(&dir)).unwrap_err());
    denied(&Store::open(config(&dir.join("below"))).unwrap_err());
    println!("EACCES: {refused} things out of reach");
}

#[test]
fn without_permission_calls_fail_in_words_and_change_nothing_and_reading_needs_no_more_than_that() {
    let place = tempfile::tempdir().unwrap();
    let name = "no permission";
    let exe = place.path().join("tests");
    std::fs::copy(this(), &exe).unwrap();
    let stores = place.path().join("stores");
    std::fs::create_dir(&stores).unwrap();
    set_mode(place.path(), 0o755);
    set_mode(&stores, 0o777);
    let mut command = play(&[], &exe, name, &stores);
    if is_root() {
        // Nothing is forbidden to root.
        command.uid(65534).gid(65534).current_dir("/");
    }
    played(&mut command, name).unwrap_or_else(|text| panic!("{text}"));
}

fn read_only(place: &Path) {
    for closed in [true, false] {
        let dir = place.join(format!("closed {closed}"));
        let error = Store::open(config(&dir)).unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::ReadOnlyFilesystem), "{}", words(&error));
        read(&dir, &leaves(900, 4));
    }
    let error = Store::open(config(&place.join("new"))).unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::ReadOnlyFilesystem), "{}", words(&error));
}

#[test]
fn on_a_read_only_file_system_writers_are_refused_and_readers_have_everything() {
    let place = tempfile::tempdir().unwrap();
    for closed in [true, false] {
        make(&place.path().join(format!("closed {closed}")), closed);
    }
    let before = tree(place.path());
    let name = "read-only";
    if !is_root() {
        return skipped(name, "only root mounts");
    }
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let text = place.path().to_str().unwrap();
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, text];
    match played(&mut play(&wrapper, &this(), name, place.path()), name) {
        Ok(_) => assert_eq!(tree(place.path()), before),
        Err(text) if text.contains("unshare") || text.contains("mount:") => skipped(name, &text),
        Err(text) => panic!("{text}"),
    }
}

fn full(place: &Path) {
    let mut met = space::Met::default();
    let mut room = 0;
    while met.enough < 2 {
        let one = space::run(place, room);
        met.add(one.unwrap_or_else(|error| panic!("{room} bytes of room: {error}")));
        // Not only at the borders of blocks.
        room += 4096 + 1;
    }
    println!("ENOSPC on tmpfs: {met:?}");
    let each = [met.creations, met.logs, met.checkpoints, met.merges, met.reopenings];
    assert!(each.iter().all(|count| *count > 0), "{met:?}");
}

#[test]
fn a_file_system_that_is_full_at_any_moment_costs_nothing_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let name = "full";
    if !is_root() {
        return skipped(name, "only root mounts");
    }
    let script = "mount -t tmpfs -o size=2m duramen \"$0\" && exec \"$@\"";
    let text = place.path().to_str().unwrap();
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, text];
    match played(&mut play(&wrapper, &this(), name, place.path()), name) {
        Ok(_) => {}
        Err(text) if text.contains("unshare") || text.contains("mount:") => skipped(name, &text),
        Err(text) => panic!("{text}"),
    }
}
