//! Where an anchor must not be.

use std::path::Path;

use duramen::inspect::Printable;

use crate::anchor::AnchorError;
use crate::error::LogError;

/// Refuses an anchor that lies within the store: a copy of the store would have a copy of it. Both directories must
/// exist, so that links are followed.
///
/// # Errors
///
/// [`LogError::AnchorInStore`]; [`LogError::Anchor`] if a directory cannot be found.
pub fn anchor_must_be_outside(anchor: &Path, store: &Path) -> Result<(), LogError> {
    let full = |path: &Path| {
        path.canonicalize().map_err(|error| AnchorError::Io {
            action: "find the directory of",
            place: Printable::new(path).to_string(),
            reason: error.to_string(),
        })
    };
    let (anchor, store) = (full(anchor)?, full(store)?);
    if !anchor.starts_with(&store) {
        return Ok(());
    }
    let text = |path: &Path| Printable::new(path).to_string();
    Err(LogError::AnchorInStore { anchor: text(&anchor), store: text(&store) })
}
