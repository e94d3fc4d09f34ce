//! Every operation of a store of several trees fails: once and for ever, with and without having happened.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Fault, Operation, OperationKind, SimDisk};
use duramen::{Compact, DurabilityToken, Error, Store};

use super::model::{Bounds, Model, NAMES, check};
use super::rig::{Step, abandon, refused, reopen};
use super::setup::Setup;
use super::state::{Tree, keeps_entries, shown, tree_behind, tree_config};
use super::unique::Submission;
use crate::check::fingerprint;
use crate::fault::{all_plans, plans};
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::run::{Run, Seed};
use testkit::words::words;

/// A store whose disk fails, and what it has answered.
struct Patient<'a> {
    setup: Setup,
    disk: SimDisk,
    model: Model,
    store: Option<Store>,
    /// With the numbers of calls that they are of.
    tokens: Vec<DurabilityToken>,
    /// The operation that fails, or the first that does.
    fault: u64,
    /// How many operations there were before the store was opened.
    since: u64,
    /// Checkpoints that may come back: of a manifest that can be seen and whose last sync failed.
    in_doubt: Vec<u64>,
    /// Whether entries were erased.
    has_erased: bool,
    tally: &'a Tally,
}

/// How a call went.
enum Went {
    Well,
    /// The store was poisoned, and is open again.
    Poisoned,
}

impl<'a> Patient<'a> {
    fn new(setup: Setup, disk: SimDisk, fault: u64, tally: &'a Tally) -> Self {
        let (model, tokens, in_doubt) = (Model::new(), Vec::new(), Vec::new());
        let (store, since, has_erased) = (None, 0, false);
        Self { setup, disk, model, store, tokens, fault, since, in_doubt, has_erased, tally }
    }

    /// Runs the steps. Whatever fails, the store is looked at, and opened again once the disk is well, and the
    /// workload goes on.
    fn run(&mut self, steps: &[Step]) -> Outcome {
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

    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::Insert(name, count) => self.insert(NAMES[name], count),
            Step::Batch(count) => self.batch(count),
            Step::Unique(name, count) => self.unique(NAMES[name], count),
            Step::Create(name) => self.create(NAMES[name]).map(drop),
            Step::Begin(name, count) => self.begin(NAMES[name], count),
            Step::Seal(name) => self.seal(NAMES[name]),
            Step::Drop(name) => self.drop_tree(NAMES[name]),
            Step::Erase(name) => self.erase(NAMES[name]),
            Step::Bare(name, count) => self.bare(NAMES[name], count),
            Step::Mark => self.mark(),
            Step::Unmark => self.unmark(),
            Step::Rewind(name, quarters) => self.rewind(NAMES[name], quarters),
            Step::RewindTo => self.rewind_to(),
            Step::Prune(name, quarters) => self.prune(NAMES[name], quarters),
            Step::Compact => self.compact(),
            Step::Flush => self.flush(),
            Step::Checkpoint => self.checkpoint(),
            Step::Claim => {
                self.store().end_pause();
                Ok(())
            }
            Step::Follow => Ok(()),
            // A kill leaves another disk, on which the call that fails would have another number.
            Step::Reopen | Step::Kill | Step::Cut(_) => {
                self.close()?;
                self.open()
            }
        }?;
        if let Some(store) = &self.store {
            store.wait_idle();
            self.shows_what_it_took(store)?;
        }
        Ok(())
    }

    fn shows_what_it_took(&self, store: &Store) -> Outcome {
        let found = shown(store)?;
        if found != self.model.now {
            let text = format!("{found:?} is shown, not {:?}", self.model.now);
            return Err(Finding::new(Kind::Answer, text));
        }
        Ok(())
    }

    /// The tree `name`, created where it is not there; `None` after the store was poisoned.
    fn create(&mut self, name: &str) -> Outcome<Option<duramen::DynAccumulator>> {
        let store = self.store();
        match store.tree_dyn(name, tree_config(self.model.kind_of(name))) {
            Ok(tree) => {
                if !self.model.now.contains_key(name) {
                    let infos = store.trees().map_err(refused)?;
                    let info = infos.iter().find(|info| info.name.as_str() == name).unwrap();
                    self.model.create(name, info.id)?;
                    self.tokens.push(tree.created());
                }
                Ok(Some(tree))
            }
            Err(error) => self.must_be_poison(&error).map(|()| None),
        }
    }

    fn begin(&mut self, name: &str, count: usize) -> Outcome {
        if self.model.now.contains_key(name) {
            return Ok(());
        }
        let leaves = self.model.new_leaves(name, count).leaves;
        let store = self.store();
        match store.tree_dyn(name, tree_behind(self.model.kind_of(name), &leaves)) {
            Ok(tree) => {
                let infos = store.trees().map_err(refused)?;
                let info = infos.iter().find(|info| info.name.as_str() == name).unwrap();
                self.tokens.push(tree.created());
                self.model.begin(name, info.id, leaves)
            }
            Err(error) => {
                drop(store);
                self.must_be_poison(&error)
            }
        }
    }

    fn insert(&mut self, name: &str, count: usize) -> Outcome {
        let Some(tree) = self.create(name)? else { return Ok(()) };
        let new = self.model.new_leaves(name, count);
        match new.insert(&tree) {
            Ok(inserted) => {
                self.model.now.get_mut(name).unwrap().leaves.extend(new.leaves);
                self.tokens.push(inserted.token);
                Ok(())
            }
            Err(Error::TreeSealed { .. }) if self.model.now[name].sealed => Ok(()),
            Err(error) => {
                drop(tree);
                self.must_be_poison(&error)
            }
        }
    }

    fn batch(&mut self, count: usize) -> Outcome {
        let store = self.store();
        let mut batch = store.batch();
        let mut new = Vec::new();
        for name in NAMES {
            if self.model.now.get(name).is_some_and(|tree| !tree.sealed) {
                let leaves = self.model.new_leaves(name, count);
                let tree = store.existing_tree(name).map_err(refused)?;
                leaves.add(&mut batch, &tree).map_err(refused)?;
                new.push((name, leaves.leaves));
            }
        }
        let mark = (count % 2 == 1).then(|| self.model.new_mark());
        if let Some(mark) = &mark {
            batch.mark(mark).map_err(refused)?;
        }
        let committed = batch.commit();
        drop(store);
        match committed {
            Ok(committed) => {
                for (name, leaves) in new {
                    self.model.now.get_mut(name).unwrap().leaves.extend(leaves);
                }
                mark.inspect(|mark| self.model.now.mark(mark));
                self.tokens.push(committed.token);
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn seal(&mut self, name: &str) -> Outcome {
        match self.store().seal(name) {
            Ok(token) => {
                self.model.now.get_mut(name).unwrap().sealed = true;
                self.tokens.push(token);
                Ok(())
            }
            Err(Error::NoTree { .. }) if !self.model.now.contains_key(name) => Ok(()),
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn drop_tree(&mut self, name: &str) -> Outcome {
        match self.store().drop_tree(name) {
            Ok(token) => {
                self.model.now.remove(name);
                self.tokens.push(token);
                Ok(())
            }
            Err(Error::NoTree { .. }) if !self.model.now.contains_key(name) => Ok(()),
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn erase(&mut self, name: &str) -> Outcome {
        let Some(known) = self.model.now.get(name) else { return Ok(()) };
        let Some(index) = known.not_erased() else { return Ok(()) };
        let tree = match self.store().existing_tree(name) {
            Ok(tree) => tree,
            Err(error) => return self.must_be_poison(&error),
        };
        let range = known.clone().erase(index);
        let erased = tree.erase(range, "asked for");
        self.has_erased = true;
        drop(tree);
        match erased {
            Ok(token) => {
                self.model.now.get_mut(name).unwrap().erase(index);
                self.tokens.push(token);
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn bare(&mut self, name: &str, count: usize) -> Outcome {
        let takes = |tree: &Tree| keeps_entries(tree.kind) && !tree.sealed;
        if !self.model.now.get(name).is_some_and(takes) {
            return Ok(());
        }
        let new = self.model.new_leaves(name, count);
        let tree = match self.store().existing_tree(name) {
            Ok(tree) => tree,
            Err(error) => return self.must_be_poison(&error),
        };
        let inserted = tree.insert_erased(&new.leaves, SystemTime::now(), "erased elsewhere");
        self.has_erased = true;
        drop(tree);
        match inserted {
            Ok(inserted) => {
                let known = self.model.now.get_mut(name).unwrap();
                known.leaves.extend(new.leaves);
                known.erased.extend(inserted.range);
                self.tokens.push(inserted.token);
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn unique(&mut self, name: &str, count: usize) -> Outcome {
        let Some(asked) = Submission::new(&mut self.model, name, count) else { return Ok(()) };
        let tree = match self.store().existing_tree(name) {
            Ok(tree) => tree,
            Err(error) => return self.must_be_poison(&error),
        };
        let done = tree.insert_unique_entries(&asked.entries);
        drop(tree);
        match done {
            Ok(done) => {
                self.tokens.extend(done.iter().map(|done| done.token().clone()));
                asked.settle(&mut self.model, &done)
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn mark(&mut self) -> Outcome {
        let name = self.model.new_mark();
        match self.store().mark(&name) {
            Ok(token) => {
                self.model.now.mark(&name);
                self.tokens.push(token);
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn unmark(&mut self) -> Outcome {
        let Some(name) = self.model.now.oldest_mark() else { return Ok(()) };
        match self.store().drop_mark(&name) {
            Ok(token) => {
                self.model.now.drop_oldest_mark();
                self.tokens.push(token);
                Ok(())
            }
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn rewind(&mut self, name: &str, quarters: usize) -> Outcome {
        let Some(known) = self.model.now.get(name).filter(|tree| !tree.sealed) else {
            return Ok(());
        };
        let size = (known.leaves.len() * quarters / 4) as u64;
        if size < known.base {
            return Ok(());
        }
        let tree = match self.store().existing_tree(name) {
            Ok(tree) => tree,
            Err(error) => return self.must_be_poison(&error),
        };
        let rewound = tree.rewind(size);
        let accepted = tree.size().get() == size;
        drop(tree);
        self.after_rewind(rewound.map(drop), &[(name.to_owned(), size)], accepted)
    }

    fn rewind_to(&mut self) -> Outcome {
        let Some((mark, sizes)) = self.model.now.some_mark() else { return Ok(()) };
        let loses = |(name, size): &&(String, u64)| {
            self.model.now.get(name).is_some_and(|tree| tree.leaves.len() as u64 > *size)
        };
        let sizes: Vec<_> = sizes.iter().filter(loses).cloned().collect();
        let refuses = |(name, size): &(String, u64)| {
            let tree = &self.model.now[name];
            tree.sealed || *size < tree.base
        };
        if sizes.iter().any(refuses) {
            return Ok(());
        }
        let rewound = self.store().rewind_to(&mark);
        let infos = self.store().trees().map_err(refused)?;
        let is_cut = |(name, size): &(String, u64)| {
            infos.iter().any(|info| info.name.as_str() == name && info.size.get() == *size)
        };
        let accepted = sizes.iter().all(is_cut);
        self.after_rewind(rewound.map(drop), &sizes, accepted)
    }

    /// A rewind that fails was accepted or not, and the next open shows the trees before or after it.
    fn after_rewind(
        &mut self,
        rewound: Result<(), Error>,
        sizes: &[(String, u64)],
        accepted: bool,
    ) -> Outcome {
        self.model.name_point();
        if accepted {
            self.model.rewind(sizes);
        }
        match rewound {
            Ok(()) => {
                self.model.acknowledge();
                for token in self.tokens.drain(..) {
                    match token.wait_timeout(Duration::ZERO) {
                        Ok(true) | Err(Error::Rewound { .. }) => {}
                        answer => {
                            let text = format!("the token of {}: {answer:?}", token.seq());
                            return Err(Finding::new(Kind::Answer, text));
                        }
                    }
                }
                Ok(())
            }
            Err(error) => {
                self.tokens.clear();
                self.must_be_poison(&error)
            }
        }
    }

    /// A prune that fails leaves the tree as it is, and another one ends it. Until then a crash may show its manifest.
    fn prune(&mut self, name: &str, quarters: usize) -> Outcome {
        let Some(known) = self.model.now.get(name) else { return Ok(()) };
        let below = (known.leaves.len() * quarters / 4) as u64;
        if below <= known.base {
            return Ok(());
        }
        self.model.name_point();
        let _ = self.store().flush();
        self.store().wait_idle();
        let before = self.model.checkpoints.clone();
        match self.try_prune(name, below) {
            Ok(Went::Well | Went::Poisoned) => Ok(()),
            Err(None) => {
                self.tally.count("failed prunes", 1);
                self.model.checkpoints.extend(before);
                self.acknowledged()?;
                self.model.prune(name, below);
                self.judge()?;
                self.heal();
                match self.try_prune(name, below) {
                    Ok(Went::Well) => Ok(()),
                    Ok(Went::Poisoned) | Err(None) => {
                        Err(Finding::new(Kind::Answer, "no prune once the disk is well"))
                    }
                    Err(Some(finding)) => Err(finding),
                }
            }
            Err(Some(finding)) => Err(finding),
        }
    }

    /// `None` if the prune failed and the store goes on.
    fn try_prune(&mut self, name: &str, below: u64) -> Result<Went, Option<Finding>> {
        self.model.prune_checkpoints(name, below);
        let pruned = self.store().existing_tree(name).and_then(|tree| tree.prune(below));
        match pruned {
            Ok(_) => {
                self.model.prune(name, below);
                self.acknowledged()?;
                Ok(Went::Well)
            }
            Err(error @ Error::Poisoned { .. }) => {
                self.must_be_poison(&error)?;
                Ok(Went::Poisoned)
            }
            Err(Error::Io { .. }) => Err(None),
            Err(error) => Err(Some(refused(error))),
        }
    }

    /// A compaction that fails leaves the store as it is, and another one ends it.
    fn compact(&mut self) -> Outcome {
        self.model.name_point();
        let _ = self.store().flush();
        self.store().wait_idle();
        let before = self.model.checkpoints.clone();
        match self.try_compact() {
            Ok(Went::Well | Went::Poisoned) => Ok(()),
            Err(None) => {
                self.tally.count("failed compactions", 1);
                self.model.checkpoints.extend(before);
                self.acknowledged()?;
                self.judge()?;
                self.heal();
                match self.try_compact() {
                    Ok(Went::Well) => Ok(()),
                    Ok(Went::Poisoned) | Err(None) => {
                        Err(Finding::new(Kind::Answer, "no compaction once the disk is well"))
                    }
                    Err(Some(finding)) => Err(finding),
                }
            }
            Err(Some(finding)) => Err(finding),
        }
    }

    /// `None` if the compaction failed and the store goes on.
    fn try_compact(&mut self) -> Result<Went, Option<Finding>> {
        self.model.checkpoints.push(super::state::leaves_of(&self.model.now));
        match self.store().compact(Compact::new()) {
            Ok(done) if done.pinned_files > 0 => {
                let text = format!("files are pinned: {done:?}");
                Err(Some(Finding::new(Kind::Answer, text)))
            }
            Ok(_) => {
                self.model.checkpoint();
                self.model.compacted();
                self.model.gone.check(&self.disk)?;
                self.acknowledged()?;
                Ok(Went::Well)
            }
            Err(error @ Error::Poisoned { .. }) => {
                self.must_be_poison(&error)?;
                Ok(Went::Poisoned)
            }
            Err(Error::Io { .. }) => Err(None),
            Err(error) => Err(Some(refused(error))),
        }
    }

    fn flush(&mut self) -> Outcome {
        self.model.name_point();
        match self.store().flush() {
            Ok(()) => self.acknowledged(),
            Err(error) => self.must_be_poison(&error),
        }
    }

    fn checkpoint(&mut self) -> Outcome {
        self.model.name_point();
        // So that the log's own background work does not run beside the checkpoint.
        let _ = self.store().flush();
        self.store().wait_idle();
        let before = self.model.checkpoints.clone();
        match self.try_checkpoint() {
            Ok(Went::Well | Went::Poisoned) => Ok(()),
            Err(None) => {
                self.tally.count("failed checkpoints", 1);
                self.model.checkpoints.extend(before);
                // The flush came first.
                self.acknowledged()?;
                self.judge()?;
                self.heal();
                self.insert(NAMES[1], 1)?;
                self.flush()?;
                let again = self.try_checkpoint();
                match again {
                    Ok(Went::Well) => Ok(()),
                    Ok(Went::Poisoned) | Err(None) => {
                        Err(Finding::new(Kind::Answer, "no checkpoint once the disk is well"))
                    }
                    Err(Some(finding)) => Err(finding),
                }
            }
            Err(Some(finding)) => Err(finding),
        }
    }

    /// `None` if the checkpoint failed and the store goes on.
    fn try_checkpoint(&mut self) -> Result<Went, Option<Finding>> {
        self.model.checkpoints.push(super::state::leaves_of(&self.model.now));
        match self.store().checkpoint() {
            Ok(_) => {
                self.model.checkpoint();
                self.acknowledged()?;
                Ok(Went::Well)
            }
            Err(error @ Error::Poisoned { .. }) => {
                self.must_be_poison(&error)?;
                Ok(Went::Poisoned)
            }
            Err(Error::Io { .. }) => Err(None),
            Err(error) => Err(Some(refused(error))),
        }
    }

    fn close(&mut self) -> Outcome {
        let Some(store) = self.store.take() else { return Ok(()) };
        self.model.checkpoints.push(super::state::leaves_of(&self.model.now));
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
                self.resolve().map(|all| {
                    if all {
                        self.model.acknowledge();
                    }
                })
            }
            Err(Error::Poisoned { .. }) => self.resolve().map(drop),
            Err(error) => Err(refused(error)),
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
        let found = check(&store, &self.bounds())?;
        self.model.reset(found, store.recovery().checkpointed);
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
        let checkpoints = self.model.checkpoints.iter().chain(&self.in_doubt).copied().collect();
        self.model.bounds(self.model.acked(), checkpoints)
    }

    /// Everything up to now is durable, and the tokens have resolved.
    fn acknowledged(&mut self) -> Outcome {
        self.model.acknowledge();
        if self.resolve()? {
            return Ok(());
        }
        Err(Finding::new(Kind::Answer, "a token failed after a call that did not"))
    }

    /// Every token has its answer, now, and in order: none is durable after one that is not. Returns whether
    /// all of them are durable.
    fn resolve(&mut self) -> Outcome<bool> {
        let mut all = true;
        for token in self.tokens.drain(..) {
            match (token.wait_timeout(Duration::ZERO), all) {
                (Ok(true), true) => {}
                (Ok(true), false) => {
                    let text = format!("{} is durable and what came before is not", token.seq());
                    return Err(Finding::new(Kind::Answer, text));
                }
                (Ok(false), _) => {
                    return Err(Finding::new(
                        Kind::Answer,
                        format!("no answer for {}", token.seq()),
                    ));
                }
                (Err(Error::Poisoned { .. } | Error::Closed), _) => all = false,
                (Err(error), _) => return Err(refused(error)),
            }
        }
        Ok(all)
    }

    /// The log has failed: nothing is accepted any more in any tree, reads go on, and the next open finds what
    /// was acknowledged.
    fn must_be_poison(&mut self, error: &Error) -> Outcome {
        let is_poison = |error: &Error| matches!(error, Error::Poisoned { .. });
        if !is_poison(error) {
            return Err(Finding::new(Kind::Answer, words(error)));
        }
        self.tally.count("poisoned stores", 1);
        // A flush that failed has named its point. What is durable of it only the next open shows.
        self.model.name_point();
        self.resolve()?;
        self.heal();
        let store = self.store.take().unwrap();
        store.wait_idle();
        self.shows_what_it_took(&store).map_err(|finding| finding.context("when poisoned"))?;
        let operations = self.disk.operations();
        let mut answers = vec![
            ("tree_dyn", store.tree_dyn("another", tree_config(0)).err()),
            ("flush", store.flush().err()),
            ("checkpoint", store.checkpoint().err()),
            ("compact", store.compact(Compact::new()).err()),
            ("mark", store.mark("another").err()),
        ];
        for (name, tree) in &self.model.now {
            let handle = store.existing_tree(name).map_err(refused)?;
            if !tree.sealed {
                answers.push(("insert", handle.insert_data(&[1; 32]).err()));
                let mut batch = store.batch();
                batch.insert_data(&handle, &[1; 32]).map_err(refused)?;
                answers.push(("commit", batch.commit().err()));
                answers.push(("seal", store.seal(name).err()));
            }
            if let Some(index) = tree.not_erased() {
                answers.push(("erase", handle.erase(index..index + 1, "").err()));
            }
            answers.push(("drop_tree", store.drop_tree(name).err()));
        }
        answers.push(("close", store.close().err()));
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

    /// After an operation failed on a file, the same store tried nothing on it but its removal.
    ///
    /// The name of an index may be used again. A file is only created where there is none, so that is another file, and
    /// nothing that was lost of the first one is taken for written.
    ///
    /// Once entries were erased, a released file may also be overwritten from its beginning.
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
        let is_new_index = |again: &Operation| {
            file.kind == FileKind::Index && again.kind() == OperationKind::Create
        };
        let wipes = |again: &Operation| match *again {
            Operation::Write { at, len, .. } => at.0 == 0 && len >= 4096,
            _ => false,
        };
        let allowed = |again: &&Operation| is_new_index(again) || self.has_erased && wipes(again);
        again.filter(|again| !allowed(again)).map_or(Ok(()), |again| {
            Err(Finding::new(Kind::Answer, format!("{failed} failed, then {again}")))
        })
    }

    /// What a power cut or a kill leaves now keeps every promise, and a store that is opened after a kill shows
    /// nothing that a later power cut takes away.
    fn judge(&self) -> Outcome {
        let choices = [
            CrashChoice::NothingKept,
            CrashChoice::AllKept,
            CrashChoice::Seeded(self.disk.operations()),
        ];
        let mut seen = HashSet::new();
        for choice in choices {
            let left = self.disk.crash(choice);
            if seen.insert(fingerprint(&left)) {
                self.holds(&left, &self.bounds())
                    .map_err(|finding| finding.context(format_args!("power cut, {choice:?}")))?;
            }
        }
        let killed = self.disk.kill();
        killed.record();
        let shown = self
            .holds(&killed, &self.bounds())
            .map_err(|finding| finding.context("process killed"))?;
        let opened = killed.operations();
        for moment in 0..=opened {
            let bounds = if moment == opened { shown.clone() } else { self.bounds() };
            for choice in choices {
                let left = killed.crash_at(moment, choice).unwrap();
                if moment < opened && !seen.insert(fingerprint(&left)) {
                    continue;
                }
                self.holds(&left, &bounds).map_err(|finding| {
                    finding.context(format_args!(
                        "process killed, power cut at {moment} of {opened}, {choice:?}"
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
        let found = check(&store, bounds)?;
        let mut checkpoints = vec![store.recovery().checkpointed];
        checkpoints.extend(&self.in_doubt);
        abandon(left, store);
        Ok(Bounds { states: vec![std::rc::Rc::new(found)], checkpoints })
    }
}

impl Drop for Patient<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
    }
}

/// A workload that meets every kind of operation on up to three trees.
const STEPS: [Step; 37] = [
    Step::Insert(0, 2),
    Step::Insert(1, 5),
    Step::Batch(3),
    Step::Flush,
    Step::Claim,
    Step::Checkpoint,
    Step::Create(2),
    Step::Mark,
    Step::Batch(60),
    Step::Erase(1),
    Step::Bare(1, 3),
    Step::Unique(1, 2),
    Step::Flush,
    Step::Compact,
    Step::Seal(1),
    Step::Unmark,
    Step::Rewind(0, 3),
    Step::Checkpoint,
    Step::Batch(2),
    Step::Erase(1),
    Step::Reopen,
    Step::Compact,
    Step::Drop(1),
    Step::Flush,
    Step::Claim,
    Step::Begin(1, 5),
    Step::Insert(1, 3),
    Step::Checkpoint,
    Step::Batch(2),
    Step::Reopen,
    Step::Batch(1),
    Step::Rewind(0, 2),
    Step::RewindTo,
    Step::Batch(1),
    Step::Checkpoint,
    Step::Erase(2),
    Step::Compact,
];

fn setups() -> [Setup; 3] {
    [
        Setup { on_close: true, ..Setup::PLAIN },
        Setup { segment: 8 << 10, spare: 0, unflushed: 900, claims: true, ..Setup::PLAIN },
        Setup { fan_in: Some(2), ..Setup::PLAIN },
    ]
}

/// How many operations the workload has when nothing fails.
fn operations(setup: Setup, steps: &[Step]) -> Outcome<u64> {
    let disk = SimDisk::new();
    Patient::new(setup, disk.clone(), u64::MAX, &Tally::default()).run(steps)?;
    Ok(disk.operations())
}

fn failing(setup: Setup, steps: &[Step], number: u64, fault: Fault, tally: &Tally) -> Outcome {
    let disk = SimDisk::new();
    disk.inject(fault);
    tally.count("injected errors", 1);
    Patient::new(setup, disk, number, tally)
        .run(steps)
        .map_err(|finding| finding.context(format_args!("{fault:?} on {setup:?}")))
}

/// Into how many shares the failing calls of a workload are divided.
const SHARES: u64 = 16;

/// Every so many calls of a workload fail, each in each way.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) seed: Seed,
    setup: Setup,
    steps: Vec<Step>,
    share: u64,
}

/// The shares of the usual workload on all kinds of stores, and of these others.
pub(crate) fn shares(
    run: Run,
    first: u64,
    others: impl Iterator<Item = super::Workload>,
) -> Vec<Share> {
    let usual = setups().map(|setup| (setup, STEPS.to_vec()));
    let all = usual.into_iter().chain(others.map(|workload| (workload.setup, workload.steps)));
    let shares =
        all.flat_map(|(setup, steps)| (0..SHARES).map(move |share| (setup, steps.clone(), share)));
    (first..)
        .zip(shares)
        .map(|(number, (setup, steps, share))| Share {
            seed: run.seed(number),
            setup,
            steps,
            share,
        })
        .collect()
}

impl Share {
    /// The calls of this share.
    pub(crate) fn work(&self, tally: &Tally) -> Outcome {
        let Self { seed, setup, steps, share } = self;
        tally.count("workloads", u64::from(*share == 0));
        for number in 1..=operations(*setup, steps)? {
            if number % SHARES == *share {
                for fault in all_plans(number) {
                    failing(*setup, steps, number, fault, tally).map_err(|finding| {
                        finding.context(format_args!("to see it again: {seed}"))
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Every operation of the usual workload fails on this kind of store: all trees are as they were at one point.
fn whatever_fails(setup: Setup) {
    let tally = Tally::default();
    for number in 1..=operations(setup, &STEPS).unwrap() {
        for fault in plans(number) {
            tally.note(failing(setup, &STEPS, number, fault, &tally));
        }
        if tally.is_enough() {
            break;
        }
    }
    tally.report(
        "failing operations, several trees",
        "0 false acknowledgements, 0 leaves lost, 0 retries, 0 tokens without answer",
    );
}

// A test for each kind of store, so that they run side by side.

#[test]
fn whatever_operation_fails_all_trees_are_at_one_point_where_closing_makes_a_checkpoint() {
    whatever_fails(setups()[0]);
}

#[test]
fn whatever_operation_fails_all_trees_are_at_one_point_in_small_segments() {
    whatever_fails(setups()[1]);
}

#[test]
fn whatever_operation_fails_all_trees_are_at_one_point_where_parts_are_merged() {
    whatever_fails(setups()[2]);
}

#[test]
fn a_full_disk_loses_nothing_of_any_tree() {
    let tally = Tally::default();
    for setup in setups() {
        let disk = SimDisk::new();
        Patient::new(setup, disk.clone(), u64::MAX, &tally).run(&STEPS).unwrap();
        for limit in (0..disk.used_space()).step_by(4096) {
            let disk = SimDisk::new();
            disk.limit_space(Some(limit));
            let found = Patient::new(setup, disk, u64::MAX, &tally).run(&STEPS);
            tally.count("sizes of disks", 1);
            tally.note(found.map_err(|finding| {
                finding.context(format_args!("a disk of {limit} bytes, {setup:?}"))
            }));
        }
    }
    tally.report("full disks, several trees", "0 leaves lost, 0 stores that do not open");
}
