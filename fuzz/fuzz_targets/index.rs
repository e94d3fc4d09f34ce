//! Indexes of parts with hostile bytes and checksums that fit: searched in both modes. A search may lose leaves, and never
//! makes one up.
#![no_main]

use duramen::testing::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::index(bytes);
});
