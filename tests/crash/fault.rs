//! Every operation fails: once and forever, with and without having happened.

use std::collections::HashSet;
use std::sync::mpsc;
use std::time::Duration;

use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
use duramen::{DurabilityToken, DynAccumulator, Error};

use crate::check::{Bounds, check, fingerprint, reopen, same};
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::model::Model;
use crate::rig::{Rig, Step};
use crate::scale;
use crate::setup::{Setup, abandon};
use testkit::words::words;

/// A store whose disk fails, and what it has answered.
pub(crate) struct Patient<'a> {
    setup: Setup,
    disk: SimDisk,
    model: Model,
    store: Option<DynAccumulator>,
    /// With the sizes they stand for.
    tokens: Vec<(u64, DurabilityToken)>,
    /// The operation that fails, or the first that does.
    fault: u64,
    /// How many operations there were before the store was opened.
    since: u64,
    /// Checkpoints that may come back. A manifest whose last sync failed is seen by the next open,
    /// which goes on from it, and a power cut may take it away. The one before has the same leaves,
    /// more of them in the log.
    in_doubt: Vec<u64>,
    tally: &'a Tally,
}

impl<'a> Patient<'a> {
    pub(crate) fn new(setup: Setup, disk: SimDisk, fault: u64, tally: &'a Tally) -> Self {
        let model = Model::new(setup.oracle(), setup.arity.children(), 7);
        Self {
            setup,
            disk,
            model,
            store: None,
            tokens: Vec::new(),
            fault,
            since: 0,
            in_doubt: Vec::new(),
            tally,
        }
    }

    /// One whose store was killed before, when it stood as `model` says. `left` is what that left.
    fn killed(left: &SimDisk, setup: Setup, model: &Model, fault: u64, tally: &'a Tally) -> Self {
        // A disk that counts its calls from nought.
        let mut patient = Self::new(setup, left.kill(), fault, tally);
        patient.model = model.clone();
        patient
    }

    /// Runs the steps. Whatever fails, the store is looked at, and opened again once the disk is
    /// well, and the workload goes on.
    pub(crate) fn run(&mut self, steps: &[Step]) -> Outcome {
        self.open()?;
        for (at, step) in steps.iter().enumerate() {
            self.step(*step)
                .map_err(|finding| finding.context(format_args!("step {at}, {step:?}")))?;
        }
        self.judge()?;
        // The same process opens the store again, with all that the cache still shows.
        self.close()?;
        self.open()?;
        self.checkpoint()?;
        self.close()
    }

    fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Insert => self.insert(1),
            Step::Batch(count) => self.insert(count),
            Step::Flush => self.flush(),
            Step::InsertDurable => self.insert_durable(),
            Step::Checkpoint => self.checkpoint(),
            Step::Claim => {
                self.store.as_ref().unwrap().store().end_pause();
                Ok(())
            }
            // A kill leaves another disk, on which the call that fails would have another number.
            Step::Reopen | Step::Kill | Step::Cut(_) => {
                self.close()?;
                self.open()
            }
        }?;
        if let Some(store) = &self.store {
            store.wait_idle();
            same(store, &self.model)?;
        }
        Ok(())
    }

    fn insert(&mut self, count: usize) -> Outcome {
        let leaves = self.model.next(count);
        match self.store.as_ref().unwrap().insert_many(&leaves) {
            Ok(inserted) => {
                self.model.submit(&leaves);
                self.tokens.push((self.model.size(), inserted.token));
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn flush(&mut self) -> Outcome {
        self.model.name_point();
        match self.store.as_ref().unwrap().flush() {
            Ok(()) => self.acknowledged(),
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn insert_durable(&mut self) -> Outcome {
        let leaf = self.model.next(1);
        let store = self.store.as_ref().unwrap();
        let answer = store.insert_durable(leaf[0]);
        if store.size().get() > self.model.size() {
            self.model.submit(&leaf);
            self.model.name_point();
        }
        match answer {
            Ok(index) if index.get() + 1 == self.model.size() => self.acknowledged(),
            Ok(index) => Err(Finding::new(Kind::Answer, format!("index {index}"))),
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn checkpoint(&mut self) -> Outcome {
        self.model.checkpoints.push(self.model.size());
        self.model.name_point();
        // So that the log's own background work does not run beside the checkpoint.
        let store = self.store.as_ref().unwrap();
        let _ = store.flush();
        store.wait_idle();
        match store.checkpoint() {
            Ok(info) if info.seq.0 == self.model.size() => {
                self.model.checkpoint();
                self.acknowledged()
            }
            Ok(info) => Err(Finding::new(Kind::Answer, format!("a checkpoint of {}", info.seq))),
            Err(error @ Error::Poisoned { .. }) => self.must_be_poison(&error),
            Err(Error::Io { .. }) => {
                self.tally.count("failed checkpoints", 1);
                // The flush came first.
                self.acknowledged()?;
                self.judge()?;
                self.heal();
                let context = |finding: Finding| finding.context("after a failed checkpoint");
                self.insert_durable().map_err(context)?;
                self.model.checkpoints.push(self.model.size());
                let again = self.store.as_ref().unwrap().checkpoint();
                again
                    .map_err(|error| context(Finding::new(Kind::Answer, words(&error))))
                    .map(|_| self.model.checkpoint())
            }
            Err(error) => Err(Finding::new(Kind::Answer, words(&error))),
        }
    }

    fn close(&mut self) -> Outcome {
        let Some(store) = self.store.take() else { return Ok(()) };
        self.model.checkpoints.push(self.model.size());
        self.model.name_point();
        match store.close() {
            Ok(()) => {
                if self.setup.on_close {
                    self.model.checkpoint();
                }
                self.acknowledged()
            }
            Err(Error::Io { .. }) => {
                self.tally.count("failed closes", 1);
                self.in_doubt.extend(&self.model.checkpoints);
                // Either the log or what comes after it. The tokens know.
                self.resolve()
            }
            Err(Error::Poisoned { .. }) => self.resolve(),
            Err(error) => Err(Finding::new(Kind::Answer, words(&error))),
        }?;
        self.no_retry()
    }

    fn open(&mut self) -> Outcome {
        self.since = self.disk.operations();
        let store = match self.setup.open(&self.disk) {
            Ok(store) => store,
            Err(Error::Io { .. }) => {
                self.tally.count("failed opens", 1);
                self.no_retry()?;
                self.judge()?;
                self.heal();
                self.since = self.disk.operations();
                reopen(&self.setup, &self.disk)
                    .map_err(|finding| finding.context("once the disk is well"))?
            }
            Err(error) => return Err(Finding::new(Kind::Refused, words(&error))),
        };
        let size = check(&store, &self.model, &self.bounds())?;
        self.model.reset(size, store.recovery().checkpointed);
        self.tokens.clear();
        store.wait_idle();
        self.store = Some(store);
        Ok(())
    }

    /// Nothing fails any more, and there is room.
    fn heal(&self) {
        self.disk.clear_faults();
        self.disk.limit_space(None);
    }

    fn bounds(&self) -> Bounds {
        let Model { acked, checkpoints, .. } = &self.model;
        let checkpoints = checkpoints.iter().chain(&self.in_doubt).copied().collect();
        Bounds { from: *acked, to: self.model.size(), checkpoints }
    }

    /// Everything inserted so far is durable, and the tokens have resolved.
    fn acknowledged(&mut self) -> Outcome {
        self.model.acknowledge();
        self.resolve()?;
        if self.model.acked < self.model.size() {
            return Err(Finding::new(Kind::Answer, "a token failed after a call that did not"));
        }
        Ok(())
    }

    /// Every token has its answer, now, and in order: none is durable after one that is not.
    fn resolve(&mut self) -> Outcome {
        let mut failed = None;
        for (size, token) in self.tokens.drain(..) {
            match (token.wait_timeout(Duration::ZERO), &failed) {
                (Ok(true), None) => self.model.acked = self.model.acked.max(size),
                (Ok(true), Some(earlier)) => {
                    let text = format!("leaf {size} is durable and {earlier} is not");
                    return Err(Finding::new(Kind::Answer, text));
                }
                (Ok(false), _) => {
                    return Err(Finding::new(Kind::Answer, format!("no answer for {size}")));
                }
                (Err(Error::Poisoned { .. } | Error::Closed), _) => failed = Some(size),
                (Err(error), _) => return Err(Finding::new(Kind::Answer, words(&error))),
            }
        }
        Ok(())
    }

    /// The log has failed: nothing is accepted any more, reads go on, and the next open finds what was
    /// acknowledged.
    fn must_be_poison(&mut self, error: &Error) -> Outcome {
        let is_poison = |error: &Error| matches!(error, Error::Poisoned { .. });
        if !is_poison(error) {
            return Err(Finding::new(Kind::Answer, words(error)));
        }
        self.tally.count("poisoned stores", 1);
        self.resolve()?;
        self.heal();
        let store = self.store.take().unwrap();
        store.wait_idle();
        same(&store, &self.model).map_err(|finding| finding.context("reading when poisoned"))?;
        let operations = self.disk.operations();
        let answers = [
            ("insert", store.insert([1; 32]).err()),
            ("insert_many", store.insert_many(&[[1; 32], [2; 32]]).err()),
            ("insert_durable", store.insert_durable([1; 32]).err()),
            ("flush", store.flush().err()),
            ("checkpoint", store.checkpoint().err()),
            ("close", store.close().err()),
        ];
        for (call, answer) in answers {
            if !answer.as_ref().is_some_and(is_poison) {
                let text = format!("{call} of a poisoned store: {answer:?}");
                return Err(Finding::new(Kind::Answer, text));
            }
        }
        if self.disk.operations() != operations {
            let trace = self.disk.trace();
            let text = format!("a poisoned store did {:?}", trace.last());
            return Err(Finding::new(Kind::Answer, text));
        }
        self.no_retry()?;
        self.judge()?;
        self.open()
    }

    /// After an operation failed on a file, nothing but its removal was tried on it by the same
    /// store.
    fn no_retry(&self) -> Outcome {
        let trace = self.disk.trace();
        let at = usize::try_from(self.fault).unwrap();
        if self.fault <= self.since || trace.len() < at {
            return Ok(());
        }
        let failed = trace[at - 1];
        let Some(file) = failed.file() else { return Ok(()) };
        let again = trace[at..].iter().find(|operation| {
            operation.file() == Some(file) && operation.kind() != OperationKind::Remove
        });
        match again {
            Some(again) => {
                Err(Finding::new(Kind::Answer, format!("{failed} failed, then {again}")))
            }
            None => Ok(()),
        }
    }

    /// What a power cut or a kill leaves now keeps every promise, and a store that is opened after a
    /// kill shows nothing that a later power cut takes away.
    fn judge(&self) -> Outcome {
        let choices = [
            CrashChoice::NothingKept,
            CrashChoice::AllKept,
            CrashChoice::Seeded(self.disk.operations()),
        ];
        let mut seen = HashSet::new();
        for choice in choices {
            let left = self.disk.crash(choice);
            if !seen.insert(fingerprint(&left)) {
                continue;
            }
            self.holds(&left, &self.bounds())
                .map_err(|finding| finding.context(format_args!("power cut, {choice:?}")))?;
        }
        let killed = self.disk.kill();
        killed.record();
        let shown = self
            .holds(&killed, &self.bounds())
            .map_err(|finding| finding.context("process killed"))?;
        let opened = killed.operations();
        seen.clear();
        for moment in 0..=opened {
            let mut bounds = self.bounds();
            if moment == opened {
                bounds = shown.clone();
                seen.clear();
            }
            for choice in choices {
                let left = killed.crash_at(moment, choice).unwrap();
                if !seen.insert(fingerprint(&left)) {
                    continue;
                }
                self.holds(&left, &bounds).map_err(|finding| {
                    finding.context(format_args!(
                        "process killed, power cut at {moment} of {opened}, {choice:?}; shown {}",
                        shown.from
                    ))
                })?;
            }
        }
        Ok(())
    }

    /// Opens what is left and checks it; returns what it showed.
    fn holds(&self, left: &SimDisk, bounds: &Bounds) -> Outcome<Bounds> {
        self.tally.count("images", 1);
        let store = reopen(&self.setup, left)?;
        let size = check(&store, &self.model, bounds)?;
        let mut checkpoints = vec![store.recovery().checkpointed];
        checkpoints.extend(&self.in_doubt);
        abandon(left, store);
        Ok(Bounds { from: size, to: size, checkpoints })
    }
}

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
    }
}

/// A workload that meets every kind of operation: rolls, recycling, spares, three checkpoints,
/// closing with and without anything new.
pub(crate) const STEPS: [Step; 26] = [
    Step::InsertDurable,
    Step::Batch(5),
    Step::Checkpoint,
    Step::InsertDurable,
    Step::Claim,
    Step::Insert,
    Step::Flush,
    Step::Claim,
    Step::InsertDurable,
    Step::Checkpoint,
    Step::InsertDurable,
    Step::Insert,
    Step::Reopen,
    Step::InsertDurable,
    Step::Batch(150),
    Step::Claim,
    Step::Flush,
    Step::Claim,
    Step::Reopen,
    Step::Reopen,
    Step::Insert,
    Step::Checkpoint,
    Step::InsertDurable,
    Step::InsertDurable,
    Step::Insert,
    Step::Checkpoint,
];

pub(crate) fn setups() -> [Setup; 4] {
    [
        Setup { on_close: true, ..Setup::PLAIN },
        Setup { segment: 8 << 10, spare: 0, ..Setup::PLAIN },
        Setup { segment: 12 << 10, spare: 16 << 10, unflushed: 640, claims: true, ..Setup::PLAIN },
        // The last checkpoint but one has parts merged.
        Setup { fan_in: Some(2), whole_below: 0, ..Setup::PLAIN },
    ]
}

/// Runs `each` on a thread of its own and fails if it says nothing for long: something hangs.
fn watched(each: impl FnOnce(&mut dyn FnMut(String)) + Send + 'static) {
    let (beat, beats) = mpsc::channel();
    let thread = std::thread::spawn(move || each(&mut |what| beat.send(what).unwrap()));
    let mut last = String::from("the start");
    loop {
        match beats.recv_timeout(Duration::from_secs(600)) {
            Ok(what) => last = what,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("something hangs after {last}"),
        }
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Every operation of the usual workload fails on this kind of store: nothing hangs, lies or is lost.
fn whatever_fails(setup: Setup) {
    watched(move |beat| {
        let tally = Tally::default();
        for number in 1..=healthy_operations(setup) {
            for fault in plans(number) {
                let what = format!("{fault:?} on {setup:?}");
                beat(what.clone());
                let disk = SimDisk::new();
                disk.inject(fault);
                tally.count("injected errors", 1);
                let mut patient = Patient::new(setup, disk, number, &tally);
                let found = patient.run(&STEPS);
                let found = found.map_err(|finding| finding.context(&what));
                if tally.note(found) && tally.is_enough() {
                    break;
                }
            }
        }
        tally.report(
            "failing operations",
            "0 false acknowledgements, 0 leaves lost, 0 resurrected, 0 retries, 0 tokens without \
             answer, 0 hangs",
        );
    });
}

// A test for each kind of store, so that they run side by side.

#[test]
fn whatever_operation_fails_nothing_is_lost_where_closing_makes_a_checkpoint() {
    whatever_fails(setups()[0]);
}

#[test]
fn whatever_operation_fails_nothing_is_lost_in_small_segments() {
    whatever_fails(setups()[1]);
}

#[test]
fn whatever_operation_fails_nothing_is_lost_where_the_log_makes_claims() {
    whatever_fails(setups()[2]);
}

#[test]
fn whatever_operation_fails_nothing_is_lost_where_parts_are_merged() {
    whatever_fails(setups()[3]);
}

/// What a workload that was killed, with leaves that were not flushed, leaves on the disk, and what was inserted.
fn killed(setup: Setup) -> (SimDisk, Model) {
    let mut rig = Rig::new(setup, 7);
    rig.create().unwrap();
    let steps = [
        Step::InsertDurable,
        Step::Batch(5),
        Step::Checkpoint,
        Step::InsertDurable,
        Step::Batch(150),
        Step::Flush,
        Step::Insert,
    ];
    for step in steps {
        rig.step(step).unwrap();
        rig.settle();
    }
    (rig.disk.kill(), rig.model.clone())
}

/// An opening that finds the end of its log torn begins a segment and publishes a manifest, as no other does.
#[test]
fn whatever_operation_fails_in_an_opening_after_a_kill_nothing_is_lost() {
    const AFTER: [Step; 4] =
        [Step::InsertDurable, Step::Checkpoint, Step::Batch(5), Step::InsertDurable];
    watched(|beat| {
        let tally = Tally::default();
        for setup in setups() {
            let (left, model) = killed(setup);
            let mut healthy = Patient::killed(&left, setup, &model, u64::MAX, &tally);
            healthy.run(&AFTER).unwrap();
            for number in 1..=healthy.disk.operations() {
                for fault in plans(number) {
                    let what = format!("{fault:?} after a kill, on {setup:?}");
                    beat(what.clone());
                    tally.count("injected errors", 1);
                    let mut patient = Patient::killed(&left, setup, &model, number, &tally);
                    patient.disk.inject(fault);
                    let found = patient.run(&AFTER);
                    let found = found.map_err(|finding| finding.context(&what));
                    if tally.note(found) && tally.is_enough() {
                        break;
                    }
                }
            }
        }
        tally.report(
            "failing operations after a kill",
            "0 false acknowledgements, 0 leaves lost, 0 resurrected, 0 retries, 0 tokens without \
             answer, 0 hangs, 0 stores that do not open",
        );
    });
}

/// The ways in which the operation of this number fails: without having happened, and in turn one of the others.
pub(crate) fn plans(number: u64) -> Vec<Fault> {
    let mut plans = all_plans(number);
    if scale() == 1 {
        let turn = 1 + usize::try_from(number).unwrap() % 5;
        plans.swap(1, turn);
        plans.truncate(2);
    }
    plans
}

/// All the ways.
pub(crate) fn all_plans(number: u64) -> Vec<Fault> {
    let fails = |error| Fault::new(When::operation(number), error);
    let mut plans = vec![
        fails(FaultError::EIO),
        fails(FaultError::EIO).keeping(CrashChoice::AllKept),
        fails(FaultError::EIO).for_ever(),
        fails(FaultError::ENOSPC).for_ever().keeping(CrashChoice::AllKept),
        fails(FaultError::ENOSPC),
    ];
    plans.extend((0..scale()).map(|seed| {
        let kept = CrashChoice::Seeded(number + seed * 1000);
        fails(FaultError::EIO).keeping(kept)
    }));
    plans
}

/// How many operations the usual workload has when nothing fails.
pub(crate) fn healthy_operations(setup: Setup) -> u64 {
    operations(setup, &STEPS)
}

/// How many operations a workload has when nothing fails.
pub(crate) fn operations(setup: Setup, steps: &[Step]) -> u64 {
    let tally = Tally::default();
    let disk = SimDisk::new();
    let mut patient = Patient::new(setup, disk.clone(), u64::MAX, &tally);
    patient.run(steps).unwrap();
    disk.operations()
}

/// The process ends after a call failed, and another one works on with what the system shows of the
/// files, which may be more than will ever be durable. Whenever the power goes, the store opens.
#[test]
fn work_that_goes_on_with_what_a_failed_call_has_left_survives_power_cuts() {
    let tally = Tally::default();
    let before = [Step::InsertDurable; 7];
    let setup = Setup { segment: 8 << 10, ..Setup::PLAIN };
    for number in 1..=operations(setup, &before) {
        let disk = SimDisk::new();
        disk.inject(Fault::new(When::operation(number), FaultError::EIO).for_ever());
        let mut model = Model::new(setup.oracle(), setup.arity.children(), 7);
        if let Ok(store) = setup.open(&disk) {
            for _ in before {
                let leaf = model.next(1);
                let done = store.insert_durable(leaf[0]);
                store.wait_idle();
                if store.size().get() > model.size() {
                    model.submit(&leaf);
                    model.name_point();
                }
                if done.is_ok() {
                    model.acknowledge();
                }
            }
            abandon(&disk, store);
        }
        let disk = disk.kill();
        disk.record();
        let store = setup.open(&disk).unwrap();
        model.reset(store.size().get(), 0);
        let mut acked = vec![(disk.operations(), model.size())];
        for _ in 0..8 {
            let leaf = model.next(1);
            store.insert_durable(leaf[0]).unwrap();
            model.submit(&leaf);
            model.name_point();
            acked.push((disk.operations(), model.size()));
            store.wait_idle();
        }
        for moment in acked[0].0..=disk.operations() {
            let from = acked[acked.partition_point(|(at, _)| *at <= moment) - 1].1;
            let left = disk.crash_at(moment, CrashChoice::NothingKept).unwrap();
            tally.count("images", 1);
            let bounds = Bounds { from, to: model.size(), checkpoints: vec![0] };
            let found = reopen(&setup, &left).and_then(|store| {
                let found = check(&store, &model, &bounds);
                abandon(&left, store);
                found.map(drop)
            });
            tally.note(found.map_err(|finding| {
                finding.context(format_args!("operation {number} failed, cut at {moment}"))
            }));
        }
        abandon(&disk, store);
    }
    tally.report("work after failures", "0 leaves lost, 0 stores that do not open");
}
