//! Following a tree beside its writer, through a reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use duramen::testing::sim::{CrashChoice, SimDisk, SimPath};
use duramen::{
    Appended, Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator,
    EntryConfig, Error, FlushPolicy, Reader, Store, Tail, TailStream, TreeConfig,
};
use testkit::hooked::Hooked;
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

fn reader(config: Config) -> Reader {
    Reader::open(config, Arc::new(Blake3), Arity::Four).unwrap()
}

/// The indexes of all that comes without waiting.
fn now(tail: &mut Tail) -> Vec<u64> {
    std::iter::from_fn(|| tail.try_next().unwrap()).map(|item| item.index.get()).collect()
}

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn indexes(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

/// A configuration whose disk counts the reads, and the count.
fn counting(disk: &SimDisk) -> (Config, Arc<AtomicU64>) {
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let hooked = Hooked::new(disk).on_read(move |_, _, _| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (config(disk).file_system(Arc::new(hooked)), reads)
}

#[test]
fn an_idle_follower_reads_nothing_and_one_with_news_reads_once() {
    let disk = SimDisk::new();
    let store = open(config(&disk));
    store.insert_durable([1; 32]).unwrap();
    store.insert_durable([2; 32]).unwrap();
    let (config, reads) = counting(&disk);
    let reader = reader(config);
    let mut tail = reader.tail(0).unwrap();
    assert_eq!(now(&mut tail), [0]);
    for _ in 0..3 {
        let before = reads.load(Ordering::Relaxed);
        for _ in 0..100 {
            assert!(tail.try_next().unwrap().is_none());
        }
        assert!(tail.next_timeout(Duration::from_millis(5)).unwrap().is_none());
        assert_eq!(reads.load(Ordering::Relaxed), before, "the disk was read without a change");
        store.insert_durable([3; 32]).unwrap();
        assert_eq!(now(&mut tail).len(), 1);
        assert!(reads.load(Ordering::Relaxed) > before);
    }
    // Inserts that are not written are no change, and neither is the work of others on parts.
    let before = reads.load(Ordering::Relaxed);
    store.insert_many(&leaves(1000, 1)).unwrap();
    assert!(tail.try_next().unwrap().is_none());
    assert_eq!(reads.load(Ordering::Relaxed), before);
}

#[test]
fn the_last_group_is_known_with_the_next_one_a_checkpoint_or_the_close() {
    let disk = SimDisk::new();
    let store = open(config(&disk));
    let reader = reader(config(&disk));
    let mut tail = reader.tail(0).unwrap();
    let insert = |count| {
        store.insert_many(&leaves(count, 1)).unwrap();
        store.flush().unwrap();
    };
    insert(10);
    assert_eq!(now(&mut tail), []);
    insert(10);
    assert_eq!(now(&mut tail), indexes(0..10));
    store.checkpoint().unwrap();
    assert_eq!(now(&mut tail), indexes(10..20));
    insert(5);
    assert_eq!(now(&mut tail), []);
    store.close().unwrap();
    assert_eq!(now(&mut tail), indexes(20..25));
    // The next run of the writer goes on, and so does the tail.
    let store = open(config(&disk));
    store.insert_durable([1; 32]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(now(&mut tail), [25]);
    assert!(!tail.is_ended());
}

#[test]
fn a_writer_that_pauses_claims_its_last_group_once_and_without_a_sync() {
    let disk = SimDisk::new();
    let claiming = || config(&disk).claim_idle(Duration::from_millis(1)).unwrap();
    let store = open(claiming());
    let reader = reader(config(&disk));
    let mut tail = reader.tail(0).unwrap();
    for round in 0..3 {
        store.insert_many(&leaves(10, round)).unwrap();
        store.flush().unwrap();
        let syncs = store.stats().syncs;
        for index in 0..10 {
            assert_eq!(tail.next().unwrap().unwrap().index.get(), 10 * round + index);
        }
        assert_eq!(store.stats().syncs, syncs);
        let operations = disk.operations();
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(disk.operations(), operations, "a pause is claimed once");
    }
    // A power cut may take the claim and nothing else, whatever of it was written.
    for seed in 0..50 {
        let left = disk.crash(CrashChoice::Seeded(seed));
        let found = open(config(&left));
        assert_eq!(found.size().get(), 30);
        found.insert_durable([9; 32]).unwrap();
        found.close().unwrap();
        assert_eq!(open(config(&left)).size().get(), 31);
    }
    // After a close there is nothing to recover, and a checkpoint behind a claim loses nothing.
    store.close().unwrap();
    for choice in [CrashChoice::NothingKept, CrashChoice::AllKept] {
        let left = disk.crash(choice);
        let found = open(config(&left));
        assert_eq!(found.size().get(), 30);
        assert!(found.recovery().clean, "{:?}", found.recovery());
    }
    let store = open(claiming());
    store.insert_durable([1; 32]).unwrap();
    assert_eq!(tail.next().unwrap().unwrap().index.get(), 30);
    store.checkpoint().unwrap();
    store.insert_durable([2; 32]).unwrap();
    assert_eq!(tail.next().unwrap().unwrap().index.get(), 31);
    let head = store.head().unwrap();
    let left = disk.crash(CrashChoice::NothingKept);
    assert_eq!(open(config(&left)).head().unwrap(), head);
}

#[test]
fn every_leaf_comes_once_and_in_order_beside_a_writer_that_checkpoints_and_merges() {
    const ALL: u64 = 6_000;
    for (kept, watched) in [(false, true), (true, true), (true, false)] {
        let disk = SimDisk::new();
        let config = config(&disk)
            .flush_policy(FlushPolicy::interval(Duration::from_micros(200)).unwrap())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(500).unwrap())
            .compaction_policy(CompactionPolicy::tiered(2).unwrap())
            .wal_segment_bytes(256 << 10)
            .unwrap();
        let store = Store::open(config.clone()).unwrap();
        let mut tree = TreeConfig::of::<Blake3, 4>();
        if kept {
            tree = tree.entries(EntryConfig::new());
        }
        let log = store.tree_dyn("log", tree.clone()).unwrap();
        store.flush().unwrap();
        let hooked = Hooked::new(&disk);
        let hooked = if watched { hooked } else { hooked.unwatched() };
        let reader = Reader::open_tree(config.file_system(Arc::new(hooked)), "log", tree).unwrap();
        let tails = [0, 2_500].map(|from| (from, reader.tail(from).unwrap()));
        let entry = |index: u64| format!("{index}").repeat(number(index % 50));
        std::thread::scope(|threads| {
            let followers = tails.map(|(from, tail)| {
                let rest = usize::try_from(ALL - from).unwrap();
                threads.spawn(move || tail.take(rest).map(Result::unwrap).collect::<Vec<_>>())
            });
            let (mut at, mut rounds) = (0, 0);
            while at < ALL {
                rounds += 1;
                let end = ALL.min(at + 1 + at % 37);
                match kept {
                    true => {
                        let entries: Vec<_> = (at..end).map(entry).collect();
                        log.insert_entries(&entries).unwrap();
                    }
                    false => drop(log.insert_many(&leaves(number(end - at), at)).unwrap()),
                }
                at = end;
                if rounds % 16 == 0 {
                    store.checkpoint().unwrap();
                }
            }
            store.checkpoint().unwrap();
            store.wait_idle();
            assert!(store.stats().checkpoints > 5 && store.stats().compactions > 0);
            for (follower, from) in followers.into_iter().zip([0, 2_500]) {
                let found = follower.join().unwrap();
                let all = log.leaves(from..ALL).unwrap();
                for ((item, index), leaf) in found.into_iter().zip(from..).zip(all) {
                    assert_eq!((item.index.get(), item.leaf), (index, leaf));
                    assert_eq!(
                        item.entry.as_deref(),
                        kept.then(|| entry(index)).as_ref().map(String::as_bytes)
                    );
                }
            }
        });
    }
}

#[test]
fn another_store_at_the_path_ends_a_tail_with_an_error() {
    let disk = SimDisk::new();
    let path = SimPath::new(&disk);
    let at_path = || config(&disk).file_system(Arc::new(path.clone()));
    let store = open(at_path());
    let reader = reader(at_path());
    let mut tail = reader.tail(0).unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.insert_durable([2; 32]).unwrap();
    assert_eq!(now(&mut tail), [0]);
    // Another store stands there now.
    let other = SimDisk::new();
    open(config(&other)).close().unwrap();
    path.lead_to(Some(&other));
    let failed = tail.next().unwrap();
    assert!(matches!(failed, Err(Error::OtherStore { .. } | Error::Displaced(_))), "{failed:?}");
    assert!(tail.next().is_none());
    assert_eq!(tail.next_index().get(), 1);
    path.lead_to(None);
    let mut late = reader.tail(1).unwrap();
    assert!(matches!(late.next(), Some(Err(Error::Displaced(_)))));
}

#[test]
fn a_seal_ends_a_tail_once_it_is_known_to_be_durable_and_a_drop_is_an_error() {
    let disk = SimDisk::new();
    let store = Store::open(config(&disk)).unwrap();
    let tree = TreeConfig::of::<Blake3, 4>;
    let follow = |name: &str| {
        let reader = Reader::open_tree(config(&disk), name, tree()).unwrap();
        reader.tail(0).unwrap()
    };
    for name in ["sealed", "dropped", "again"] {
        store.tree_dyn(name, tree()).unwrap().insert([1; 32]).unwrap();
    }
    store.flush().unwrap();
    let mut tails = ["sealed", "dropped", "again"].map(follow);
    let seal = store.seal("sealed").unwrap();
    store.flush().unwrap();
    assert!(seal.is_durable());
    for tail in &mut tails {
        assert_eq!(now(tail), [0]);
        assert!(!tail.is_ended());
    }
    drop(store.drop_tree("dropped").unwrap());
    drop(store.drop_tree("again").unwrap());
    store.tree_dyn("again", tree()).unwrap().insert([2; 32]).unwrap();
    store.flush().unwrap();
    let [sealed, dropped, again] = &mut tails;
    assert!(sealed.next().is_none());
    for tail in [dropped, again] {
        let failed = tail.next().unwrap();
        assert!(matches!(failed, Err(Error::TreeDropped { .. })), "{failed:?}");
        assert!(tail.next().is_none());
    }
}

/// Counts how often it was woken, and lets a test wait for that.
#[derive(Default)]
struct Count {
    woken: AtomicUsize,
    waiting: std::sync::Mutex<Option<std::thread::Thread>>,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = self.waiting.lock().unwrap().take() {
            thread.unpark();
        }
    }
}

impl Count {
    fn wait_for(&self, count: usize) {
        loop {
            *self.waiting.lock().unwrap() = Some(std::thread::current());
            if self.woken.load(Ordering::SeqCst) >= count {
                return;
            }
            std::thread::park();
        }
    }
}

#[test]
fn a_future_sleeps_until_the_writer_writes_and_dropping_it_loses_no_leaf() {
    for watched in [true, false] {
        let disk = SimDisk::new();
        let store = open(config(&disk));
        let hooked = Hooked::new(&disk);
        let hooked = if watched { hooked } else { hooked.unwatched() };
        let reader = reader(config(&disk).file_system(Arc::new(hooked)));
        let mut stream = reader.tail(0).unwrap().into_stream();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let poll = |stream: &mut TailStream| {
            let waiting = std::pin::pin!(stream.next());
            waiting.poll(&mut Context::from_waker(&waker))
        };
        let next = |stream: &mut TailStream| loop {
            let before = count.woken.load(Ordering::SeqCst);
            match poll(stream) {
                Poll::Ready(item) => return item.unwrap().unwrap(),
                Poll::Pending => count.wait_for(before + 1),
            }
        };
        assert!(poll(&mut stream).is_pending());
        assert!(poll(&mut stream).is_pending());
        store.insert_durable([1; 32]).unwrap();
        store.insert_durable([2; 32]).unwrap();
        assert_eq!(next(&mut stream).leaf, [1; 32]);
        store.insert_durable([3; 32]).unwrap();
        assert_eq!(next(&mut stream).leaf, [2; 32]);
        while poll(&mut stream).is_ready() {}
        drop(stream);
        store.insert_durable([4; 32]).unwrap();
        drop(store);
    }
}

#[test]
fn a_stream_follows_a_store_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        Config::new(dir.path().join("log"))
            .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(300).unwrap())
    };
    let store = open(config());
    let reader = reader(config());
    let (blocking, mut stream) = (reader.tail(0).unwrap(), reader.tail(0).unwrap().into_stream());
    std::thread::scope(|threads| {
        let leaf = |item: duramen::Result<Appended>| item.unwrap().leaf;
        let blocking = threads.spawn(move || blocking.take(2000).map(leaf).collect::<Vec<_>>());
        let awaiting = threads.spawn(move || {
            block_on(async {
                let mut found = Vec::new();
                while found.len() < 2000 {
                    found.push(leaf(stream.next().await.unwrap()));
                }
                found
            })
        });
        for leaf in leaves(2000, 1) {
            store.insert(leaf).unwrap();
        }
        store.close().unwrap();
        assert_eq!(blocking.join().unwrap(), leaves(2000, 1));
        assert_eq!(awaiting.join().unwrap(), leaves(2000, 1));
    });
}

#[test]
fn a_store_that_is_moved_away_ends_a_tail_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("log"), dir.path().join("moved"));
    let store = open(Config::new(&here));
    let reader = reader(Config::new(&here));
    let mut tail = reader.tail(0).unwrap();
    assert!(tail.try_next().unwrap().is_none());
    std::thread::scope(|threads| {
        let waiting = threads.spawn(move || tail.next());
        std::fs::rename(&here, &there).unwrap();
        let failed = waiting.join().unwrap();
        assert!(matches!(failed, Some(Err(Error::Displaced(_)))), "{failed:?}");
    });
    drop(store);
}
