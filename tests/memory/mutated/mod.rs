//! Numbers that were changed in the files of a store, with all checksums made right: nothing panics,
//! loops without end or takes memory for what is not there. What is not refused is a store whose proofs verify.
//!
//! `DURAMEN_MUTANTS=all` tries every mutant.

mod mutants;
mod subject;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duramen::testing::hostile;
use duramen::testing::sim::SimDisk;
use duramen::{
    Arity, Blake3, Config, DynAccumulator, Error, Hash, LeafIndex, ReadMode, Reader, Snapshot,
    inspect, scrub,
};

use self::mutants::Mutant;
use self::subject::config;
use crate::{ALLOCATOR, alone};

/// Memory that one call may hold, and the largest piece of it.
const MOST: usize = 8 << 20;
const LARGEST: usize = 4 << 20;

/// A call, and what it said of the store.
type Said = (&'static str, &'static str);

/// What one call did.
fn outcome<T>(what: &str, call: impl FnOnce() -> Result<T, Error>) -> Result<T, &'static str> {
    let (done, took) = ALLOCATOR.count(call);
    assert!(took.most <= MOST, "{what}: {} bytes held", took.most);
    assert!(took.largest <= LARGEST, "{what}: {} bytes at once", took.largest);
    done.map_err(|error| match error {
        Error::Damaged(_) => "damaged",
        Error::UnknownFormat { .. } => "of another format",
        Error::HasherMismatch { .. } => "of another hash function",
        Error::ArityMismatch { .. } => "of another arity",
        Error::OtherStore { .. } => "another store",
        Error::UnknownHasher { .. } => "of an unknown hash function",
        Error::NoTree { .. } => "without the tree",
        Error::EntryTooLong { .. } => "of shorter entries",
        error => panic!("{what}: {error:?}"),
    })
}

/// What a store shows holds together, and proofs of it verify.
fn check(what: &str, snapshot: &Snapshot) -> Result<(), Error> {
    let size = snapshot.size().get();
    assert!(size < 1000, "{what}: {size} leaves");
    let head = snapshot.head()?;
    let leaves = snapshot.leaves(0..size)?;
    let old = snapshot.head_at(size / 2)?;
    let consistent = snapshot.prove_consistency(size / 2)?;
    consistent.verify(&Blake3, Arity::Four, &old, &head).unwrap();
    for index in (0..size).step_by(7) {
        let proof = snapshot.prove(index)?;
        let leaf: &Hash = &leaves[usize::try_from(index).unwrap()];
        proof.verify(&Blake3, Arity::Four, &head, LeafIndex::from(index), leaf).unwrap();
    }
    match snapshot.entries(0..size) {
        Err(Error::NoEntries { .. }) => return Ok(()),
        entries => assert_eq!(entries?.count() as u64, size),
    }
    for index in (0..size).step_by(7) {
        // A forged directory may lead to other bytes. A scrub finds that.
        let _ = snapshot.entry(index)?;
    }
    Ok(())
}

fn use_store(what: &str, store: &DynAccumulator) -> Result<(), Error> {
    check(what, &store.snapshot())?;
    for number in 0..20 {
        store.insert_data(&[number])?;
    }
    store.flush()?;
    store.checkpoint()?;
    check(what, &store.snapshot())
}

/// Everything that reads a store, and what it said.
fn use_all(mutant: &Mutant, disk: &SimDisk) -> Vec<Said> {
    let what = &mutant.what;
    let mut said = Vec::new();
    let mut say = |call: &'static str, outcome: Result<(), &'static str>| {
        said.push((call, outcome.err().unwrap_or("fine")));
    };
    for mode in [ReadMode::Pread, ReadMode::Mapped] {
        let config = || -> Config { config(disk).read_mode(mode) };
        let hasher = || Arc::new(Blake3);
        say(
            "read",
            outcome(&format!("reading {what}"), || {
                let reader = Reader::open(config(), hasher(), Arity::Four)?;
                reader.refresh()?;
                check(what, &reader.snapshot())
            }),
        );
        say(
            "scrub",
            outcome(&format!("scrubbing {what}"), || {
                let go_on = &mut |_| ControlFlow::Continue(());
                let report = scrub::run(&config(), &scrub::Options::new(), go_on)?;
                assert!(report.findings.len() < 1000, "{what}");
                Ok(())
            }),
        );
    }
    say("survey", outcome(&format!("fsck of {what}"), || inspect::survey(&config(disk)).map(drop)));
    let copy = SimDisk::new();
    say(
        "copy",
        outcome(&format!("a copy of {what}"), || {
            Reader::open(config(disk), Arc::new(Blake3), Arity::Four)?
                .snapshot_to_config(&config(&copy).create(true))?;
            let copied = Reader::open(config(&copy), Arc::new(Blake3), Arity::Four)?;
            check(what, &copied.snapshot())
        }),
    );
    let repaired = mutant.subject.disk();
    if mutant.adopted {
        let _ = hostile::adopt_part(&repaired, mutant.subject.files[mutant.place].0);
    }
    say(
        "repair",
        outcome(&format!("a repair of {what}"), || {
            let options = scrub::Options::new().repair(true);
            let go_on = &mut |_| ControlFlow::Continue(());
            scrub::run(&config(&repaired), &options, go_on).map(drop)
        }),
    );
    say(
        "open",
        outcome(&format!("opening {what}"), || {
            let store = subject::open(disk)?;
            use_store(what, &store)?;
            store.close()?;
            let store = subject::open(disk)?;
            check(what, &store.snapshot())
        }),
    );
    said
}

/// The text that describes the changed file.
fn dump(mutant: &Mutant, dir: &std::path::Path) {
    let (file, bytes) = &mutant.subject.files[mutant.place];
    let path = dir.join(file.to_string().rsplit('/').next().unwrap());
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    let mut text = Vec::new();
    let (dumped, took) = ALLOCATOR.count(|| inspect::dump(&path, &mut text));
    if let Err(error) = dumped {
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "dump of {}", mutant.what);
    }
    assert!(
        text.len() < 1 << 20 && took.most <= MOST && took.largest <= LARGEST,
        "{}",
        mutant.what
    );
}

/// The number of no mutant.
const ENDED: u64 = u64::MAX - 1;

/// Ends the process if one mutant takes so long that it can only be a loop.
struct Watch(Arc<Mutex<(u64, String)>>);

impl Watch {
    fn start() -> Self {
        let now = Arc::new(Mutex::new((0, String::new())));
        let seen = Arc::clone(&now);
        std::thread::spawn(move || {
            let mut last = u64::MAX;
            loop {
                std::thread::sleep(Duration::from_secs(120));
                let (number, what) = seen.lock().unwrap().clone();
                if number == ENDED {
                    return;
                }
                if number == last {
                    eprintln!("two minutes, and no end: {what}");
                    std::process::abort();
                }
                last = number;
            }
        });
        Self(now)
    }

    fn next(&self, what: &str) {
        let mut now = self.0.lock().unwrap();
        *now = (now.0 + 1, what.to_owned());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 = ENDED;
    }
}

#[test]
fn numbers_that_were_forged_are_refused_or_make_a_store_that_holds_together() {
    let _alone = alone();
    let step =
        if std::env::var("DURAMEN_MUTANTS").is_ok_and(|which| which == "all") { 1 } else { 23 };
    let watch = Watch::start();
    let dir = tempfile::tempdir().unwrap();
    let mut counts = BTreeMap::<Said, u64>::new();
    let mut failures = Vec::new();
    let mut tried = 0;
    for subject in subject::subjects() {
        for mutant in mutants::all(&subject).into_iter().step_by(step) {
            watch.next(&mutant.what);
            tried += 1;
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                dump(&mutant, dir.path());
                let disk = mutant.subject.disk();
                if mutant.adopted {
                    let _ = hostile::adopt_part(&disk, mutant.subject.files[mutant.place].0);
                }
                use_all(&mutant, &disk)
            }));
            match tried {
                Ok(said) => said.into_iter().for_each(|said| *counts.entry(said).or_default() += 1),
                Err(_) => failures.push(mutant.what),
            }
        }
    }
    println!("{tried} mutants: {counts:?}");
    assert!(failures.is_empty(), "{} mutants: {failures:#?}", failures.len());
    // Some are refused, and some are stores.
    for call in ["read", "copy", "open"] {
        let damaged = counts.get(&(call, "damaged")).copied().unwrap_or(0);
        let fine = counts.get(&(call, "fine")).copied().unwrap_or(0);
        assert!(damaged > tried / 10 && fine > tried / 50, "{call}: {counts:?}");
    }
}

#[test]
fn every_fuzz_target_of_a_file_begins_with_one_that_is_whole() {
    let _alone = alone();
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let seeds = |kind: &str| {
        let files = std::fs::read_dir(corpus.join(kind)).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    let (groups, manifests, parts) = (seeds("group"), seeds("manifest"), seeds("part"));
    assert!(groups.iter().all(|bytes| hostile::group(bytes)) && groups.len() > 3);
    assert!(manifests.iter().all(|bytes| hostile::manifest(bytes)) && !manifests.is_empty());
    // As the target spreads them over the blocks of a part.
    let is_part = |bytes: &Vec<u8>| {
        (3..=8).any(|blocks| {
            let mut file = vec![0; blocks * 4096];
            let pieces = bytes.chunks(bytes.len().div_ceil(blocks));
            for (block, piece) in file.chunks_mut(4096).zip(pieces) {
                block[..piece.len()].copy_from_slice(piece);
            }
            hostile::fix_part(&mut file);
            hostile::part(&file)
        })
    };
    assert!(parts.iter().all(is_part) && parts.len() == 3);
}
