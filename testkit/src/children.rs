//! Forked children that say what they found, and are killed when they hang.
#![expect(unsafe_code, reason = "forks")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Seconds after which a child counts as hung.
const LIMIT: u32 = 30;

/// A child of this process.
pub struct Child {
    id: libc::pid_t,
    says: File,
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, and with nothing to complain of.
    Well,
    /// It found something wrong.
    Badly(String),
    /// It had to be killed.
    Hung,
}

/// Two ends of a pipe, for reading and for writing.
pub fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the call writes two descriptors to the array, which nothing else owns.
    let [read, write] = unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0, "{}", std::io::Error::last_os_error());
        ends.map(|end| File::from(OwnedFd::from_raw_fd(end)))
    };
    (read, write)
}

/// Forks. The child does `work`, which should report and not panic, and ends without running anything
/// else that belongs to its parent.
pub fn fork(work: impl FnOnce() -> Result<(), String>) -> Child {
    let (says, mut say) = pipe();
    // SAFETY: the child runs code that other threads of this process may have been running too. What
    // could go wrong with that is what these tests are for: a child that does not come to its end is
    // killed by the alarm, and it ends by `_exit`, without destructors of the parent's things.
    let id = unsafe { libc::fork() };
    assert!(id >= 0, "{}", std::io::Error::last_os_error());
    if id > 0 {
        return Child { id, says };
    }
    // SAFETY: none of these calls has preconditions.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(LIMIT);
    }
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let code = match done {
        Ok(Ok(())) => 0,
        Ok(Err(what)) => {
            let _ = say.write_all(what.as_bytes());
            1
        }
        Err(_) => {
            let _ = say.write_all(b"a panic");
            1
        }
    };
    // SAFETY: as above.
    unsafe { libc::_exit(code) }
}

/// Forks a child that goes on as this thread does. `None` in the child.
pub fn fork_here() -> Option<Child> {
    let (says, say) = pipe();
    // SAFETY: as in `fork`.
    let id = unsafe { libc::fork() };
    assert!(id >= 0, "{}", std::io::Error::last_os_error());
    drop(say);
    if id > 0 {
        return Some(Child { id, says });
    }
    // SAFETY: the call has no preconditions.
    unsafe { libc::alarm(LIMIT) };
    None
}

impl Child {
    /// Waits for its end.
    pub fn end(mut self) -> End {
        let mut status = 0;
        // SAFETY: the status is written to a live integer.
        let ended = unsafe { libc::waitpid(self.id, &raw mut status, 0) };
        assert_eq!(ended, self.id, "{}", std::io::Error::last_os_error());
        // A child of its own may have the other end, and live on.
        // SAFETY: the call changes a flag of a descriptor that is ours.
        unsafe { libc::fcntl(self.says.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let mut said = Vec::new();
        let _ = self.says.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            assert_eq!(signal, libc::SIGALRM, "the child was killed by signal {signal}: {said}");
            return End::Hung;
        }
        if libc::WEXITSTATUS(status) == 0 { End::Well } else { End::Badly(said) }
    }
}

/// A second handle on a value that its owner does not drop: to be called in a forked child, which ends
/// without dropping what it has from its parent.
pub fn take<T>(value: &T) -> T {
    // SAFETY: the caller's process ends without dropping `value`, so that there is one owner.
    unsafe { std::ptr::read(value) }
}
