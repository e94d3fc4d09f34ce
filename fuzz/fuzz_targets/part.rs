//! Parts from hostile bytes, as they are and with checksums that fit: opened, and every node read.
//!
//! The bytes are a header and what follows; they are filled up to the length that a small part has, so
//! that not every input is refused for its length.
#![no_main]

use duramen::testing::hostile;
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::part(bytes);
    // The start of each block, in turn.
    for blocks in 3..=8 {
        let mut file = vec![0; blocks * BLOCK];
        for (block, piece) in
            file.chunks_mut(BLOCK).zip(bytes.chunks(bytes.len().div_ceil(blocks).max(1)))
        {
            let len = piece.len().min(BLOCK);
            block[..len].copy_from_slice(&piece[..len]);
        }
        hostile::fix_part(&mut file);
        let _ = hostile::part(&file);
    }
});
