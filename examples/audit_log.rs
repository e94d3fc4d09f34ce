//! A log that keeps its text lines, and an auditor that has nothing but the head that the log published.
//!
//! `cargo run --release --example audit_log [FILE]`

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use duramen::{Config, EntryConfig, LeafIndex, Rfc6962Sha256, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE-APACHE");
    let file = std::env::args_os().nth(1).map_or_else(|| default.into(), PathBuf::from);
    run_with(&file)
}

/// Runs the example with a file that is always there.
pub fn run() -> Result<(), Box<dyn Error>> {
    run_with(concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE-APACHE").as_ref())
}

fn run_with(file: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();

    // SHA-256 with two children per node is the tree of RFC 6962, which other tools know too.
    let dir = tempfile::tempdir()?;
    let store = Store::open(Config::new(dir.path().join("log")))?;
    let log = store.tree_with_entries::<Rfc6962Sha256, 2>("lines", EntryConfig::new())?;
    // Each line is durable together with its leaf.
    log.insert_entries(&lines)?.token.wait()?;
    let published = log.durable_head()?;
    println!("{} lines of {} are in the log", published.size, file.display());

    // A client asks for the longest line, which the log has.
    let mut longest = (0, String::new());
    for (number, line) in (0..).zip(log.entries(0..published.size.get())?) {
        let line = String::from_utf8(line?.to_vec())?;
        if line.len() > longest.1.len() {
            longest = (number, line);
        }
    }
    let (number, line) = longest;
    let index = LeafIndex(number);
    let proof = log.prove_at(index, published.size)?;
    println!("line {}: {}", number + 1, line.trim());
    println!("its proof has {} hashes", proof.siblings().len());

    // The auditor checks it without the log. A changed line is found out, and so is a wrong place.
    auditor::check(&published, index, &line, proof.siblings())?;
    let changed = format!("{line}!");
    for (claim, refused) in [
        ("the changed line", auditor::check(&published, index, &changed, proof.siblings())),
        ("another place", auditor::check(&published, LeafIndex(0), &line, proof.siblings())),
    ] {
        match refused {
            Ok(()) => return Err(format!("the auditor accepted {claim}").into()),
            Err(reason) => println!("the auditor refuses {claim}: {reason}"),
        }
    }
    drop(log);
    Ok(store.close()?)
}

/// Code that might run anywhere else: it has the published head and what the log sends it.
mod auditor {
    use duramen::{
        Arity, Hash, Hasher, InclusionProof, LeafIndex, Rfc6962Sha256, TreeHead, VerifyError,
    };

    /// Checks that `line` stands at `index` in the log that `published` commits to.
    pub(crate) fn check(
        published: &TreeHead,
        index: LeafIndex,
        line: &str,
        siblings: &[Hash],
    ) -> Result<(), VerifyError> {
        let leaf = Rfc6962Sha256.leaf(line.as_bytes());
        let proof = InclusionProof::from_siblings(siblings.to_vec());
        proof.verify(&Rfc6962Sha256, Arity::Two, published, index, &leaf)
    }
}
