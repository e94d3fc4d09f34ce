//! Exports in frames: their bytes, and everything that can be wrong with them.

use std::io;

use duramen::{Arity, Compression, EntryConfig, TreeName};

use super::super::header::{Chain, Header, LONGEST_ENTRY};
use super::super::input::Input;
use super::super::item::{Cause, Erased, Item};
use super::super::malformed::{Failure, Malformed, Part};
use super::*;

/// A small export, and where its parts begin.
const ENTRIES: [&[u8]; 4] = [b"one", b"", b"\0\xff", b"four"];
const ROOT: Hash = [7; 32];
const HEADER: u64 = 92 + 6 + 4 + 32;
const BLOCK: u64 = 8 + 4 * 4 + 9 + 32;

fn header() -> Header {
    Header {
        arity: Arity::Four,
        tree: 5,
        store: *b"0123456789abcdef",
        from: 10,
        to: 14,
        root: [3; 32],
        entries: EntryConfig::new()
            .longest(1000)
            .unwrap()
            .compression(Compression::zstd(3).unwrap()),
        hasher: "blake3".to_owned(),
        name: TreeName::new("logs").unwrap(),
    }
}

/// What an item has, so that it can be kept.
fn owned(item: Item<'_>) -> Vec<u8> {
    match item {
        Item::Entry(entry) => entry.to_vec(),
        Item::Erased(erased) => format!("{erased:?}").into_bytes(),
    }
}

fn export(header: &Header, entries: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, header).unwrap();
    entries.iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish(&ROOT).unwrap();
    bytes
}

/// The entries that a reader returns before it ends, and how it ends.
fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<Hash, Malformed>) {
    let mut found = Vec::new();
    let malformed = |failure| match failure {
        Failure::Malformed(malformed) => malformed,
        Failure::Read(error) => panic!("{error}"),
        Failure::Asked(signal) => panic!("{signal}"),
    };
    let mut reader = match Reader::new(Input::new(bytes)) {
        Ok(reader) => reader,
        Err(failure) => return (found, Err(malformed(failure))),
    };
    let mut next = reader.header().from;
    loop {
        match reader.read() {
            Ok(Piece::Entries(first, entries)) => {
                assert_eq!(first, next);
                next += entries.len() as u64;
                found.extend(entries.into_iter().map(owned));
            }
            Ok(Piece::End(root)) => return (found, Ok(root)),
            Err(failure) => return (found, Err(malformed(failure))),
        }
    }
}

/// The bytes with right checksums, whatever was done to them.
fn sealed(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut chain = Chain::start();
    let mut bytes = Vec::new();
    for part in parts {
        chain = chain.after(&[part]);
        bytes.extend(part);
        bytes.extend(chain.bytes());
    }
    bytes
}

/// The parts of the small export without their checksums.
fn parts() -> Vec<Vec<u8>> {
    let bytes = export(&header(), &ENTRIES);
    let (header, rest) = bytes.split_at(usize::try_from(HEADER).unwrap());
    let (block, end) = rest.split_at(usize::try_from(BLOCK).unwrap());
    [header, block, end].map(|part| part[..part.len() - 32].to_vec()).into()
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let golden = include_str!("../../../tests/golden/export.hex").replace('\n', "");
    assert_eq!(const_hex::encode(export(&header(), &ENTRIES)), golden);
}

#[test]
fn what_is_written_is_read_in_blocks_of_every_kind() {
    let long = vec![b'x'; 3 * BLOCK_BYTES];
    let short = vec![&b"short"[..]; 100_000];
    let several: [&[&[u8]]; 5] =
        [&[], &[b""], &[&long, b"", &long, &long], &short, &[&long[..BLOCK_BYTES - 4]]];
    for entries in several {
        let entry_config = EntryConfig::new().longest(LONGEST_ENTRY).unwrap();
        let to = 10 + entries.len() as u64;
        let bytes = export(&Header { to, entries: entry_config, ..header() }, entries);
        let (found, end) = read(&bytes);
        assert!(found == entries && end == Ok(ROOT));
    }
    let bytes = export(&header(), &ENTRIES);
    let reader = Reader::new(Input::new(&bytes[..])).map_err(|_| ()).unwrap();
    assert_eq!(*reader.header(), header());
}

/// What is left of an erased entry.
fn gone(reason: &str) -> Erased<'_> {
    Erased { leaf: [0xaa; 32], cause: Cause { at: 0x0102_0304, reason } }
}

#[test]
fn an_erased_entry_is_its_leaf_with_the_moment_and_the_reason() {
    let long = "ä".repeat(512);
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &header()).unwrap();
    writer.push(b"one").unwrap();
    writer.push_erased(&gone("")).unwrap();
    writer.push_erased(&gone(&long)).unwrap();
    writer.push(b"").unwrap();
    writer.finish(&ROOT).unwrap();
    let (found, end) = read(&bytes);
    let expected = [Item::Entry(b"one"), Item::Erased(gone("")), Item::Erased(gone(&long))];
    let expected: Vec<_> = expected.into_iter().chain([Item::Entry(b"")]).map(owned).collect();
    assert!(found == expected && end == Ok(ROOT));
    let head = usize::try_from(HEADER).unwrap() + 8 + 4 + 3;
    let fields = [&[0xff; 4][..], &[0xaa; 32], &[4, 3, 2, 1, 0, 0, 0, 0], &[0, 0]].concat();
    assert_eq!(bytes[head..head + 46], fields);
}

#[test]
fn an_erased_entry_that_no_writer_writes_is_refused_under_right_checksums() {
    let mut whole = Vec::new();
    let header = Header { to: 11, ..header() };
    let mut writer = Writer::new(&mut whole, &header).unwrap();
    writer.push_erased(&gone("why")).unwrap();
    writer.finish(&ROOT).unwrap();
    let (head, rest) = whole.split_at(usize::try_from(HEADER).unwrap());
    let (block, end) = rest.split_at(8 + 4 + 42 + 3 + 32);
    let parts = [head, block, end].map(|part| part[..part.len() - 32].to_vec());
    assert_eq!(read(&sealed(&parts)).1, Ok(ROOT));
    let at = 8 + 4;
    let cases: [(usize, &[u8], usize, &str); 5] = [
        (at + 39, &[1], at + 32, "moment of an erasure"),
        (at + 40, &[4], at + 40, "length of a reason"),
        (at + 40, &[1, 4], at + 40, "length of a reason"),
        (at + 40, &[2], at + 45, "length of an entry"),
        (at + 43, &[0xff], at + 42, "reason"),
    ];
    for (offset, bytes, place, name) in cases {
        let mut parts = parts.clone();
        parts[1][offset..offset + bytes.len()].copy_from_slice(bytes);
        match read(&sealed(&parts)).1 {
            Err(Malformed::Field { what, at, .. }) if name == "length of an entry" => {
                // Where the next entry should begin, which is not there.
                assert!(what == "end of the block" || what == name, "{what} at {at}");
            }
            Err(Malformed::Field { what, at, .. }) => {
                assert_eq!((what, at), (name, HEADER + place as u64));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut short = parts.clone();
    short[1].truncate(8 + 4 + 41);
    short[1][4..8].copy_from_slice(&45_u32.to_le_bytes());
    let error = read(&sealed(&short)).1;
    assert!(matches!(error, Err(Malformed::Field { what: "erased entry", .. })), "{error:?}");
}

#[test]
fn an_export_that_is_cut_anywhere_gives_its_whole_blocks_and_says_where_it_ends() {
    let bytes = export(&header(), &ENTRIES);
    for cut in 0..bytes.len() {
        let (found, error) = read(&bytes[..cut]);
        let end = cut as u64;
        let whole = end >= HEADER + BLOCK;
        assert_eq!(found.len(), if whole { 4 } else { 0 }, "{cut}");
        let torn = |part, start| Malformed::Torn { part, start, end };
        let expected = match end {
            0 => Malformed::Empty,
            HEADER => Malformed::NoEnd { end },
            _ if end == HEADER + BLOCK => Malformed::NoEnd { end },
            1..HEADER => torn(Part::Header, 0),
            _ if !whole => torn(Part::Block, HEADER),
            // What begins there is known from its head.
            _ if end < HEADER + BLOCK + 8 => torn(Part::Block, HEADER + BLOCK),
            _ => torn(Part::End, HEADER + BLOCK),
        };
        assert_eq!(error, Err(expected), "{cut}");
    }
}

#[test]
fn every_flipped_bit_is_noticed_and_no_entry_of_a_damaged_block_is_returned() {
    let bytes = export(&header(), &ENTRIES);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (found, end) = read(&bytes);
        let intact = bit as u64 / 8 >= HEADER + BLOCK;
        assert_eq!(found.len(), if intact { 4 } else { 0 }, "{bit}");
        assert!(end.is_err(), "{bit}");
    }
}

#[test]
fn parts_of_two_exports_and_parts_in_another_order_are_refused() {
    let two: Vec<&[u8]> = vec![&[b'x'; BLOCK_BYTES], &[b'y'; BLOCK_BYTES]];
    let entries = EntryConfig::new().longest(LONGEST_ENTRY).unwrap();
    let bytes = export(&Header { to: 12, entries, ..header() }, &two);
    let head = usize::try_from(HEADER).unwrap();
    let block = BLOCK_BYTES + 8 + 4 + 32;
    let (first, second) = (&bytes[head..head + block], &bytes[head + block..head + 2 * block]);
    let end = &bytes[head + 2 * block..];
    let joined = |parts: &[&[u8]]| read(&[&[&bytes[..head]], parts].concat().concat());
    assert_eq!(joined(&[first, second, end]).1, Ok(ROOT));
    let wrong = |start| Err(Malformed::Checksum { part: Part::Block, start });
    assert_eq!(joined(&[second, first, end]), (vec![], wrong(HEADER)));
    let (found, error) = joined(&[first, first, end]);
    assert_eq!((found.len(), error), (1, wrong(HEADER + block as u64)));
    let (found, error) = joined(&[first, end]);
    assert_eq!(found.len(), 1);
    assert!(matches!(error, Err(Malformed::Field { what: "number of entries", .. })), "{error:?}");
    // The same block of an export of another tree.
    let other = Header { to: 12, entries, tree: 6, ..header() };
    let other = &export(&other, &two)[head..head + block];
    assert_eq!(joined(&[other, second, end]), (vec![], wrong(HEADER)));
}

#[test]
fn what_no_writer_writes_is_refused_under_right_checksums() {
    let set = |part: usize, at: usize, bytes: &[u8]| {
        let mut parts = parts();
        parts[part][at..at + bytes.len()].copy_from_slice(bytes);
        read(&sealed(&parts)).1
    };
    assert_eq!(set(0, 0, b"d"), Ok(ROOT));
    let cases: [(usize, usize, &[u8], u64, &str); 14] = [
        (0, 10, &[3, 0], 10, "arity"),
        (0, 40, &[9], 40, "end of the entries"),
        (0, 80, &[0], 80, "settings of entries"),
        (0, 81, &[23], 80, "settings of entries"),
        (0, 82, &[1], 80, "settings of entries"),
        (0, 87, &[5], 80, "settings of entries"),
        (0, 92, b"B", 92, "name of the hash function"),
        (0, 98, b"/", 98, "name of the tree"),
        (1, 0, &[5], HEADER, "number of entries"),
        (1, 0, &[0], HEADER, "number of entries"),
        (1, 4, &[0, 0, 0, 1], HEADER + 4, "length of the block"),
        (1, 8, &[0xe9, 3], HEADER + 8, "length of an entry"),
        (1, 8, &[4], HEADER + 8 + 8, "length of an entry"),
        (2, 8, &[3], HEADER + BLOCK + 8, "number of entries in all"),
    ];
    for (part, offset, bytes, place, name) in cases {
        match set(part, offset, bytes) {
            Err(Malformed::Field { what, at, .. }) => assert_eq!((what, at), (name, place)),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(set(0, 8, &[1]), Err(Malformed::Version { found: 1, known: 2 }));
    assert_eq!(set(0, 7, b" "), Err(Malformed::NotFramed));
    // Fewer entries than the block has bytes for.
    let mut few = parts();
    (few[0][40], few[1][0]) = (13, 3);
    let error = read(&sealed(&few)).1;
    assert!(matches!(error, Err(Malformed::Field { what: "end of the block", .. })), "{error:?}");
    let behind = [sealed(&parts()), b"x".to_vec()].concat();
    assert_eq!(read(&behind).1, Err(Malformed::Behind { at: behind.len() as u64 - 1 }));
}

#[test]
fn many_entries_in_one_block_are_refused_before_they_fill_the_memory() {
    let entries = EntryConfig::new().longest(LONGEST_ENTRY).unwrap();
    let count = LONGEST_ENTRY / 4;
    let header = Header { to: 10 + u64::from(count), entries, ..header() }.encode().0;
    let mut block = count.to_le_bytes().to_vec();
    block.extend(LONGEST_ENTRY.to_le_bytes());
    block.resize(8 + LONGEST_ENTRY as usize, 0);
    let bytes = sealed(&[header[..header.len() - 32].to_vec(), block]);
    let error = read(&bytes).1;
    let Err(Malformed::Field { what: "length of an entry", at, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(at, HEADER + 8 + BLOCK_BYTES as u64);
}

#[test]
fn an_error_of_reading_is_not_taken_for_the_end() {
    struct Fails;
    impl io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no luck"))
        }
    }
    let bytes = export(&header(), &ENTRIES);
    for cut in 0..bytes.len() {
        let input = io::Read::chain(&bytes[..cut], Fails);
        let mut reader = match Reader::new(Input::new(input)) {
            Ok(reader) => reader,
            Err(failure) => {
                assert!(matches!(failure, Failure::Read(_)), "{cut}: {failure:?}");
                continue;
            }
        };
        let failure = loop {
            match reader.read() {
                Ok(Piece::Entries(..)) => {}
                Ok(Piece::End(_)) => panic!("{cut}"),
                Err(failure) => break failure,
            }
        };
        assert!(matches!(failure, Failure::Read(_)), "{cut}: {failure:?}");
    }
}
