//! COSE receipts from hostile bytes: reading and verification are total, and what is read keeps its bytes.
#![no_main]

use duramen::TreeHead;
use duramen::tlog::cose::{ConsistencyReceipt, InclusionReceipt};
use duramen::tlog::{Ed25519Key, Signer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let key = Ed25519Key::from_secret(&[5; 32]).public_key();
    if let Ok(receipt) = InclusionReceipt::read(bytes) {
        assert_eq!(receipt.as_bytes(), bytes);
        let _ = receipt.verify(&key, &[1; 32]);
    }
    if let Ok(receipt) = ConsistencyReceipt::read(bytes) {
        assert_eq!(receipt.as_bytes(), bytes);
        let _ = receipt.verify(&key, &TreeHead { size: receipt.old_size(), root: [1; 32] });
    }
});
