//! What a proof reads from the disk when nothing of the part is in memory.

use std::path::Path;

use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, FlushPolicy, Hash, LeafIndex};

const LEAVES: u64 = 2_000_000;
const PAGE: u64 = 4096;

fn leaf(index: u64) -> Hash {
    let mut leaf = [0; 32];
    leaf[..8].copy_from_slice(&index.to_le_bytes());
    leaf
}

fn open(path: &Path) -> Accumulator<Blake3, 4> {
    let config = Config::new(path)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    Accumulator::open(config).unwrap()
}

/// Takes every page of the parts out of the page cache; nothing must have mapped them.
fn drop_pages(store: &Path) {
    for part in std::fs::read_dir(store.join("parts")).unwrap() {
        let part = std::fs::File::open(part.unwrap().path()).unwrap();
        part.sync_all().unwrap();
        rustix::fs::fadvise(&part, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

/// How many pages this thread has had fetched from storage since it began.
fn pages_read() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes: "))?;
    Some(bytes.parse::<u64>().ok()? / PAGE)
}

#[test]
fn a_cold_proof_fetches_at_most_one_page_per_level() {
    // Where the build is there is a disk; the place for temporary files may be in memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("store");
    let leaves: Vec<Hash> = (0..LEAVES).map(leaf).collect();
    let store = open(&path);
    store.insert_many(&leaves).unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();

    drop_pages(&path);
    let before = pages_read();
    let store = open(&path);
    let snapshot = store.snapshot();
    let head = snapshot.head().unwrap();
    let opened = pages_read().zip(before).map(|(after, before)| after - before);
    let Some(opened) = opened.filter(|pages| *pages > 0) else {
        eprintln!("SKIPPED: reads of this file system are not counted, or it is in memory");
        return;
    };
    eprintln!("opening and the head of {LEAVES} leaves: {opened} pages");

    let depth = 11; // 4^10 < 2,000,000 <= 4^11
    let step = LEAVES / 16;
    let prove = |index: u64| {
        let before = pages_read().unwrap();
        let proof = snapshot.prove(index).unwrap();
        let pages = pages_read().unwrap() - before;
        proof.verify(&Blake3, duramen::Arity::Four, &head, LeafIndex(index), &leaf(index)).unwrap();
        pages
    };
    // The upper levels are in memory since the head was folded. The first proof in a stretch of the
    // tree fetches the pages with the checksums of what it reads in their stead: one for 1,024 pages.
    let first: Vec<u64> = (0..16).map(|n| prove(n * step)).collect();
    eprintln!("16 proofs in as many places: {first:?} pages");
    let second: Vec<u64> = (0..16).map(|n| prove(n * step + step / 2)).collect();
    eprintln!("16 more between them: {second:?} pages");
    assert!(first.iter().chain(&second).any(|pages| *pages > 0), "some of them were cold");
    assert!(first.iter().all(|pages| *pages <= depth), "{first:?}");
    assert!(second.iter().all(|pages| *pages <= depth), "{second:?}");
}
