//! The spans of the crate `tracing`: what happened in what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duramen::{Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Config, FlushPolicy};
use testkit::stores::leaves;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Which spans were entered, each with the one around it.
#[derive(Default)]
struct Seen {
    next: AtomicU64,
    names: Mutex<HashMap<u64, &'static str>>,
    /// Of each thread.
    open: Mutex<HashMap<std::thread::ThreadId, Vec<u64>>>,
    entered: Mutex<Vec<String>>,
}

/// What is handed to the crate, which takes its subscriber for ever.
#[derive(Clone, Default)]
struct Watching(Arc<Seen>);

impl Subscriber for Watching {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("duramen")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.names.lock().unwrap().insert(id, span.metadata().name());
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, span: &Id) {
        let names = self.0.names.lock().unwrap();
        let mut open = self.0.open.lock().unwrap();
        let open = open.entry(std::thread::current().id()).or_default();
        open.push(span.into_u64());
        let path: Vec<_> = open.iter().map(|id| names[id]).collect();
        self.0.entered.lock().unwrap().push(path.join("/"));
    }

    fn exit(&self, span: &Id) {
        let mut open = self.0.open.lock().unwrap();
        let open = open.entry(std::thread::current().id()).or_default();
        assert_eq!(open.pop(), Some(span.into_u64()), "spans end in order");
    }
}

#[test]
fn opening_recovery_groups_checkpoints_and_merges_are_spans_and_inserts_are_none() {
    let seen = Watching::default();
    tracing::subscriber::set_global_default(seen.clone()).unwrap();
    let taken = || std::mem::take(&mut *seen.0.entered.lock().unwrap());
    // Other tests of this process have spans as well, so only those that are there count.
    let has = |entered: &[String], path: &str| entered.iter().any(|entered| entered == path);
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().join("store"))
        .flush_policy(FlushPolicy::interval(Duration::from_millis(1)).unwrap())
        .checkpoint_policy(CheckpointPolicy::manual().on_close(false))
        .compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let open = || Accumulator::<Blake3, 4>::open(config.clone()).unwrap();
    let log = open();
    for round in 0..4 {
        log.insert_many(&leaves(1000, round)).unwrap();
        log.flush().unwrap();
        log.checkpoint().unwrap();
        log.wait_idle();
    }
    log.insert_durable([1; 32]).unwrap();
    log.close().unwrap();
    open().close().unwrap();
    let entered = taken();
    let all = [
        "open",
        "open/recover",
        "group",
        "sync",
        "checkpoint",
        "checkpoint/build",
        "checkpoint/install",
        "checkpoint/release",
        "merge",
    ];
    for path in all {
        assert!(has(&entered, path), "{path}: {entered:?}");
    }
    for path in &entered {
        let known = [
            "open",
            "recover",
            "group",
            "sync",
            "checkpoint",
            "build",
            "install",
            "release",
            "merge",
        ];
        assert!(path.split('/').all(|name| known.contains(&name)), "{path}");
    }
}
