//! Cuts the power at one moment in one way, and looks at what is left.

use std::collections::HashSet;
use std::fmt;

use duramen::DynAccumulator;
use duramen::testing::sim::{CrashChoice, SimDisk};

use crate::check::{Bounds, check, fingerprint, known, reopen, same};
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::model::Model;
use crate::rig::{Rig, Span};
use crate::setup::{Setup, abandon};
use testkit::random::Random;

/// How closely the images of one moment are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// How many seeded choices, besides nothing and everything.
    pub(crate) seeds: u64,
    /// Of how many images one is cut again at every operation of its recovery.
    pub(crate) nested: u64,
    /// Of how many images one goes on to work and is cut later.
    pub(crate) onward: u64,
}

/// Looks at one moment of a step in many ways. Images that are alike are looked at once.
pub(crate) fn moment(
    rig: &Rig,
    span: &Span,
    moment: u64,
    depth: Depth,
    random: &mut Random,
    tally: &Tally,
) -> Outcome {
    tally.count("crash points", 1);
    // What a reader knew to be durable then is there after any cut.
    let running = span.disk.crash_at(moment, CrashChoice::AllKept).unwrap();
    let known = known(&rig.setup, &running)?;
    let mut bounds = span.bounds(moment).clone();
    bounds.from = bounds.from.max(known);
    let mut seen = HashSet::new();
    let seeds: Vec<_> = (0..depth.seeds).map(|_| CrashChoice::Seeded(random.number())).collect();
    for choice in [CrashChoice::NothingKept, CrashChoice::AllKept].into_iter().chain(seeds) {
        let image = span.disk.crash_at(moment, choice).unwrap();
        if !seen.insert(fingerprint(&image)) {
            continue;
        }
        tally.count("crash images", 1);
        let mut image = Image { setup: &rig.setup, model: &rig.model, depth, random, tally };
        image.examine(&span.disk, moment, choice, &bounds).map_err(|finding| {
            let Span { from, to, .. } = span;
            finding.context(format_args!("cut at {moment} of {from}..={to}, {choice:?}"))
        })?;
    }
    Ok(())
}

struct Image<'a> {
    setup: &'a Setup,
    model: &'a Model,
    depth: Depth,
    random: &'a mut Random,
    tally: &'a Tally,
}

impl Image<'_> {
    fn examine(
        &mut self,
        disk: &SimDisk,
        moment: u64,
        choice: CrashChoice,
        bounds: &Bounds,
    ) -> Outcome {
        let image = disk.crash_at(moment, choice).unwrap();
        image.record();
        let store = reopen(self.setup, &image)?;
        let opened = image.operations();
        let size = check(&store, self.model, bounds)?;
        let shown = Shown { size, checkpointed: store.recovery().checkpointed };
        self.shown_is_durable(&image, opened, shown)?;
        if self.random.one_in(self.depth.nested) {
            self.recovery_can_be_cut(&image, opened, shown, 1)?;
        }
        if self.random.one_in(self.depth.onward) {
            self.goes_on(&image, store, shown).map_err(|finding| finding.context("going on"))
        } else {
            abandon(&image, store);
            Ok(())
        }
    }

    /// Whatever open showed survives an immediate power cut.
    fn shown_is_durable(&mut self, image: &SimDisk, opened: u64, shown: Shown) -> Outcome {
        let choice = match self.random.below(4) {
            0 => CrashChoice::Seeded(self.random.number()),
            _ => CrashChoice::NothingKept,
        };
        let left = image.crash_at(opened, choice).unwrap();
        self.tally.count("second cuts", 1);
        self.has(&left, shown).map_err(|finding| {
            finding.context(format_args!("cut after open showed {shown}, {choice:?}"))
        })
    }

    /// Cuts the power at every operation of a recovery from a crash. All it started from was
    /// durable, so nothing may get lost at any moment.
    fn recovery_can_be_cut(
        &mut self,
        image: &SimDisk,
        opened: u64,
        shown: Shown,
        level: u32,
    ) -> Outcome {
        for moment in 0..=opened {
            let seeded = CrashChoice::Seeded(self.random.number());
            let mut seen = HashSet::new();
            for choice in [CrashChoice::NothingKept, CrashChoice::AllKept, seeded] {
                let left = image.crash_at(moment, choice).unwrap();
                if !seen.insert(fingerprint(&left)) {
                    continue;
                }
                let deeper = level == 1 && self.random.one_in(20);
                if deeper {
                    left.record();
                }
                self.tally.count("cuts of a recovery", 1);
                self.has(&left, shown)
                    .and_then(|()| {
                        if !deeper {
                            return Ok(());
                        }
                        self.recovery_can_be_cut(&left, left.operations(), shown, level + 1)
                    })
                    .map_err(|finding| {
                        finding.context(format_args!(
                            "recovery cut at {moment} of {opened}, {choice:?}"
                        ))
                    })?;
            }
        }
        Ok(())
    }

    /// Opens `disk` and expects there what was shown before.
    fn has(&mut self, disk: &SimDisk, shown: Shown) -> Outcome {
        let store = reopen(self.setup, disk)?;
        let bounds = shown.bounds();
        check(&store, self.model, &bounds)?;
        abandon(disk, store);
        Ok(())
    }

    /// The recovered store takes more leaves and a checkpoint, and they survive.
    fn goes_on(&mut self, image: &SimDisk, store: DynAccumulator, shown: Shown) -> Outcome {
        let answer =
            |error: duramen::Error| Finding::new(Kind::Answer, testkit::words::words(&error));
        let mut model = Model::new(self.model.oracle, self.model.arity, self.random.number());
        let had = usize::try_from(shown.size).unwrap();
        model.submit(&self.model.leaves[..had]);
        model.name_point();
        let mut checkpoints = vec![shown.checkpointed];
        for _ in 0..1 + self.random.below(3) {
            let leaves = model.next(1 + usize::try_from(self.random.below(6)).unwrap());
            store.insert_many(&leaves).map_err(answer)?;
            model.submit(&leaves);
            if self.random.one_in(3) {
                store.checkpoint().map_err(answer)?;
                checkpoints = vec![model.size()];
            } else {
                store.flush().map_err(answer)?;
            }
            model.acknowledge();
        }
        let unflushed = model.next(2);
        store.insert_many(&unflushed).map_err(answer)?;
        model.submit(&unflushed);
        same(&store, &model)?;
        let choice = CrashChoice::Seeded(self.random.number());
        let left = image.crash(choice);
        abandon(image, store);
        let store = reopen(self.setup, &left)?;
        self.tally.count("later cuts", 1);
        let bounds = Bounds { from: model.acked, to: model.size(), checkpoints };
        check(&store, &model, &bounds)
            .map_err(|finding| finding.context(format_args!("cut later, {choice:?}")))?;
        abandon(&left, store);
        Ok(())
    }
}

/// What an open showed.
#[derive(Clone, Copy, Debug)]
struct Shown {
    size: u64,
    checkpointed: u64,
}

impl Shown {
    fn bounds(self) -> Bounds {
        Bounds { from: self.size, to: self.size, checkpoints: vec![self.checkpointed] }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaves", self.size)
    }
}
