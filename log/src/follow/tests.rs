//! A log and a follower of it, in one process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use duramen::tlog::tiles::{EntryBundlePath, LogPath, TilePath};
use duramen::tlog::{AnyVerifier, Checkpoint, Ed25519Signer, SignedNote};
use duramen::{
    Arity, Config, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Store, TreeConfig, TreeName,
};

use super::*;

const ORIGIN: &str = "example.com/log";

fn key() -> Ed25519Signer {
    Ed25519Signer::from_secret(ORIGIN, &[7; 32]).unwrap()
}

fn trust() -> Trust {
    Trust::keys(ORIGIN, vec![AnyVerifier::Ed25519(key().verifier())])
}

fn entry(number: u32, words: &str) -> Vec<u8> {
    format!("{words} {number}").into_bytes()
}

/// What becomes of what a server delivers.
type Change = Box<dyn Fn(LogPath, Vec<u8>) -> Result<Vec<u8>, SourceError> + Sync>;

/// A log, which delivers what it is told to.
struct Log {
    tree: DynAccumulator,
    shown: u64,
    change: Change,
    fetched: Mutex<Vec<LogPath>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    fn new(dir: &Path, entries: u32) -> Self {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(dir)).unwrap();
        let tree = store.tree_dyn("main", config.entries(EntryConfig::new())).unwrap();
        let log = Self {
            tree,
            shown: u64::from(entries),
            change: Box::new(|_, bytes| Ok(bytes)),
            fetched: Mutex::default(),
        };
        log.grow(0..entries, "entry");
        log
    }

    fn grow(&self, numbers: std::ops::Range<u32>, words: &str) {
        let entries: Vec<_> = numbers.map(|number| entry(number, words)).collect();
        self.tree.insert_entries(&entries).unwrap();
    }

    fn note(&self, size: u64) -> SignedNote {
        let head = self.tree.snapshot().head_at(size).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head).unwrap();
        SignedNote::sign(&checkpoint.to_string(), &key()).unwrap()
    }

    fn showing(mut self, size: u64) -> Self {
        self.shown = size;
        self
    }

    fn changing(
        mut self,
        change: impl Fn(LogPath, Vec<u8>) -> Result<Vec<u8>, SourceError> + Sync + 'static,
    ) -> Self {
        self.change = Box::new(change);
        self
    }

    fn count(&self, of: fn(&LogPath) -> bool) -> usize {
        self.fetched.lock().unwrap().iter().filter(|path| of(path)).count()
    }
}

fn missing(path: LogPath) -> SourceError {
    SourceError::Missing { path: path.to_string(), status: 404 }
}

impl Source for Log {
    fn fetch(&self, path: LogPath) -> Result<Vec<u8>, SourceError> {
        self.fetched.lock().unwrap().push(path);
        let snapshot = self.tree.snapshot();
        let bytes = match path {
            LogPath::Tile(tile) if tile.is_within(self.shown) => {
                snapshot.tile(tile.level(), tile.index(), tile.width().get()).unwrap()
            }
            LogPath::Entries(bundle) if bundle.is_within(self.shown) => {
                snapshot.entry_bundle(bundle.index(), bundle.width().get()).unwrap()
            }
            LogPath::Checkpoint => self.note(self.shown).to_string().into_bytes(),
            _ => return Err(missing(path)),
        };
        (self.change)(path, bytes)
    }
}

/// Takes entries and keeps them.
#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Vec<u8>>,
    durable: usize,
    most: Option<usize>,
}

impl Sink for Kept {
    fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    fn fits(&self, _: &[u8; 32]) -> Result<(), FollowError> {
        Ok(())
    }

    fn take(&mut self, entries: &[&[u8]]) -> Result<ControlFlow<()>, FollowError> {
        self.entries.extend(entries.iter().map(|entry| entry.to_vec()));
        let full = self.most.is_some_and(|most| self.entries.len() >= most);
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn keep(&mut self) -> Result<(), FollowError> {
        self.durable = self.entries.len();
        Ok(())
    }
}

fn state(dir: &Path) -> FollowState {
    FollowState::open(dir.join("state")).unwrap()
}

fn step(log: &Log, dir: &Path, sink: &mut Kept) -> Result<Advance, FollowError> {
    Follower::new(log, trust(), state(dir), 4).unwrap().advance(sink)
}

/// Verifies a log of `size` entries from the start.
fn followed(dir: &Path, size: u32) -> (Log, Kept) {
    let (log, mut kept) = (Log::new(&dir.join("log"), size), Kept::default());
    step(&log, dir, &mut kept).unwrap();
    assert_eq!(kept.size(), u64::from(size));
    (log, kept)
}

#[test]
fn every_entry_is_handed_on_once_and_in_order_at_every_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(&dir.path().join("log"), 0);
    let mut kept = Kept::default();
    let mut before = 0;
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 700, 5000] {
        log.grow(before..size, "entry");
        log = log.showing(u64::from(size));
        let advance = step(&log, dir.path(), &mut kept).unwrap();
        assert_eq!(kept.entries.len(), usize::try_from(size).unwrap());
        assert_eq!(kept.durable, kept.entries.len());
        match advance {
            Advance::Verified { head, entries } => {
                assert_eq!((head.size.get(), entries), (size.into(), u64::from(size - before)));
            }
            other => panic!("{other:?}"),
        }
        let again = step(&log, dir.path(), &mut kept).unwrap();
        assert!(matches!(again, Advance::Same(head) if head.size.get() == u64::from(size)));
        let file = std::fs::read_to_string(dir.path().join("state/checkpoint")).unwrap();
        assert_eq!(file, log.note(size.into()).to_string());
        before = size;
    }
    let expected: Vec<_> = (0..5000).map(|number| entry(number, "entry")).collect();
    assert_eq!(kept.entries, expected);
}

/// tlog-tiles, Partial Tiles, last paragraph: none is fetched that no verified checkpoint needs.
#[test]
fn partial_tiles_are_fetched_for_the_size_of_a_verified_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut kept) = followed(dir.path(), 300);
    log.grow(300..66_000, "entry");
    let log = log.showing(66_000);
    step(&log, dir.path(), &mut kept).unwrap();
    let sizes = [300, 66_000];
    for path in log.fetched.lock().unwrap().iter() {
        let needed = |size: u64| match path {
            LogPath::Tile(tile) => TilePath::at(size, tile.level(), tile.index()) == Some(*tile),
            LogPath::Entries(bundle) => EntryBundlePath::at(size, bundle.index()) == Some(*bundle),
            _ => true,
        };
        assert!(sizes.into_iter().any(needed), "{path}");
    }
    // Nothing is fetched for a checkpoint without a signature.
    let before = log.count(|_| true);
    let log = log.changing(|path, bytes| match path {
        LogPath::Checkpoint => Ok(String::from_utf8(bytes).unwrap().replace('6', "7").into()),
        _ => Ok(bytes),
    });
    let error = step(&log, dir.path(), &mut kept).unwrap_err();
    assert!(matches!(error, FollowError::NotTrusted(_)), "{error}");
    assert_eq!(log.count(|_| true), before + 1);
}

#[test]
fn a_large_log_has_tiles_of_three_levels() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut kept) = followed(dir.path(), 66_000);
    log.grow(66_000..67_000, "entry");
    let log = log.showing(67_000);
    let before = log.count(|_| true);
    step(&log, dir.path(), &mut kept).unwrap();
    // What is new, the right edge, and what was partial: not everything again.
    assert!(log.count(|_| true) - before < 30, "{}", log.count(|_| true) - before);
}

#[test]
fn a_partial_tile_that_is_gone_is_found_in_the_full_one() {
    let dir = tempfile::tempdir().unwrap();
    let gone = |path: LogPath, bytes| match path {
        LogPath::Tile(tile) if !tile.width().is_full() && tile.level() == 0 => Err(missing(path)),
        LogPath::Entries(bundle) if !bundle.width().is_full() => Err(missing(path)),
        _ => Ok(bytes),
    };
    let log = Log::new(&dir.path().join("log"), 600).changing(gone);
    let mut kept = Kept::default();
    // It has the checkpoint of size 300, and deleted the partial tiles since.
    let log = Behind { log, size: 300 };
    let advance = Follower::new(&log, trust(), state(dir.path()), 4).unwrap().advance(&mut kept);
    assert!(matches!(advance, Ok(Advance::Verified { entries: 300, .. })), "{advance:?}");
}

/// A log whose checkpoint is older than its tiles.
#[derive(Debug)]
struct Behind {
    log: Log,
    size: u64,
}

impl Source for Behind {
    fn fetch(&self, path: LogPath) -> Result<Vec<u8>, SourceError> {
        match path {
            LogPath::Checkpoint => Ok(self.log.note(self.size).to_string().into_bytes()),
            path => self.log.fetch(path),
        }
    }
}

#[test]
fn what_is_not_of_the_signed_tree_is_refused_and_not_told_as_a_fork() {
    type Wrong = fn(LogPath, Vec<u8>) -> Result<Vec<u8>, SourceError>;
    let faults: [(&str, Wrong, &str); 9] = [
        (
            "a tile is cut off",
            |path, mut bytes| {
                if matches!(path, LogPath::Tile(_)) {
                    bytes.pop();
                }
                Ok(bytes)
            },
            "instead of",
        ),
        (
            "a tile is longer",
            |path, mut bytes| {
                if matches!(path, LogPath::Tile(tile) if tile.width().is_full()) {
                    bytes.extend([0; 32]);
                }
                Ok(bytes)
            },
            "8224 bytes instead of 8192",
        ),
        (
            "a bit of a full tile is changed",
            |path, mut bytes| {
                if matches!(path, LogPath::Tile(tile) if tile.width().is_full() && tile.index() == 1)
                {
                    bytes[77] ^= 1;
                }
                Ok(bytes)
            },
            "does not hash to its place",
        ),
        (
            "a bit of a partial tile is changed",
            |path, mut bytes| {
                if matches!(path, LogPath::Tile(tile) if !tile.width().is_full()) {
                    bytes[0] ^= 1;
                }
                Ok(bytes)
            },
            "hash to the root",
        ),
        (
            "a full tile is another one",
            |path, bytes| match path {
                LogPath::Tile(tile) if tile.width().is_full() && tile.index() == 1 => {
                    Ok([&bytes[32..], &bytes[..32]].concat())
                }
                _ => Ok(bytes),
            },
            "does not hash to its place",
        ),
        (
            "an entry is changed",
            |path, mut bytes| {
                if matches!(path, LogPath::Entries(bundle) if bundle.index() == 2) {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                Ok(bytes)
            },
            "is not the one that the tree has",
        ),
        (
            "a bundle is cut off",
            |path, mut bytes| {
                if matches!(path, LogPath::Entries(bundle) if bundle.index() == 3) {
                    bytes.truncate(100);
                }
                Ok(bytes)
            },
            "is no entry bundle",
        ),
        (
            "a bundle has one entry more",
            |path, mut bytes| {
                if matches!(path, LogPath::Entries(_)) {
                    bytes.extend([0, 1, b'x']);
                }
                Ok(bytes)
            },
            "is no entry bundle",
        ),
        (
            "a bundle is missing",
            |path, bytes| match path {
                LogPath::Entries(bundle) if bundle.index() == 1 => Err(missing(path)),
                _ => Ok(bytes),
            },
            "is missing: the answer is 404",
        ),
    ];
    for (name, wrong, said) in faults {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut kept) = followed(dir.path(), 300);
        log.grow(300..1000, "entry");
        let log = log.showing(1000).changing(wrong);
        let error = step(&log, dir.path(), &mut kept).unwrap_err();
        let FollowError::Unproven { evidence, .. } = &error else { panic!("{name}: {error}") };
        assert_eq!(evidence.kind, "unproven");
        assert!(error.to_string().contains(said), "{name}: {error}");
        // What was handed on is right all the same.
        let right: Vec<_> = (0..1000).map(|number| entry(number, "entry")).collect();
        assert_eq!(kept.entries[..], right[..kept.entries.len()], "{name}");
        // And once the server is well again, it goes on.
        let log = log.changing(|_, bytes| Ok(bytes));
        step(&log, dir.path(), &mut kept).unwrap();
        assert_eq!(kept.entries, right, "{name}");
    }
}

#[test]
fn a_second_history_is_told_with_both_notes_and_the_tiles_that_prove_it() {
    for (size, second) in [(300, 300), (300, 301), (300, 1000), (256, 512), (1, 2), (511, 1000)] {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut kept) = followed(dir.path(), size);
        // It has other entries from the middle on.
        let fork = Log::new(&dir.path().join("fork"), size / 2);
        fork.grow(size / 2..second, "another");
        let fork = fork.showing(second.into());
        let error = step(&fork, dir.path(), &mut kept).unwrap_err();
        let FollowError::Forked { evidence } = &error else { panic!("{size} {second}: {error}") };
        assert_eq!(evidence.known, Some(log.note(size.into())));
        assert_eq!(evidence.served, fork.note(second.into()));
        assert_eq!(evidence.tiles.is_empty(), size == second);
        // What was accepted stands, and nothing of the other history was handed on.
        assert_eq!(kept.entries.len(), usize::try_from(size).unwrap());
        let note = state(dir.path()).accepted().cloned();
        assert_eq!(note, Some(log.note(size.into())));

        let kept_in = state(dir.path()).keep(evidence).unwrap();
        assert_eq!(state(dir.path()).keep(evidence).unwrap(), kept_in);
        let read = |name: &str| std::fs::read_to_string(kept_in.join(name)).unwrap();
        assert_eq!(read("known"), log.note(size.into()).to_string());
        assert_eq!(read("served"), fork.note(second.into()).to_string());
        for (path, bytes) in &evidence.tiles {
            assert_eq!(&std::fs::read(kept_in.join(path)).unwrap(), bytes);
        }
    }
}

#[test]
fn an_older_checkpoint_is_a_rollback_and_one_of_another_history_a_fork() {
    for (size, older) in [(300, 299), (300, 1), (1000, 256), (300, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut kept) = followed(dir.path(), size);
        let log = Behind { log, size: older };
        let mut follower = Follower::new(&log, trust(), state(dir.path()), 4).unwrap();
        let error = follower.advance(&mut kept).unwrap_err();
        let FollowError::RolledBack { evidence } = &error else { panic!("{older}: {error}") };
        assert_eq!(evidence.served, log.log.note(older));
        drop(follower);
        if older < 2 {
            continue;
        }
        // The tiles are those of the first history, and the checkpoint is of another one.
        let fork = Log::new(&dir.path().join("fork"), 0);
        fork.grow(0..u32::try_from(older).unwrap(), "another");
        let mixed = Mixed { tiles: log.log, note: fork.note(older) };
        let mut follower = Follower::new(&mixed, trust(), state(dir.path()), 4).unwrap();
        let error = follower.advance(&mut kept).unwrap_err();
        let FollowError::Forked { evidence } = &error else { panic!("{older}: {error}") };
        assert_eq!(evidence.served, fork.note(older));
        assert_eq!(evidence.known, Some(mixed.tiles.note(size.into())));
    }
}

#[derive(Debug)]
struct Mixed {
    tiles: Log,
    note: SignedNote,
}

impl Source for Mixed {
    fn fetch(&self, path: LogPath) -> Result<Vec<u8>, SourceError> {
        match path {
            LogPath::Checkpoint => Ok(self.note.to_string().into_bytes()),
            path => self.tiles.fetch(path),
        }
    }
}

#[test]
fn a_log_that_went_back_and_shows_no_tiles_of_either_tree_is_a_rollback() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut kept) = followed(dir.path(), 300);
    let log = log.showing(100).changing(|path, bytes| match path {
        LogPath::Checkpoint => Ok(bytes),
        path => Err(missing(path)),
    });
    let error = step(&log, dir.path(), &mut kept).unwrap_err();
    assert!(matches!(error, FollowError::RolledBack { .. }), "{error}");
    assert!(error.to_string().contains("its tiles cannot be verified"), "{error}");
}

#[test]
fn a_checkpoint_that_is_not_trusted_is_evidence_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut kept) = followed(dir.path(), 10);
    let thief = Ed25519Signer::from_secret(ORIGIN, &[9; 32]).unwrap();
    let head = log.tree.snapshot().head_at(5).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head).unwrap();
    let forged = SignedNote::sign(&checkpoint.to_string(), &thief).unwrap();
    for text in [forged.to_string(), "nonsense".to_owned(), String::new()] {
        let log = Fixed(text.into_bytes());
        let mut follower = Follower::new(&log, trust(), state(dir.path()), 4).unwrap();
        let error = follower.advance(&mut kept).unwrap_err();
        assert!(matches!(error, FollowError::NotTrusted(_)), "{error}");
        assert_eq!(error.evidence(), None);
    }
    let other = Trust::keys("another", vec![AnyVerifier::Ed25519(key().verifier())]);
    assert!(Follower::new(&log, other, state(dir.path()), 4).is_err());
}

#[derive(Debug)]
struct Fixed(Vec<u8>);

impl Source for Fixed {
    fn fetch(&self, _: LogPath) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.clone())
    }
}

#[test]
fn a_follower_that_stopped_goes_on_behind_what_was_verified() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(&dir.path().join("log"), 20_000);
    let mut kept = Kept { most: Some(1), ..Kept::default() };
    let mut steps = 0;
    while kept.entries.len() < 20_000 {
        kept.most = Some(kept.entries.len() + 5000);
        let advance = step(&log, dir.path(), &mut kept).unwrap();
        // A new process has what was kept.
        let state = state(dir.path());
        assert_eq!(state.verified(), kept.entries.len() as u64);
        kept.entries.truncate(usize::try_from(state.verified()).unwrap());
        assert_eq!(advance == Advance::Stopped, kept.entries.len() < 20_000);
        steps += 1;
    }
    assert_eq!(steps, 4);
    let bundles = log.count(|path| matches!(path, LogPath::Entries(_)));
    assert!(bundles < 79 + 4 * 20, "{bundles} bundles for 79");
    assert!(!dir.path().join("state/pending").exists());
}

#[test]
fn a_state_that_is_damaged_or_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, kept) = followed(dir.path(), 10);
    drop(kept);
    let held = state(dir.path());
    let refused = FollowState::open(dir.path().join("state")).unwrap_err();
    assert!(matches!(refused, StateError::InUse { .. }), "{refused}");
    drop(held);
    let pending = std::fs::read_to_string(dir.path().join("state/checkpoint")).unwrap();
    for (file, text) in [
        ("pending", "verified x\n\n"),
        ("pending", &format!("verified +1\n\n{pending}")),
        ("pending", &format!("verified 01\n\n{pending}")),
        ("pending", "x"),
        ("checkpoint", "x"),
        ("unverified", "+1 2\n"),
        ("unverified", "1 02\n"),
    ] {
        let path = dir.path().join("state").join(file);
        let before = std::fs::read(&path).ok();
        std::fs::write(&path, text).unwrap();
        let refused = FollowState::open(dir.path().join("state")).unwrap_err();
        assert!(matches!(refused, StateError::Damaged { .. }), "{refused}");
        match before {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
}

/// All files below a directory, by their paths.
fn files(dir: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    found
}

#[test]
fn a_state_is_not_written_into_a_directory_that_has_taken_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut kept) = followed(&dir.path().join("one"), 10);
    drop(followed(&dir.path().join("two"), 5));
    let (place, away) = (dir.path().join("one/state"), dir.path().join("away"));
    let mut held = FollowState::open(&place).unwrap();
    std::fs::rename(&place, &away).unwrap();
    std::fs::rename(dir.path().join("two/state"), &place).unwrap();
    let (others, own) = (files(&place), files(&away));
    log.grow(10..400, "entry");
    let log = log.showing(400);
    let evidence = Evidence {
        kind: "fork",
        what: "two histories".to_owned(),
        known: Some(log.note(10)),
        served: log.note(20),
        tiles: Vec::new(),
    };
    let displaced = |error: &StateError| {
        let text = error.to_string();
        assert!(text.contains("moved, removed or replaced"), "{text}");
    };
    displaced(&held.keep(&evidence).unwrap_err());
    displaced(&held.set(&log.note(20), 20).unwrap_err());
    displaced(&held.set(&log.note(20), 15).unwrap_err());
    displaced(&held.leave_out(0..3).unwrap_err());
    let mut follower = Follower::new(&log, trust(), held, 4).unwrap();
    let error = follower.advance(&mut kept).unwrap_err();
    assert!(error.to_string().contains("moved, removed or replaced"), "{error}");
    assert_eq!((files(&place), files(&away)), (others, own));
    drop(follower);
    // Back in its place it goes on.
    std::fs::rename(&place, dir.path().join("two/state")).unwrap();
    std::fs::rename(&away, &place).unwrap();
    held = FollowState::open(&place).unwrap();
    held.keep(&evidence).unwrap();
    held.set(&log.note(20), 20).unwrap();
    // A link to the directory is a path of it.
    drop(held);
    std::os::unix::fs::symlink(&place, dir.path().join("link")).unwrap();
    let mut held = FollowState::open(dir.path().join("link")).unwrap();
    held.set(&log.note(30), 30).unwrap();
}

#[test]
fn evidence_that_is_there_is_made_durable_once_more() {
    use crate::dirs::tests::SYNCED;

    let dir = tempfile::tempdir().unwrap();
    let (log, _) = followed(dir.path(), 10);
    let state = state(dir.path());
    let (kind, what) = ("unproven", "a test".to_owned());
    let evidence = Evidence { kind, what, known: None, served: log.note(10), tiles: Vec::new() };
    let kept = state.keep(&evidence).unwrap();
    SYNCED.take();
    // As a process has it that comes after one that was killed behind the rename.
    assert_eq!(state.keep(&evidence).unwrap(), kept);
    let synced = SYNCED.take();
    assert!(synced.contains(&dir.path().join("state/evidence")), "{synced:?}");
}

#[test]
fn errors_of_a_state_show_its_name_in_one_line() {
    let path = std::path::PathBuf::from("x\nforged\u{1b}[31m");
    for error in [
        StateError::InUse { path: path.clone() },
        StateError::Damaged { path: path.clone(), reason: "a test".to_owned() },
        StateError::Io { action: "write", path, source: std::io::ErrorKind::Other.into() },
    ] {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

fn never() -> bool {
    false
}

#[test]
fn a_mirror_has_the_entries_and_the_root_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(&dir.path().join("log"), 700);
    let copy = |log: &dyn Source| {
        let store = Store::open(Config::new(dir.path().join("copy"))).unwrap();
        let mut mirror = Mirror::open(&store, &TreeName::main(), never).unwrap();
        let mut follower = Follower::new(log, trust(), state(dir.path()), 4).unwrap();
        let advance = follower.advance(&mut mirror);
        drop(follower);
        let head = mirror.snapshot().durable_head().unwrap();
        store.close().unwrap();
        (advance, head)
    };
    let (advance, head) = copy(&log);
    assert!(matches!(advance, Ok(Advance::Verified { entries: 700, .. })), "{advance:?}");
    assert_eq!(head, log.tree.snapshot().head_at(700).unwrap());
    log.grow(700..900, "entry");
    let log = log.showing(900);
    // Its state is lost, and the store is not.
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (advance, head) = copy(&log);
    assert!(matches!(advance, Ok(Advance::Verified { entries: 200, .. })), "{advance:?}");
    assert_eq!(head, log.tree.snapshot().head_at(900).unwrap());

    // A log that is not the one in the store, and nothing is known of either.
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let fork = Log::new(&dir.path().join("fork"), 10);
    fork.grow(10..1000, "another");
    let (advance, same) = copy(&fork.showing(1000));
    assert!(matches!(advance, Err(FollowError::Sink { .. })), "{advance:?}");
    assert_eq!(same, head);
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (advance, _) = copy(&log.showing(100));
    assert!(matches!(advance, Err(FollowError::Sink { .. })), "{advance:?}");
}

#[test]
fn a_tree_of_another_kind_is_no_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::new(dir.path())).unwrap();
    drop(store.tree::<Rfc6962Sha256, 2>("main").unwrap());
    let refused = Mirror::open(&store, &TreeName::main(), never).unwrap_err();
    assert!(matches!(refused, MirrorError::NotALog { .. }), "{refused}");
}

/// A log that answers 410 for what the text lets it prune.
fn pruned(log: Log, minimum: u64) -> Log {
    log.changing(move |path, bytes| {
        let gone = match path {
            LogPath::Tile(tile) => tile.may_be_pruned(minimum),
            LogPath::Entries(bundle) => bundle.may_be_pruned(minimum),
            _ => false,
        };
        let error = SourceError::Missing { path: path.to_string(), status: 410 };
        if gone { Err(error) } else { Ok(bytes) }
    })
}

fn from(
    log: &Log,
    dir: &Path,
    minimum: u64,
    sink: &mut dyn Sink,
) -> (Result<Advance, FollowError>, Vec<std::ops::Range<u64>>) {
    let follower = Follower::new(log, trust(), state(dir), 4).unwrap();
    let mut follower = follower.minimum_index(minimum);
    let advance = follower.advance(sink);
    (advance, follower.state().unverified().to_vec())
}

fn only(range: std::ops::Range<u64>) -> Vec<std::ops::Range<u64>> {
    vec![range]
}

/// `tlog-tiles`, Pruning: any entry and any root from the minimum index on can be had.
#[test]
fn a_pruned_log_is_verified_from_its_minimum_index_on_and_what_is_left_out_is_said() {
    for minimum in [1, 255, 256, 300, 512, 66_000, 66_999, 67_000] {
        let dir = tempfile::tempdir().unwrap();
        let log = pruned(Log::new(&dir.path().join("log"), 67_000), minimum);
        let mut counter = Counter::new(0, || false);
        let (advance, unverified) = from(&log, dir.path(), minimum, &mut counter);
        match advance.unwrap() {
            Advance::Verified { head, entries } => {
                assert_eq!((head.size.get(), entries), (67_000, 67_000 - minimum), "{minimum}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(unverified, only(0..minimum));
        // It goes on, also after a restart, and the log may prune more of what was verified.
        log.grow(67_000..68_000, "entry");
        let log = pruned(log.showing(68_000), 66_999);
        let verified = state(dir.path()).verified();
        assert_eq!(verified, 67_000);
        let mut counter = Counter::new(verified, || false);
        let (advance, unverified) = from(&log, dir.path(), 66_999, &mut counter);
        assert!(matches!(advance.unwrap(), Advance::Verified { entries: 1000, .. }), "{minimum}");
        assert_eq!(unverified, only(0..minimum));
    }
}

#[test]
fn a_wrong_entry_of_a_pruned_log_is_found_above_its_minimum_index() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(&dir.path().join("log"), 1000).changing(|path, mut bytes| {
        match path {
            LogPath::Entries(bundle) if bundle.index() == 0 => {
                return Err(SourceError::Missing { path: path.to_string(), status: 410 });
            }
            LogPath::Entries(bundle) if bundle.index() == 2 => bytes[5] ^= 1,
            _ => {}
        }
        Ok(bytes)
    });
    let (advance, _) = from(&log, dir.path(), 300, &mut Counter::new(0, || false));
    let error = advance.unwrap_err();
    assert!(matches!(error, FollowError::Unproven { .. }), "{error}");
}

#[test]
fn a_log_that_is_pruned_beyond_what_was_verified_is_not_taken_for_the_same_history() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = followed(dir.path(), 300);
    log.grow(300..3000, "entry");
    let log = pruned(log.showing(3000), 1024);
    let (advance, unverified) = from(&log, dir.path(), 1024, &mut Counter::new(300, || false));
    let error = advance.unwrap_err();
    assert!(matches!(error, FollowError::Pruned { known: 300, minimum: 1024 }), "{error}");
    assert!(unverified.is_empty());
    // While its tiles are there it is followed, and says what is left out.
    let log = log.changing(|_, bytes| Ok(bytes));
    let (advance, unverified) = from(&log, dir.path(), 1024, &mut Counter::new(300, || false));
    assert!(matches!(advance.unwrap(), Advance::Verified { entries: 1976, .. }));
    assert_eq!(unverified, only(300..1024));
    let (advance, _) = from(&log, dir.path(), 3001, &mut Counter::new(0, || false));
    let error = advance.unwrap_err();
    assert!(matches!(error, FollowError::BelowMinimum { size: 3000, minimum: 3001 }), "{error}");
}

#[test]
fn what_needs_every_entry_does_not_begin_in_a_pruned_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = pruned(Log::new(&dir.path().join("log"), 1000), 300);
    let mut kept = Kept::default();
    let (advance, unverified) = from(&log, dir.path(), 300, &mut kept);
    let error = advance.unwrap_err().to_string();
    assert_eq!(error, "every entry from 0 on is needed, and the log publishes none below 300");
    assert!(unverified.is_empty() && kept.entries.is_empty());
}
