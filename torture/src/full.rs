//! File systems that get full under a store, at every point of its work, and file systems that are
//! mounted for reading only.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Asked;
use crate::check::{Bounds, check};
use crate::program::{Feed, Writer};
use testkit::space::{self, Met};
use crate::system::{Mount, Workspace, run as tool, text};
use crate::tally::Tally;

/// Bytes of the file systems.
const IMAGE_BYTES: u64 = 8 << 20;
/// How far apart the points are: not only at the borders of blocks.
const STEP: u64 = 4096 + 1;
/// Beyond this a store finds room enough.
const MOST: u64 = 4 << 20;

/// Lets stores find tmpfs and ext4 full after ever more bytes, until they find room enough.
pub(crate) fn run(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let step = STEP / asked.scale.clamp(1, 8);
    let dir = workspace.path("tmpfs");
    let mounted = Mount::new(Path::new("tmpfs"), &dir, &["-t", "tmpfs", "-o", "size=2m"])?;
    sweep(&dir, step, "runs on tmpfs", tally);
    mounted.unmount()?;

    let image = workspace.path("full.img");
    make_ext4(&image)?;
    let dir = workspace.path("full");
    let mounted = Mount::new(&image, &dir, &["-o", "loop"])?;
    sweep(&dir, step, "runs on ext4", tally);
    mounted.unmount()?;
    std::fs::remove_file(&image)?;
    Ok(())
}

fn make_ext4(image: &Path) -> Result<()> {
    std::fs::File::create(image)?.set_len(IMAGE_BYTES)?;
    // No blocks are kept back for root, which fills it up.
    tool("mkfs.ext4", &["-q", "-F", "-m", "0", "-J", "size=1", text(image)?])?;
    Ok(())
}

fn sweep(dir: &Path, step: u64, runs: &'static str, tally: &Tally) {
    let mut met = Met::default();
    let mut room = 0;
    // Room that comes and goes with what the file system itself takes is no end yet.
    while met.enough < 3 && room < MOST {
        match space::run(dir, room) {
            Ok(one) => met.add(one),
            Err(error) => tally.found(format!("{runs}, {room} bytes of room: {error}")),
        }
        room += step;
    }
    if met.enough == 0 {
        tally.found(format!("{runs}: there was never room enough"));
    }
    tally.count(runs, met.runs);
    tally.count("stores not created", met.creations);
    tally.count("logs without room", met.logs);
    tally.count("checkpoints without room", met.checkpoints);
    tally.count("merges without room", met.merges);
    tally.count("times not opened while full", met.reopenings);
    tally.count("leaves found again", met.leaves);
}

/// The program on ext4 that is mounted for reading only: a store that was closed and one that a kill
/// left. Reading works, writing is refused, and no byte of the device changes.
pub(crate) fn read_only(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let image = workspace.path("read-only.img");
    make_ext4(&image)?;
    let dir = workspace.path("read-only");
    let mounted = Mount::new(&image, &dir, &["-o", "loop"])?;
    let mut left = Vec::new();
    for seed in 0..8 {
        let store = dir.join(seed.to_string());
        let killed = seed >= 4;
        let most = if killed { 20_000 } else { 1000 };
        let mut writer =
            Writer::start(&[&asked.program], &store, Feed { first: 0, most, seed }, |_| {})?;
        if killed {
            writer.wait_for(300)?;
            writer.kill()?;
        }
        left.push((store, writer.finish()?.1));
    }
    mounted.unmount()?;
    let before = blake3::hash(&std::fs::read(&image)?);
    let mounted = Mount::new(&image, &dir, &["-o", "loop,ro"])?;
    for (store, bounds) in &left {
        if let Err(error) = read(asked, store, *bounds, tally) {
            tally.found(format!("{}: {error:#}", store.display()));
        }
    }
    mounted.unmount()?;
    if blake3::hash(&std::fs::read(&image)?) != before {
        tally.found("a device that is mounted for reading only has changed".to_owned());
    }
    let mounted = Mount::new(&image, &dir, &["-o", "loop"])?;
    for (store, bounds) in left {
        match check(&store, bounds) {
            Ok(leaves) => tally.count("leaves found again", leaves),
            Err(error) => tally.found(format!("{}, writable: {error:#}", store.display())),
        }
    }
    mounted.unmount()?;
    std::fs::remove_file(&image)?;
    Ok(())
}

/// All that the program does without writing, and what it says when it is to write.
fn read(asked: &Asked, store: &Path, bounds: Bounds, tally: &Tally) -> Result<()> {
    let dir = text(store)?;
    let head = tool(&asked.program, &["head", dir])?;
    let size: u64 = head
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .with_context(|| format!("no size in {head:?}"))?;
    if !(bounds.acked..=bounds.submitted).contains(&size) {
        bail!("{size} leaves, and {bounds:?}");
    }
    let last = (size - 1).to_string();
    let middle = (size / 2).to_string();
    for args in [
        &["prove", dir, "0", &last][..],
        &["prove-consistency", dir, &middle],
        &["fsck", dir],
        &["scrub", dir],
    ] {
        tool(&asked.program, args)?;
        tally.count("commands that read", 1);
    }
    for args in [&["append", dir, "/dev/null"][..], &["scrub", dir, "--repair"]] {
        let output = Command::new(&asked.program).args(args).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The system refuses access.
        if output.status.code() != Some(7) || !said.contains("Read-only file system") {
            bail!("{args:?}: {}, {said}", output.status);
        }
        tally.count("commands refused", 1);
    }
    Ok(())
}
