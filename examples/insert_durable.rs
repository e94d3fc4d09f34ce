//! Many threads whose entries are acknowledged only when they are durable. The threads share the
//! fsyncs: while one runs, the next group gathers.
//!
//! `cargo run --release --example insert_durable`

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use duramen::{Accumulator, Blake3, Config, Hash, LeafIndex};

const THREADS: u64 = 32;
const PER_THREAD: u64 = 100;

fn main() -> Result<(), Box<dyn Error>> {
    run()
}

/// What one thread did: the place of each of its entries, and how long it waited for it.
type Done = Result<Vec<(LeafIndex, Duration)>, duramen::Error>;

/// Runs the example in a directory of its own.
pub fn run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("log");
    let log = Accumulator::<Blake3, 4>::open(Config::new(&path))?;

    let start = Instant::now();
    let done: Vec<Done> = thread::scope(|scope| {
        let log = &log;
        let submitters: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || submit(log, thread))).collect();
        let join = |submitter: thread::ScopedJoinHandle<'_, Done>| {
            submitter.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        submitters.into_iter().map(join).collect()
    });
    let elapsed = start.elapsed();

    let mut waits = Vec::new();
    let mut acknowledged = Vec::new();
    for (thread, done) in (0..).zip(done) {
        for (number, (index, wait)) in (0..).zip(done?) {
            waits.push(wait);
            acknowledged.push((index, entry(thread, number)));
        }
    }
    waits.sort_unstable();
    let rate = waits.len() as f64 / elapsed.as_secs_f64();
    println!("{} entries from {THREADS} threads, {rate:.0} per second", waits.len());
    for percent in [50, 90, 99, 100] {
        let at = (waits.len() - 1) * percent / 100;
        println!("p{percent:<3} {:>10.1?}", waits[at]);
    }

    // Whatever happens to the process or the power now, these entries are there.
    log.close()?;
    let log = Accumulator::<Blake3, 4>::open(Config::new(&path))?;
    for (index, entry) in &acknowledged {
        assert_eq!(log.leaf(*index)?, *entry);
    }
    println!("all {} are there after reopening", acknowledged.len());
    Ok(log.close()?)
}

fn submit(log: &Accumulator<Blake3, 4>, thread: u64) -> Done {
    (0..PER_THREAD)
        .map(|number| {
            let start = Instant::now();
            // Returns when the entry is on the disk, and not before.
            let index = log.insert_durable(entry(thread, number))?;
            Ok((index, start.elapsed()))
        })
        .collect()
}

/// An entry's digest.
fn entry(thread: u64, number: u64) -> Hash {
    *blake3::hash(format!("entry {number} of thread {thread}").as_bytes()).as_bytes()
}
