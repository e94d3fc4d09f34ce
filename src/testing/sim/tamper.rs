//! Looking at files and exchanging them behind the store's back, for tests of damage.

use super::disk::SimDisk;
use crate::fs::FileName;

impl SimDisk {
    /// The names of all files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<FileName> {
        self.shared.lock().contents.names().collect()
    }

    /// The bytes of a file as reads see them; `None` if there is none of this name.
    #[must_use]
    pub fn read(&self, name: FileName) -> Option<Vec<u8>> {
        let state = self.shared.lock();
        let id = state.contents.find(name).ok()?;
        let cache = state.contents.file(id).ok()?.cache();
        let mut bytes = vec![0; usize::try_from(cache.len()).ok()?];
        cache.read(0, &mut bytes);
        Some(bytes)
    }

    /// Puts a file with these bytes on the disk, in place of any of this name, as if it had been
    /// there and synced for long. It is not an operation; handles of the old file are broken.
    pub fn put(&self, name: FileName, bytes: &[u8]) {
        let mut state = self.shared.lock();
        let stamp = state.tick();
        state.contents.put(stamp, name, bytes);
    }

    /// Takes a file off the disk as if it had never been there, and says whether it was. It is not an
    /// operation; handles of the file are broken.
    #[expect(clippy::must_use_candidate, reason = "the call is for its effect")]
    pub fn erase(&self, name: FileName) -> bool {
        self.shared.lock().contents.erase(name)
    }
}
