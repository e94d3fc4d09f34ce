//! The events of a store as metrics of the facade `metrics`.
//!
//! | metric | kind | unit |
//! | --- | --- | --- |
//! | `duramen_open_seconds` | gauge | how long the last open took, replay included |
//! | `duramen_flushes_total`, `duramen_failed_flushes_total` | counter | groups of the log |
//! | `duramen_flushed_leaves_total` | counter | leaves that became durable |
//! | `duramen_log_bytes_total` | counter | bytes written to the log |
//! | `duramen_write_seconds`, `duramen_sync_seconds` | histogram | write and sync of a group |
//! | `duramen_checkpoints_total`, `duramen_failed_checkpoints_total` | counter, by `reason` | checkpoints that wrote something, and those that failed |
//! | `duramen_checkpoint_seconds` | histogram | from the call until the checkpoint was durable |
//! | `duramen_part_bytes_total` | counter | bytes of parts that checkpoints wrote |
//! | `duramen_merges_total`, `duramen_failed_merges_total` | counter | merges of parts |
//! | `duramen_merge_seconds` | histogram | a merge |
//! | `duramen_merge_bytes_total` | counter | bytes of parts that merges wrote |
//! | `duramen_stalls_total`, `duramen_refused_total` | counter | inserts that waited for room, and those that failed in the end |
//! | `duramen_stall_seconds` | histogram | how long such an insert waited |
//! | `duramen_rewinds_total` | counter | rewinds of trees |
//! | `duramen_prunes_total`, `duramen_failed_prunes_total` | counter | prunes of a tree's oldest leaves |
//! | `duramen_poisoned` | gauge | 1 once the log has failed |
//!
//! Each has the label `store`, with the name that the program gave it.

use ::metrics::{counter, gauge, histogram};

use super::event::{Event, EventListener};

/// Reports a store to the recorder of the facade [`metrics`](::metrics) that the program has installed. A listener for
/// [`Config::listener`](crate::Config::listener).
///
/// All counters begin at 0 with the process and not with the store. Amounts that are no event, such as the backlog, are in
/// [`Stats`](crate::Stats).
///
/// ```
/// use duramen::{Accumulator, Blake3, Config, MetricsListener};
///
/// let dir = tempfile::tempdir()?;
/// let config = Config::new(dir.path().join("log")).listener(MetricsListener::new("audit"));
/// let log: Accumulator<Blake3, 4> = Accumulator::open(config)?;
/// log.insert_durable([7; 32])?;
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricsListener {
    store: String,
}

impl MetricsListener {
    /// Reports with `store` as the value of the label of this name.
    #[must_use]
    pub fn new(store: impl Into<String>) -> Self {
        Self { store: store.into() }
    }
}

impl EventListener for MetricsListener {
    fn event(&self, event: &Event) {
        let store = || self.store.clone();
        match event {
            Event::RecoveryCompleted { report } => {
                let took = report.open_time + report.replay_time + report.settle_time;
                gauge!("duramen_open_seconds", "store" => store()).set(took.as_secs_f64());
                gauge!("duramen_poisoned", "store" => store()).set(0.0);
            }
            Event::FlushCompleted { leaves, bytes, write, sync, .. } => {
                counter!("duramen_flushes_total", "store" => store()).increment(1);
                counter!("duramen_flushed_leaves_total", "store" => store()).increment(*leaves);
                counter!("duramen_log_bytes_total", "store" => store()).increment(*bytes);
                histogram!("duramen_write_seconds", "store" => store()).record(write.as_secs_f64());
                histogram!("duramen_sync_seconds", "store" => store()).record(sync.as_secs_f64());
            }
            Event::FlushFailed { .. } => {
                counter!("duramen_failed_flushes_total", "store" => store()).increment(1);
            }
            Event::CheckpointCompleted { info } => {
                let reason = info.reason.to_string();
                counter!("duramen_checkpoints_total", "store" => store(), "reason" => reason)
                    .increment(u64::from(!info.trees.is_empty()));
                counter!("duramen_part_bytes_total", "store" => store()).increment(info.bytes);
                histogram!("duramen_checkpoint_seconds", "store" => store())
                    .record(info.duration.as_secs_f64());
            }
            Event::CheckpointFailed { reason, .. } => {
                let reason = reason.to_string();
                counter!("duramen_failed_checkpoints_total", "store" => store(), "reason" => reason)
                    .increment(1);
            }
            Event::CompactionCompleted { bytes, duration, .. } => {
                counter!("duramen_merges_total", "store" => store()).increment(1);
                counter!("duramen_merge_bytes_total", "store" => store()).increment(*bytes);
                histogram!("duramen_merge_seconds", "store" => store())
                    .record(duration.as_secs_f64());
            }
            Event::CompactionFailed { .. } => {
                counter!("duramen_failed_merges_total", "store" => store()).increment(1);
            }
            Event::BackpressureEnded { waited, admitted, .. } => {
                counter!("duramen_stalls_total", "store" => store()).increment(1);
                counter!("duramen_refused_total", "store" => store())
                    .increment(u64::from(!admitted));
                histogram!("duramen_stall_seconds", "store" => store())
                    .record(waited.as_secs_f64());
            }
            Event::Rewound { .. } => {
                counter!("duramen_rewinds_total", "store" => store()).increment(1);
            }
            Event::Pruned { .. } => {
                counter!("duramen_prunes_total", "store" => store()).increment(1);
            }
            Event::PruneFailed { .. } => {
                counter!("duramen_failed_prunes_total", "store" => store()).increment(1);
            }
            Event::Poisoned { .. } => {
                gauge!("duramen_poisoned", "store" => store()).set(1.0);
            }
            Event::RecoveryBegun { .. }
            | Event::RecoveryFailed { .. }
            | Event::FlushBegun { .. }
            | Event::CheckpointBegun { .. }
            | Event::CompactionBegun { .. }
            | Event::CompactionAbandoned { .. }
            | Event::BackpressureBegun { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use ::metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        Recorder, SharedString, Unit,
    };

    use super::*;
    use crate::error::Error;
    use crate::ids::Seq;
    use crate::report::{CheckpointInfo, CheckpointReason};

    /// The sum of what was recorded under each name with its labels.
    #[derive(Clone, Default)]
    struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

    struct One(Sums, String);

    impl One {
        fn change(&self, change: impl FnOnce(&mut f64)) {
            change(self.0.0.lock().unwrap().entry(self.1.clone()).or_default());
        }
    }

    impl CounterFn for One {
        #[expect(clippy::cast_precision_loss, reason = "a test")]
        fn increment(&self, value: u64) {
            self.change(|sum| *sum += value as f64);
        }

        fn absolute(&self, _: u64) {}
    }

    impl GaugeFn for One {
        fn increment(&self, value: f64) {
            self.change(|sum| *sum += value);
        }

        fn decrement(&self, value: f64) {
            self.change(|sum| *sum -= value);
        }

        fn set(&self, value: f64) {
            self.change(|sum| *sum = value);
        }
    }

    impl HistogramFn for One {
        fn record(&self, value: f64) {
            self.change(|sum| *sum += value);
        }
    }

    impl Sums {
        fn one(&self, key: &Key) -> Arc<One> {
            let labels: Vec<_> =
                key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            Arc::new(One(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
        }
    }

    impl Recorder for Sums {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.one(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.one(key))
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(self.one(key))
        }
    }

    #[test]
    fn every_figure_is_reported_under_its_name_and_store() {
        let sums = Sums::default();
        let flush = |leaves| Event::FlushCompleted {
            leaves,
            trees: Vec::new(),
            durable: Seq(leaves),
            bytes: 4096,
            write: Duration::from_millis(250),
            sync: Duration::from_millis(500),
        };
        let info = CheckpointInfo {
            seq: Seq(5),
            trees: Vec::new(),
            leaves: 5,
            bytes: 16384,
            reason: CheckpointReason::Interval,
            duration: Duration::from_secs(2),
        };
        let error = Error::Closed;
        let events = [
            flush(2),
            flush(3),
            Event::CheckpointCompleted { info },
            Event::CheckpointFailed {
                trees: Vec::new(),
                reason: CheckpointReason::Memory,
                error: error.clone(),
                retry_in: None,
            },
            Event::Poisoned { error },
        ];
        ::metrics::with_local_recorder(&sums, || {
            let listener = MetricsListener::new("audit");
            events.iter().for_each(|event| listener.event(event));
        });
        let sums = sums.0.lock().unwrap();
        let expected = [
            ("duramen_checkpoint_seconds store=audit", 2.0),
            ("duramen_checkpoints_total store=audit reason=interval", 0.0),
            ("duramen_failed_checkpoints_total store=audit reason=memory", 1.0),
            ("duramen_flushed_leaves_total store=audit", 5.0),
            ("duramen_flushes_total store=audit", 2.0),
            ("duramen_log_bytes_total store=audit", 8192.0),
            ("duramen_part_bytes_total store=audit", 16384.0),
            ("duramen_poisoned store=audit", 1.0),
            ("duramen_sync_seconds store=audit", 1.0),
            ("duramen_write_seconds store=audit", 0.5),
        ];
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect();
        assert_eq!(*sums, expected);
    }
}
