//! Heads, proofs and frontiers from hostile JSON: what is read, written and read again is the same.
#![no_main]

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{Frontier, TreeHead};
use libfuzzer_sys::fuzz_target;

fn again<T>(bytes: &[u8])
where
    T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug,
{
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let text = serde_json::to_string(&value).unwrap_or_default();
    assert_eq!(serde_json::from_str::<T>(&text).ok(), Some(value));
}

fuzz_target!(|bytes: &[u8]| {
    again::<TreeHead>(bytes);
    again::<InclusionClaim>(bytes);
    again::<ConsistencyClaim>(bytes);
    again::<MultiClaim>(bytes);
    again::<Frontier>(bytes);
});
