//! Erased entries on a real file system: a compaction leaves none of their bytes on the device.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use duramen::{
    Blake3, CheckpointPolicy, Compact, CompactionPolicy, Config, DynAccumulator, EntryConfig,
    Error, FlushPolicy, Store, TreeConfig,
};

/// The file systems, with the bytes of a device. Those that write in place.
const SYSTEMS: [(&[&str], u64); 2] =
    [(&["mkfs.ext4", "-q", "-F"], 64 << 20), (&["mkfs.xfs", "-q", "-f"], 320 << 20)];

const ENTRIES: u64 = 3000;

/// A file with a file system, mounted until this is dropped.
struct Device {
    image: PathBuf,
    mounted: PathBuf,
    is_mounted: bool,
}

fn tool(line: &[&str], paths: &[&Path]) -> Result<(), String> {
    let mut command = Command::new(line[0]);
    let done = command.args(&line[1..]).args(paths).output();
    match done.map_err(|error| error.to_string()) {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) => Err(error),
    }
}

impl Device {
    fn new(dir: &Path, make: &[&str], bytes: u64) -> Result<Self, String> {
        let (image, mounted) = (dir.join("image"), dir.join("mounted"));
        File::create(&image).and_then(|file| file.set_len(bytes)).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        tool(make, &[&image])?;
        tool(&["mount", "-o", "loop"], &[&image, &mounted])?;
        Ok(Self { image, mounted, is_mounted: true })
    }

    /// Everything that is on the device, without the page cache in between.
    fn unmounted(&mut self) {
        // A child that another test has forked has the files open until it ends.
        let mut done = tool(&["umount"], &[&self.mounted]);
        for _ in 0..6000 {
            if done.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            done = tool(&["umount"], &[&self.mounted]);
        }
        done.unwrap();
        self.is_mounted = false;
    }

    fn mount(&mut self) {
        tool(&["mount", "-o", "loop"], &[&self.image, &self.mounted]).unwrap();
        self.is_mounted = true;
    }

    /// The entries with bytes on the device.
    fn entries(&self) -> BTreeSet<u64> {
        let bytes = std::fs::read(&self.image).unwrap();
        let mut found = BTreeSet::new();
        for at in 0..bytes.len().saturating_sub(MARK.len()) {
            if bytes[at] == MARK[0]
                && let Some(rest) = bytes[at..].strip_prefix(MARK)
                && let Some(number) = rest.get(..5).and_then(|digits| str::from_utf8(digits).ok())
                && let Ok(number) = number.parse()
            {
                found.insert(number);
            }
        }
        found
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = tool(&["umount", "-l"], &[&self.mounted]);
        }
    }
}

/// What every entry begins with.
const MARK: &[u8] = b"\x01secret of number ";

fn entry(number: u64) -> Vec<u8> {
    let len = 60 + usize::try_from(number % 200).unwrap();
    let mut entry = [MARK, format!("{number:05}").as_bytes()].concat();
    entry.resize(len, b'.');
    entry
}

fn open(dir: &Path) -> (Store, DynAccumulator) {
    let config = Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off)
        .wal_segment_bytes(64 << 10)
        .unwrap();
    let store = Store::open(config).unwrap();
    let kept = TreeConfig::of::<Blake3, 4>().entries(EntryConfig::new());
    let tree = store.tree_dyn("log", kept).unwrap();
    (store, tree)
}

fn insert(tree: &DynAccumulator, range: std::ops::Range<u64>) {
    for from in range.clone().step_by(100) {
        let entries: Vec<_> = (from..range.end.min(from + 100)).map(entry).collect();
        drop(tree.insert_entries(&entries).unwrap());
    }
}

#[test]
fn after_a_compaction_no_block_of_the_device_has_an_erased_entry() {
    for (make, bytes) in SYSTEMS {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut device = match Device::new(dir.path(), make, bytes) {
            Ok(device) => device,
            Err(why) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED: erased entries on {}, which only root can mount: {why}",
                    make[0].trim_start_matches("mkfs.")
                );
                continue;
            }
        };
        let path = device.mounted.join("store");
        let (store, tree) = open(&path);
        // In three parts, and in the log.
        for from in [0, 800, 1600] {
            insert(&tree, from..from + 800);
            store.checkpoint().unwrap();
        }
        insert(&tree, 2400..ENTRIES);
        store.flush().unwrap();
        let head = tree.head().unwrap();
        drop(tree);
        store.close().unwrap();
        device.unmounted();
        assert_eq!(device.entries(), (0..ENTRIES).collect(), "they are there before");

        device.mount();
        let (store, tree) = open(&path);
        let erased = [0..1, 255..257, 790..810, 2000..2001, 2399..2500, ENTRIES - 1..ENTRIES];
        tree.erase(erased.clone(), "asked for").unwrap().wait_timeout(Duration::ZERO).unwrap();
        let mut done = store.compact(Compact::new()).unwrap();
        assert_eq!(done.parts, 3, "{done:?}");
        for _ in 0..6000 {
            if done.pinned_files == 0 {
                break;
            }
            // The same child reads the old parts.
            std::thread::sleep(Duration::from_millis(10));
            done = store.compact(Compact::new()).unwrap();
        }
        assert_eq!(done.pinned_files, 0, "{done:?}");
        // The log and parts go on where old files were.
        insert(&tree, ENTRIES..ENTRIES + 500);
        store.checkpoint().unwrap();
        drop(tree);
        store.close().unwrap();
        device.unmounted();
        let is_erased = |index: &u64| erased.iter().any(|range| range.contains(index));
        let kept: BTreeSet<_> = (0..ENTRIES + 500).filter(|index| !is_erased(index)).collect();
        assert_eq!(device.entries(), kept, "on {make:?}");

        device.mount();
        let (store, tree) = open(&path);
        for index in 0..ENTRIES + 500 {
            match tree.entry(index) {
                Ok(found) => assert!(kept.contains(&index) && found[..] == entry(index)),
                Err(Error::Erased { .. }) => assert!(!kept.contains(&index)),
                Err(error) => panic!("entry {index}: {error}"),
            }
        }
        assert_eq!(tree.head_at(ENTRIES).unwrap(), head);
        drop(tree);
        store.close().unwrap();
        device.unmounted();
    }
}
