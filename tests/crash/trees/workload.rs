//! The workloads of several trees, and the tests of power cuts.

use std::fmt;

use duramen::testing::faulty::Flaw;
#[cfg(duramen_mutants)]
use duramen::testing::faulty::Mutant;
use duramen::testing::sim::CrashChoice;

use super::examine;
use super::rig::{Rig, Span, Step};
use super::setup::Setup;
use crate::examine::Depth;
use crate::findings::{Finding, Outcome, Tally};
use crate::power::ZEROS;
use crate::run::{Run, Seed, on_all_cores};
use crate::scale;
use testkit::random::Random;

/// The steps that all short workloads are made of. The first tree is the one that is created, sealed and
/// dropped; the large batch takes several blocks of log.
const ALPHABET: [Step; 16] = [
    Step::Insert(0, 2),
    Step::Batch(40),
    Step::Create(2),
    Step::Seal(0),
    Step::Drop(0),
    Step::Erase(1),
    Step::Mark,
    Step::Rewind(1, 2),
    Step::RewindTo,
    Step::Prune(1, 2),
    Step::Compact,
    Step::Flush,
    Step::Checkpoint,
    Step::Follow,
    Step::Reopen,
    Step::Kill,
];

/// What came before a short workload: two trees, parts of both, a log that has rolled, a tree that was dropped.
const PAST: [Step; 14] = [
    Step::Insert(0, 3),
    Step::Insert(1, 5),
    Step::Create(2),
    Step::Checkpoint,
    Step::Batch(50),
    Step::Drop(2),
    Step::Flush,
    Step::Kill,
    Step::Batch(2),
    Step::Checkpoint,
    Step::Reopen,
    Step::Batch(4),
    Step::Flush,
    Step::Insert(1, 1),
];

/// A workload in which parts of all three trees are merged.
const MERGES: [Step; 19] = [
    Step::Insert(0, 3),
    Step::Insert(1, 3),
    Step::Create(2),
    Step::Batch(3),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Kill,
    Step::Seal(1),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Drop(0),
    Step::Batch(3),
    Step::Checkpoint,
    Step::Reopen,
];

/// A workload in which entries are erased that are in memory, in the log, in parts and in parts that are merged,
/// and in which files are wiped.
const ERASURES: [Step; 27] = [
    Step::Insert(0, 3),
    Step::Insert(1, 5),
    Step::Erase(1),
    Step::Flush,
    Step::Compact,
    Step::Batch(6),
    Step::Checkpoint,
    Step::Erase(1),
    Step::Insert(1, 4),
    Step::Bare(1, 2),
    Step::Compact,
    Step::Insert(1, 4),
    Step::Bare(1, 3),
    Step::Erase(1),
    Step::Kill,
    Step::Batch(40),
    Step::Erase(1),
    Step::Checkpoint,
    Step::Erase(1),
    Step::Reopen,
    Step::Compact,
    Step::Seal(1),
    Step::Erase(1),
    Step::Compact,
    Step::Batch(5),
    Step::Drop(1),
    Step::Compact,
];

/// A workload in which entries are submitted that a tree has: in memory, in the log, in parts and in merged ones,
/// erased ones too.
const UNIQUE: [Step; 21] = [
    Step::Insert(0, 2),
    Step::Insert(1, 5),
    Step::Unique(1, 3),
    Step::Unique(1, 2),
    Step::Flush,
    Step::Unique(1, 3),
    Step::Checkpoint,
    Step::Unique(1, 4),
    Step::Kill,
    Step::Unique(1, 2),
    Step::Erase(1),
    Step::Unique(1, 3),
    Step::Checkpoint,
    Step::Compact,
    Step::Unique(1, 40),
    Step::Cut(CrashChoice::NothingKept),
    Step::Unique(1, 40),
    Step::Checkpoint,
    Step::Reopen,
    Step::Unique(1, 3),
    Step::Compact,
];

/// A workload in which marks are set alone and with batches, removed, checkpointed, and outlive a tree.
const MARKS: [Step; 21] = [
    Step::Mark,
    Step::Insert(0, 3),
    Step::Insert(1, 2),
    Step::Mark,
    Step::Flush,
    Step::Batch(5),
    Step::Checkpoint,
    Step::Batch(41),
    Step::Unmark,
    Step::Kill,
    Step::Batch(3),
    Step::Flush,
    Step::Mark,
    Step::Follow,
    Step::Checkpoint,
    Step::Unmark,
    Step::Checkpoint,
    Step::Drop(0),
    Step::Reopen,
    Step::Batch(1),
    Step::Checkpoint,
];

/// A workload with rewinds: of leaves in memory, in the log, in manifests, in parts, in merged parts; of erased entries; twice
/// at a time; with checkpoints, merges, kills and readers between; to marks.
const REWINDS: [Step; 40] = [
    Step::Insert(0, 6),
    Step::Insert(1, 9),
    Step::Rewind(0, 2),
    Step::Insert(0, 4),
    Step::Follow,
    Step::Checkpoint,
    Step::Batch(5),
    Step::Erase(1),
    Step::Rewind(1, 2),
    Step::Rewind(1, 3),
    Step::Follow,
    Step::Unique(1, 3),
    Step::Flush,
    Step::Kill,
    Step::Rewind(1, 1),
    Step::Batch(7),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Rewind(0, 2),
    Step::Unique(1, 2),
    Step::Checkpoint,
    Step::Insert(0, 3),
    Step::Erase(1),
    Step::Rewind(1, 2),
    Step::Compact,
    Step::Unique(1, 3),
    Step::Mark,
    Step::Batch(9),
    Step::Create(2),
    Step::Insert(2, 4),
    Step::RewindTo,
    Step::Batch(2),
    Step::Reopen,
    Step::Rewind(0, 0),
    Step::Batch(40),
    Step::Rewind(1, 3),
    Step::Checkpoint,
];

/// A workload with prunes: in one part, between parts, of all leaves, of leaves in manifests and of erased ones; beside rewinds,
/// marks, merges, readers and kills.
const PRUNES: [Step; 41] = [
    Step::Insert(0, 9),
    Step::Insert(1, 12),
    Step::Prune(1, 1),
    Step::Mark,
    Step::Erase(1),
    Step::Batch(6),
    Step::Follow,
    Step::Prune(0, 3),
    Step::Follow,
    Step::Unique(1, 3),
    Step::Kill,
    Step::Checkpoint,
    Step::Batch(5),
    Step::Erase(1),
    Step::Prune(1, 2),
    Step::Rewind(1, 1),
    Step::Rewind(1, 3),
    Step::Prune(1, 3),
    Step::Compact,
    Step::RewindTo,
    Step::Batch(41),
    Step::Flush,
    Step::Checkpoint,
    Step::Batch(3),
    Step::Checkpoint,
    Step::Follow,
    Step::Prune(0, 4),
    Step::Cut(CrashChoice::NothingKept),
    Step::Batch(3),
    Step::Rewind(0, 4),
    Step::Insert(0, 3),
    Step::Prune(0, 4),
    Step::Unique(1, 3),
    Step::Create(2),
    Step::Insert(2, 20),
    Step::Prune(2, 3),
    Step::Drop(2),
    Step::Reopen,
    Step::Seal(1),
    Step::Prune(1, 4),
    Step::Reopen,
];

/// A workload with trees that go on behind leaves: alone, in the log, in manifests and parts; beside marks from before them,
/// rewinds, prunes, drops, kills and readers.
const BEGUN: [Step; 34] = [
    Step::Insert(0, 3),
    Step::Mark,
    Step::Begin(1, 5),
    Step::Begin(2, 17),
    Step::Flush,
    Step::Begin(1, 2),
    Step::Follow,
    Step::Kill,
    Step::RewindTo,
    Step::Insert(1, 6),
    Step::Batch(3),
    Step::Rewind(1, 3),
    Step::Checkpoint,
    Step::Erase(1),
    Step::Unique(1, 3),
    Step::Reopen,
    Step::Batch(40),
    Step::Follow,
    Step::Rewind(2, 1),
    Step::Rewind(2, 3),
    Step::Checkpoint,
    Step::Compact,
    Step::Mark,
    Step::Drop(2),
    Step::Begin(2, 33),
    Step::Cut(CrashChoice::NothingKept),
    Step::Begin(2, 16),
    Step::Checkpoint,
    Step::Batch(4),
    Step::Prune(2, 4),
    Step::Seal(1),
    Step::Checkpoint,
    Step::Batch(5),
    Step::Reopen,
];

/// One workload: nothing is examined before its last `examined` steps.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) setup: Setup,
    pub(crate) seed: Seed,
    pub(crate) steps: Vec<Step>,
    pub(crate) examined: usize,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setup, seed, steps, .. } = self;
        write!(f, "{steps:?} on {setup:?}\n    to see it again: {seed}")
    }
}

impl Workload {
    pub(crate) fn run(&self, depth: Depth, moments: u64, tally: &Tally) -> Outcome {
        let mut random = self.seed.random();
        let mut rig = Rig::new(self.setup);
        let context = |at: usize| {
            move |finding: Finding| finding.context(format_args!("step {at}")).context(self)
        };
        let span = rig.create().map_err(context(0))?;
        let skipped = self.steps.len() - self.examined;
        if skipped == 0 {
            look(&rig, &span, depth, moments, &mut random, tally).map_err(context(0))?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            let context = context(at + 1);
            let span = rig.step(*step).map_err(context)?;
            if at >= skipped {
                look(&rig, &span, depth, moments, &mut random, tally).map_err(context)?;
            }
            rig.settle();
        }
        tally.count("workloads", 1);
        tally.count("workloads of several trees", 1);
        Ok(())
    }
}

/// Looks at the moments of a step: at all of them if they are not more than `most`.
fn look(
    rig: &Rig,
    span: &Span,
    depth: Depth,
    most: u64,
    random: &mut Random,
    tally: &Tally,
) -> Outcome {
    let count = span.to - span.from;
    for moment in span.from..=span.to {
        if count <= most || moment == span.to || random.below(count) < most {
            examine::moment(rig, span, moment, depth, random, tally)?;
        }
    }
    Ok(())
}

/// All workloads of `len` steps.
fn all_of(len: u32) -> impl Iterator<Item = Vec<Step>> {
    (0..ALPHABET.len().pow(len)).map(move |mut number| {
        let mut steps = Vec::new();
        for _ in 0..len {
            steps.push(ALPHABET[number % ALPHABET.len()]);
            number /= ALPHABET.len();
        }
        steps
    })
}

/// All workloads of up to `longest` steps, on a store with a past and without. Their numbers do not depend on
/// `longest`.
pub(crate) fn short_workloads(run: Run, longest: u32) -> Vec<Workload> {
    let fan_in = Some(2);
    let setups = [
        Setup { segment: 8 << 10, spare: 16 << 10, on_close: true, ..Setup::PLAIN },
        // The checkpoints of the past leave two parts of each tree: the next one has them merged.
        Setup { fan_in, unflushed: 900, group: 320, ..Setup::PLAIN },
    ];
    let mut workloads = Vec::new();
    for setup in setups {
        let setup = Setup { fan_in, ..setup };
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (MERGES.to_vec(), MERGES.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (ERASURES.to_vec(), ERASURES.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (UNIQUE.to_vec(), UNIQUE.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (MARKS.to_vec(), MARKS.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (REWINDS.to_vec(), REWINDS.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (PRUNES.to_vec(), PRUNES.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        let seed = run.seed(SHORT + workloads.len() as u64);
        let (steps, examined) = (BEGUN.to_vec(), BEGUN.len());
        workloads.push(Workload { setup, seed, steps, examined });
    }
    for setup in setups {
        for last in ALPHABET {
            let mut steps = PAST.to_vec();
            steps.extend([Step::Flush, Step::Claim, last]);
            let setup = Setup { claims: true, ..setup };
            let seed = run.seed(SHORT + workloads.len() as u64);
            workloads.push(Workload { setup, seed, steps, examined: 2 });
        }
    }
    for len in 1..=longest {
        for past in [&[][..], &PAST] {
            for setup in setups {
                for steps in all_of(len) {
                    let steps: Vec<_> = past.iter().copied().chain(steps).collect();
                    // What comes before the last step is looked at in the shorter workload.
                    let examined = if len == 1 { steps.len() } else { 1 };
                    let seed = run.seed(SHORT + workloads.len() as u64);
                    workloads.push(Workload { setup, seed, steps, examined });
                }
            }
        }
    }
    workloads
}

/// A workload of 20 to 50 steps.
pub(crate) fn random_workload(seed: Seed) -> Workload {
    let mut random = seed.random();
    let setup = Setup::random(&mut random);
    let count = 20 + random.below(31);
    let step = |random: &mut Random| {
        let tree = usize::try_from(random.below(3)).unwrap();
        let mut leaves = |most| 1 + usize::try_from(random.below(most)).unwrap();
        match leaves(67) {
            1..=9 => Step::Insert(tree, leaves(30)),
            10..=16 => Step::Batch(leaves(20)),
            17 => Step::Batch(60 + leaves(150)),
            18 | 19 => Step::Create(tree),
            20 => Step::Seal(tree),
            21 | 22 => Step::Drop(tree),
            23..=27 => Step::Flush,
            28..=31 => Step::Checkpoint,
            32 | 33 => Step::Follow,
            34..=36 => Step::Reopen,
            37 | 38 => Step::Kill,
            39..=44 => Step::Claim,
            45..=48 => Step::Erase(tree),
            49..=51 => Step::Compact,
            52 => Step::Bare(tree, leaves(20)),
            53..=55 => Step::Unique(tree, leaves(20)),
            56..=58 => Step::Mark,
            59 => Step::Unmark,
            60..=64 => Step::Rewind(tree, leaves(5) - 1),
            65 => Step::RewindTo,
            _ => Step::Cut(match random.below(4) {
                0 => CrashChoice::NothingKept,
                1 => CrashChoice::AllKept,
                _ => CrashChoice::Seeded(random.number()),
            }),
        }
    };
    let steps: Vec<_> = (0..count).map(|_| step(&mut random)).collect();
    let examined = steps.len();
    Workload { setup, seed, steps, examined }
}

/// A random workload in which every second rewind is a prune, and trees that are created go on behind leaves.
pub(crate) fn with_prunes(seed: Seed) -> Workload {
    let mut workload = random_workload(seed);
    for (at, step) in workload.steps.iter_mut().enumerate() {
        if let Step::Create(tree) = *step {
            *step = Step::Begin(tree, at);
        }
    }
    let rewinds = workload.steps.iter_mut().filter(|step| matches!(step, Step::Rewind(..)));
    for step in rewinds.step_by(2) {
        if let Step::Rewind(tree, quarters) = *step {
            *step = Step::Prune(tree, quarters);
        }
    }
    workload
}

/// The first number of a short workload of several trees in a run.
const SHORT: u64 = 500_000;
/// The first number of a long one.
pub(crate) const LONG: u64 = 600_000;
/// The first number of a long one with prunes.
pub(crate) const PRUNED: u64 = 650_000;

const DEPTH: Depth = Depth { seeds: 2, nested: 60, onward: 8 };

#[test]
fn after_a_power_cut_all_trees_are_as_they_were_at_one_point() {
    let run = Run::of_this_process();
    let mut workloads: Vec<_> =
        (LONG..LONG + 12 * scale()).map(|number| random_workload(run.seed(number))).collect();
    workloads.extend((PRUNED..PRUNED + 6 * scale()).map(|number| with_prunes(run.seed(number))));
    workloads.extend(short_workloads(run, 2));
    let tally = Tally::default();
    run.each(
        &workloads,
        |workload| workload.seed,
        &tally,
        |workload| workload.run(DEPTH, 12, &tally),
    );
    tally.report("power cuts, several trees", ZEROS);
}

#[test]
fn the_same_workload_of_several_trees_leaves_the_same_trace() {
    let traces = |seed| {
        let workload = random_workload(seed);
        let mut rig = Rig::new(workload.setup);
        let mut traces = vec![];
        rig.create().unwrap();
        for step in &workload.steps {
            let span = rig.step(*step).unwrap();
            rig.settle();
            traces.push(span.disk.trace());
        }
        traces
    };
    for number in 0..8 {
        let seed = Run::of_this_process().seed(LONG + number);
        assert_eq!(traces(seed), traces(seed), "{seed}");
    }
}

#[test]
fn workloads_of_several_trees_merge_parts_and_seal_and_fill_three_trees() {
    let run = Run::of_this_process();
    let (mut merges, mut sealed, mut most) = (0, 0, 0);
    for workload in &short_workloads(run, 1)[..2] {
        let mut rig = Rig::new(workload.setup);
        rig.create().unwrap();
        for step in &workload.steps {
            rig.step(*step).unwrap();
            rig.settle();
            merges += rig.store().stats().compactions;
            sealed += rig.model.now.values().filter(|tree| tree.sealed).count();
            most = most.max(rig.model.now.len());
        }
    }
    assert!(
        merges >= 3 && sealed > 0 && most == 3,
        "{merges} merges, {sealed} sealed, {most} trees"
    );
}

#[cfg(duramen_mutants)]
#[test]
fn a_prune_that_removes_parts_before_its_manifest_is_found() {
    let flaw = Some(Flaw::Engine(Mutant::PrunedBeforeManifest));
    let setup = Setup { flaw, ..Setup::PLAIN };
    let steps = [Step::Insert(1, 12), Step::Checkpoint, Step::Prune(1, 2)];
    let seed = Run::of_this_process().seed(PRUNED);
    let run = |setup| {
        let workload = Workload { setup, seed, steps: steps.to_vec(), examined: steps.len() };
        workload.run(DEPTH, 60, &Tally::default())
    };
    assert!(run(setup).is_err());
    if let Err(Finding { kind, text }) = run(Setup::PLAIN) {
        panic!("{kind:?}: {text}");
    }
}

#[test]
fn flaws_are_found_in_stores_of_several_trees() {
    #[cfg(duramen_mutants)]
    let mutants = [
        Mutant::BatchSplit,
        Mutant::PartUnderAnotherTree,
        Mutant::DropFreesEarly,
        Mutant::LogReleasedEarly,
        Mutant::ClaimUnsynced,
        Mutant::ErasedCopied,
        Mutant::WipedEarly,
        Mutant::NothingWiped,
        Mutant::WipeUnsynced,
        Mutant::ErasuresForgotten,
        Mutant::BaseReplacedEarly,
        Mutant::BaseForgotten,
        Mutant::MarkEarly,
        Mutant::MarksForgotten,
        Mutant::PartsNotCut,
    ]
    .map(Flaw::Engine);
    #[cfg(not(duramen_mutants))]
    let mutants = [];
    let depth = Depth { seeds: 1, nested: 60, onward: 4 };
    let flaws: Vec<_> = [Flaw::PartNameNotSynced].into_iter().chain(mutants).collect();
    let run = Run::of_this_process();
    on_all_cores(&flaws, |flaw| {
        let found = (LONG..LONG + 60).find_map(|number| {
            let workload = random_workload(run.seed(number));
            let setup = Setup { flaw: Some(*flaw), ..workload.setup };
            Workload { setup, ..workload }.run(depth, 12, &Tally::default()).err()
        });
        let Finding { kind, text } = found.unwrap_or_else(|| panic!("{flaw:?} is not found"));
        println!("{flaw:?}: {kind:?}: {}", text.lines().next().unwrap_or_default());
    });
}
