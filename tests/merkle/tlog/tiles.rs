//! C2SP `tlog-tiles`.

use std::collections::BTreeSet;

use duramen::tlog::tiles::{
    BundleError, Bundles, EntryBundlePath, LogPath, MAX_ENTRY, PathError, TilePath, TileWidth,
    Tiles, hashes_at, partial_width, read_bundle, write_bundle,
};
use proptest::prelude::*;

use crate::tlog::model::{Tree, leaf, leaves, mth};

fn tile(text: &str) -> Result<TilePath, PathError> {
    text.parse()
}

fn width(hashes: u64) -> TileWidth {
    TileWidth::new(hashes).unwrap()
}

/// tlog-tiles, Merkle Tree: `<L>` is decimal, 0 to 63, without leading zeros.
#[test]
fn the_level_of_a_tile_is_0_to_63_without_leading_zeros() {
    for level in 0..=63 {
        assert_eq!(tile(&format!("tile/{level}/000")).unwrap().level(), level);
    }
    for level in [
        "64",
        "255",
        "256",
        "00",
        "01",
        "+1",
        "-1",
        " 1",
        "1 ",
        "",
        "x1",
        "٣",
        "18446744073709551616",
    ] {
        assert_eq!(tile(&format!("tile/{level}/000")), Err(PathError::Level), "{level}");
    }
    assert!(TilePath::new(63, 0, TileWidth::FULL).is_some());
    assert!(TilePath::new(64, 0, TileWidth::FULL).is_none());
}

/// tlog-tiles, Merkle Tree: `<N>` is in groups of three digits, all but the last with an `x`.
#[test]
fn the_index_of_a_tile_is_in_groups_of_three_digits_and_all_but_the_last_have_an_x() {
    for (index, text) in [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1000, "x001/000"),
        (1_234_067, "x001/x234/067"),
        (100_000_000, "x100/x000/000"),
        (u64::MAX, "x018/x446/x744/x073/x709/x551/615"),
    ] {
        let path = TilePath::new(0, index, TileWidth::FULL).unwrap();
        assert_eq!(path.to_string(), format!("tile/0/{text}"));
        assert_eq!(tile(&path.to_string()), Ok(path));
        let bundle = EntryBundlePath::new(index, width(3));
        assert_eq!(bundle.to_string(), format!("tile/entries/{text}.p/3"));
        assert_eq!(bundle.to_string().parse(), Ok(bundle));
    }
    for bad in [
        "",
        "0",
        "00",
        "0000",
        "x000",
        "x001",
        "001/234",
        "x001/x234",
        "x001/234/067",
        "x000/001",
        "x000/x001/000",
        "x1/000",
        "x0001/000",
        "X001/000",
        "x001//000",
        "x001/000/",
        "/000",
        "x-01/000",
        "+01",
        "0a0",
        "٣٣٣",
        "x018/x446/x744/x073/x709/x551/616",
        "x999/x018/x446/x744/x073/x709/x551/615",
        "000.p",
        "000.q/1",
        "../000",
        "x001/..",
        "000/../000",
        "%30%30%30",
        "000?",
        "000#",
        "000\n",
        "000\0",
    ] {
        assert_eq!(tile(&format!("tile/0/{bad}")), Err(PathError::Index), "{bad:?}");
        let bundle = format!("tile/entries/{bad}").parse::<EntryBundlePath>();
        assert_eq!(bundle, Err(PathError::Index), "{bad:?}");
    }
}

/// tlog-tiles, Merkle Tree: `<W>` is decimal, 1 to 255, without leading zeros, on partial tiles only.
#[test]
fn the_width_of_a_partial_tile_is_1_to_255_without_leading_zeros() {
    for hashes in 1..=255 {
        let path = tile(&format!("tile/1/x001/000.p/{hashes}")).unwrap();
        assert_eq!((path.width(), path.index()), (width(hashes), 1000));
    }
    for bad in
        ["0", "256", "257", "01", "00", "+1", "-1", "", " 1", "1 ", "1/", "1.p/1", "x1", "65537"]
    {
        assert_eq!(tile(&format!("tile/1/x001/000.p/{bad}")), Err(PathError::Width), "{bad:?}");
        let bundle = format!("tile/entries/000.p/{bad}").parse::<EntryBundlePath>();
        assert_eq!(bundle, Err(PathError::Width), "{bad:?}");
    }
    assert_eq!([0, 257, u64::MAX].map(TileWidth::new), [None; 3]);
    assert!(!tile("tile/1/000").unwrap().to_string().contains(".p"));
}

/// tlog-tiles, Checkpoints, Merkle Tree and Log entries: the three kinds of paths.
#[test]
fn a_path_is_the_checkpoint_a_tile_or_an_entry_bundle_and_nothing_else() {
    assert_eq!("checkpoint".parse(), Ok(LogPath::Checkpoint));
    for text in
        ["checkpoint", "tile/0/000", "tile/63/x001/000.p/255", "tile/entries/x001/x234/067.p/7"]
    {
        assert_eq!(text.parse::<LogPath>().unwrap().to_string(), text);
    }
    assert!(matches!("tile/entries/000".parse(), Ok(LogPath::Entries(_))));
    for bad in [
        "",
        "/",
        "/checkpoint",
        "checkpoint/",
        "Checkpoint",
        "checkpoint.p/1",
        "tile",
        "tile/",
        "tile/0",
        "tiles/0/000",
        "/tile/0/000",
        "tile//000",
        "entries/000",
        "tile/data/000",
        "tile/entries",
        "tile/Entries/000",
    ] {
        assert!(bad.parse::<LogPath>().is_err(), "{bad}");
    }
}

/// tlog-tiles, Partial Tiles: the example of 70,000 leaves, and that of 256.
#[test]
fn the_trees_of_the_examples_have_the_tiles_that_the_text_says() {
    let tiles: Vec<_> = Tiles::of(70_000).collect();
    let of = |level, full| {
        let tiles = tiles.iter().filter(move |tile| tile.level() == level);
        tiles.filter(|tile| tile.width().is_full() == full).count()
    };
    assert_eq!(
        [of(0, true), of(0, false), of(1, true), of(1, false), of(2, true), of(2, false)],
        [273, 1, 1, 1, 0, 1]
    );
    let partial = |level| partial_width(70_000, level).map(TileWidth::get);
    assert_eq!(
        [partial(0), partial(1), partial(2), partial(3)],
        [Some(112), Some(17), Some(1), None]
    );
    assert_eq!(tiles.len(), 277);
    let texts: Vec<_> = Tiles::of(256).map(|tile| tile.to_string()).collect();
    assert_eq!(texts, ["tile/0/000", "tile/1/000.p/1"]);
}

/// tlog-tiles, Partial Tiles: `floor(s / 256^l) mod 256`, and no empty tiles.
#[test]
fn a_tile_has_as_many_hashes_as_the_formula_says_and_an_empty_one_has_no_path() {
    let sizes =
        [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 1 << 24, (1 << 40) + 3, u64::MAX];
    for size in sizes {
        for level in 0..=63_u8 {
            let power = 256_u128.checked_pow(level.into());
            let hashes = power.map_or(0, |power| u128::from(size) / power);
            assert_eq!(u128::from(hashes_at(size, level)), hashes);
            let partial = u64::try_from(hashes % 256).unwrap();
            assert_eq!(partial_width(size, level), TileWidth::new(partial));
            let last = u64::try_from(hashes / 256).unwrap();
            assert_eq!(
                TilePath::at(size, level, last).map(TilePath::width),
                TileWidth::new(partial)
            );
            assert_eq!(TilePath::at(size, level, last + 1), None);
            assert_eq!(TilePath::at(size, level, u64::MAX), None);
            if last > 0 {
                let path = TilePath::at(size, level, last - 1).unwrap();
                assert!(path.width().is_full() && path.is_within(size));
            }
        }
    }
    assert_eq!(Tiles::of(0).count() + Bundles::of(0).count(), 0);
}

/// tlog-tiles, Merkle Tree: what the hashes of a tile are.
#[test]
fn a_tile_has_the_hashes_of_the_full_tiles_below_and_at_level_0_the_leaves() {
    let data: Vec<_> = (0..1_000_u32).map(|entry| leaf(&entry.to_be_bytes())).collect();
    let tree = Tree::new(&data);
    for path in Tiles::of(1000) {
        let Ok(hashes) = path.read(&tree);
        for (at, hash) in hashes.iter().enumerate() {
            let span = 256_usize.pow(path.level().into());
            let first = (usize::try_from(path.index()).unwrap() * 256 + at) * span;
            assert_eq!(*hash, mth(&data[first..first + span]), "{path}");
        }
    }
}

/// tlog-tiles, Partial Tiles: those of every size that had a checkpoint.
#[test]
fn the_partial_tiles_of_every_earlier_size_are_within_a_tree_and_those_of_later_ones_are_not() {
    for size in [1, 255, 256, 300, 512, 70_000] {
        for earlier in (0..=size).step_by(37).chain([size]) {
            assert!(Tiles::of(earlier).all(|tile| tile.is_within(size)));
            assert!(Bundles::of(earlier).all(|bundle| bundle.is_within(size)));
        }
        let within: BTreeSet<_> = Tiles::of(size).collect();
        for tile in Tiles::of(size + 300) {
            let now = within
                .iter()
                .find(|now| (now.level(), now.index()) == (tile.level(), tile.index()));
            assert_eq!(
                tile.is_within(size),
                now.is_some_and(|now| tile.width() <= now.width()),
                "{tile}"
            );
        }
    }
}

/// tlog-tiles, Pruning: end index at or below the minimum index, full tiles only.
#[test]
fn a_full_tile_may_be_pruned_once_its_end_is_not_above_the_minimum_index() {
    let (full, partial) = (tile("tile/1/002").unwrap(), tile("tile/1/002.p/255").unwrap());
    let (start, end) = (2 * 65_536, 3 * 65_536);
    assert_eq!((full.start_index(), full.end_index()), (Some(start), Some(end)));
    assert!(full.may_be_pruned(end) && full.may_be_pruned(u64::MAX));
    assert!(!full.may_be_pruned(end - 1) && !partial.may_be_pruned(u64::MAX));
    let bundle: EntryBundlePath = "tile/entries/002".parse().unwrap();
    assert_eq!((bundle.start_index(), bundle.end_index()), (Some(512), Some(768)));
    assert!(bundle.may_be_pruned(768) && !bundle.may_be_pruned(767));
    // Beyond 64 bits nothing is pruned and nothing overflows.
    for (level, index) in [(7, 1), (8, 0), (63, 0), (63, u64::MAX), (0, u64::MAX)] {
        let path = TilePath::new(level, index, TileWidth::FULL).unwrap();
        assert!(
            path.end_index().is_none()
                && !path.may_be_pruned(u64::MAX)
                && !path.is_within(u64::MAX)
        );
    }
}

/// tlog-tiles, Log entries: lengths of two bytes, big-endian; entries hash to the leaves of the tile.
#[test]
fn a_bundle_is_the_entries_of_its_tile_each_behind_its_length() {
    let entries: Vec<Vec<u8>> =
        (0..5_u8).map(|entry| vec![entry; usize::from(entry) * 100]).collect();
    let bundle = write_bundle(entries.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(bundle[..4], [0, 0, 0, 100]);
    assert_eq!(read_bundle(&bundle, width(5)).unwrap(), entries);
    assert_eq!(read_bundle(&bundle, width(6)), Err(BundleError::Fewer { expected: 6, found: 5 }));
    assert_eq!(read_bundle(&bundle, width(4)), Err(BundleError::More { expected: 4 }));
    for cut in 1..bundle.len() {
        let read = read_bundle(&bundle[..cut], width(5));
        assert!(matches!(read, Err(BundleError::Cut { .. } | BundleError::Fewer { .. })), "{cut}");
    }
    let longest = vec![1; MAX_ENTRY];
    let bundle = write_bundle([longest.as_slice()]).unwrap();
    assert_eq!(read_bundle(&bundle, width(1)).unwrap(), [longest.as_slice()]);
    let refused = write_bundle([[0; MAX_ENTRY + 1].as_slice()]);
    assert_eq!(refused, Err(BundleError::LongEntry { most: MAX_ENTRY, found: MAX_ENTRY + 1 }));
    let path = EntryBundlePath::at(5, 0).unwrap();
    assert_eq!(path.leaves(), TilePath::at(5, 0, 0).unwrap());
    let tree = Tree::new(&leaves(5));
    let Ok(hashes) = path.leaves().read(&tree);
    assert_eq!(hashes, (0..5).map(|data| leaf(&[data])).collect::<Vec<_>>());
}

#[test]
fn a_tile_that_tlog_tiles_names_has_our_index_and_width() {
    // The crate has the paths of Go's checksum database: their height comes first.
    for index in [0, 7, 999, 1000, 1_234_067, u64::from(u32::MAX)] {
        for hashes in [1, 100, 256] {
            let theirs = tlog_tiles::Tile::new(8, 3, index, hashes, false).path();
            let ours = TilePath::new(3, index, width(hashes.into())).unwrap().to_string();
            assert_eq!(theirs.replacen("tile/8/", "tile/", 1), ours);
        }
    }
}

proptest! {
    #[test]
    fn every_path_reads_back_and_what_is_read_is_written_back(
        level in 0..=63_u8, bits in 0_u32..64, index in any::<u64>(), hashes in 1..=256_u64,
        text in "(tile/)?([0-9]{1,2}|entries)/(x[0-9]{3}/){0,2}[0-9]{3}(\\.p/[0-9]{1,3})?",
    ) {
        let path = TilePath::new(level, index >> bits, width(hashes)).unwrap();
        prop_assert_eq!(tile(&path.to_string()), Ok(path));
        if let Ok(path) = text.parse::<LogPath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn reading_any_text_as_a_path_is_total(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = text.parse::<LogPath>();
        if let Ok(entries) = read_bundle(&bytes, width(3)) {
            prop_assert_eq!(write_bundle(entries).unwrap(), bytes);
        }
    }

    #[test]
    fn the_tiles_between_two_sizes_are_those_that_only_the_larger_one_has(
        old in 0_u64..200_000, more in 0_u64..70_000,
    ) {
        let new = old + more;
        let before: BTreeSet<_> = Tiles::of(old).collect();
        let after: Vec<_> = Tiles::of(new).filter(|tile| !before.contains(tile)).collect();
        prop_assert_eq!(Tiles::between(old, new).collect::<Vec<_>>(), after);
        let before: BTreeSet<_> = Bundles::of(old).collect();
        let after: Vec<_> = Bundles::of(new).filter(|bundle| !before.contains(bundle)).collect();
        prop_assert_eq!(Bundles::between(old, new).collect::<Vec<_>>(), after);
        prop_assert_eq!(Tiles::between(new, old).count(), 0);
    }
}
