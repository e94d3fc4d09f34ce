//! Bytes that must never change without a new format version.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

/// Compares `bytes` with the golden file of this name: hexadecimal digits, 32 bytes a line, trailing
/// zeros left out.
///
/// With `DURAMEN_BLESS=1` in the environment the file is written instead.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let mut text = format!("{} bytes\n", bytes.len());
    for line in bytes[..end].chunks(32) {
        line.iter().for_each(|byte| text += &format!("{byte:02x}"));
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("DURAMEN_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(golden, text, "the bytes of {name} have changed: that is a new format version");
}
