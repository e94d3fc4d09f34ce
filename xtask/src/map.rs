//! The map in ARCHITECTURE.md has every file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The word that leads to a file. None for those that have the name of what they are in.
fn word(file: &Path) -> Option<String> {
    let of = |path: &Path| path.file_stem()?.to_str().map(str::to_owned);
    match of(file)?.as_str() {
        "lib" | "main" => None,
        "mod" | "tests" => of(file.parent()?),
        name => Some(name.trim_end_matches("_tests").to_owned()),
    }
}

#[test]
fn every_file_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let map = text.split("## The map").nth(1).unwrap().split("\n## ").next().unwrap();
    let words = |text: &str| {
        let words = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        words.map(str::to_owned).collect::<HashSet<_>>()
    };
    // What belongs to a folder stands in its line and in those that are indented further.
    let section = |folder: String| {
        let mut lines = map.lines().skip_while(|line| !line.starts_with(&folder));
        let first = lines.next().unwrap_or_default().to_owned();
        let rest = lines.take_while(|line| line.starts_with("                 "));
        words(&rest.fold(first, |text, line| text + "\n" + line))
    };
    let mut missing = Vec::new();
    for crate_dir in [
        "src",
        "xtask/src",
        "testkit/src",
        "torture/src",
        "bindings/common/src",
        "bindings/wasm/src",
        "bindings/pack/src",
        "bindings/python/src",
        "bindings/c/src",
    ] {
        let mut found = Vec::new();
        files(&root.join(crate_dir), &mut found);
        for file in found {
            let path = file.strip_prefix(root).unwrap();
            let below = path.strip_prefix(crate_dir).unwrap();
            let named = match (crate_dir, below.components().count()) {
                ("src", 1) => words(map),
                ("src", _) => section(format!("  {}/", below.iter().next().unwrap().display())),
                _ => section(format!("{}/", path.iter().next().unwrap().display())),
            };
            if word(&file).is_some_and(|word| !named.contains(&word)) {
                missing.push(path.display().to_string());
            }
        }
    }
    assert!(missing.is_empty(), "not on the map of ARCHITECTURE.md: {missing:#?}");
}
