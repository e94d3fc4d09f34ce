//! Runs workloads of several trees step by step on a disk that records.

use std::time::SystemTime;

use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{Compact, DurabilityToken, Error, Store, StoreReader};

use super::gone::Gone;
use super::model::{Bounds, Model, NAMES, check};
use super::setup::Setup;
use super::state::{
    Known, State, Tree, followed, keeps_entries, known_of, tree_behind, tree_config,
};
use super::unique::Submission;
use crate::findings::{Finding, Kind, Outcome};
use testkit::words::words;

/// One step of a workload. Trees are named by their place among [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Inserts so many leaves into a tree, which is created where it is not there.
    Insert(usize, usize),
    /// Inserts at least so many leaves into every tree that takes some, in one batch. A batch of an odd number sets a mark.
    Batch(usize),
    /// Submits so many new entries to a tree that keeps entries, and between them some that it has. Each is to be there
    /// once.
    Unique(usize, usize),
    Create(usize),
    /// Creates a tree, if it is not there, that goes on behind so many leaves.
    Begin(usize, usize),
    Seal(usize),
    Drop(usize),
    /// Erases up to three entries of a tree that keeps some.
    Erase(usize),
    /// Inserts so many leaves with erased entries into a tree that keeps entries.
    Bare(usize, usize),
    /// Sets a mark.
    Mark,
    /// Removes the oldest mark.
    Unmark,
    /// Rewinds a tree to so many quarters of its leaves.
    Rewind(usize, usize),
    /// Rewinds all trees to one of the marks.
    RewindTo,
    /// Prunes a tree below so many quarters of its leaves.
    Prune(usize, usize),
    /// Removes the data of erased entries from all files.
    Compact,
    Flush,
    Checkpoint,
    /// A pause is over after which a store says that its last group is durable.
    Claim,
    /// A reader reads on, or is opened.
    Follow,
    /// Close in order and open again.
    Reopen,
    /// Kill the process and open again.
    Kill,
    /// Cut the power and open again.
    Cut(CrashChoice),
}

/// Ends a store as a kill does: the disk takes nothing more from it.
pub(crate) fn abandon(disk: &SimDisk, store: Store) {
    disk.stop_after(0);
    drop(store);
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn refused(error: Error) -> Finding {
    Finding::new(Kind::Answer, words(&error))
}

/// Opens what a crash has left. It always opens.
pub(crate) fn reopen(setup: &Setup, disk: &SimDisk) -> Outcome<Store> {
    setup.open(disk).map_err(|error| Finding::new(Kind::Refused, words(&error)))
}

/// What a reader beside a store of this kind knows to be durable.
pub(crate) fn known(setup: &Setup, disk: &SimDisk) -> Outcome<Known> {
    match StoreReader::open(setup.config(disk)) {
        Ok(reader) => known_of(&reader),
        Err(Error::NoStore { .. }) => Ok(Known::new()),
        Err(error) => Err(Finding::new(Kind::Refused, words(&error)).context("by a reader")),
    }
}

/// The moments of one step: the power may be cut after any number of operations in `from..=to`.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) disk: SimDisk,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What a cut leaves from which moment on. The first holds from the start.
    bounds: Vec<(u64, Bounds)>,
    /// What no file has from the start, and at the end.
    gone: (Gone, Gone),
}

impl Span {
    pub(crate) fn bounds(&self, moment: u64) -> &Bounds {
        let later = self.bounds.partition_point(|(from, _)| *from <= moment);
        &self.bounds[later.max(1) - 1].1
    }

    /// The erased entries that no file has after a cut.
    pub(crate) fn gone(&self, moment: u64) -> &Gone {
        if moment == self.to { &self.gone.1 } else { &self.gone.0 }
    }
}

/// A store that works.
pub(crate) struct Rig {
    pub(crate) setup: Setup,
    pub(crate) disk: SimDisk,
    pub(crate) model: Model,
    store: Option<Store>,
    reader: Option<StoreReader>,
    /// Those that are not acknowledged yet.
    tokens: Vec<DurabilityToken>,
    /// What was promised in the course of a step: by which moment, the point, the checkpoint.
    marks: Vec<(u64, usize, Vec<u64>)>,
    /// What the last restart has shown, and its checkpoint.
    restarted: Option<(State, u64)>,
}

impl Rig {
    /// A disk without a store.
    pub(crate) fn new(setup: Setup) -> Self {
        super::state::forget_pruned();
        let disk = SimDisk::new();
        disk.record();
        // Which places of a torn index are read depends on its key.
        disk.fix_random(1);
        Self {
            setup,
            disk,
            model: Model::new(),
            store: None,
            reader: None,
            tokens: Vec::new(),
            marks: Vec::new(),
            restarted: None,
        }
    }

    /// Makes the store.
    pub(crate) fn create(&mut self) -> Outcome<Span> {
        self.span(Self::open)
    }

    /// Does one step and checks that it was answered as it must be.
    pub(crate) fn step(&mut self, step: Step) -> Outcome<Span> {
        match step {
            Step::Insert(name, count) => self.span(|rig| rig.insert(NAMES[name], count)),
            Step::Batch(count) => self.span(|rig| rig.batch(count)),
            Step::Unique(name, count) => self.span(|rig| rig.unique(NAMES[name], count)),
            Step::Create(name) => self.span(|rig| rig.create_tree(NAMES[name]).map(drop)),
            Step::Begin(name, count) => self.span(|rig| rig.begin(NAMES[name], count)),
            Step::Seal(name) => self.span(|rig| rig.seal(NAMES[name])),
            Step::Drop(name) => self.span(|rig| rig.drop_tree(NAMES[name])),
            Step::Erase(name) => self.span(|rig| rig.erase(NAMES[name])),
            Step::Bare(name, count) => self.span(|rig| rig.bare(NAMES[name], count)),
            Step::Mark => self.span(Self::set_mark),
            Step::Unmark => self.span(Self::unmark),
            Step::Rewind(name, quarters) => self.span(|rig| rig.rewind(NAMES[name], quarters)),
            Step::Prune(name, quarters) => self.span(|rig| rig.prune(NAMES[name], quarters)),
            Step::RewindTo => self.span(Self::rewind_to),
            Step::Compact => self.span(Self::compact),
            Step::Flush => self.span(Self::flush),
            Step::Checkpoint => self.span(Self::checkpoint),
            Step::Claim => self.span(Self::claim),
            Step::Follow => self.span(Self::follow),
            Step::Reopen => self.span(|rig| {
                rig.close()?;
                rig.open()
            }),
            Step::Kill => self.restart(self.disk.kill()),
            Step::Cut(choice) => self.restart(self.disk.crash(choice)),
        }
    }

    /// Goes on with `disk`, which is what an end without warning has left.
    fn restart(&mut self, disk: SimDisk) -> Outcome<Span> {
        self.reader = None;
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
        self.tokens.clear();
        disk.record();
        self.disk = disk;
        let before = self.model.bounds(self.model.acked(), self.model.checkpoints.clone());
        let store = reopen(&self.setup, &self.disk)?;
        let shown = self.disk.operations();
        let found = check(&store, &before)?;
        let checkpointed = store.recovery().checkpointed;
        store.wait_idle();
        self.store = Some(store);
        let states = vec![std::rc::Rc::new(found.clone())];
        let after = Bounds { states, checkpoints: vec![checkpointed] };
        self.restarted = Some((found, checkpointed));
        let to = self.disk.operations();
        let gone = (self.model.gone.clone(), self.model.gone.clone());
        let bounds = vec![(0, before), (shown, after)];
        Ok(Span { disk: self.disk.clone(), from: 0, to, bounds, gone })
    }

    /// Makes the model forget what the last restart lost. Not done at once, since the moments of the
    /// restart itself are judged by what was submitted before it.
    pub(crate) fn settle(&mut self) {
        if let Some((found, checkpointed)) = self.restarted.take() {
            self.model.reset(found, checkpointed);
        }
    }

    fn span(&mut self, act: impl FnOnce(&mut Self) -> Outcome) -> Outcome<Span> {
        self.marks.clear();
        let from = self.disk.operations();
        let before = self.model.gone.clone();
        let start = (from, self.model.acked(), self.model.checkpoints.clone());
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
            bounds.push((moment, self.model.bounds(acked, checkpoints.clone())));
        }
        bounds.reverse();
        let gone = (before, self.model.gone.clone());
        Ok(Span { disk: self.disk.clone(), from, to, bounds, gone })
    }

    pub(crate) fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    fn create_tree(&mut self, name: &str) -> Outcome<duramen::DynAccumulator> {
        let kind = tree_config(self.model.kind_of(name));
        let tree = self.store().tree_dyn(name, kind).map_err(refused)?;
        if !self.model.now.contains_key(name) {
            let id = self.id_of(name)?;
            self.model.create(name, id)?;
            self.keep(tree.created())?;
        }
        Ok(tree)
    }

    fn id_of(&self, name: &str) -> Outcome<u32> {
        let infos = self.store().trees().map_err(refused)?;
        let info = infos.iter().find(|info| info.name.as_str() == name);
        info.map(|info| info.id)
            .ok_or_else(|| Finding::new(Kind::Answer, "a new tree is not listed"))
    }

    fn begin(&mut self, name: &str, count: usize) -> Outcome {
        if self.model.now.contains_key(name) {
            return Ok(());
        }
        let leaves = self.model.new_leaves(name, count).leaves;
        let config = tree_behind(self.model.kind_of(name), &leaves);
        let tree = self.store().tree_dyn(name, config).map_err(refused)?;
        let id = self.id_of(name)?;
        self.model.begin(name, id, leaves)?;
        self.keep(tree.created())
    }

    fn insert(&mut self, name: &str, count: usize) -> Outcome {
        let tree = self.create_tree(name)?;
        let new = self.model.new_leaves(name, count);
        let known = self.model.now.get_mut(name).unwrap();
        let first = known.leaves.len() as u64;
        match new.insert(&tree) {
            Ok(_) if known.sealed => Err(Finding::new(Kind::Answer, "a sealed tree took leaves")),
            Ok(inserted) if inserted.range != (first..first + count as u64) => {
                Err(Finding::new(Kind::Answer, format!("indexes {:?}", inserted.range)))
            }
            Ok(inserted) => {
                known.leaves.extend(new.leaves);
                self.keep(inserted.token)
            }
            Err(Error::TreeSealed { .. }) if known.sealed => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    fn batch(&mut self, count: usize) -> Outcome {
        let store = self.store();
        let mut batch = store.batch();
        let mut new = Vec::new();
        for (more, name) in NAMES.into_iter().enumerate() {
            if self.model.now.get(name).is_some_and(|tree| !tree.sealed) {
                let leaves = self.model.new_leaves(name, count + more);
                let tree = store.existing_tree(name).map_err(refused)?;
                leaves.add(&mut batch, &tree).map_err(refused)?;
                new.push((name, leaves.leaves));
            }
        }
        let marks = count % 2 == 1 && !new.is_empty();
        let mark = marks.then(|| self.model.new_mark());
        if let Some(mark) = &mark {
            batch.mark(mark).map_err(refused)?;
        }
        let committed = batch.commit().map_err(refused)?;
        for ((name, leaves), range) in new.iter().zip(&committed.ranges) {
            let known = self.model.now.get_mut(*name).unwrap();
            let first = known.leaves.len() as u64;
            if range.range != (first..first + leaves.len() as u64) || range.tree.as_str() != *name {
                return Err(Finding::new(Kind::Answer, format!("indexes {range:?}")));
            }
            known.leaves.extend(leaves);
        }
        mark.inspect(|mark| self.model.now.mark(mark));
        if new.is_empty() { Ok(()) } else { self.keep(committed.token) }
    }

    fn seal(&mut self, name: &str) -> Outcome {
        match (self.store().seal(name), self.model.now.get_mut(name)) {
            (Ok(token), Some(tree)) => {
                let changes = !tree.sealed;
                tree.sealed = true;
                if changes { self.keep(token) } else { Ok(()) }
            }
            (answer, there) => Self::no_tree(answer, there.is_some()),
        }
    }

    fn drop_tree(&mut self, name: &str) -> Outcome {
        match (self.store().drop_tree(name), self.model.now.remove(name)) {
            (Ok(token), Some(_)) => self.keep(token),
            (answer, there) => Self::no_tree(answer, there.is_some()),
        }
    }

    fn erase(&mut self, name: &str) -> Outcome {
        let Some(known) = self.model.now.get_mut(name) else { return Ok(()) };
        let Some(index) = known.not_erased() else { return Ok(()) };
        let range = known.erase(index);
        let tree = self.store().existing_tree(name).map_err(refused)?;
        let token = tree.erase(range, "asked for").map_err(refused)?;
        self.keep(token)
    }

    fn bare(&mut self, name: &str, count: usize) -> Outcome {
        let takes = |tree: &Tree| keeps_entries(tree.kind) && !tree.sealed;
        if !self.model.now.get(name).is_some_and(takes) {
            return Ok(());
        }
        let new = self.model.new_leaves(name, count);
        let tree = self.store().existing_tree(name).map_err(refused)?;
        let inserted = tree
            .insert_erased(&new.leaves, SystemTime::now(), "erased elsewhere")
            .map_err(refused)?;
        let known = self.model.now.get_mut(name).unwrap();
        known.leaves.extend(new.leaves);
        known.erased.extend(inserted.range);
        self.keep(inserted.token)
    }

    fn unique(&mut self, name: &str, count: usize) -> Outcome {
        let Some(asked) = Submission::new(&mut self.model, name, count) else { return Ok(()) };
        let tree = self.store().existing_tree(name).map_err(refused)?;
        let done = tree.insert_unique_entries(&asked.entries).map_err(refused)?;
        let acked = self.model.acked_leaves(name);
        asked.settle(&mut self.model, &done)?;
        for done in done {
            let token = done.token().clone();
            if done.index().0 >= acked {
                self.keep(token)?;
            } else if !token.is_durable() {
                return Err(Finding::new(Kind::Answer, "a durable leaf is not known as durable"));
            }
        }
        Ok(())
    }

    fn set_mark(&mut self) -> Outcome {
        let name = self.model.new_mark();
        let token = self.store().mark(&name).map_err(refused)?;
        self.model.now.mark(&name);
        self.keep(token)
    }

    fn unmark(&mut self) -> Outcome {
        let Some(name) = self.model.now.oldest_mark() else { return Ok(()) };
        let token = self.store().drop_mark(&name).map_err(refused)?;
        self.model.now.drop_oldest_mark();
        self.keep(token)
    }

    fn rewind(&mut self, name: &str, quarters: usize) -> Outcome {
        let Some(known) = self.model.now.get(name) else { return Ok(()) };
        let (size, sealed) = ((known.leaves.len() * quarters / 4) as u64, known.sealed);
        let tree = self.store().existing_tree(name).map_err(refused)?;
        if sealed {
            return match tree.rewind(size) {
                Err(Error::TreeSealed { .. }) => Ok(()),
                answer => Err(Finding::new(Kind::Answer, format!("a sealed tree: {answer:?}"))),
            };
        }
        if size < self.model.now[name].base {
            return match tree.rewind(size) {
                Err(Error::Pruned { .. }) => Ok(()),
                answer => Err(Finding::new(Kind::Answer, format!("a pruned tree: {answer:?}"))),
            };
        }
        let then = tree.snapshot();
        let head = then.head().map_err(refused)?;
        self.model.rewind(&[(name.to_owned(), size)]);
        tree.rewind(size).map_err(refused)?;
        if then.head().map_err(refused)? != head {
            return Err(Finding::new(Kind::WrongRoot, "a snapshot from before a rewind"));
        }
        for leaf in self.model.dropped_leaves(name) {
            let found = if tree.is_indexed() { tree.find(&leaf).map_err(refused)? } else { None };
            if let Some(index) = found {
                let text = format!("a leaf that was dropped is found at {index}");
                return Err(Finding::new(Kind::Phantom, text));
            }
        }
        self.rewound()
    }

    fn prune(&mut self, name: &str, quarters: usize) -> Outcome {
        let Some(known) = self.model.now.get(name) else { return Ok(()) };
        let (size, base) = (known.leaves.len() as u64, known.base);
        let below = size * quarters as u64 / 4;
        let tree = self.store().existing_tree(name).map_err(refused)?;
        let head = tree.head().map_err(refused)?;
        // A reader keeps parts from being wiped.
        self.reader = None;
        // So that the log's own background work does not run beside the checkpoint.
        self.flush()?;
        self.store().wait_idle();
        self.model.prune_checkpoints(name, below);
        self.model.prune(name, below);
        let then = tree.snapshot();
        let info = tree.prune(below).map_err(refused)?;
        if (info.before.get(), info.base.get()) != (base, base.max(below)) {
            return Err(Finding::new(Kind::Answer, format!("{info:?} after {base} and {below}")));
        }
        if tree.head().map_err(refused)? != head {
            return Err(Finding::new(Kind::WrongRoot, "after a prune"));
        }
        if size > base {
            then.leaf(base).map_err(refused)?;
            if tree.is_indexed() && below > base {
                let leaf = then.leaf(base).map_err(refused)?;
                let found = tree.find(&leaf).map_err(refused)?.map(duramen::LeafIndex::get);
                if found.is_some_and(|index| index < below) {
                    let text = format!("a leaf that was pruned is found at {found:?}");
                    return Err(Finding::new(Kind::Phantom, text));
                }
            }
        }
        self.model.acknowledge();
        self.mark();
        Ok(())
    }

    fn rewind_to(&mut self) -> Outcome {
        let Some((mark, sizes)) = self.model.now.some_mark() else { return Ok(()) };
        let loses = |(name, size): &&(String, u64)| {
            self.model.now.get(name).is_some_and(|tree| tree.leaves.len() as u64 > *size)
        };
        let sizes: Vec<_> = sizes.iter().filter(loses).cloned().collect();
        let sealed = sizes.iter().any(|(name, _)| self.model.now[name].sealed);
        if sealed {
            return match self.store().rewind_to(&mark) {
                Err(Error::TreeSealed { .. }) => Ok(()),
                answer => Err(Finding::new(Kind::Answer, format!("a sealed tree: {answer:?}"))),
            };
        }
        if sizes.iter().any(|(name, size)| *size < self.model.now[name].base) {
            return match self.store().rewind_to(&mark) {
                Err(Error::Pruned { .. }) => Ok(()),
                answer => Err(Finding::new(Kind::Answer, format!("a pruned tree: {answer:?}"))),
            };
        }
        self.model.rewind(&sizes);
        self.store().rewind_to(&mark).map_err(refused)?;
        self.rewound()
    }

    /// A rewind is durable. Each token says that its leaf is durable or that it was dropped.
    fn rewound(&mut self) -> Outcome {
        self.model.acknowledge();
        self.mark();
        for token in self.tokens.drain(..) {
            match token.wait_timeout(std::time::Duration::ZERO) {
                Ok(true) | Err(Error::Rewound { .. }) => {}
                answer => {
                    let text = format!("the token of {}: {answer:?}", token.seq());
                    return Err(Finding::new(Kind::Answer, text));
                }
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Outcome {
        // A reader keeps parts from being wiped.
        self.reader = None;
        self.flush()?;
        self.store().wait_idle();
        let done = self.store().compact(Compact::new()).map_err(refused)?;
        if done.pinned_files > 0 {
            return Err(Finding::new(Kind::Answer, format!("files are pinned: {done:?}")));
        }
        self.model.checkpoint();
        self.mark();
        self.model.compacted();
        Ok(())
    }

    /// A tree that is not there can be neither sealed nor dropped.
    fn no_tree(answer: Result<DurabilityToken, Error>, there: bool) -> Outcome {
        match answer {
            Err(Error::NoTree { .. }) if !there => Ok(()),
            Err(error) => Err(refused(error)),
            Ok(_) => Err(Finding::new(Kind::Answer, "a tree that is not there")),
        }
    }

    fn keep(&mut self, token: DurabilityToken) -> Outcome {
        self.store().wait_idle();
        if token.is_durable() {
            return Err(Finding::new(Kind::Answer, "a token was durable before a flush"));
        }
        self.tokens.push(token);
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        self.model.name_point();
        self.store().flush().map_err(refused)?;
        self.acknowledged()
    }

    fn checkpoint(&mut self) -> Outcome {
        // So that the log's own background work does not run beside the checkpoint.
        self.flush()?;
        self.store().wait_idle();
        self.store().checkpoint().map_err(refused)?;
        self.model.checkpoint();
        self.mark();
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
        let store = reopen(&self.setup, &self.disk)?;
        check(&store, &self.model.bounds(self.model.acked(), self.model.checkpoints.clone()))?;
        self.store = Some(store);
        Ok(())
    }

    /// A reader knows of everything before a claim that it is durable.
    fn claim(&mut self) -> Outcome {
        let before = self.disk.operations();
        self.store().end_pause();
        if self.disk.operations() == before {
            return Ok(());
        }
        for (name, known) in known(&self.setup, &self.disk)? {
            let acked = self.model.acked_state().get(&name).map(|tree| tree.leaves.len() as u64);
            if acked.is_some_and(|acked| known.leaves != acked) {
                let text = format!("{known:?} of {name} are claimed, not {acked:?}");
                return Err(Finding::new(Kind::Answer, text));
            }
        }
        Ok(())
    }

    /// A reader beside the writer shows the last point that a caller named, of all trees.
    fn follow(&mut self) -> Outcome {
        let shown = match &self.reader {
            Some(reader) => reader.refresh().and(Ok(())),
            None => StoreReader::open(self.setup.config(&self.disk))
                .map(|reader| self.reader = Some(reader)),
        };
        shown.map_err(refused)?;
        let found = followed(self.reader.as_ref().unwrap())?;
        if found != *self.model.last_point() {
            let text = format!("a reader shows {found:?}, not {:?}", self.model.last_point());
            return Err(Finding::new(Kind::Answer, text));
        }
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

    /// Notes that what is acknowledged and checkpointed now holds from this moment on.
    fn mark(&mut self) {
        let checkpoints = self.model.checkpoints.clone();
        self.marks.push((self.disk.operations(), self.model.acked(), checkpoints));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            abandon(&self.disk, store);
        }
    }
}
