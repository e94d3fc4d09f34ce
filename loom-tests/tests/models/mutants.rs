//! What the models would catch: each site that they pass is broken, one at a time, and they are run
//! again. This needs no second build: `DURAMEN_MUTANT` breaks the site in a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Sites that may be broken without harm to what the models promise: kind, file, source line, and
/// why the line stands there all the same.
const HARMLESS: &[(&str, &str, &str, &str)] = &[
    (
        "notify",
        "src/engine/ingest/inflow.rs",
        "self.room.notify_all();",
        "a store is closed by its only owner, so no thread waits for room in it; closing does not rely on that",
    ),
    (
        "notify",
        "src/testing/sim/state.rs",
        "self.changed.notify_all();",
        "the simulated disk tells those who hold its operations or watch a directory, which no model does",
    ),
];

/// Runs `model` alone in a process, with `env` set. What it printed, and whether it passed.
fn run(model: &str, env: &[(&str, &str)]) -> (String, bool) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([model, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUST_BACKTRACE", "0")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

fn models() -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let mut models: Vec<_> = names.filter(|name| !name.starts_with("mutants::")).collect();
    // Those of single parts are quick and say more.
    models.sort_by_key(|name| name.starts_with("engine::") || name.starts_with("upkeep::"));
    models.into_iter().map(str::to_owned).collect()
}

/// The text of the line that a site stands on.
fn line_of(site: &str) -> Option<(&str, &str, String)> {
    let (kind, place) = site.split_once(' ')?;
    let (file, line) = place.rsplit_once(':')?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.lines().nth(line.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some((kind, file, text.trim().to_owned()))
}

/// What a failed run says of itself.
fn reason(output: &str) -> &str {
    let mut lines = output.lines().skip_while(|line| !line.contains("panicked at"));
    lines.nth(1).unwrap_or("ended without a word").trim()
}

#[test]
fn every_notify_every_wait_and_every_memory_order_is_needed_and_every_defect_is_found() {
    let mut sites: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for model in models() {
        // Where a model goes shows long before it has gone there in every order.
        let few = [("DURAMEN_SITES", "1"), ("DURAMEN_PREEMPTIONS", "1")];
        let (output, passed) = run(&model, &few);
        assert!(passed, "{model} fails as it is:\n{output}");
        for site in output.lines().filter_map(|line| line.strip_prefix("site: ")) {
            sites.entry(site.to_owned()).or_default().push(model.clone());
        }
    }
    for file in ["durability/watermark", "log/control", "column/shared", "workers"] {
        let passed = sites.keys().any(|site| site.contains(file));
        assert!(passed, "no model comes by anything that could be broken in {file}.rs");
    }

    let mut harmless = BTreeSet::new();
    for (site, models) in &sites {
        let found = models.iter().find_map(|model| {
            let (output, passed) = run(model, &[("DURAMEN_MUTANT", site)]);
            (!passed).then(|| format!("{model}: {}", reason(&output)))
        });
        let line = line_of(site).map_or(String::new(), |(_, _, text)| format!(" `{text}`"));
        println!("{site}{line}\n    {}", found.as_deref().unwrap_or("NOT FOUND"));
        if found.is_none() {
            harmless.insert(site.clone());
        }
    }
    let found: BTreeSet<_> = harmless
        .iter()
        .map(|site| line_of(site).map_or_else(|| site.clone(), |(a, b, c)| format!("{a} {b} {c}")))
        .collect();
    let known: BTreeSet<_> =
        HARMLESS.iter().map(|(kind, file, line, _)| format!("{kind} {file} {line}")).collect();
    assert_eq!(found, known, "what no model misses, against what is known to be harmless");
}
