//! Where a store that runs listens: the socket `ADMIN` in its directory.
//!
//! # Invariants
//!
//! - Only the process that holds the store's lock makes the socket, and only a socket is ever removed for it. So a socket
//!   that is there when the store is opened was left by a process that is gone.
//! - The socket is made, reached and removed through a descriptor of the directory, where the system has paths for that. So
//!   the path that is bound has a few bytes, however long that of the store is, and a directory that takes the store's place
//!   keeps its own socket.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
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
    pub(super) fn make(dir: &Path) -> io::Result<Self> {
        let (open, path) = short(dir)?;
        if fs::symlink_metadata(&path).is_ok_and(|old| old.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        // The directory lets no other user in.
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, _dir: open })
    }
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

    #[test]
    fn a_socket_in_a_directory_with_a_long_name_is_reached_and_replaced_and_removed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&dir).unwrap();
        assert!(connect(&dir).is_err());
        let first = Place::make(&dir).unwrap();
        connect(&dir).unwrap();
        let mode = fs::metadata(dir.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // As a process leaves it that was killed.
        std::mem::forget(first);
        let second = Place::make(&dir).unwrap();
        connect(&dir).unwrap();
        drop(second);
        assert!(!dir.join(NAME).exists());
        let moved = Place::make(&dir).unwrap();
        let (away, other) = (temp.path().join("away"), &dir);
        fs::rename(&dir, &away).unwrap();
        fs::create_dir(other).unwrap();
        let others = Place::make(other).unwrap();
        drop(moved);
        assert!(!away.join(NAME).exists());
        connect(other).unwrap();
        drop(others);
        fs::write(dir.join(NAME), "of another program").unwrap();
        assert!(Place::make(&dir).is_err());
        assert_eq!(fs::read(dir.join(NAME)).unwrap(), b"of another program");
    }
}
