//! Reading a store beside its writer, which is another process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash, LeafIndex,
    Reader, TreeHead,
};
use testkit::stores::{copy_of, leaves, root_of};

type Store = Accumulator<Blake3, 4>;

/// Set for the process that writes.
const WRITE_TO: &str = "DURAMEN_TEST_WRITE_TO";
const ALL: usize = 30_000;

fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(32 << 10)
}

fn read(dir: &Path) -> Result<Reader, Error> {
    Store::open_read_only(Config::new(dir))
}

fn head_of(leaves: &[Hash]) -> TreeHead {
    TreeHead { size: (leaves.len() as u64).into(), root: root_of(&Blake3, Arity::Four, leaves) }
}

/// What the reader shows is a prefix of `all`.
fn check(reader: &Reader, all: &[Hash]) -> u64 {
    let snapshot = reader.snapshot();
    let head = snapshot.head().unwrap();
    let ours = &all[..usize::try_from(head.size.get()).unwrap()];
    assert_eq!(head, head_of(ours));
    for index in [0, ours.len() / 3, ours.len() - 1] {
        let at = LeafIndex(index as u64);
        assert_eq!(snapshot.leaf(at).unwrap(), ours[index]);
        snapshot.prove(at).unwrap().verify(&Blake3, Arity::Four, &head, at, &ours[index]).unwrap();
    }
    head.size.get()
}

/// Not a test by itself: the process that writes while `readers_see_...` reads.
#[test]
fn the_writing_process() {
    let Some(dir) = std::env::var_os(WRITE_TO) else { return };
    let store = Store::open(config(Path::new(&dir))).unwrap();
    let all = leaves(ALL, 5);
    let mut at = 0;
    let mut round = 0;
    while at < ALL {
        round += 1;
        let end = ALL.min(at + 1 + round * 37 % 90);
        store.insert_many(&all[at..end]).unwrap();
        at = end;
        store.flush().unwrap();
        println!("durable {at}");
        if round % 7 == 0 {
            store.checkpoint().unwrap();
        }
        // So that the reader has looked, however slow it is.
        if round % 50 == 0 {
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
    }
    println!("durable end");
    // Until it is killed.
    std::thread::sleep(std::time::Duration::from_secs(600));
}

fn writer(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reader::the_writing_process", "--nocapture"])
        .env(WRITE_TO, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn readers_see_everything_durable_and_nothing_else_while_another_process_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = writer(dir.path());
    let mut looked = child.stdin.take().unwrap();
    let (durable, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let listener = std::thread::spawn({
        let (durable, ended) = (Arc::clone(&durable), Arc::clone(&ended));
        move || {
            for line in lines.map_while(Result::ok) {
                // The test harness puts its own words in front of the first line.
                match line.rsplit_once("durable ").map(|(_, size)| size.parse()) {
                    Some(Ok(size)) => durable.store(size, Ordering::Release),
                    Some(Err(_)) => ended.store(true, Ordering::Release),
                    None => {}
                }
            }
        }
    });
    while durable.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    let all = leaves(ALL, 5);
    let reader = read(dir.path()).unwrap();
    let old = reader.snapshot();
    let old_head = old.head().unwrap();
    let mut looks = 0;
    loop {
        let end = ended.load(Ordering::Acquire);
        let least = durable.load(Ordering::Acquire);
        if looks % 3 == 0 {
            assert!(check(&read(dir.path()).unwrap(), &all) >= least);
        }
        let size = reader.refresh().unwrap().get();
        assert!(size >= least, "{size} of {least} durable leaves");
        assert_eq!(check(&reader, &all), size);
        let known = reader.durable_size().get();
        assert!(known <= size);
        // The size reported as durable is not more than what the writer saw as durable last.
        assert!(known <= size && known + 90 >= least, "{known}, {least}");
        looks += 1;
        if end {
            break;
        }
        // Some looks are enough for the writer to end; more would fill the pipe one day.
        if looks <= 100 {
            looked.write_all(b"\n").unwrap();
        }
    }
    assert!(looks > 10, "{looks}");
    assert_eq!(old.head().unwrap(), old_head, "an old snapshot changed");
    assert_eq!(reader.size().get(), ALL as u64);
    assert!(matches!(Store::open(config(dir.path())), Err(Error::Locked { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    assert_eq!(reader.refresh().unwrap().get(), ALL as u64);

    // The next writer settles what the killed one left, and the reader follows.
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_durable([9; 32]).unwrap();
    assert_eq!(reader.refresh().unwrap().get(), ALL as u64 + 1);
    assert_eq!(reader.head().unwrap(), store.head().unwrap());
    store.close().unwrap();
    assert_eq!(reader.refresh().unwrap(), reader.durable_size(), "after a clean stop");
}

#[test]
fn a_reader_changes_nothing_in_a_store_that_a_kill_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let all = leaves(700, 3);
    for group in all.chunks(50) {
        store.insert_many(group).unwrap();
        store.flush().unwrap();
    }
    let copy = copy_of(dir.path());
    store.close().unwrap();
    // A torn write behind the end, and a file left half-written.
    std::fs::write(copy.path().join("parts/00000001.part.tmp"), "half").unwrap();
    std::fs::remove_file(copy.path().join("LOCK")).unwrap();
    let listing = |dir: &Path| {
        let mut found = Vec::new();
        let mut dirs = vec![dir.to_path_buf()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let modified = path.metadata().unwrap().modified().unwrap();
                    found.push((path.clone(), std::fs::read(path).unwrap(), modified));
                }
            }
        }
        found.sort();
        found
    };
    let before = listing(copy.path());
    let reader = read(copy.path()).unwrap();
    assert_eq!(check(&reader, &all), 700);
    // The last group has no later one that calls it durable.
    assert_eq!(reader.durable_size().get(), 650);
    reader.refresh().unwrap();
    drop(reader);
    assert_eq!(listing(copy.path()), before, "reading changed something");
}

#[test]
fn reading_refuses_what_opening_refuses_and_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(read(&missing), Err(Error::NoStore { .. })));
    assert!(!missing.exists());
    std::fs::write(dir.path().join("mine.txt"), "mine").unwrap();
    assert!(matches!(read(dir.path()), Err(Error::NotAStore { .. })));

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    store.insert_many(&leaves(500, 1)).unwrap();
    store.checkpoint().unwrap();
    store.insert_many(&leaves(500, 2)).unwrap();
    store.close().unwrap();
    let other = Accumulator::<Blake3, 2>::open_read_only(Config::new(dir.path()));
    assert!(matches!(other, Err(Error::ArityMismatch { .. })));
    for inner in ["parts", "wal"] {
        let copy = copy_of(dir.path());
        let files: Vec<_> = std::fs::read_dir(copy.path().join(inner)).unwrap().collect();
        for path in files.into_iter().map(|entry| entry.unwrap().path()) {
            let mut bytes = std::fs::read(&path).unwrap();
            (0..bytes.len() / 4096).for_each(|block| bytes[block * 4096 + 60] ^= 1);
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(matches!(read(copy.path()), Err(Error::Damaged(_))), "{inner}");
        std::fs::remove_dir_all(copy.path().join(inner)).unwrap();
        assert!(matches!(read(copy.path()), Err(Error::Damaged(_))), "{inner}");
    }
}

/// Opens and refreshes a reader `count` times beside a writer that inserts `rate` leaves a second, with all
/// defaults, and returns how long each took.
fn beside_a_writer(rate: u64, count: usize) -> Vec<std::time::Duration> {
    use std::time::{Duration, Instant};
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let started = Instant::now();
            let mut inserted = 0;
            while !done.load(Ordering::Relaxed) {
                let due = u64::try_from(started.elapsed().as_micros()).unwrap() * rate / 1_000_000;
                while inserted < due {
                    store.insert([2; 32]).unwrap();
                    inserted += 1;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let mut took = Vec::new();
        let mut size = 0;
        let outcome = (0..count / 2).try_for_each(|_| {
            let started = Instant::now();
            let reader = read(dir.path())?;
            took.push(started.elapsed());
            let opened = reader.size().get();
            let started = Instant::now();
            let now = reader.refresh()?.get();
            took.push(started.elapsed());
            assert!(size <= opened && opened <= now, "{size}, {opened}, {now}");
            size = now;
            Ok::<_, Error>(())
        });
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
        took
    })
}

/// The number of opens and refreshes at each rate; more where `DURAMEN_READER_ROUNDS` says so.
fn rounds() -> usize {
    let rounds = std::env::var("DURAMEN_READER_ROUNDS").ok().and_then(|text| text.parse().ok());
    rounds.unwrap_or(100)
}

#[test]
fn readers_beside_a_writer_of_any_rate_never_call_it_damaged() {
    use std::time::Duration;
    for rate in [1, 1000, 10_000, 100_000] {
        let mut took = beside_a_writer(rate, rounds());
        took.sort_unstable();
        let (half, most) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!("{rate} inserts a second: {} calls, p50 {half:?}, p99 {most:?}", took.len());
        // Alone a machine takes a few milliseconds. Whoever scans segments that the writer fills takes many seconds.
        let (half_of, most_of) = (Duration::from_millis(500), Duration::from_secs(5));
        assert!(half < half_of && most < most_of, "{rate}: p50 {half:?}, p99 {most:?}");
    }
}

#[test]
fn a_survey_beside_a_writer_finds_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let policy = CheckpointPolicy::manual().wal_bytes(256 << 10).unwrap();
    let store = Store::open(config(dir.path()).checkpoint_policy(policy)).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.insert_many(&[[2; 32]; 150]).unwrap();
                store.flush().unwrap();
            }
        });
        let wrong = (0..rounds()).find_map(|_| {
            let survey = duramen::inspect::survey(&Config::new(dir.path())).unwrap();
            (!survey.is_clean()).then_some(survey)
        });
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_none(), "{wrong:?}");
    });
}
