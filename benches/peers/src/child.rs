//! Sides that are measured in a process of their own, so that what one side's allocator and threads
//! leave behind is not counted for the other.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::measure::Who;

/// Runs the side `who` of `workload` in a process of its own, with its files in `dir`; returns what
/// it printed.
pub fn ask(dir: &Path, workload: &str, who: Who, numbers: &[u64]) -> Result<String> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--dir")
        .arg(dir)
        .args(["--child", workload, who.name()])
        .args(numbers.iter().map(u64::to_string))
        .output()
        .context("cannot start a process of its own for the side")?;
    ensure!(
        output.status.success(),
        "the side's process failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A line of the kernel's account of this process's memory, in bytes.
pub fn memory(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .with_context(|| format!("/proc/self/status has no {field}"))?;
    Ok(kib * 1024)
}
