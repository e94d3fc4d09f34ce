//! How much memory nodes take, as the operating system and the allocator count it, and that checkpoints
//! give it back.

use duramen::{
    Accumulator, Blake3, CheckpointPolicy, CompactionPolicy, Config, FlushPolicy,
    MemoryAccumulator, Store,
};

use crate::{ALLOCATOR, alone, ran_apart};

/// Bytes of this kind in one of the process's accounts in `/proc`.
fn account(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Memory of the process that no file backs.
fn anonymous() -> u64 {
    account("/proc/self/status", "RssAnon")
}

fn huge() -> u64 {
    account("/proc/self/smaps_rollup", "AnonHugePages")
}

/// Whether the system gives huge pages on request.
fn gives_huge_pages() -> bool {
    let setting = "/sys/kernel/mm/transparent_hugepage/enabled";
    std::fs::read_to_string(setting).is_ok_and(|text| text.contains("[madvise]"))
}

/// How many maps the process has; the system allows it some ten thousand.
fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// How many threads the process has, and how many open files.
fn threads_and_files() -> [usize; 2] {
    ["/proc/self/task", "/proc/self/fd"].map(|dir| std::fs::read_dir(dir).unwrap().count())
}

#[test]
fn ten_thousand_small_trees_take_a_few_hundred_bytes_each_beside_their_leaves_and_no_maps() {
    const TREES: usize = 10_000;
    let _alone = alone();
    if ran_apart() {
        return;
    }
    for (leaves, most) in [(1, 1 << 10), (10, 2 << 10), (100, 10 << 10)] {
        let leaves = testkit::stores::leaves(leaves, 1);
        let (bytes, pages, maps_before) = (ALLOCATOR.live(), anonymous(), maps());
        let tree = |_| {
            let mut tree = MemoryAccumulator::<duramen::Blake3, 4>::new();
            for leaf in &leaves {
                tree.push(*leaf).unwrap();
            }
            tree.head().unwrap();
            tree
        };
        let trees: Vec<_> = (0..TREES).map(tree).collect();
        let each = (ALLOCATOR.live() - bytes) / TREES;
        println!("{each} bytes per tree with {} leaves", leaves.len());
        assert!(each <= most, "{each} bytes per tree with {} leaves", leaves.len());
        let pages = anonymous().saturating_sub(pages);
        assert!(pages <= (TREES * most) as u64 * 5 / 4, "{pages} bytes of pages");
        assert!(maps() < maps_before + 100, "{} maps", maps());
        drop(trees);
    }
}

#[test]
fn a_store_of_ten_thousand_trees_takes_little_for_them_and_no_thread_file_or_map() {
    const TREES: usize = 10_000;
    let _alone = alone();
    if ran_apart() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        Config::new(dir.path())
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
    };
    let name = |at: usize| format!("account {at}");
    // A leaf in each tree, in one group.
    let block = |store: &Store, leaf: [u8; 32]| {
        let mut batch = store.batch();
        for at in 0..TREES {
            batch.insert(&store.tree::<Blake3, 4>(name(at)).unwrap(), leaf).unwrap();
        }
        batch.commit().unwrap();
        store.flush().unwrap();
    };
    let store = Store::open(config()).unwrap();
    block(&store, [1; 32]);
    store.checkpoint().unwrap();
    store.close().unwrap();
    let (before, maps_before, [threads, files]) = (ALLOCATOR.live(), maps(), threads_and_files());
    let store = Store::open(config()).unwrap();
    let opened = ALLOCATOR.live() - before;
    for at in (0..TREES).step_by(TREES / 10) {
        assert_eq!(store.existing_tree(name(at)).unwrap().size().get(), 1);
    }
    assert_eq!(store.trees().unwrap().iter().filter(|tree| tree.loaded).count(), 10);
    let few = ALLOCATOR.live() - before;
    block(&store, [2; 32]);
    let all = ALLOCATOR.live() - before;
    println!("{opened} bytes when opened, {few} with ten in use, {all} with all in use");
    assert!(opened <= 6 << 20, "{opened} bytes after opening");
    assert!(few.saturating_sub(opened) <= 100 << 10, "{few} - {opened} bytes for ten trees in use");
    assert!(all <= 20 << 20, "{all} bytes with all trees in use");
    // One thread writes the log, and a few work for all trees.
    let now = threads_and_files();
    assert!(now[0] <= threads + 4 && now[1] <= files + 10, "{now:?}, before {threads} {files}");
    assert!(maps() < maps_before + 20, "{} maps, before {maps_before}", maps());
    store.close().unwrap();
}

#[test]
fn a_checkpoint_gives_memory_back_and_huge_pages_are_taken_where_asked_for() {
    let _alone = alone();
    if ran_apart() {
        return;
    }
    const LEAVES: usize = 1 << 21;
    let nodes = LEAVES as u64 * 32 * 4 / 3;
    for yes in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path())
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
            .huge_pages(yes);
        let store: Accumulator = Accumulator::open(config).unwrap();
        let (before, huge_before) = (anonymous(), huge());
        for batch in 0..16 {
            let batch = testkit::stores::leaves(LEAVES / 16, batch);
            store.insert_many(&batch).unwrap();
        }
        store.head().unwrap();
        let filled = anonymous().saturating_sub(before);
        assert!(filled >= nodes * 9 / 10, "{filled} bytes for {nodes} bytes of nodes");
        assert!(filled <= nodes + (48 << 20), "{filled} bytes for {nodes} bytes of nodes");
        let huge = huge().saturating_sub(huge_before);
        if gives_huge_pages() {
            assert_eq!(huge > nodes / 2, yes, "{huge} bytes in huge pages, asked: {yes}");
        } else {
            println!("SKIPPED: this system does not give huge pages to those who ask");
        }
        let held = store.stats().memory_bytes;
        store.checkpoint().unwrap();
        let left = anonymous().saturating_sub(before);
        assert!(left <= filled / 3, "{left} bytes of {filled} are left");
        assert!(store.stats().memory_bytes <= held / 3);
    }
}

/// Each would pin the nodes since the checkpoint before it if it held a view: 77 MB over all.
#[test]
fn sixty_snapshots_over_sixty_checkpoints_keep_a_few_kib_each() {
    const ROUNDS: u64 = 60;
    let _alone = alone();
    if ran_apart() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path())
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(CompactionPolicy::Off);
    let store: Accumulator = Accumulator::open(config).unwrap();
    let round = |number| {
        store.insert_many(&testkit::stores::leaves(30_000, number)).unwrap();
        let snapshot = store.snapshot();
        snapshot.head().unwrap();
        snapshot.prove(number * 30_000).unwrap();
        store.checkpoint().unwrap();
        snapshot
    };
    let first = round(0);
    let (heap, pages) = (ALLOCATOR.live(), anonymous());
    let held: Vec<_> = (1..ROUNDS).map(round).collect();
    let heap = ALLOCATOR.live().saturating_sub(heap) / held.len();
    let pages = anonymous().saturating_sub(pages);
    println!("{heap} bytes of the heap for each, {pages} bytes of pages over all");
    assert!(heap <= 16 << 10, "{heap} bytes of the heap for each");
    assert!(pages <= 24 << 20, "{pages} bytes of pages");
    assert_eq!(store.stats().pinned_bytes, 0);
    for snapshot in [&first].into_iter().chain(&held) {
        let last = snapshot.size().get() - 1;
        snapshot.prove(last).unwrap();
    }
}
