//! Files that the program writes.
//!
//! # Invariants
//!
//! - A file that is replaced has its old bytes or all of the new ones, whatever fails and whenever the power
//!   goes: the new bytes are written beside it, synced, and put in its place by a rename, and then the
//!   directory is synced.
//! - Nothing is removed that this module did not make, and nothing that it made stays behind: a signal ends the
//!   program only when the file beside is renamed or removed.
//! - A directory that cannot be synced is an error before anything is changed.
//! - A file that was opened before the program started and is reached by its descriptor, as /dev/stdout, is
//!   written to at its end and keeps what it has: the shell's `>>` means it so.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Broken, StandardOutput, Written};
use crate::error::{Error, name_of};
use crate::signals;

/// How much is written between two looks at whether a signal asks the program to end.
const PIECE: usize = 1 << 20;

/// The most links that a path is followed through.
const MAX_LINKS: usize = 40;

/// Replaces the file at `path`, or makes it, with what `write` writes. A link to a file stays and its file is
/// replaced. What is no regular file, such as a pipe, and what is open already, such as /dev/stdout, is written to.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Written,
) -> Result<(), Error> {
    let fail = |source| Error::Write { name: name_of(path), source };
    let written = match Target::find(path).map_err(fail)? {
        Target::Open(link) => write_behind(&link, write),
        Target::Other(path) => {
            let file = OpenOptions::new().write(true).open(path);
            file.map_err(Broken::Write).and_then(|mut file| write(&mut file))
        }
        Target::File(target, old) => {
            let directory = open_directory_of(&target)?;
            signals::hold(|| put(&target, old.as_ref(), &directory, write))
        }
    };
    written.map_err(|broken| broken.into_error(|| name_of(path)))
}

/// What is at a path to be written to.
enum Target {
    /// This link leads to an open file.
    Open(PathBuf),
    /// A device or a pipe: there is nothing to lose, and it must not become a file.
    Other(PathBuf),
    /// The name of a file, and what is known of it if it exists.
    File(PathBuf, Option<Metadata>),
}

impl Target {
    fn find(path: &Path) -> io::Result<Self> {
        let path = match follow(path)? {
            End::Name(path) => path,
            End::Open(path) => return Ok(Self::Open(path)),
        };
        match fs::metadata(&path) {
            Ok(old) if old.is_file() => Ok(Self::File(path, Some(old))),
            Ok(_) => Ok(Self::Other(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::File(path, None)),
            Err(error) => Err(error),
        }
    }
}

/// Writes a file beside `path` and renames it over that.
fn put(
    path: &Path,
    old: Option<&Metadata>,
    directory: &File,
    write: impl FnOnce(&mut dyn Write) -> Written,
) -> Written {
    let mode = old.map_or(0o666, |old| old.mode() & 0o777);
    let mut aside = Aside::create(directory_of(path), mode)?;
    if let Some(old) = old {
        // Whose file it is stays so where the system lets us; the permissions must.
        let _ = std::os::unix::fs::fchown(&aside.file, Some(old.uid()), Some(old.gid()));
        aside.file.set_permissions(Permissions::from_mode(mode))?;
    }
    write(&mut UntilAsked(&mut aside.file))?;
    aside.file.sync_all()?;
    go_on()?;
    aside.rename(path)?;
    Ok(directory.sync_all()?)
}

/// Writes to a file, and fails once a signal asks the program to end.
struct UntilAsked<'a>(&'a mut File);

impl Write for UntilAsked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on()?;
        self.0.write(&bytes[..bytes.len().min(PIECE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Fails once a signal asks the program to end. No one sees the error: the program ends as the signal does.
fn go_on() -> io::Result<()> {
    match signals::asked() {
        // Not the kind of an interrupted call, which would be made again.
        Some(_) => Err(io::Error::other("a signal asks the program to end")),
        None => Ok(()),
    }
}

/// Makes a file that only its owner can read, with this text; it is durable under its name when this
/// returns. One that exists is left as it is: it may be a key that is in use. After an error there is none. The file gets its
/// name with all of the text in it.
pub(crate) fn create_private(path: &Path, text: &str) -> Result<(), Error> {
    let directory = open_directory_of(path)?;
    let create = || {
        let mut aside = Aside::create(directory_of(path), 0o600)?;
        aside.file.write_all(text.as_bytes()).and_then(|()| aside.file.sync_all())?;
        aside.name_new(path)?;
        // Synced once more under its name: a rename and a link change the file's own record too.
        let named = aside.file.sync_all();
        let durable = named.and_then(|()| directory.sync_all()).and_then(|()| go_on());
        if durable.is_err() {
            // It is ours, made above. If it cannot be removed, the first error is the one that matters.
            let _ = fs::remove_file(path);
        }
        durable
    };
    signals::hold(create).map_err(|source| Error::Write { name: name_of(path), source })
}

/// A file beside another one, which it is to replace. It is removed unless it does.
struct Aside {
    file: File,
    path: Option<PathBuf>,
}

impl Aside {
    fn create(directory: &Path, mode: u32) -> io::Result<Self> {
        loop {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let path = directory.join(format!(".duramen-{}.tmp", const_hex::encode(random)));
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
                Ok(file) => return Ok(Self { file, path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(&mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Aside {
    /// Gives the file a name that no file has.
    fn name_new(&mut self, to: &Path) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        match renameat_with(CWD, path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => self.path = None,
            // The file system cannot do it. The other name is removed when this is dropped.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(path, to)?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// What the links at a path lead to.
enum End {
    /// A name, whose file need not exist.
    Name(PathBuf),
    /// This link of /proc, which leads to an open file and not to the name that it shows.
    Open(PathBuf),
}

/// Follows the links at `path`.
fn follow(path: &Path) -> io::Result<End> {
    let of_proc =
        |link: &Metadata| fs::metadata("/proc/self").is_ok_and(|it| it.dev() == link.dev());
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(link) if link.is_symlink() && of_proc(&link) => return Ok(End::Open(path)),
            Ok(link) if link.is_symlink() => path = directory_of(&path).join(fs::read_link(&path)?),
            _ => return Ok(End::Name(path)),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// Opens a file to be appended to, and makes it if it is missing. Returns it with its directory, whose sync makes the name
/// durable; without one for what is no file, such as a pipe, and for what is open already.
pub(crate) fn append_to(path: &Path) -> Result<(File, Option<File>), Error> {
    let fail = |source| Error::Write { name: name_of(path), source };
    let (path, directory) = match Target::find(path).map_err(fail)? {
        Target::File(file, _) => {
            let directory = open_directory_of(&file)?;
            (file, Some(directory))
        }
        Target::Open(path) | Target::Other(path) => (path, None),
    };
    let mut options = OpenOptions::new();
    let file = options.append(true).create(directory.is_some()).open(path).map_err(fail)?;
    Ok((file, directory))
}

/// Writes to an open file behind what it holds.
fn write_behind(path: &Path, write: impl FnOnce(&mut dyn Write) -> Written) -> Written {
    let of = fs::metadata(path)?;
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    if let Ok(stdout) = stdout
        && stdout.metadata().is_ok_and(|out| (out.dev(), out.ino()) == (of.dev(), of.ino()))
    {
        // Through its own descriptor: what others print there next comes behind.
        return write(&mut StandardOutput);
    }
    write(&mut OpenOptions::new().append(true).open(path)?)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens the directory of `path` to be synced, before anything is written there.
fn open_directory_of(path: &Path) -> Result<File, Error> {
    let directory = directory_of(path);
    File::open(directory).map_err(|source| Error::Directory {
        file: name_of(path),
        directory: name_of(directory),
        source,
    })
}
