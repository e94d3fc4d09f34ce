//! Cuts the power at one moment in one way, and looks at all trees of what is left.

use std::collections::HashSet;
use std::rc::Rc;

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{Compact, Error, Hash, Store, StoreReader};

use super::gone::Gone;
use super::model::{Bounds, check};
use super::rig::{Rig, Span, abandon, known, refused, reopen};
use super::setup::Setup;
use super::state::{
    Known, New, State, followed, has_known, keeps_entries, leaves_of, opened, shown,
};
use crate::check::fingerprint;
use crate::examine::Depth;
use crate::findings::{Finding, Kind, Outcome, Tally};
use testkit::random::Random;
use testkit::words::words;

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
    let mut seen = HashSet::new();
    let seeds: Vec<_> = (0..depth.seeds).map(|_| CrashChoice::Seeded(random.number())).collect();
    for choice in [CrashChoice::NothingKept, CrashChoice::AllKept].into_iter().chain(seeds) {
        let left = span.disk.crash_at(moment, choice).unwrap();
        if !seen.insert(fingerprint(&left)) {
            continue;
        }
        tally.count("crash images", 1);
        tally.count("crash images of several trees", 1);
        span.gone(moment).check(&left)?;
        let mut image = Image { setup: &rig.setup, depth, random, tally };
        image.examine(&left, span.bounds(moment), &known).map_err(|finding| {
            let Span { from, to, .. } = span;
            finding.context(format_args!("cut at {moment} of {from}..={to}, {choice:?}"))
        })?;
    }
    Ok(())
}

struct Image<'a> {
    setup: &'a Setup,
    depth: Depth,
    random: &'a mut Random,
    tally: &'a Tally,
}

impl Image<'_> {
    fn examine(&mut self, image: &SimDisk, bounds: &Bounds, known: &Known) -> Outcome {
        let read = if self.random.one_in(4) { self.read(image)? } else { None };
        image.record();
        let store = reopen(self.setup, image)?;
        let moment = image.operations();
        let found = check(&store, bounds)?;
        has_known(&found, known)?;
        if read.is_some_and(|read| read != found) {
            return Err(Finding::new(Kind::Answer, "a reader showed other trees than the writer"));
        }
        let shown = Bounds {
            states: vec![Rc::new(found)],
            checkpoints: vec![store.recovery().checkpointed],
        };
        self.shown_is_durable(image, moment, &shown)?;
        if self.random.one_in(self.depth.nested) {
            self.recovery_can_be_cut(image, moment, &shown, 1)?;
        }
        if self.random.one_in(self.depth.onward) {
            self.goes_on(image, store, &shown).map_err(|finding| finding.context("going on"))
        } else {
            abandon(image, store);
            Ok(())
        }
    }

    /// What a reader shows of a store that was left without a warning, if there is one.
    fn read(&self, image: &SimDisk) -> Outcome<Option<State>> {
        match StoreReader::open(self.setup.config(image)) {
            Ok(reader) => followed(&reader).map(Some),
            Err(Error::NoStore { .. }) => Ok(None),
            Err(error) => Err(Finding::new(Kind::Refused, words(&error)).context("by a reader")),
        }
    }

    /// Whatever open showed survives an immediate power cut.
    fn shown_is_durable(&mut self, image: &SimDisk, moment: u64, shown: &Bounds) -> Outcome {
        let choice = match self.random.below(4) {
            0 => CrashChoice::Seeded(self.random.number()),
            _ => CrashChoice::NothingKept,
        };
        let left = image.crash_at(moment, choice).unwrap();
        self.tally.count("second cuts", 1);
        self.has(&left, shown)
            .map_err(|finding| finding.context(format_args!("cut after open, {choice:?}")))
    }

    /// Cuts the power at every operation of a recovery from a crash. All it started from was
    /// durable, so nothing may get lost at any moment.
    fn recovery_can_be_cut(
        &mut self,
        image: &SimDisk,
        opened: u64,
        shown: &Bounds,
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
                    .and_then(|()| match deeper {
                        true => {
                            self.recovery_can_be_cut(&left, left.operations(), shown, level + 1)
                        }
                        false => Ok(()),
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
    fn has(&self, disk: &SimDisk, shown: &Bounds) -> Outcome {
        let store = reopen(self.setup, disk)?;
        check(&store, shown)?;
        abandon(disk, store);
        Ok(())
    }

    /// The recovered store fills, drops and creates trees, makes a checkpoint, is closed and opened again.
    fn goes_on(&mut self, image: &SimDisk, store: Store, before: &Bounds) -> Outcome {
        let mut state = (*before.states[0]).clone();
        // Other ones for each kind of tree, so that no leaf is the beginning of an entry.
        let seeds = |kind: usize| -> Vec<Hash> {
            (0..9)
                .map(|number: usize| {
                    blake3::hash(&[kind, number].map(usize::to_le_bytes).concat()).into()
                })
                .collect()
        };
        let mut gone = Gone::default();
        let mut batch = store.batch();
        for (name, tree) in &mut state {
            if !tree.sealed {
                let handle = store.existing_tree(name).map_err(refused)?;
                let new = New::of_kind(tree.kind, seeds(tree.kind));
                new.add(&mut batch, &handle).map_err(refused)?;
                tree.leaves.extend(&new.leaves);
                new.entries.last().inspect(|entry| gone.add(entry));
            }
        }
        batch.mark("later").map_err(refused)?;
        drop(batch.commit().map_err(refused)?);
        state.mark("later");
        for (name, tree) in &mut state {
            let last = tree.leaves.len().checked_sub(1).filter(|_| keeps_entries(tree.kind));
            let is_left =
                |last: &usize| *last as u64 >= tree.base && !tree.erased.contains(&(*last as u64));
            if let Some(last) = last.filter(is_left) {
                let handle = store.existing_tree(name).map_err(refused)?;
                let range = tree.erase(last as u64);
                drop(handle.erase(range, "").map_err(refused)?);
            }
        }
        let last =
            state.iter().filter(|(_, tree)| !tree.sealed).map(|(name, _)| name.clone()).next_back();
        if let Some(name) = last.filter(|_| self.random.one_in(2)) {
            let known = &state[&name];
            let size = (known.leaves.len() as u64 / 2).max(known.base);
            let handle = store.existing_tree(&name).map_err(refused)?;
            handle.rewind(size).map_err(refused)?;
            state.rewind(&name, size);
        }
        store.flush().map_err(refused)?;
        let flushed = Rc::new(state.clone());
        if let Some(first) = state.keys().next().cloned() {
            drop(store.drop_tree(&first).map_err(refused)?);
            state.remove(&first);
        }
        if shown(&store)? != state {
            return Err(Finding::new(Kind::Answer, "the store shows other trees than it took"));
        }
        store.wait_idle();
        let left = image.crash(CrashChoice::Seeded(self.random.number()));
        self.tally.count("later cuts", 1);
        // The drop was not flushed.
        let bounds = Bounds { states: vec![flushed], checkpoints: before.checkpoints.clone() };
        self.has(&left, &bounds).map_err(|finding| finding.context("cut later"))?;
        store.checkpoint().map_err(refused)?;
        // What was read until then, such as a tree that was dropped, is wiped by the next one.
        store.wait_idle();
        store.checkpoint().map_err(refused)?;
        only_needed_parts(&store, image)?;
        let compacted = self.random.one_in(2);
        if compacted {
            let done = store.compact(Compact::new()).map_err(refused)?;
            if done.pinned_files > 0 {
                return Err(Finding::new(Kind::Answer, format!("files are pinned: {done:?}")));
            }
            only_needed_parts(&store, image)?;
            gone.check(image)?;
            gone.check(&image.crash(CrashChoice::NothingKept))?;
        }
        store.close().map_err(refused)?;
        let again = reopen(self.setup, image)?;
        let found = opened(&again)?;
        let checkpointed = again.recovery().checkpointed;
        abandon(image, again);
        if found != state {
            return Err(Finding::new(Kind::Lost, format!("{found:?}, not {state:?}")));
        }
        if checkpointed != leaves_of(&state) {
            return Err(Finding::new(Kind::Checkpoint, format!("of {checkpointed} leaves")));
        }
        Ok(())
    }
}

/// After a checkpoint there is no part that no tree needs, and none is missing.
fn only_needed_parts(store: &Store, disk: &SimDisk) -> Outcome {
    store.wait_idle();
    let files = disk.files();
    let there = files.iter().filter(|file| file.kind == FileKind::Part).count() as u64;
    let needed: u64 = store.trees().map_err(refused)?.iter().map(|tree| tree.parts).sum();
    if there != needed {
        let text = format!("{there} parts are there and {needed} are needed");
        return Err(Finding::new(Kind::Checkpoint, text));
    }
    Ok(())
}
