//! Every encoding as it was first written: read and written byte for byte, forever.
//!
//! A changed byte means a new version of the format and new files beside these.

use std::path::PathBuf;
use testkit::reference;

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{
    Arity, Blake3, Frontier, Hash, Hasher, LeafIndex, MemoryAccumulator, Rfc6962Sha256, Snapshot,
    TreeHead, TreeSize,
};

const SIZE: u64 = 1000;
const OLD: u64 = 600;
const INDEX: LeafIndex = LeafIndex(700);
const INDEXES: [u64; 4] = [0, 1, 599, 999];

fn leaves() -> Vec<Hash> {
    reference::leaves(usize::try_from(SIZE).unwrap())
}

fn snapshot<H: Hasher + Default, const N: usize>() -> Snapshot {
    let mut tree = MemoryAccumulator::<H, N>::new();
    tree.extend(&leaves()).unwrap();
    tree.snapshot()
}

/// A profile and its tree of [`SIZE`] leaves.
fn profiles() -> [(&'static dyn Hasher, Arity, Snapshot); 3] {
    [
        (&Blake3, Arity::Four, snapshot::<Blake3, 4>()),
        (&Blake3, Arity::Sixteen, snapshot::<Blake3, 16>()),
        (&Rfc6962Sha256, Arity::Two, snapshot::<Rfc6962Sha256, 2>()),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden(kind: &str, hasher: &dyn Hasher, arity: Arity) -> Vec<u8> {
    let path = path(&format!("{kind}-{}-{arity}.bin", hasher.id()));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn inclusion(tree: &Snapshot) -> InclusionClaim {
    InclusionClaim { size: TreeSize(SIZE), index: INDEX, proof: tree.prove(INDEX).unwrap() }
}

fn consistency(tree: &Snapshot) -> ConsistencyClaim {
    let proof = tree.prove_consistency(OLD).unwrap();
    ConsistencyClaim { old: TreeSize(OLD), new: TreeSize(SIZE), proof }
}

fn multi(tree: &Snapshot) -> MultiClaim {
    let indexes: Vec<_> = INDEXES.into_iter().map(LeafIndex).collect();
    let proof = tree.prove_many(&indexes).unwrap();
    MultiClaim { size: TreeSize(SIZE), indexes, proof }
}

/// The names and bytes of all golden files of one profile, as they are written now.
fn written(hasher: &dyn Hasher, arity: Arity, tree: &Snapshot) -> [(&'static str, Vec<u8>); 4] {
    let id = hasher.id();
    [
        ("inclusion", inclusion(tree).encode(id, arity).unwrap()),
        ("consistency", consistency(tree).encode(id, arity).unwrap()),
        ("multi", multi(tree).encode(id, arity).unwrap()),
        ("frontier", tree.frontier().unwrap().encode(id)),
    ]
}

#[test]
fn every_encoding_is_written_as_it_was_first_written() {
    for (hasher, arity, tree) in profiles() {
        for (kind, bytes) in written(hasher, arity, &tree) {
            let golden = golden(kind, hasher, arity);
            assert!(bytes == golden, "{kind} {} {arity}: the bytes have changed", hasher.id());
        }
    }
}

#[test]
fn every_encoding_that_was_written_is_read_and_holds() {
    let leaves = leaves();
    let leaf = |index: LeafIndex| leaves[usize::try_from(index.0).unwrap()];
    for (hasher, arity, tree) in profiles() {
        let id = hasher.id();
        let (old, head) = (tree.head_at(OLD).unwrap(), tree.head().unwrap());

        let read = InclusionClaim::decode(&golden("inclusion", hasher, arity), id, arity).unwrap();
        assert_eq!(read, inclusion(&tree));
        read.verify(hasher, arity, &head, INDEX, &leaf(INDEX)).unwrap();

        let bytes = golden("consistency", hasher, arity);
        let read = ConsistencyClaim::decode(&bytes, id, arity).unwrap();
        assert_eq!(read, consistency(&tree));
        read.verify(hasher, arity, &old, &head).unwrap();

        let read = MultiClaim::decode(&golden("multi", hasher, arity), id, arity).unwrap();
        assert_eq!(read, multi(&tree));
        let asked: Vec<_> = read.indexes.iter().map(|index| (*index, leaf(*index))).collect();
        read.verify(hasher, arity, &head, &asked).unwrap();

        let read = Frontier::decode(&golden("frontier", hasher, arity), id, arity).unwrap();
        assert_eq!(read, tree.frontier().unwrap());
        assert_eq!(read.head(hasher), head);
    }
}

#[test]
fn the_heads_of_the_golden_trees_are_these() {
    let heads = std::fs::read_to_string(path("heads.txt")).unwrap();
    let mut lines = heads.lines();
    for (hasher, arity, tree) in profiles() {
        for size in [OLD, SIZE] {
            let line = lines.next().unwrap();
            let (profile, head) = line.rsplit_once(' ').unwrap();
            assert_eq!(profile, format!("{} {arity}", hasher.id()));
            assert_eq!(head.parse::<TreeHead>(), Ok(tree.head_at(size).unwrap()));
        }
    }
    assert_eq!(lines.next(), None);
}

#[cfg(feature = "note")]
mod text {
    use super::{Arity, Hasher, INDEX, Rfc6962Sha256, leaves, path, snapshot};
    use duramen::tlog::{Checkpoint, Ed25519Signer, SignedNote, TlogProof};

    pub(super) fn key() -> Ed25519Signer {
        Ed25519Signer::from_secret("example.com/golden", &[42; 32]).unwrap()
    }

    pub(super) fn proof() -> TlogProof {
        let tree = snapshot::<Rfc6962Sha256, 2>();
        let checkpoint = Checkpoint::new(
            "example.com/golden",
            Rfc6962Sha256.id(),
            Arity::Two,
            tree.head().unwrap(),
        )
        .unwrap();
        TlogProof {
            extra: Some(b"extra data".to_vec()),
            index: INDEX,
            proof: tree.prove(INDEX).unwrap(),
            checkpoint: SignedNote::sign(&checkpoint.to_string(), &key()).unwrap(),
        }
    }

    #[test]
    fn the_text_of_an_offline_proof_is_written_and_read_as_it_was_first_written() {
        let golden = std::fs::read_to_string(path("entry.tlog-proof")).unwrap();
        assert_eq!(proof().to_string(), golden);
        let read: TlogProof = golden.parse().unwrap();
        assert_eq!(read, proof());
        let leaf = leaves()[usize::try_from(INDEX.0).unwrap()];
        read.verify(&[&key().verifier()], "example.com/golden", &leaf).unwrap();
    }
}

#[test]
#[ignore = "writes tests/golden: only for a new version of a format"]
fn write_the_golden_files() {
    std::fs::create_dir_all(path("")).unwrap();
    let mut heads = String::new();
    for (hasher, arity, tree) in profiles() {
        for (kind, bytes) in written(hasher, arity, &tree) {
            std::fs::write(path(&format!("{kind}-{}-{arity}.bin", hasher.id())), bytes).unwrap();
        }
        for size in [OLD, SIZE] {
            let head = tree.head_at(size).unwrap();
            heads += &format!("{} {arity} {head}\n", hasher.id());
        }
    }
    std::fs::write(path("heads.txt"), heads).unwrap();
    #[cfg(feature = "note")]
    std::fs::write(path("entry.tlog-proof"), text::proof().to_string()).unwrap();
}
