//! A path that can be led to another disk, and the levers that exchange what a path leads to.

use std::io;
use std::sync::Arc;

use super::disk::SimDisk;
use super::path::SimPath;
use crate::fs::{Dir, FileSystem, Place};

impl SimPath {
    /// A path that leads to `disk`.
    #[must_use]
    pub fn new(disk: &SimDisk) -> Self {
        Self::to(Some(Arc::clone(&disk.shared)))
    }

    /// Lets the path lead to another disk, or nowhere, as renaming directories does. What is bound
    /// stays bound to the disk that it found.
    pub fn lead_to(&self, disk: Option<&SimDisk>) {
        if let Some(left) = self.disk() {
            // Watches of the directory report that it is moved.
            left.lock().changes += 1;
            left.notify();
        }
        self.point_to(disk.map(|disk| Arc::clone(&disk.shared)));
    }
}

fn found(path: &SimPath) -> io::Result<SimDisk> {
    let disk = path.disk().ok_or(io::ErrorKind::NotFound)?;
    Ok(SimDisk::of(disk))
}

impl Place for SimPath {
    fn bind(&self) -> io::Result<Arc<dyn FileSystem>> {
        found(self)?.bind_at(Some(self.clone()))
    }

    fn make(&self) -> io::Result<Arc<dyn FileSystem>> {
        let disk = found(self)?;
        disk.make_dirs()?;
        disk.bind_at(Some(self.clone()))
    }
}

impl SimDisk {
    /// Removes the lock file, as a clean-up job does.
    pub fn remove_lock_file(&self) {
        self.shared.lock().identity.lock = None;
    }

    /// Puts another lock file in the place of the one that is there.
    pub fn replace_lock_file(&self) {
        let mut state = self.shared.lock();
        let another = state.identity.another();
        state.identity.lock = Some(another);
    }

    /// Puts another directory in the place of an inner one.
    pub fn replace_dir(&self, dir: Dir) {
        let mut state = self.shared.lock();
        if let Some(at) = Dir::INNER.iter().position(|inner| *inner == dir) {
            let another = state.identity.another();
            state.identity.inner[at] = another;
        }
    }
}
