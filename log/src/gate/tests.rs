//! What passes the gate.

#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::path::Path;
use std::sync::Arc;

use duramen::{Arity, Config, DynAccumulator, EntryConfig, Rfc6962Sha256, Store, TreeConfig};

use super::*;
use crate::anchor::{AnchorError, DirectoryAnchor};

const ORIGIN: &str = "example.com/log";

fn tree(store: &Path) -> DynAccumulator {
    let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
    let store = Store::open(Config::new(store)).unwrap();
    store.tree_dyn("main", config.entries(EntryConfig::new())).unwrap()
}

const FIRST: Asked = Asked { first: true, adopt: false };

fn open(
    anchor: Box<dyn Anchor>,
    store: &str,
    tree: &DynAccumulator,
    asked: Asked,
) -> Result<Gate, LogError> {
    let expected = Expected { origin: ORIGIN, store, size: tree.durable_size(), asked };
    Gate::open(anchor, &expected, &tree.snapshot())
}

/// The gate of a tree. Its anchor is made by the first call.
fn gate(place: &Path, tree: &DynAccumulator) -> Result<Gate, LogError> {
    let anchor = Box::new(DirectoryAnchor::new(place.join("anchor"), ORIGIN).unwrap());
    let first = anchor.load().unwrap().is_none();
    open(anchor, "store", tree, Asked { first, adopt: false })
}

#[test]
fn a_head_over_an_entry_that_was_erased_before_it_was_signed_passes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree = tree(&path);
    let mut gate = gate(place.path(), &tree).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    for entry in 0u32..5 {
        tree.insert_entry_durable(entry.to_be_bytes()).unwrap();
    }
    tree.erase(2, "").unwrap().wait().unwrap();
    let head = tree.durable_head().unwrap();
    assert_eq!(gate.pass(head, &reader, "main").unwrap().head(), head);
}

#[test]
fn heads_pass_in_the_order_of_their_sizes_and_are_then_in_the_anchor() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree = tree(&path);
    let mut gate_ = gate(place.path(), &tree).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    for round in 0u32..20 {
        for entry in 0..round {
            tree.insert_entry_durable((round * 100 + entry).to_be_bytes()).unwrap();
        }
        let head = tree.durable_head().unwrap();
        assert_eq!(gate_.pass(head, &reader, "main").unwrap().head(), head);
        assert_eq!(gate_.anchor.load().unwrap().unwrap().head, head);
        if round % 7 == 0 {
            tree.checkpoint().unwrap();
        }
    }
    let old = tree.head_at(3).unwrap();
    assert!(matches!(gate_.pass(old, &reader, "main"), Err(LogError::Mismatch { .. })));
}

#[test]
fn a_root_that_the_files_do_not_have_never_passes_and_stops_the_gate() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree = tree(&path);
    let mut gate = gate(place.path(), &tree).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    tree.insert_entry_durable("one").unwrap();
    let right = tree.durable_head().unwrap();
    for bit in [0, 100, 255] {
        let mut wrong = right;
        wrong.root[bit / 8] ^= 1 << (bit % 8);
        let refused = gate.pass(wrong, &reader, "main").unwrap_err();
        assert!(matches!(refused, LogError::Mismatch { .. }), "{refused}");
    }
    assert!(gate.pass(right, &reader, "main").is_err(), "the gate stays shut");
    assert_eq!(gate.anchor.load().unwrap().unwrap().head.size, TreeSize(0));
}

#[test]
fn a_size_that_the_files_do_not_have_does_not_pass() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree = tree(&path);
    let mut gate = gate(place.path(), &tree).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    tree.insert_entry_durable("one").unwrap();
    let head = TreeHead { size: TreeSize(2), ..tree.durable_head().unwrap() };
    let refused = gate.pass(head, &reader, "main").unwrap_err().to_string();
    assert!(refused.contains("the files have 1 leaves"), "{refused}");
}

#[test]
fn a_restored_backup_is_refused_with_both_sizes() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree_ = tree(&path);
    let mut gate_ = gate(place.path(), &tree_).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    tree_.insert_entry_durable("one").unwrap();
    tree_.snapshot_to(place.path().join("backup")).unwrap();
    tree_.insert_entry_durable("two").unwrap();
    gate_.pass(tree_.durable_head().unwrap(), &reader, "main").unwrap();

    let restored = tree(&place.path().join("backup"));
    let refused = gate(place.path(), &restored).unwrap_err();
    assert!(matches!(refused, LogError::RolledBack { size: 1, .. }), "{refused}");
    // As large again, but with another history.
    restored.insert_entry_durable("another").unwrap();
    let refused = gate(place.path(), &restored).unwrap_err();
    assert!(matches!(refused, LogError::Forked { .. }), "{refused}");
}

#[test]
fn of_two_copies_that_sign_the_second_is_stopped_for_good() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let one = tree(&path);
    one.insert_entry_durable("one").unwrap();
    one.snapshot_to(place.path().join("copy")).unwrap();
    let other = tree(&place.path().join("copy"));
    let anchor = || Box::new(DirectoryAnchor::new(place.path().join("a"), ORIGIN).unwrap());
    let open = |tree: &DynAccumulator, asked| open(anchor(), "store", tree, asked).unwrap();
    let (mut first, mut second) = (open(&one, FIRST), open(&other, Asked::default()));
    let pass = |gate: &mut Gate, tree: &DynAccumulator, path: &Path, entry: &str| {
        let reader = StoreReader::open(Config::new(path)).unwrap();
        tree.insert_entry_durable(entry).unwrap();
        gate.pass(tree.durable_head().unwrap(), &reader, "main").map(|_| ())
    };
    pass(&mut first, &one, &path, "two").unwrap();
    for entry in ["2", "3"] {
        let refused = pass(&mut second, &other, &place.path().join("copy"), entry).unwrap_err();
        let changed = matches!(refused, LogError::Anchor(AnchorError::Changed { .. }));
        assert!(changed, "{refused}");
    }
    pass(&mut first, &one, &path, "three").unwrap();
}

#[test]
fn without_an_anchor_nothing_is_signed_unless_the_first_one_is_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let tree = tree(&place.path().join("store"));
    let anchor = || Box::new(DirectoryAnchor::new(place.path(), ORIGIN).unwrap());
    let open = |asked| open(anchor(), "store", &tree, asked);
    let refused = open(Asked::default()).unwrap_err();
    assert!(matches!(refused, LogError::NoAnchor { size: 0, .. }), "{refused}");
    tree.insert_entry_durable("one").unwrap();
    let refused = open(Asked::default()).unwrap_err();
    assert!(matches!(refused, LogError::NoAnchor { size: 1, .. }), "{refused}");
    open(FIRST).unwrap();
    let refused = open(FIRST).unwrap_err();
    assert!(matches!(refused, LogError::AnchorExists { .. }), "{refused}");
    open(Asked::default()).unwrap();
}

#[test]
fn a_store_that_is_not_the_one_in_the_anchor_must_be_adopted() {
    let place = tempfile::tempdir().unwrap();
    let tree = tree(&place.path().join("store"));
    let anchor = || Box::new(DirectoryAnchor::new(place.path(), ORIGIN).unwrap());
    let open = |store, asked| open(anchor(), store, &tree, asked);
    open("one", FIRST).unwrap();
    let refused = open("two", Asked::default()).unwrap_err();
    assert!(matches!(refused, LogError::OtherStore { .. }), "{refused}");
    open("two", Asked { first: false, adopt: true }).unwrap();
    open("two", Asked::default()).unwrap();
    assert!(matches!(open("one", Asked::default()), Err(LogError::OtherStore { .. })));
}

/// An anchor whose next replacement comes through and reports an error.
#[derive(Debug)]
struct Doubtful(DirectoryAnchor, std::sync::atomic::AtomicBool);

impl Anchor for Doubtful {
    fn load(&self) -> Result<Option<Anchored>, AnchorError> {
        self.0.load()
    }

    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
        self.0.replace(old, new)?;
        match self.1.swap(false, std::sync::atomic::Ordering::SeqCst) {
            false => Ok(()),
            true => Err(AnchorError::Io {
                action: "sync",
                place: String::new(),
                reason: "a test".to_owned(),
            }),
        }
    }
}

#[test]
fn a_replacement_that_came_through_with_an_error_does_not_shut_the_gate() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let tree = tree(&path);
    let anchor = DirectoryAnchor::new(place.path(), ORIGIN).unwrap();
    let doubtful = Box::new(Doubtful(anchor, false.into()));
    let mut gate = open(doubtful, "store", &tree, FIRST).unwrap();
    let reader = StoreReader::open(Config::new(&path)).unwrap();
    let doubt = DirectoryAnchor::new(place.path(), ORIGIN).unwrap();
    gate.anchor = Box::new(Doubtful(doubt, true.into()));
    tree.insert_entry_durable("one").unwrap();
    let head = tree.durable_head().unwrap();
    let failed = gate.pass(head, &reader, "main").unwrap_err();
    assert!(matches!(failed, LogError::Anchor(AnchorError::Io { .. })), "{failed}");
    assert_eq!(gate.pass(head, &reader, "main").unwrap().head(), head);
    tree.insert_entry_durable("two").unwrap();
    gate.pass(tree.durable_head().unwrap(), &reader, "main").unwrap();
}
