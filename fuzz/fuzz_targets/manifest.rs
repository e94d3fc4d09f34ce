//! Manifests from hostile bytes, as they are and with a checksum that fits.
#![no_main]

use duramen::testing::hostile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hostile::manifest(bytes);
    let mut fixed = bytes.to_vec();
    hostile::fix_manifest(&mut fixed);
    let _ = hostile::manifest(&fixed);
});
