//! The power is cut at every operation.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use duramen::fs::sim::CrashChoice;
use duramen::{Arity, CompactionPolicy};

use crate::examine::{self, Depth};
use crate::findings::{Outcome, Tally};
use crate::random::Random;
use crate::rig::{Rig, Span, Step};
use crate::scale;
use crate::setup::Setup;

const ZEROS: &str = "0 acknowledged leaves lost, 0 phantoms, 0 torn batches, 0 wrong roots or \
                     proofs, 0 mixed checkpoints, 0 stores that do not open";

/// The steps that all short workloads are made of. The large batch takes several blocks of log.
const ALPHABET: [Step; 7] = [
    Step::Insert,
    Step::Batch(150),
    Step::Flush,
    Step::InsertDurable,
    Step::Checkpoint,
    Step::Reopen,
    Step::Kill,
];

/// What came before a short workload.
#[derive(Clone, Copy, Debug)]
enum Past {
    Nothing,
    /// A store with parts, spare segments and a log that has rolled.
    Long,
    /// A store with so many parts that the next one has them merged.
    Parts,
}

impl Past {
    fn steps(self) -> &'static [Step] {
        use Step::{Batch, Checkpoint, Insert, InsertDurable, Kill, Reopen};
        match self {
            Self::Nothing => &[],
            Self::Long => &[
                InsertDurable,
                Batch(7),
                Checkpoint,
                InsertDurable,
                InsertDurable,
                InsertDurable,
                Kill,
                InsertDurable,
                Checkpoint,
                Reopen,
                InsertDurable,
                Insert,
            ],
            Self::Parts => &[Batch(70), Checkpoint, InsertDurable, Checkpoint, Batch(3)],
        }
    }
}

/// One workload: nothing is examined before its last `examined` steps.
#[derive(Clone, Debug)]
struct Workload {
    setup: Setup,
    seed: u64,
    steps: Vec<Step>,
    examined: usize,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setup, seed, steps, .. } = self;
        write!(f, "workload of seed {seed}: {steps:?} on {setup:?}")
    }
}

impl Workload {
    fn run(&self, depth: Depth, moments: u64, tally: &Tally) -> Outcome {
        let mut random = Random(self.seed);
        let mut rig = Rig::new(self.setup, self.seed);
        let context = |at: usize| {
            move |finding: crate::findings::Finding| {
                finding.context(format_args!("step {at}")).context(self)
            }
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

/// Runs workloads on all cores until all are done or enough is broken.
fn run_all(workloads: &[Workload], depth: Depth, moments: u64, tally: &Tally) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if tally.is_enough() {
                        break;
                    }
                    tally.note(workload.run(depth, moments, tally));
                }
            });
        }
    });
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

#[test]
fn no_power_cut_in_any_short_workload_breaks_a_promise() {
    let setups = [
        Setup { segment: 8 << 10, spare: 16 << 10, on_close: true, ..Setup::PLAIN },
        Setup { arity: Arity::Two, sha: true, ..Setup::PLAIN },
    ];
    let longest = if scale() > 1 { 4 } else { 3 };
    let mut workloads = Vec::new();
    for past in [Past::Nothing, Past::Long] {
        for setup in setups {
            for len in 1..=longest {
                for steps in all_of(len) {
                    let steps: Vec<_> = past.steps().iter().copied().chain(steps).collect();
                    // What comes before the last step is looked at in the shorter workload.
                    let examined = if len == 1 { steps.len() } else { 1 };
                    let seed = workloads.len() as u64;
                    workloads.push(Workload { setup, seed, steps, examined });
                }
            }
        }
    }
    let tally = Tally::default();
    let depth = Depth { seeds: 3 * scale(), nested: 24, onward: 6 };
    run_all(&workloads, depth, u64::MAX, &tally);
    tally.report("power cuts, short workloads", ZEROS);
}

/// A workload of 20 to 60 steps.
fn random_workload(seed: u64) -> Workload {
    let mut random = Random(seed);
    let setup = Setup::random(&mut random);
    let count = 20 + random.below(41);
    let step = |random: &mut Random| match random.below(32) {
        0..6 => Step::Insert,
        6..11 => Step::Batch(1 + usize::try_from(random.below(9)).unwrap()),
        11 => Step::Batch(100 + usize::try_from(random.below(400)).unwrap()),
        12..16 => Step::Flush,
        16..22 => Step::InsertDurable,
        22..25 => Step::Checkpoint,
        25..28 => Step::Reopen,
        28 | 29 => Step::Kill,
        _ => Step::Cut(match random.below(4) {
            0 => CrashChoice::NothingKept,
            1 => CrashChoice::AllKept,
            _ => CrashChoice::Seeded(random.next()),
        }),
    };
    let steps: Vec<_> = (0..count).map(|_| step(&mut random)).collect();
    let examined = steps.len();
    Workload { setup, seed, steps, examined }
}

#[test]
fn no_power_cut_while_parts_are_merged_breaks_a_promise() {
    let pair = CompactionPolicy::Tiered(2);
    let setups = [
        Setup { compaction: pair, segment: 8 << 10, spare: 16 << 10, ..Setup::PLAIN },
        Setup { compaction: pair, arity: Arity::Two, sha: true, on_close: true, ..Setup::PLAIN },
    ];
    let merging =
        [Step::Checkpoint, Step::InsertDurable, Step::Checkpoint, Step::Reopen, Step::Kill];
    let mut workloads = Vec::new();
    for setup in setups {
        // The merge comes with a checkpoint; the second one comes when two of a tier are left over.
        for rounds in 1..=3 {
            let mut steps = Past::Parts.steps().to_vec();
            for _ in 0..rounds {
                steps.extend(merging);
            }
            let seed = workloads.len() as u64;
            workloads.push(Workload { setup, seed, steps, examined: merging.len() });
        }
        for steps in all_of(2) {
            let steps: Vec<_> = Past::Parts.steps().iter().copied().chain(steps).collect();
            let seed = workloads.len() as u64;
            workloads.push(Workload { setup, seed, steps, examined: 2 });
        }
    }
    let mut merges = 0;
    let tally = Tally::default();
    for workload in &workloads[..3] {
        let mut rig = Rig::new(workload.setup, workload.seed);
        rig.create().unwrap();
        for step in &workload.steps {
            rig.step(*step).unwrap();
            rig.settle();
            merges += rig.store().stats().compactions;
        }
    }
    assert!(merges > 0, "nothing was merged");
    let depth = Depth { seeds: 3 * scale(), nested: 24, onward: 6 };
    run_all(&workloads, depth, u64::MAX, &tally);
    tally.report("power cuts, merges", ZEROS);
}

#[test]
fn no_power_cut_in_a_long_workload_breaks_a_promise() {
    let seeds = match std::env::var("DURAMEN_CRASH_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..60 * scale(),
    };
    let workloads: Vec<_> = seeds.map(random_workload).collect();
    let tally = Tally::default();
    let depth = Depth { seeds: 3, nested: 60, onward: 12 };
    run_all(&workloads, depth, 4, &tally);
    tally.report("power cuts, long workloads", ZEROS);
}

#[test]
fn the_same_workload_leaves_the_same_trace() {
    let traces = |seed| {
        let workload = random_workload(seed);
        let mut rig = Rig::new(workload.setup, seed);
        let mut traces = vec![];
        rig.create().unwrap();
        for step in &workload.steps {
            let span = rig.step(*step).unwrap();
            rig.settle();
            traces.push(span.disk.trace());
        }
        traces
    };
    for seed in 0..8 {
        assert_eq!(traces(seed), traces(seed), "seed {seed}");
    }
}
