//! Helpers of the tests that work on stores.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use duramen::{Arity, Hash, Hasher};

/// Distinct leaves that depend on `seed`.
pub(crate) fn leaves(count: usize, seed: u64) -> Vec<Hash> {
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
pub(crate) fn root_of(hasher: &dyn Hasher, arity: Arity, leaves: &[Hash]) -> Hash {
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

/// A copy of a store's files as they are now: what a kill at this moment leaves.
pub(crate) fn copy_of(store: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(store, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Runs a future on this thread, parking it between polls.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
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
