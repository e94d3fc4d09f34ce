//! Mapping a file into memory.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

#[expect(unsafe_code, reason = "the compiler cannot see that nobody changes the file")]
pub(super) fn map(file: &File, len: usize) -> io::Result<Mmap> {
    // SAFETY: the slice a mapping gives out must not change. Everything the store maps is complete:
    // no part of it is written while the mapping lives, which `File::map` demands of its caller, and
    // the store's lock keeps other stores' writers out. What is left is somebody outside the store
    // who changes or truncates the file meanwhile; the store's permissions are for its owner alone,
    // and who cannot trust the disk that far reads instead of mapping.
    unsafe { MmapOptions::new().len(len).map(file) }
}
