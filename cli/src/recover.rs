//! `duramen recover`: a new store from the parts and the log of a damaged one.

use duramen::Config;
use duramen::inspect::{count, span};
use duramen::recover::{self, Options, Recovered, RecoveredTree};
use serde::Serialize;

use crate::args::RecoverArgs;
use crate::error::{Error, Refusal, name_of};
use crate::{hex, memory, output};

#[derive(Serialize)]
struct RecoveredJson {
    whole: bool,
    old_store: String,
    store: String,
    manifest: Option<u64>,
    trees: Vec<TreeJson>,
    unknown_trees: Vec<u32>,
    log_groups: u64,
    log_gaps: Vec<RangeJson>,
    unproven: Vec<String>,
    skipped: Vec<SkippedJson>,
}

#[derive(Serialize)]
struct TreeJson {
    number: u32,
    tree: String,
    name_is_known: bool,
    size: u64,
    root: String,
    known: u64,
    missing: Vec<RangeJson>,
    from_log: u64,
    erased: u64,
    lost_entries: Vec<RangeJson>,
    contradicts_manifest: bool,
}

#[derive(Serialize)]
struct RangeJson {
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct SkippedJson {
    file: String,
    reason: String,
}

/// Makes the new store, says what it has and what is missing, and ends with status 1 if something is.
pub(crate) fn run(args: &RecoverArgs) -> Result<(), Error> {
    let mut options = Options::new().unproven_log(args.unproven_log);
    for (tree, name) in &args.names {
        options = options.name(*tree, name)?;
    }
    let new = memory::bounded(Config::new(&args.new), args.memory.max_memory)?;
    let report = recover::run(&Config::new(&args.dir), &new, &options)?;
    match args.json {
        true => output::print(&format!("{}\n", output::to_json(&json(&report), false)?))?,
        false => output::print(&text(&report))?,
    }
    if report.is_whole() {
        return Ok(());
    }
    Err(Error::Refused { reason: Refusal::NotWhole { dir: args.dir.clone() } })
}

fn text(report: &Recovered) -> String {
    let mut lines = vec![format!("store {} from store {}", report.store, report.old_store)];
    lines.push(match report.manifest {
        Some(number) => format!("manifest {number} can be read"),
        None => "no manifest can be read".to_owned(),
    });
    report.trees.iter().for_each(|tree| tree_text(tree, &mut lines));
    for number in &report.unknown_trees {
        lines.push(format!("missing: tree number {number}: nothing says its hash function"));
    }
    let groups = count(report.log_groups, "group", "groups");
    lines.push(format!("log {groups}"));
    for gap in &report.log_gaps {
        lines.push(format!("missing: {} of the log", span(gap.clone(), "record", "records")));
    }
    for file in &report.unproven {
        lines.push(format!("not proven to be the store's: {}", name_of(file)));
    }
    for skipped in &report.skipped {
        lines.push(format!("not used: {}: {}", name_of(&skipped.file), skipped.reason));
    }
    lines.push(match report.is_whole() {
        true => "nothing is known to be missing; compare the heads with published ones".to_owned(),
        false => "the new store is not whole".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn tree_text(tree: &RecoveredTree, lines: &mut Vec<String>) {
    let name = format!("{:?}", tree.name.as_str());
    let size = tree.head.size.get();
    lines.push(format!("tree {name} size {size} root {}", hex::encode(&tree.head.root)));
    if !tree.name_is_known {
        lines.push(format!("tree {name} is number {}; no file says its name", tree.number));
    }
    for range in &tree.missing {
        lines.push(format!("missing: {} of tree {name}", span(range.clone(), "leaf", "leaves")));
    }
    if size < tree.known {
        let left = count(tree.known - size, "leaf", "leaves");
        lines.push(format!("missing: tree {name} ends {left} before the last one that is known"));
    }
    for range in &tree.lost_entries {
        let entries = span(range.clone(), "entry", "entries");
        lines.push(format!("missing: {entries} of tree {name}; the leaves are there"));
    }
    if tree.erased > 0 {
        let erased = count(tree.erased, "entry is", "entries are");
        lines.push(format!("tree {name}: {erased} erased"));
    }
    if tree.contradicts_manifest {
        lines.push(format!("tree {name} does not have the root that the manifest says"));
    }
}

fn ranges(ranges: &[std::ops::Range<u64>]) -> Vec<RangeJson> {
    ranges.iter().map(|range| RangeJson { from: range.start, to: range.end }).collect()
}

fn json(report: &Recovered) -> RecoveredJson {
    let tree = |tree: &RecoveredTree| TreeJson {
        number: tree.number,
        tree: tree.name.to_string(),
        name_is_known: tree.name_is_known,
        size: tree.head.size.get(),
        root: hex::encode(&tree.head.root),
        known: tree.known,
        missing: ranges(&tree.missing),
        from_log: tree.from_log,
        erased: tree.erased,
        lost_entries: ranges(&tree.lost_entries),
        contradicts_manifest: tree.contradicts_manifest,
    };
    RecoveredJson {
        whole: report.is_whole(),
        old_store: report.old_store.clone(),
        store: report.store.clone(),
        manifest: report.manifest,
        trees: report.trees.iter().map(tree).collect(),
        unknown_trees: report.unknown_trees.clone(),
        log_groups: report.log_groups,
        log_gaps: ranges(&report.log_gaps),
        unproven: report.unproven.iter().map(|file| name_of(file)).collect(),
        skipped: report
            .skipped
            .iter()
            .map(|skipped| SkippedJson {
                file: name_of(&skipped.file),
                reason: skipped.reason.clone(),
            })
            .collect(),
    }
}
