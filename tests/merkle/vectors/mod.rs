//! Test vectors for other implementations: made by a reference that is too slow to be wrong and shares nothing
//! with the library but the keys that sign, and read here to hold the library to them. See docs/vectors.md.

mod bytes;
mod cases;
mod library;
mod make;
mod signed;

use std::path::PathBuf;

/// The file of this name.
fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// With `DURAMEN_BLESS=1` in the environment the files are written instead.
#[test]
fn the_files_are_what_the_reference_makes_byte_for_byte() {
    let files = make::files();
    for (name, text) in &files {
        if std::env::var_os("DURAMEN_BLESS").is_some() {
            std::fs::write(path(name), text).unwrap();
        }
        let found = std::fs::read_to_string(path(name)).unwrap();
        assert!(found == *text, "{name} is not what the reference makes");
    }
    let there = std::fs::read_dir(path("")).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = there.filter(|name| name.ends_with(".json")).collect();
    there.sort();
    let mut made: Vec<_> = files.into_iter().map(|(name, _)| name).collect();
    made.sort();
    assert_eq!(there, made);
}
