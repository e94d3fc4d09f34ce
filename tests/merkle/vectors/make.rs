//! Makes the files from the reference alone. Only the signatures of `tlog.json` are the library's.

use serde::Serialize;
use sha3::Digest;
use testkit::reference::{self, BLAKE3, Oracle, RFC6962, TreeOfStore};

use crate::vectors::bytes::{Hash, encode, encode_tree, hex, texts};
use crate::vectors::cases::{
    Claim, Consistency, Data, Frontier, Head, Inclusion, Leaf, Multi, Profile, Refused,
    RefusedTree, Store, Stores, Tree,
};
use crate::vectors::signed;

/// Every size up to this one has its root here.
const ROOTS: usize = 70;
/// The sizes whose proofs are here: around the powers of all arities, and a deep tree.
const SIZES: [usize; 11] = [1, 2, 3, 5, 8, 16, 17, 21, 40, 64, 300];
/// The hash functions.
const HASHERS: [Oracle; 3] = [BLAKE3, RFC6962, KECCAK256];
/// Keccak-256 of all children; the root of the empty tree is zero.
const KECCAK256: Oracle =
    Oracle { id: "keccak256", node: |children| keccak(&children.concat()), empty: || [0; 32] };
const ARITIES: [usize; 4] = [2, 4, 8, 16];

/// The kinds of encodings.
const INCLUSION: u8 = 1;
const CONSISTENCY: u8 = 2;
const MULTI: u8 = 3;
const FRONTIER: u8 = 4;

fn keccak(data: &[u8]) -> Hash {
    sha3::Keccak256::digest(data).into()
}

/// All files by name.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for oracle in HASHERS {
        for arity in ARITIES {
            let name = format!("{}-{arity}.json", oracle.id);
            files.push((name, profile(&Maker { oracle, arity }.profile())));
        }
    }
    let stores = stores();
    let stores = object(&[list("stores", &stores.stores), list("refused", &stores.refused)]);
    files.push(("stores.json".to_owned(), stores));
    let signed = signed::file();
    let signed = object(&[
        list("checkpoints", &signed.checkpoints),
        list("witnessed", &signed.witnessed),
        list("proofs", &signed.proofs),
        list("witnessed_proofs", &signed.witnessed_proofs),
        list("refused", &signed.refused),
    ]);
    files.push(("tlog.json".to_owned(), signed));
    files
}

/// The cases of one kind, one a line. Written here, so that the order of fields is that of the types.
fn list<T: Serialize>(name: &str, cases: &[T]) -> String {
    let line = |case: &T| format!("    {}", serde_json::to_string(case).unwrap());
    let lines: Vec<_> = cases.iter().map(line).collect();
    format!("  \"{name}\": [\n{}\n  ]", lines.join(",\n"))
}

fn object(fields: &[String]) -> String {
    format!("{{\n{}\n}}\n", fields.join(",\n"))
}

fn profile(file: &Profile) -> String {
    object(&[
        format!("  \"hasher\": \"{}\"", file.hasher),
        format!("  \"arity\": {}", file.arity),
        list("leaves_of_data", &file.leaves_of_data),
        list("roots", &file.roots),
        list("inclusion", &file.inclusion),
        list("consistency", &file.consistency),
        list("multi", &file.multi),
        list("frontiers", &file.frontiers),
        list("refused", &file.refused),
    ])
}

/// One kind of tree.
struct Maker {
    oracle: Oracle,
    arity: usize,
}

impl Maker {
    fn profile(&self) -> Profile {
        let sizes = || (0..=ROOTS).chain([100, 300, 1000]);
        let pairs = SIZES.iter().enumerate().flat_map(|(at, new)| {
            SIZES[..=at].iter().step_by(2).chain(&[0]).map(move |old| (*old, *new))
        });
        Profile {
            hasher: self.oracle.id.to_owned(),
            arity: self.arity,
            leaves_of_data: self.data(),
            roots: sizes().map(|size| self.head(size)).collect(),
            inclusion: SIZES.into_iter().flat_map(|size| self.inclusions(size)).collect(),
            consistency: pairs.map(|(old, new)| self.consistency(old, new)).collect(),
            multi: SIZES.into_iter().flat_map(|size| self.multis(size)).collect(),
            frontiers: [0, 1, 2, 5, 16, 17, 63, 64, 300].map(|size| self.frontier(size)).into(),
            refused: self.refused(),
        }
    }

    fn data(&self) -> Vec<Data> {
        let leaf = |data: &[u8]| match self.oracle.id {
            "blake3" => blake3::derive_key("duramen 2026-11 leaf data v1", data),
            "keccak256" => keccak(&keccak(data)),
            _ => reference::sha256(&[&[0], data].concat()),
        };
        let long: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let all = [&b""[..], b"a", b"duramen", &[0; 32], &[0; 64], &long];
        all.into_iter().map(|data| Data { data: hex(data), leaf: hex(&leaf(data)) }).collect()
    }

    fn root(&self, size: usize) -> Hash {
        self.oracle.root(self.arity, &reference::leaves(size))
    }

    fn head(&self, size: usize) -> Head {
        Head { size: size as u64, root: hex(&self.root(size)) }
    }

    fn levels(&self, size: usize) -> Vec<Vec<Hash>> {
        self.oracle.levels(self.arity, &reference::leaves(size))
    }

    fn encode(&self, kind: u8, numbers: &[u64], hashes: &[Hash]) -> Vec<u8> {
        encode(kind, (self.oracle.id, self.arity), numbers, hashes)
    }

    fn inclusions(&self, size: usize) -> Vec<Inclusion> {
        let mut indexes = vec![0, size / 3, size - 1];
        indexes.dedup();
        let levels = self.levels(size);
        let case = |index: usize| {
            let hashes = reference::siblings(self.arity, &levels, index);
            let numbers = [size as u64, index as u64];
            Inclusion {
                head: self.head(size),
                index: index as u64,
                leaf: hex(&reference::leaf(index as u64)),
                hashes: texts(&hashes),
                bytes: hex(&self.encode(INCLUSION, &numbers, &hashes)),
            }
        };
        indexes.into_iter().map(case).collect()
    }

    fn consistency_hashes(&self, old: usize, new: usize) -> Vec<Hash> {
        self.oracle.consistency(self.arity, &reference::leaves(new), old, true)
    }

    fn consistency(&self, old: usize, new: usize) -> Consistency {
        let hashes = self.consistency_hashes(old, new);
        Consistency {
            old: self.head(old),
            new: self.head(new),
            hashes: texts(&hashes),
            bytes: hex(&self.encode(CONSISTENCY, &[old as u64, new as u64], &hashes)),
        }
    }

    fn multi_bytes(&self, size: usize, indexes: &[usize], hashes: &[Hash]) -> Vec<u8> {
        let mut numbers = vec![size as u64, indexes.len() as u64];
        numbers.extend(indexes.iter().map(|index| *index as u64));
        self.encode(MULTI, &numbers, hashes)
    }

    fn multis(&self, size: usize) -> Vec<Multi> {
        let some: Vec<usize> =
            (0..size).filter(|index| index % 7 == 1 || *index == size - 1).collect();
        let mut sets = vec![vec![size / 2], some];
        if size <= 21 {
            sets.push((0..size).collect());
        }
        let levels = self.levels(size);
        let case = |indexes: Vec<usize>| {
            let hashes = reference::siblings_of_many(self.arity, &levels, &indexes);
            Multi {
                head: self.head(size),
                leaves: leaves_at(&indexes),
                hashes: texts(&hashes),
                bytes: hex(&self.multi_bytes(size, &indexes, &hashes)),
            }
        };
        sets.into_iter().map(case).collect()
    }

    fn frontier(&self, size: usize) -> Frontier {
        let nodes = reference::frontier(self.arity, &self.levels(size));
        let bytes = hex(&self.encode(FRONTIER, &[size as u64], &nodes));
        Frontier { head: self.head(size), nodes: texts(&nodes), bytes }
    }

    fn refused(&self) -> Vec<Refused> {
        [self.refused_inclusions(), self.refused_consistency(), self.refused_multi()].concat()
    }

    fn refused_inclusions(&self) -> Vec<Refused> {
        let (size, index) = (21, 7);
        let hashes = reference::siblings(self.arity, &self.levels(size), index);
        let claim = |size: usize, index: usize, leaf: usize| Claim::Inclusion {
            head: self.head(size),
            index: index as u64,
            leaf: hex(&reference::leaf(leaf as u64)),
        };
        let right = claim(size, index, index);
        let good = self.encode(INCLUSION, &[21, 7], &hashes);
        let mut cases = mangled(&good, &right, 8 + self.oracle.id.len() + 16);
        let mut add =
            |why: &str, claim: Claim, bytes: Vec<u8>| cases.push(refused(why, claim, &bytes));
        add("another leaf is asked for", claim(size, index, index + 1), good.clone());
        add("another index is asked for", claim(size, index + 1, index), good.clone());
        add("another size is trusted", claim(size + 1, index, index), good.clone());
        let said = self.encode(INCLUSION, &[21, 8], &hashes);
        add("the proof says another index", right.clone(), said);
        let said = self.encode(INCLUSION, &[22, 7], &hashes);
        add("the proof says another size", right.clone(), said);
        let said = self.encode(INCLUSION, &[21, 21], &hashes);
        add("the proof says an index that the tree does not have", right.clone(), said);
        let mut other = hashes.clone();
        other.reverse();
        add("the hashes are in the wrong order", right, self.encode(INCLUSION, &[21, 7], &other));
        cases
    }

    fn refused_consistency(&self) -> Vec<Refused> {
        let hashes = self.consistency_hashes(5, 21);
        let claim = |old, new| Claim::Consistency { old: self.head(old), new: self.head(new) };
        let good = self.encode(CONSISTENCY, &[5, 21], &hashes);
        let mut cases = mangled(&good, &claim(5, 21), 8 + self.oracle.id.len() + 16);
        let mut add =
            |why: &str, claim: Claim, bytes: Vec<u8>| cases.push(refused(why, claim, &bytes));
        add("another old size is trusted", claim(4, 21), good.clone());
        add("another new size is trusted", claim(5, 20), good.clone());
        let Head { root, .. } = self.head(6);
        let forked = Claim::Consistency { old: Head { size: 5, root }, new: self.head(21) };
        add("the old root is another one", forked, good.clone());
        let said = self.encode(CONSISTENCY, &[21, 5], &hashes);
        add("the proof says sizes in the wrong order", claim(5, 21), said);
        let same = Claim::Consistency {
            old: Head { root: hex(&[7; 32]), ..self.head(21) },
            new: self.head(21),
        };
        add("two roots of one size", same, self.encode(CONSISTENCY, &[21, 21], &[]));
        let empty =
            Claim::Consistency { old: Head { size: 0, root: hex(&[7; 32]) }, new: self.head(21) };
        add(
            "size 0 with a root that is not that of nothing",
            empty,
            self.encode(CONSISTENCY, &[0, 21], &[]),
        );
        cases
    }

    fn refused_multi(&self) -> Vec<Refused> {
        let indexes = [1, 7, 20];
        let hashes = reference::siblings_of_many(self.arity, &self.levels(21), &indexes);
        let claim =
            |indexes: &[usize]| Claim::Multi { head: self.head(21), leaves: leaves_at(indexes) };
        let right = claim(&indexes);
        let good = self.multi_bytes(21, &indexes, &hashes);
        let mut cases = mangled(&good, &right, 8 + self.oracle.id.len() + 16 + 24);
        let mut add =
            |why: &str, claim: Claim, bytes: Vec<u8>| cases.push(refused(why, claim, &bytes));
        add("a leaf is left out", claim(&[1, 20]), good.clone());
        add("a leaf more is asked for", claim(&[1, 7, 8, 20]), good.clone());
        let mut leaves = leaves_at(&indexes);
        leaves[1].leaf = hex(&reference::leaf(8));
        add("another leaf is asked for", Claim::Multi { head: self.head(21), leaves }, good);
        let said = self.multi_bytes(21, &[7, 1, 20], &hashes);
        add("the indexes do not ascend", right.clone(), said);
        let said = self.multi_bytes(21, &[1, 7, 7, 20], &hashes);
        add("an index stands twice", right.clone(), said);
        let said = self.multi_bytes(21, &[], &[self.root(21)]);
        add("no index", right.clone(), said);
        let said = self.encode(MULTI, &[21, 1 << 60, 1, 7, 20], &hashes);
        add("more indexes than bytes", right, said);
        cases
    }
}

fn leaves_at(indexes: &[usize]) -> Vec<Leaf> {
    let leaf =
        |index: &usize| Leaf { index: *index as u64, leaf: hex(&reference::leaf(*index as u64)) };
    indexes.iter().map(leaf).collect()
}

fn refused(why: &str, claim: Claim, bytes: &[u8]) -> Refused {
    Refused { why: why.to_owned(), claim, bytes: hex(bytes) }
}

/// What is wrong in the bytes of any proof whose hashes begin at `first`.
fn wrong_bytes(good: &[u8], first: usize) -> Vec<(&'static str, Vec<u8>)> {
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    let arity = if good[6] == 2 { 4 } else { 2 };
    let last = good.len() - 1;
    vec![
        ("a bit of the first hash is changed", with(first, good[first] ^ 1)),
        ("a bit of the last hash is changed", with(last, good[last] ^ 0x80)),
        ("the last hash is missing", good[..good.len() - 32].to_vec()),
        ("a hash more", [good, &[0; 32]].concat()),
        ("a byte more", [good, &[0]].concat()),
        ("a byte is missing", good[..last].to_vec()),
        ("nothing", Vec::new()),
        ("another magic", with(0, b'D')),
        ("another version", with(4, 2)),
        ("another kind", with(5, if good[5] == 1 { 2 } else { 1 })),
        ("an unknown kind", with(5, 99)),
        ("another arity", with(6, arity)),
        ("an arity that no tree has", with(6, 3)),
        ("another hash function", with(8, b'x')),
    ]
}

fn mangled(good: &[u8], claim: &Claim, first: usize) -> Vec<Refused> {
    let cases = wrong_bytes(good, first).into_iter();
    cases.map(|(why, bytes)| refused(why, claim.clone(), &bytes)).collect()
}

/// Trees with names whose bytes sort otherwise than their characters might.
fn trees(count: u64) -> Vec<(String, Oracle, usize, u64)> {
    let names = ["notes", "nullifiers", "Notes", "größer", "a name with spaces", "zebra", "0"];
    let name = |number: u64| match names.get(usize::try_from(number).unwrap()) {
        Some(name) => (*name).to_owned(),
        None => format!("account-{number}"),
    };
    let mut trees: Vec<_> = (0..count)
        .map(|number| {
            let at = usize::try_from(number).unwrap();
            (name(number), [BLAKE3, RFC6962][at % 2], ARITIES[at % 4], number * 5 % 23)
        })
        .collect();
    trees.sort_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
    trees
}

fn of_store(trees: &[(String, Oracle, usize, u64)]) -> Vec<TreeOfStore<'_>> {
    let mut all = Vec::new();
    for (name, oracle, arity, size) in trees {
        let leaves = reference::leaves(usize::try_from(*size).unwrap());
        let root = oracle.root(*arity, &leaves);
        all.push(TreeOfStore { name, hasher: oracle.id, arity: *arity, size: *size, root });
    }
    all
}

fn stores() -> Stores {
    let store = |count: u64| {
        let trees = trees(count);
        let trees = of_store(&trees);
        let tree = |at: usize| {
            let tree = &trees[at];
            let hashes = reference::siblings_in_store(&trees, at);
            Tree {
                name: tree.name.to_owned(),
                hasher: tree.hasher.to_owned(),
                arity: tree.arity,
                size: tree.size,
                root: hex(&tree.root),
                leaf: hex(&tree.leaf()),
                hashes: texts(&hashes),
                bytes: hex(&encode_tree(tree, at as u64, count, &hashes)),
            }
        };
        Store {
            commitment: hex(&reference::commitment(&trees)),
            trees: (0..trees.len()).map(tree).collect(),
        }
    };
    Stores { stores: [0, 1, 2, 3, 7, 8, 20].map(store).into(), refused: refused_trees() }
}

fn refused_trees() -> Vec<RefusedTree> {
    let trees = trees(7);
    let trees = of_store(&trees);
    let commitment = hex(&reference::commitment(&trees));
    let (at, tree) = (2, &trees[2]);
    let hashes = reference::siblings_in_store(&trees, at);
    let good = encode_tree(tree, at as u64, 7, &hashes);
    let mut cases = Vec::new();
    let mut add = |why: &str, bytes: &[u8]| {
        let commitment = commitment.clone();
        cases.push(RefusedTree { why: why.to_owned(), commitment, bytes: hex(bytes) });
    };
    for (why, bytes) in wrong_bytes(&good, good.len() - 32 * hashes.len()) {
        add(why, &bytes);
    }
    let other =
        |tree: TreeOfStore<'_>, position, count| encode_tree(&tree, position, count, &hashes);
    add("another name", &other(TreeOfStore { name: "another", ..*tree }, 2, 7));
    add("a name that no tree has", &other(TreeOfStore { name: "a/b", ..*tree }, 2, 7));
    add("another size", &other(TreeOfStore { size: tree.size + 1, ..*tree }, 2, 7));
    add("another root", &other(TreeOfStore { root: [7; 32], ..*tree }, 2, 7));
    add("another position", &other(*tree, 3, 7));
    add("a position that the store does not have", &other(*tree, 7, 7));
    add("another number of trees", &other(*tree, 2, 8));
    cases
}
