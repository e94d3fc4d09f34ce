//! Renaming without replacing, on systems that can and on those that cannot.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, linkat, unlinkat};
use rustix::io::retry_on_intr;

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(super) fn without_replacing(dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;

    match retry_on_intr(|| renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE)) {
        Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => link_and_unlink(dir, from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn without_replacing(dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    link_and_unlink(dir, from, to)
}

/// A hard link replaces nothing either. A crash between the two calls leaves both names.
fn link_and_unlink(dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    retry_on_intr(|| linkat(dir, from, dir, to, AtFlags::empty()))?;
    Ok(retry_on_intr(|| unlinkat(dir, from, AtFlags::empty()))?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_link_in_place_of_a_rename_moves_the_file_and_replaces_nothing() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("a"), "a").unwrap();
        fs::write(temp.path().join("b"), "b").unwrap();
        let dir = fs::File::open(temp.path()).unwrap();
        let taken = link_and_unlink(dir.as_fd(), "a", "b").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(temp.path().join("b")).unwrap(), b"b");
        link_and_unlink(dir.as_fd(), "a", "c").unwrap();
        assert_eq!(fs::read(temp.path().join("c")).unwrap(), b"a");
        assert!(!temp.path().join("a").exists());
    }
}
