//! Negative controls: an engine with a defect must be found out. Otherwise the zeros of the other
//! tests would say nothing.

use std::io::Write;

use duramen::testing::sim::{Defect, Fault, SimDisk};

use crate::damage;
use crate::examine::Depth;
use crate::fault::{self, Patient, STEPS, setups};
use crate::findings::{Finding, Outcome, Tally};
use crate::forged;
use crate::power::{LONG, Workload, merging_workloads, random_workload};
use crate::run::Run;
use crate::setup::Setup;
use crate::stale;

/// The seven that every run is measured by.
const MUTANTS: [(&str, &[Defect]); 7] = [
    ("acknowledge before fsync", &[Defect::AcknowledgeBeforeSync]),
    ("skip the file fsync of a part", &[Defect::PartNotSynced]),
    (
        "skip the directory fsync",
        &[Defect::PartNameNotSynced, Defect::ManifestNameNotSynced, Defect::SegmentNameNotSynced],
    ),
    ("retry after a failed fsync", &[Defect::SyncTriedAgain]),
    ("overwrite a part in place", &[Defect::PartOverwritten]),
    ("recycle the log before the manifest is durable", &[Defect::LogReleasedEarly]),
    ("take a group of another life of a segment", &[Defect::LivesIgnored]),
];

/// More of their kind.
const MORE: [Defect; 8] = [
    Defect::ManifestNotSynced,
    Defect::RollNotSynced,
    Defect::ReplayNotSynced,
    Defect::CacheTrusted,
    Defect::SparesUsedEarly,
    Defect::ClaimsIgnored,
    Defect::InputsRemovedEarly,
    Defect::ProvisionalCounted,
];

const DEPTH: Depth = Depth { seeds: 6, nested: 6, onward: 4 };

/// A way to look for broken promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    PowerCuts,
    Merges,
    FailingCalls,
    LostBlocks,
    RecycledSegments,
    ChosenLeaves,
}

const PROBES: [Probe; 6] = [
    Probe::PowerCuts,
    Probe::Merges,
    Probe::FailingCalls,
    Probe::LostBlocks,
    Probe::RecycledSegments,
    Probe::ChosenLeaves,
];

impl Probe {
    /// The one that should see this defect.
    fn for_defect(defect: Defect) -> Self {
        match defect {
            Defect::SyncTriedAgain | Defect::CacheTrusted | Defect::SparesUsedEarly => {
                Self::FailingCalls
            }
            Defect::ClaimsIgnored => Self::LostBlocks,
            Defect::InputsRemovedEarly => Self::Merges,
            Defect::LivesIgnored => Self::ChosenLeaves,
            _ => Self::PowerCuts,
        }
    }

    /// Looks at an engine with this defect until something is found.
    fn look(self, defect: Defect) -> Outcome {
        let tally = Tally::default();
        let run = Run::of_this_process();
        let flawed = |setup: Setup| Setup { defect: Some(defect), ..setup };
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
                for aim in forged::AIMS {
                    forged::attack(Some(defect), aim, false)?;
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
fn hunt(defect: Defect) -> Outcome {
    let likely = Probe::for_defect(defect);
    likely.look(defect)?;
    PROBES.into_iter().filter(|probe| *probe != likely).try_for_each(|probe| probe.look(defect))
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

/// Prints how a defect was caught, if it was.
fn caught(name: &str, defect: Defect) -> bool {
    match hunt(defect) {
        Err(Finding { kind, text }) => {
            let first = text.lines().next().unwrap_or_default();
            say(&format!("  {name} ({defect:?}): {kind:?}: {first}"));
            true
        }
        Ok(()) => {
            say(&format!("  {name} ({defect:?}): NOT CAUGHT"));
            false
        }
    }
}

#[test]
fn every_mutant_of_the_engine_is_caught() {
    let missed: Vec<_> = MUTANTS
        .iter()
        .filter(|(name, defects)| {
            !defects.iter().map(|defect| caught(name, *defect)).fold(true, |all, one| all & one)
        })
        .map(|(name, _)| *name)
        .collect();
    let number = MUTANTS.len() - missed.len();
    say(&format!("negative controls: {number} of {} caught", MUTANTS.len()));
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn more_mutants_of_the_engine_are_caught() {
    let missed: Vec<_> = MORE.into_iter().filter(|defect| !caught("another", *defect)).collect();
    say(&format!("more negative controls: {} of {} caught", MORE.len() - missed.len(), MORE.len()));
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
