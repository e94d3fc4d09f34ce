//! Errors that say which path failed and keep the kind and the cause.

use std::io;
use std::path::Path;

use crate::error::PathError;

/// Makes a call of the standard library again while a signal interrupts it.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Adds a path and what was tried there to an error.
pub(super) trait WithPath<T> {
    fn path(self, path: &Path, action: &'static str) -> io::Result<T>;
}

impl<T, E: Into<io::Error>> WithPath<T> for Result<T, E> {
    fn path(self, path: &Path, action: &'static str) -> io::Result<T> {
        self.map_err(|error| {
            let source = error.into();
            io::Error::new(source.kind(), PathError { action, path: path.to_owned(), source })
        })
    }
}

pub(super) fn not_regular() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is not a regular file, and links are not followed",
    )
}

pub(super) fn not_directory() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a directory, and links are not followed")
}
