//! The gate to foreign code: the listeners of a store in operation.
//!
//! # Invariants
//!
//! - A listener may fork, and return in the child on one of the store's own threads. There every call through the
//!   gate returns [`Error::Forked`](crate::Error::Forked), as do the calls that wake callers. The thread then
//!   takes no lock, waits for nothing, and returns the error until it ends.
//! - No listener is called in a child.
//!
//! Opening a store calls listeners without the gate: there are no threads yet, and a child may open the store as
//! well as its parent.

use crate::error::Result;
use crate::report::{Event, Listeners};
use crate::sync::process::Process;

/// The listeners of a store in operation.
#[derive(Debug)]
pub(super) struct Gate {
    listeners: Listeners,
    process: Process,
}

impl Gate {
    /// A gate to the `listeners` of a store whose threads are in `process`.
    pub(super) fn new(listeners: Listeners, process: Process) -> Self {
        Self { listeners, process }
    }

    /// Whether there is no listener.
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Passes the result of `event` to every listener. Does not call `event` if there is none. The caller must
    /// hold no lock.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::Error::Forked) if this is, or has become, a forked child.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) -> Result<()> {
        self.process.check()?;
        self.listeners.tell(event);
        self.process.check()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    #[test]
    fn a_listener_is_called_in_the_process_of_the_store_alone() {
        let calls = Arc::new(AtomicUsize::new(0));
        let mut listeners = Listeners::default();
        let counted = Arc::clone(&calls);
        listeners.add(Arc::new(move |_: &Event| {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let begun = || Event::FlushBegun { leaves: 1, trees: Vec::new() };
        let here = Gate::new(listeners.clone(), Process::current().unwrap());
        here.tell(begun).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        // As after a fork.
        let child = Gate::new(listeners, Process::another());
        assert!(matches!(child.tell(begun), Err(Error::Forked { .. })));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
