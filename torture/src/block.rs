//! ext4 on a block device that records and fails.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;

use crate::Asked;
use crate::check::{Bounds, check};
use crate::device::{Disk, Event, Kept};
use crate::program::{Feed, Writer};
use testkit::random::Random;
use crate::system::{Mount, Workspace, run as tool, text};
use crate::tally::Tally;

const IMAGE_BYTES: u64 = 24 << 20;
/// How many runs are recorded.
const RUNS: u64 = 4;
/// How many moments of each are replayed, each in three ways.
const MOMENTS: u64 = 60;
/// How often the device fails.
const FAILURES: u64 = 60;

/// An empty file system.
fn base(workspace: &Workspace) -> Result<Vec<u8>> {
    let image = workspace.path("base.img");
    std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
    tool("mkfs.ext4", &["-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0", text(&image)?])?;
    let bytes = std::fs::read(&image)?;
    std::fs::remove_file(&image)?;
    Ok(bytes)
}

/// Records writers at work and looks at what power cuts leave.
pub(crate) fn replay(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let base = base(workspace)?;
    let mut random = Random(asked.seed);
    for run in 0..RUNS * asked.scale {
        let disk = Disk::new(base.clone(), &workspace.dir("recorded")?)?;
        let store = disk.dir.join("store");
        // What was acknowledged when so many events were recorded.
        let acks: Arc<Mutex<Vec<(usize, u64)>>> = Arc::default();
        let (noted, tape) = (Arc::clone(&acks), disk.shared_tape());
        let note = move |acked| {
            let events = tape.lock().unwrap().events.len();
            noted.lock().unwrap().push((events, acked));
        };
        let feed = Feed { first: 0, most: 600, seed: random.number() };
        let writer = Writer::start(&[&asked.program], &store, feed, note)?;
        let (status, bounds) = writer.finish()?;
        if !status.success() {
            tally.found(format!("run {run}: the program ended with {status}"));
        }
        let acks = acks.lock().unwrap().clone();
        let tape = disk.shared_tape();
        drop(disk);
        let tape = tape.lock().unwrap();
        let flushes = tape.events.iter().filter(|event| matches!(event, Event::Flush)).count();
        tally.count("block writes recorded", (tape.events.len() - flushes) as u64);
        tally.count("flushes recorded", flushes as u64);
        for _ in 0..MOMENTS {
            let count = usize::try_from(random.below(tape.events.len() as u64 + 1))?;
            let acked = acks.iter().filter(|(events, _)| *events <= count);
            let acked = acked.map(|(_, acked)| *acked).max().unwrap_or(0);
            let bounds = Bounds { acked, ..bounds };
            let seed = random.number();
            for way in ["all kept", "nothing kept", "torn"] {
                let mut subset = Random(seed);
                let image = tape.image(count, || match (way, subset.below(3)) {
                    ("all kept", _) | ("torn", 0) => Kept::All,
                    ("torn", 1) => Kept::Sectors(subset.number()),
                    _ => Kept::Nothing,
                });
                let Some(opened) = opened(&image, workspace, bounds)? else {
                    // Its superblocks are not made to be torn.
                    tally.count("images that ext4 did not mount", 1);
                    continue;
                };
                tally.count("images", 1);
                if let Err(error) = opened {
                    tally.found(format!(
                        "run {run} of seed {}, cut after {count} events, {way}: {error:#}",
                        asked.seed
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Mounts an image and checks the store on it; nothing if the image does not mount.
fn opened(image: &[u8], workspace: &Workspace, bounds: Bounds) -> Result<Option<Result<u64>>> {
    let file = in_memory(workspace);
    std::fs::write(&file, image)?;
    let dir = workspace.path("replayed");
    let Ok(mount) = Mount::new(&file, &dir, &["-o", "loop"]) else { return Ok(None) };
    let checked = check(&dir.join("store"), bounds);
    mount.unmount()?;
    std::fs::remove_file(&file)?;
    Ok(Some(checked))
}

fn in_memory(workspace: &Workspace) -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.exists() {
        shm.join(format!("duramen-torture-{}.img", std::process::id()))
    } else {
        workspace.path("replayed.img")
    }
}

/// The device fails some writes under a writer. The store is then opened on the same machine, whose
/// cache may show what was never written, and what is shown must survive a power cut.
pub(crate) fn failing(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let base = base(workspace)?;
    let mut random = Random(asked.seed ^ 0xe10);
    for run in 0..FAILURES * asked.scale {
        let disk = Disk::new(base.clone(), &workspace.dir("failing")?)?;
        let store = disk.dir.join("store");
        let feed = Feed { first: 0, most: 20_000, seed: random.number() };
        let mut writer = Writer::start(&[&asked.program], &store, feed, |_| {})?;
        let wanted = 1 + random.below(300);
        let mut waited = Duration::ZERO;
        while writer.acked() < wanted && waited < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_micros(200));
            waited += Duration::from_micros(200);
        }
        disk.tape().failing = if random.below(4) == 0 { 1000 } else { 1 + random.below(3) };
        // If the log was not hit, the program goes on.
        std::thread::sleep(Duration::from_millis(40));
        let _ = writer.kill();
        let (_, bounds) = writer.finish()?;
        {
            let mut tape = disk.tape();
            tape.failing = 0;
            tally.count("device errors", tape.failed);
        }
        tally.count("runs", 1);
        let mut bounds = bounds;
        match check(&store, bounds) {
            Ok(shown) => {
                tally.count("reopened", 1);
                bounds.acked = shown;
            }
            // The file system may have gone read-only, or the failed write was one of its own.
            Err(error) => {
                let why = format!("{error:#}");
                if why.contains("wrong") || why.contains("another one") || why.contains("leaves;") {
                    tally.found(format!("run {run} of seed {}, reopened: {why}", asked.seed));
                }
                tally.count("refused to reopen", 1);
            }
        }
        let image = {
            let tape = disk.tape();
            tape.image(tape.events.len(), || Kept::Nothing)
        };
        drop(disk);
        let Some(opened) = opened(&image, workspace, bounds)? else {
            // The writes of the file system's own that failed.
            tally.count("images that ext4 did not mount", 1);
            continue;
        };
        tally.count("images", 1);
        if let Err(error) = opened {
            tally.found(format!("run {run} of seed {}, after the cut: {error:#}", asked.seed));
        }
    }
    Ok(())
}
