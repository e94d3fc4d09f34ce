//! A log as files: the static tree of C2SP `tlog-tiles`, for a web server or a CDN.
//!
//! The tiles and bundles that the checkpoint before does not need are written first, each as a file in `.export` that is
//! then renamed. They are synced together. The checkpoint is replaced last. Then the partial tiles are removed that are full
//! by now: `.export/from` says since which size they may be left, until they are gone.
//!
//! # Invariants
//!
//! - Whatever the checkpoint in the directory needs is there, at any moment and after a power cut.
//! - An export never replaces a checkpoint by one of another log, of another history, or of a smaller size.
//! - A partial tile is removed only once the full tile and its checkpoint are durable.
//! - A name that is not in `.export` is that of a whole file.
//! - Nothing is changed once the path leads to another directory than the one that is locked.

use std::fs::{File, create_dir_all, read_to_string, remove_dir_all, remove_file, rename};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use duramen::Snapshot;
use duramen::inspect::Printable;
use duramen::tlog::tiles::{Bundles, Tiles};
use duramen::tlog::{Checkpoint, SignedNote};
use rustix::fs::{FlockOperation, flock, syncfs};

use crate::dirs;
use crate::number::number;

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The size of the checkpoint that was there before. 0 if there was none.
    pub from: u64,
    /// The size of the checkpoint that is there now.
    pub to: u64,
    /// Tiles of hashes written.
    pub tiles: u64,
    /// Bundles of entries written.
    pub bundles: u64,
}

/// Why an export did not come to its end. What was exported before is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] duramen::Error),

    /// A file cannot be written or read.
    #[error("cannot {action} {}", Printable::new(path))]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },

    /// The directory was moved, removed or replaced meanwhile. Nothing is changed in what has taken its place.
    #[error(
        "{} is not changed: its directory was moved, removed or replaced meanwhile",
        Printable::new(path)
    )]
    Displaced {
        /// The file that was to be written, or the directory.
        path: PathBuf,
    },

    /// The text is not a signed checkpoint.
    #[error("{} is not a checkpoint: {source}", Printable::new(path))]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: duramen::tlog::TlogError,
    },

    /// The tree does not have the root of a checkpoint.
    #[error("the checkpoint of {origin} with size {size} is not of this tree")]
    OtherTree {
        /// The log that the checkpoint names.
        origin: String,
        /// Its size.
        size: u64,
    },

    /// The directory has a later checkpoint, or one of another log.
    #[error("the directory has a checkpoint of {origin} with size {size}, which is not replaced")]
    Occupied {
        /// The log that the checkpoint in the directory names.
        origin: String,
        /// Its size.
        size: u64,
    },
}

/// Writes the tiles and bundles of `checkpoint` into `out`, and then the checkpoint. Writes only what the checkpoint that
/// is there does not need. May be interrupted at any moment and called again.
///
/// Does not verify the signatures of the checkpoint, but that its root is the one of the tree.
///
/// # Errors
///
/// [`ExportError`]. The checkpoint in the directory is then the one before.
pub fn export_tiles(
    snapshot: &Snapshot,
    checkpoint: &SignedNote,
    out: &Path,
) -> Result<Exported, ExportError> {
    let at = out.join("checkpoint");
    let new = of_tree(snapshot, checkpoint, &at)?;
    create_dir_all(out).map_err(|source| failed("create", out, source))?;
    // Its sync reports every write that failed since it was opened, so it is opened before the first.
    let dir = File::open(out).map_err(|source| failed("open", out, source))?;
    // Two exports at once would exchange each other's files. The lock ends with `dir`.
    flock(&dir, FlockOperation::NonBlockingLockExclusive)
        .map_err(|source| failed("lock", out, source.into()))?;
    dirs::check(out, &dir).map_err(|source| failed("open", out, source))?;
    let old = match read_to_string(&at) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => {
            let text = read.map_err(|source| failed("read", &at, source))?;
            let unreadable = |source| ExportError::NotACheckpoint { path: at.clone(), source };
            let note: SignedNote = text.parse().map_err(unreadable)?;
            let old: Checkpoint = note.unverified_text().parse().map_err(unreadable)?;
            if old.origin() != new.origin() || old.head().size > new.head().size {
                let (origin, size) = (old.origin().to_owned(), old.head().size.get());
                return Err(ExportError::Occupied { origin, size });
            }
            Some(of_tree(snapshot, &note, &at)?)
        }
    };
    let (from, to) = (old.map_or(0, |old| old.head().size.get()), new.head().size.get());
    let files = Files { out, dir: &dir };
    let mut exported = Exported { from, to, ..Exported::default() };
    let left_since = files.left_since(from)?;
    for tile in Tiles::between(from, to) {
        let bytes = snapshot.tile(tile.level(), tile.index(), tile.width().get())?;
        files.write(&tile.to_string(), &bytes)?;
        exported.tiles += 1;
    }
    for bundle in Bundles::between(from, to) {
        let bytes = snapshot.entry_bundle(bundle.index(), bundle.width().get())?;
        files.write(&bundle.to_string(), &bytes)?;
        exported.bundles += 1;
    }
    let sync = || syncfs(&dir).map_err(|source| failed("sync", out, source.into()));
    sync()?;
    files.write("checkpoint", checkpoint.to_string().as_bytes())?;
    sync()?;
    let full = |path: String, full: bool| full.then_some(path);
    let tiles = Tiles::between(left_since, to);
    let tiles = tiles.filter_map(|tile| full(tile.to_string(), tile.width().is_full()));
    let bundles = Bundles::between(left_since, to);
    let bundles = bundles.filter_map(|one| full(one.to_string(), one.width().is_full()));
    tiles.chain(bundles).try_for_each(|path| files.remove_partial(&path))?;
    files.nothing_left()?;
    Ok(exported)
}

/// The checkpoint in a note, if it is of this tree.
fn of_tree(snapshot: &Snapshot, note: &SignedNote, at: &Path) -> Result<Checkpoint, ExportError> {
    let unreadable = |source| ExportError::NotACheckpoint { path: at.to_owned(), source };
    let checkpoint: Checkpoint = note.unverified_text().parse().map_err(unreadable)?;
    let head = checkpoint.head();
    let (origin, size) = (checkpoint.origin().to_owned(), head.size.get());
    if head.size > snapshot.size() || snapshot.head_at(head.size)?.root != head.root {
        return Err(ExportError::OtherTree { origin, size });
    }
    Ok(checkpoint)
}

/// The directory that is written.
struct Files<'a> {
    out: &'a Path,
    /// The same directory, locked.
    dir: &'a File,
}

/// What is being written, and what has to be tidied up.
const OWN: &str = ".export";

impl Files<'_> {
    /// Fails unless the path leads to the directory that is locked. `path` is what is about to be changed.
    fn check(&self, path: &Path) -> Result<(), ExportError> {
        dirs::check(self.out, self.dir).map_err(|source| failed("find", path, source))
    }

    /// Writes a file as a whole.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.out.join(name);
        let (own, dir) = (self.out.join(OWN), path.parent().unwrap_or(self.out));
        self.check(&path)?;
        for dir in [&own, dir] {
            create_dir_all(dir).map_err(|source| failed("create", dir, source))?;
        }
        let temporary = own.join("new");
        let put = || {
            dirs::check(self.out, self.dir)?;
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            // A tile is synced with all others. These must never be seen empty.
            if name == "checkpoint" || name.starts_with(OWN) {
                file.sync_all()?;
            }
            dirs::check(self.out, self.dir)?;
            rename(&temporary, &path)
        };
        put().map_err(|source| failed("write", &path, source))
    }

    /// Since which size partial tiles may be left that are full by now: `from`, or where an export began that was
    /// interrupted. Notes it.
    fn left_since(&self, from: u64) -> Result<u64, ExportError> {
        let path = self.out.join(OWN).join("from");
        self.check(&path)?;
        let noted = match read_to_string(&path) {
            // What cannot be read as a size is taken for the first one.
            Ok(text) => Some(number(text.trim()).unwrap_or(0)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(failed("read", &path, source)),
        };
        match noted {
            Some(since) if since <= from => Ok(since),
            _ => {
                self.write(&format!("{OWN}/from"), format!("{from}\n").as_bytes())?;
                Ok(from)
            }
        }
    }

    /// Removes the partial tiles of a tile that is full.
    fn remove_partial(&self, full: &str) -> Result<(), ExportError> {
        let path = self.out.join(format!("{full}.p"));
        self.check(&path)?;
        match remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Notes that no partial tile is left that is full.
    fn nothing_left(&self) -> Result<(), ExportError> {
        let path = self.out.join(OWN).join("from");
        self.check(&path)?;
        remove_file(&path).map_err(|source| failed("remove", &path, source))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> ExportError {
    match dirs::is_displaced(&source) {
        true => ExportError::Displaced { path: path.to_owned() },
        false => ExportError::Io { action, path: path.to_owned(), source },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use duramen::tlog::Ed25519Signer;
    use duramen::{Arity, Config, DynAccumulator, Hasher, Rfc6962Sha256, Store, TreeConfig};

    use super::*;

    fn tree(dir: &Path) -> DynAccumulator {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(dir)).unwrap();
        store.tree_dyn("main", config.entries(duramen::EntryConfig::new())).unwrap()
    }

    fn signed(snapshot: &Snapshot, size: u64, origin: &str) -> SignedNote {
        let head = snapshot.head_at(size).unwrap();
        let checkpoint = Checkpoint::new(origin, Rfc6962Sha256.id(), Arity::Two, head).unwrap();
        let key = Ed25519Signer::from_secret(origin, &[7; 32]).unwrap();
        SignedNote::sign(&checkpoint.to_string(), &key).unwrap()
    }

    /// All files below `dir`, by their paths.
    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(next) = dirs.pop() {
            for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => dirs.push(entry.path()),
                    false => {
                        let path = entry.path().strip_prefix(dir).unwrap().to_owned();
                        found.insert(path, std::fs::read(entry.path()).unwrap());
                    }
                }
            }
        }
        found
    }

    #[test]
    fn exports_in_steps_leave_what_one_export_does_and_no_more_than_tiles_that_grow() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        let entries: Vec<_> = (0u32..70_000).map(u32::to_be_bytes).collect();
        tree.insert_entries(&entries).unwrap();
        let snapshot = tree.snapshot();
        let (steps, once) = (place.path().join("steps"), place.path().join("once"));
        let mut from = 0;
        for size in [0, 1, 255, 256, 300, 65_535, 65_536, 70_000] {
            let exported =
                export_tiles(&snapshot, &signed(&snapshot, size, "log"), &steps).unwrap();
            assert_eq!((exported.from, exported.to), (from, size));
            from = size;
        }
        let exported = export_tiles(&snapshot, &signed(&snapshot, from, "log"), &once).unwrap();
        assert_eq!((exported.tiles, exported.bundles), (273 + 1 + 1 + 1 + 1, 274));
        let (steps, once) = (files(&steps), files(&once));
        let own = |path: &&PathBuf| path.starts_with(OWN);
        assert_eq!(steps.keys().chain(once.keys()).find(own), None);
        for (path, bytes) in &once {
            assert_eq!(steps.get(path), Some(bytes), "{}", path.display());
        }
        // The partial tiles that are full by now are gone.
        let more: Vec<_> = steps.keys().filter(|path| !once.contains_key(*path)).collect();
        assert!(more.is_empty(), "{more:?}");
    }

    #[test]
    fn a_checkpoint_of_another_log_or_of_a_smaller_size_replaces_nothing() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&["a", "b", "c"]).unwrap();
        let snapshot = tree.snapshot();
        let out = place.path().join("out");
        export_tiles(&snapshot, &signed(&snapshot, 3, "log"), &out).unwrap();
        let before = files(&out);
        for (size, origin) in [(2, "log"), (3, "another")] {
            let refused = export_tiles(&snapshot, &signed(&snapshot, size, origin), &out);
            assert!(matches!(refused, Err(ExportError::Occupied { size: 3, .. })));
        }
        let other = super::tests::tree(&place.path().join("other"));
        other.insert_entries(&["a", "b", "x", "d"]).unwrap();
        let other = other.snapshot();
        let refused = export_tiles(&other, &signed(&other, 4, "log"), &out);
        assert!(matches!(refused, Err(ExportError::OtherTree { size: 3, .. })));
        assert_eq!(files(&out), before);
    }

    #[test]
    fn two_exports_into_one_directory_do_not_run_at_once() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&["a", "b", "c"]).unwrap();
        let snapshot = tree.snapshot();
        let out = place.path().join("out");
        create_dir_all(&out).unwrap();
        let other = File::open(&out).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let refused = export_tiles(&snapshot, &signed(&snapshot, 3, "log"), &out);
        assert!(matches!(refused, Err(ExportError::Io { action: "lock", .. })), "{refused:?}");
        assert!(files(&out).is_empty());
        drop(other);
        export_tiles(&snapshot, &signed(&snapshot, 3, "log"), &out).unwrap();
    }

    #[test]
    fn an_export_changes_nothing_in_a_directory_that_took_the_place_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&(0u32..600).map(u32::to_be_bytes).collect::<Vec<_>>()).unwrap();
        let snapshot = tree.snapshot();
        let (out, away) = (place.path().join("out"), place.path().join("away"));
        export_tiles(&snapshot, &signed(&snapshot, 300, "log"), &out).unwrap();
        let dir = File::open(&out).unwrap();
        std::fs::rename(&out, &away).unwrap();
        create_dir_all(out.join("tile/0/001.p")).unwrap();
        create_dir_all(out.join(OWN)).unwrap();
        std::fs::write(out.join(OWN).join("from"), "7\n").unwrap();
        std::fs::write(out.join("tile/0/001.p/44"), "of another").unwrap();
        let (others, own) = (files(&out), files(&away));
        let exporting = Files { out: &out, dir: &dir };
        for refused in [
            exporting.write("checkpoint", b"new").unwrap_err(),
            exporting.left_since(300).unwrap_err(),
            exporting.remove_partial("tile/0/001").unwrap_err(),
            exporting.nothing_left().unwrap_err(),
        ] {
            assert!(matches!(refused, ExportError::Displaced { .. }), "{refused}");
        }
        assert_eq!((files(&out), files(&away)), (others, own));
    }

    #[test]
    fn errors_show_the_name_of_a_file_in_one_line() {
        let path = PathBuf::from("x\nforged\u{1b}[31m");
        let source = || io::ErrorKind::Other.into();
        let note = "x".parse::<SignedNote>().unwrap_err();
        for error in [
            ExportError::Io { action: "write", path: path.clone(), source: source() },
            ExportError::Displaced { path: path.clone() },
            ExportError::NotACheckpoint { path, source: note },
        ] {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn partial_tiles_that_an_interrupted_export_left_are_removed_by_the_next() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&(0u32..600).map(u32::to_be_bytes).collect::<Vec<_>>()).unwrap();
        let snapshot = tree.snapshot();
        let out = place.path().join("out");
        let export = |size| export_tiles(&snapshot, &signed(&snapshot, size, "log"), &out);
        export(300).unwrap();
        // The checkpoint is replaced, and then the directory of a partial tile cannot be removed.
        let partial = out.join("tile/0/001.p");
        std::fs::rename(&partial, out.join("aside")).unwrap();
        File::create(&partial).unwrap();
        let failed = export(600).unwrap_err();
        assert!(matches!(failed, ExportError::Io { action: "remove", .. }), "{failed}");
        remove_file(&partial).unwrap();
        std::fs::rename(out.join("aside"), &partial).unwrap();
        assert!(partial.join("44").exists() && out.join("tile/entries/001.p/44").exists());
        let exported = export(600).unwrap();
        assert_eq!((exported.from, exported.to, exported.tiles), (600, 600, 0));
        assert!(!partial.exists() && !out.join("tile/entries/001.p").exists());
        assert!(out.join("tile/0/001").exists() && !out.join(OWN).join("from").exists());
    }

    #[test]
    fn a_file_that_is_half_written_has_no_name_of_a_tile() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&["a", "b", "c"]).unwrap();
        let snapshot = tree.snapshot();
        let out = place.path().join("out");
        // A directory in the place of the file that is renamed, so that nothing can be written.
        create_dir_all(out.join(OWN).join("new")).unwrap();
        export_tiles(&snapshot, &signed(&snapshot, 3, "log"), &out).unwrap_err();
        assert!(files(&out).is_empty(), "{:?}", files(&out));
        std::fs::remove_dir(out.join(OWN).join("new")).unwrap();
        export_tiles(&snapshot, &signed(&snapshot, 3, "log"), &out).unwrap();
    }

    #[test]
    fn an_export_that_was_interrupted_is_completed_by_the_next() {
        let place = tempfile::tempdir().unwrap();
        let tree = tree(&place.path().join("store"));
        tree.insert_entries(&(0u32..600).map(u32::to_be_bytes).collect::<Vec<_>>()).unwrap();
        let snapshot = tree.snapshot();
        let out = place.path().join("out");
        export_tiles(&snapshot, &signed(&snapshot, 300, "log"), &out).unwrap();
        let before = files(&out);
        // A tile cannot be written, because a directory has its name.
        std::fs::create_dir_all(out.join("tile/entries/001/x")).unwrap();
        let failed = export_tiles(&snapshot, &signed(&snapshot, 600, "log"), &out);
        assert!(matches!(failed, Err(ExportError::Io { action: "write", .. })), "{failed:?}");
        let half = files(&out);
        before.iter().for_each(|(path, bytes)| assert_eq!(half.get(path), Some(bytes)));
        std::fs::remove_dir_all(out.join("tile/entries/001")).unwrap();
        let exported = export_tiles(&snapshot, &signed(&snapshot, 600, "log"), &out).unwrap();
        assert_eq!((exported.from, exported.to), (300, 600));
        assert!(!out.join("tile/0/001.p").exists() && out.join("tile/0/001").exists());
    }
}
