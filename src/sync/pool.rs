//! The threads that hash large batches.
//!
//! # Invariant
//!
//! Hashing runs under a lock, and may be called from a rayon thread of the user's. A rayon thread
//! that waits takes up other work, which might want the same lock; and the user's pool may be full of
//! threads that wait for it. So hashing has a pool of its own, whose threads take no lock but those that are never held by
//! a thread that waits for the pool, and does without it when the caller is itself a rayon thread.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::process;

/// Threads that read and hash for one scrub, apart from those that inserts wait for: a batch that is hashed
/// under the insertion lock would stand behind reads. `None` where the calling thread must do the work
/// alone.
pub(crate) fn scrub_pool() -> Option<ThreadPool> {
    make("scrub")
}

/// The pool, or `None` where the calling thread must do the work alone. The threads are started when
/// first needed and sleep when there is nothing to do.
pub(crate) fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    if !may_use() {
        return None;
    }
    POOL.get_or_init(|| make("hash")).as_ref()
}

fn may_use() -> bool {
    // loom knows only threads that it started, and miri wants to see all of them end.
    if cfg!(any(duramen_loom, miri)) || rayon::current_thread_index().is_some() {
        return false;
    }
    // A forked child has the pool without its threads, or while it was being made.
    process::watch().is_ok() && !process::is_child()
}

fn make(what: &'static str) -> Option<ThreadPool> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if threads == 1 || !may_use() {
        return None;
    }
    let name = move |number| format!("duramen-{what}-{number}");
    ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build().ok()
}
