//! Wipes files that the log has released, once they may have data of erased entries.
//!
//! # Invariants
//!
//! - From [`Segments::begin_erasing`] on, every spare file is wiped: all its bytes are zeros, durably. A released file is
//!   dirty until then, and dirty files are neither reused nor removed.
//! - A wipe that failed begins again with all bytes of the file, which is then removed and not reused.
//! - A file that another process has locked is not written to. It stays dirty, and is tried again.

use super::{NOT_REUSED, Segments, State};
use crate::error::{Error, Result};
use crate::fs::FileName;
use crate::fs::wipe::{self, Wiped};

/// What of the log's files is not wiped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unwiped {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Segments {
    /// From now on files are wiped before they are reused or removed.
    pub(crate) fn begin_erasing(&self) {
        if self.state.lock().erasing {
            return;
        }
        // No thread removes files as they are meanwhile.
        let _removing = self.removing.lock();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if !std::mem::replace(&mut state.erasing, true) {
            state.dirty.append(&mut state.spare);
            state.soil_ready();
        }
    }

    /// Wipes every file that is not in the log: the released ones and the prepared ones.
    pub(crate) fn wipe_all(&self) -> Result<()> {
        let _making = self.making.lock();
        self.state.lock().soil_ready();
        self.wipe_dirty()
    }

    /// Bytes of zeros written over released files so far.
    pub(crate) fn wiped_bytes(&self) -> u64 {
        self.state.lock().wiped
    }

    /// The files that a hold keeps from being wiped.
    pub(crate) fn unwiped(&self) -> Unwiped {
        let state = self.state.lock();
        let files =
            state.held.iter().map(|(_, len)| *len).chain(state.dirty.iter().map(|(_, len)| *len));
        files.fold(Unwiped::default(), |sum, len| Unwiped {
            files: sum.files + 1,
            bytes: sum.bytes.saturating_add(len),
        })
    }

    /// Wipes the dirty files, and makes them spare ones. The caller holds `making`.
    pub(super) fn wipe_dirty(&self) -> Result<()> {
        let names: Vec<_> = self.state.lock().dirty.iter().map(|(name, _)| *name).collect();
        // A file stays in the list until it is wiped.
        names.into_iter().try_for_each(|name| self.wipe_one(name))
    }

    fn wipe_one(&self, name: FileName) -> Result<()> {
        let wiped = match wipe::wipe(&*self.fs, name) {
            // It must not be written to. The next call tries again.
            Ok(Wiped::InUse { .. }) => return Ok(()),
            Ok(Wiped::Linked) => {
                let removed = self.fs.remove(name);
                removed.map_err(|error| Error::io("remove", self.fs.display(name), error))?;
                None
            }
            Ok(Wiped::Zeros { bytes }) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let mut state = self.state.lock();
                for (_, len) in state.dirty.iter_mut().filter(|(other, _)| *other == name) {
                    *len = NOT_REUSED;
                }
                return Err(Error::io("wipe", self.fs.display(name), error));
            }
        };
        let mut state = self.state.lock();
        let listed = state.dirty.iter().position(|(other, _)| *other == name);
        if let Some((_, len)) = listed.map(|at| state.dirty.remove(at))
            && let Some(bytes) = wiped
        {
            state.wiped += bytes;
            state.spare.push((name, len));
        }
        Ok(())
    }
}

impl State {
    /// Declares the prepared segments dirty.
    fn soil_ready(&mut self) {
        let ready = self.ready.drain(..).map(|segment| (segment.id.file(), segment.len));
        self.dirty.extend(ready);
    }
}
