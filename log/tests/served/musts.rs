//! The page that says which test holds what the texts of C2SP demand.

use std::path::{Path, PathBuf};

/// The file of a test, as the page shortens its path.
fn file(root: &Path, short: &str) -> PathBuf {
    for (folder, path) in [
        ("tlog/", "tests/merkle/tlog/"),
        ("witness/", "log/src/witness/tests/"),
        ("program/", "cli/tests/program/"),
    ] {
        if let Some(name) = short.strip_prefix(folder) {
            return root.join(path).join(name);
        }
    }
    root.join(short)
}

#[test]
fn every_test_that_the_page_of_demands_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/musts.md")).unwrap();
    let (mut found, mut source) = (0, None);
    for code in page.split('`').skip(1).step_by(2) {
        if code.ends_with(".rs") {
            let path = file(&root, code);
            source = Some((code, std::fs::read_to_string(path).unwrap_or_default()));
            assert!(source.as_ref().is_some_and(|(_, text)| !text.is_empty()), "{code}");
        } else if code.len() > 12
            && code.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
        {
            let (file, text) = source.as_ref().unwrap();
            assert!(text.contains(&format!("fn {code}(")), "{file} has no test {code}");
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}
