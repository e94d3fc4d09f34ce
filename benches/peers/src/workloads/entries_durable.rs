//! Entries that are durable when the insert returns, from many threads at once, beside leaves alone.

use anyhow::Result;
use duramen::{Arity, Blake3, EntryConfig, TreeConfig};

use super::insert_durable::{group_commit, many_threads};
use crate::entries;
use crate::env::Env;
use crate::limit::device::WrittenFile;
use crate::measure::{Row, Who, interleave, less, more, side};
use crate::sides;

const THREADS: u64 = 32;
const FILE_BYTES: u64 = 256 << 20;

/// Lets 32 threads insert for two seconds: entries that are not compared with others, entries that are, and leaves
/// alone, each in a store of its own. The limit is the smallest group commit that could do the work.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let time = env.seconds(2.0);
    let leaves_alone = || {
        side(Who::LeavesAlone, || {
            let dir = env.fresh_dir()?;
            let store = sides::duramen(dir.path(), None)?;
            let sample =
                many_threads(THREADS, time, |leaf| Ok(store.insert_durable(leaf).map(drop)?));
            store.close()?;
            sample
        })
    };
    let with_entries = |unique: bool| {
        side(Who::Duramen, move || {
            let dir = env.fresh_dir()?;
            let store = sides::duramen_store(dir.path())?;
            let mut kept = TreeConfig::new(std::sync::Arc::new(Blake3), Arity::Four);
            kept = kept.entries(EntryConfig::new());
            if unique {
                kept = kept.indexed();
            }
            let log = store.tree_dyn("log", kept)?;
            let sample = many_threads(THREADS, time, |leaf| {
                let entry = entries::of(leaf);
                if unique {
                    drop(log.insert_unique_entry_durable(entry)?);
                } else {
                    log.insert_entry_durable(entry)?;
                }
                Ok(())
            });
            drop(log);
            store.close()?;
            sample
        })
    };
    let limit = || {
        side(Who::Limit, || {
            let dir = env.fresh_dir()?;
            let file = WrittenFile::create(&dir.path().join("file"), FILE_BYTES)?;
            group_commit(&file, THREADS, time, |leaf| [&entries::of(leaf)[..], &leaf].concat())
        })
    };
    let metrics = [more("entries_per_second"), less("p50_microseconds"), less("p99_microseconds")];
    let mut rows =
        interleave(env, name, &metrics, vec![with_entries(false), leaves_alone(), limit()])?;
    let metrics = [
        more("unique_entries_per_second"),
        less("unique_p50_microseconds"),
        less("unique_p99_microseconds"),
    ];
    rows.extend(interleave(env, name, &metrics, vec![with_entries(true), leaves_alone()])?);
    Ok(rows)
}
