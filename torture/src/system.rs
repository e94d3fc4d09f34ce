//! Other programs, and things of the system that are given back whatever happens.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) fn is_root() -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Whether a program can be found.
pub(crate) fn has(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|dir| Path::new(dir).join(tool).exists())
}

/// Runs a program and returns what it printed; fails if it does.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}: {}", args.join(" "), output.status, error.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

const PREFIX: &str = "duramen-torture-";

/// A directory for everything; gone when dropped.
pub(crate) struct Workspace(PathBuf);

impl Workspace {
    pub(crate) fn new() -> Result<Self> {
        clear_leftovers();
        let dir = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An empty directory of this name.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path(name);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run that was killed has left behind: its mounts and loop devices.
fn clear_leftovers() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let prefix = std::env::temp_dir().join(PREFIX);
    let ours: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|dir| dir.starts_with(&*prefix.to_string_lossy()) && !is_alive(dir))
        .collect();
    for dir in ours.iter().rev() {
        println!("clearing {dir}, which an earlier run has left");
        let _ = run("umount", &["-l", dir]);
    }
}

/// Whether the process that a path of a workspace is named after still runs.
fn is_alive(path: &str) -> bool {
    let number = path.split(PREFIX).nth(1).and_then(|rest| rest.split('/').next());
    number.is_some_and(|number| Path::new("/proc").join(number).exists())
}

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(device: &Path, dir: &Path, options: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let places = [text(device)?, text(dir)?];
        run("mount", &[options, &places].concat())?;
        Ok(Self(dir.to_path_buf()))
    }

    pub(crate) fn unmount(self) -> Result<()> {
        let dir = self.0.clone();
        // A killed process may hold on for a moment.
        for _ in 0..100 {
            if run("umount", &[text(&dir)?]).is_ok() {
                std::mem::forget(self);
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        bail!("{} stays busy", dir.display());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(dir) = self.0.to_str()
            && run("umount", &[dir]).is_err()
        {
            let _ = run("umount", &["-l", dir]);
        }
    }
}

/// A loop device over a file; detached when dropped.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    pub(crate) fn new(file: &Path) -> Result<Self> {
        let device = run("losetup", &["--find", "--show", "--direct-io=on", text(file)?])?;
        Ok(Self(device.into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(device) = self.0.to_str() {
            let _ = run("losetup", &["--detach", device]);
        }
    }
}
