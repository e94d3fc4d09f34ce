//! Heads, proofs and frontiers through serde.

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{
    Arity, Blake3, ConsistencyProof, Frontier, InclusionProof, LeafIndex, MemoryAccumulator,
    MultiProof, NamedHead, StoreHead, TreeHead, TreeName, TreeProof, TreeSize,
};
use serde_json::{Value, json};
use testkit::reference;

fn there_and_back<T>(value: &T) -> Value
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    let bytes = postcard::to_allocvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
    assert!(bytes.len() * 2 < text.len() + 8, "hashes are bytes in formats for machines");
    for short in 0..bytes.len() {
        assert!(postcard::from_bytes::<T>(&bytes[..short]).is_err(), "{short} bytes");
    }
    serde_json::from_str(&text).unwrap()
}

fn tree() -> MemoryAccumulator<Blake3, 4> {
    let mut tree = MemoryAccumulator::new();
    tree.extend(&reference::leaves(21)).unwrap();
    tree
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_type_is_hex_for_people_and_bytes_for_machines_and_reads_back() {
    let tree = tree();
    let snapshot = tree.snapshot();
    let head = snapshot.head().unwrap();
    assert_eq!(there_and_back(&head), json!({"size": 21, "root": hex(&head.root)}));

    let proof = snapshot.prove(20).unwrap();
    let siblings: Vec<_> = proof.siblings().iter().map(hex).collect();
    assert_eq!(there_and_back(&proof), json!({ "siblings": siblings }));
    let claim = InclusionClaim { size: head.size, index: LeafIndex(20), proof };
    let expected = json!({"size": 21, "index": 20, "proof": {"siblings": siblings}});
    assert_eq!(there_and_back(&claim), expected);

    let proof = snapshot.prove_consistency(13).unwrap();
    let hashes: Vec<_> = proof.hashes().iter().map(hex).collect();
    assert_eq!(there_and_back(&proof), json!({ "hashes": hashes }));
    there_and_back(&ConsistencyClaim { old: TreeSize(13), new: head.size, proof });

    let indexes = vec![LeafIndex(3), LeafIndex(7)];
    let proof = snapshot.prove_many(&indexes).unwrap();
    let hashes: Vec<_> = proof.hashes().iter().map(hex).collect();
    assert_eq!(there_and_back(&proof), json!({ "hashes": hashes }));
    let claim = MultiClaim { size: head.size, indexes, proof };
    assert_eq!(there_and_back(&claim)["indexes"], json!([3, 7]));

    let frontier = snapshot.frontier().unwrap();
    let nodes: Vec<_> = frontier.nodes().iter().map(hex).collect();
    assert_eq!(there_and_back(&frontier), json!({"arity": 4, "size": 21, "nodes": nodes}));
    there_and_back(&Frontier::new(Arity::Sixteen));
}

fn named(name: &str, head: TreeHead) -> NamedHead {
    let name = TreeName::new(name).unwrap();
    NamedHead { name, hasher: "blake3".to_owned(), arity: Arity::Four, head }
}

#[test]
fn the_heads_of_a_store_and_what_proves_one_of_them_read_back() {
    let head = tree().head().unwrap();
    let json_of = |name| {
        let head = json!({"size": 21, "root": hex(&head.root)});
        json!({"name": name, "hasher": "blake3", "arity": 4, "head": head})
    };
    let store = StoreHead::new(["b", "a", "c"].map(|name| named(name, head)).to_vec()).unwrap();
    assert_eq!(there_and_back(&store), json!(["a", "b", "c"].map(json_of)));
    let proof = store.prove("b").unwrap();
    let siblings: Vec<_> = proof.path.siblings().iter().map(hex).collect();
    let path = json!({ "siblings": siblings });
    let expected = json!({"tree": json_of("b"), "position": 1, "count": 3, "path": path});
    assert_eq!(there_and_back(&proof), expected);
    serde_json::from_value::<TreeProof>(expected).unwrap().verify(&store.commitment()).unwrap();
}

#[test]
fn heads_that_no_store_has_are_refused() {
    let head = tree().head().unwrap();
    let good = serde_json::to_value(named("a", head)).unwrap();
    serde_json::from_value::<StoreHead>(json!([good])).unwrap();
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        bad
    };
    assert!(serde_json::from_value::<StoreHead>(json!([good, good])).is_err());
    assert!(serde_json::from_value::<StoreHead>(json!([with("hasher", json!("BLAKE3"))])).is_err());
    for bad in [
        with("name", json!("../a")),
        with("name", json!("")),
        with("name", json!(null)),
        with("arity", json!(3)),
        with("more", json!(1)),
    ] {
        assert!(serde_json::from_value::<NamedHead>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn null_empty_short_long_and_foreign_hashes_are_refused_with_the_reason() {
    let good = "a5".repeat(32);
    serde_json::from_value::<TreeHead>(json!({"size": 1, "root": good})).unwrap();
    let bad = [
        json!(null),
        json!(""),
        json!(&good[1..]),
        json!(&good[2..]),
        json!(format!("{good}a5")),
        json!(format!("0x{}", &good[2..])),
        json!(format!("g{}", &good[1..])),
        json!(format!(" {}", &good[1..])),
        json!("\u{e9}".repeat(32)),
        json!(vec![0xa5; 32]),
        json!(5),
        json!({}),
    ];
    for hash in bad {
        for text in [
            json!({"size": 1, "root": hash}).to_string(),
            json!({"siblings": [good, hash]}).to_string(),
            json!({"hashes": [hash, good]}).to_string(),
            json!({"arity": 2, "size": 1, "nodes": [hash]}).to_string(),
        ] {
            let error = [
                serde_json::from_str::<TreeHead>(&text).map(drop),
                serde_json::from_str::<InclusionProof>(&text).map(drop),
                serde_json::from_str::<ConsistencyProof>(&text).map(drop),
                serde_json::from_str::<MultiProof>(&text).map(drop),
                serde_json::from_str::<Frontier>(&text).map(drop),
            ];
            assert!(error.iter().all(Result::is_err), "{text}");
        }
        let text = json!({"size": 1, "root": hash});
        let error = serde_json::from_value::<TreeHead>(text).unwrap_err().to_string();
        assert!(error.contains("a hash of 64 hex digits or 32 bytes"), "{error}");
    }
}

#[test]
fn missing_null_and_unknown_fields_and_impossible_numbers_are_refused() {
    let root = "a5".repeat(32);
    for head in [
        json!(null),
        json!({}),
        json!({"size": 1}),
        json!({ "root": root }),
        json!({"size": null, "root": root}),
        json!({"size": -1, "root": root}),
        json!({"size": 1.0, "root": root}),
        json!({"size": "1", "root": root}),
        json!({"size": 1, "root": root, "more": 1}),
    ] {
        assert!(serde_json::from_value::<TreeHead>(head.clone()).is_err(), "{head}");
    }
    for proof in [json!(null), json!({}), json!({"siblings": null}), json!({"siblings": root})] {
        assert!(serde_json::from_value::<InclusionProof>(proof.clone()).is_err(), "{proof}");
    }
    for (arity, size, nodes) in [(3, 0, 0), (0, 0, 0), (4, 2, 1), (4, 0, 1), (4, u64::MAX, 5)] {
        let frontier = json!({"arity": arity, "size": size, "nodes": vec![&root; nodes]});
        assert!(serde_json::from_value::<Frontier>(frontier.clone()).is_err(), "{frontier}");
    }
}

#[test]
fn bytes_that_are_no_whole_hashes_are_refused() {
    #[derive(serde::Serialize)]
    struct Bytes<'a>(&'a [u8]);
    for len in [0, 32, 64] {
        // Postcard writes a run of bytes as it writes a list of them.
        let bytes = postcard::to_allocvec(&Bytes(&vec![7; len])).unwrap();
        let proof: InclusionProof = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(proof.siblings().len(), len / 32);
    }
    for len in [1, 31, 33, 63, 65] {
        let bytes = postcard::to_allocvec(&Bytes(&vec![7; len])).unwrap();
        assert!(postcard::from_bytes::<InclusionProof>(&bytes).is_err(), "{len}");
        assert!(postcard::from_bytes::<TreeHead>(&[&[1], &bytes[..]].concat()).is_err(), "{len}");
    }
}
