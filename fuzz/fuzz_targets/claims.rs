//! Claims from hostile bytes: decoding is total and canonical, verification is total, and nothing
//! verifies under a head that is not the root of anything.
#![no_main]

use duramen::merkle::codec::{ConsistencyClaim, Header, InclusionClaim, Kind, MultiClaim};
use duramen::{Arity, Blake3, Hasher, Rfc6962Sha256, TreeHead, TreeSize};
use libfuzzer_sys::fuzz_target;

fn head(size: TreeSize) -> TreeHead {
    TreeHead { size, root: [0x5a; 32] }
}

fn check(bytes: &[u8], hasher: &dyn Hasher, arity: Arity) {
    let id = hasher.id();
    if let Ok(claim) = InclusionClaim::decode(bytes, id, arity) {
        assert_eq!(claim.encode(id, arity).as_deref(), Ok(bytes));
        let (head, index) = (head(claim.size), claim.index);
        assert!(claim.verify(hasher, arity, &head, index, &[1; 32]).is_err());
    }
    if let Ok(claim) = ConsistencyClaim::decode(bytes, id, arity) {
        assert_eq!(claim.encode(id, arity).as_deref(), Ok(bytes));
        let (old, mut new) = (head(claim.old), head(claim.new));
        new.root = [0xa5; 32];
        assert!(claim.verify(hasher, arity, &old, &new).is_err());
    }
    if let Ok(claim) = MultiClaim::decode(bytes, id, arity) {
        assert_eq!(claim.encode(id, arity).as_deref(), Ok(bytes));
        let leaves: Vec<_> = claim.indexes.iter().map(|index| (*index, [1; 32])).collect();
        assert!(claim.verify(hasher, arity, &head(claim.size), &leaves).is_err());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::read(bytes) else { return };
    if header.kind == Kind::Frontier {
        return;
    }
    match header.hasher {
        "blake3" => check(bytes, &Blake3, header.arity),
        _ => check(bytes, &Rfc6962Sha256, header.arity),
    }
});
