//! The limits of the process that opens a store.

use std::fs;

use bytesize::ByteSize;
use rustix::process::{Resource, getrlimit};

use super::{Grade, Sign};

/// The longest segment of a log.
const SEGMENT: u64 = 64 << 20;

/// Fewer descriptors than this may not be enough for the parts that are read and the log.
const DESCRIPTORS: u64 = 256;

/// With less memory than this, input that is faster than the disk may not fit.
const MEMORY: u64 = 1 << 30;

pub(super) fn look() -> Vec<Sign> {
    let mut signs = Vec::new();
    match getrlimit(Resource::Fsize).current {
        Some(most) => {
            let grade = if most < SEGMENT { Grade::Problem } else { Grade::Note };
            signs.push(Sign::new(
                "limits",
                grade,
                format!("no file may be longer than {}", ByteSize(most)),
            ));
        }
        None => signs.push(Sign::new("limits", Grade::Good, "files may be of any length")),
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let grade = if most < DESCRIPTORS { Grade::Note } else { Grade::Good };
        signs.push(Sign::new("limits", grade, format!("{most} files may be open at a time")));
    }
    if let Some(most) = cgroup_memory() {
        let grade = if most < MEMORY { Grade::Note } else { Grade::Good };
        signs.push(Sign::new("memory", grade, format!("the control group has {}", ByteSize(most))));
    }
    signs
}

/// The least memory that this process's control group and those above it allow.
fn cgroup_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut path = std::path::Path::new("/sys/fs/cgroup").join(group);
    let mut least = None;
    while path.starts_with("/sys/fs/cgroup") {
        let most = fs::read_to_string(path.join("memory.max")).ok();
        if let Some(most) = most.and_then(|most| most.trim().parse::<u64>().ok()) {
            least = Some(least.map_or(most, |least: u64| least.min(most)));
        }
        if !path.pop() {
            break;
        }
    }
    least
}
