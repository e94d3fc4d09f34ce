//! The simulated disk loses what it may lose, keeps what it must keep, and fails on demand.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test panics when a call fails")]

mod bytes;
mod fault;
mod model;
mod names;
mod replay;

use std::io::IoSlice;
use std::sync::Arc;

use duramen::fs::{ByteOffset, File, FileKind, FileName, FileSystem};
use duramen::testing::sim::{CrashChoice, SimDisk};

const SEGMENT: FileName = FileName::new(FileKind::Segment, 1);
const PART: FileName = FileName::new(FileKind::Part, 1);

/// A disk with its directories.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    disk
}

/// A file whose bytes and name are durable.
fn synced(disk: &SimDisk, name: FileName, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create(name).unwrap();
    write(&*file, 0, bytes);
    file.sync().unwrap();
    disk.sync_dir(name.dir()).unwrap();
    file
}

fn write(file: &dyn File, at: u64, bytes: &[u8]) {
    file.write_at(ByteOffset(at), &mut [IoSlice::new(bytes)]).unwrap();
}

fn try_write(file: &dyn File, at: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.write_at(ByteOffset(at), &mut [IoSlice::new(bytes)])
}

/// Nothing, everything, and `seeds` subsets.
fn choices(seeds: u64) -> Vec<CrashChoice> {
    let plain = [CrashChoice::NothingKept, CrashChoice::AllKept];
    plain.into_iter().chain((0..seeds).map(CrashChoice::Seeded)).collect()
}

/// What crashes of the disk leave of a file, once per choice.
fn left(disk: &SimDisk, name: FileName, seeds: u64) -> Vec<Option<Vec<u8>>> {
    choices(seeds).into_iter().map(|choice| disk.crash(choice).read(name)).collect()
}
