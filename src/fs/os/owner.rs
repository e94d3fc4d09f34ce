//! The owner of a store's lock, written into the lock file.
//!
//! # Invariants
//!
//! - It is a hint. Nothing here decides who has the lock, and no failure here is one of the lock.
//! - A lock file that has another name, or content that is no owner, is never written to and never believed:
//!   the bytes are not the store's.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::{LOCK, open_regular};
use crate::error::LockOwner;
use crate::ids::ByteOffset;

/// The first line of a lock file with an owner.
const HEAD: &str = "duramen lock";

/// Longer contents are no owner.
const LONGEST: usize = 512;

/// The longest name of a machine, in bytes.
const LONGEST_HOST: usize = 255;

/// Writes this process into the lock file, which it has locked.
pub(super) fn write(lock: &File) {
    // The lock is as good without it: no caller has to know.
    let _ = replace(lock, encode(&this_process()).as_bytes());
}

/// Empties the lock file, which this process has locked.
pub(super) fn clear(lock: &File) {
    let _ = replace(lock, b"");
}

/// The owner that the lock file in `root` names.
pub(super) fn read(root: impl AsFd) -> Option<LockOwner> {
    let lock = open_regular(root, LOCK, OFlags::RDONLY).ok()?;
    decode(&own_bytes(&lock).ok()??)
}

fn replace(lock: &File, bytes: &[u8]) -> io::Result<()> {
    let Some(before) = own_bytes(lock)? else { return Ok(()) };
    if !before.is_empty() && decode(&before).is_none() {
        return Ok(());
    }
    lock.set_len(0)?;
    lock.write_all_at(bytes, 0)
}

/// What stands in the lock file, if it can be an owner or nothing.
fn own_bytes(lock: &File) -> io::Result<Option<Vec<u8>>> {
    let meta = lock.metadata()?;
    let len = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    if meta.nlink() != 1 || len > LONGEST {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    lock.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// The owner that a lock file names, wherever it lies.
pub(crate) fn owner_in(file: &dyn crate::fs::File) -> io::Result<Option<LockOwner>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > LONGEST {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    file.read_at(ByteOffset(0), &mut bytes)?;
    Ok(decode(&bytes))
}

fn this_process() -> LockOwner {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    LockOwner::new(std::process::id(), host, SystemTime::now())
}

fn encode(owner: &LockOwner) -> String {
    let since = owner.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // A name that people chose: a line of its own must stay one.
    let mut host = String::new();
    for character in owner.host.chars().filter(|character| !character.is_control()) {
        if host.len() + character.len_utf8() > LONGEST_HOST {
            break;
        }
        host.push(character);
    }
    format!("{HEAD}\npid {}\nhost {host}\nsince {since}\n", owner.pid)
}

fn decode(bytes: &[u8]) -> Option<LockOwner> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let mut lines = text.split('\n');
    let mut next = |name: &str| lines.next()?.strip_prefix(name);
    let ("", pid, host, since) = (next(HEAD)?, next("pid ")?, next("host ")?, next("since ")?)
    else {
        return None;
    };
    if lines.next().is_some() || host.len() > LONGEST_HOST || host.chars().any(char::is_control) {
        return None;
    }
    let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.parse().ok()?))?;
    Some(LockOwner::new(pid.parse().ok()?, host.to_owned(), since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(host: &str) -> LockOwner {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_687_518);
        LockOwner::new(4242, host.to_owned(), since)
    }

    #[test]
    fn an_owner_is_read_as_it_was_written() {
        let text = encode(&owner("builder"));
        assert_eq!(text, "duramen lock\npid 4242\nhost builder\nsince 1795687518\n");
        assert_eq!(decode(text.as_bytes()), Some(owner("builder")));
        assert_eq!(
            owner("builder").to_string(),
            "process 4242 on builder since 2026-11-26T10:05:18Z"
        );
        let strange = encode(&owner("a\nsince 1\u{7f}"));
        assert_eq!(decode(strange.as_bytes()), Some(owner("asince 1")));
        let long = encode(&owner(&"ü".repeat(200)));
        assert_eq!(decode(long.as_bytes()), Some(owner(&"ü".repeat(127))));
        assert!(long.len() <= LONGEST);
    }

    #[test]
    fn what_is_no_owner_is_not_taken_for_one() {
        let good = encode(&owner("builder"));
        for cut in 0..good.len() {
            assert_eq!(decode(&good.as_bytes()[..cut]), None, "{cut}");
        }
        for bad in [
            good.clone() + "\n",
            good.clone() + "more\n",
            good.replace("4242", "-1"),
            good.replace("4242", "4294967296"),
            good.replace("1795687518", "99999999999999999999"),
            good.replace("builder", "\u{1b}[31m"),
            good.replace("builder", &"x".repeat(LONGEST_HOST + 1)),
            good.replace("lock", "lock "),
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decode(b"\xff\xfe"), None);
        assert_eq!(decode(&[0; 100]), None);
    }

    #[test]
    fn a_lock_file_with_other_bytes_or_another_name_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(LOCK);
        let root = File::open(temp.path()).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        for content in [&b"of somebody else\n"[..], &[7; 4096]] {
            std::fs::write(&path, content).unwrap();
            write(&open());
            clear(&open());
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert_eq!(read(&root), None);
        }
        std::fs::write(&path, "").unwrap();
        write(&open());
        assert_eq!(read(&root).unwrap().pid, std::process::id());
        // Somebody gave it another name.
        std::fs::hard_link(&path, temp.path().join("other")).unwrap();
        let before = std::fs::read(&path).unwrap();
        clear(&open());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(read(&root), None);
        std::fs::remove_file(temp.path().join("other")).unwrap();
        clear(&open());
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}
