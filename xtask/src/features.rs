//! The library with each of its features alone, and with none: what all of them together hide.

use std::process::{Command, ExitCode};

/// The features that a manifest declares, in its order.
fn declared(manifest: &str) -> Vec<&str> {
    let table = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
    let lines = table.take_while(|line| !line.starts_with('['));
    let starts = lines.filter(|line| line.starts_with(|char: char| char.is_ascii_alphabetic()));
    starts.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect()
}

/// Checks the library once for each feature, and once without any.
pub(crate) fn run(args: &[String]) -> ExitCode {
    if !args.is_empty() {
        println!("usage: cargo xtask features");
        return ExitCode::from(2);
    }
    let manifest = match std::fs::read_to_string("Cargo.toml") {
        Ok(manifest) => manifest,
        Err(error) => {
            println!("cannot read Cargo.toml: {error}");
            return ExitCode::FAILURE;
        }
    };
    let features = declared(&manifest);
    let mut failed = Vec::new();
    for feature in std::iter::once("").chain(features.iter().copied()) {
        println!("$ cargo check -p duramen --no-default-features --features {feature:?}");
        let status = Command::new("cargo")
            .args(["check", "--quiet", "-p", "duramen", "--no-default-features"])
            .args(["--features", feature])
            .env("RUSTFLAGS", "-D warnings")
            .env("CARGO_TARGET_DIR", "target/features")
            .status();
        if !status.is_ok_and(|status| status.success()) {
            failed.push(feature);
        }
    }
    if features.is_empty() || !failed.is_empty() {
        println!("of {} features these do not build alone: {failed:?}", features.len());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::declared;

    #[test]
    fn every_feature_of_a_manifest_is_found_and_nothing_else() {
        let manifest = "[package]\nname = \"x\"\n\n[features]\ndefault = [\"std\"]\n## Words = many.\n\
                        std = [\n    \"a/std\",\n]\nnote = [\"dep:b\"]\n\n[dependencies]\na = \"1\"\n";
        assert_eq!(declared(manifest), ["default", "std", "note"]);
        let ours = include_str!("../../Cargo.toml");
        assert!(declared(ours).contains(&"poseidon"), "{:?}", declared(ours));
    }
}
