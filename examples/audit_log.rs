//! The access log of a service as JSON lines, and an auditor that has nothing but the heads that the log published.
//!
//! The lines are appended, followed, found, proven and verified. Those of one account are erased, and all heads and
//! proofs stay what they were.
//!
//! `cargo run --release --example audit_log [LINES]`

use std::error::Error;
use std::thread;

use duramen::{
    Compact, Config, DynAccumulator, EntryConfig, Hasher, LeafIndex, Rfc6962Sha256, Store, Tail,
    TreeConfig,
};
use serde::{Deserialize, Serialize};

fn main() -> Result<(), Box<dyn Error>> {
    let lines = std::env::args().nth(1).map_or(Ok(100_000), |lines| lines.parse())?;
    run_with(lines)
}

/// Runs the example with a log of a few lines.
pub fn run() -> Result<(), Box<dyn Error>> {
    run_with(2000)
}

fn run_with(count: u64) -> Result<(), Box<dyn Error>> {
    let lines = (0..count.max(10)).map(|number| access(number).line());
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let (morning, evening) = lines.split_at(lines.len() / 2);

    // SHA-256 with two children per node is the tree of RFC 6962, which other tools know too.
    let dir = tempfile::tempdir()?;
    let store = Store::open(Config::new(dir.path().join("log")))?;
    let kept = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()).indexed();
    let log = store.tree_dyn("access", kept)?;

    // A watch counts the requests that failed, as their lines become durable.
    let tail = log.tail(0)?;
    let (all, watch) = (lines.len(), thread::Builder::new());
    let watch = watch.spawn(move || failures(tail, all).map_err(|error| error.to_string()))?;

    // The service appends, and publishes the head at noon and in the evening.
    append(&log, morning)?;
    let noon = log.durable_head()?;
    append(&log, evening)?;
    let today = log.durable_head()?;
    println!("{} lines are in the log, {} of them since noon", today.size, evening.len());
    println!("{} requests failed", watch.join().map_err(|_| "the watch has panicked")??);

    // The auditor knew the head of noon. The log proves that it has changed nothing since then.
    let mut auditor = auditor::Auditor::new(noon);
    auditor.advance(today, &log.prove_consistency_between(noon.size, today.size)?)?;

    // A customer has a line and asks where it is. The log finds it by its hash, and proves it.
    let line = &morning[morning.len() / 3];
    let leaf = Rfc6962Sha256.leaf(line.as_bytes());
    let (index, proof) = log.prove_leaf(&leaf)?.ok_or("the log does not have the line")?;
    println!("line {index} is {line}");
    println!("its proof has {} hashes", proof.siblings().len());
    auditor.check(index, line, proof.siblings())?;

    // A line that was changed is not found. The auditor takes neither that line nor another place.
    let changed = line.replace("\"status\":", "\"status\":1");
    assert_eq!(log.find(&Rfc6962Sha256.leaf(changed.as_bytes()))?, None);
    for (claim, refused) in [
        ("the changed line", auditor.check(index, &changed, proof.siblings())),
        ("another place", auditor.check(LeafIndex(index.get() + 1), line, proof.siblings())),
    ] {
        match refused {
            Ok(()) => return Err(format!("the auditor accepted {claim}").into()),
            Err(reason) => println!("the auditor refuses {claim}: {reason}"),
        }
    }

    // The customer closes the account. The data of its lines goes, also from the files. Their leaves stay.
    let erased = forget(&log, serde_json::from_str::<Access<'_>>(line)?.account)?;
    let compacted = store.compact(Compact::new())?;
    println!("{erased} lines are erased, {} old files are still read", compacted.pinned_files);
    assert!(matches!(log.entry(index), Err(duramen::Error::Erased { .. })));
    // So the log has the head that it published, and proves every other line as before.
    assert_eq!(log.durable_head()?, today);
    let kept = log.entries(0..today.size.get())?.filter_map(Result::ok).count();
    assert_eq!(kept as u64 + erased, today.size.get());
    let other = log.prove(index.get() + 1)?;
    auditor.check(LeafIndex(index.get() + 1), &morning[morning.len() / 3 + 1], other.siblings())?;
    // Whoever has kept an erased line can still show that it was in the log.
    auditor.check(index, line, log.prove(index)?.siblings())?;
    drop(log);
    Ok(store.close()?)
}

/// Appends lines in batches, and returns when they are durable.
fn append(log: &DynAccumulator, lines: &[String]) -> duramen::Result<()> {
    for batch in lines.chunks(100) {
        // Each line is durable together with its leaf. One sync makes many batches durable.
        log.insert_entries(batch)?;
    }
    log.flush()
}

/// Erases the lines of an account, and returns how many there were.
fn forget(log: &DynAccumulator, account: u64) -> Result<u64, Box<dyn Error>> {
    let mut lines = Vec::new();
    for (index, entry) in (0..).zip(log.entries(0..log.size().get())?) {
        let access = entry?;
        if serde_json::from_slice::<Access<'_>>(&access)?.account == account {
            lines.push(index);
        }
    }
    let erased = lines.len() as u64;
    // The reason is kept for ever, so it does not say whose lines they were.
    log.erase(lines, "an account was closed, ticket 4711")?.wait()?;
    Ok(erased)
}

/// Follows the log over so many lines, and counts the requests that failed.
fn failures(tail: Tail, lines: usize) -> Result<u64, Box<dyn Error>> {
    let mut failed = 0;
    for appended in tail.take(lines) {
        let entry = appended?.entry.ok_or("the tree keeps no entries")?;
        let access: Access<'_> = serde_json::from_slice(&entry)?;
        failed += u64::from(access.status >= 500);
    }
    Ok(failed)
}

/// A line of the log.
#[derive(Debug, Deserialize, Serialize)]
struct Access<'a> {
    /// Milliseconds since midnight.
    at: u64,
    account: u64,
    address: String,
    method: &'a str,
    path: String,
    status: u16,
    bytes: u64,
}

impl Access<'_> {
    fn line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// The request of this number. There are no two equal lines: the time is another one.
fn access(number: u64) -> Access<'static> {
    // The finalizer of SplitMix64: numbers that look like chance, the same in every run.
    let mut chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    chance = (chance ^ (chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    chance = (chance ^ (chance >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    chance ^= chance >> 31;
    let mut below = |most: u64| {
        let part = chance % most;
        chance /= most;
        part
    };
    let account = 1000 + below(50);
    let (method, status) = match below(40) {
        0 => ("GET", 500),
        1 | 2 => ("GET", 404),
        3..=9 => ("PUT", 201),
        _ => ("GET", 200),
    };
    Access {
        at: number * 7 + below(7),
        account,
        // Addresses for documentation, of RFC 5737.
        address: format!("192.0.2.{}", account % 250),
        method,
        path: format!("/files/{}", below(100_000)),
        status,
        bytes: below(1 << 20),
    }
}

/// Code that might run anywhere else: it has the published heads and what the log sends it.
mod auditor {
    use duramen::{
        Arity, ConsistencyProof, Hash, Hasher, InclusionProof, LeafIndex, Rfc6962Sha256, TreeHead,
        VerifyError,
    };

    /// An auditor, who trusts one head.
    pub(crate) struct Auditor {
        trusted: TreeHead,
    }

    impl Auditor {
        pub(crate) fn new(trusted: TreeHead) -> Self {
            Self { trusted }
        }

        /// Trusts a newer head if the log has only been appended to.
        pub(crate) fn advance(
            &mut self,
            new: TreeHead,
            proof: &ConsistencyProof,
        ) -> Result<(), VerifyError> {
            proof.verify(&Rfc6962Sha256, Arity::Two, &self.trusted, &new)?;
            self.trusted = new;
            Ok(())
        }

        /// Checks that `line` stands at `index` in the log.
        pub(crate) fn check(
            &self,
            index: LeafIndex,
            line: &str,
            siblings: &[Hash],
        ) -> Result<(), VerifyError> {
            let leaf = Rfc6962Sha256.leaf(line.as_bytes());
            let proof = InclusionProof::from_siblings(siblings.to_vec());
            proof.verify(&Rfc6962Sha256, Arity::Two, &self.trusted, index, &leaf)
        }
    }
}
