//! Tests the flusher alone, with a source that notes its calls.

use std::sync::Arc;

use super::{FlushPoint, Flusher, Group, LogSource, News, Work};
use crate::config::Config;
use crate::engine::create::create;
use crate::engine::gate::Gate;
use crate::engine::ingest::{Control, Cut, CutKind};
use crate::engine::tally::Tally;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::ids::{Seq, TreeId};
use crate::merkle::{Arity, Blake3, TreeName};
use crate::report::Listeners;
use crate::sync::Mutex;
use crate::sync::process::Process;
use crate::testing::sim::{Fault, FaultError, OperationKind, SimDisk, When};
use crate::tree_spec::TreeSpec;

/// A store with one record to flush, which closes after the flush.
struct Source {
    #[cfg_attr(not(duramen_mutants), expect(dead_code, reason = "only mistakes ask for it"))]
    fs: Arc<dyn FileSystem>,
    gate: Gate,
    /// Whether a waker forks when a flush wakes it.
    forks: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<&'static str>,
    durable: Seq,
}

impl Source {
    fn note(&self, call: &'static str) {
        self.state.lock().calls.push(call);
    }
}

impl LogSource for Source {
    #[cfg(duramen_mutants)]
    fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn begin(&self) {
        self.note("begin");
    }

    fn next(&self) -> Work {
        let again = self.state.lock().calls.contains(&"next");
        self.note("next");
        if again { Work::Stop } else { Work::Flush }
    }

    fn durable(&self) -> Seq {
        self.state.lock().durable
    }

    fn group_bytes(&self) -> u64 {
        1 << 20
    }

    fn cut(&self) -> (Cut, bool) {
        self.note("cut");
        let spec = TreeSpec::new(TreeId(0), TreeName::main(), &Blake3, Arity::Two);
        let controls = vec![Control::Dropped(Arc::new(spec), None)];
        let tally = Tally::opened(Seq(1), 0, 1);
        (Cut { tally, stretches: Vec::new(), controls, kind: CutKind::Ordinary }, false)
    }

    fn spill_cut(&self) -> Option<(Cut, Cut)> {
        None
    }

    fn written(&self, _: &Group<'_>) {
        self.note("written");
    }

    fn synced(&self, _: std::time::Duration) {
        self.note("synced");
    }

    fn flushed(&self, point: FlushPoint, _: News) -> Result<()> {
        self.note("flushed");
        self.state.lock().durable = point.tally.seq;
        if self.forks { Process::another().check() } else { Ok(()) }
    }

    fn rolled(&self, _: bool) {}

    fn request_segment(&self) {}

    fn checkpoint_if_due(&self) {
        self.note("checkpoint_if_due");
    }

    fn poison(&self, _: Error) -> Result<()> {
        self.note("poison");
        Ok(())
    }
}

/// Runs a flusher until it ends, on a disk whose next sync fails if `sync_fails`. Returns its calls.
fn calls(forks: bool, sync_fails: bool) -> Vec<&'static str> {
    let disk = SimDisk::new();
    let config = Config::new("store").file_system(Arc::new(disk.clone()));
    let fs = config.make().unwrap();
    let opened = create(&config, &fs, None).unwrap();
    if sync_fails {
        disk.inject(Fault::new(When::nth(OperationKind::Sync, 1), FaultError::EIO));
    }
    let gate = Gate::new(Listeners::default(), Process::current().unwrap());
    let source = Arc::new(Source { fs, gate, forks, state: Mutex::default() });
    let seen = Arc::clone(&source);
    Flusher::new(source, opened.log, opened.point).run();
    let state = seen.state.lock();
    state.calls.clone()
}

const FLUSH: [&str; 6] = ["begin", "next", "cut", "written", "synced", "flushed"];

#[test]
fn a_flush_is_written_and_synced_before_it_is_claimed() {
    let calls = calls(false, false);
    assert_eq!(calls[..6], FLUSH);
    assert_eq!(calls[6..], ["checkpoint_if_due", "next", "cut"], "the end has nothing to flush");
}

#[test]
fn a_flusher_that_a_waker_has_forked_calls_nothing_in_the_child() {
    assert_eq!(calls(true, false), FLUSH);
}

#[test]
fn a_sync_that_fails_is_never_claimed_and_ends_the_flusher() {
    let calls = calls(false, true);
    assert_eq!(calls[..4], FLUSH[..4]);
    assert!(calls[4..].iter().all(|call| *call == "poison") && calls.len() > 4, "{calls:?}");
}

/// A store under [`FlushPolicy::Manual`](crate::FlushPolicy::Manual): a record that a caller wants durable and one behind it
/// are spilled before the flush comes.
struct Spilled {
    #[cfg_attr(not(duramen_mutants), expect(dead_code, reason = "only mistakes ask for it"))]
    fs: Arc<dyn FileSystem>,
    gate: Gate,
    works: Mutex<std::collections::VecDeque<Work>>,
    cuts: Mutex<std::collections::VecDeque<Cut>>,
    /// What each spill gets: everything up to the last point, and everything behind it.
    spills: Mutex<std::collections::VecDeque<(Cut, Cut)>>,
    /// What each flush made durable: up to which record, and the trees whose records were in it.
    flushed: Mutex<Vec<(u64, Vec<u32>)>>,
    durable: Mutex<Seq>,
}

/// Everything up to the record `seq`, with the records `trees` that drop one tree each.
fn cut_at(seq: u64, trees: &[u32]) -> Cut {
    let control = |id: &u32| {
        let spec = TreeSpec::new(TreeId(*id), TreeName::main(), &Blake3, Arity::Two);
        Control::Dropped(Arc::new(spec), None)
    };
    let tally = Tally::opened(Seq(seq), 0, 9);
    let controls = trees.iter().map(control).collect();
    Cut { tally, stretches: Vec::new(), controls, kind: CutKind::Ordinary }
}

impl LogSource for Spilled {
    #[cfg(duramen_mutants)]
    fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn begin(&self) {}

    fn next(&self) -> Work {
        self.works.lock().pop_front().unwrap()
    }

    fn durable(&self) -> Seq {
        *self.durable.lock()
    }

    fn group_bytes(&self) -> u64 {
        1 << 20
    }

    fn cut(&self) -> (Cut, bool) {
        (self.cuts.lock().pop_front().unwrap(), false)
    }

    fn spill_cut(&self) -> Option<(Cut, Cut)> {
        self.spills.lock().pop_front()
    }

    fn written(&self, _: &Group<'_>) {}

    fn synced(&self, _: std::time::Duration) {}

    fn flushed(&self, point: FlushPoint, news: News) -> Result<()> {
        let tree = |control: &Control| match control {
            Control::Dropped(spec, _) => spec.id.0,
            _ => unreachable!("only drops were written"),
        };
        let trees = news.controls.iter().map(tree).collect();
        *self.durable.lock() = point.tally.seq;
        self.flushed.lock().push((point.tally.seq.0, trees));
        Ok(())
    }

    fn rolled(&self, _: bool) {}

    fn request_segment(&self) {}

    fn checkpoint_if_due(&self) {}

    fn poison(&self, error: Error) -> Result<()> {
        Err(error)
    }
}

/// Runs a flusher on these spills, and then on these flushes. Returns what each flush made durable.
fn flushed<const N: usize>(
    spills: [(Cut, Cut); N],
    cuts: impl IntoIterator<Item = Cut>,
) -> Vec<(u64, Vec<u32>)> {
    let config = Config::new("store").file_system(Arc::new(SimDisk::new()));
    let fs = config.make().unwrap();
    let opened = create(&config, &fs, None).unwrap();
    let cuts: std::collections::VecDeque<_> = cuts.into_iter().collect();
    // The last one is for the stop, which flushes.
    let flushes = std::iter::repeat_n(Work::Flush, cuts.len() - 1);
    let works = std::iter::repeat_n(Work::Spill, N).chain(flushes).chain([Work::Stop]);
    let source = Arc::new(Spilled {
        fs,
        gate: Gate::new(Listeners::default(), Process::current().unwrap()),
        works: Mutex::new(works.collect()),
        cuts: Mutex::new(cuts),
        spills: Mutex::new(spills.into()),
        flushed: Mutex::default(),
        durable: Mutex::default(),
    });
    let seen = Arc::clone(&source);
    Flusher::new(source, opened.log, opened.point).run();
    seen.flushed.lock().clone()
}

#[test]
fn what_is_spilled_behind_a_point_is_not_durable_with_it() {
    let spill = (cut_at(1, &[1]), cut_at(2, &[2]));
    // The first point has nothing that was not spilled, and neither has the last.
    let flushed = flushed([spill], [cut_at(1, &[]), cut_at(3, &[3]), cut_at(3, &[])]);
    assert_eq!(flushed, [(1, vec![1]), (3, vec![2, 3])]);
}

#[test]
fn a_point_that_was_spilled_before_it_was_named_ends_there_however_much_is_spilled_later() {
    // The first record was spilled when no point was named there.
    let spills = [(cut_at(0, &[]), cut_at(1, &[1])), (cut_at(1, &[]), cut_at(3, &[2, 3]))];
    let flushed = flushed(spills, [cut_at(1, &[]), cut_at(3, &[]), cut_at(3, &[])]);
    assert_eq!(flushed, [(1, vec![1]), (3, vec![2, 3])]);
}
