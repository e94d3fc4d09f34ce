//! What proves that a log signed two histories, or shows that it went back: kept in files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use duramen::tlog::SignedNote;

use crate::dirs;

/// What was seen of a log that it should not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it is, in a word: `fork`, `rollback` or `unproven`.
    pub kind: &'static str,
    /// What it is, in a sentence.
    pub what: String,
    /// The checkpoint that was accepted before.
    pub known: Option<SignedNote>,
    /// The checkpoint that does not fit it.
    pub served: SignedNote,
    /// Tiles, with their paths, from which the root of the smaller checkpoint follows by the signature of the larger one.
    pub tiles: Vec<(String, Vec<u8>)>,
}

impl Evidence {
    /// Writes it into a new directory below `dir`, and returns that. When this returns, it is durable.
    ///
    /// The same evidence is written once: the name of the directory follows from both notes.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn keep(&self, dir: &Path) -> io::Result<PathBuf> {
        self.keep_while(dir, &|| Ok(()))
    }

    /// The same. Before each change of a name in `dir`, `check` returns an error if that directory is no longer the right one.
    pub(super) fn keep_while(
        &self,
        dir: &Path,
        check: &dyn Fn() -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let place = dir.join(format!("{}-{}", self.kind, self.id()));
        if place.exists() {
            // It may have been renamed by a process that was killed before it synced the directory.
            dirs::sync(dir)?;
            return Ok(place);
        }
        let temporary = dir.join(format!(".{}-{}.tmp", self.kind, self.id()));
        check()?;
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        check()?;
        dirs::make(&temporary, 0o777)?;
        write(&temporary.join("what"), format!("{}\n", self.what).as_bytes())?;
        write(&temporary.join("served"), self.served.to_string().as_bytes())?;
        if let Some(known) = &self.known {
            write(&temporary.join("known"), known.to_string().as_bytes())?;
        }
        for (path, bytes) in &self.tiles {
            let file = temporary.join(path);
            let dir = file.parent().unwrap_or(&temporary);
            check()?;
            dirs::make(dir, 0o777)?;
            write(&file, bytes)?;
            dirs::sync(dir)?;
        }
        dirs::sync(&temporary)?;
        check()?;
        fs::rename(&temporary, &place)?;
        dirs::sync(dir)?;
        Ok(place)
    }

    fn id(&self) -> String {
        let known = self.known.as_ref().map(ToString::to_string).unwrap_or_default();
        let both = format!("{known}{}{}", self.served, self.what);
        const_hex::encode(&crate::recheck::leaf_of(both.as_bytes())[..8])
    }
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
