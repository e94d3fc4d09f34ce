//! Listeners that call the store from its own threads: what would wait for itself is refused, the rest is
//! done, and nothing hangs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread;
use std::time::Duration;

use duramen::testing::sim::SimDisk;
use duramen::{
    Arity, Blake3, CheckpointPolicy, CheckpointReason, CompactionPolicy, Config, DurabilityToken,
    DynAccumulator, Error, Event, FlushPolicy, Limit, scrub,
};

const FLUSHER: &str = "flusher";
const WORKER: &str = "worker";
/// As good as never.
const HOUR: Duration = Duration::from_secs(3600);

/// Does `work`, and fails where it hangs.
fn within_a_minute(work: impl FnOnce() + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = sender.send(());
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => worker.join().unwrap(),
    }
}

fn config(disk: &SimDisk) -> Config {
    Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::interval(HOUR).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
}

fn open(config: Config) -> Result<DynAccumulator, Error> {
    DynAccumulator::open(config, Arc::new(Blake3), Arity::Four)
}

/// A store whose listener may call it.
fn open_with(
    config: Config,
    listener: impl Fn(Arc<DynAccumulator>, &Event) + Send + Sync + 'static,
) -> Arc<DynAccumulator> {
    let handle: Arc<OnceLock<Weak<DynAccumulator>>> = Arc::default();
    let own = Arc::clone(&handle);
    let config = config.listener(move |event: &Event| {
        if let Some(store) = own.get().and_then(Weak::upgrade) {
            listener(store, event);
        }
    });
    let store = Arc::new(open(config).unwrap());
    handle.set(Arc::downgrade(&store)).unwrap();
    store
}

/// Which of the store's threads this is.
fn here() -> Option<&'static str> {
    match thread::current().name() {
        Some("duramen-flusher") => Some(FLUSHER),
        Some("duramen-worker") => Some(WORKER),
        _ => None,
    }
}

/// An automatic checkpoint was made, on a worker.
fn was_made(event: &Event) -> bool {
    matches!(event, Event::CheckpointCompleted { info, .. } if info.reason == CheckpointReason::Leaves)
}

/// The thread that a call would have waited for, `None` if it was done.
type Answers = BTreeMap<&'static str, Option<&'static str>>;

fn answer<T>(answers: &mut Answers, what: &'static str, answer: Result<T, Error>) {
    let refused = match answer {
        Ok(_) => None,
        Err(Error::WouldWaitForItself { call, thread }) => {
            assert!(what == call || what.contains(call), "{what}: {call}");
            Some(thread)
        }
        Err(error) => panic!("{what}: {error}"),
    };
    answers.insert(what, refused);
}

/// Calls everything that may have to wait.
fn call_all(
    store: &impl AsRef<DynAccumulator>,
    token: &DurabilityToken,
    copy: &SimDisk,
) -> Answers {
    let store = store.as_ref();
    let mut answers = Answers::new();
    answer(&mut answers, "DurabilityToken::wait", token.wait());
    answer(&mut answers, "DurabilityToken::wait_timeout", token.wait_timeout(HOUR));
    answer(&mut answers, "flush", store.flush());
    answer(&mut answers, "insert_durable", store.insert_durable([9; 32]));
    answer(&mut answers, "checkpoint", store.checkpoint());
    answer(&mut answers, "snapshot_to", store.snapshot_to_config(&config(copy)));
    let go_on = &mut |_| ControlFlow::Continue(());
    answer(&mut answers, "scrub", store.scrub(&scrub::Options::new(), go_on));
    answer(&mut answers, "a small insert", store.insert([8; 32]));
    answers
}

#[test]
fn on_the_flusher_all_that_waits_for_the_log_is_refused_and_does_nothing() {
    within_a_minute(|| {
        let (disk, copy) = (SimDisk::new(), SimDisk::new());
        let tokens: Arc<Mutex<Vec<DurabilityToken>>> = Arc::default();
        let told: Arc<Mutex<Vec<Answers>>> = Arc::default();
        let (mine, noted, to) = (Arc::clone(&tokens), Arc::clone(&told), copy.clone());
        let store = open_with(config(&disk), move |store, event| {
            if !matches!(event, Event::FlushBegun { .. }) {
                return;
            }
            assert_eq!(here(), Some(FLUSHER));
            let Some(token) = mine.lock().unwrap().pop() else { return };
            assert!(!token.wait_timeout(Duration::ZERO).unwrap());
            noted.lock().unwrap().push(call_all(&store, &token, &to));
        });
        tokens.lock().unwrap().push(store.insert([1; 32]).unwrap().token);
        store.flush().unwrap();
        let told = told.lock().unwrap().remove(0);
        for (call, refused) in &told {
            let small = *call == "a small insert";
            assert_eq!(*refused, (!small).then_some(FLUSHER), "{call}");
        }
        // The leaf before, and the small insert.
        assert_eq!(store.size().get(), 2);
        assert_eq!(copy.operations(), 0);
        assert_eq!(store.stats().checkpoints, 0);
        store.flush().unwrap();
        let Ok(store) = Arc::try_unwrap(store) else { panic!("a listener kept the store") };
        store.close().unwrap();
    });
}

#[test]
fn on_the_flusher_what_has_nothing_to_wait_for_is_done() {
    within_a_minute(|| {
        let told: Arc<Mutex<Vec<Result<(), String>>>> = Arc::default();
        let noted = Arc::clone(&told);
        let store = open_with(config(&SimDisk::new()), move |store, event| {
            if matches!(event, Event::FlushCompleted { .. }) {
                assert_eq!(here(), Some(FLUSHER));
                noted.lock().unwrap().push(store.flush().map_err(|error| error.to_string()));
            }
        });
        let token = store.insert([1; 32]).unwrap().token;
        store.flush().unwrap();
        token.wait().unwrap();
        store.wait_idle();
        assert_eq!(*told.lock().unwrap(), [Ok(())]);
    });
}

#[test]
fn on_the_flusher_an_insert_that_would_have_to_wait_for_room_is_refused() {
    within_a_minute(|| {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&told);
        let disk = SimDisk::new();
        let config = config(&disk).max_unflushed_bytes(64).unwrap();
        let store = open_with(config, move |store, event| match event {
            Event::FlushBegun { .. } => {
                assert_eq!(here(), Some(FLUSHER));
                let refused = store.insert_many(&[[3; 32]; 2]).unwrap_err().to_string();
                noted.lock().unwrap().push(refused);
            }
            Event::BackpressureEnded { admitted, .. } => {
                noted.lock().unwrap().push(format!("admitted: {admitted}"));
            }
            _ => {}
        });
        store.insert_many(&[[1; 32], [2; 32]]).unwrap();
        store.flush().unwrap();
        let refused = "insert was called on the store's flusher thread and would wait for itself";
        assert_eq!(*told.lock().unwrap(), ["admitted: false", refused]);
        assert_eq!(store.size().get(), 2);
    });
}

#[test]
fn on_a_worker_all_that_waits_for_the_flusher_is_done() {
    within_a_minute(|| {
        let (disk, copy) = (SimDisk::new(), SimDisk::new());
        let told: Arc<Mutex<Vec<Answers>>> = Arc::default();
        let (noted, to) = (Arc::clone(&told), copy.clone());
        let config = config(&disk)
            .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap());
        let store = open_with(config, move |store, event| {
            if !was_made(event) || !noted.lock().unwrap().is_empty() {
                return;
            }
            assert_eq!(here(), Some(WORKER));
            let token = store.insert([7; 32]).unwrap().token;
            let answers = call_all(&store, &token, &to);
            noted.lock().unwrap().push(answers);
        });
        store.insert_many(&[[1; 32]; 10]).unwrap();
        store.flush().unwrap();
        while told.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        for (call, refused) in &told.lock().unwrap()[0] {
            assert_eq!(*refused, None, "{call}");
        }
        store.wait_idle();
        assert_eq!(store.size().get(), 13);
        assert_eq!(open(config_of(&copy)).unwrap().size().get(), 12);
    });
}

fn config_of(disk: &SimDisk) -> Config {
    config(disk).create(false)
}

#[test]
fn on_a_worker_an_insert_waits_for_the_flusher_and_is_refused_where_a_worker_makes_room() {
    within_a_minute(|| {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&told);
        let disk = SimDisk::new();
        let config = config(&disk)
            .max_unflushed_bytes(320)
            .unwrap()
            // 15 leaves and the nodes above them.
            .max_uncheckpointed_bytes(640)
            .unwrap()
            .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap());
        let store = open_with(config, move |store, event| {
            let what = match event {
                Event::CheckpointBegun { .. } => "full",
                _ if was_made(event) => "made",
                Event::BackpressureEnded { limit, admitted, .. } => {
                    noted.lock().unwrap().push(format!("{limit}: {admitted}"));
                    return;
                }
                _ => return,
            };
            if here() != Some(WORKER) || noted.lock().unwrap().iter().any(|line| line == what) {
                return;
            }
            noted.lock().unwrap().push(what.to_owned());
            if what == "full" {
                let refused = store.insert([2; 32]).unwrap_err();
                assert!(
                    matches!(refused, Error::WouldWaitForItself { call: "insert", thread: WORKER }),
                    "{refused}"
                );
            } else {
                // As many as may be unflushed, and one more.
                store.insert_many(&[[3; 32]; 10]).unwrap();
                store.insert([4; 32]).unwrap();
            }
        });
        store.insert_many(&[[1; 32]; 15]).unwrap();
        store.flush().unwrap();
        while store.size().get() < 26 {
            thread::yield_now();
        }
        store.wait_idle();
        let (memory, log) = (Limit::UncheckpointedBytes, Limit::UnflushedBytes);
        let expected = [
            "full".to_owned(),
            format!("{memory}: false"),
            "made".to_owned(),
            format!("{log}: true"),
        ];
        assert_eq!(told.lock().unwrap()[..4], expected);
    });
}

/// Opens a store as soon as it is closed.
fn open_when_closed(disk: &SimDisk) -> DynAccumulator {
    loop {
        match open(config_of(disk)) {
            Err(Error::Locked { .. }) => thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
}

/// Whether this event is reported on the thread `on`.
fn is_moment(on: &str, event: &Event) -> bool {
    let moment = match event {
        Event::FlushCompleted { .. } => on == FLUSHER,
        event => on == WORKER && was_made(event),
    };
    assert!(!moment || here() == Some(on));
    moment
}

fn busy(disk: &SimDisk) -> Config {
    config(disk)
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(10).unwrap().on_close(false))
}

#[test]
fn a_store_that_is_closed_by_one_of_its_threads_says_so_and_is_closed() {
    for on in [FLUSHER, WORKER] {
        within_a_minute(move || {
            let disk = SimDisk::new();
            let slot: Arc<Mutex<Option<DynAccumulator>>> = Arc::default();
            let (mine, (sender, closed)) = (Arc::clone(&slot), mpsc::channel());
            let config = busy(&disk).listener(move |event: &Event| {
                if is_moment(on, event)
                    && let Some(store) = mine.lock().unwrap().take()
                {
                    sender.send(store.close()).unwrap();
                }
            });
            let store = open(config).unwrap();
            // What is not durable at that moment becomes so.
            let mut slot = slot.lock().unwrap();
            store.insert_many(&[[1; 32]; 10]).unwrap();
            while store.stats().durable < 10 {
                thread::yield_now();
            }
            let token = store.insert([2; 32]).unwrap().token;
            *slot = Some(store);
            drop(slot);
            let answer = closed.recv().unwrap();
            let Err(Error::WouldWaitForItself { call: "close", thread }) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(thread, on);
            token.wait().unwrap();
            let store = open_when_closed(&disk);
            assert!(store.recovery().clean, "{on}");
            assert_eq!(store.size().get(), 11);
        });
    }
}

#[test]
fn a_store_whose_last_handle_one_of_its_threads_drops_is_closed() {
    for on in [FLUSHER, WORKER] {
        within_a_minute(move || {
            let disk = SimDisk::new();
            let (say_begun, begun) = mpsc::channel();
            let (say_dropped, dropped) = mpsc::channel::<()>();
            let dropped = Mutex::new(dropped);
            let store = open_with(busy(&disk), move |store, event| {
                if is_moment(on, event) && say_begun.send(()).is_ok() {
                    dropped.lock().unwrap().recv().unwrap();
                }
                drop(store);
            });
            store.insert_many(&[[1; 32]; 10]).unwrap();
            begun.recv().unwrap();
            let token = store.insert([2; 32]).unwrap().token;
            drop(begun);
            drop(store);
            say_dropped.send(()).unwrap();
            token.wait().unwrap();
            let store = open_when_closed(&disk);
            assert!(store.recovery().clean, "{on}");
            assert_eq!(store.size().get(), 11);
        });
    }
}

#[test]
fn a_worker_that_waits_for_a_token_does_not_keep_the_store_from_being_closed() {
    within_a_minute(|| {
        let disk = SimDisk::new();
        let (say_waits, waits) = mpsc::channel();
        let waited: Arc<OnceLock<bool>> = Arc::default();
        let noted = Arc::clone(&waited);
        let config = busy(&disk).flush_policy(FlushPolicy::Manual);
        let store = open_with(config, move |store, event| {
            if !is_moment(WORKER, event) {
                return;
            }
            let token = store.insert([2; 32]).unwrap().token;
            drop(store);
            say_waits.send(()).unwrap();
            // Only the thread that closes the store flushes.
            noted.set(token.wait().is_ok()).unwrap();
        });
        store.insert_many(&[[1; 32]; 10]).unwrap();
        store.flush().unwrap();
        waits.recv().unwrap();
        // The flusher's listener may still have it for a moment.
        let mut store = store;
        let store = loop {
            match Arc::try_unwrap(store) {
                Ok(store) => break store,
                Err(shared) => store = shared,
            }
            thread::yield_now();
        };
        store.close().unwrap();
        assert_eq!(waited.get(), Some(&true));
        assert_eq!(open(config_of(&disk)).unwrap().size().get(), 11);
    });
}

#[test]
fn a_listener_that_inserts_when_it_hears_of_backpressure_does_not_call_itself_without_end() {
    within_a_minute(|| {
        let disk = SimDisk::new();
        let told: Arc<Mutex<Vec<bool>>> = Arc::default();
        let noted = Arc::clone(&told);
        let config = config(&disk)
            .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
            .max_unflushed_bytes(64)
            .unwrap()
            .backpressure_wait(Duration::from_millis(1));
        let store = open_with(config, move |store, event| {
            let (begun, ended) = (
                matches!(event, Event::BackpressureBegun { .. }),
                matches!(event, Event::BackpressureEnded { .. }),
            );
            if begun || ended {
                noted.lock().unwrap().push(begun);
                // Each has to wait as well, or is refused.
                let _ = store.insert_many(&[[5; 32]; 2]);
            }
        });
        for _ in 0..1000 {
            let _ = store.insert_many(&[[1; 32]; 2]);
        }
        store.flush().unwrap();
        let told = told.lock().unwrap();
        assert!(!told.is_empty(), "there was no backpressure");
        let pairs = told.chunks(2).all(|pair| *pair == [true, false]);
        assert!(pairs, "what began did not end, or was told twice");
    });
}

#[test]
fn what_a_listener_leads_to_in_another_group_of_events_is_told() {
    within_a_minute(|| {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&told);
        let config = config(&SimDisk::new()).max_unflushed_bytes(64).unwrap();
        let store = open_with(config, move |store, event| {
            match event {
                Event::BackpressureBegun { .. } => drop(store.checkpoint().unwrap()),
                Event::CheckpointBegun { .. } | Event::CheckpointCompleted { .. } => {}
                _ => return,
            }
            noted.lock().unwrap().push(format!("{:?}", event.group()));
        });
        store.insert_many(&[[1; 32]; 2]).unwrap();
        store.insert_many(&[[1; 32]; 2]).unwrap();
        assert_eq!(*told.lock().unwrap(), ["Checkpoint", "Checkpoint", "Backpressure"]);
    });
}
