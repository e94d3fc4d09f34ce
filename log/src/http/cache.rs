//! Tiles and bundles that were asked for lately, so that they are answered without a read of the store.
//!
//! A tile never changes, so nothing here is wrong before an entry is erased; then all is [forgotten](Cache::clear). When the cache is full, the oldest goes that was not asked for
//! again since it came, or since it was passed over.
//!
//! # Invariants
//!
//! - The bytes that are kept are at most the limit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What a tile is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `None` is a bundle of entries.
    pub(super) level: Option<u8>,
    pub(super) index: u64,
    pub(super) width: u16,
}

/// Locks of their own keep requests from waiting for each other.
const SHARDS: usize = 16;
/// What an item takes beside its bytes.
const OVERHEAD: usize = 128;

#[derive(Debug, Default)]
struct Shard {
    kept: HashMap<Key, Kept>,
    /// In the order in which they came.
    order: VecDeque<Key>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    again: bool,
}

/// Tiles in memory.
#[derive(Debug)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    most: usize,
}

impl Cache {
    /// A cache of at most `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self { shards: Default::default(), most: bytes / SHARDS }
    }

    pub(super) fn get(&self, key: Key) -> Option<Bytes> {
        let mut shard = self.shard(key);
        let kept = shard.kept.get_mut(&key)?;
        kept.again = true;
        Some(kept.bytes.clone())
    }

    /// Keeps what is not too large.
    pub(super) fn put(&self, key: Key, bytes: &Bytes) {
        let len = bytes.len() + OVERHEAD;
        // One item must not replace everything else.
        if len > self.most / 4 {
            return;
        }
        let mut shard = self.shard(key);
        if shard.kept.contains_key(&key) {
            return;
        }
        while shard.bytes + len > self.most {
            let Some(oldest) = shard.order.pop_front() else { return };
            match shard.kept.get_mut(&oldest) {
                Some(kept) if kept.again => {
                    kept.again = false;
                    shard.order.push_back(oldest);
                }
                _ => {
                    let gone = shard.kept.remove(&oldest).map_or(0, |kept| kept.bytes.len());
                    shard.bytes -= gone + OVERHEAD;
                }
            }
        }
        shard.bytes += len;
        shard.order.push_back(key);
        shard.kept.insert(key, Kept { bytes: bytes.clone(), again: false });
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let level = u64::from(key.level.unwrap_or(u8::MAX));
        let place =
            key.index.wrapping_add(level).wrapping_add(u64::from(key.width)) % SHARDS as u64;
        #[expect(clippy::cast_possible_truncation, reason = "it is less than the number of shards")]
        let shard = &self.shards[place as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u64) -> Key {
        Key { level: Some(0), index: index * SHARDS as u64, width: 256 }
    }

    #[test]
    fn what_is_asked_for_again_stays_and_the_bytes_are_bounded() {
        let most = SHARDS * 10 * (1000 + OVERHEAD);
        let cache = Cache::new(most);
        let bytes = Bytes::from(vec![7; 1000]);
        for index in 0..100 {
            cache.put(key(index), &bytes);
            assert!(cache.bytes() <= most / SHARDS, "all are in one shard");
            assert_eq!(cache.get(key(0)), Some(bytes.clone()), "{index}");
        }
        assert_eq!(cache.get(key(50)), None);
        assert!((91..100).all(|index| cache.get(key(index)).is_some()));
    }

    #[test]
    fn a_tile_of_another_level_or_width_is_another_one() {
        let cache = Cache::new(1 << 20);
        let keys = [
            key(0),
            Key { level: Some(1), ..key(0) },
            Key { level: None, ..key(0) },
            Key { width: 1, ..key(0) },
            key(1),
        ];
        for (place, key) in keys.into_iter().enumerate() {
            assert_eq!(cache.get(key), None);
            cache.put(key, &Bytes::from(place.to_string()));
        }
        for (place, key) in keys.into_iter().enumerate() {
            assert_eq!(cache.get(key), Some(Bytes::from(place.to_string())));
        }
    }

    #[test]
    fn what_would_replace_everything_is_not_kept() {
        let cache = Cache::new(SHARDS * 1000);
        cache.put(key(0), &Bytes::from(vec![0; 500]));
        assert_eq!((cache.get(key(0)), cache.bytes()), (None, 0));
    }
}
