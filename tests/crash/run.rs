//! A run: a seed from which all its workloads follow, and which of them are looked at.
//!
//! The environment says what `cargo xtask crash` was asked for:
//!
//! - `DURAMEN_CRASH_SEED=S`: the run's seed, else 0. `S-K` is workload K of that run and no other.
//! - `DURAMEN_CRASH_PART=I/N`: every Nth workload from the Ith on; `I` counts from 1.
//! - `DURAMEN_CRASH_COUNTS=FILE`: where a full run writes down what it counted.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::findings::{Outcome, Tally};
use testkit::random::Random;

/// What a test of a full run writes down last.
const COMPLETE: &str = "tests that came to their end";

/// One workload of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) run: u64,
    pub(crate) number: u64,
    full: bool,
}

impl Seed {
    /// All random choices of the workload.
    pub(crate) fn random(self) -> Random {
        let mut random = Random(self.run);
        Random(random.number() ^ self.number)
    }
}

/// The command that looks at this workload again.
impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = if self.full { " --full" } else { "" };
        write!(f, "cargo xtask crash{full} --seed {}-{}", self.run, self.number)
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    only: Option<u64>,
    /// This one of so many.
    part: (u64, u64),
    full: bool,
}

impl Run {
    /// What the environment asks for.
    pub(crate) fn of_this_process() -> Self {
        let text = std::env::var("DURAMEN_CRASH_SEED").unwrap_or_else(|_| "0".to_owned());
        let (seed, only) = match text.split_once('-') {
            Some((seed, only)) => (seed, Some(only.parse().unwrap())),
            None => (&text[..], None),
        };
        let part = match std::env::var("DURAMEN_CRASH_PART") {
            Ok(part) => {
                let (part, parts) = part.split_once('/').unwrap();
                (part.parse().unwrap(), parts.parse().unwrap())
            }
            Err(_) => (1, 1),
        };
        Self { seed: seed.parse().unwrap(), only, part, full: false }
    }

    /// The same of a full run.
    pub(crate) fn full(self) -> Self {
        Self { full: true, ..self }
    }

    pub(crate) fn seed(self, number: u64) -> Seed {
        Seed { run: self.seed, number, full: self.full }
    }

    /// Adds what was counted to the file that the environment names.
    pub(crate) fn write_down(self, tally: &Tally) {
        if let Some(path) = std::env::var_os("DURAMEN_CRASH_COUNTS")
            && self.full
        {
            let mut file = File::options().create(true).append(true).open(path).unwrap();
            for (what, number) in tally.counts() {
                writeln!(file, "{number} {what}").unwrap();
            }
            writeln!(file, "1 {COMPLETE}").unwrap();
        }
    }

    fn includes(self, seed: Seed, place: usize) -> bool {
        match self.only {
            Some(only) => seed.number == only,
            None => (place as u64) % self.part.1 == self.part.0 - 1,
        }
    }

    /// Works off the items of this run on all cores, until all are done or enough is broken. Says
    /// from time to time how far it is if that takes long.
    pub(crate) fn each<T: Sync>(
        self,
        items: &[T],
        seed: impl Fn(&T) -> Seed,
        tally: &Tally,
        work: impl Fn(&T) -> Outcome + Sync,
    ) {
        let items: Vec<_> = items
            .iter()
            .enumerate()
            .filter(|(place, item)| self.includes(seed(item), *place))
            .map(|(_, item)| item)
            .collect();
        let begun = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            scope.spawn(|| progress(&begun, items.len(), tally, &over));
            on_all_cores(&items, |item| {
                begun.fetch_add(1, Ordering::Relaxed);
                if !tally.is_enough() {
                    tally.note(work(item));
                }
            });
        });
    }
}

/// Does `work` with each item, some at a time. If it panics, so does this in the end.
pub(crate) fn on_all_cores<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    // Every store has threads that are waited for; so more than one store keeps a core busy.
    let threads = std::thread::available_parallelism().map_or(1, usize::from) * 2;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(item);
                    }
                })
            })
            .collect();
        let panics: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().err()).collect();
        if let Some(panic) = panics.into_iter().next() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Sets the flag at the end, after a panic too, so that a thread that waits for it goes on.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const SAY_EVERY: Duration = Duration::from_secs(20);

/// Says how far the work is. Fails if no image is looked at for long: something hangs.
fn progress(begun: &AtomicUsize, all: usize, tally: &Tally, over: &AtomicBool) {
    let started = Instant::now();
    let mut said = started;
    let mut last = ((0, 0), started);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        let done = begun.load(Ordering::Relaxed);
        let images = tally.get("crash images") + tally.get("images");
        let now = Instant::now();
        if (done, images) != last.0 {
            last = ((done, images), now);
        } else if now - last.1 > Duration::from_secs(600) {
            let _ = writeln!(std::io::stderr(), "something hangs after {done} of {all} workloads");
            std::process::abort();
        }
        if now - said >= SAY_EVERY {
            said = now;
            let rate = images as f64 / started.elapsed().as_secs_f64();
            let _ = writeln!(
                std::io::stderr(),
                "{done} of {all} workloads, {images} images, {rate:.0} a second"
            );
        }
    }
}
