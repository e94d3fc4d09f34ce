//! Removes the files of parts that no manifest names, and wipes them first once entries were erased.
//! [`Strays`](super::strays::Strays) lists them.

use super::shared::Engine;
use crate::error::Error;
use crate::fs::FileName;
use crate::fs::wipe::give_up;

impl Engine {
    /// Removes a file that is listed, and wipes it first if entries were erased. Returns the error, which is reported as
    /// well, if that failed. Does nothing if another thread has removed the file meanwhile. The caller has not got the
    /// guard of [`Unerased`](super::unerased::Unerased).
    pub(super) fn wipe_stray(&self, name: FileName) -> Option<Error> {
        let _turn = self.keeper.strays().turn(name)?;
        // An erasure that begins meanwhile waits until the file is gone.
        let unerased = self.keeper.unerased().guard();
        match give_up(&*self.fs, name, unerased.is_none()) {
            Ok(wiped) => self.keeper.strays().note(name, wiped),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.keeper.strays().is_gone(name);
            }
            Err(error) => {
                let action = if unerased.is_none() { "wipe" } else { "remove" };
                let error = Error::io(action, self.fs.display(name), error);
                self.keeper.note_if_displaced(&error);
                tracing::warn!(%error, file = %name, "cannot remove a part that no manifest names");
                return Some(error);
            }
        }
        None
    }

    /// Wipes the files that are listed, if there are some. A file that was read when it was given up may be free by
    /// now.
    pub(super) fn retry_strays(&self) {
        let wanted = self.keeper.unerased().is_over() && !self.keeper.strays().is_empty();
        if wanted && self.process.is_current() && self.check_continues(true).is_ok() {
            // A failure is reported, and the next call tries again.
            self.wipe_strays();
        }
    }

    /// Removes all files that are listed, wiped if entries were erased. Returns the first error.
    pub(super) fn wipe_strays(&self) -> Option<Error> {
        let names = self.keeper.strays().files();
        // All are tried, whatever fails.
        let failed: Vec<_> = names.into_iter().filter_map(|name| self.wipe_stray(name)).collect();
        failed.into_iter().next()
    }
}
