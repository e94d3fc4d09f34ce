//! What an unused store costs.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child;
use crate::env::Env;
use crate::leaves::Random;
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides;

/// Opens a store under `Interval(10 ms)`, inserts a thousand leaves, waits until all is quiet, and
/// then counts what the process does by itself.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let time = env.seconds(5.0);
    let measure = |who: Who| {
        side(who, move || -> Result<Sample> {
            let dir = env.fresh_dir()?;
            let text = child::ask(dir.path(), "idle", who, &[time.as_millis() as u64])?;
            text.split_whitespace()
                .map(|word| Ok(Some(word.parse::<f64>()? / time.as_secs_f64())))
                .collect()
        })
    };
    let metrics = [
        less("wake_ups_per_second"),
        less("writes_per_second"),
        less("cpu_microseconds_per_second"),
    ];
    interleave(env, name, &metrics, vec![measure(Who::Duramen), measure(Who::Rotortree)])
}

/// What the process of a side does: prints how often its threads woke up, how often it wrote, and
/// the microseconds it computed, all while nothing was requested.
pub fn child(side: &str, milliseconds: u64, dir: &Path) -> Result<()> {
    let mut random = Random::new(12);
    let idle = Duration::from_millis(milliseconds);
    let counted = match side {
        "duramen" => {
            let store = sides::duramen(dir, None)?;
            for _ in 0..1000 {
                store.insert(random.leaf())?;
            }
            store.flush()?;
            let counted = count(idle)?;
            store.close()?;
            counted
        }
        "rotortree" => {
            let tree = sides::rotor(dir, true)?;
            for _ in 0..1000 {
                tree.insert(random.leaf())?;
            }
            tree.flush()?;
            let counted = count(idle)?;
            tree.close()?;
            counted
        }
        other => bail!("there is no side {other}"),
    };
    println!("{} {} {}", counted[0], counted[1], counted[2]);
    Ok(())
}

/// Longer than any thread of either side lingers after its last work.
const SETTLE: Duration = Duration::from_secs(3);

fn count(idle: Duration) -> Result<[u64; 3]> {
    thread::sleep(SETTLE);
    let before = [wake_ups()?, writes()?, computed()?];
    thread::sleep(idle);
    let after = [wake_ups()?, writes()?, computed()?];
    Ok(std::array::from_fn(|at| after[at].saturating_sub(before[at])))
}

/// How often the threads of this process but the calling one went to sleep: as often as they woke.
fn wake_ups() -> Result<u64> {
    let own = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut sum = 0;
    for entry in std::fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        if entry.file_name().to_str() == Some(&own) {
            continue;
        }
        // A thread may have ended since it was listed.
        let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
        sum += number_after(&status, "voluntary_ctxt_switches:")?;
    }
    Ok(sum)
}

fn writes() -> Result<u64> {
    number_after(&std::fs::read_to_string("/proc/self/io")?, "syscw:")
}

/// Microseconds of processor time of this process.
fn computed() -> Result<u64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

fn number_after(text: &str, field: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
        .with_context(|| format!("the kernel's account has no {field}"))
}
