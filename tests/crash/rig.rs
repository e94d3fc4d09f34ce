//! Runs workloads step by step on a disk that records, and knows what must survive each moment.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{DurabilityToken, DynAccumulator};

use crate::check::{self, Bounds};
use crate::findings::{Finding, Kind, Outcome};
use crate::model::Model;
use crate::setup::{Setup, abandon};
use testkit::words::words;

/// One step of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Insert,
    Batch(usize),
    Flush,
    InsertDurable,
    Checkpoint,
    /// A pause is over after which a store says that its last group is durable.
    Claim,
    /// Close in order and open again.
    Reopen,
    /// Kill the process and open again.
    Kill,
    /// Cut the power and open again.
    Cut(CrashChoice),
}

/// A store that works.
pub(crate) struct Rig {
    pub(crate) setup: Setup,
    pub(crate) disk: SimDisk,
    pub(crate) model: Model,
    store: Option<DynAccumulator>,
    /// Those that are not acknowledged yet.
    tokens: Vec<DurabilityToken>,
    /// What was promised in the course of a step: by which moment, the least size, the checkpoint.
    marks: Vec<(u64, u64, Vec<u64>)>,
}

/// The moments of one step: the power may be cut after any number of operations in `from..=to`.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) disk: SimDisk,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What a cut leaves from which moment on. The first holds from the start.
    bounds: Vec<(u64, Bounds)>,
}

impl Span {
    pub(crate) fn bounds(&self, moment: u64) -> &Bounds {
        let later = self.bounds.partition_point(|(from, _)| *from <= moment);
        &self.bounds[later.max(1) - 1].1
    }
}

impl Rig {
    /// A disk without a store.
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let model = Model::new(setup.oracle(), setup.arity.children(), seed);
        let disk = SimDisk::new();
        disk.record();
        Self { setup, disk, model, store: None, tokens: Vec::new(), marks: Vec::new() }
    }

    /// Makes the store.
    pub(crate) fn create(&mut self) -> Outcome<Span> {
        self.span(0, Rig::open)
    }

    /// Does one step and checks that it was answered as it must be.
    pub(crate) fn step(&mut self, step: Step) -> Outcome<Span> {
        let from = self.disk.operations();
        match step {
            Step::Insert => self.span(from, |rig| rig.insert(1)),
            Step::Batch(count) => self.span(from, |rig| rig.insert(count)),
            Step::Flush => self.span(from, Self::flush),
            Step::InsertDurable => self.span(from, Self::insert_durable),
            Step::Checkpoint => self.span(from, Self::checkpoint),
            Step::Claim => self.span(from, Self::claim),
            Step::Reopen => self.span(from, |rig| {
                rig.close()?;
                rig.open()
            }),
            Step::Kill => self.restart(self.disk.kill()),
            Step::Cut(choice) => self.restart(self.disk.crash(choice)),
        }
    }

    /// Goes on with `disk`, which is what an end without warning has left.
    pub(crate) fn restart(&mut self, disk: SimDisk) -> Outcome<Span> {
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
        self.tokens.clear();
        disk.record();
        self.disk = disk;
        let before = self.bounds();
        let store = check::reopen(&self.setup, &self.disk)?;
        let shown = self.disk.operations();
        let size = check::check(&store, &self.model, &before)?;
        let checkpointed = store.recovery().checkpointed;
        store.wait_idle();
        self.store = Some(store);
        let after = Bounds { from: size, to: size, checkpoints: vec![checkpointed] };
        let to = self.disk.operations();
        Ok(Span { disk: self.disk.clone(), from: 0, to, bounds: vec![(0, before), (shown, after)] })
    }

    /// Makes the model forget what the last restart lost. Not done at once, since the moments of the
    /// restart itself are judged by what was submitted before it.
    pub(crate) fn settle(&mut self) {
        let store = self.store.as_ref().unwrap();
        let size = store.size().get();
        if size < self.model.size() {
            self.model.reset(size, store.recovery().checkpointed);
        }
    }

    fn span(&mut self, from: u64, act: impl FnOnce(&mut Self) -> Outcome) -> Outcome<Span> {
        self.marks.clear();
        let start = (from, self.model.acked, self.model.checkpoints.clone());
        act(self)?;
        self.store().wait_idle();
        let to = self.disk.operations();
        // Until the step is over, what it submits and checkpoints may be there or not.
        let mut marks = std::mem::take(&mut self.marks);
        marks.insert(0, start);
        let mut checkpoints = Vec::new();
        let mut bounds = Vec::new();
        for (moment, acked, checkpoint) in marks.into_iter().rev() {
            checkpoints.extend(checkpoint);
            let checkpoints = checkpoints.clone();
            bounds.push((moment, Bounds { from: acked, to: self.model.size(), checkpoints }));
        }
        bounds.reverse();
        Ok(Span { disk: self.disk.clone(), from, to, bounds })
    }

    /// Notes that what is acknowledged and checkpointed now holds from this moment on.
    fn mark(&mut self) {
        let Model { acked, checkpoints, .. } = &self.model;
        self.marks.push((self.disk.operations(), *acked, checkpoints.clone()));
    }

    fn bounds(&self) -> Bounds {
        let Model { acked, checkpoints, .. } = &self.model;
        Bounds { from: *acked, to: self.model.size(), checkpoints: checkpoints.clone() }
    }

    pub(crate) fn store(&self) -> &DynAccumulator {
        self.store.as_ref().unwrap()
    }

    fn insert(&mut self, count: usize) -> Outcome {
        let leaves = self.model.next(count);
        let first = self.model.size();
        let inserted = self.store().insert_many(&leaves).map_err(refused)?;
        if inserted.range != (first..first + count as u64) {
            return Err(Finding::new(Kind::Answer, format!("indexes {:?}", inserted.range)));
        }
        self.model.submit(&leaves);
        self.store().wait_idle();
        if inserted.token.is_durable() {
            return Err(Finding::new(Kind::Answer, "a token was durable before a flush"));
        }
        self.tokens.push(inserted.token);
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        self.store().flush().map_err(refused)?;
        self.acknowledged()
    }

    fn insert_durable(&mut self) -> Outcome {
        let leaf = self.model.next(1);
        self.store().insert_durable(leaf[0]).map_err(refused)?;
        self.model.submit(&leaf);
        self.acknowledged()
    }

    fn checkpoint(&mut self) -> Outcome {
        // So that the log's own background work does not run beside the checkpoint.
        self.flush()?;
        self.store().wait_idle();
        let info = self.store().checkpoint().map_err(refused)?;
        if info.seq.0 != self.model.size() {
            return Err(Finding::new(Kind::Answer, format!("a checkpoint of {}", info.seq)));
        }
        self.model.checkpoint();
        self.mark();
        Ok(())
    }

    /// A reader knows of everything before a claim that it is durable.
    fn claim(&mut self) -> Outcome {
        let before = self.disk.operations();
        self.store().store().end_pause();
        if self.disk.operations() == before {
            return Ok(());
        }
        let known = check::known(&self.setup, &self.disk)?;
        if known != self.model.acked {
            let text = format!("{known} of {} leaves are claimed", self.model.acked);
            return Err(Finding::new(Kind::Answer, text));
        }
        Ok(())
    }

    fn close(&mut self) -> Outcome {
        self.store.take().unwrap().close().map_err(refused)?;
        if self.setup.on_close {
            self.model.checkpoint();
        }
        self.acknowledged()
    }

    fn open(&mut self) -> Outcome {
        let store = check::reopen(&self.setup, &self.disk)?;
        check::check(&store, &self.model, &self.bounds())?;
        self.store = Some(store);
        Ok(())
    }

    fn acknowledged(&mut self) -> Outcome {
        self.model.acknowledge();
        self.mark();
        for token in self.tokens.drain(..) {
            if !token.is_durable() {
                let text = format!("the token of {} is not durable", token.seq());
                return Err(Finding::new(Kind::Answer, text));
            }
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: duramen::Error) -> Finding {
    Finding::new(Kind::Answer, words(&error))
}
