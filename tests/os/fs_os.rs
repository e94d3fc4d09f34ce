//! What is planted in a store's directory is refused, and what the store puts there is private.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use std::sync::Arc;

use duramen::fs::{
    Access, Dir, Displaced, Displacement, Entry, FileKind, FileName, FileSystem, OsPlace, Place,
};

const PART: FileName = FileName::new(FileKind::Part, 1);

/// A store's directory, and one beside it that is none of the store's business.
fn store() -> (tempfile::TempDir, Arc<dyn FileSystem>) {
    let temp = tempfile::tempdir().unwrap();
    let os = OsPlace::new(temp.path().join("store")).make().unwrap();
    fs::create_dir(temp.path().join("outside")).unwrap();
    fs::write(temp.path().join("outside/secret"), "secret").unwrap();
    (temp, os)
}

/// Everything that touches `PART` fails, without waiting, and finds no file there.
fn assert_refused(os: &dyn FileSystem) {
    for access in [Access::Read, Access::ReadWrite] {
        let error = os.open(PART, access).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("regular file"), "{error}");
    }
    assert_eq!(os.create(PART).unwrap_err().kind(), ErrorKind::AlreadyExists);
    os.create(PART.tmp()).unwrap();
    assert_eq!(os.rename(PART.tmp(), PART).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let mut listed = os.list(Dir::Parts).unwrap();
    listed.sort_by_key(|entry| format!("{entry:?}"));
    assert_eq!(listed, [Entry::File(PART.tmp(), 0), Entry::Other(PART.base().into())]);
}

/// The error is a [`Displaced`], which says this of the path that ends in `path`.
fn assert_displaced<T>(done: std::io::Result<T>, path: &str, how: Displacement) {
    let error = done.err().unwrap();
    let displaced = error.get_ref().and_then(|error| error.downcast_ref::<Displaced>()).unwrap();
    assert!(displaced.path.ends_with(path), "{displaced}");
    assert_eq!(displaced.how, how);
}

#[test]
fn a_symbolic_link_in_place_of_a_file_is_refused() {
    let (temp, os) = store();
    symlink(temp.path().join("outside/secret"), os.display(PART)).unwrap();
    assert_refused(&*os);
    assert_eq!(fs::read(temp.path().join("outside/secret")).unwrap(), b"secret");
}

#[test]
fn a_dangling_link_does_not_make_the_store_create_its_target() {
    let (temp, os) = store();
    symlink(temp.path().join("outside/new"), os.display(PART)).unwrap();
    assert_refused(&*os);
    assert!(!temp.path().join("outside/new").exists());
}

#[test]
fn a_directory_in_place_of_a_file_is_refused() {
    let (_temp, os) = store();
    fs::create_dir(os.display(PART)).unwrap();
    assert_refused(&*os);
}

#[test]
#[cfg(not(target_vendor = "apple"))]
fn a_fifo_in_place_of_a_file_is_refused_without_waiting() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let (_temp, os) = store();
    mknodat(CWD, os.display(PART), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_refused(&*os);
}

#[test]
fn a_socket_in_place_of_a_file_is_refused() {
    let (_temp, os) = store();
    let _socket = std::os::unix::net::UnixListener::bind(os.display(PART)).unwrap();
    assert_refused(&*os);
}

#[test]
fn a_link_in_place_of_an_inner_directory_leads_nowhere() {
    let (temp, os) = store();
    fs::remove_dir(temp.path().join("store/parts")).unwrap();
    symlink(temp.path().join("outside"), temp.path().join("store/parts")).unwrap();
    assert_displaced(os.create(PART), "store/parts", Displacement::Replaced);
    let place = OsPlace::new(temp.path().join("store"));
    let os = place.bind().unwrap();
    for error in [
        os.create(PART).unwrap_err(),
        os.open(PART, Access::Read).unwrap_err(),
        os.remove(PART).unwrap_err(),
        os.rename(PART.tmp(), PART).unwrap_err(),
        os.list(Dir::Parts).unwrap_err(),
        os.sync_dir(Dir::Parts).unwrap_err(),
        place.make().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(fs::read_dir(temp.path().join("outside")).unwrap().count(), 1);
    assert_eq!(os.list(Dir::Root).unwrap(), [Entry::Other("parts".into())]);
}

#[test]
fn a_link_in_place_of_the_lock_file_is_refused() {
    let (temp, os) = store();
    symlink(temp.path().join("outside/secret"), temp.path().join("store/LOCK")).unwrap();
    let error = os.lock().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(os.list(Dir::Root).unwrap(), [Entry::Other("LOCK".into())]);
}

#[test]
fn strangers_are_listed_as_such() {
    let (temp, os) = store();
    let root = temp.path().join("store");
    fs::write(root.join("notes.txt"), "").unwrap();
    fs::write(root.join("wal/1.wal"), "").unwrap();
    fs::write(root.join("wal/00000001.part"), "").unwrap();
    assert_eq!(os.list(Dir::Root).unwrap(), [Entry::Other("notes.txt".into())]);
    let mut listed = os.list(Dir::Wal).unwrap();
    listed.sort_by_key(|entry| format!("{entry:?}"));
    assert_eq!(listed, [Entry::Other("00000001.part".into()), Entry::Other("1.wal".into())]);
    // A name that is no text is the name that it is.
    fs::write(root.join("parts").join(OsStr::from_bytes(b"\xff.part")), "").unwrap();
    assert_eq!(
        os.list(Dir::Parts).unwrap(),
        [Entry::Other(OsStr::from_bytes(b"\xff.part").into())]
    );
}

#[test]
fn the_store_is_for_its_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let os = OsPlace::new(temp.path().join("a/b/store")).make().unwrap();
    os.create(PART).unwrap();
    let _lock = os.lock().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in ["a", "a/b", "a/b/store", "a/b/store/wal", "a/b/store/parts", "a/b/store/manifest"] {
        assert_eq!(mode(&temp.path().join(dir)), 0o700, "{dir}");
    }
    for file in ["LOCK", "parts/00000001.part"] {
        assert_eq!(mode(&temp.path().join("a/b/store").join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_store_itself_may_be_reached_through_a_link() {
    let (temp, os) = store();
    symlink(temp.path().join("store"), temp.path().join("link")).unwrap();
    let linked = OsPlace::new(temp.path().join("link")).make().unwrap();
    linked.create(PART).unwrap();
    assert_eq!(os.list(Dir::Parts).unwrap(), [Entry::File(PART, 0)]);
    let _held = os.lock().unwrap();
    assert_eq!(linked.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_failure_to_make_directories_names_the_path() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    let error = OsPlace::new(temp.path().join("file/store")).make().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory, "{error}");
    assert!(error.to_string().contains("file/store"), "{error}");

    let (temp, _) = store();
    fs::remove_dir(temp.path().join("store/wal")).unwrap();
    fs::write(temp.path().join("store/wal"), "").unwrap();
    let error = OsPlace::new(temp.path().join("store")).make().unwrap_err();
    assert!(error.to_string().contains("store/wal"), "{error}");
}

#[test]
fn the_lock_file_stays_and_is_free_after_its_holder_let_go() {
    let (temp, os) = store();
    drop(os.lock().unwrap());
    assert!(temp.path().join("store/LOCK").is_file());
    os.lock().unwrap();
}

#[test]
fn a_file_is_linked_between_two_stores_and_nothing_is_replaced_or_followed() {
    let (temp, os) = store();
    let other = OsPlace::new(temp.path().join("other")).make().unwrap();
    assert_eq!(other.link_from(&*os, PART).unwrap_err().kind(), ErrorKind::NotFound);
    os.create(PART).unwrap();
    other.link_from(&*os, PART).unwrap();
    let inode = |os: &Arc<dyn FileSystem>| fs::metadata(os.display(PART)).unwrap().ino();
    assert_eq!(inode(&os), inode(&other));
    assert_eq!(other.link_from(&*os, PART).unwrap_err().kind(), ErrorKind::AlreadyExists);

    os.remove(PART).unwrap();
    other.remove(PART).unwrap();
    symlink(temp.path().join("outside/secret"), os.display(PART)).unwrap();
    // Where a link can have a second name it is refused under that as well.
    let _ = other.link_from(&*os, PART);
    let error = other.open(PART, Access::Read).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound), "{error}");
}

/// Everything that changes a name fails so, and nothing that is read does.
fn assert_moved(os: &dyn FileSystem, path: &str, how: Displacement) {
    assert_displaced(os.check_place(), path, how);
    assert_displaced(os.create(PART.tmp()), path, how);
    assert_displaced(os.rename(PART, PART.tmp()), path, how);
    assert_displaced(os.remove(PART), path, how);
    os.open(PART, Access::Read).unwrap();
    assert_eq!(os.list(Dir::Parts).unwrap(), [Entry::File(PART, 0)]);
    os.sync_dir(Dir::Parts).unwrap();
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_directory_that_was_exchanged_is_told_from_the_one_that_was_opened() {
    let (temp, os) = store();
    let root = temp.path().join("store");
    let _lock = os.lock().unwrap();
    os.create(PART).unwrap();
    fs::rename(&root, temp.path().join("moved")).unwrap();
    assert_moved(&*os, "store", Displacement::Removed);
    let _other = OsPlace::new(&root).make().unwrap();
    assert_moved(&*os, "store", Displacement::Replaced);
    assert_eq!(count(&root.join("parts")), 0);
    fs::remove_dir_all(&root).unwrap();
    symlink(temp.path().join("outside"), &root).unwrap();
    assert_moved(&*os, "store", Displacement::Replaced);
    assert_eq!(count(&temp.path().join("outside")), 1);
    // A link to the directory itself is another way to the same.
    fs::remove_file(&root).unwrap();
    symlink(temp.path().join("moved"), &root).unwrap();
    os.remove(PART).unwrap();
}

#[test]
fn a_link_that_leads_elsewhere_later_is_noticed() {
    let (temp, os) = store();
    let link = temp.path().join("link");
    symlink(temp.path().join("store"), &link).unwrap();
    let linked = OsPlace::new(&link).bind().unwrap();
    os.create(PART).unwrap();
    linked.check_place().unwrap();
    fs::remove_file(&link).unwrap();
    symlink(temp.path().join("outside"), &link).unwrap();
    assert_moved(&*linked, "link", Displacement::Replaced);
}

#[test]
fn an_inner_directory_that_was_exchanged_is_told_from_the_one_that_was_opened() {
    for inner in ["manifest", "wal", "parts"] {
        let (temp, os) = store();
        let dir = temp.path().join("store").join(inner);
        let _lock = os.lock().unwrap();
        os.create(PART).unwrap();
        fs::rename(&dir, temp.path().join("moved")).unwrap();
        assert_moved(&*os, &format!("store/{inner}"), Displacement::Removed);
        fs::create_dir(&dir).unwrap();
        assert_moved(&*os, &format!("store/{inner}"), Displacement::Replaced);
        assert_eq!(count(&dir), 0);
    }
}

#[test]
fn a_lock_file_that_was_removed_or_exchanged_stops_its_holder_and_lets_nobody_in() {
    let (temp, os) = store();
    let lock = temp.path().join("store/LOCK");
    let _lock = os.lock().unwrap();
    os.create(PART).unwrap();
    fs::remove_file(&lock).unwrap();
    assert_moved(&*os, "store/LOCK", Displacement::Removed);
    let other = OsPlace::new(temp.path().join("store")).bind().unwrap();
    assert_eq!(other.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!lock.exists(), "who was refused made a lock file");
    fs::write(&lock, "").unwrap();
    assert_moved(&*os, "store/LOCK", Displacement::Replaced);
    assert_eq!(other.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_directory_that_was_exchanged_before_it_is_locked_is_not_locked() {
    let (temp, os) = store();
    fs::rename(temp.path().join("store"), temp.path().join("moved")).unwrap();
    let error = os.lock().unwrap_err();
    assert!(error.to_string().contains("was removed or renamed"), "{error}");
    assert!(!temp.path().join("moved/LOCK").exists());
}

#[test]
fn what_a_file_system_keeps_in_its_root_is_not_listed() {
    let (temp, os) = store();
    let found = temp.path().join("store/lost+found");
    fs::create_dir(&found).unwrap();
    assert_eq!(os.list(Dir::Root).unwrap(), []);
    fs::remove_dir(&found).unwrap();
    fs::write(&found, "").unwrap();
    assert_eq!(os.list(Dir::Root).unwrap(), [Entry::Other("lost+found".into())]);
}
