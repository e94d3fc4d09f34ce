//! The program under a shell, where a test needs limits or streams that only a shell sets up.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

/// Names what a test needs and the machine does not have, and returns whether to go on without it. Where
/// everything has to be there, it is a failure.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("DURAMEN_TEST_NO_SKIP").is_none(), "{test}: {why}");
    // Past the capture of the test harness: a test that did not run must not look like one that did.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Runs a script in `dir` with the program as `$D`.
pub(crate) fn shell(dir: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .env("D", env!("CARGO_BIN_EXE_duramen"))
        .output()
        .unwrap()
}

/// The exit status and standard error of a script.
pub(crate) fn status_of(dir: &Path, script: &str) -> (Option<i32>, String) {
    let output = shell(dir, script);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
