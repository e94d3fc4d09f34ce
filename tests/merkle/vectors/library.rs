//! The library against the files, in both directions.

use std::sync::Arc;

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::merkle::{
    ConsistencyProof, HasherId, InclusionProof, MultiProof, NamedHead, RightEdge, StoreHead,
    TreeName, TreeProof,
};
use duramen::tlog::{AnyVerifier, Checkpoint, NoteVerifier, Policy, SignedNote, TlogProof};
use duramen::{
    Arity, Blake3, Frontier, Hasher, Keccak256, LeafIndex, Rfc6962Sha256, TreeHead, TreeSize,
};
use serde::de::DeserializeOwned;
use testkit::columns::Columns;
use testkit::reference;

use crate::vectors::bytes::{Hash, hash, hashes, hex, unhex};
use crate::vectors::cases::{Claim, Head, Leaf, Profile, Signed, SignedClaim, Stores};
use crate::vectors::path;

fn read<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn head(head: &Head) -> TreeHead {
    TreeHead { size: TreeSize(head.size), root: hash(&head.root) }
}

fn leaves(leaves: &[Leaf]) -> Vec<(LeafIndex, Hash)> {
    leaves.iter().map(|leaf| (LeafIndex(leaf.index), hash(&leaf.leaf))).collect()
}

/// A file, and the library's kind of tree.
struct Tree {
    file: Profile,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
    columns: Columns,
}

impl Tree {
    fn all() -> impl Iterator<Item = Self> {
        let hashers: [Arc<dyn Hasher>; 3] =
            [Arc::new(Blake3), Arc::new(Rfc6962Sha256), Arc::new(Keccak256)];
        hashers.into_iter().flat_map(|hasher| {
            Arity::ALL.into_iter().map(move |arity| {
                let hasher = Arc::clone(&hasher);
                let file: Profile = read(&format!("{}-{arity}.json", hasher.id()));
                assert_eq!((&*file.hasher, file.arity), (hasher.id().as_str(), arity.children()));
                let columns = Columns::new(&*hasher, arity, &reference::leaves(1000));
                Self { file, hasher, arity, columns }
            })
        })
    }

    fn id(&self) -> HasherId {
        self.hasher.id()
    }

    fn edge(&self, size: u64) -> RightEdge {
        RightEdge::fold(&self.columns, &*self.hasher, self.arity, TreeSize(size)).unwrap()
    }
}

#[test]
fn the_library_makes_the_roots_and_leaves_of_the_files() {
    for tree in Tree::all() {
        for expected in &tree.file.roots {
            assert_eq!(tree.edge(expected.size).head(), head(expected), "{}", tree.id());
        }
        for case in &tree.file.leaves_of_data {
            assert_eq!(tree.hasher.leaf(&unhex(&case.data)), hash(&case.leaf), "{}", case.data);
        }
    }
}

#[test]
fn the_library_makes_and_verifies_the_inclusion_proofs_of_the_files() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for case in &tree.file.inclusion {
            let (size, index) = (TreeSize(case.head.size), LeafIndex(case.index));
            let proof = InclusionProof::build(&tree.columns, &tree.edge(size.0), index).unwrap();
            assert_eq!(proof.siblings(), hashes(&case.hashes));
            let made = InclusionClaim { size, index, proof };
            assert_eq!(hex(&made.encode(id, arity).unwrap()), case.bytes);
            let read = InclusionClaim::decode(&unhex(&case.bytes), id, arity).unwrap();
            assert_eq!(read, made);
            let leaf = hash(&case.leaf);
            read.verify(&*tree.hasher, arity, &head(&case.head), index, &leaf).unwrap();
        }
    }
}

#[test]
fn the_library_makes_and_verifies_the_consistency_proofs_of_the_files() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for case in &tree.file.consistency {
            let (old, new) = (TreeSize(case.old.size), TreeSize(case.new.size));
            let proof = ConsistencyProof::build(&tree.columns, &tree.edge(new.0), old).unwrap();
            assert_eq!(proof.hashes(), hashes(&case.hashes), "{old} {new}");
            let made = ConsistencyClaim { old, new, proof };
            assert_eq!(hex(&made.encode(id, arity).unwrap()), case.bytes);
            let read = ConsistencyClaim::decode(&unhex(&case.bytes), id, arity).unwrap();
            assert_eq!(read, made);
            read.verify(&*tree.hasher, arity, &head(&case.old), &head(&case.new)).unwrap();
        }
    }
}

#[test]
fn the_library_makes_and_verifies_the_proofs_of_many_leaves_of_the_files() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for case in &tree.file.multi {
            let size = TreeSize(case.head.size);
            let leaves = leaves(&case.leaves);
            let indexes: Vec<_> = leaves.iter().map(|leaf| leaf.0).collect();
            let proof = MultiProof::build(&tree.columns, &tree.edge(size.0), &indexes).unwrap();
            assert_eq!(proof.hashes(), hashes(&case.hashes));
            let made = MultiClaim { size, indexes, proof };
            assert_eq!(hex(&made.encode(id, arity).unwrap()), case.bytes);
            let read = MultiClaim::decode(&unhex(&case.bytes), id, arity).unwrap();
            assert_eq!(read, made);
            read.verify(&*tree.hasher, arity, &head(&case.head), &leaves).unwrap();
        }
    }
}

#[test]
fn the_library_makes_and_reads_the_frontiers_of_the_files() {
    for tree in Tree::all() {
        for case in &tree.file.frontiers {
            let size = TreeSize(case.head.size);
            let made = Frontier::read(&tree.columns, tree.arity, size).unwrap();
            assert_eq!(made.nodes(), hashes(&case.nodes), "{size}");
            assert_eq!(hex(&made.encode(tree.id())), case.bytes);
            let read = Frontier::decode(&unhex(&case.bytes), tree.id(), tree.arity).unwrap();
            assert_eq!(read.head(&*tree.hasher), head(&case.head));
        }
    }
}

#[test]
fn the_library_refuses_what_the_files_say_is_refused() {
    for tree in Tree::all() {
        let (id, arity, hasher) = (tree.id(), tree.arity, &*tree.hasher);
        assert!(tree.file.refused.len() > 50);
        for case in &tree.file.refused {
            let bytes = unhex(&case.bytes);
            let holds = match &case.claim {
                Claim::Inclusion { head: trusted, index, leaf } => {
                    InclusionClaim::decode(&bytes, id, arity).is_ok_and(|claim| {
                        let (trusted, index) = (head(trusted), LeafIndex(*index));
                        claim.verify(hasher, arity, &trusted, index, &hash(leaf)).is_ok()
                    })
                }
                Claim::Consistency { old, new } => ConsistencyClaim::decode(&bytes, id, arity)
                    .is_ok_and(|claim| claim.verify(hasher, arity, &head(old), &head(new)).is_ok()),
                Claim::Multi { head: trusted, leaves: asked } => {
                    MultiClaim::decode(&bytes, id, arity).is_ok_and(|claim| {
                        claim.verify(hasher, arity, &head(trusted), &leaves(asked)).is_ok()
                    })
                }
            };
            assert!(!holds, "{id} {arity}: {}", case.why);
        }
    }
}

#[test]
fn the_library_makes_and_verifies_the_commitments_of_the_files() {
    let file: Stores = read("stores.json");
    for store in &file.stores {
        let mut trees: Vec<_> = store
            .trees
            .iter()
            .map(|tree| NamedHead {
                name: TreeName::new(&tree.name).unwrap(),
                hasher: tree.hasher.clone(),
                arity: Arity::ALL.into_iter().find(|arity| arity.children() == tree.arity).unwrap(),
                head: TreeHead { size: TreeSize(tree.size), root: hash(&tree.root) },
            })
            .collect();
        trees.reverse();
        let made = StoreHead::new(trees).unwrap();
        let commitment = hash(&store.commitment);
        assert_eq!(made.commitment(), commitment);
        for (tree, named) in store.trees.iter().zip(made.trees()) {
            assert_eq!(tree.name, named.name.as_str(), "the order of the names");
            let proof = made.prove(&tree.name).unwrap();
            assert_eq!(proof.path.siblings(), hashes(&tree.hashes));
            assert_eq!(hex(&proof.encode().unwrap()), tree.bytes);
            let read = TreeProof::decode(&unhex(&tree.bytes)).unwrap();
            assert_eq!(read.verify(&commitment).unwrap(), &named.head);
            assert_eq!(&read.tree, named);
        }
    }
    for case in &file.refused {
        let commitment = hash(&case.commitment);
        let holds = TreeProof::decode(&unhex(&case.bytes))
            .is_ok_and(|proof| proof.verify(&commitment).is_ok());
        assert!(!holds, "{}", case.why);
    }
}

/// The keys that have these public texts; none if one of them is no key.
fn keys(texts: &[String]) -> Option<Vec<AnyVerifier>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

fn as_verifiers(keys: &[AnyVerifier]) -> Vec<&dyn NoteVerifier> {
    keys.iter().map(|key| key as &dyn NoteVerifier).collect()
}

/// What the library reads in a checkpoint that one of the keys signed.
fn checkpoint(text: &str, origin: &str, texts: &[String]) -> Option<Checkpoint> {
    let (note, keys): (SignedNote, _) = (text.parse().ok()?, keys(texts)?);
    note.verify_checkpoint(&as_verifiers(&keys), origin).ok()
}

fn witnessed(text: &str, policy: &str) -> Option<(Checkpoint, Vec<Option<u64>>)> {
    let note: SignedNote = text.parse().ok()?;
    let witnessed = Policy::read(policy.as_bytes()).ok()?.verify(&note).ok()?;
    Some((witnessed.checkpoint, witnessed.cosigned))
}

fn proof(text: &str, origin: &str, texts: &[String], leaf: &str) -> Option<(u64, Checkpoint)> {
    let (proof, keys): (TlogProof, _) = (text.parse().ok()?, keys(texts)?);
    let checkpoint = proof.verify(&as_verifiers(&keys), origin, &hash(leaf)).ok()?;
    Some((proof.index.get(), checkpoint))
}

fn witnessed_proof(text: &str, policy: &str, leaf: &str) -> Option<(u64, Checkpoint)> {
    let proof: TlogProof = text.parse().ok()?;
    let policy = Policy::read(policy.as_bytes()).ok()?;
    let witnessed = proof.verify_witnessed(&policy, &hash(leaf)).ok()?;
    Some((proof.index.get(), witnessed.checkpoint))
}

#[test]
fn the_library_verifies_the_checkpoints_and_texts_of_proofs_of_the_files() {
    let file: Signed = read("tlog.json");
    for case in &file.checkpoints {
        let found = checkpoint(&case.note, &case.origin, &case.keys).unwrap();
        assert_eq!((found.origin(), found.head()), (&*case.origin, head(&case.head)));
    }
    for case in &file.witnessed {
        let (found, cosigned) = witnessed(&case.note, &case.policy).unwrap();
        assert_eq!((found.head(), cosigned), (head(&case.head), case.cosigned.clone()));
    }
    for case in &file.proofs {
        let found = proof(&case.proof, &case.origin, &case.keys, &case.leaf);
        let (index, found) = found.unwrap();
        assert_eq!((index, found.head()), (case.index, head(&case.head)));
    }
    for case in &file.witnessed_proofs {
        let (index, found) = witnessed_proof(&case.proof, &case.policy, &case.leaf).unwrap();
        assert_eq!((index, found.head()), (case.index, head(&case.head)));
    }
}

#[test]
fn the_library_refuses_the_texts_that_the_files_say_are_refused() {
    let file: Signed = read("tlog.json");
    assert!(file.refused.len() > 50);
    for case in &file.refused {
        let holds = match &case.claim {
            SignedClaim::Checkpoint { origin, keys } => {
                checkpoint(&case.text, origin, keys).is_some()
            }
            SignedClaim::Witnessed { policy } => witnessed(&case.text, policy).is_some(),
            SignedClaim::Proof { origin, keys, leaf } => {
                proof(&case.text, origin, keys, leaf).is_some()
            }
            SignedClaim::WitnessedProof { policy, leaf } => {
                witnessed_proof(&case.text, policy, leaf).is_some()
            }
        };
        assert!(!holds, "{}", case.why);
    }
}
