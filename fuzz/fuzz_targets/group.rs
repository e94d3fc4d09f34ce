//! Groups of the log from hostile bytes, as they are and with checksums that fit.
#![no_main]

use duramen::testing::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::group(bytes);
    let mut fixed = bytes.to_vec();
    hostile::fix_group(&mut fixed);
    let _ = hostile::group(&fixed);
});
