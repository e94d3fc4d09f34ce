//! Helpers of the tests that work on stores.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use duramen::{Arity, Hash, Hasher};

/// Distinct leaves that depend on `seed`.
pub fn leaves(count: usize, seed: u64) -> Vec<Hash> {
    (0..count as u64)
        .map(|index| {
            let mut leaf = [0; 32];
            leaf[..8].copy_from_slice(&index.to_le_bytes());
            leaf[8..16].copy_from_slice(&seed.to_le_bytes());
            leaf[31] = 0xd0;
            leaf
        })
        .collect()
}

/// The root by the definition, one level after the other. Knows nothing of columns or edges.
pub fn root_of(hasher: &dyn Hasher, arity: Arity, leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    if level.is_empty() {
        return hasher.empty_root();
    }
    while level.len() > 1 {
        let parent = |group: &[Hash]| match group {
            [lifted] => *lifted,
            children => hasher.node(children),
        };
        level = level.chunks(arity.children()).map(parent).collect();
    }
    level[0]
}

/// A copy of a store's files as they are now: what a kill at this moment leaves. Where files come and go
/// meanwhile, because the store's threads prepare segments or remove what is used up, it copies again: a
/// mixture of two moments is nothing that a kill can leave.
pub fn copy_of(store: &Path) -> tempfile::TempDir {
    // A test that waits forever fails by never ending.
    loop {
        let copy = tempfile::tempdir().unwrap();
        let before = listing(store);
        if before.as_ref().is_ok_and(is_old)
            && copy_into(store, copy.path()).is_ok()
            && listing(store).is_ok_and(|after| before.is_ok_and(|before| after == before))
        {
            return copy;
        }
        std::thread::sleep(TICK);
    }
}

/// Longer than two changes of a file can lie apart that it has one time of.
const TICK: Duration = Duration::from_millis(20);

/// Whether any change from now on shows in the times.
fn is_old(listing: &Listing) -> bool {
    let newest = listing.iter().map(|(_, _, changed)| *changed).max();
    newest.is_none_or(|newest| newest.elapsed().is_ok_and(|age| age >= TICK))
}

type Listing = Vec<(PathBuf, u64, SystemTime)>;

/// Every file's path, length and time of change, in order.
fn listing(dir: &Path) -> io::Result<Listing> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let about = path.symlink_metadata()?;
        if about.is_dir() {
            all.extend(listing(&path)?);
        }
        all.push((path, about.len(), about.modified()?));
    }
    all.sort();
    Ok(all)
}

fn copy_into(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_into(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// What stands in the files under `dir`.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

/// Runs a future on this thread, parking it between polls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
