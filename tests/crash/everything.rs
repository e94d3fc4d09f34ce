//! The full run, `cargo xtask crash --full`: every short workload with 32 seeded subsets of what was not
//! synced, long workloads, and every failing call, on stores of one tree and of several.

use duramen::testing::sim::{Fault, SimDisk};

use crate::examine::Depth;
use crate::fault::{self, Patient, STEPS, setups};
use crate::findings::{Outcome, Tally};
use crate::power::{
    LONG, Workload, ZEROS, claiming_workloads, merging_workloads, random_workload, short_workloads,
};
use crate::rig::Step;
use crate::run::{Run, Seed};
use crate::setup::Setup;
use crate::trees;

/// How many long workloads are cut.
const LONG_ONES: u64 = 300;
/// The first number of a workload with failing calls.
const FAULTS: u64 = 400_000;
/// How many long workloads have failing calls.
const FAULTY_ONES: u64 = 8;
/// Into how many pieces of work the failing calls of a workload are divided.
const SHARES: u64 = 32;
/// How many long workloads of several trees are cut.
const LONG_ONES_OF_TREES: u64 = 200;
/// How many long ones with prunes and with trees that go on behind leaves are cut.
const PRUNED_ONES_OF_TREES: u64 = 100;
/// The first number of a workload of several trees with failing calls.
const FAULTS_OF_TREES: u64 = 800_000;
/// How many long workloads of several trees have failing calls.
const FAULTY_ONES_OF_TREES: u64 = 3;

const SHORT_DEPTH: Depth = Depth { seeds: 32, nested: 150, onward: 24 };
const LONG_DEPTH: Depth = Depth { seeds: 32, nested: 300, onward: 60 };
const SHORT_DEPTH_OF_TREES: Depth = Depth { seeds: 12, nested: 150, onward: 24 };
const LONG_DEPTH_OF_TREES: Depth = Depth { seeds: 24, nested: 300, onward: 60 };

/// A piece of work.
enum Item {
    Short(Workload),
    Long(Workload),
    /// Each call of a share of a workload's calls fails in each way.
    Fault(Seed, Setup, Vec<Step>, u64),
    ShortOfTrees(trees::Workload),
    LongOfTrees(trees::Workload),
    FaultOfTrees(trees::Share),
    /// Bytes and files of a small store of three trees.
    Harm(trees::Harmed),
}

impl Item {
    fn seed(&self) -> Seed {
        match self {
            Self::Short(workload) | Self::Long(workload) => workload.seed,
            Self::Fault(seed, ..) => *seed,
            Self::ShortOfTrees(workload) | Self::LongOfTrees(workload) => workload.seed,
            Self::FaultOfTrees(share) => share.seed,
            Self::Harm(item) => item.seed,
        }
    }

    fn work(&self, tally: &Tally) -> Outcome {
        match self {
            Self::Short(workload) => workload.run(SHORT_DEPTH, u64::MAX, tally),
            Self::Long(workload) => workload.run(LONG_DEPTH, 6, tally),
            Self::ShortOfTrees(workload) => workload.run(SHORT_DEPTH_OF_TREES, u64::MAX, tally),
            Self::LongOfTrees(workload) => workload.run(LONG_DEPTH_OF_TREES, 6, tally),
            Self::FaultOfTrees(share) => share.work(tally),
            Self::Harm(item) => item.work(1, tally),
            Self::Fault(seed, setup, steps, share) => {
                tally.count("workloads", u64::from(*share == 0));
                let all = 1..=fault::operations(*setup, steps);
                for number in all.filter(|number| number % SHARES == *share) {
                    for fault in fault::all_plans(number) {
                        failing(*setup, steps, number, fault, tally).map_err(|finding| {
                            finding.context(format_args!("to see it again: {seed}"))
                        })?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn failing(setup: Setup, steps: &[Step], number: u64, fault: Fault, tally: &Tally) -> Outcome {
    let disk = SimDisk::new();
    disk.inject(fault);
    tally.count("injected errors", 1);
    Patient::new(setup, disk, number, tally)
        .run(steps)
        .map_err(|finding| finding.context(format_args!("{fault:?} on {setup:?}")))
}

fn items(run: Run) -> Vec<Item> {
    // What takes longest comes first, so that no core waits at the end.
    let mut items = Vec::new();
    let usual = setups().map(|setup| (setup, STEPS.to_vec()));
    let others = (0..FAULTY_ONES).map(|number| {
        let workload = random_workload(run.seed(LONG + number));
        (workload.setup, workload.steps)
    });
    let faults = usual.into_iter().chain(others);
    let shares = faults
        .flat_map(|(setup, steps)| (0..SHARES).map(move |share| (setup, steps.clone(), share)));
    items.extend(
        (FAULTS..).zip(shares).map(|(number, (setup, steps, share))| {
            Item::Fault(run.seed(number), setup, steps, share)
        }),
    );
    let others = (trees::LONG..trees::LONG + FAULTY_ONES_OF_TREES)
        .map(|number| trees::random_workload(run.seed(number)));
    items.extend(trees::shares(run, FAULTS_OF_TREES, others).into_iter().map(Item::FaultOfTrees));
    items.extend(trees::all_harm(run).into_iter().map(Item::Harm));
    let long = (trees::LONG..trees::LONG + LONG_ONES_OF_TREES)
        .map(|number| trees::random_workload(run.seed(number)));
    items.extend(long.map(Item::LongOfTrees));
    let pruned = (trees::PRUNED..trees::PRUNED + PRUNED_ONES_OF_TREES)
        .map(|number| trees::with_prunes(run.seed(number)));
    items.extend(pruned.map(Item::LongOfTrees));
    let long = (LONG..LONG + LONG_ONES).map(|number| random_workload(run.seed(number)));
    items.extend(long.map(Item::Long));
    items.extend(short_workloads(run, 4).into_iter().map(Item::Short));
    items.extend(merging_workloads(run, 3).into_iter().map(Item::Short));
    items.extend(claiming_workloads(run).into_iter().map(Item::Short));
    items.extend(trees::short_workloads(run, 3).into_iter().map(Item::ShortOfTrees));
    items
}

#[test]
#[ignore = "takes long; cargo xtask crash --full"]
fn the_full_run() {
    let run = Run::of_this_process().full();
    let tally = Tally::default();
    tally.count("bytes", trees::harmed_bytes(run));
    run.each(&items(run), Item::seed, &tally, |item| item.work(&tally));
    run.write_down(&tally);
    tally.report("full run", ZEROS);
}
