//! The primitives of the engine as the models in `loom-tests` use them: thin handles around what
//! ships, and nothing of their own. Only built for loom.
#![allow(missing_docs, reason = "each handle is named after what it holds")]
#![allow(missing_debug_implementations, reason = "what the handles hold has none under loom")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::column;
use crate::durability;
use crate::engine::log as flush;
use crate::entry::Framing;
use crate::error::{Error, ReadError};
use crate::merkle::{Arity, Hash, Hasher, Level, NodeIndex, NodeSource};
use crate::sync::process::Process;
use crate::{DurabilityToken, Seq};

pub use crate::sync::knobs::{begin, fail_spawns, sites};

#[allow(clippy::unwrap_used, reason = "nothing is registered in a model")]
fn this_process() -> Process {
    Process::current().unwrap()
}

/// [`durability::Watermark`].
#[derive(Clone)]
pub struct Watermark(Arc<durability::Watermark>);

impl Watermark {
    #[must_use]
    pub fn new(durable: u64) -> Self {
        Self(Arc::new(durability::Watermark::new(Seq(durable), this_process())))
    }

    pub fn token(&self, seq: u64) -> DurabilityToken {
        DurabilityToken::new(Seq(seq), Arc::clone(&self.0))
    }

    #[must_use]
    pub fn durable(&self) -> u64 {
        self.0.durable().0
    }

    pub fn advance(&self, seq: u64) {
        let _ = self.0.advance(Seq(seq));
    }

    pub fn end(&self, error: Error) {
        let _ = self.0.end(error);
    }
}

/// [`flush::Work`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Flush,
    Spill,
    Claim,
    Tick,
    Roll,
    Report,
    Stop,
}

/// [`flush::Control`].
#[derive(Clone, Default)]
pub struct Control(Arc<flush::Control>);

impl Control {
    pub fn request(&self, seq: u64) {
        self.0.request(Seq(seq));
    }

    pub fn dirty(&self) {
        self.0.dirty();
    }

    pub fn spill(&self) {
        self.0.spill();
    }

    pub fn tick_in(&self, wait: Option<Duration>) {
        self.0.tick_in(wait);
    }

    pub fn report_every(&self, every: Duration) {
        self.0.report_every(every);
    }

    pub fn changed(&self) {
        self.0.changed();
    }

    pub fn stop(&self) {
        self.0.stop();
    }

    #[must_use]
    pub fn next(&self, durable: u64, interval: Option<Duration>) -> Work {
        match self.0.next(Seq(durable), interval) {
            flush::Work::Flush => Work::Flush,
            flush::Work::Spill => Work::Spill,
            flush::Work::Claim => Work::Claim,
            flush::Work::Tick => Work::Tick,
            flush::Work::Roll => Work::Roll,
            flush::Work::Report => Work::Report,
            flush::Work::Stop => Work::Stop,
        }
    }
}

/// [`Alone`](crate::engine::alone::Alone).
#[derive(Clone, Default)]
pub struct Alone(Arc<crate::engine::alone::Alone>);

impl Alone {
    /// Runs `work` with the turn.
    pub fn wait(&self, work: impl FnOnce()) {
        if let Ok(_turn) = self.0.begin("work") {
            work();
        }
    }

    /// Runs `work` with the turn, if it is free.
    pub fn try_now(&self, work: impl FnOnce()) {
        if let Some(_turn) = self.0.try_begin() {
            work();
        }
    }
}

/// [`Erased`](crate::engine::erased::Erased).
#[derive(Clone)]
pub struct Erased(Arc<crate::engine::erased::Erased>);

impl Default for Erased {
    fn default() -> Self {
        Self(Arc::new(crate::engine::erased::Erased::new()))
    }
}

impl Erased {
    /// Erases entry `index`.
    pub fn erase(&self, index: u64) {
        let cause = crate::entry::Cause { at: index, reason: "".into() };
        if let Some(set) = self.0.set().with(std::slice::from_ref(&(index..index + 1)), cause) {
            self.0.replace(Arc::new(set));
        }
    }

    /// The count.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// How many entries the set has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.set().count()
    }
}

/// [`Unerased`](crate::engine::unerased::Unerased).
#[derive(Clone)]
pub struct Unerased(Arc<crate::engine::unerased::Unerased>);

impl Default for Unerased {
    fn default() -> Self {
        Self(Arc::new(crate::engine::unerased::Unerased::new(false)))
    }
}

impl Unerased {
    /// Ends it.
    pub fn end(&self) {
        self.0.end();
    }

    /// Runs `give_up` with a guard, and says so; not if it is over.
    pub fn give_up(&self, give_up: impl FnOnce()) -> bool {
        let guard = self.0.guard();
        guard.is_some().then(give_up).is_some()
    }
}

/// [`crate::fs::os::turns::Turns`] of files by their numbers.
#[derive(Default)]
pub struct Turns(crate::fs::os::turns::Turns);

impl Turns {
    /// Does `work` in the turn of `numbers`.
    pub fn take<const N: usize>(&self, numbers: [u64; N], work: impl FnOnce()) {
        let turn = self.0.take(numbers.map(|number| crate::ids::PartId(number).file()));
        work();
        drop(turn);
    }
}

/// [`crate::workers::Jobs`] of numbers.
#[derive(Clone)]
pub struct Jobs(Arc<crate::workers::Jobs<u32>>);

impl Jobs {
    pub fn new(run: impl Fn(u32) + Send + Sync + 'static) -> Self {
        Self(Arc::new(crate::workers::Jobs::new(this_process(), move |job, _| run(job))))
    }

    /// Workers whose jobs can ask for more.
    pub fn new_cyclic(run: impl Fn(&Jobs, u32) + Send + Sync + 'static) -> Self {
        Self(Arc::new_cyclic(|jobs: &std::sync::Weak<crate::workers::Jobs<u32>>| {
            let jobs = jobs.clone();
            crate::workers::Jobs::new(this_process(), move |job, _| {
                if let Some(jobs) = jobs.upgrade() {
                    run(&Jobs(jobs), job);
                }
            })
        }))
    }

    pub fn request(&self, job: u32) {
        let _ = self.0.request(job);
    }

    pub fn start_waiting(&self) -> bool {
        self.0.start_waiting()
    }

    pub fn lend(&self) -> bool {
        self.0.lend()
    }

    pub fn stop(&self) {
        self.0.stop(|| ());
    }
}

/// The columns of a tree whose chunks hold `arity^height` leaves.
#[must_use]
pub fn columns(arity: Arity, height: u8) -> (Columns, LeafWriter, NodeWriter) {
    let layout = column::Layout::with_height(arity, height);
    let (columns, leaves, nodes) = column::Columns::empty(layout);
    (Columns(columns), LeafWriter(leaves), NodeWriter(nodes))
}

/// As [`columns`], of a tree that keeps entries. [`entry`] `i` is the entry of leaf `i`.
#[must_use]
pub fn columns_with_entries(arity: Arity, height: u8) -> (Columns, LeafWriter, NodeWriter) {
    let (columns, LeafWriter(leaves), nodes) = columns(arity, height);
    (columns, LeafWriter(leaves.with_entries(Some(Framing::Short))), nodes)
}

/// An entry of one to three bytes.
#[must_use]
pub fn entry(index: u64) -> Vec<u8> {
    vec![u8::try_from(index).unwrap_or(u8::MAX); 1 + usize::try_from(index % 3).unwrap_or(0)]
}

/// [`column::Columns`].
#[derive(Clone)]
pub struct Columns(Arc<column::Columns>);

/// What an archive answers: the node of a level and an index.
pub type Answer = fn(u8, u64) -> Hash;

impl Columns {
    #[must_use]
    pub fn view(&self) -> View {
        View(self.0.view())
    }

    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.0.leaves()
    }

    /// Lets `answer` speak for every node complete at `size`.
    pub fn archive(&self, size: u64, answer: Answer) {
        let layout = self.0.layout();
        self.0.archive(size, Arc::new(Archived { layout, size, answer }));
    }

    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes()
    }
}

struct Archived {
    layout: column::Layout,
    size: u64,
    answer: Answer,
}

impl fmt::Debug for Archived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an archive of {} leaves", self.size)
    }
}

impl column::Archive for Archived {
    fn entry(&self, index: u64, _: column::EntryHash<'_>) -> Result<column::EntryBytes, ReadError> {
        if index >= self.size {
            return Err(ReadError::Absent { level: Level::LEAVES, at: index });
        }
        Ok(column::EntryBytes::owned(entry(index)))
    }

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        for (slot, at) in out.iter_mut().zip(first.0..) {
            if at >= self.layout.complete(level, self.size) {
                return Err(ReadError::Absent { level, at });
            }
            *slot = (self.answer)(level.0, at);
        }
        Ok(())
    }
}

/// [`column::LeafWriter`].
pub struct LeafWriter(column::LeafWriter);

impl LeafWriter {
    pub fn append(&mut self, leaves: &[Hash]) {
        self.0.append(leaves);
    }

    /// Appends leaves with the entries from `first` on, in a tree that has `first` leaves.
    pub fn append_entries(&mut self, first: u64, leaves: &[Hash]) {
        let entries: Vec<_> = (first..).take(leaves.len()).map(entry).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.0.append_entries(leaves, &entries);
    }
}

/// [`column::NodeWriter`].
pub struct NodeWriter(column::NodeWriter);

impl NodeWriter {
    pub fn hash_to(&mut self, hasher: &dyn Hasher, size: u64) {
        self.0.hash_to(hasher, size);
    }

    pub fn append_and_hash(
        &mut self,
        hasher: &dyn Hasher,
        writer: &mut LeafWriter,
        leaves: &[Hash],
    ) {
        self.0.append_and_hash(hasher, &mut writer.0, leaves);
    }
}

/// [`column::View`].
pub struct View(column::View);

impl View {
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.0.leaves()
    }

    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.0.hashed()
    }

    /// # Errors
    ///
    /// If the entry is neither in memory nor archived.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, Error> {
        let entry = self.0.entry(index, Framing::Short.prefix_len(), &|_| [0; 32])?;
        Ok(entry.get().to_vec())
    }

    /// # Errors
    ///
    /// If the node is neither in memory nor archived.
    pub fn node(&self, level: u8, index: u64) -> Result<Hash, Error> {
        let mut out = [[0; 32]];
        self.0.read_nodes(Level(level), NodeIndex(index), &mut out)?;
        Ok(out[0])
    }
}
