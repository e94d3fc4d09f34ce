//! `duramen stats`: what the process that has a store open says of it. Opens nothing and waits for nothing.

mod figures;
mod prometheus;
mod seen;
mod text;
mod watch;

use duramen::inspect;
use serde::Serialize;

use self::seen::{Seen, look};
use crate::args::StatsArgs;
use crate::error::Error;
use crate::output;

/// Prints the status of a store, or shows it until the user ends that.
pub(crate) fn run(args: &StatsArgs) -> Result<(), Error> {
    if args.watch {
        return watch::run(&args.dir);
    }
    let seen = look(&args.dir)?;
    let text = match (args.json, args.prometheus) {
        (true, _) => format!("{}\n", output::to_json(&json(&seen), false)?),
        (false, true) => prometheus::text(&seen),
        (false, false) => text::whole(&seen),
    };
    output::print(&text)
}

#[derive(Serialize)]
struct StatusJson<'a> {
    store: &'a str,
    state: &'static str,
    error: Option<&'a str>,
    pid: u32,
    opened: String,
    written: String,
    age_seconds: f64,
    sequence: u64,
    oldest_unflushed_seconds: Option<f64>,
    free_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    full_in_seconds: Option<u64>,
    /// The figures by their names, as for Prometheus.
    figures: serde_json::Map<String, serde_json::Value>,
    used_trees: u64,
    trees: Vec<serde_json::Map<String, serde_json::Value>>,
}

fn json(seen: &Seen) -> StatusJson<'_> {
    let status = &seen.status;
    let figures = figures::of_store(status).into_iter();
    let trees = status.trees.iter().map(|tree| {
        let mut map = serde_json::Map::new();
        map.insert("tree".to_owned(), tree.tree.as_str().into());
        map.extend(
            figures::of_tree(tree).into_iter().map(|one| (one.name.to_owned(), one.value.json())),
        );
        map
    });
    StatusJson {
        store: &status.store,
        state: seen.state(),
        error: seen.poison(),
        pid: status.pid,
        opened: inspect::utc(status.opened).to_string(),
        written: inspect::utc(status.written).to_string(),
        age_seconds: seen.age.as_secs_f64(),
        sequence: status.sequence,
        oldest_unflushed_seconds: status.oldest_unflushed.map(|age| age.as_secs_f64()),
        free_bytes: seen.space.map(|(free, _)| free),
        disk_bytes: seen.space.map(|(_, all)| all),
        full_in_seconds: seen.full_in().map(|time| time.as_secs()),
        figures: figures.map(|one| (one.name.to_owned(), one.value.json())).collect(),
        used_trees: status.used_trees,
        trees: trees.collect(),
    }
}
