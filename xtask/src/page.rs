//! `cargo xtask page`: makes the verifier that the page of a served log loads.
//!
//! It is checked in, so that the program is built without a second target. The same compiler makes the same bytes:
//! `--check` compares.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where it is checked in.
const PLACE: &str = "log/page/verifier.wasm";
/// The compiler that made it, a line.
const MADE_BY: &str = "log/page/verifier.rustc";
const MADE: &str = "target/verifier/wasm32-unknown-unknown/verifier/duramen_verifier.wasm";

/// Makes the verifier, or compares what is checked in with what is made.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            println!("usage: cargo xtask page [--check]");
            return ExitCode::from(2);
        }
    };
    match made().and_then(|made| if check { compare(&made) } else { keep(&made) }) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the verifier. Paths of this machine do not get into it.
fn made() -> Result<Vec<u8>, String> {
    let mut known = registries();
    build(&known)?;
    // The first build may be what brought a registry here.
    while known != registries() {
        known = registries();
        build(&known)?;
    }
    std::fs::read(MADE).map_err(|error| format!("{MADE}: {error}"))
}

fn build(registries: &[PathBuf]) -> Result<(), String> {
    let root = std::env::current_dir().map_err(|error| format!("no current directory: {error}"))?;
    let mut flags = vec![format!("--remap-path-prefix={}=", root.display())];
    for registry in registries {
        flags.push(format!("--remap-path-prefix={}=crates", registry.display()));
    }
    let args = "build --locked -p duramen-verifier --lib --profile verifier --target wasm32-unknown-unknown \
                --target-dir target/verifier";
    println!("$ cargo {args}");
    let built = Command::new("cargo")
        .args(args.split_whitespace())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .status();
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

fn keep(made: &[u8]) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{PLACE}: {error}");
    std::fs::write(PLACE, made).map_err(failed)?;
    std::fs::write(MADE_BY, format!("{}\n", compiler()?)).map_err(failed)?;
    Ok(format!("{PLACE}: {} bytes", made.len()))
}

fn compare(made: &[u8]) -> Result<String, String> {
    let read = |path: &str| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    if read(PLACE)? == made {
        return Ok(format!("{PLACE} is what its source makes: {} bytes", made.len()));
    }
    let (made_by, present) = (read(MADE_BY)?, compiler()?);
    let made_by = String::from_utf8_lossy(&made_by).trim().to_owned();
    match made_by == present {
        true => Err(format!("{PLACE} is not what its source makes now: run `cargo xtask page`")),
        false => Err(format!(
            "{PLACE} was made by {made_by}; {present} makes other bytes of the same source"
        )),
    }
}

/// The compiler and its version.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| format!("cannot start rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cargo_home() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default()
}

/// Where the sources of crates are. Each registry has a directory, whose name depends on how the registry is reached.
fn registries() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cargo_home().join("registry/src")).into_iter().flatten();
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_unstable();
    found
}
