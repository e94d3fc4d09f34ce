//! Frontiers from hostile bytes: decoding is canonical, and what was decoded appends and gives roots.
#![no_main]

use duramen::merkle::codec::Header;
use duramen::{Blake3, Frontier, Hasher};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::read(bytes) else { return };
    let Ok(mut frontier) = Frontier::decode(bytes, Blake3.id(), header.arity) else { return };
    assert_eq!(frontier.encode(Blake3.id()), bytes);
    let before = frontier.head(&Blake3);
    for leaf in 0..20 {
        let appended = frontier.append(&Blake3, [leaf; 32]);
        assert_eq!(appended.is_ok(), before.size.get() < u64::MAX - u64::from(leaf));
    }
    let again = Frontier::decode(&frontier.encode(Blake3.id()), Blake3.id(), header.arity);
    assert_eq!(again.as_ref(), Ok(&frontier));
});
