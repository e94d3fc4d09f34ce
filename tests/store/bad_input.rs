//! Stores on the real file system whose files are damaged, exchanged, replaced by something else, or
//! out of reach: opening them fails in words, or answers as if nothing had happened. Never a wrong
//! root, never a panic, never a change in what was refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, LeafIndex,
    inspect, scrub,
};
use testkit::stores::{copy_of, leaves, root_of};

type Store = Accumulator<Blake3, 4>;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(12 << 10)
        .unwrap()
        .wal_spare_bytes(12 << 10)
}

/// A store to be damaged, with parts, segments and spare ones, and what it holds.
struct Subject {
    dir: tempfile::TempDir,
    leaves: Vec<Hash>,
    /// What must be there when nothing is reported. After a kill damage in the last group cannot be
    /// distinguished from a write that a crash tore.
    least: usize,
}

impl Subject {
    fn new(seed: u64, closed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let leaves = leaves(200, seed);
        let store = Store::open(config(dir.path())).unwrap();
        let mut at = 0;
        for (step, count) in [1, 5, 130, 1, 1, 1, 3, 50, 1, 1, 5].into_iter().enumerate() {
            store.insert_many(&leaves[at..at + count]).unwrap();
            store.flush().unwrap();
            // Which group stands in which segment depends on when segments are made ready.
            #[cfg(feature = "testing")]
            store.wait_idle();
            at += count;
            if step == 1 || step == 4 {
                store.checkpoint().unwrap();
            }
        }
        let left = copy_of(dir.path());
        store.close().unwrap();
        let (dir, least) = if closed { (dir, at) } else { (left, at - 5) };
        Self { dir, leaves: leaves[..at].to_vec(), least }
    }

    /// Opens what was made of a copy of it.
    fn judge(&self, copy: &Path, what: &str) -> bool {
        let before = tree(copy);
        let store = match Store::open(config(copy)) {
            Ok(store) => store,
            Err(Error::Damaged(_) | Error::UnknownFormat { .. } | Error::Io { .. }) => {
                assert_eq!(tree(copy), before, "{what}: refused, and changed");
                return false;
            }
            Err(error) => panic!("{what}: {error}"),
        };
        let size = usize::try_from(store.size().get()).unwrap();
        let all = self.least..=self.leaves.len();
        assert!(all.contains(&size), "{what}: {size} leaves, {}", store.recovery());
        let ours = &self.leaves[..size];
        let damaged = |error: &Error| matches!(error, Error::Damaged(_));
        match store.head() {
            Ok(head) => assert_eq!(head.root, root_of(&Blake3, Arity::Four, ours), "{what}"),
            Err(error) => assert!(damaged(&error), "{what}: {error}"),
        }
        for (index, leaf) in ours.iter().enumerate() {
            match store.leaf(index as u64) {
                Ok(found) => assert_eq!(found, *leaf, "{what}: leaf {index}"),
                Err(error) => assert!(damaged(&error), "{what}: {error}"),
            }
        }
        let root = root_of(&Blake3, Arity::Four, ours);
        let head = duramen::TreeHead { size: store.size(), root };
        for index in [0, 7, size - 1] {
            match store.prove(index as u64) {
                Ok(proof) => proof
                    .verify(&Blake3, Arity::Four, &head, LeafIndex(index as u64), &ours[index])
                    .unwrap_or_else(|error| panic!("{what}: proof of {index}: {error}")),
                Err(error) => assert!(damaged(&error), "{what}: {error}"),
            }
        }
        true
    }
}

/// Every file of a store, by its path in it.
fn files(store: &Path) -> Vec<PathBuf> {
    tree(store).into_keys().filter(|path| path.parent() != Some(Path::new(""))).collect()
}

/// What stands under `dir`: the content of files, the type and size of others.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let what = if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                format!("{:?}", meta.file_type()).into_bytes()
            };
            if meta.is_dir() {
                dirs.push(path.clone());
            } else if path.file_name().unwrap() != "LOCK" {
                found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), what);
            }
        }
    }
    found
}

#[test]
fn a_flipped_bit_in_any_file_is_noticed_or_harmless() {
    let mut outcomes = [0, 0];
    for closed in [true, false] {
        let subject = Subject::new(1, closed);
        // Zeros fill most of the files; what counts lies between them.
        let mut turn = 0_usize;
        for file in files(subject.dir.path()) {
            let bytes = std::fs::read(subject.dir.path().join(&file)).unwrap();
            for at in 0..bytes.len() {
                turn += if bytes[at] == 0 { 1 } else { 40 };
                if turn < 1300 {
                    continue;
                }
                turn = 0;
                let copy = copy_of(subject.dir.path());
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                std::fs::write(copy.path().join(&file), bytes).unwrap();
                let what = format!("byte {at} of {}, closed: {closed}", file.display());
                outcomes[usize::from(subject.judge(copy.path(), &what))] += 1;
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 50), "{outcomes:?}");
}

/// Opens, reads, looks at and scrubs what was made of a copy: whatever comes of it, nothing panics.
fn use_all(copy: &Path) {
    let _ = inspect::survey(&config(copy));
    let go_on = &mut |_| ControlFlow::Continue(());
    let _ = scrub::run(&config(copy), &scrub::Options::new(), go_on);
    if let Ok(reader) = Store::open_read_only(config(copy)) {
        let _ = (reader.head(), reader.leaf(0), reader.prove(0));
    }
    let Ok(store) = Store::open(config(copy)) else { return };
    let _ = (store.head(), store.leaf(0), store.prove(0));
    let size = store.size().get();
    let inserted = store.insert_durable([1; 32]);
    if let Ok(index) = inserted {
        assert_eq!((index.get(), store.size().get()), (size, size + 1));
        let _ = store.checkpoint();
    }
    let _ = store.close();
    if inserted.is_ok() {
        // A store that refuses to write still shows what was acknowledged.
        let reader = Store::open_read_only(config(copy)).unwrap();
        assert_eq!(reader.size().get(), size + 1);
        assert_eq!(reader.leaf(size).unwrap(), [1; 32]);
    }
}

fn put_sum(bytes: &mut [u8], covered: std::ops::Range<usize>, at: usize) {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes[covered]);
    bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
}

const FORGED: [u64; 8] =
    [u64::MAX, u64::MAX / 2, (1 << 62) - 1, 1 << 62, (1 << 61) - 1, 1 << 61, 1 << 40, 0];

#[test]
fn a_part_that_says_of_itself_that_it_is_huge_is_dumped_without_the_memory_that_it_would_take() {
    let subject = Subject::new(7, true);
    let all = files(subject.dir.path());
    let part = all.iter().find(|file| file.starts_with("parts")).unwrap();
    let whole = std::fs::read(subject.dir.path().join(part)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join(part.file_name().unwrap());
    for at in 0..256 {
        for bit in [30, 34, 40, 47, 55] {
            for sealed in [true, false] {
                let mut bytes = whole.clone();
                let number = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                bytes[at..at + 8].copy_from_slice(&(number | 1 << bit).to_le_bytes());
                if sealed {
                    put_sum(&mut bytes, 0..4088, 4088);
                }
                std::fs::write(&file, bytes).unwrap();
                let mut text = Vec::new();
                let dumped = inspect::dump(&file, &mut text);
                // The version that stands at byte 8, under a checksum that matches, is another one.
                let other = sealed && [8, 9].contains(&(at + bit / 8));
                match dumped {
                    Err(error) if other => {
                        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
                    }
                    dumped => drop(dumped.unwrap()),
                }
                assert!(text.len() < 1 << 20, "{} bytes of text", text.len());
            }
        }
    }
}

#[test]
fn numbers_that_somebody_forged_with_right_checksums_make_nothing_panic() {
    let subject = Subject::new(7, false);
    let forge = |file: &Path, bytes: &[u8]| {
        let copy = copy_of(subject.dir.path());
        std::fs::write(copy.path().join(file), bytes).unwrap();
        let mut text = Vec::new();
        inspect::dump(&copy.path().join(file), &mut text).unwrap();
        use_all(copy.path());
    };
    let all = files(subject.dir.path());
    let newest = all.iter().rfind(|file| file.starts_with("manifest")).unwrap();
    let whole = std::fs::read(subject.dir.path().join(newest)).unwrap();
    let end = whole.len() - 8;
    for at in (10..end - 8).step_by(3) {
        for value in FORGED {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            put_sum(&mut bytes, 0..end, end);
            forge(newest, &bytes);
        }
    }
    for file in all.iter().filter(|file| file.starts_with("wal")) {
        let whole = std::fs::read(subject.dir.path().join(file)).unwrap();
        let is_group = |at: &usize| whole[*at..].starts_with(b"duraWAL\n");
        let Some(group) = (0..whole.len()).step_by(4096).rfind(is_group) else { continue };
        // The header's numbers, and those of the first frame behind it.
        for at in (group + 16..group + 112).step_by(8).chain((group + 128..group + 160).step_by(8))
        {
            for value in FORGED {
                let mut bytes = whole.clone();
                let len = bytes[group + 72..][..8].try_into().unwrap();
                let len = usize::try_from(u64::from_le_bytes(len)).unwrap();
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
                duramen::testing::hostile::fix_group(&mut bytes[group..group + len]);
                forge(file, &bytes);
            }
        }
    }
}

#[test]
fn a_file_with_a_number_that_no_store_came_to_does_not_lead_it_there() {
    for closed in [true, false] {
        for number in [u64::MAX / 2, 1 << 62, 1 << 40] {
            let subject = Subject::new(5, closed);
            let dir = subject.dir.path();
            for name in [format!("wal/{number}.wal"), format!("parts/{number}.part.tmp")] {
                std::fs::write(dir.join(name), [0; 8192]).unwrap();
            }
            let mut all =
                Store::open(config(dir)).unwrap().leaves(0..subject.leaves.len() as u64).unwrap();
            for round in 0..3 {
                // Enough for several segments, and parts.
                let store = Store::open(config(dir)).unwrap();
                for batch in leaves(5000, round).chunks(500) {
                    store.insert_many(batch).unwrap();
                    store.flush().unwrap();
                    all.extend_from_slice(batch);
                }
                store.checkpoint().unwrap();
                store.insert_durable([9; 32]).unwrap();
                all.push([9; 32]);
                store.close().unwrap();
                let store = Store::open(config(dir)).unwrap();
                assert_eq!(store.leaves(0..all.len() as u64).unwrap(), all, "{number}");
                store.close().unwrap();
                let far = |file: &PathBuf| file.to_str().unwrap().len() > 30;
                let named: Vec<_> = files(dir).into_iter().filter(far).collect();
                assert!(
                    named.iter().all(|file| file.to_str().unwrap().contains(&number.to_string())),
                    "{named:?}"
                );
            }
        }
    }
}

#[test]
fn files_of_another_store_are_refused() {
    for closed in [true, false] {
        let (subject, other) = (Subject::new(1, closed), Subject::new(2, closed));
        let mut refused = 0;
        for file in files(subject.dir.path()) {
            let from = other.dir.path().join(&file);
            if from.exists() {
                let copy = copy_of(subject.dir.path());
                std::fs::copy(from, copy.path().join(&file)).unwrap();
                let what = format!("{} of another store, closed: {closed}", file.display());
                refused += usize::from(!subject.judge(copy.path(), &what));
            }
        }
        assert!(refused >= 5, "{refused} refused");
    }
}

#[test]
fn links_pipes_and_directories_in_the_place_of_files_are_not_followed_opened_or_waited_for() {
    let subject = Subject::new(3, true);
    for file in files(subject.dir.path()) {
        for kind in ["link", "dangling link", "pipe", "directory"] {
            let copy = copy_of(subject.dir.path());
            let elsewhere = tempfile::tempdir().unwrap();
            let (path, away) = (copy.path().join(&file), elsewhere.path().join("file"));
            std::fs::rename(&path, &away).unwrap();
            match kind {
                "link" => std::os::unix::fs::symlink(&away, &path).unwrap(),
                "dangling link" => std::os::unix::fs::symlink("/nonexistent", &path).unwrap(),
                "pipe" => {
                    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
                    assert!(path.symlink_metadata().unwrap().file_type().is_fifo());
                }
                _ => std::fs::create_dir(&path).unwrap(),
            }
            let before = std::fs::read(&away).unwrap();
            subject.judge(copy.path(), &format!("a {kind} as {}", file.display()));
            assert_eq!(std::fs::read(&away).unwrap(), before, "{}", file.display());
        }
    }
}

/// Where something is planted, and how.
type Plant = (&'static str, fn(&Path));

#[test]
fn what_another_program_keeps_is_refused_and_left_as_it_is() {
    let plants: [Plant; 6] = [
        ("notes.txt", |at| std::fs::write(at, "mine").unwrap()),
        (".hidden", |at| std::fs::write(at, "mine").unwrap()),
        ("wal", |at| std::fs::write(at, "a file").unwrap()),
        ("parts/notes.txt", |at| std::fs::write(at, "mine").unwrap()),
        ("wal/00000001.wal", |at| std::fs::create_dir(at).unwrap()),
        ("wal/00000001.wal", |at| std::fs::write(at, [7; 9000]).unwrap()),
    ];
    for (name, plant) in plants {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        plant(&at);
        let before = (tree(dir.path()), dir.path().metadata().unwrap().mtime_nsec());
        for create in [true, false] {
            let error = Store::open(config(dir.path()).create(create)).unwrap_err();
            assert!(
                matches!(error, Error::NotAStore { .. } | Error::Damaged(_)),
                "{name}: {error}"
            );
        }
        let after = (tree(dir.path()), dir.path().metadata().unwrap().mtime_nsec());
        assert_eq!(after, before, "{name}");
    }
}

#[test]
fn what_a_crash_left_half_made_is_removed_and_reported() {
    let subject = Subject::new(4, false);
    let left = [
        "manifest/00000004.manifest.tmp",
        "manifest/00000099.manifest.tmp",
        "parts/00000003.part.tmp",
        "parts/00000004.part",
        "wal/00000077.wal",
    ];
    for len in [0, 10, 5000] {
        let copy = copy_of(subject.dir.path());
        for name in left {
            std::fs::write(copy.path().join(name), vec![0; len]).unwrap();
        }
        assert!(subject.judge(copy.path(), "leftovers"));
        for name in left {
            assert!(!copy.path().join(name).exists(), "{name} of {len} bytes");
        }
        // Its number is not used again.
        let next = Store::open(config(copy.path())).unwrap();
        next.insert_durable([1; 32]).unwrap();
        next.checkpoint().unwrap();
        let newest = files(copy.path()).into_iter().rfind(|file| file.starts_with("parts"));
        assert_eq!(newest.unwrap(), Path::new("parts/00000005.part"));
    }
}

#[test]
fn files_that_are_not_the_stores_are_left_alone_in_a_store() {
    let subject = Subject::new(5, true);
    let others = [
        "wal/notes.txt",
        "wal/18446744073709551615.wal",
        "manifest/9223372036854775808.manifest",
        "manifest/1.manifest",
        "parts/00000001.part.old",
    ];
    for name in others {
        std::fs::write(subject.dir.path().join(name), "mine").unwrap();
    }
    assert!(subject.judge(subject.dir.path(), "others' files"));
    for name in others {
        assert_eq!(std::fs::read(subject.dir.path().join(name)).unwrap(), b"mine", "{name}");
    }
}

#[test]
fn a_log_of_a_later_format_is_refused_by_its_version() {
    let subject = Subject::new(6, true);
    let mut refused = 0;
    for file in files(subject.dir.path()).iter().filter(|file| file.starts_with("wal")) {
        let copy = copy_of(subject.dir.path());
        let mut bytes = std::fs::read(copy.path().join(file)).unwrap();
        for group in bytes.chunks_mut(4096).filter(|group| group.starts_with(b"duraWAL\n")) {
            group[8] = 6;
            let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &group[..120]);
            group[120..128].copy_from_slice(&sum.to_le_bytes());
        }
        std::fs::write(copy.path().join(file), bytes).unwrap();
        match Store::open(config(copy.path())) {
            Err(Error::UnknownFormat { path, found: 6, supported: 5, .. }) => {
                assert!(path.ends_with(file), "{}", path.display());
                refused += 1;
            }
            Ok(_) => {}
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
    assert!(refused >= 2, "{refused}");
}

#[test]
fn a_store_whose_empty_directories_are_gone_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
    std::fs::remove_dir(dir.path().join("parts")).unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    assert_eq!(store.leaf(0).unwrap(), [1; 32]);
    store.insert_durable([2; 32]).unwrap();
    match store.checkpoint() {
        Ok(_) => {}
        Err(error) => assert!(matches!(error, Error::Io { .. }), "{error}"),
    }
    store.close().unwrap();
    assert_eq!(Store::open(config(dir.path())).unwrap().size().get(), 2);
}

const CHILD_DIR: &str = "DURAMEN_TEST_CHILD_DIR";

/// What [`CHILD_DIR`] is for: opens a store in a process of its own and prints what comes of it.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let answer = match Store::open(config(Path::new(&dir))) {
        Ok(store) => format!("opened {}", store.size()),
        Err(Error::Locked { .. }) => "locked".to_owned(),
        Err(Error::Io { action, source, .. }) => format!("cannot {action}: {source}"),
        Err(error) => error.to_string(),
    };
    println!("answer: {answer}");
}

/// The command that runs [`child`] on a store.
fn child_arguments() -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let exe = exe.to_str().unwrap();
    [exe, "--exact", "bad_input::child", "--nocapture"].map(str::to_owned).to_vec()
}

fn answer_of(command: &mut Command, dir: &Path) -> String {
    let output = command.env(CHILD_DIR, dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.lines().find_map(|line| line.split_once("answer: "));
    let error = String::from_utf8_lossy(&output.stderr);
    answer.map_or_else(|| format!("no answer: {text}{error}"), |(_, answer)| answer.to_owned())
}

#[test]
fn another_process_is_refused_while_the_store_is_open_and_also_through_a_linked_copy() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let ask = |dir: &Path| {
        let arguments = child_arguments();
        answer_of(Command::new(&arguments[0]).args(&arguments[1..]), dir)
    };
    assert_eq!(ask(dir.path()), "locked");
    // A copy by hard links shares the lock file, and the log with it. A spare segment may be gone
    // before it is linked.
    let linked = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    for file in files(copy_of(dir.path()).path()).into_iter().chain([PathBuf::from("LOCK")]) {
        let to = linked.path().join(&file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        match std::fs::hard_link(dir.path().join(&file), to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    assert_eq!(ask(linked.path()), "locked");
    // A real copy is a store of its own.
    assert_eq!(ask(copy_of(dir.path()).path()), "opened 1");
    store.close().unwrap();
    assert_eq!(ask(dir.path()), "opened 1");
}

#[test]
fn a_store_on_a_read_only_file_system_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
    let before = tree(dir.path());
    // In a mount namespace of its own, so that nothing of it is left behind.
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
    let answer = answer_of(command.arg(dir.path()).args(child_arguments()), dir.path());
    if answer.starts_with("no answer") {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a store on a read-only file system, which only root can mount: {answer}"
        );
        return;
    }
    assert!(answer.contains("Read-only file system"), "{answer}");
    assert_eq!(tree(dir.path()), before);
}
