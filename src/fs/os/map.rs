//! Mapping a file into memory.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

#[expect(unsafe_code, reason = "the compiler cannot see that the file does not change")]
pub(super) fn map(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the slice a mapping gives out must not change. Everything the store maps is complete:
    // no part of it is written while the mapping lives, which `File::map` demands of its caller, and
    // the store's lock keeps other stores' writers out. What is left is another program that changes
    // or truncates the file meanwhile; the store's permissions are for its owner alone, and a program
    // that cannot trust the disk that far uses `ReadMode::Pread`.
    unsafe { MmapOptions::new().len(len).map(file) }
}
