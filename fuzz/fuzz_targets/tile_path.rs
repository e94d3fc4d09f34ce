//! Paths of tiles from hostile texts: what is read is written back, and its numbers never overflow.
#![no_main]

use duramen::tlog::tiles::LogPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(path) = text.parse::<LogPath>() else { return };
    assert_eq!(path.to_string(), text);
    if let LogPath::Tile(tile) = path {
        let end = tile.end_index();
        assert!(tile.start_index() <= end || end.is_none());
        assert!(!tile.is_within(0) && !tile.may_be_pruned(0));
        if tile.is_within(u64::MAX) {
            assert!(tile.start_index().is_some());
        }
    }
});
