//! The commonware-storage side: a program of its own, since it and rotortree need versions of blake3
//! that exclude each other. Built and run only with the feature `commonware`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::env::Env;
use crate::measure::{Sample, Side, Who, side};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/commonware/Cargo.toml");

/// Whether this side takes part.
pub const ENABLED: bool = cfg!(feature = "commonware");

/// The side of a workload that needs nothing but an empty directory.
pub fn fresh<'a>(env: &'a Env, workload: &'a str, size: u64) -> Option<Side<'a>> {
    ENABLED.then(|| {
        side(Who::Commonware, move || {
            let dir = env.fresh_dir()?;
            run(workload, dir.path(), size)
        })
    })
}

/// Runs a workload once in `dir`, in a process of its own that takes the time itself.
pub fn run(workload: &str, dir: &Path, size: u64) -> Result<Sample> {
    let output = Command::new(program()?)
        .arg(workload)
        .arg(dir)
        .arg(size.to_string())
        .output()
        .context("cannot start the program of the commonware side")?;
    ensure!(
        output.status.success(),
        "the commonware side failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().map(|word| Ok(Some(word.parse()?))).collect()
}

/// Builds the program once.
fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    eprintln!("building the commonware side, which takes minutes the first time");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(MANIFEST).with_file_name("target");
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--manifest-path", MANIFEST, "--target-dir"])
        .arg(&target)
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(built.success(), "the commonware side does not build");
    Ok(target.join("release/commonware-side"))
}
