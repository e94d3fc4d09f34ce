//! Where a store that runs listens: the socket `ADMIN` in its directory.
//!
//! # Invariants
//!
//! - Only the process that holds the store's lock makes the socket, and only a socket is ever removed for it. So a socket
//!   that is there when the store is opened was left by a process that is gone. The path of the store is followed once more
//!   for the socket, and a directory that this process has not locked is left alone: another store may have taken that path.
//! - The socket is made, reached and removed through a descriptor of the directory, where the system has paths for that. So
//!   the path that is bound has a few bytes, however long that of the store is, and a directory that takes the store's place
//!   keeps its own socket.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The name of the socket.
const NAME: &str = "ADMIN";

/// The directory of a store, open, and a short path of its socket.
fn short(dir: &Path) -> io::Result<(File, PathBuf)> {
    let open = File::open(dir)?;
    let through = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()));
    let short = match cfg!(target_os = "linux") {
        true => through,
        false => dir.join(NAME),
    };
    Ok((open, short))
}

/// A socket that is listened on, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// The directory, through which the path leads.
    _dir: File,
}

impl Place {
    /// Makes the socket in the directory of a store that this process has locked.
    ///
    /// # Errors
    ///
    /// Those of the system, and one if the path leads to a directory that this process has not locked.
    pub(super) fn make(dir: &Path) -> io::Result<Self> {
        let (open, path) = short(dir)?;
        if !is_locked_here(&open)? {
            let message = "its directory was moved or replaced after the store was opened";
            return Err(io::Error::other(message));
        }
        Self::make_in(open, path)
    }

    fn make_in(open: File, path: PathBuf) -> io::Result<Self> {
        if fs::symlink_metadata(&path).is_ok_and(|old| old.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        // The directory lets no other user in.
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, _dir: open })
    }
}

/// Whether this process has the lock of a directory, which is an `flock` of another descriptor.
#[cfg(target_os = "linux")]
fn is_locked_here(dir: &File) -> io::Result<bool> {
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let wanted = id(dir.metadata()?);
    for descriptor in fs::read_dir("/proc/self/fd")? {
        let descriptor = descriptor?;
        // Other threads close descriptors meanwhile.
        let Ok(found) = fs::metadata(descriptor.path()) else { continue };
        if id(found) == wanted {
            let of = Path::new("/proc/self/fdinfo").join(descriptor.file_name());
            let text = fs::read_to_string(of).unwrap_or_default();
            let mut locks = text.lines().filter(|line| line.starts_with("lock:"));
            if locks.any(|line| line.contains("FLOCK") && line.contains("WRITE")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Other systems do not say it.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
fn is_locked_here(_: &File) -> io::Result<bool> {
    Ok(true)
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next process that opens the store removes it otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to the process that has a store open.
pub(super) fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (_open, short) = short(dir)?;
    UnixStream::connect(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The socket in a directory that has no store.
    fn make(dir: &Path) -> io::Result<Place> {
        let (open, path) = short(dir)?;
        Place::make_in(open, path)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_store_that_took_the_place_of_the_own_one_keeps_its_socket() {
        use duramen::{Config, Store};
        use rustix::fs::{FlockOperation, flock};

        let temp = tempfile::tempdir().unwrap();
        let (dir, away) = (temp.path().join("store"), temp.path().join("away"));
        let store = Store::open(Config::new(&dir)).unwrap();
        drop(Place::make(&dir).unwrap());
        fs::rename(&dir, &away).unwrap();
        fs::create_dir(&dir).unwrap();
        let theirs = UnixListener::bind(dir.join(NAME)).unwrap();
        for is_locked in [false, true] {
            // As another process has it: through a descriptor that is not one of this process.
            let mut other = std::process::Command::new("flock");
            other.arg("-n").arg(&dir).arg("cat").stdin(std::process::Stdio::piped());
            let other = is_locked.then(|| other.spawn().unwrap());
            let locked = || {
                let look = File::open(&dir).unwrap();
                flock(&look, FlockOperation::NonBlockingLockShared).is_err()
            };
            while locked() != is_locked {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let refused = Place::make(&dir).unwrap_err().to_string();
            assert!(refused.contains("moved or replaced"), "{refused}");
            connect(&dir).unwrap();
            theirs.accept().unwrap();
            if let Some(mut other) = other {
                drop(other.stdin.take());
                other.wait().unwrap();
            }
        }
        drop(Place::make(&away).unwrap());
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&away, &dir).unwrap();
        drop(Place::make(&dir).unwrap());
        store.close().unwrap();
    }

    #[test]
    fn a_socket_in_a_directory_with_a_long_name_is_reached_and_replaced_and_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&dir).unwrap();
        assert!(connect(&dir).is_err());
        let first = make(&dir).unwrap();
        connect(&dir).unwrap();
        let mode = fs::metadata(dir.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // As a process leaves it that was killed.
        std::mem::forget(first);
        let second = make(&dir).unwrap();
        connect(&dir).unwrap();
        drop(second);
        assert!(!dir.join(NAME).exists());
        let moved = make(&dir).unwrap();
        let (away, other) = (temp.path().join("away"), &dir);
        fs::rename(&dir, &away).unwrap();
        fs::create_dir(other).unwrap();
        let others = make(other).unwrap();
        drop(moved);
        assert!(!away.join(NAME).exists());
        connect(other).unwrap();
        drop(others);
        fs::write(dir.join(NAME), "of another program").unwrap();
        assert!(make(&dir).is_err());
        assert_eq!(fs::read(dir.join(NAME)).unwrap(), b"of another program");
    }
}
