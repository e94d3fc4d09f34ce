//! The protocol on a bucket that loses answers, delays and repeats requests, fails, cuts reads short and lists late,
//! with writers that stall and die anywhere.
//!
//! What runs is the shipped code: its futures wait for a scheduler that decides, from a seed, which request happens
//! next and what its sender learns of it. Every schedule ends in quiet: no more failures, everything stalled goes on,
//! and a last writer takes the store over. Then no acknowledged leaf is lost, all that was ever seen is the beginning of
//! one history, every error was true, and everything has come to its end.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

mod bucket;
mod content;
mod run;
mod world;

use std::sync::Mutex;

#[cfg(duramen_mutants)]
use crate::mutant::Mutant;
use run::{Counts, schedule};

/// Seeds that are run with no mistake in the protocol.
fn clean(seeds: impl Iterator<Item = u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        if let Err(problem) = schedule(seed, None, &mut counts) {
            panic!("schedule {seed}: {problem}\nrun it again with DURAMEN_REMOTE_SEED={seed}");
        }
    }
    counts
}

/// The seeds of a test: all, or the one that the environment names.
fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("DURAMEN_REMOTE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

#[test]
fn no_acknowledged_leaf_is_lost_and_there_is_one_history() {
    let counts = clean(seeds(3_000));
    println!("{counts}");
    if counts.schedules > 1 {
        assert!(counts.acknowledged > 1_000, "{counts}");
        assert!(counts.fenced > 100, "{counts}");
        assert!(counts.collected > 100, "{counts}");
        assert!(counts.lost_answers > 100, "{counts}");
    }
}

#[test]
#[ignore = "minutes: cargo xtask crash --remote --full"]
fn no_acknowledged_leaf_is_lost_in_any_of_many_schedules() {
    let total = Mutex::new(Counts::default());
    let all = std::env::var("DURAMEN_REMOTE_SCHEDULES").ok().and_then(|all| all.parse().ok());
    let all: u64 = all.unwrap_or(400_000);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let total = &total;
            scope.spawn(move || {
                let counts = clean((0..all).filter(|seed| seed % threads == thread));
                *total.lock().unwrap() += counts;
            });
        }
    });
    println!("{}", total.into_inner().unwrap());
}

/// The first of many schedules that notices a mistake.
#[cfg(duramen_mutants)]
fn caught(mutant: Mutant) -> Option<(u64, String)> {
    let mut counts = Counts::default();
    (0..40_000).find_map(|seed| {
        schedule(seed, Some(mutant), &mut counts).err().map(|problem| (seed, problem))
    })
}

#[cfg(duramen_mutants)]
#[test]
fn every_mistake_in_the_protocol_is_noticed() {
    use Mutant::*;
    let mutants = [
        ConditionIgnored,
        ManifestAhead,
        BytesChanged,
        LostIsCommitted,
        ExistsIsMine,
        ExistsIsAnothers,
        ReadBeforeFence,
        NoClaim,
        FencesCollected,
        ManifestsCollected,
        EpochsCollected,
        NotLookedAgain,
        CollectedEarly,
        YoungerCollected,
        NameReused,
        AcknowledgedEarly,
        FencedGoesOn,
        NotReadAgain,
    ];
    let missed: Vec<_> = mutants
        .into_iter()
        .filter(|mutant| {
            let found = caught(*mutant);
            println!("{mutant:?}: {found:?}");
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "{missed:?} were not noticed");
}
