//! A disk in memory that loses what a power cut may lose, and fails on demand.
//!
//! [`SimDisk`] keeps the contract of the [seam](crate::fs) and not a bit more. What was not synced is
//! really lost by [`SimDisk::crash`], or kept, or torn, in every combination that real disks and file
//! systems have shown, and in many that they rarely show:
//!
//! - a file's bytes, its length and its name are apart: each may be durable without the others;
//! - each sector of 512 bytes is decided for itself. It may be old, new, anything it was in between,
//!   torn within, or zero where it was written. Bytes that no unsynced write changed are never touched,
//!   even if they share a sector with some that were;
//! - each file's name is decided for itself: a name that was created, renamed or removed is certain
//!   only after a `sync_dir`. A rename leaves one name or the other;
//! - a sync that fails leaves its sectors clean and not durable. They can be read until
//!   [`File::drop_cache`](crate::fs::File::drop_cache) or a crash, and no later sync brings them back,
//!   unless they are written again. The same goes for names after a failed `sync_dir`.
//!
//! The disk has no threads, no clock and no randomness of its own: the same calls with the same seeds
//! leave the same bytes, and [`SimDisk::trace`] shows whether the calls were the same.
//!
//! # How to torture with it
//!
//! Let your code run on a disk that [records](SimDisk::record). Then go through all moments of that
//! run, cut the power there in many ways, start your code again on what is left, and look whether it
//! kept its promises. A failure is named by two numbers: the moment and the seed.
//!
//! ```
//! use std::io::{self, IoSlice};
//!
//! use duramen::testing::sim::{CrashChoice, SimDisk};
//! use duramen::fs::{Access, ByteOffset, FileKind, FileName, FileSystem};
//!
//! const FILE: FileName = FileName::new(FileKind::Part, 1);
//!
//! /// The code to be tortured. It promises that the file has all of its bytes once it is there.
//! fn publish(disk: &SimDisk) -> io::Result<()> {
//!     disk.make_dirs()?;
//!     let file = disk.create(FILE.tmp())?;
//!     file.write_at(ByteOffset(0), &mut [IoSlice::new(&[7; 2000])])?;
//!     file.sync()?; // without this line the promise is broken, and the loop below finds out
//!     disk.rename(FILE.tmp(), FILE)?;
//!     disk.sync_dir(FILE.dir())
//! }
//!
//! let disk = SimDisk::new();
//! disk.record();
//! publish(&disk)?;
//!
//! let mut choices = vec![CrashChoice::NothingKept, CrashChoice::AllKept];
//! choices.extend((0..32).map(CrashChoice::Seeded));
//! for moment in 0..=disk.operations() {
//!     for choice in &choices {
//!         let left = disk.crash_at(moment, *choice).expect("this moment is recorded");
//!         match left.open(FILE, Access::Read) {
//!             Ok(file) => {
//!                 let mut bytes = [0; 2000];
//!                 file.read_at(ByteOffset(0), &mut bytes)?;
//!                 assert_eq!(bytes, [7; 2000], "after operation {moment}, {choice:?}");
//!             }
//!             Err(_) => assert!(moment < disk.operations(), "lost with {choice:?}"),
//!         }
//!     }
//! }
//! # Ok::<(), io::Error>(())
//! ```
//!
//! Two more ways to cut: [`SimDisk::stop_after`] lets your code see the end of the disk, as the last
//! calls of a dying machine do, and [`SimDisk::kill`] ends the process and keeps the page cache. A
//! crash of a crashed disk tests recovery.
//!
//! [`SimDisk::inject`] lets operations fail, once or for ever, with any error, and with any part of
//! their effect; [`SimDisk::fail_reads`] does so for reads, [`SimDisk::limit_space`] fills the disk, and
//! [`SimDisk::hold`] makes a call wait, which shows what your other threads do meanwhile:
//!
//! ```
//! use duramen::testing::sim::{CrashChoice, Fault, FaultError, OperationKind, SimDisk, When};
//! use duramen::fs::{FileKind, FileName, FileSystem};
//!
//! let disk = SimDisk::new();
//! disk.make_dirs()?;
//! let log = disk.create(FileName::new(FileKind::Segment, 1))?;
//!
//! let second_sync = When::nth(OperationKind::Sync, 2).on(FileKind::Segment);
//! disk.inject(Fault::new(second_sync, FaultError::EIO).keeping(CrashChoice::Seeded(1)));
//! log.sync()?;
//! assert_eq!(log.sync().unwrap_err().raw_os_error(), Some(5));
//! log.sync()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A test that moves a store's directory away under the store does so with a [`SimPath`], and with
//! [`SimDisk::replace_dir`] and [`SimDisk::remove_lock_file`].
//!
//! A test of a harness, and not of the engine, puts a [`Faulty`](super::faulty::Faulty) file system
//! between the two.
//!
//! # What it does not model
//!
//! The status file is no operation: no fault meets it, and a power cut takes it.
//!
//! Names are kept or lost file by file, but not the order between them that journals give. A torn
//! sector is torn once. Read errors do not come and go. Reordering across a sync does not happen: a
//! sync that succeeds keeps its promise, so a device that lies about its cache is not in here.

mod choice;
mod contents;
mod disk;
mod fault;
mod file;
mod identity;
mod image;
mod inode;
mod names;
mod operation;
mod path;
mod place;
mod state;
mod status;
mod tamper;
mod watch;

pub use choice::CrashChoice;
pub use disk::{HeldReads, Hold, SimDisk};
pub use fault::{Fault, FaultError};
pub use operation::{Operation, OperationKind, When};
pub use path::SimPath;
