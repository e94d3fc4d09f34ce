//! The layers of torture that need a real kernel: file systems that are shut down under a writer, a
//! block device that records, tears and fails, system calls that fail. For root only; `cargo xtask
//! torture` builds the program and runs this.
//!
//! Every layer prints one line of figures. A layer that cannot run here says SKIPPED and why.

mod block;
mod check;
mod device;
mod full;
mod program;
mod reorgs;
mod shutdown;
mod syscalls;
mod system;
mod tally;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::system::Workspace;
use crate::tally::Tally;

const USAGE: &str = "usage: duramen-torture [LAYER ...] [--seed S] [--scale N] [--seconds T] [--program PATH]

  shutdown     ext4 and XFS on loop devices, shut down under a writer
  blocks       ext4 on a block device that records what it is told, replayed in part
  eio          the same device fails writes; the store is opened again on the same machine
  syscalls     system calls of the program fail, or kill it: of one that makes a store and of one that
               recovers what a kill has left
  full         tmpfs and ext4 that get full at every point of a store's work
  read-only    ext4 that is mounted for reading only
  reorgs       chains of blocks that are rewound, killed again and again, for T seconds (a minute by default); it needs no root
";

/// What was asked for.
pub(crate) struct Asked {
    layers: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) scale: u64,
    pub(crate) seconds: Option<u64>,
    pub(crate) program: String,
}

type Layer = fn(&Asked, &Workspace, &Tally) -> Result<()>;

/// Name, the tools it needs, and what it does.
const LAYERS: [(&str, &[&str], Layer); 7] = [
    ("shutdown", &["mkfs.ext4", "mkfs.xfs", "mount", "umount"], shutdown::run),
    ("blocks", &["mkfs.ext4", "losetup", "mount", "umount"], block::replay),
    ("eio", &["mkfs.ext4", "losetup", "mount", "umount"], block::failing),
    ("syscalls", &["strace"], syscalls::run),
    ("full", &["mkfs.ext4", "mount", "umount"], full::run),
    ("read-only", &["mkfs.ext4", "mount", "umount"], full::read_only),
    (REORGS, &[], reorgs::run),
];
/// The one layer that mounts nothing.
const REORGS: &str = "reorgs";

fn asked() -> Result<Asked> {
    let mut asked = Asked {
        layers: Vec::new(),
        seed: 0,
        scale: 1,
        seconds: None,
        program: "target/release/duramen".into(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().context(USAGE);
        match &arg[..] {
            "--seed" => asked.seed = value()?.parse()?,
            "--scale" => asked.scale = value()?.parse()?,
            "--seconds" => asked.seconds = Some(value()?.parse()?),
            "--program" => asked.program = value()?,
            layer if LAYERS.iter().any(|(name, ..)| *name == layer) => asked.layers.push(arg),
            _ => bail!(USAGE),
        }
    }
    if asked.layers.is_empty() {
        asked.layers = LAYERS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    }
    Ok(asked)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("torture: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [reorgs::CHILD, args @ ..] = &args.iter().map(|arg| &arg[..]).collect::<Vec<_>>()[..] {
        return reorgs::child(args).map(|()| true);
    }
    let mut asked = asked()?;
    if !system::is_root() {
        println!(
            "SKIPPED all other layers of torture than {REORGS}: they mount file systems, and this is not root"
        );
        asked.layers.retain(|layer| layer == REORGS);
    }
    let needs_program = asked.layers.iter().any(|layer| layer != REORGS);
    if needs_program && !std::path::Path::new(&asked.program).exists() {
        bail!("{} is not there; build it with cargo build --release", asked.program);
    }
    let workspace = Workspace::new()?;
    let mut passed = true;
    for (name, tools, layer) in LAYERS {
        if !asked.layers.iter().any(|asked| asked == name) {
            continue;
        }
        let missing: Vec<_> = tools.iter().filter(|tool| !system::has(tool)).collect();
        if !missing.is_empty() {
            println!("SKIPPED {name}: {missing:?} missing here");
            continue;
        }
        let tally = Tally::default();
        let done = layer(&asked, &workspace, &tally);
        passed &= tally.report(name, asked.seed);
        if let Err(error) = done {
            println!("{name} could not go on: {error:#}");
            passed = false;
        }
    }
    Ok(passed)
}
