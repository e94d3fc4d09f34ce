//! Several trees in one store: `--tree`, `trees`, `head --all`, `seal` and `drop-tree`.

use crate::common::{
    Function, Place, duramen, given, head_text, hex, lines, printed, printed_json, refused,
};

fn store() -> Place {
    let place = Place::new();
    printed(given(&place, "append DIR", "one\ntwo\n"));
    printed(given(&place, "append DIR --tree receipts --hasher sha256 --arity 2", "a\nb\nc\n"));
    place
}

#[test]
fn a_store_has_a_tree_for_each_name() {
    let place = store();
    let main = head_text(2, Function::Blake3.root(4, &lines(Function::Blake3, b"one\ntwo\n")));
    let receipts = Function::Sha256.root(2, &lines(Function::Sha256, b"a\nb\nc\n"));
    assert_eq!(printed(duramen(&place, "head DIR")), main);
    assert_eq!(printed(duramen(&place, "head DIR --tree main")), main);
    assert_eq!(printed(duramen(&place, "head DIR --tree receipts")), head_text(3, receipts));
    let proof = printed_json(duramen(&place, "prove DIR 2 --tree receipts"));
    assert_eq!((&proof["size"], &proof["root"]), (&3.into(), &hex(&receipts).into()));
    assert_eq!(proof["hasher"], "rfc6962-sha256");
    let consistent = printed_json(duramen(&place, "prove-consistency DIR 1 --tree receipts"));
    assert_eq!(consistent["new_size"], 3);
    // It goes on as it was made.
    printed(given(&place, "append DIR --tree receipts", "d\n"));
    let text = printed(duramen(&place, "trees DIR"));
    assert_eq!(
        text,
        "main: 2 leaves, blake3, arity 4\nreceipts: 4 leaves, rfc6962-sha256, arity 2\n"
    );
    let trees = printed_json(duramen(&place, "trees DIR --json"));
    assert_eq!(trees["trees"][1]["name"], "receipts");
    assert_eq!(trees["trees"][1]["size"], 4);
}

#[test]
fn the_heads_of_all_trees_come_with_one_commitment() {
    let place = store();
    let all = printed_json(duramen(&place, "head DIR --all --json"));
    let trees = all["trees"].as_array().unwrap();
    let names: Vec<_> = trees.iter().map(|tree| tree["tree"].as_str().unwrap()).collect();
    assert_eq!(names, ["main", "receipts"]);
    let commitment = all["commitment"].as_str().unwrap();
    assert_eq!(commitment.len(), 64);
    let text = printed(duramen(&place, "head DIR --all"));
    assert!(text.ends_with(&format!("commitment {commitment}\n")), "{text}");
    printed(given(&place, "append DIR --tree receipts", "d\n"));
    let later = printed_json(duramen(&place, "head DIR --all --json"));
    assert_ne!(later["commitment"], all["commitment"]);
}

#[test]
fn a_sealed_tree_takes_no_more_lines() {
    let place = store();
    assert_eq!(printed(duramen(&place, "seal DIR receipts")), "");
    let text = refused(given(&place, "append DIR --tree receipts", "d\n"), 2);
    assert!(text.contains("\"receipts\" is sealed"), "{text}");
    assert!(printed(duramen(&place, "trees DIR")).contains("arity 2, sealed\n"));
    printed(given(&place, "append DIR", "three\n"));
    printed(duramen(&place, "prove DIR 2 --tree receipts"));
}

#[test]
fn a_tree_is_dropped_with_yes_alone() {
    let place = store();
    let parts = || std::fs::read_dir(place.path("store/parts")).unwrap().count();
    let would = refused(duramen(&place, "drop-tree DIR receipts"), 2);
    assert!(
        would.contains("nothing was dropped: add --yes to drop the tree receipts: 3 leaves"),
        "{would}"
    );
    assert!(printed(duramen(&place, "trees DIR")).contains("receipts"));
    printed(duramen(&place, "drop-tree DIR receipts --yes"));
    assert_eq!(printed(duramen(&place, "trees DIR")), "main: 2 leaves, blake3, arity 4\n");
    assert_eq!(parts(), 1, "that of main");
    for line in ["drop-tree DIR receipts", "drop-tree DIR receipts --yes", "seal DIR receipts"] {
        let text = refused(duramen(&place, line), 3);
        assert!(text.contains("there is no tree \"receipts\""), "{text}");
    }
    printed(given(&place, "append DIR --tree receipts --arity 8", "again\n"));
    assert!(printed(duramen(&place, "trees DIR")).contains("receipts: 1 leaf, blake3, arity 8\n"));
}

#[test]
fn marks_are_set_listed_and_removed() {
    let place = store();
    assert_eq!(printed(duramen(&place, "marks DIR")), "");
    let set = printed(duramen(&place, "mark DIR b1"));
    assert_eq!(set, "set: b1: main 2 leaves, receipts 3 leaves\nthe store has 1 mark\n");
    printed(given(&place, "append DIR", "three\n"));
    printed(duramen(&place, "mark DIR b2"));
    let listed = printed(duramen(&place, "marks DIR"));
    assert_eq!(
        listed,
        "b1: main 2 leaves, receipts 3 leaves\nb2: main 3 leaves, receipts 3 leaves\n"
    );
    let json = printed_json(duramen(&place, "marks DIR --json"));
    assert_eq!(json["marks"][1]["trees"][0]["size"], 3);
    assert_eq!(json["marks"][0]["name"], "b1");
    let taken = refused(duramen(&place, "mark DIR b1"), 2);
    assert!(taken.contains("there is a mark \"b1\" already"), "{taken}");
    let removed = printed(duramen(&place, "mark DIR b1 --drop"));
    assert!(removed.starts_with("removed: b1: main 2 leaves"), "{removed}");
    let missing = refused(duramen(&place, "mark DIR b1 --drop"), 2);
    assert!(missing.contains("there is no mark \"b1\""), "{missing}");
    assert_eq!(printed(duramen(&place, "marks DIR")).lines().count(), 1);
    refused(duramen(&place, "mark DIR a/b"), 2);
}

#[test]
fn of_many_marks_the_latest_are_kept_if_asked_for() {
    let place = store();
    for block in ["b1", "b2", "b3", "b4"] {
        printed(duramen(&place, &format!("mark DIR {block}")));
    }
    let set = printed(duramen(&place, "mark DIR b5 --keep 2"));
    let sizes = "main 2 leaves, receipts 3 leaves";
    let gone = ["b1", "b2", "b3"].map(|block| format!("removed: {block}: {sizes}\n")).concat();
    assert_eq!(set, format!("{gone}set: b5: {sizes}\nthe store has 2 marks\n"));
    let taken = refused(duramen(&place, "mark DIR b4 --keep 1"), 2);
    assert!(taken.contains("there is a mark \"b4\" already"), "{taken}");
    assert_eq!(printed(duramen(&place, "marks DIR")).lines().count(), 2);
    refused(duramen(&place, "mark DIR b5 --drop --keep 1"), 2);
}

#[test]
fn heads_and_proofs_are_given_as_they_were_at_a_mark() {
    let place = store();
    let [head, all, proof] = ["head DIR", "head DIR --all", "prove DIR 0"]
        .map(|line| (line, printed(duramen(&place, line))));
    printed(duramen(&place, "mark DIR b1"));
    printed(given(&place, "append DIR", "three\nfour\n"));
    printed(given(&place, "append DIR --tree receipts", "five\n"));
    for (line, then) in [head, all, proof] {
        assert_ne!(printed(duramen(&place, line)), then);
        assert_eq!(printed(duramen(&place, &format!("{line} --mark b1"))), then);
    }
    let missing = refused(duramen(&place, "head DIR --mark b2"), 2);
    assert!(missing.contains("there is no mark \"b2\""), "{missing}");
    let beyond = refused(duramen(&place, "prove DIR 2 --mark b1"), 2);
    assert!(beyond.contains('2'), "{beyond}");
    refused(duramen(&place, "head DIR --mark b1 --size 1"), 2);
}

#[test]
fn a_tree_is_rewound_with_yes_alone_and_all_trees_go_back_to_a_mark() {
    let place = store();
    printed(duramen(&place, "mark DIR b1"));
    printed(given(&place, "append DIR", "three\nfour\n"));
    printed(duramen(&place, "mark DIR b2"));
    let before = printed(duramen(&place, "head DIR"));
    let would = refused(duramen(&place, "rewind DIR 3"), 2);
    assert!(would.contains("--yes would rewind main from 4 leaves to 3"), "{would}");
    let would = refused(duramen(&place, "rewind DIR --mark b1"), 2);
    assert!(would.contains("--yes would rewind main from 4 leaves to 2"), "{would}");
    assert_eq!(printed(duramen(&place, "head DIR")), before);
    let done = printed(duramen(&place, "rewind DIR 3 --yes"));
    assert_eq!(done, "main from 4 leaves to 3\nthe mark b2 is gone\n");
    printed(given(&place, "append DIR --tree receipts", "d\n"));
    let done = printed(duramen(&place, "rewind DIR --mark b1 --yes"));
    assert_eq!(done, "main from 3 leaves to 2\nreceipts from 4 leaves to 3\n");
    assert_eq!(
        printed(duramen(&place, "head DIR")),
        head_text(2, Function::Blake3.root(4, &lines(Function::Blake3, b"one\ntwo\n")))
    );
    refused(duramen(&place, "rewind DIR 3 --yes"), 2);
    refused(duramen(&place, "rewind DIR --mark b2 --yes"), 2);
    refused(duramen(&place, "rewind DIR --yes"), 2);
}

#[test]
fn a_tree_is_pruned_with_yes_alone_and_its_head_and_the_proofs_behind_stay() {
    let place = store();
    printed(given(&place, "append DIR", "three\nfour\n"));
    printed(duramen(&place, "checkpoint DIR"));
    let before = printed(duramen(&place, "head DIR"));
    let would = refused(duramen(&place, "prune DIR --below 3"), 2);
    assert!(
        would.contains("--yes would prune main: 3 leaves from 0 on, and leave 1 leaf"),
        "{would}"
    );
    assert!(!printed(duramen(&place, "trees DIR")).contains("pruned"));
    let done = printed(duramen(&place, "prune DIR --below 3 --yes"));
    assert!(done.starts_with("main: 1 leaf from 3 on, before from 0 on\nparts: "), "{done}");
    assert_eq!(printed(duramen(&place, "head DIR")), before);
    assert!(
        printed(duramen(&place, "trees DIR")).contains("4 leaves, blake3, arity 4, pruned below 3")
    );
    printed(duramen(&place, "prove DIR 3"));
    let gone = refused(duramen(&place, "prove DIR 2"), 2);
    assert!(gone.contains("nothing below index 3 is left, and 2 was asked for"), "{gone}");
    let gone = refused(duramen(&place, "rewind DIR 2 --yes"), 2);
    assert!(gone.contains("nothing below index 3 is left"), "{gone}");
    let would = refused(duramen(&place, "prune DIR --below 3"), 2);
    assert!(would.contains("--yes would prune nothing"), "{would}");
    refused(duramen(&place, "prune DIR --below 5"), 2);
    refused(duramen(&place, "prune DIR --below 5 --yes"), 2);
    refused(duramen(&place, "prune DIR --below 1 --tree none --yes"), 3);
    refused(duramen(&place, "prune DIR --yes"), 2);
    // The scrub and fsck take what is left for whole.
    printed(duramen(&place, "scrub DIR"));
    printed(duramen(&place, "fsck DIR"));
    printed(given(&place, "append DIR", "five\n"));
    printed(duramen(&place, "prove DIR 4"));
}

#[test]
fn a_tree_of_another_kind_and_names_that_no_tree_has_are_refused() {
    let place = store();
    let text = refused(given(&place, "append DIR --tree receipts --hasher blake3", "d\n"), 2);
    assert!(text.contains("rfc6962-sha256") && text.contains("blake3"), "{text}");
    let text = refused(duramen(&place, "head DIR --tree a/b"), 2);
    assert!(text.contains("'/'"), "{text}");
    let text = refused(duramen(&place, "head DIR --tree missing"), 3);
    assert!(text.contains("there is no tree \"missing\""), "{text}");
    assert_eq!(printed(duramen(&place, "trees DIR")).lines().count(), 2);
}
