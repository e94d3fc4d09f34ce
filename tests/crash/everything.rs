//! The full run, `cargo xtask crash --full`: every short workload with 32 seeded subsets of what was not
//! synced, long workloads, and every failing call.

use duramen::testing::sim::{Fault, SimDisk};

use crate::examine::Depth;
use crate::fault::{self, Patient, STEPS, setups};
use crate::findings::{Outcome, Tally};
use crate::power::{LONG, Workload, ZEROS, merging_workloads, random_workload, short_workloads};
use crate::rig::Step;
use crate::run::{Run, Seed};
use crate::setup::Setup;

/// How many long workloads are cut.
const LONG_ONES: u64 = 1000;
/// The first number of a workload with failing calls.
const FAULTS: u64 = 400_000;
/// How many long workloads have failing calls.
const FAULTY_ONES: u64 = 60;

const SHORT_DEPTH: Depth = Depth { seeds: 32, nested: 60, onward: 24 };
const LONG_DEPTH: Depth = Depth { seeds: 32, nested: 150, onward: 60 };

/// A piece of work.
enum Item {
    Short(Workload),
    Long(Workload),
    /// Each call of a workload fails in each way.
    Fault(Seed, Setup, Vec<Step>),
}

impl Item {
    fn seed(&self) -> Seed {
        match self {
            Self::Short(workload) | Self::Long(workload) => workload.seed,
            Self::Fault(seed, ..) => *seed,
        }
    }

    fn work(&self, tally: &Tally) -> Outcome {
        match self {
            Self::Short(workload) => workload.run(SHORT_DEPTH, u64::MAX, tally),
            Self::Long(workload) => workload.run(LONG_DEPTH, 6, tally),
            Self::Fault(seed, setup, steps) => {
                tally.count("workloads", 1);
                for number in 1..=fault::operations(*setup, steps) {
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
    let faults = (FAULTS..).zip(usual.into_iter().chain(others));
    items
        .extend(faults.map(|(number, (setup, steps))| Item::Fault(run.seed(number), setup, steps)));
    let long = (LONG..LONG + LONG_ONES).map(|number| random_workload(run.seed(number)));
    items.extend(long.map(Item::Long));
    items.extend(short_workloads(run, 4).into_iter().map(Item::Short));
    items.extend(merging_workloads(run, 3).into_iter().map(Item::Short));
    items
}

#[test]
#[ignore = "takes long; cargo xtask crash --full"]
fn the_full_run() {
    let run = Run::of_this_process().full();
    let tally = Tally::default();
    run.each(&items(run), Item::seed, &tally, |item| item.work(&tally));
    run.write_down(&tally);
    tally.report("full run", ZEROS);
}
