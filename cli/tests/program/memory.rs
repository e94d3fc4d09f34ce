//! How much memory the program takes, where the system allows only so much.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::shell::skip;
use crate::common::{Place, duramen, given, printed, refused};

/// A control group that allows so much memory, until it is dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where no group can be made.
    fn new(name: &str, bytes: u64) -> Option<Self> {
        let name = format!("duramen-test-{}-{name}", std::process::id());
        let make = |root: &str, limit: &str, swap: &str| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            fs::write(group.0.join(limit), bytes.to_string()).ok()?;
            // Where there is swap, memory would go there.
            let _ = fs::write(group.0.join(swap), bytes.to_string());
            Some(group)
        };
        let second = || make("/sys/fs/cgroup", "memory.max", "memory.swap.max");
        let first = || {
            let root = "/sys/fs/cgroup/memory";
            make(root, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        };
        first().or_else(second)
    }

    /// Runs a script in the group, with the program as `$D`.
    fn run(&self, place: &Place, script: &str) -> Output {
        Command::new("sh")
            .args(["-c", &format!("echo $$ > {}/cgroup.procs && {script}", self.0.display())])
            .current_dir(place.dir())
            .env("D", env!("CARGO_BIN_EXE_duramen"))
            .output()
            .unwrap()
    }

    /// The most memory that the group had, its caches of files with it.
    fn peak(&self) -> u64 {
        let peak = ["memory.peak", "memory.max_usage_in_bytes"];
        let read = |file: &&str| fs::read_to_string(self.0.join(file)).ok();
        peak.iter().find_map(read).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// 25 million leaves take more than 1 GiB of nodes.
const INPUT: u64 = 800_000_000;

#[test]
fn an_append_runs_to_its_end_in_a_control_group_that_is_much_smaller_than_its_tree() {
    let test = "an_append_runs_to_its_end_in_a_control_group_that_is_much_smaller_than_its_tree";
    let place = Place::new();
    fs::File::create(place.path("input")).unwrap().set_len(INPUT).unwrap();
    let Some(group) = Group::new("append", 256 << 20) else {
        return skip(test, "no control group with a limit of memory can be made here");
    };
    let append = "exec \"$D\" append store input --input raw --checkpoint-policy";
    let output = group.run(&place, &format!("{append} close"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?} {said}", output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with(&format!("size {}\n", INPUT / 32)), "{printed}");
    assert!(group.peak() > 64 << 20, "the program was not in the group");
    fs::remove_dir_all(place.path("store")).unwrap();

    // The same without the bound. If this runs to its end, the test shows nothing.
    let output = group.run(&place, &format!("{append} close --max-memory 8GiB"));
    assert!(!output.status.success(), "the input is too small to fill the group");
}

#[test]
fn a_store_is_recovered_in_a_control_group_that_is_much_smaller_than_its_entries() {
    let test = "a_store_is_recovered_in_a_control_group_that_is_much_smaller_than_its_entries";
    let place = Place::new();
    // 6000 entries of 64 KB, all of them in parts.
    let entry = "x".repeat(64_000);
    let text: String = (0..6000).map(|number| format!("{number} {entry}\n")).collect();
    let head = printed(given(&place, "append DIR --entries --checkpoint-policy close", text));
    let Some(group) = Group::new("recover", 192 << 20) else {
        return skip(test, "no control group with a limit of memory can be made here");
    };
    let output = group.run(&place, "exec \"$D\" recover store new");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?} {said}", output.status);
    assert_eq!(printed(duramen(&place, "head @new")), head);
    assert!(group.peak() > 64 << 20, "the program was not in the group");
}

#[test]
fn a_bound_of_memory_is_a_number_of_bytes_that_a_store_can_work_with() {
    let place = Place::new();
    let text = "x\n".repeat(1000);
    let head = printed(given(&place, "append DIR --max-memory 16MiB", text.clone()));
    let other = Place::new();
    assert_eq!(printed(given(&other, "append DIR", text)), head);
    for bad in ["0", "15MiB", "much"] {
        refused(duramen(&place, &format!("append DIR --max-memory {bad}")), 2);
    }
}
