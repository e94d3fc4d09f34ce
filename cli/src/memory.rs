//! How much memory the stores of the program hold: what the caller says, or half of what the control group allows.

use std::fs;
use std::path::{Path, PathBuf};

use duramen::Config;

use crate::error::Error;

/// Where Linux has its control groups, and where each process says in which it is.
const GROUPS: &str = "/sys/fs/cgroup";
const OWN: &str = "/proc/self/cgroup";

/// The least that a store is held to without being asked.
const LEAST: u64 = 32 << 20;

/// Bounds the memory of a store to `asked`, or else to half of the memory that the control group of this process allows.
/// The other half is for the program, for the system's caches of its files, and for what the allocator keeps.
pub(crate) fn bounded(config: Config, asked: Option<u64>) -> Result<Config, Error> {
    match asked {
        Some(bytes) => Ok(config.max_memory(bytes)?),
        None => match allowed(Path::new(GROUPS), &fs::read_to_string(OWN).unwrap_or_default()) {
            Some(bytes) => Ok(config.max_memory((bytes / 2).max(LEAST))?),
            None => Ok(config),
        },
    }
}

/// The smallest limit of memory of the groups that a process is in, which `own` lists.
fn allowed(groups: &Path, own: &str) -> Option<u64> {
    let limits = own.lines().filter_map(|line| {
        // NUMBER:CONTROLLERS:PATH
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        match controllers {
            "" => limit(groups, path, "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                limit(&groups.join("memory"), path, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

/// The smallest limit of a group and of those around it. In a container the path may lead to nothing: then the root that
/// is seen is the group.
fn limit(root: &Path, path: &str, file: &str) -> Option<u64> {
    let inner = path.trim_start_matches('/');
    let mut group: PathBuf = root.to_owned();
    let mut all = vec![group.clone()];
    for name in inner.split('/').filter(|name| !name.is_empty() && *name != "..") {
        group.push(name);
        all.push(group.clone());
    }
    let limits = all.iter().filter_map(|group| {
        let text = fs::read_to_string(group.join(file)).ok()?;
        // The word max, and in the first version a number near the highest, mean none.
        text.trim().parse::<u64>().ok().filter(|bytes| *bytes < 1 << 60)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_all_groups_around_counts_in_either_version() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let set = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(allowed(root, "0::/a/b\n"), None);
        set("a/memory.max", "max\n");
        assert_eq!(allowed(root, "0::/a/b\n"), None);
        set("a/b/memory.max", "300\n");
        assert_eq!(allowed(root, "0::/a/b\n"), Some(300));
        set("a/memory.max", "200\n");
        assert_eq!(allowed(root, "0::/a/b\n"), Some(200));
        // A container sees its own group as the root.
        set("memory.max", "100\n");
        assert_eq!(allowed(root, "0::/../elsewhere\n"), Some(100));
        let first = "4:memory:/x\n1:cpu:/\n";
        assert_eq!(allowed(root, first), None);
        set("memory/memory.limit_in_bytes", "9223372036854771712\n");
        set("memory/x/memory.limit_in_bytes", "50\n");
        assert_eq!(allowed(root, first), Some(50));
        assert_eq!(allowed(root, "nonsense\n::\n0::/a"), Some(100));
    }
}
