//! Which events listeners receive, and when.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use duramen::TreeFlush;
use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CheckpointReason, CompactionPolicy, Config, DynAccumulator,
    Error, Event, FlushPolicy, Store,
};

fn quiet(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
}

fn open(config: Config) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four)
}

/// Keeps all events.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn listener(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let log = self.clone();
        move |event: &Event| log.0.lock().unwrap().push(event.clone())
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Event names with what is not a time.
    fn lines(&self) -> Vec<String> {
        self.take().iter().map(line).collect()
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::RecoveryBegun { .. } => "recovery".into(),
        Event::RecoveryCompleted { report, .. } => {
            format!("recovered {} + {}", report.checkpointed, report.replayed_leaves)
        }
        Event::RecoveryFailed { .. } => "recovery failed".into(),
        Event::FlushBegun { leaves, .. } => format!("flush {leaves}"),
        Event::FlushCompleted { leaves, bytes, .. } => format!("flushed {leaves} in {bytes}"),
        Event::FlushFailed { leaves, .. } => format!("flush of {leaves} failed"),
        Event::CheckpointBegun { reason, .. } => format!("checkpoint, {reason}"),
        Event::CheckpointCompleted { info, .. } => {
            format!("checkpoint of {} of {}, {}", info.leaves, info.seq, info.reason)
        }
        Event::CheckpointFailed { reason, retry_in, .. } => {
            format!("checkpoint failed, {reason}, again {}", retry_in.is_some())
        }
        Event::CompactionBegun { parts, leaves, .. } => format!("merge {parts} of {leaves}"),
        Event::CompactionCompleted { parts, leaves, .. } => format!("merged {parts} of {leaves}"),
        Event::CompactionFailed { parts, retry_in, .. } => {
            format!("merge of {parts} failed, again {}", retry_in.is_some())
        }
        Event::CompactionAbandoned { parts, .. } => format!("merge of {parts} abandoned"),
        Event::BackpressureBegun { limit, held, allowed, .. } => {
            format!("{held} of {allowed} {limit}")
        }
        Event::BackpressureEnded { limit, admitted, .. } => {
            format!("{limit}: admitted {admitted}")
        }
        Event::Poisoned { .. } => "poisoned".into(),
        other => panic!("a new event: {other:?}"),
    }
}

#[test]
fn a_store_tells_what_it_does_in_order_with_sizes_and_reasons() {
    let disk = SimDisk::new();
    let log = Log::default();
    let config = || {
        quiet(&disk)
            .checkpoint_policy(CheckpointPolicy::manual().on_close(true))
            .listener(log.listener())
    };
    let store = open(config()).unwrap();
    assert_eq!(log.lines(), ["recovery", "recovered 0 + 0"]);
    store.insert([1; 32]).unwrap();
    store.insert([2; 32]).unwrap();
    assert_eq!(log.lines(), [""; 0]);
    store.flush().unwrap();
    store.wait_idle();
    assert_eq!(log.lines(), ["flush 2", "flushed 2 in 4096"]);
    store.flush().unwrap();
    store.wait_idle();
    assert_eq!(log.lines(), [""; 0], "nothing was new");
    store.checkpoint().unwrap();
    assert_eq!(log.lines(), ["checkpoint, manual", "checkpoint of 2 of 2, manual"]);
    store.checkpoint().unwrap();
    assert_eq!(log.lines(), ["checkpoint, manual", "checkpoint of 0 of 2, manual"]);
    for leaf in 3..5 {
        store.insert_durable([leaf; 32]).unwrap();
        store.wait_idle();
        store.checkpoint().unwrap();
        store.wait_idle();
    }
    // One part of two leaves and two of one: the next one has those of one merged.
    store.insert_durable([5; 32]).unwrap();
    store.wait_idle();
    log.take();
    store.checkpoint().unwrap();
    store.wait_idle();
    let merges: Vec<_> = log.lines().split_off(2);
    assert_eq!(merges, ["merge 3 of 3", "merged 3 of 3"]);
    store.insert([6; 32]).unwrap();
    store.close().unwrap();
    let lines =
        ["flush 1", "flushed 1 in 4096", "checkpoint, close", "checkpoint of 1 of 6, close"];
    assert_eq!(log.lines(), lines);
    open(config()).unwrap().close().unwrap();
    assert_eq!(log.lines(), ["recovery", "recovered 6 + 0"]);
    let other = DynAccumulator::open(config(), Arc::new(Blake3), Arity::Two);
    assert!(other.is_err());
    assert_eq!(log.lines(), ["recovery", "recovery failed"]);
}

#[test]
fn what_fails_is_told_with_its_cause_and_what_comes_of_it() {
    let disk = SimDisk::new();
    let log = Log::default();
    let policy = CheckpointPolicy::manual().every_leaves(1).unwrap();
    let hour = Duration::from_secs(3600);
    let config = quiet(&disk).checkpoint_policy(policy).retry_wait(hour, hour).unwrap();
    let store = open(config.listener(log.listener())).unwrap();
    let part = When::nth(OperationKind::Create, 1).on(FileKind::Part);
    disk.inject(Fault::new(part, FaultError::ENOSPC));
    log.take();
    store.insert_durable([1; 32]).unwrap();
    store.wait_idle();
    let lines = log.lines();
    let failed = ["checkpoint, leaves", "checkpoint failed, leaves, again true"];
    assert_eq!(lines[2..], failed, "{lines:?}");
    disk.inject(Fault::new(part, FaultError::EIO));
    assert!(store.checkpoint().is_err());
    assert_eq!(log.lines(), ["checkpoint, manual", "checkpoint failed, manual, again false"]);
    disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
    assert!(store.insert_durable([2; 32]).is_err());
    while log.0.lock().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!(log.lines(), ["flush 1", "poisoned", "flush of 1 failed"]);
    assert!(store.close().is_err());
    assert_eq!(log.lines(), [""; 0], "told once");
}

#[test]
fn every_flush_names_its_trees_also_one_that_fails() {
    let disk = SimDisk::new();
    let log = Log::default();
    let store = Store::open(quiet(&disk).listener(log.listener())).unwrap();
    let [a, b] = ["a", "b"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    store.tree::<Blake3, 4>("unused").unwrap();
    let trees_of = |event: &Event| {
        let (Event::FlushBegun { trees, .. }
        | Event::FlushCompleted { trees, .. }
        | Event::FlushFailed { trees, .. }) = event
        else {
            return None;
        };
        let tree = |flush: &TreeFlush| (flush.tree.as_str().to_owned(), flush.size.get());
        Some(trees.iter().map(tree).collect::<Vec<_>>())
    };
    let flushes = || log.take().iter().filter_map(trees_of).collect::<Vec<_>>();
    let both = |a: u64, b: u64| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    a.insert([1; 32]).unwrap();
    b.insert_many(&[[2; 32]; 3]).unwrap();
    store.flush().unwrap();
    a.wait_idle();
    assert_eq!(flushes(), [both(1, 3), both(1, 3)]);
    b.insert([3; 32]).unwrap();
    a.insert([4; 32]).unwrap();
    disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
    assert!(store.flush().is_err());
    while log.0.lock().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!(flushes(), [both(2, 4), both(2, 4)]);
}

#[test]
fn every_checkpoint_names_its_trees_also_one_that_fails() {
    let disk = SimDisk::new();
    let log = Log::default();
    let store = Store::open(quiet(&disk).listener(log.listener())).unwrap();
    let [a, b] = ["a", "b"].map(|name| store.tree::<Blake3, 4>(name).unwrap());
    store.tree::<Blake3, 4>("c").unwrap();
    let trees_of = |event: &Event| {
        let names = match event {
            Event::CheckpointBegun { trees, .. } | Event::CheckpointFailed { trees, .. } => {
                trees.clone()
            }
            Event::CheckpointCompleted { info, .. } => {
                info.trees.iter().map(|tree| tree.tree.clone()).collect()
            }
            _ => return None,
        };
        Some(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let checkpoints = || log.take().iter().filter_map(trees_of).collect::<Vec<_>>();
    // The creations are not durable before the checkpoint flushes, and there is no leaf.
    store.checkpoint().unwrap();
    assert_eq!(checkpoints(), ["", ""]);
    // The one is durable, the other is not.
    b.insert([1; 32]).unwrap();
    store.flush().unwrap();
    a.insert([2; 32]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(checkpoints(), ["a b", "a b"]);
    store.checkpoint().unwrap();
    assert_eq!(checkpoints(), ["", ""]);
    a.insert([3; 32]).unwrap();
    let rename = When::nth(OperationKind::Rename, 1).on(FileKind::Manifest);
    disk.inject(Fault::new(rename, FaultError::EIO));
    assert!(store.checkpoint().is_err());
    assert_eq!(checkpoints(), ["a", "a"]);
    // A drop that is durable is of a checkpoint too.
    drop(store.drop_tree("c").unwrap());
    store.flush().unwrap();
    disk.inject(Fault::new(rename, FaultError::EIO));
    assert!(store.checkpoint().is_err());
    assert_eq!(checkpoints(), ["a c", "a c"]);
    store.checkpoint().unwrap();
    assert_eq!(checkpoints(), ["a c", "a"]);
}

#[test]
fn whatever_is_told_as_completed_survives_a_power_cut_at_that_moment() {
    let disk = SimDisk::new();
    let seen = Log::default();
    let (of_disk, told) = (disk.clone(), seen.clone());
    let durable = Mutex::new((0_u64, 0_u64));
    let check = move |event: &Event| {
        let mut durable = durable.lock().unwrap();
        match event {
            Event::FlushCompleted { leaves, trees, durable: seq, .. } => {
                let [TreeFlush { size, .. }] = &trees[..] else { panic!("{trees:?}") };
                durable.0 += leaves;
                assert_eq!((size.get(), seq.0), (durable.0, durable.0));
            }
            Event::CheckpointCompleted { info, .. } => durable.1 = info.seq.0,
            Event::CompactionCompleted { .. } => {}
            _ => return,
        }
        told.0.lock().unwrap().push(event.clone());
        let left = of_disk.crash(CrashChoice::NothingKept);
        let parts = left.files().into_iter().filter(|file| file.kind == FileKind::Part).count();
        let store = open(quiet(&left).compaction_policy(CompactionPolicy::Off)).unwrap();
        assert!(store.size().get() >= durable.0, "{event:?}");
        assert!(store.recovery().checkpointed >= durable.1, "{event:?}");
        if let Event::CompactionCompleted { .. } = event {
            // The inputs may have come back with the power: their removal was not made durable.
            assert!(store.stats().parts < parts as u64 || parts == 1, "{event:?}");
        }
    };
    let store = open(quiet(&disk).listener(check)).unwrap();
    for leaf in 0..20 {
        store.insert_durable([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
        store.wait_idle();
    }
    store.close().unwrap();
    let kinds = seen.lines().join("; ");
    for kind in ["flushed", "checkpoint of 1 of 20", "merged 3"] {
        assert!(kinds.contains(kind), "{kinds}");
    }
}

#[test]
fn a_listener_that_panics_changes_nothing_and_the_next_one_is_told() {
    let disk = SimDisk::new();
    let log = Log::default();
    let config = quiet(&disk).listener(|_: &Event| panic!("on purpose")).listener(log.listener());
    let store = open(config).unwrap();
    for leaf in 0..9 {
        store.insert_durable([leaf; 32]).unwrap();
        store.checkpoint().unwrap();
        store.wait_idle();
    }
    assert!(store.stats().compactions > 0);
    disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
    assert!(matches!(store.insert_durable([9; 32]), Err(Error::Poisoned { .. })));
    assert!(store.close().is_err());
    assert!(log.lines().contains(&"poisoned".to_owned()));
    assert_eq!(open(quiet(&disk.crash(CrashChoice::NothingKept))).unwrap().size().get(), 9);
}

#[test]
fn a_listener_may_call_the_store_that_tells_it() {
    let disk = SimDisk::new();
    let handle: Arc<OnceLock<Weak<DynAccumulator>>> = Arc::default();
    let (mine, count) = (Arc::clone(&handle), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&count);
    let config = quiet(&disk).listener(move |event: &Event| {
        let Some(store) = mine.get().and_then(Weak::upgrade) else { return };
        let head = store.head().unwrap();
        let stats = store.stats();
        assert!(stats.leaves >= head.size.get());
        *counted.lock().unwrap() += 1;
        if let Event::CheckpointCompleted { info, .. } = event
            && info.reason == CheckpointReason::Manual
            && store.size().get() < 3
        {
            store.insert([7; 32]).unwrap();
            store.checkpoint().unwrap();
        }
    });
    let store = Arc::new(open(config).unwrap());
    handle.set(Arc::downgrade(&store)).unwrap();
    store.insert_durable([1; 32]).unwrap();
    store.checkpoint().unwrap();
    store.wait_idle();
    assert_eq!(store.size().get(), 3);
    assert!(*count.lock().unwrap() >= 8);
}
