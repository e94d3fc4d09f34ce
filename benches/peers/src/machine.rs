//! What the figures were measured on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::commonware;
use crate::env::Env;

/// The machine and the versions under test.
#[derive(Debug)]
pub struct Machine {
    facts: Vec<(&'static str, String)>,
}

/// Looks at the machine. A fact that cannot be found out is "unknown".
pub fn describe(env: &Env) -> Machine {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let (file_system, device) = mount_of(&env.dir);
    if file_system == "tmpfs" {
        eprintln!("{} is in memory: syncing costs nothing there", env.dir.display());
    }
    let facts = vec![
        ("cpu", field("/proc/cpuinfo", "model name")),
        ("cores", cores.to_string()),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("file_system", file_system),
        ("device", device),
        ("rustc", env!("PEERS_RUSTC").to_owned()),
        ("duramen", locked_version("duramen")),
        ("rotortree", locked_version("rotortree")),
        ("commonware-storage", commonware_version()),
        ("blake3", locked_version("blake3")),
    ];
    Machine { facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect() }
}

impl Machine {
    /// Prints one fact per line.
    pub fn print(&self) {
        for (name, value) in &self.facts {
            println!("{name:<18} {value}");
        }
    }

    /// The facts as an object.
    pub fn to_json(&self) -> Value {
        self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn field(path: &str, name: &str) -> String {
    read(path)
        .lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// The file system type and the device of the mount that holds `path`.
fn mount_of(path: &Path) -> (String, String) {
    let mounts = read("/proc/self/mounts");
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
            path.starts_with(at).then(|| (at.len(), kind.to_owned(), device.to_owned()))
        })
        .max_by_key(|(length, ..)| *length)
        .map_or_else(|| ("unknown".into(), "unknown".into()), |(_, kind, device)| (kind, device))
}

/// The version of a package in the lock file this was built from, empty if it has none.
fn locked_version(package: &str) -> String {
    version_in(include_str!("../Cargo.lock"), package)
}

/// The version of commonware-storage, if it takes part.
fn commonware_version() -> String {
    if !commonware::ENABLED {
        return String::new();
    }
    version_in(include_str!("../commonware/Cargo.lock"), "commonware-storage")
}

fn version_in(lock: &str, package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    lines
        .by_ref()
        .find(|line| *line == name)
        .and_then(|_| lines.next())
        .and_then(|line| line.strip_prefix("version = "))
        .map_or_else(String::new, |version| version.trim_matches('"').to_owned())
}
