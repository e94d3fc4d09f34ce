//! File systems that go down under a writer, as in a power cut that keeps the disk's cache: what
//! `xfs_io -x -c shutdown` does, on XFS and on ext4. Then mounted again and looked at.
//!
//! What was acknowledged before the file system went down must be there. In a power cut nothing
//! after it is visible; here the program runs on for a moment, and the kernel may let an fsync succeed that runs
//! into the shutdown. Leaves that were acknowledged in that moment and are gone are counted apart.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Asked;
use crate::check::{Bounds, check};
use crate::program::{Feed, Writer};
use testkit::random::Random;
use crate::system::{Mount, Workspace, run as tool, text};
use crate::tally::Tally;

/// How often each file system goes down.
const CYCLES: u64 = 100;
/// After how many cycles a new store is begun.
const CYCLES_OF_A_STORE: u64 = 10;

/// Name, bytes of the image, the program that makes it.
const KINDS: [(&str, u64, &[&str]); 2] = [
    ("ext4", 256 << 20, &["mkfs.ext4", "-q", "-F"]),
    ("xfs", 320 << 20, &["mkfs.xfs", "-q", "-f"]),
];

pub(crate) fn run(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    for (kind, bytes, make) in KINDS {
        let image = workspace.path(&format!("{kind}.img"));
        File::create(&image)?.set_len(bytes)?;
        let (program, args) = make.split_first().unwrap_or((&"", &[]));
        tool(program, &[args, &[text(&image)?]].concat())?;
        cycles(kind, &image, asked, workspace, tally)?;
        std::fs::remove_file(&image)?;
    }
    Ok(())
}

/// How a file system goes down.
#[derive(Clone, Copy, Debug)]
enum Down {
    /// Its journal is written out first, without data.
    AfterJournal,
    AtOnce,
}

/// Lets the file system that `root` is on go down.
fn shut_down(root: &File, down: Down) -> Result<()> {
    /// `XFS_IOC_GOINGDOWN`, which ext4 has under the same number.
    const GOING_DOWN: u32 = 0x8004_587d;
    let flags: u32 = match down {
        Down::AfterJournal => 1,
        Down::AtOnce => 2,
    };
    // SAFETY: the call reads one u32 from the pointer, which is that of a live one.
    let done = unsafe { libc::ioctl(root.as_raw_fd(), GOING_DOWN as _, &raw const flags) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("shutting down") }
}

fn cycles(
    kind: &'static str,
    image: &Path,
    asked: &Asked,
    workspace: &Workspace,
    tally: &Tally,
) -> Result<()> {
    let mut random = Random(asked.seed);
    let dir = workspace.path(kind);
    let mount = || Mount::new(image, &dir, &["-o", "loop"]);
    let mut mounted = mount()?;
    let mut first = 0;
    for cycle in 0..CYCLES * asked.scale {
        let store = dir.join("store");
        if cycle % CYCLES_OF_A_STORE == 0 {
            let _ = std::fs::remove_dir_all(&store);
            first = 0;
        }
        let feed = Feed { first, most: u64::MAX / 2, seed: random.number() };
        let writer = Writer::start(&[&asked.program], &store, feed, |_| {})?;
        std::thread::sleep(Duration::from_millis(random.below(120)));
        let down = if random.below(3) == 0 { Down::AfterJournal } else { Down::AtOnce };
        let root = File::open(&dir)?;
        let before = writer.acked();
        shut_down(&root, down)?;
        drop(root);
        let ended = writer.finish();
        mounted.unmount()?;
        mounted = mount()?;
        tally.count(if kind == "xfs" { "shutdowns of XFS" } else { "shutdowns of ext4" }, 1);
        let checked = ended.and_then(|(_, bounds)| {
            tally.count("leaves acknowledged", before - first);
            let size = check(&store, Bounds { acked: before, ..bounds })?;
            if size < bounds.acked {
                tally.count("times an fsync that ran into it succeeded for nothing", 1);
            }
            Ok(size)
        });
        match checked {
            Ok(size) => first = size,
            Err(error) => {
                let policies = feed.policies().join(" ");
                tally.found(format!(
                    "{kind}, {down:?}, {policies}, cycle {cycle} of seed {}: {error:#}",
                    asked.seed
                ));
                let _ = std::fs::remove_dir_all(&store);
                first = 0;
            }
        }
    }
    mounted.unmount()
}
