//! Negative controls: an engine with a mistake, and a disk that leaves calls out, must be found out. Otherwise the zeros of the other
//! tests would say nothing.

use std::io::Write;
use std::sync::Mutex;

use duramen::testing::faulty::Flaw;
#[cfg(duramen_mutants)]
use duramen::testing::faulty::Mutant;
use duramen::testing::sim::{Fault, SimDisk};

use crate::damage;
use crate::examine::Depth;
use crate::fault::{self, Patient, STEPS, setups};
use crate::findings::{Finding, Outcome, Tally};
use crate::forged;
use crate::power::{LONG, Workload, claiming_workloads, merging_workloads, random_workload};
use crate::run::{Run, on_all_cores};
use crate::setup::Setup;
use crate::stale;

/// Calls that are left out or repeated.
const FLAWS: [Flaw; 9] = [
    Flaw::PartNotSynced,
    Flaw::PartNameNotSynced,
    Flaw::ManifestNotSynced,
    Flaw::ManifestNameNotSynced,
    Flaw::SegmentNameNotSynced,
    Flaw::RollNotSynced,
    Flaw::ReplayNotSynced,
    Flaw::SyncTriedAgain,
    Flaw::CacheTrusted,
];

/// Mistakes of the engine.
#[cfg(duramen_mutants)]
const MUTANTS: [Mutant; 9] = [
    Mutant::AcknowledgeBeforeSync,
    Mutant::PartOverwritten,
    Mutant::LogReleasedEarly,
    Mutant::LivesIgnored,
    Mutant::SparesUsedEarly,
    Mutant::ClaimsIgnored,
    Mutant::InputsRemovedEarly,
    Mutant::ProvisionalCounted,
    Mutant::ClaimUnsynced,
];

const DEPTH: Depth = Depth { seeds: 6, nested: 6, onward: 4 };

/// A way to look for broken promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    PowerCuts,
    Merges,
    Claims,
    FailingCalls,
    LostBlocks,
    RecycledSegments,
    ChosenLeaves,
}

const PROBES: [Probe; 7] = [
    Probe::PowerCuts,
    Probe::Merges,
    Probe::Claims,
    Probe::FailingCalls,
    Probe::LostBlocks,
    Probe::RecycledSegments,
    Probe::ChosenLeaves,
];

impl Probe {
    /// The one that should see this flaw.
    fn for_flaw(flaw: Flaw) -> Self {
        match flaw {
            Flaw::SyncTriedAgain | Flaw::CacheTrusted => Self::FailingCalls,
            #[cfg(duramen_mutants)]
            Flaw::Engine(mutant) => match mutant {
                Mutant::SparesUsedEarly => Self::FailingCalls,
                Mutant::ClaimsIgnored => Self::LostBlocks,
                Mutant::InputsRemovedEarly => Self::Merges,
                Mutant::ClaimUnsynced => Self::Claims,
                Mutant::LivesIgnored => Self::ChosenLeaves,
                _ => Self::PowerCuts,
            },
            _ => Self::PowerCuts,
        }
    }

    /// Looks at a store with this flaw until something is found.
    fn look(self, flaw: Flaw) -> Outcome {
        let tally = Tally::default();
        let run = Run::of_this_process();
        let flawed = |setup: Setup| Setup { flaw: Some(flaw), ..setup };
        match self {
            Self::PowerCuts => {
                for setup in setups().map(flawed) {
                    let steps = STEPS.to_vec();
                    let examined = steps.len();
                    Workload { setup, seed: run.seed(1), steps, examined }.run(
                        DEPTH,
                        u64::MAX,
                        &tally,
                    )?;
                }
                for number in LONG..LONG + 6 {
                    let workload = random_workload(run.seed(number));
                    let setup = flawed(workload.setup);
                    Workload { setup, ..workload }.run(DEPTH, 8, &tally)?;
                }
            }
            Self::Merges => {
                for workload in merging_workloads(run, 2) {
                    let setup = flawed(workload.setup);
                    Workload { setup, ..workload }.run(DEPTH, u64::MAX, &tally)?;
                }
            }
            Self::Claims => {
                for workload in claiming_workloads(run) {
                    let setup = flawed(workload.setup);
                    Workload { setup, ..workload }.run(DEPTH, u64::MAX, &tally)?;
                }
            }
            Self::FailingCalls => {
                for setup in setups().map(flawed) {
                    for number in 1..=fault::healthy_operations(setup) {
                        for fault in fault::plans(number) {
                            failing(setup, fault, number, &tally)?;
                        }
                    }
                }
            }
            Self::LostBlocks => damage::lost_blocks(flawed(Setup::PLAIN), &tally)?,
            Self::ChosenLeaves => {
                for carrier in forged::Carrier::ALL {
                    for aim in forged::AIMS {
                        forged::attack(carrier, Some(flaw), aim, false)?;
                    }
                }
            }
            Self::RecycledSegments => {
                for single in 0..4 {
                    for blocks in [1, 4, 6] {
                        stale::recycle(flawed(Setup::PLAIN), single, blocks)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Looks for a broken promise, where it should be first, and stops at the first.
fn hunt(flaw: Flaw) -> Outcome {
    let likely = Probe::for_flaw(flaw);
    likely.look(flaw)?;
    PROBES.into_iter().filter(|probe| *probe != likely).try_for_each(|probe| probe.look(flaw))
}

fn failing(setup: Setup, fault: Fault, number: u64, tally: &Tally) -> Outcome {
    let disk = SimDisk::new();
    disk.inject(fault);
    Patient::new(setup, disk, number, tally)
        .run(&STEPS)
        .map_err(|finding| finding.context(format_args!("{fault:?} on {setup:?}")))
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints how a flaw was caught, if it was.
fn caught(flaw: Flaw) -> bool {
    match hunt(flaw) {
        Err(Finding { kind, text }) => {
            let first = text.lines().next().unwrap_or_default();
            say(&format!("  {flaw:?}: {kind:?}: {first}"));
            true
        }
        Ok(()) => {
            say(&format!("  {flaw:?}: NOT CAUGHT"));
            false
        }
    }
}

fn all_are_caught(flaws: impl ExactSizeIterator<Item = Flaw>, what: &str) {
    let number = flaws.len();
    let missed = Mutex::new(vec![]);
    on_all_cores(&flaws.collect::<Vec<_>>(), |flaw| {
        if !caught(*flaw) {
            missed.lock().unwrap().push(*flaw);
        }
    });
    let missed = missed.into_inner().unwrap();
    say(&format!("negative controls, {what}: {} of {number} caught", number - missed.len()));
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn every_call_that_is_left_out_or_repeated_is_noticed() {
    all_are_caught(FLAWS.into_iter(), "calls left out or repeated");
}

#[cfg(duramen_mutants)]
#[test]
fn every_mutant_of_the_engine_is_caught() {
    all_are_caught(MUTANTS.into_iter().map(Flaw::Engine), "mutants of the engine");
}
