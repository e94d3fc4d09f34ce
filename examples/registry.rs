//! A registry of packages as a transparency log. Each version is a line with the hash of its file. A witness cosigns the registry's
//! checkpoints and never two histories. A client believes a download only with a proof that both have signed, and a follower
//! keeps its own list of what was published.
//!
//! ```text
//! cargo run --features note --example registry [DIRECTORY]
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use duramen::tlog::witness::{AddCheckpoint, KnownLog, Refusal, decide};
use duramen::tlog::{
    Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, Ed25519Verifier, NoteVerifier, Policy,
    SignedNote, TlogProof,
};
use duramen::{
    Arity, Blake3, Config, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Store, TreeConfig,
    TreeHead, Unique,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ORIGIN: &str = "registry.example/packages";
/// When the witness cosigns, in this example; elsewhere its clock says so.
const NOW: u64 = 1_767_225_600;

/// What the log has of a version, and what a client has of a download.
fn line(package: &str, version: &str, file: &[u8]) -> String {
    let digits: String = Blake3.leaf(file).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{package} {version} {digits}")
}

struct Registry {
    store: Store,
    log: DynAccumulator,
    key: Ed25519Signer,
    /// The line of each version: a version is published once. What is in the log is read back when the registry starts.
    versions: BTreeMap<String, String>,
}

impl Registry {
    fn open(dir: &Path) -> Result<Self> {
        let store = Store::open(Config::new(dir))?;
        let kind = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new()).indexed();
        let log = store.tree_dyn("packages", kind)?;
        let mut versions = BTreeMap::new();
        for entry in log.entries(0..log.size().get())? {
            let line = String::from_utf8(entry?.to_vec())?;
            versions.insert(version_of(&line)?, line);
        }
        let key = Ed25519Signer::from_secret(ORIGIN, &[1; 32])?;
        Ok(Self { store, log, key, versions })
    }

    /// Publishes a version. The answer comes when it is durable. The same file twice is no second entry, and another file for
    /// a version that is there is refused.
    fn publish(&mut self, package: &str, version: &str, file: &[u8]) -> Result<u64> {
        // Otherwise two versions could have one line.
        for word in [package, version] {
            if word.is_empty() || word.contains(|char: char| char.is_whitespace()) {
                return Err(format!("{word:?} is not one word").into());
            }
        }
        let line = line(package, version, file);
        let name = version_of(&line)?;
        if self.versions.get(&name).is_some_and(|known| *known != line) {
            return Err(format!("{package} {version} is published with another file").into());
        }
        let index = match self.log.insert_unique_entry_durable(&line)? {
            Unique::New { index, .. } | Unique::Existing { index, .. } => index,
        };
        // Only now: a version that could not be inserted is not published.
        self.versions.insert(name, line);
        Ok(index.get())
    }

    /// A checkpoint of everything that is durable, signed and cosigned: what a client and a mirror get.
    fn checkpoint(&self, witness: &mut Witness) -> Result<SignedNote> {
        let head = self.log.durable_head()?;
        let checkpoint = Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head)?;
        let mut note = SignedNote::sign(&checkpoint.to_string(), &self.key)?;
        let old = witness.latest()?.map_or(0, |latest| latest.size.get());
        let proof = self.log.prove_consistency_between(old, head.size)?;
        witness.cosign(&AddCheckpoint::new(old.into(), proof, note.clone())?, &mut note)?;
        Ok(note)
    }

    /// The proof that goes with a download.
    fn prove(&self, line: &str, checkpoint: &SignedNote) -> Result<TlogProof> {
        let text: Checkpoint = checkpoint.unverified_text().parse()?;
        let leaf = Rfc6962Sha256.leaf(line.as_bytes());
        let index = self.log.find(&leaf)?.ok_or("the log does not have this line")?;
        let proof = self.log.prove_at(index, text.head().size)?;
        Ok(TlogProof { extra: None, index, proof, checkpoint: checkpoint.clone() })
    }
}

/// The first two words of a line.
fn version_of(line: &str) -> Result<String> {
    let (version, _) = line.rsplit_once(' ').ok_or("a line has three words")?;
    Ok(version.to_owned())
}

/// Cosigns what continues what it cosigned before. What it cosigned last is durable before it answers.
struct Witness {
    heads: DynAccumulator,
    key: Cosigner<Ed25519Key>,
    log: Ed25519Verifier,
}

impl Witness {
    fn open(dir: &Path, log: Ed25519Verifier) -> Result<Self> {
        let store = Store::open(Config::new(dir))?;
        let kind = TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new());
        let key = Cosigner::new("witness.example/w1", Ed25519Key::from_secret(&[2; 32]))?;
        Ok(Self { heads: store.tree_dyn("heads", kind)?, key, log })
    }

    /// The head that was cosigned last: its text is the last entry.
    fn latest(&self) -> Result<Option<TreeHead>> {
        let Some(last) = self.heads.size().get().checked_sub(1) else { return Ok(None) };
        Ok(Some(std::str::from_utf8(&self.heads.entry(last)?)?.parse()?))
    }

    fn cosign(&mut self, request: &AddCheckpoint, note: &mut SignedNote) -> Result<()> {
        let keys: [&dyn NoteVerifier; 1] = [&self.log];
        let known = KnownLog { origin: ORIGIN, keys: &keys };
        let accepted = decide(request, Some(known), self.latest()?.as_ref())?;
        self.heads.insert_entry_durable(accepted.head.to_string())?;
        Ok(note.add_signature(&self.key.at(NOW))?)
    }
}

/// Runs the example in a new directory.
pub fn run(dir: &Path) -> Result<()> {
    let mut registry = Registry::open(&dir.join("registry"))?;
    let log_key = registry.key.verifier();
    let mut witness = Witness::open(&dir.join("witness"), log_key.clone())?;

    // A follower has each version as soon as it is durable, and each once.
    let tail = registry.log.tail(0)?;
    let follower = std::thread::spawn(move || {
        let lines = tail.take(4).map(|appended| Ok(appended?.entry.map(|entry| entry.to_vec())));
        lines.collect::<duramen::Result<Vec<_>>>()
    });

    registry.publish("left-pad", "1.0.0", b"a file")?;
    registry.publish("left-pad", "1.0.1", b"a better file")?;
    let first = registry.checkpoint(&mut witness)?;
    let index = registry.publish("right-pad", "0.1.0", b"another file")?;
    assert_eq!(
        registry.publish("right-pad", "0.1.0", b"another file")?,
        index,
        "a request that came twice"
    );
    assert!(registry.publish("left-pad", "1.0.1", b"a changed file").is_err());
    registry.publish("right-pad", "0.2.0", b"a third file")?;
    let second = registry.checkpoint(&mut witness)?;
    assert_ne!(first.unverified_text(), second.unverified_text());

    // A client trusts the registry and the witness together. It has a file and looks for nothing else.
    let policy = Policy::threshold(1, [witness.key.vkey().parse()?])?
        .with_log(log_key.to_string().parse()?)?;
    let download = line("left-pad", "1.0.1", b"a better file");
    let proof = registry.prove(&download, &second)?.to_string();
    let proof: TlogProof = proof.parse()?;
    proof.verify_witnessed(&policy, &Rfc6962Sha256.leaf(download.as_bytes()))?;
    let changed = line("left-pad", "1.0.1", b"a changed file");
    assert!(proof.verify_witnessed(&policy, &Rfc6962Sha256.leaf(changed.as_bytes())).is_err());
    println!("left-pad 1.0.1 is entry {} of the log", proof.index);

    // After a restart the registry refuses what it refused before, and the witness knows what it cosigned.
    let cosigned = witness.latest()?;
    let Registry { store, log, .. } = registry;
    store.close()?;
    drop((log, witness));
    let mut registry = Registry::open(&dir.join("registry"))?;
    assert!(registry.publish("left-pad", "1.0.1", b"a changed file").is_err());
    let mut witness = Witness::open(&dir.join("witness"), log_key)?;
    assert_eq!(witness.latest()?, cosigned);

    // A registry that shows others another history has the right key, and gets no cosignature for it.
    let mut forked = Registry::open(&dir.join("forked"))?;
    for (version, file) in [
        ("1.0.0", "a file"),
        ("1.0.1", "a changed file"),
        ("1.0.2", "x"),
        ("1.0.3", "y"),
        ("1.0.4", "z"),
    ] {
        forked.publish("left-pad", version, file.as_bytes())?;
    }
    let refused =
        forked.checkpoint(&mut witness).err().ok_or("the witness cosigned two histories")?;
    assert!(matches!(refused.downcast_ref(), Some(Refusal::Inconsistent(_))), "{refused}");
    println!("the witness refuses the other history: {refused}");

    let followed = follower.join().map_err(|_| "the follower has panicked")??;
    assert_eq!(followed.len(), 4);
    assert_eq!(followed[1].as_deref(), Some(download.as_bytes()));
    Ok(())
}

#[allow(dead_code, reason = "the tests call `run`")]
fn main() -> Result<()> {
    match std::env::args_os().nth(1) {
        Some(dir) => run(dir.as_ref()),
        None => run(tempfile::tempdir()?.path()),
    }
}
