//! Policies from hostile bytes: what is read is written and read again as the same, and one more witness never makes
//! a quorum less.
#![no_main]

use duramen::tlog::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::read(bytes) else { return };
    assert_eq!(Policy::read(&policy.to_bytes()).as_ref(), Ok(&policy));
    let mut cosigned = vec![false; policy.witnesses().len()];
    let mut reached = policy.is_reached(&cosigned);
    for at in 0..cosigned.len() {
        cosigned[at] = true;
        let now = policy.is_reached(&cosigned);
        assert!(now || !reached);
        reached = now;
    }
    assert!(reached, "all witnesses are enough for every quorum");
});
