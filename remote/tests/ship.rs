//! Stores that are shipped, taken over and restored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use duramen::{
    Blake3, CheckpointPolicy, Config, DurabilityToken, DynAccumulator, EntryConfig, Event,
    FlushPolicy, Rfc6962Sha256, Store, StoreHead,
};
use duramen_remote::{Error, Level, Remote, ShipConfig, ShipPolicy, Shipper};
use object_store::memory::InMemory;
use tempfile::TempDir;
use testkit::stores::leaves;

/// A machine with a store, and a bucket.
struct Place {
    dir: TempDir,
    remote: Remote,
}

impl Place {
    fn in_memory() -> Self {
        let remote = Remote::from_object_store(Arc::new(InMemory::new()), "some/prefix").unwrap();
        Self { dir: tempfile::tempdir().unwrap(), remote }
    }

    fn in_directory() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/bucket", dir.path().display());
        Self { remote: Remote::new(&url).unwrap(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn config(path: &Path) -> Config {
    Config::new(path).checkpoint_policy(CheckpointPolicy::manual())
}

fn open(path: &Path) -> Store {
    Store::open(config(path)).unwrap()
}

fn by_hand(path: &Path) -> ShipConfig {
    ShipConfig::new(path).policy(ShipPolicy::Manual)
}

/// Some of everything that a store has: `round` makes it different each time.
fn fill(store: &Store, round: usize) {
    let notes = store.tree_with_entries::<Blake3, 4>("notes", EntryConfig::new()).unwrap();
    let audit = store.tree::<Rfc6962Sha256, 2>("audit").unwrap();
    let entries: Vec<Vec<u8>> =
        (0..50_u8).map(|entry| vec![entry; 10 + usize::from(entry) + round]).collect();
    for entry in &entries {
        drop(notes.insert_entry(entry).unwrap());
    }
    let all = leaves(300, round as u64);
    drop(audit.insert_many(&all[..200]).unwrap());
    drop(store.mark(format!("round {round}")).unwrap());
    drop(audit.insert_many(&all[200..]).unwrap());
    drop(store.tree::<Blake3, 2>(format!("short {round}")).unwrap());
    if round % 2 == 1 {
        store.rewind_to(format!("round {round}")).unwrap();
    }
    if round > 1 {
        drop(store.seal(format!("short {round}")).unwrap());
        let before = format!("short {}", round - 1);
        if store.existing_tree(&before).is_ok() {
            drop(store.drop_tree(before).unwrap());
        }
    }
}

/// That the store in `path` has this head, these marks and the entries.
fn check(path: &Path, head: &StoreHead, marks: &[String]) {
    let store = open(path);
    assert_eq!(store.head().unwrap(), *head);
    let found: Vec<_> = store.marks().unwrap().iter().map(|mark| mark.name.to_string()).collect();
    assert_eq!(found, *marks);
    let notes = store.existing_tree("notes").unwrap();
    let snapshot = notes.snapshot();
    for index in 0..snapshot.size().get() {
        snapshot.entry(index).unwrap();
    }
    store.close().unwrap();
    let survey = duramen::inspect::survey(&Config::new(path)).unwrap();
    assert!(survey.is_clean(), "{survey:?}");
}

fn marks(store: &Store) -> Vec<String> {
    store.marks().unwrap().iter().map(|mark| mark.name.to_string()).collect()
}

fn ships_everything(place: &Place, checkpoint_in: impl Fn(usize) -> bool) {
    let path = place.path("store");
    let store = open(&path);
    fill(&store, 0);
    place.remote.init(&store).unwrap();
    let shipper = place.remote.ship(&store, by_hand(&path).slot_bytes(500)).unwrap();
    for round in 1..6 {
        fill(&store, round);
        if checkpoint_in(round) {
            store.checkpoint().unwrap();
        }
        shipper.flush_to(Level::Remote).unwrap();
        let (head, marks) = (store.head().unwrap(), marks(&store));
        let copy = place.path(&format!("copy {round}"));
        place.remote.restore(&copy).unwrap();
        check(&copy, &head, &marks);
    }
    let stats = shipper.stats();
    assert_eq!(stats.remote, stats.local);
    assert!(stats.last_error.is_none(), "{:?}", stats.last_error);
    let (head, marks) = (store.head().unwrap(), marks(&store));
    shipper.close().unwrap();
    store.close().unwrap();
    // Opened again, the store goes on where it was.
    let store = open(&path);
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    assert_eq!(shipper.epoch(), 2);
    shipper.flush_to(Level::Remote).unwrap();
    let there = place.path("there");
    let taken = place.remote.take_over(&there).unwrap();
    assert_eq!(taken.epoch, Some(3));
    check(&there, &head, &marks);
    // The first machine is fenced.
    fill(&store, 7);
    let refused = shipper.flush_to(Level::Remote).unwrap_err();
    assert!(matches!(refused, Error::Fenced { epoch: 2, by_epoch: 3 }), "{refused}");
    let refused = shipper.close().unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
}

#[test]
fn entries_marks_rewinds_and_many_trees_are_restored_from_the_log() {
    ships_everything(&Place::in_memory(), |_| false);
}

#[test]
fn entries_marks_rewinds_and_many_trees_are_restored_from_parts() {
    ships_everything(&Place::in_memory(), |_| true);
}

#[test]
fn a_bucket_in_a_directory_does_as_well() {
    ships_everything(&Place::in_directory(), |round| round % 2 == 0);
}

#[test]
fn a_machine_that_missed_something_is_refused_and_fences_no_one() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    fill(&store, 0);
    place.remote.init(&store).unwrap();
    let first = place.remote.ship(&store, by_hand(&path)).unwrap();
    first.flush_to(Level::Remote).unwrap();
    // It writes more that is never shipped, and checkpoints it.
    fill(&store, 1);
    store.flush().unwrap();
    let there = place.path("there");
    place.remote.take_over(&there).unwrap();
    let other = open(&there);
    let second = place.remote.ship(&other, by_hand(&there)).unwrap();
    fill(&other, 2);
    second.flush_to(Level::Remote).unwrap();
    assert!(matches!(first.close(), Err(Error::Fenced { .. })));
    for checkpoint in [false, true] {
        if checkpoint {
            store.checkpoint().unwrap();
        }
        let refused = place.remote.ship(&store, by_hand(&path)).unwrap_err();
        assert!(matches!(refused, Error::Superseded { by_epoch: 3, .. }), "{refused}");
    }
    fill(&other, 3);
    second.flush_to(Level::Remote).unwrap();
    second.close().unwrap();
}

#[test]
fn a_store_that_wrote_without_a_shipper_goes_on_with_a_state() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    place.remote.init(&store).unwrap();
    fill(&store, 0);
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    fill(&store, 1);
    store.checkpoint().unwrap();
    fill(&store, 2);
    store.close().unwrap();
    let store = open(&path);
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    let copy = place.path("copy");
    place.remote.restore(&copy).unwrap();
    check(&copy, &store.head().unwrap(), &marks(&store));
}

#[test]
fn a_directory_that_was_rolled_back_is_refused() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    place.remote.init(&store).unwrap();
    fill(&store, 0);
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    let backup = place.path("backup");
    store.snapshot_to(&backup).unwrap();
    fill(&store, 1);
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    store.close().unwrap();
    // As if all of the directory but its newest note were set back.
    let note = std::fs::read_to_string(path.join("remote")).unwrap();
    let inode = |path: &Path| format!(" {} ", std::fs::metadata(path).unwrap().ino());
    std::fs::write(backup.join("remote"), note.replace(&inode(&path), &inode(&backup))).unwrap();
    let store = open(&backup);
    let refused = place.remote.ship(&store, by_hand(&backup)).unwrap_err();
    assert!(matches!(refused, Error::Superseded { .. }), "{refused}");
    // Another history, as long.
    fill(&store, 3);
    fill(&store, 4);
    let refused = place.remote.ship(&store, by_hand(&backup)).unwrap_err();
    assert!(matches!(refused, Error::Superseded { .. }), "{refused}");
}

/// Makes `image` what `path` is now, as if the image of a disk were taken: with its note, which names the directory.
fn take_image(store: &Store, path: &Path, image: &Path) {
    store.snapshot_to(image).unwrap();
    let note = std::fs::read_to_string(path.join("remote")).unwrap();
    let inode = |path: &Path| format!(" {} ", std::fs::metadata(path).unwrap().ino());
    assert!(note.contains(&inode(path)), "{note}");
    std::fs::write(image.join("remote"), note.replace(&inode(path), &inode(image))).unwrap();
}

#[test]
fn a_machine_set_back_to_its_own_image_replaces_nothing_however_much_it_wrote_since() {
    for (later, checkpoint) in [(1, false), (1, true), (6, false), (6, true)] {
        let place = Place::in_memory();
        let path = place.path("store");
        let store = open(&path);
        place.remote.init(&store).unwrap();
        fill(&store, 0);
        let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
        shipper.flush_to(Level::Remote).unwrap();
        let image = place.path("image");
        take_image(&store, &path, &image);
        let imaged = shipper.stats().remote;
        // It acknowledges more, and then the disk is set back.
        (1..3).for_each(|round| fill(&store, round));
        store.checkpoint().unwrap();
        fill(&store, 3);
        shipper.flush_to(Level::Remote).unwrap();
        let acknowledged = shipper.stats().remote;
        shipper.close().unwrap();
        let before = place.remote.status().unwrap();
        let store = open(&image);
        (10..10 + later).for_each(|round| fill(&store, round));
        if checkpoint {
            // Its log may not reach back to where the bucket ends.
            store.checkpoint().unwrap();
        }
        store.flush().unwrap();
        let refused = place.remote.ship(&store, by_hand(&image)).unwrap_err();
        let Error::SetBack { epoch: 1, sent, remote, local } = refused else { panic!("{refused}") };
        assert_eq!((sent, remote), (imaged, acknowledged));
        assert_eq!(local, store.durable_seq().unwrap().0);
        assert!(refused.to_string().contains(&format!("is at {remote}")), "{refused}");
        assert_eq!(place.remote.status().unwrap(), before, "nothing was changed");
    }
}

#[test]
fn a_machine_that_stopped_between_its_note_and_its_slot_goes_on() {
    let bucket = Arc::new(InMemory::new());
    let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "x").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path);
    remote.init(&store).unwrap();
    let shipper = remote.ship(&store, by_hand(&path)).unwrap();
    fill(&store, 0);
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    // As if it had noted a slot that never left the machine.
    let note = std::fs::read_to_string(path.join("remote")).unwrap();
    let sent: u64 = note.split_whitespace().last().unwrap().parse().unwrap();
    assert_eq!(Some(sent), remote.status().unwrap().seq);
    let note = note.replace(&format!(" {sent}\n"), &format!(" {}\n", sent + 1_000));
    std::fs::write(path.join("remote"), note).unwrap();
    fill(&store, 1);
    let shipper = remote.ship(&store, by_hand(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    remote.take_over(dir.path().join("there")).unwrap();
    check(&dir.path().join("there"), &store.head().unwrap(), &marks(&store));
}

#[test]
fn a_note_that_cannot_be_written_delays_what_is_shipped_and_nothing_is_left_out() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    place.remote.init(&store).unwrap();
    fill(&store, 0);
    let often = ShipPolicy::Interval(Duration::from_millis(2));
    let config = ShipConfig::new(&path).policy(often).slot_bytes(300);
    let shipper = place.remote.ship(&store, config).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    // A directory in the place of the note's new file, as a disk that is full would do.
    std::fs::create_dir(path.join("remote.tmp")).unwrap();
    (1..4).for_each(|round| fill(&store, round));
    let tree = store.existing_tree("audit").unwrap();
    let token = shipper.remote(&tree.insert([9; 32]).unwrap().token);
    store.flush().unwrap();
    assert!(!token.wait_timeout(Duration::from_millis(300)).unwrap());
    let error = shipper.stats().last_error.unwrap();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    std::fs::remove_dir(path.join("remote.tmp")).unwrap();
    token.wait().unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    let copy = place.path("copy");
    place.remote.restore(&copy).unwrap();
    check(&copy, &store.head().unwrap(), &marks(&store));
    shipper.close().unwrap();
}

#[test]
fn a_copy_that_wrote_on_by_itself_replaces_nothing() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    place.remote.init(&store).unwrap();
    fill(&store, 0);
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    let (copy, restored) = (place.path("copy"), place.path("restored"));
    place.remote.restore(&restored).unwrap();
    store.snapshot_to(&copy).unwrap();
    std::fs::copy(path.join("remote"), copy.join("remote")).unwrap();
    fill(&store, 1);
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    let status = place.remote.status().unwrap();
    for path in [copy, restored] {
        let other = open(&path);
        // Behind what is in the bucket, and with a log that does not reach back to that.
        (3..7).for_each(|round| fill(&other, round));
        other.checkpoint().unwrap();
        let refused = place.remote.ship(&other, by_hand(&path)).unwrap_err();
        assert!(matches!(refused, Error::Superseded { epoch: 0, .. }), "{refused}");
    }
    assert_eq!(place.remote.status().unwrap(), status);
}

#[test]
fn nothing_is_sent_while_nothing_is_new_and_garbage_goes() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    place.remote.init(&store).unwrap();
    let config = ShipConfig::new(&path).policy(ShipPolicy::Interval(Duration::from_millis(5)));
    let shipper = place.remote.ship(&store, config).unwrap();
    for round in 0..4 {
        fill(&store, round);
        shipper.flush_to(Level::Remote).unwrap();
        store.checkpoint().unwrap();
        fill(&store, round + 10);
        shipper.flush_to(Level::Remote).unwrap();
    }
    let states = shipper.stats().states;
    assert!(states > 2, "{states} states");
    assert!(shipper.stats().collected > 4, "{:?}", shipper.stats());
    let settled = |shipper: &Shipper| {
        std::thread::sleep(Duration::from_millis(50));
        shipper.stats().requests
    };
    settled(&shipper);
    let before = settled(&shipper);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(shipper.stats().requests, before, "requests of an idle store");
    let status = place.remote.status().unwrap();
    assert!(status.slots_behind_state <= 2, "{status:?}");
    shipper.close().unwrap();
}

#[test]
fn waiting_ends_when_the_shipper_does() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = Store::open(config(&path).flush_policy(FlushPolicy::Manual)).unwrap();
    let tree = store.tree::<Blake3, 4>("notes").unwrap();
    place.remote.init(&store).unwrap();
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    let token = shipper.remote(&tree.insert([1; 32]).unwrap().token);
    let waiting = std::thread::spawn({
        let token = token.clone();
        move || token.wait()
    });
    // Not durable here, so it cannot be shipped.
    shipper.close().unwrap();
    assert!(matches!(waiting.join().unwrap(), Err(Error::Closed { .. })));
    assert!(!token.is_remote());
}

#[test]
fn wrong_places_are_typed_errors_and_change_nothing() {
    let place = Place::in_memory();
    let path = place.path("store");
    let store = open(&path);
    assert!(matches!(place.remote.status(), Err(Error::NoStore)));
    assert!(matches!(place.remote.ship(&store, by_hand(&path)), Err(Error::NoStore)));
    assert!(matches!(place.remote.restore(place.path("copy")), Err(Error::NoStore)));
    place.remote.init(&store).unwrap();
    place.remote.init(&store).unwrap();
    assert!(matches!(place.remote.restore(place.path("copy")), Err(Error::Nothing)));
    let other = open(&place.path("other"));
    assert!(matches!(place.remote.init(&other), Err(Error::OtherStore { .. })));
    let refused = place.remote.ship(&other, by_hand(&place.path("other"))).unwrap_err();
    assert!(matches!(refused, Error::OtherStore { .. }));
    assert_eq!(place.remote.status().unwrap().epoch, 0);
    for url in ["ftp://bucket/x", "nothing", "file://host/x"] {
        assert!(matches!(Remote::new(url), Err(Error::WrongUrl { .. })), "{url}");
    }
}

/// What a listener on the flusher's thread is told when it waits for the bucket.
fn asked_on_the_flusher<T: Send + 'static>(
    ask: impl FnOnce(Shipper, DynAccumulator, DurabilityToken) -> T + Send + 'static,
) -> T {
    let place = Place::in_memory();
    let path = place.path("store");
    type Asked = (Shipper, DynAccumulator, DurabilityToken);
    let slot: Arc<Mutex<Option<Asked>>> = Arc::default();
    let (mine, (sender, answer)) = (Arc::clone(&slot), mpsc::channel());
    let ask = Mutex::new(Some(ask));
    let config = config(&path).flush_policy(FlushPolicy::Manual).listener(move |event: &Event| {
        // The event of the flush before may come late.
        let is_mine = |asked: &mut Asked| asked.2.is_durable();
        if matches!(event, Event::FlushCompleted { .. })
            && let Some((shipper, tree, token)) = mine.lock().unwrap().take_if(is_mine)
            && let Some(ask) = ask.lock().unwrap().take()
        {
            sender.send(ask(shipper, tree, token)).unwrap();
        }
    });
    let store = Store::open(config).unwrap();
    place.remote.init(&store).unwrap();
    let shipper = place.remote.ship(&store, by_hand(&path)).unwrap();
    drop(store.tree::<Blake3, 4>("log").unwrap());
    let tree = store.existing_tree("log").unwrap();
    store.flush().unwrap();
    let token = tree.insert([1; 32]).unwrap().token;
    *slot.lock().unwrap() = Some((shipper, tree, token));
    store.flush().unwrap();
    answer.recv_timeout(Duration::from_secs(60)).unwrap()
}

fn is_refused(answer: &Result<(), Error>) {
    let refused = matches!(
        answer,
        Err(Error::Store(duramen::Error::WouldWaitForItself { thread: "flusher", .. }))
    );
    assert!(refused, "{answer:?}");
}

#[test]
fn a_listener_of_the_flusher_that_waits_for_the_bucket_is_refused() {
    is_refused(&asked_on_the_flusher(|shipper, tree, _| {
        let token = tree.insert([2; 32]).unwrap().token;
        assert!(!token.is_durable());
        shipper.remote(&token).wait()
    }));
    is_refused(&asked_on_the_flusher(|shipper, _, token| {
        assert!(token.is_durable());
        shipper.remote(&token).wait()
    }));
    is_refused(&asked_on_the_flusher(|shipper, _, token| {
        shipper.remote(&token).wait_timeout(Duration::from_secs(3600)).map(drop)
    }));
    let (answer, handle) = asked_on_the_flusher(|shipper, _, _| {
        let handle = shipper.handle();
        (shipper.close(), handle)
    });
    is_refused(&answer);
    while !handle.has_ended() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_store_is_shipped_with_its_own_directory_alone() {
    let place = Place::in_memory();
    let (path, other) = (place.path("store"), place.path("other"));
    let store = open(&path);
    fill(&store, 0);
    place.remote.init(&store).unwrap();
    std::fs::create_dir(&other).unwrap();
    let error = place.remote.ship(&store, by_hand(&other)).unwrap_err();
    assert!(error.to_string().contains("not the directory of the store"), "{error}");
    // Nothing of another program is written to.
    std::fs::write(place.path("victim"), "precious").unwrap();
    std::os::unix::fs::symlink("../victim", path.join("remote.tmp")).unwrap();
    let error = place.remote.ship(&store, by_hand(&path)).unwrap_err();
    assert!(error.to_string().contains("remote.tmp"), "{error}");
    assert_eq!(std::fs::read_to_string(place.path("victim")).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
    std::fs::remove_file(path.join("remote.tmp")).unwrap();
    place.remote.ship(&store, by_hand(&path)).unwrap().close().unwrap();
}
