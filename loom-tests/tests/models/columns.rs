//! Columns: readers take no lock and see only what was written before it was published.

use std::sync::Arc;

use duramen::testing::models::{self, Columns, LeafWriter, NodeWriter, View};
use duramen::{Arity, Hash};
use duramen_loom_tests::Model;
use loom::thread;

use crate::sum::{Sum, node};

fn leaves(from: u64, to: u64) -> Vec<Hash> {
    (from..to).map(|index| node(0, index)).collect()
}

/// Two leaves per chunk: almost every append crosses a border.
fn columns() -> (Columns, LeafWriter, NodeWriter) {
    models::columns(Arity::Two, 1)
}

/// Every node that the view says it has is there and right.
fn check(view: &View) {
    for index in 0..view.leaves() {
        assert_eq!(view.node(0, index).unwrap(), node(0, index));
    }
    for level in 1..8 {
        for index in 0..view.hashed() >> level {
            assert_eq!(view.node(level, index).unwrap(), node(level, index), "{level} {index}");
        }
    }
}

/// A reader that looks `times` times, and sees columns grow.
fn reader(columns: &Columns, times: usize) -> thread::JoinHandle<()> {
    let columns = columns.clone();
    thread::spawn(move || {
        let mut seen = 0;
        let views: Vec<_> = (0..times)
            .map(|_| {
                let view = columns.view();
                assert!(view.leaves() >= seen, "leaves went away");
                seen = view.leaves();
                check(&view);
                view
            })
            .collect();
        views.iter().for_each(check);
    })
}

#[test]
fn leaves_are_seen_whole_or_not_at_all_across_chunk_borders() {
    Model::new(3).check(|| {
        let (columns, mut writer, _nodes) = columns();
        let reader = reader(&columns, 2);
        writer.append(&leaves(0, 1));
        writer.append(&leaves(1, 4));
        writer.append(&leaves(4, 5));
        check(&columns.view());
        reader.join().unwrap();
    });
}

/// Every entry of the leaves that the view says it has is there and right.
fn check_entries(view: &View) {
    for index in 0..view.leaves() {
        assert_eq!(view.entry(index).unwrap(), models::entry(index), "entry {index}");
    }
}

#[test]
fn entries_are_seen_with_their_leaves_across_chunk_borders() {
    Model::new(3).check(|| {
        // Chunks of eight bytes and two entries: almost every append begins one.
        let (columns, mut writer, _nodes) = models::columns_with_entries(Arity::Two, 1);
        let shared = columns.clone();
        let reader = thread::spawn(move || {
            let views: Vec<_> = (0..2).map(|_| shared.view()).collect();
            views.iter().for_each(check_entries);
        });
        writer.append_entries(0, &leaves(0, 1));
        writer.append_entries(1, &leaves(1, 4));
        let view = columns.view();
        assert_eq!(view.leaves(), 4);
        check_entries(&view);
        reader.join().unwrap();
    });
}

#[test]
fn an_archive_takes_entries_over_beside_a_reader_and_the_writer() {
    Model::new(2).check(|| {
        let (columns, mut writer, _nodes) = models::columns_with_entries(Arity::Two, 1);
        writer.append_entries(0, &leaves(0, 3));
        let held = columns.view();
        let shared = columns.clone();
        let reader = thread::spawn(move || check_entries(&shared.view()));
        let shared = columns.clone();
        let checkpoint = thread::spawn(move || shared.archive(3, node));
        writer.append_entries(3, &leaves(3, 5));
        checkpoint.join().unwrap();
        reader.join().unwrap();
        check_entries(&held);
        let view = columns.view();
        assert_eq!(view.leaves(), 5);
        check_entries(&view);
    });
}

#[test]
fn nodes_are_hashed_beside_the_writer_and_seen_when_they_are_written() {
    Model::new(2).check(|| {
        let (columns, mut writer, mut nodes) = columns();
        writer.append(&leaves(0, 1));
        let reader = reader(&columns, 1);
        let shared = columns.clone();
        let hashing = thread::spawn(move || {
            nodes.hash_to(&Sum, shared.leaves());
            nodes.hash_to(&Sum, u64::MAX);
        });
        writer.append(&leaves(1, 3));
        writer.append(&leaves(3, 5));
        reader.join().unwrap();
        hashing.join().unwrap();
        check(&columns.view());
    });
}

#[test]
fn a_view_beside_two_levels_that_are_outgrown_sees_what_is_published() {
    Model::new(3).check(|| {
        // Chunks of eight leaves that begin with one slot per level.
        let (columns, mut writer, mut nodes) = models::columns(Arity::Two, 3);
        writer.append(&leaves(0, 4));
        nodes.hash_to(&Sum, 2);
        let held = columns.view();
        let reader = reader(&columns, 1);
        // Level 1 goes from one slot to two, level 2 from none to one, the leaves from four to eight.
        let hashing = thread::spawn(move || nodes.hash_to(&Sum, 4));
        writer.append(&leaves(4, 5));
        reader.join().unwrap();
        hashing.join().unwrap();
        check(&held);
        let view = columns.view();
        assert_eq!((view.leaves(), view.hashed()), (5, 4));
        check(&view);
        assert_eq!(columns.memory_bytes(), (8 + 2 + 1) * 32);
    });
}

#[test]
fn an_archive_takes_over_beside_readers_and_writers() {
    Model::new(2).check(|| {
        let (columns, mut writer, mut nodes) = columns();
        writer.append(&leaves(0, 4));
        nodes.hash_to(&Sum, 4);
        let held = columns.view();
        let reader = reader(&columns, 1);
        let shared = columns.clone();
        let checkpoint = thread::spawn(move || shared.archive(4, node));
        writer.append(&leaves(4, 6));
        nodes.hash_to(&Sum, 6);
        checkpoint.join().unwrap();
        reader.join().unwrap();
        check(&held);
        let view = columns.view();
        assert_eq!((view.leaves(), view.hashed()), (6, 6));
        check(&view);
        // The archive was not undone: of the leaves and of the level above them at most a chunk of two
        // is left, of the highest level the one node.
        assert!(columns.memory_bytes() <= (2 + 2 + 1) * 32);
    });
}

#[test]
fn nodes_are_hashed_while_the_archive_takes_over() {
    Model::new(2).check(|| {
        let (columns, mut writer, mut nodes) = columns();
        writer.append(&leaves(0, 4));
        nodes.hash_to(&Sum, 4);
        let shared = columns.clone();
        let checkpoint = thread::spawn(move || {
            shared.archive(2, node);
            shared.archive(4, node);
        });
        let hashing = thread::spawn(move || nodes.hash_to(&Sum, 8));
        writer.append(&leaves(4, 8));
        check(&columns.view());
        checkpoint.join().unwrap();
        hashing.join().unwrap();
        check(&columns.view());
    });
}

#[test]
fn a_batch_that_is_hashed_on_the_way_in_is_published_with_its_nodes() {
    Model::new(3).check(|| {
        let (columns, mut writer, mut nodes) = columns();
        let reader = reader(&columns, 2);
        writer.append(&leaves(0, 1));
        nodes.append_and_hash(&Sum, &mut writer, &leaves(1, 5));
        reader.join().unwrap();
        let view = columns.view();
        assert_eq!((view.leaves(), view.hashed()), (5, 5));
        check(&view);
    });
}

#[test]
fn writers_may_move_between_threads_that_a_lock_orders() {
    Model::new(2).check(|| {
        let (columns, writer, _nodes) = columns();
        let writer = Arc::new(loom::sync::Mutex::new((writer, 0)));
        let threads = [(), ()].map(|()| {
            let writer = Arc::clone(&writer);
            thread::spawn(move || {
                let (writer, len) = &mut *writer.lock().unwrap();
                writer.append(&leaves(*len, *len + 3));
                *len += 3;
            })
        });
        check(&columns.view());
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(columns.leaves(), 6);
        check(&columns.view());
    });
}
