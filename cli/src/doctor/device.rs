//! The device under a store, as Linux describes it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Grade, Sign};

/// What is known of the device. Nothing where the system does not say.
pub(super) fn look(dir: &Path) -> Vec<Sign> {
    let Some(queue) = queue(dir) else { return Vec::new() };
    let read =
        |name: &str| fs::read_to_string(queue.join(name)).ok().map(|text| text.trim().to_owned());
    let mut signs = Vec::new();
    match read("write_cache").as_deref() {
        Some("write back") => {
            let text = "the device has a write cache, which every fsync flushes";
            signs.push(Sign::new("write cache", Grade::Good, text));
        }
        Some("write through") => {
            let text = "none is reported: if there is one without a battery, a power cut takes back what was durable";
            signs.push(Sign::new("write cache", Grade::Note, text));
        }
        _ => {}
    }
    match read("rotational").as_deref() {
        Some("1") => signs.push(Sign::new(
            "device",
            Grade::Note,
            "a disk that turns: an fsync takes milliseconds",
        )),
        Some("0") => signs.push(Sign::new("device", Grade::Good, "flash, or a virtual disk")),
        _ => {}
    }
    signs
}

/// The settings of the device that a directory lies on: those of the whole disk for a partition.
fn queue(dir: &Path) -> Option<PathBuf> {
    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let block = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let own = block.join("queue");
    [own, block.parent()?.join("queue")].into_iter().find(|queue| queue.is_dir())
}
