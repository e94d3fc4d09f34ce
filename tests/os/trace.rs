//! The shipped library under strace: every promise comes after the system call that makes it true.
//!
//! The simulated disk sees the order in which the engine calls the file system. What the file system of the
//! operating system makes of these calls is seen here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use duramen::{
    Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Config, DurabilityToken, FlushPolicy,
    Hash,
};
use testkit::trace::order::leaf;
use testkit::trace::run::{Traced, can_trace, say};

type Store = Accumulator<Blake3, 4>;

/// Which scenario a child plays, and where.
const SCENARIO: &str = "DURAMEN_TEST_SCENARIO";
const STORE: &str = "DURAMEN_TEST_STORE";
const SAID: &str = "DURAMEN_TEST_SAID";

/// Not a test by itself: the process in which a scenario is played.
#[test]
fn scenario() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let [store, said] = [STORE, SAID].map(|key| PathBuf::from(std::env::var_os(key).unwrap()));
    match &name[..] {
        "life" => life(&store, &said),
        "killed" => killed(&store, &said),
        "threads" => threads(&store, &said),
        other => panic!("{other}"),
    }
}

/// A child that plays a scenario with the store in `place/store`.
fn play(traced: &Traced, scenario: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "trace::scenario"]);
    command.env(SCENARIO, scenario).env(STORE, traced.path("store")).env(SAID, traced.said());
    command
}

/// Small segments, so that the log rolls and recycles.
fn config(dir: &Path) -> Config {
    Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::tiered(2).unwrap())
        .wal_segment_bytes(16 << 10)
        .unwrap()
        .wal_spare_bytes(64 << 10)
}

fn leaves(from: u64, count: u64) -> Vec<Hash> {
    (from..from + count).map(leaf).collect()
}

/// Everything that a store does, from its making on.
fn life(dir: &Path, said: &Path) {
    let store = Store::open(config(dir)).unwrap();
    say(said, "the store is made");
    let mut size = 0;
    for round in 0..24 {
        store.insert_many(&leaves(size, 70)).unwrap();
        size += 70;
        store.flush().unwrap();
        say(said, &format!("durable {size}"));
        store.insert_durable(leaf(size)).unwrap();
        size += 1;
        say(said, &format!("durable {size}"));
        if round % 3 == 2 {
            store.checkpoint().unwrap();
            say(said, &format!("archived {size}"));
        }
    }
    let copy = dir.with_file_name("copy");
    store.snapshot_to(&copy).unwrap();
    store.close().unwrap();
    say(said, "everything, with a copy");
    for _ in 0..2 {
        let store = Store::open(config(dir)).unwrap();
        say(said, "open again");
        store.insert_many(&leaves(size, 300)).unwrap();
        size += 300;
        store.close().unwrap();
        say(said, &format!("durable {size}"));
        say(said, "everything");
    }
}

/// Opens what was killed before, shows what is there, adds to it, and is killed: where it is traced so, at a
/// sync, when a group that ends at a point is written and not durable.
fn killed(dir: &Path, said: &Path) {
    let store = Store::open(config(dir)).unwrap();
    let shown = store.size().get();
    say(said, &format!("durable {shown}"));
    store.insert_many(&leaves(shown, 200)).unwrap();
    store.flush().unwrap();
    say(said, &format!("durable {}", shown + 200));
    let mut size = shown + 200;
    for _ in 0..40 {
        store.insert_many(&leaves(size, 10)).unwrap();
        store.flush().unwrap();
        size += 10;
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
}

/// Several threads insert while checkpoints and merges are made by themselves.
fn threads(dir: &Path, said: &Path) {
    let config = config(dir)
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(200).unwrap());
    let store = Store::open(config).unwrap();
    let inserting = std::sync::Mutex::new(0);
    let insert = || -> Option<(u64, DurabilityToken)> {
        // So that the index is known before the leaf is made.
        let mut next = inserting.lock().unwrap();
        if *next >= 1500 {
            return None;
        }
        let inserted = store.insert_many(&leaves(*next, 5)).unwrap();
        *next = inserted.range.end;
        Some((inserted.range.end, inserted.token))
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((end, token)) = insert() {
                    token.wait().unwrap();
                    say(said, &format!("durable {end}"));
                }
            });
        }
    });
    store.close().unwrap();
    say(said, "everything");
}

#[test]
fn a_store_makes_durable_what_it_promises_before_it_promises_it() {
    if !can_trace("a store under strace") {
        return;
    }
    for parents_are_there in [false, true] {
        let mut traced = Traced::in_a_new_place();
        if parents_are_there {
            traced.uncertain_dir("store");
        }
        let status = traced.play(&play(&traced, "life"), &[]);
        assert!(status.success());
        let seen = traced.check();
        assert!(seen.leaves == 24 * 71 + 600 && seen.promises >= 60, "{seen:?}");
        // The store's directories and those of the copy.
        assert_eq!(seen.dirs, if parents_are_there { 7 } else { 8 }, "{seen:?}");
        assert!(seen.manifests >= 12 && seen.parts >= 10, "{seen:?}");
        assert!(seen.recycled >= 3 && seen.removed >= 12, "{seen:?}");
    }
}

#[test]
fn what_an_open_shows_after_a_kill_is_durable() {
    if !can_trace("a killed store under strace") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    for round in 0..4 {
        // Of each thread. Opening a store takes fewer.
        let kill = "inject=fdatasync:signal=KILL:when=20";
        let status = traced.play(&play(&traced, "killed"), &["-e", kill]);
        assert!(!status.success());
        assert_eq!(traced.lines().len(), 2 * (round + 1));
    }
    let number = |line: &String| line["durable ".len()..].parse::<u64>().unwrap();
    let shown: Vec<_> = traced.lines().iter().step_by(2).map(number).collect();
    for pair in shown.windows(2) {
        let came = pair[1] - pair[0];
        assert!((210..600).contains(&came), "{shown:?}: killed at no sync of the log");
    }
    let seen = traced.check();
    // More than was acknowledged, or nothing is left to be synced when the store is opened.
    assert!(seen.leaves > 4 * 200, "{seen:?}");
}

#[test]
fn threads_are_acknowledged_in_order_while_checkpoints_and_merges_run() {
    if !can_trace("threads under strace") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    assert!(traced.play(&play(&traced, "threads"), &[]).success());
    let seen = traced.check();
    assert!(seen.leaves == 1500 && seen.parts >= 4, "{seen:?}");
}

/// As a signal may do it, and a file system that waits for a server.
#[test]
fn an_interrupted_rename_or_removal_is_called_again() {
    if !can_trace("interrupted renames under strace") {
        return;
    }
    let mut traced = Traced::in_a_new_place();
    let inject = ["-e", "inject=renameat2,unlinkat:error=EINTR:when=1+2"];
    assert!(traced.play(&play(&traced, "life"), &inject).success());
    traced.check();
}

/// As a signal may do it on a file system whose server is far away.
#[test]
fn an_interrupted_look_at_a_file_is_repeated() {
    if !can_trace("interrupted looks under strace") {
        return;
    }
    for step in 2..7 {
        let mut traced = Traced::in_a_new_place();
        let inject = format!("inject=statx:error=EINTR:when=1+{step}");
        assert!(traced.play(&play(&traced, "life"), &["-e", &inject]).success(), "{step}");
        traced.check();
    }
}

/// The checker sees what the system does: where a sync fails, so does the promise.
#[test]
fn after_a_sync_that_failed_nothing_is_promised() {
    if !can_trace("failing syncs under strace") {
        return;
    }
    let mut stopped = 0;
    for number in (1..30).step_by(2) {
        let mut traced = Traced::in_a_new_place();
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={number}");
        traced.play(&play(&traced, "life"), &["-e", &inject]);
        traced.check();
        stopped += u64::from(traced.lines().len() < 60);
    }
    assert!(stopped >= 13, "{stopped}");
}
