//! A forked child has its parent's readers, and maybe the middle of one of their calls: it is refused at once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

use duramen::fs::Place;
use duramen::testing::sim::SimDisk;
use duramen::{
    Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Reader, Snapshot,
    StoreReader, Tail, TailStream,
};
use testkit::children::{End, fork, take};
use testkit::hooked::Hooked;
use testkit::stores::leaves;

use crate::fork::refused;

type Store = Accumulator<Blake3, 4>;

fn manual(config: Config) -> Config {
    config.flush_policy(FlushPolicy::Manual).checkpoint_policy(CheckpointPolicy::manual())
}

/// What a parent has of a store that it reads.
struct Readers {
    reader: Reader,
    store: StoreReader,
    snapshot: Snapshot,
    tail: Tail,
    waiting: TailStream,
}

impl Readers {
    fn open(config: impl Fn() -> Config) -> Self {
        let reader = Store::open_read_only(config()).unwrap();
        let mut waiting = reader.tail(u64::MAX).unwrap().into_stream();
        assert!(waiting.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        Self {
            snapshot: reader.snapshot(),
            tail: reader.tail(0).unwrap(),
            store: StoreReader::open(config()).unwrap(),
            reader,
            waiting,
        }
    }

    /// What a child does with them: everything there is to do.
    fn try_everything(self, parent: u32) -> Result<(), String> {
        let Self { reader, store, snapshot, mut tail, mut waiting } = self;
        refused("refresh", parent, reader.refresh())?;
        refused("head", parent, reader.head())?;
        refused("durable_head", parent, reader.durable_head())?;
        refused("head_at", parent, reader.head_at(1))?;
        refused("prove", parent, reader.prove(0))?;
        refused("prove_consistency", parent, reader.prove_consistency(1))?;
        refused("leaf", parent, reader.leaf(0))?;
        refused("leaves", parent, reader.leaves(0..1))?;
        refused("leaves_iter", parent, reader.leaves_iter(0..1))?;
        refused("find", parent, reader.find(&[1; 32]))?;
        refused("prove_leaf", parent, reader.prove_leaf(&[1; 32]))?;
        refused("snapshot_to", parent, reader.snapshot_to("/nowhere"))?;
        refused("tail", parent, reader.tail(0))?;
        refused("an old snapshot", parent, snapshot.head())?;
        refused("a new snapshot", parent, reader.snapshot().head())?;
        refused("the store's refresh", parent, store.refresh())?;
        refused("the store's trees", parent, store.trees())?;
        refused("the store's tree", parent, store.tree("main"))?;
        refused("the store's head", parent, store.head())?;
        refused("the store's durable head", parent, store.durable_head())?;
        refused("the store's durable_seq", parent, store.durable_seq())?;
        refused("the store's snapshot_to", parent, store.snapshot_to("/nowhere"))?;
        match tail.next() {
            Some(answer) => refused("next", parent, answer)?,
            None => return Err("next: the end".to_owned()),
        }
        match waiting.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(answer)) => refused("a tail that waits", parent, answer)?,
            other => return Err(format!("a tail that waits: {other:?}")),
        }
        // What the parent had read.
        if reader.size() < snapshot.size() || reader.durable_size() < snapshot.durable_size() {
            return Err("a smaller size".to_owned());
        }
        let _ = format!("{reader:?} {store:?} {snapshot:?} {tail:?} {}", store.store_id());
        Ok(())
    }
}

/// Holds every read of the disk while it is closed.
#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        let mut is_closed = self.is_closed.lock().unwrap();
        while *is_closed {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            is_closed = self.opened.wait(is_closed).unwrap();
        }
    }

    fn set(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap() = is_closed;
        self.opened.notify_all();
    }
}

#[test]
fn a_child_that_is_forked_in_the_middle_of_a_refresh_is_refused_at_once() {
    let parent = std::process::id();
    let disk = SimDisk::new();
    let gate = Arc::new(Gate::default());
    let on = |place: Arc<dyn Place>| manual(Config::new("simulated").file_system(place));
    let writer = Store::open(on(Arc::new(disk.clone()))).unwrap();
    writer.insert_many(&leaves(100, 1)).unwrap();
    writer.flush().unwrap();
    let held = Arc::clone(&gate);
    let place = Arc::new(Hooked::new(&disk).on_read(move |_, _, _| held.pass()));
    let readers = Readers::open(|| on(Arc::clone(&place) as Arc<dyn Place>));
    writer.insert_many(&leaves(100, 2)).unwrap();
    writer.flush().unwrap();
    gate.set(true);
    std::thread::scope(|threads| {
        let refreshes = [
            threads.spawn(|| readers.reader.refresh().map(drop)),
            threads.spawn(|| readers.store.refresh()),
        ];
        while gate.waiting.load(Ordering::Relaxed) < refreshes.len() {
            std::thread::yield_now();
        }
        let end = fork(|| take(&readers).try_everything(parent)).end();
        gate.set(false);
        for refresh in refreshes {
            refresh.join().unwrap().unwrap();
        }
        assert_eq!(end, End::Well);
    });
    assert_eq!(readers.reader.size().get(), 200);
    assert_eq!(readers.store.tree("main").unwrap().size().get(), 200);
}

/// Children that are forked while other threads of the parent refresh, follow and insert.
const CHILDREN: usize = 100;

#[test]
fn children_of_a_busy_reader_are_refused_at_once_and_the_parent_goes_on() {
    let parent = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let config = |path: &Path| manual(Config::new(path));
    let writer = Store::open(config(dir.path())).unwrap();
    writer.insert_durable([0; 32]).unwrap();
    let readers = Readers::open(|| config(dir.path()));
    let done = AtomicBool::new(false);
    let busy = |work: &mut dyn FnMut() -> Result<(), Error>| {
        let mut worked = Ok(());
        while worked.is_ok() && !done.load(Ordering::Relaxed) {
            worked = work();
        }
        worked
    };
    let (ends, worked) = std::thread::scope(|threads| {
        let workers = [
            threads.spawn(|| busy(&mut || readers.reader.refresh().map(drop))),
            threads.spawn(|| busy(&mut || readers.store.refresh())),
            threads.spawn(|| {
                let mut tail = readers.reader.tail(0)?;
                busy(&mut || tail.try_next().map(drop))
            }),
            threads.spawn(|| busy(&mut || writer.insert_durable([1; 32]).map(drop))),
        ];
        let fork = |_| fork(|| take(&readers).try_everything(parent)).end();
        let ends: Vec<_> = (0..CHILDREN).map(fork).collect();
        done.store(true, Ordering::Relaxed);
        (ends, workers.map(|worker| worker.join().unwrap()))
    });
    assert_eq!(ends.iter().find(|end| **end != End::Well), None);
    worked.into_iter().for_each(Result::unwrap);
    assert_eq!(readers.reader.refresh().unwrap(), writer.size());
}
