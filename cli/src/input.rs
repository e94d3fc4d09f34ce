//! Where input comes from: files and standard input, which is read once.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use duramen::{Hash, Hasher};

use crate::error::{Error, name_of};
use crate::signals::{self, Signal, Woken};

/// Whether standard input has a reader. It can be read once: a second reader would take its end for an
/// empty input, or share the bytes with the first.
static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// The bytes of a file or of standard input.
pub(crate) struct Source {
    /// The name for messages.
    pub(crate) name: String,
    /// The length in bytes, where it is known beforehand.
    pub(crate) len: Option<u64>,
    file: File,
}

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    End,
    /// Nothing: the program was asked to end.
    Asked(Signal),
}

impl Source {
    /// Opens a file, or standard input if the path is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (name, opened) = if path.as_os_str() == "-" {
            let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            ("standard input".to_owned(), file)
        } else {
            (name_of(path), File::open(path))
        };
        let looked_at = || {
            let file = opened?;
            let meta = file.metadata()?;
            if meta.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((meta, file))
        };
        let (meta, file) = match looked_at() {
            Ok(found) => found,
            Err(source) => return Err(Error::Read { name, source }),
        };
        // A path such as /dev/stdin is standard input as well. A file is read from its start however often.
        if (path.as_os_str() == "-" || !meta.is_file() && is_stdin(&meta))
            && STDIN_TAKEN.swap(true, Ordering::SeqCst)
        {
            return Err(Error::Usage("standard input can be read only once".into()));
        }
        let len = (meta.is_file() && path.as_os_str() != "-").then_some(meta.len());
        Ok(Self { name, len, file })
    }

    /// Reads what there is, waiting only if there is nothing.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        match self.read_some(buffer) {
            Ok(0) => Ok(None),
            Ok(read) => Ok(Some(&buffer[..read])),
            Err(source) => Err(self.fail(source)),
        }
    }

    /// As [`read`](Self::read), until the program is asked to end.
    pub(crate) fn read_until_asked<'a>(
        &mut self,
        buffer: &'a mut [u8],
    ) -> Result<Piece<'a>, Error> {
        match signals::wait_for(self.file.as_fd()).map_err(|source| self.fail(source))? {
            Woken::Asked(signal) => Ok(Piece::Asked(signal)),
            Woken::Input => Ok(self.read(buffer)?.map_or(Piece::End, Piece::Bytes)),
        }
    }

    /// Reads what there is, waiting only if there is nothing. Returns 0 at the end.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The descriptor is not blocking, because of another program that has it as well.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                read => return read,
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn fail(&self, source: io::Error) -> Error {
        Error::Read { name: self.name.clone(), source }
    }
}

/// Input that ends when the program is asked to end: a read then fails with the [`Signal`] as its error.
pub(crate) struct UntilAsked(pub(crate) Source);

impl Read for UntilAsked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match signals::wait_for(self.0.file.as_fd())? {
            Woken::Asked(signal) => Err(io::Error::other(signal)),
            Woken::Input => self.0.read_some(buffer),
        }
    }
}

/// Whether this is the very pipe, terminal or device that standard input is.
fn is_stdin(meta: &std::fs::Metadata) -> bool {
    let stdin =
        io::stdin().as_fd().try_clone_to_owned().and_then(|stdin| File::from(stdin).metadata());
    stdin.is_ok_and(|stdin| (stdin.dev(), stdin.ino()) == (meta.dev(), meta.ino()))
}

/// A whole file or standard input, with its name. More than `most` bytes are refused.
pub(crate) fn read_all(path: &Path, most: u64) -> Result<(String, Vec<u8>), Error> {
    let mut source = Source::open(path)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while let Some(piece) = source.read(&mut buffer)? {
        if bytes.len() as u64 + piece.len() as u64 > most {
            return Err(Error::TooLong { name: source.name, most });
        }
        bytes.extend_from_slice(piece);
    }
    Ok((source.name, bytes))
}

/// The leaf of a whole file or of standard input, of any length.
pub(crate) fn leaf(path: &Path, hasher: &dyn Hasher) -> Result<Hash, Error> {
    let mut source = Source::open(path)?;
    let mut leaf = hasher.leaf_in_pieces();
    let mut buffer = vec![0; 256 << 10];
    while let Some(piece) = source.read(&mut buffer)? {
        leaf.update(piece);
    }
    Ok(leaf.finish())
}
