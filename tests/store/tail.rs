//! Following a tree in the process that writes it.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use duramen::fs::FileKind;
use duramen::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Appended, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Compression, Config,
    DynAccumulator, EntryConfig, Error, Event, FlushPolicy, LeafIndex, ReadMode, Store, Tail,
    TreeConfig,
};
use testkit::stores::{block_on, leaves};

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn open(config: Config) -> DynAccumulator {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

fn with_entries(store: &Store, entries: EntryConfig) -> DynAccumulator {
    store.tree_dyn("kept", TreeConfig::of::<Blake3, 4>().entries(entries)).unwrap()
}

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} ").repeat(1 + number(index % 40)).into_bytes()
}

/// The items are the leaves of `range`, in order, with the entries of the tree if it keeps any.
fn check(log: &DynAccumulator, items: &[Appended], range: Range<u64>) {
    assert_eq!(items.len() as u64, range.end - range.start);
    let kept = log.entry_config().is_some();
    for ((item, index), leaf) in items.iter().zip(range.clone()).zip(log.leaves(range).unwrap()) {
        assert_eq!((item.index, item.leaf), (LeafIndex(index), leaf));
        assert_eq!(item.entry.as_deref(), kept.then(|| entry(index)).as_deref());
    }
}

/// All that comes without waiting.
fn now(tail: &mut Tail) -> Vec<Appended> {
    std::iter::from_fn(|| tail.try_next().unwrap()).collect()
}

#[test]
fn every_leaf_comes_once_and_in_order_beside_a_writer_that_checkpoints_and_merges() {
    for kept in [
        None,
        Some(EntryConfig::new()),
        Some(EntryConfig::new().compression(Compression::zstd(1).unwrap())),
    ] {
        let disk = SimDisk::new();
        let config = config(&disk)
            .flush_policy(FlushPolicy::interval(Duration::from_micros(200)).unwrap())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(700).unwrap())
            .compaction_policy(CompactionPolicy::tiered(2).unwrap())
            .wal_segment_bytes(256 << 10)
            .unwrap();
        let store = Store::open(config).unwrap();
        let log = match kept {
            Some(kept) => with_entries(&store, kept),
            None => store.tree_dyn("bare", TreeConfig::of::<Blake3, 4>()).unwrap(),
        };
        const ALL: u64 = 10_000;
        std::thread::scope(|threads| {
            let follow = |from: u64| {
                let (log, mut tail) = (&log, log.tail(from).unwrap());
                threads.spawn(move || {
                    let mut items = Vec::new();
                    while items.len() as u64 + from < ALL {
                        let item = tail.next().unwrap().unwrap();
                        assert!(item.index.get() < log.durable_size().get(), "not durable");
                        items.push(item);
                    }
                    assert_eq!(tail.next_index().get(), ALL);
                    items
                })
            };
            let followers = [0, 1, 3_333, ALL - 1].map(|from| (from, follow(from)));
            let (mut at, mut rounds) = (0, 0);
            while at < ALL {
                rounds += 1;
                let end = ALL.min(at + 1 + at % 61);
                match kept {
                    Some(_) => {
                        log.insert_entries(&(at..end).map(entry).collect::<Vec<_>>()).unwrap();
                    }
                    None => {
                        log.insert_many(&leaves(number(end - at), at)).unwrap();
                    }
                }
                at = end;
                if rounds % 16 == 0 {
                    store.checkpoint().unwrap();
                }
            }
            for (from, follower) in followers {
                check(&log, &follower.join().unwrap(), from..ALL);
            }
        });
        assert!(store.stats().checkpoints > 0);
        // From the parts alone.
        store.checkpoint().unwrap();
        check(&log, &now(&mut log.tail(5_000).unwrap()), 5_000..ALL);
    }
}

#[test]
fn a_tail_continues_where_another_one_stopped_also_after_the_store_was_opened_again() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let log = with_entries(&store, EntryConfig::new());
    log.insert_entries(&(0..1000).map(entry).collect::<Vec<_>>()).unwrap();
    log.checkpoint().unwrap();
    let mut tail = log.tail(0).unwrap();
    let mut items: Vec<_> = tail.by_ref().take(300).map(Result::unwrap).collect();
    let mut tail = log.tail(tail.next_index()).unwrap();
    items.extend(tail.by_ref().take(77).map(Result::unwrap));
    let next = tail.next_index();
    assert_eq!(next.get(), 377);
    drop(log);
    store.close().unwrap();
    let store = Store::open(config(&disk)).unwrap();
    let log = store.existing_tree("kept").unwrap();
    items.extend(now(&mut log.tail(next).unwrap()));
    check(&log, &items, 0..1000);
}

#[test]
fn what_is_not_durable_is_not_returned_however_long_it_is_there() {
    let log = open(config(&SimDisk::new()));
    let mut tail = log.tail(0).unwrap();
    log.insert_many(&leaves(10, 1)).unwrap();
    assert!(tail.try_next().unwrap().is_none());
    assert!(tail.next_timeout(Duration::from_millis(2)).unwrap().is_none());
    assert!(!tail.is_ended());
    log.flush().unwrap();
    log.insert_many(&leaves(5, 2)).unwrap();
    check(&log, &now(&mut tail), 0..10);
    log.flush().unwrap();
    assert_eq!(tail.next_timeout(Duration::MAX).unwrap().unwrap().index.get(), 10);
    check(&log, &now(&mut tail), 11..15);
}

#[test]
fn a_tail_from_beyond_the_size_waits_for_that_leaf() {
    let store = Store::open(config(&SimDisk::new())).unwrap();
    let (log, other) = (
        store.tree_dyn("log", TreeConfig::of::<Blake3, 4>()).unwrap(),
        store.tree_dyn("other", TreeConfig::of::<Blake3, 4>()).unwrap(),
    );
    let mut tail = log.tail(20).unwrap();
    std::thread::scope(|threads| {
        let waiting = threads.spawn(move || tail.next().unwrap().unwrap());
        for _ in 0..4 {
            log.insert_many(&leaves(5, 1)).unwrap();
            // Leaves of other trees wake the tail, and are none of its own.
            other.insert_many(&leaves(50, 1)).unwrap();
            store.flush().unwrap();
        }
        log.insert_durable([9; 32]).unwrap();
        let found = waiting.join().unwrap();
        assert_eq!((found.index.get(), found.leaf), (20, [9; 32]));
    });
    let mut far = log.tail(u64::MAX).unwrap();
    assert!(far.try_next().unwrap().is_none());
}

#[test]
fn closing_the_store_ends_a_tail_after_the_last_leaf_and_a_tail_keeps_no_store_open() {
    for explicit in [true, false] {
        let disk = SimDisk::new();
        let log = open(config(&disk));
        let mut tail = log.tail(0).unwrap();
        let mut idle = log.tail(0).unwrap();
        assert!(idle.try_next().unwrap().is_none());
        std::thread::scope(|threads| {
            let all = threads
                .spawn(move || tail.by_ref().map(|item| item.unwrap().leaf).collect::<Vec<_>>());
            log.insert_many(&leaves(100, 7)).unwrap();
            if explicit {
                log.close().unwrap();
            } else {
                drop(log);
            }
            assert_eq!(all.join().unwrap(), leaves(100, 7));
        });
        // A tail that looks only after the end gets everything too.
        assert_eq!(now(&mut idle).len(), 100);
        assert!(idle.is_ended() && idle.next().is_none());
        drop(open(config(&disk)));
    }
}

#[test]
fn a_failure_of_the_log_is_one_item_behind_the_last_durable_leaf() {
    let disk = SimDisk::new();
    let log = open(config(&disk));
    let mut tail = log.tail(0).unwrap();
    log.insert_many(&leaves(10, 1)).unwrap();
    log.flush().unwrap();
    log.insert_many(&leaves(10, 2)).unwrap();
    disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
    log.flush().unwrap_err();
    for index in 0..10 {
        assert_eq!(tail.next().unwrap().unwrap().index.get(), index);
    }
    assert!(matches!(tail.next(), Some(Err(Error::Poisoned { .. }))));
    assert!(tail.next().is_none() && tail.is_ended());
    assert!(tail.try_next().unwrap().is_none());
    assert!(matches!(log.tail(10).unwrap().try_next(), Err(Error::Poisoned { .. })));
}

#[test]
fn a_seal_ends_a_tail_behind_the_last_leaf_and_a_drop_is_an_error() {
    let store = Store::open(config(&SimDisk::new())).unwrap();
    let tree = |name: &str| store.tree_dyn(name, TreeConfig::of::<Blake3, 4>()).unwrap();
    let (sealed, dropped) = (tree("sealed"), tree("dropped"));
    let mut of_sealed = sealed.tail(0).unwrap();
    let mut of_dropped = dropped.tail(0).unwrap();
    std::thread::scope(|threads| {
        let of_sealed = threads.spawn(move || of_sealed.by_ref().map(Result::unwrap).count());
        let of_dropped = threads.spawn(move || {
            let found: Vec<_> = of_dropped.by_ref().collect();
            assert!(of_dropped.next().is_none());
            found
        });
        sealed.insert_many(&leaves(10, 1)).unwrap();
        dropped.insert_many(&leaves(5, 1)).unwrap();
        store.flush().unwrap();
        sealed.insert_many(&leaves(10, 2)).unwrap();
        let seal = store.seal("sealed").unwrap();
        let drop = store.drop_tree("dropped").unwrap();
        store.flush().unwrap();
        seal.wait().unwrap();
        drop.wait().unwrap();
        assert_eq!(of_sealed.join().unwrap(), 20);
        let (last, before) = {
            let mut found = of_dropped.join().unwrap();
            (found.pop().unwrap(), found)
        };
        assert!(matches!(last, Err(Error::TreeDropped { .. })), "{last:?}");
        assert!(before.len() <= 5 && before.iter().all(Result::is_ok));
    });
    // There is nothing to wait for any more.
    assert_eq!(sealed.tail(0).unwrap().count(), 20);
    assert!(sealed.tail(21).unwrap().next().is_none());
    // Leaves before the seal that are not durable are still to come.
    let late = tree("late");
    late.insert([1; 32]).unwrap();
    drop(store.seal("late").unwrap());
    let mut tail = late.tail(0).unwrap();
    assert!(tail.try_next().unwrap().is_none() && !tail.is_ended());
    store.flush().unwrap();
    assert_eq!(tail.count(), 1);
}

/// What an iterator returned.
type Item = Option<Result<Appended, Error>>;

#[test]
fn a_listener_on_the_flusher_is_refused_to_wait_and_the_tail_goes_on() {
    let told: Arc<Mutex<Vec<Item>>> = Arc::default();
    let mine: Arc<OnceLock<Mutex<Tail>>> = Arc::default();
    let (noted, own) = (Arc::clone(&told), Arc::clone(&mine));
    let listener = move |event: &Event| {
        if let (Event::FlushBegun { .. }, Some(tail)) = (event, own.get()) {
            let mut tail = tail.lock().unwrap();
            assert!(tail.try_next().unwrap().is_none());
            noted.lock().unwrap().push(tail.next());
        }
    };
    let log = open(config(&SimDisk::new()).listener(listener));
    mine.set(Mutex::new(log.tail(0).unwrap())).unwrap();
    log.insert_durable([1; 32]).unwrap();
    let refused = told.lock().unwrap().pop().unwrap();
    assert!(
        matches!(
            refused,
            Some(Err(Error::WouldWaitForItself { call: "Tail::next", thread: "flusher" }))
        ),
        "{refused:?}"
    );
    let mut tail = mine.get().unwrap().lock().unwrap();
    assert!(!tail.is_ended());
    assert_eq!(tail.next().unwrap().unwrap().leaf, [1; 32]);
}

#[test]
fn a_leaf_that_cannot_be_read_ends_the_tail_and_its_index_is_kept() {
    let disk = SimDisk::new();
    let log = open(config(&disk));
    log.insert_many(&leaves(10_000, 1)).unwrap();
    log.checkpoint().unwrap();
    log.close().unwrap();
    // Nothing of the part is in memory.
    let log = open(config(&disk).read_mode(ReadMode::Pread));
    let mut tail = log.tail(0).unwrap();
    assert_eq!(tail.by_ref().take(5_000).filter(Result::is_ok).count(), 5_000);
    let part = disk.files().into_iter().find(|name| name.kind == FileKind::Part).unwrap();
    disk.fail_reads(part, 0..u64::MAX, FaultError::EIO);
    let failed = tail.by_ref().take(5_000).find(Result::is_err).unwrap();
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(tail.next().is_none());
    let next = tail.next_index().get();
    assert!((5_000..10_000).contains(&next), "{next}");
    disk.clear_faults();
    assert_eq!(log.tail(next).unwrap().next().unwrap().unwrap().index.get(), next);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_future_is_woken_once_for_each_flush_and_dropping_it_loses_no_leaf() {
    let log = open(config(&SimDisk::new()));
    let mut stream = log.tail(0).unwrap().into_stream();
    let (old, count) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let (first, waker) = (Waker::from(Arc::clone(&old)), Waker::from(Arc::clone(&count)));
    assert!(stream.poll_next(&mut Context::from_waker(&first)).is_pending());
    let mut next = 0;
    for round in 1..=5 {
        {
            // A future that is dropped while it waits.
            let waiting = std::pin::pin!(stream.next());
            assert!(waiting.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        log.insert_many(&leaves(10, round)).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed) as u64, round - 1);
        log.flush().unwrap();
        // The flusher calls wakers after it has woken the threads that wait.
        log.wait_idle();
        assert_eq!(count.0.load(Ordering::Relaxed) as u64, round, "one flush, one wake-up");
        while let Poll::Ready(item) = stream.poll_next(&mut Context::from_waker(&waker)) {
            assert_eq!(item.unwrap().unwrap().index.get(), next);
            next += 1;
        }
        assert_eq!((next, stream.next_index().get()), (10 * round, 10 * round));
    }
    assert_eq!(old.0.load(Ordering::Relaxed), 0, "only the last waker is called");
    drop(stream);
    log.insert_durable([1; 32]).unwrap();
    log.wait_idle();
    assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (5, 2));
}

#[test]
fn a_stream_has_the_leaves_and_the_end_of_a_tail() {
    let disk = SimDisk::new();
    let log =
        open(config(&disk).flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap()));
    let mut stream = log.tail(3).unwrap().into_stream();
    std::thread::scope(|threads| {
        let all = threads.spawn(move || {
            block_on(async move {
                let mut found = Vec::new();
                while let Some(item) = stream.next().await {
                    found.push(item.unwrap().leaf);
                }
                assert!(stream.is_ended());
                found
            })
        });
        for leaf in leaves(200, 3) {
            log.insert(leaf).unwrap();
        }
        log.close().unwrap();
        assert_eq!(all.join().unwrap(), leaves(200, 3)[3..]);
    });
}

#[test]
#[cfg(feature = "stream")]
fn a_stream_is_one_for_the_combinators_of_others() {
    fn first<S: futures_core::Stream<Item = duramen::Result<Appended>> + Unpin + Send + 'static>(
        mut stream: S,
    ) -> Option<S::Item> {
        block_on(std::future::poll_fn(|context| std::pin::Pin::new(&mut stream).poll_next(context)))
    }
    let log = open(config(&SimDisk::new()));
    log.insert_durable([4; 32]).unwrap();
    assert_eq!(first(log.tail(0).unwrap().into_stream()).unwrap().unwrap().leaf, [4; 32]);
}
