//! A forked child has a store's memory and none of its threads: it is refused, at once and whatever the
//! parent's threads were doing, and its parent does not notice.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DurabilityToken, Error,
    Event, FlushPolicy, Hash, MemoryAccumulator, Snapshot, Stats, TailStream, scrub,
};
use testkit::children::{Child, End, fork, fork_here, pipe, take};
use testkit::stores::{leaves, root_of};

type Store = Accumulator<Blake3, 4>;

fn manual(dir: &Path) -> Config {
    Config::new(dir).flush_policy(FlushPolicy::Manual).checkpoint_policy(CheckpointPolicy::manual())
}

/// Wants a refusal that names both processes.
pub(crate) fn refused<T>(what: &str, parent: u32, answer: Result<T, Error>) -> Result<(), String> {
    match answer {
        Err(Error::Forked { opened_by, process })
            if opened_by == parent && process == std::process::id() =>
        {
            Ok(())
        }
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what} was not refused")),
    }
}

fn go_on(_: scrub::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The answer of a token: durable, as it was when the parent forked, or refused.
fn refused_or_durable(
    what: &str,
    parent: u32,
    token: &DurabilityToken,
    answer: Result<(), Error>,
) -> Result<(), String> {
    match answer {
        Ok(()) if token.is_durable() => Ok(()),
        answer => refused(what, parent, answer),
    }
}

/// What a child does with its parent's store: everything there is to do.
fn try_everything(
    parent: u32,
    store: &Store,
    mut token: DurabilityToken,
    snapshot: &Snapshot,
    mut waiting: TailStream,
) -> Result<(), String> {
    refused("tail", parent, store.tail(0))?;
    match waiting.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(answer)) => refused("a tail that waits", parent, answer)?,
        other => return Err(format!("a tail that waits: {other:?}")),
    }
    drop(waiting);
    refused("insert", parent, store.insert([1; 32]))?;
    refused("insert_many", parent, store.insert_many(&[[1; 32]; 100]))?;
    refused("an empty batch", parent, store.insert_many(&[]))?;
    refused("insert_data", parent, store.insert_data(b"data"))?;
    refused("insert_durable", parent, store.insert_durable([1; 32]))?;
    refused("flush", parent, store.flush())?;
    refused("checkpoint", parent, store.checkpoint())?;
    refused("snapshot_to", parent, store.snapshot_to("/nowhere"))?;
    refused("scrub", parent, store.scrub(&scrub::Options::default(), &mut go_on))?;
    refused("head", parent, store.head())?;
    refused("head_at", parent, store.head_at(1))?;
    refused("prove", parent, store.prove(0))?;
    refused("prove_at", parent, store.prove_at(0, 1))?;
    refused("prove_many", parent, store.prove_many(&[0.into()]))?;
    refused("prove_consistency", parent, store.prove_consistency(1))?;
    refused("frontier", parent, store.frontier())?;
    refused("leaf", parent, store.leaf(0))?;
    refused("leaves", parent, store.leaves(0..1))?;
    for (what, snapshot) in [("an old", snapshot), ("a new", &store.snapshot())] {
        refused(&format!("{what} snapshot's head"), parent, snapshot.head())?;
        refused(&format!("{what} snapshot's proof"), parent, snapshot.prove(0))?;
        refused(&format!("{what} snapshot's leaf"), parent, snapshot.leaf(0))?;
        refused(&format!("{what} snapshot's frontier"), parent, snapshot.frontier())?;
    }
    if store.stats() != Stats::default() {
        return Err("the child counts".to_owned());
    }
    let _ = store.size();
    let _ = format!("{store:?} {token:?}");
    let answer = token.wait();
    refused_or_durable("wait", parent, &token, answer)?;
    let answer = token.wait_timeout(Duration::from_secs(3600)).map(drop);
    refused_or_durable("wait_timeout", parent, &token, answer)?;
    match Pin::new(&mut token).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => refused_or_durable("poll", parent, &token, answer),
        Poll::Pending => Err("a token was pending".to_owned()),
    }
}

/// A tail with a waker that waits in the parent.
fn waiting(store: &Store) -> TailStream {
    let mut stream = store.tail(u64::MAX).unwrap().into_stream();
    assert!(stream.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
    stream
}

/// What stands in a directory.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn a_child_is_refused_everything_and_changes_nothing_and_the_parent_goes_on() {
    let parent = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    store.insert_many(&leaves(100, 1)).unwrap();
    store.checkpoint().unwrap();
    store.insert_many(&leaves(100, 2)).unwrap();
    store.flush().unwrap();
    let mut token = store.insert([3; 32]).unwrap().token;
    // The child has a copy of a waker that waits in the parent.
    assert!(Pin::new(&mut token).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let snapshot = store.snapshot();
    snapshot.head().unwrap();
    let waiting = waiting(&store);
    store.wait_idle();
    let before = tree(dir.path());
    for end in ["close", "drop", "neither"] {
        let child = fork(|| {
            try_everything(parent, &store, take(&token), &snapshot, take(&waiting))?;
            match end {
                "close" => refused("close", parent, take(&store).close()),
                "drop" => {
                    drop(take(&snapshot));
                    drop(take(&store));
                    Ok(())
                }
                _ => Ok(()),
            }
        });
        assert_eq!(child.end(), End::Well, "{end}");
        assert_eq!(tree(dir.path()), before, "{end}");
    }
    assert!(!token.is_durable());
    store.flush().unwrap();
    token.wait().unwrap();
    assert_eq!(store.insert_durable([4; 32]).unwrap().get(), 201);
    store.checkpoint().unwrap();
    let head = store.head().unwrap();
    store.close().unwrap();
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.head().unwrap(), head);
    let all = [leaves(100, 1), leaves(100, 2), vec![[3; 32], [4; 32]]].concat();
    assert_eq!(store.leaves(0..202).unwrap(), all);
}

/// Children that are forked while other threads of the parent do everything at once.
const CHILDREN: usize = 150;

#[test]
fn children_of_a_busy_parent_are_refused_at_once_and_the_store_has_exactly_the_parents_leaves() {
    let parent = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        Config::new(dir.path())
            .flush_policy(FlushPolicy::interval(Duration::from_micros(300)).unwrap())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(20_000).unwrap())
            .compaction_policy(CompactionPolicy::tiered(2).unwrap())
            .max_unflushed_bytes(1 << 20)
            .unwrap()
            .max_uncheckpointed_bytes(8 << 20)
            .unwrap()
    };
    let store = Store::open(config()).unwrap();
    let done = AtomicBool::new(false);
    let numbers = AtomicU64::new(0);
    let inserted: Mutex<BTreeMap<u64, Hash>> = Mutex::default();
    let leaf = || {
        let mut leaf = [7; 32];
        leaf[..8].copy_from_slice(&numbers.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        leaf
    };
    let busy = |work: &dyn Fn(&mut BTreeMap<u64, Hash>)| {
        let mut mine = BTreeMap::new();
        while !done.load(Ordering::Relaxed) {
            work(&mut mine);
        }
        inserted.lock().unwrap().append(&mut mine);
    };
    std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| {
                busy(&|mine| {
                    let leaf = leaf();
                    mine.insert(store.insert(leaf).unwrap().index.get(), leaf);
                });
            }),
            scope.spawn(|| {
                busy(&|mine| {
                    let leaf = leaf();
                    mine.insert(store.insert_durable(leaf).unwrap().get(), leaf);
                });
            }),
            scope.spawn(|| {
                busy(&|mine| {
                    let leaves: Vec<Hash> = (0..17_000).map(|_| leaf()).collect();
                    let range = store.insert_many(&leaves).unwrap().range;
                    mine.extend(range.zip(leaves));
                    store.head().unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                });
            }),
            scope.spawn(|| {
                busy(&|_| {
                    store.flush().unwrap();
                    let head = store.head().unwrap();
                    if head.size.get() > 0 {
                        store.prove_at(0, head.size).unwrap();
                    }
                    let _ = store.stats();
                });
            }),
        ];
        let mut ends = Vec::new();
        for number in 0..CHILDREN {
            let inserted_now = store.insert(leaf()).unwrap();
            let snapshot = store.snapshot();
            let own = store.leaf(inserted_now.index).unwrap();
            inserted.lock().unwrap().insert(inserted_now.index.get(), own);
            let token = inserted_now.token;
            let waiting = waiting(&store);
            let child = fork(|| {
                try_everything(parent, &store, take(&token), &snapshot, take(&waiting))?;
                if number % 2 == 0 {
                    return refused("close", parent, take(&store).close());
                }
                drop(take(&snapshot));
                drop(take(&store));
                Ok(())
            });
            ends.push(child.end());
        }
        // Before anything is asserted, so that a failure does not leave the threads running.
        done.store(true, Ordering::Relaxed);
        let joined = threads.map(std::thread::ScopedJoinHandle::join);
        assert!(joined.iter().all(Result::is_ok), "the parent was disturbed");
        assert_eq!(ends.iter().find(|end| **end != End::Well), None);
    });
    store.close().unwrap();
    let inserted: Vec<Hash> = {
        let inserted = inserted.into_inner().unwrap();
        assert!(inserted.keys().copied().eq(0..inserted.len() as u64), "indexes have holes");
        inserted.into_values().collect()
    };
    let store = Store::open(config()).unwrap();
    let head = store.head().unwrap();
    assert_eq!(head.size.get(), inserted.len() as u64);
    assert_eq!(store.leaves(0..head.size.get()).unwrap(), inserted);
    assert_eq!(head.root, root_of(&Blake3, Arity::Four, &inserted));
}

#[test]
fn a_child_does_not_get_the_store_while_its_parent_has_it_and_does_not_keep_it_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let store = Store::open(manual(path)).unwrap();
    store.insert_durable([1; 32]).unwrap();
    let (mut hears, mut tell) = pipe();
    let (mut answers, mut answer) = pipe();
    let child = fork(|| {
        match Store::open(manual(path)) {
            Err(Error::Locked { .. }) => {}
            Err(error) => return Err(format!("open in the child: {error}")),
            Ok(_) => return Err("the child got the store".to_owned()),
        }
        drop(take(&store));
        answer.write_all(b"!").map_err(|error| error.to_string())?;
        hears.read_exact(&mut [0]).map_err(|error| error.to_string())?;
        let own = Store::open(manual(path)).map_err(|error| format!("afterwards: {error}"))?;
        own.insert_durable([2; 32]).map_err(|error| error.to_string())?;
        answer.write_all(b"!").map_err(|error| error.to_string())?;
        hears.read_exact(&mut [0]).map_err(|error| error.to_string())?;
        own.close().map_err(|error| error.to_string())
    });
    answers.read_exact(&mut [0]).unwrap();
    // The child has dropped its copy, and the lock is still the parent's.
    assert!(matches!(Store::open(manual(path)), Err(Error::Locked { .. })));
    store.insert_durable([3; 32]).unwrap();
    store.close().unwrap();
    // The child is alive, with its descriptor of the lock.
    Store::open(manual(path)).unwrap().close().unwrap();
    tell.write_all(b"!").unwrap();
    answers.read_exact(&mut [0]).unwrap();
    assert!(matches!(Store::open(manual(path)), Err(Error::Locked { .. })));
    tell.write_all(b"!").unwrap();
    assert_eq!(child.end(), End::Well);
    let store = Store::open(manual(path)).unwrap();
    assert_eq!(store.leaves(0..3).unwrap(), [[1; 32], [3; 32], [2; 32]]);
}

#[test]
fn a_child_does_not_keep_the_lock_of_a_parent_that_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut hears, mut tell) = pipe();
    let (mut answers, mut answer) = pipe();
    let parent = fork(|| {
        let store = Store::open(manual(dir.path())).map_err(|error| error.to_string())?;
        store.insert_durable([1; 32]).map_err(|error| error.to_string())?;
        fork(|| {
            answer.write_all(b"!").map_err(|error| error.to_string())?;
            hears.read_exact(&mut [0]).map_err(|error| error.to_string())
        });
        // It ends as after a kill: only the system closes anything.
        std::mem::forget(store);
        Ok(())
    });
    answers.read_exact(&mut [0]).unwrap();
    assert_eq!(parent.end(), End::Well);
    let store = Store::open(manual(dir.path())).unwrap();
    assert_eq!(store.leaf(0).unwrap(), [1; 32]);
    tell.write_all(b"!").unwrap();
}

#[test]
fn a_child_may_have_stores_of_its_own_and_read_the_parents_and_a_grandchild_has_neither() {
    let parent = std::process::id();
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(manual(dir.path())).unwrap();
    // Large enough for all cores, whose threads the child does not have.
    let many = leaves(100_000, 1);
    let root = root_of(&Blake3, Arity::Four, &many);
    store.insert_many(&many).unwrap();
    assert_eq!(store.head().unwrap().root, root);
    store.flush().unwrap();
    let mut memory = MemoryAccumulator::<Blake3, 4>::new();
    memory.extend(&many[..10]).unwrap();
    let child = fork(|| {
        let words = |error: Error| error.to_string();
        let own = Store::open(manual(other.path())).map_err(words)?;
        own.insert_many(&many).map_err(words)?;
        let mut memory = take(&memory);
        memory.extend(&many[10..]).map_err(words)?;
        let reader = Store::open_read_only(manual(dir.path())).map_err(words)?;
        for head in [own.head(), memory.head(), reader.head()] {
            if head.map_err(words)?.root != root {
                return Err("a wrong root in the child".to_owned());
            }
        }
        let child = std::process::id();
        let grandchild = fork(|| {
            refused("the grandparent's store", parent, store.insert([1; 32]))?;
            refused("the parent's store", child, own.insert([1; 32]))?;
            let closed = refused("the parent's store", child, take(&own).close());
            closed.and(refused("the grandparent's store", parent, take(&store).close()))
        });
        match grandchild.end() {
            End::Well => own.close().map_err(words),
            end => Err(format!("the grandchild: {end:?}")),
        }
    });
    assert_eq!(child.end(), End::Well);
    store.insert_durable([1; 32]).unwrap();
    store.close().unwrap();
    assert_eq!(Store::open(manual(other.path())).unwrap().head().unwrap().root, root);
    assert_eq!(Store::open(manual(dir.path())).unwrap().size().get(), 100_001);
}

/// The events in which a listener forks.
const MOMENTS: [&str; 6] = [
    "FlushBegun",
    "FlushCompleted",
    "CheckpointBegun",
    "CheckpointCompleted",
    "CompactionBegun",
    "CompactionCompleted",
];

#[test]
fn a_listener_that_forks_and_returns_in_the_child_does_not_make_it_a_second_writer() {
    for moment in MOMENTS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_path_buf();
        let ends: Arc<Mutex<Vec<(End, bool)>>> = Arc::default();
        let noted = Arc::clone(&ends);
        let listener = move |event: &Event| {
            if !format!("{event:?}").starts_with(moment) || !noted.lock().unwrap().is_empty() {
                return;
            }
            let before = tree(&path);
            // In the child one of the store's own threads goes on, without the others.
            if let Some(child) = fork_here() {
                let end = Child::end(child);
                noted.lock().unwrap().push((end, tree(&path) == before));
            }
        };
        let config = manual(dir.path())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap())
            .compaction_policy(CompactionPolicy::tiered(2).unwrap())
            .listener(listener);
        let store = Store::open(config).unwrap();
        grow_and_close(store);
        assert_eq!(*ends.lock().unwrap(), [(End::Well, true)], "{moment}");
        let store = Store::open(manual(dir.path())).unwrap();
        let all: Vec<Hash> = (0..4).flat_map(|seed| leaves(10, seed)).collect();
        assert_eq!(store.leaves(0..40).unwrap(), all, "{moment}");
    }
}

/// Causes every event that a store reports when nothing fails.
fn grow_and_close(store: Store) {
    for seed in 0..4 {
        store.insert_many(&leaves(10, seed)).unwrap();
        store.flush().unwrap();
        store.wait_idle();
    }
    store.close().unwrap();
}

#[test]
fn in_a_child_that_a_listener_forks_nobody_else_is_told() {
    let parent = std::process::id();
    for moment in MOMENTS {
        let dir = tempfile::tempdir().unwrap();
        let ends: Arc<Mutex<Vec<End>>> = Arc::default();
        let noted = Arc::clone(&ends);
        let forks = move |event: &Event| {
            if !format!("{event:?}").starts_with(moment) || !noted.lock().unwrap().is_empty() {
                return;
            }
            if let Some(child) = fork_here() {
                let end = Child::end(child);
                noted.lock().unwrap().push(end);
            }
        };
        let told = move |_: &Event| {
            if std::process::id() != parent {
                std::process::exit(7);
            }
        };
        let config = manual(dir.path())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap())
            .compaction_policy(CompactionPolicy::tiered(2).unwrap())
            .listener(forks)
            .listener(told);
        let store = Store::open(config).unwrap();
        grow_and_close(store);
        assert_eq!(*ends.lock().unwrap(), [End::Well], "{moment}");
    }
}

/// Forks when it is woken.
struct Forks(Mutex<Option<End>>);

impl Wake for Forks {
    fn wake(self: Arc<Self>) {
        if let Some(child) = fork_here() {
            let end = Child::end(child);
            *self.0.lock().unwrap() = Some(end);
        }
    }
}

/// Ends every process but one when it is woken.
struct Guards(u32);

impl Wake for Guards {
    fn wake(self: Arc<Self>) {
        if std::process::id() != self.0 {
            std::process::exit(7);
        }
    }
}

#[test]
fn in_a_child_that_a_waker_forks_no_other_is_woken_and_nobody_is_told() {
    let parent = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let config = manual(dir.path()).listener(move |_: &Event| {
        if std::process::id() != parent {
            std::process::exit(8);
        }
    });
    let store = Store::open(config).unwrap();
    let (forks, guards) = (Arc::new(Forks(Mutex::default())), Arc::new(Guards(parent)));
    let wakers: [Waker; 3] = [guards.clone().into(), forks.clone().into(), guards.into()];
    let mut tokens = wakers.each_ref().map(|_| store.insert([1; 32]).unwrap().token);
    for (token, waker) in tokens.iter_mut().zip(&wakers) {
        assert!(Pin::new(token).poll(&mut Context::from_waker(waker)).is_pending());
    }
    store.flush().unwrap();
    for token in tokens {
        token.wait().unwrap();
    }
    // The flusher has gone on when this is durable.
    store.insert_durable([2; 32]).unwrap();
    assert_eq!(forks.0.lock().unwrap().take(), Some(End::Well));
    store.close().unwrap();
}

#[test]
fn a_child_that_a_listener_forks_while_the_store_is_closed_leaves_closing_to_the_parent() {
    let parent = std::process::id();
    for moment in ["CheckpointBegun", "CheckpointCompleted"] {
        let dir = tempfile::tempdir().unwrap();
        let ends: Arc<Mutex<Vec<(End, bool)>>> = Arc::default();
        let (noted, path) = (Arc::clone(&ends), dir.path().to_path_buf());
        let config = manual(dir.path())
            .checkpoint_policy(CheckpointPolicy::manual().on_close(true))
            .listener(move |event: &Event| {
                if format!("{event:?}").starts_with(moment) {
                    let before = tree(&path);
                    if let Some(child) = fork_here() {
                        let end = Child::end(child);
                        noted.lock().unwrap().push((end, tree(&path) == before));
                    }
                }
            });
        let store = Store::open(config).unwrap();
        store.insert_many(&leaves(10, 1)).unwrap();
        let closed = store.close();
        if std::process::id() != parent {
            // This thread, in the child.
            std::process::exit(i32::from(refused("close", parent, closed).is_err()));
        }
        closed.unwrap();
        assert_eq!(*ends.lock().unwrap(), [(End::Well, true)], "{moment}");
        let store = Store::open(manual(dir.path())).unwrap();
        assert!(store.recovery().clean);
        assert_eq!(store.leaves(0..10).unwrap(), leaves(10, 1));
    }
}
