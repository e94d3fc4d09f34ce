//! An anchor in a directory, best on another disk than the store.
//!
//! The file `NAME.anchor` is replaced as a whole: written under another name, synced, renamed, and the directory synced.
//! A lock of `NAME.lock` orders the replacements of several processes. A lock of `NAME.signing` is taken by a process that
//! signs for as long as it lives, so that no other one signs meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use duramen::inspect::Printable;
use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::{Anchor, AnchorError, Anchored, text};
use crate::dirs;

/// The longest file that is read as an anchor.
const MOST_BYTES: u64 = 64 << 10;

/// The anchor of a log in a directory that is not in its store.
#[derive(Debug)]
pub struct DirectoryAnchor {
    dir: PathBuf,
    file: PathBuf,
    /// Locked while this process is the only one that signs.
    #[expect(dead_code, reason = "the lock ends with the file")]
    signing: Option<File>,
}

impl DirectoryAnchor {
    /// The anchor of the log `origin` in `dir`, which may have the anchors of other logs. Creates the directory if it is
    /// missing.
    ///
    /// # Errors
    ///
    /// [`AnchorError::Io`] if the directory cannot be created.
    pub fn new(dir: impl Into<PathBuf>, origin: &str) -> Result<Self, AnchorError> {
        let anchor = Self::existing(dir, origin);
        dirs::make(&anchor.dir, 0o700)
            .map_err(|error| anchor.failed("create the directory of", &error))?;
        Ok(anchor)
    }

    /// The anchor of the log `origin` in `dir`, of which nothing is created. Where there is no directory, there is no
    /// anchor.
    #[must_use]
    pub fn existing(dir: impl Into<PathBuf>, origin: &str) -> Self {
        let dir = dir.into();
        let file = dir.join(format!("{}.anchor", file_stem(origin)));
        Self { dir, file, signing: None }
    }

    /// Makes this process the only one that signs with the anchor, for as long as the anchor lives. Others on this
    /// machine that ask for the same are refused. Replacements are ordered without it as well: it keeps a process from
    /// starting whose first replacement would stop another one.
    ///
    /// # Errors
    ///
    /// [`AnchorError::InUse`] if another process signs; [`AnchorError::Io`] if the directory is missing or cannot be
    /// written.
    pub fn exclusive(self) -> Result<Self, AnchorError> {
        let signing = self.open_beside("signing")?;
        match flock(&signing, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { signing: Some(signing), ..self }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(AnchorError::InUse { place: self.place() }),
            Err(error) => Err(self.failed("lock", &error)),
        }
    }

    /// Opens the file to be locked that has this ending.
    fn open_beside(&self, ending: &str) -> Result<File, AnchorError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let opened = options.open(self.file.with_extension(ending));
        opened.map_err(|error| self.failed("lock", &error))
    }

    /// The file that has the head.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    fn place(&self) -> String {
        Printable::new(&self.file).to_string()
    }

    fn failed(&self, action: &'static str, error: &dyn std::error::Error) -> AnchorError {
        AnchorError::Io { action, place: self.place(), reason: error.to_string() }
    }

    /// Waits for the lock that orders replacements. It ends with the file.
    fn lock(&self) -> Result<File, AnchorError> {
        loop {
            let lock = self.open_beside("lock")?;
            let there = retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
                .map_err(Into::into)
                .and_then(|()| dirs::leads_to(&self.file.with_extension("lock"), &lock));
            // Another process locks what has taken the place of a file that was removed.
            if there.map_err(|error| self.failed("lock", &error))? {
                return Ok(lock);
            }
        }
    }

    /// Writes the head, unless the file of the lock was removed meanwhile, which lets another process in.
    fn write(&self, new: &Anchored, lock: &File) -> Result<(), AnchorError> {
        let temporary = self.file.with_extension("anchor.tmp");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).open(&temporary)?;
            file.write_all(text::write(new).as_bytes())?;
            file.sync_all()?;
            if !dirs::leads_to(&self.file.with_extension("lock"), lock)? {
                return Err(std::io::Error::other("its lock was removed meanwhile"));
            }
            std::fs::rename(&temporary, &self.file)?;
            dirs::sync(&self.dir)
        };
        write().map_err(|error: std::io::Error| self.failed("replace", &error))
    }
}

impl Anchor for DirectoryAnchor {
    fn load(&self) -> Result<Option<Anchored>, AnchorError> {
        let mut found = String::new();
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| self.failed("open", &error))?,
        };
        let read = file.take(MOST_BYTES).read_to_string(&mut found);
        read.map_err(|error| self.failed("read", &error))?;
        let damaged = |reason| AnchorError::Damaged { place: self.place(), reason };
        text::read(&found).map(Some).map_err(damaged)
    }

    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
        let lock = self.lock()?;
        let found = self.load()?;
        if found.as_ref() != old {
            let (place, expected) = (self.place(), old.cloned().map(Box::new));
            let found = found.map(Box::new);
            return Err(AnchorError::Changed { place, expected, found });
        }
        self.write(new, &lock)
        // The lock ends with `lock`.
    }
}

/// A file name for an origin: what can be read of it, and enough of its hash that no two are equal.
fn file_stem(origin: &str) -> String {
    let readable = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = origin.chars().take(60).map(readable).collect();
    let hash = digest(&SHA256, origin.as_bytes());
    format!("{name}-{}", const_hex::encode(&hash.as_ref()[..8]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use duramen::{TreeHead, TreeSize};

    use super::*;

    fn anchored(size: u64) -> Anchored {
        let head = TreeHead { size: TreeSize(size), root: [7; 32] };
        Anchored { origin: "example.com/log".to_owned(), store: "0-1".to_owned(), head }
    }

    #[test]
    fn an_anchor_takes_what_replaces_its_head_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let open = || DirectoryAnchor::new(dir.path().join("deep/in"), "example.com/log").unwrap();
        let (one, other) = (open(), open());
        assert_eq!(one.load().unwrap(), None);
        one.replace(None, &anchored(1)).unwrap();
        let refused = other.replace(None, &anchored(2)).unwrap_err();
        assert!(matches!(refused, AnchorError::Changed { .. }), "{refused}");
        other.replace(Some(&anchored(1)), &anchored(2)).unwrap();
        assert_eq!(one.load().unwrap(), Some(anchored(2)));
    }

    #[test]
    fn while_one_signs_with_an_anchor_no_other_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let open = || DirectoryAnchor::existing(dir.path().join("in"), "example.com/log");
        assert_eq!(open().load().unwrap(), None);
        assert!(matches!(open().exclusive(), Err(AnchorError::Io { .. })));
        assert!(!dir.path().join("in").exists());
        let one = DirectoryAnchor::new(dir.path().join("in"), "example.com/log").unwrap();
        let one = one.exclusive().unwrap();
        one.replace(None, &anchored(1)).unwrap();
        assert!(matches!(open().exclusive(), Err(AnchorError::InUse { .. })));
        assert_eq!(open().load().unwrap(), Some(anchored(1)));
        drop(one);
        open().exclusive().unwrap();
    }

    #[test]
    fn a_lock_that_is_removed_while_one_waits_for_it_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let anchor = DirectoryAnchor::new(dir.path(), "example.com/log").unwrap();
        let first = anchor.lock().unwrap();
        let file = anchor.file.with_extension("lock");
        std::thread::scope(|scope| {
            // It waits for the file that the first one has locked, and then finds another one there.
            let waits = scope.spawn(|| anchor.lock().unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::fs::remove_file(&file).unwrap();
            let second = anchor.lock().unwrap();
            drop(first);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waits.is_finished(), "two processes have the lock");
            drop(second);
            assert!(dirs::leads_to(&file, &waits.join().unwrap()).unwrap());
        });
    }

    #[test]
    fn a_head_is_not_replaced_under_a_lock_that_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let anchor = DirectoryAnchor::new(dir.path(), "example.com/log").unwrap();
        anchor.replace(None, &anchored(1)).unwrap();
        let lock = anchor.lock().unwrap();
        std::fs::remove_file(anchor.file.with_extension("lock")).unwrap();
        let refused = anchor.write(&anchored(2), &lock).unwrap_err().to_string();
        assert!(refused.contains("its lock was removed meanwhile"), "{refused}");
        assert_eq!(anchor.load().unwrap(), Some(anchored(1)));
        anchor.replace(Some(&anchored(1)), &anchored(2)).unwrap();
    }

    #[test]
    fn of_many_that_replace_one_head_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let race = |size: u64| {
            let anchor = DirectoryAnchor::new(dir.path(), "example.com/log").unwrap();
            anchor.replace(None, &anchored(size)).is_ok()
        };
        let won = std::thread::scope(|scope| {
            let race = &race;
            let racers: Vec<_> = (1..9).map(|size| scope.spawn(move || race(size))).collect();
            let results = racers.into_iter().map(|racer| racer.join().unwrap());
            results.filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn errors_show_the_directory_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let evil = dir.path().join("x\nforged\u{1b}[31m");
        let anchor = DirectoryAnchor::new(&evil, "example.com/log").unwrap();
        std::fs::write(anchor.path(), "nonsense").unwrap();
        let damaged = anchor.load().unwrap_err().to_string();
        let missing = crate::anchor_must_be_outside(&evil.join("no"), dir.path()).unwrap_err();
        let within = crate::anchor_must_be_outside(&evil, dir.path()).unwrap_err();
        for text in [damaged, missing.to_string(), within.to_string()] {
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn logs_whose_names_look_alike_have_files_of_their_own() {
        assert_ne!(file_stem("a/b"), file_stem("a-b"));
        assert_ne!(file_stem(&"x".repeat(100)), file_stem(&"x".repeat(101)));
    }

    #[test]
    fn a_damaged_anchor_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let anchor = DirectoryAnchor::new(dir.path(), "example.com/log").unwrap();
        std::fs::write(anchor.path(), "nonsense").unwrap();
        let error = anchor.load().unwrap_err().to_string();
        assert!(error.contains(&anchor.place()) && error.contains("checksum"), "{error}");
    }
}
