//! A tree too slow to be wrong: recursion straight from the definition, sharing nothing with the
//! library but the hash functions of one node.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

/// What the reference needs of a hash function.
#[derive(Clone, Copy)]
pub struct Oracle {
    /// The stable id of the library's hasher of the same function.
    pub id: &'static str,
    /// The parent of two or more children.
    pub node: fn(&[[u8; 32]]) -> [u8; 32],
    /// The root of the empty tree.
    pub empty: fn() -> [u8; 32],
}

pub const BLAKE3: Oracle = Oracle {
    id: "blake3",
    node: |children| blake3::hash(&children.concat()).into(),
    empty: || blake3::hash(b"").into(),
};

pub const RFC6962: Oracle = Oracle {
    id: "rfc6962-sha256",
    node: |children| sha256(&[&[1], children.concat().as_slice()].concat()),
    empty: || sha256(b""),
};

pub fn sha256(data: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(data).into()
}

impl Oracle {
    /// The value of a parent: one child is lifted, more are hashed.
    pub fn parent(&self, children: &[[u8; 32]]) -> [u8; 32] {
        if children.len() == 1 { children[0] } else { (self.node)(children) }
    }

    /// All levels of the tree, leaves first, root last; the incomplete nodes included.
    pub fn levels(&self, n: usize, leaves: &[[u8; 32]]) -> Vec<Vec<[u8; 32]>> {
        let mut levels = vec![leaves.to_vec()];
        if leaves.len() > 1 {
            let parents: Vec<_> = leaves.chunks(n).map(|group| self.parent(group)).collect();
            levels.extend(self.levels(n, &parents));
        }
        levels
    }

    /// The root of the tree of all `leaves`.
    pub fn root(&self, n: usize, leaves: &[[u8; 32]]) -> [u8; 32] {
        if leaves.is_empty() {
            return (self.empty)();
        }
        self.levels(n, leaves).last().unwrap()[0]
    }

    /// The siblings of leaf `index` and of its ancestors, bottom up, left to right.
    pub fn siblings(&self, n: usize, leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
        siblings(n, &self.levels(n, leaves), index)
    }

    /// The consistency proof between the first `m` of `leaves` and all of them, top down: the tree
    /// is split into chunks of the largest power of `n` below its size. `known` says whether the
    /// verifier has the root of the first `m` leaves.
    pub fn consistency(
        &self,
        n: usize,
        leaves: &[[u8; 32]],
        m: usize,
        known: bool,
    ) -> Vec<[u8; 32]> {
        if m == 0 || m == leaves.len() {
            return Vec::new();
        }
        let mut power = 1;
        while power * n < leaves.len() {
            power *= n;
        }
        let chunks: Vec<_> = leaves.chunks(power).collect();
        let last = (m - 1) / power;
        let mut proof = Vec::new();
        if m.is_multiple_of(power) {
            // The old tree ends with a chunk: all chunks, but not the old tree itself.
            proof.extend(chunks[..=last].iter().map(|chunk| self.root(n, chunk)));
            if last == 0 && known {
                proof.clear();
            }
        } else {
            let known = known && last == 0;
            proof = self.consistency(n, chunks[last], m - last * power, known);
            proof.extend(chunks[..last].iter().map(|chunk| self.root(n, chunk)));
        }
        proof.extend(chunks[last + 1..].iter().map(|chunk| self.root(n, chunk)));
        proof
    }
}

/// The recursive definitions of RFC 6962, section 2.1, word by word.
pub mod rfc6962 {
    use super::sha256;

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    /// MTH over leaf hashes.
    pub fn mth(d: &[[u8; 32]]) -> [u8; 32] {
        match d.len() {
            0 => sha256(b""),
            1 => d[0],
            n => {
                let (left, right) = d.split_at(k(n));
                sha256(&[&[1], &mth(left)[..], &mth(right)[..]].concat())
            }
        }
    }

    /// PATH(m, D\[n\]).
    pub fn path(m: usize, d: &[[u8; 32]]) -> Vec<[u8; 32]> {
        if d.len() == 1 {
            return Vec::new();
        }
        let k = k(d.len());
        let (mut path, other) = if m < k {
            (path(m, &d[..k]), mth(&d[k..]))
        } else {
            (path(m - k, &d[k..]), mth(&d[..k]))
        };
        path.push(other);
        path
    }

    /// PROOF(m, D\[n\]).
    pub fn proof(m: usize, d: &[[u8; 32]]) -> Vec<[u8; 32]> {
        subproof(m, d, true)
    }

    fn subproof(m: usize, d: &[[u8; 32]], b: bool) -> Vec<[u8; 32]> {
        let n = d.len();
        if m == n {
            return if b { Vec::new() } else { vec![mth(d)] };
        }
        let k = k(n);
        let (mut proof, other) = if m <= k {
            (subproof(m, &d[..k], b), mth(&d[k..]))
        } else {
            (subproof(m - k, &d[k..], false), mth(&d[..k]))
        };
        proof.push(other);
        proof
    }
}

/// The siblings of node `index` of the lowest of `levels` and of its ancestors.
pub fn siblings(n: usize, levels: &[Vec<[u8; 32]>], index: usize) -> Vec<[u8; 32]> {
    let Some((level, above)) = levels.split_first() else { return Vec::new() };
    let group = index / n * n..level.len().min(index / n * n + n);
    let mut found: Vec<_> = group.filter(|i| *i != index).map(|i| level[i]).collect();
    found.extend(siblings(n, above, index / n));
    found
}

/// A tree as one of those of a store.
#[derive(Clone, Copy, Debug)]
pub struct TreeOfStore<'a> {
    pub name: &'a str,
    pub hasher: &'a str,
    pub arity: usize,
    pub size: u64,
    pub root: [u8; 32],
}

impl TreeOfStore<'_> {
    /// Its leaf in the tree of the store, as FORMAT.md has it.
    pub fn leaf(&self) -> [u8; 32] {
        let mut fields = vec![u8::try_from(self.name.len()).unwrap()];
        fields.extend(self.name.as_bytes());
        fields.push(u8::try_from(self.hasher.len()).unwrap());
        fields.extend(self.hasher.as_bytes());
        fields.push(u8::try_from(self.arity).unwrap());
        fields.extend(self.size.to_le_bytes());
        fields.extend(self.root);
        blake3::derive_key("duramen 2026-11 head of a tree in a store", &fields)
    }
}

/// The commitment to trees that are sorted by name, as FORMAT.md has it.
pub fn commitment(trees: &[TreeOfStore<'_>]) -> [u8; 32] {
    let leaves: Vec<_> = trees.iter().map(TreeOfStore::leaf).collect();
    let mut fields = (trees.len() as u64).to_le_bytes().to_vec();
    fields.extend(BLAKE3.root(2, &leaves));
    blake3::derive_key("duramen 2026-11 head of a store", &fields)
}

/// The siblings that prove tree `at` to the commitment.
pub fn siblings_in_store(trees: &[TreeOfStore<'_>], at: usize) -> Vec<[u8; 32]> {
    let leaves: Vec<_> = trees.iter().map(TreeOfStore::leaf).collect();
    BLAKE3.siblings(2, &leaves, at)
}

/// The hashes of a proof of many leaves: on each level, from the leaves up, the siblings of known nodes that
/// are not known themselves, from left to right.
pub fn siblings_of_many(n: usize, levels: &[Vec<[u8; 32]>], indexes: &[usize]) -> Vec<[u8; 32]> {
    let mut known: BTreeSet<usize> = indexes.iter().copied().collect();
    let mut hashes = Vec::new();
    for level in levels {
        for (node, hash) in level.iter().enumerate() {
            let sibling_is_known = known.iter().any(|k| k / n == node / n);
            if sibling_is_known && !known.contains(&node) && level.len() > 1 {
                hashes.push(*hash);
            }
        }
        known = known.iter().map(|k| k / n).collect();
    }
    hashes
}

/// The complete nodes whose parent is incomplete or missing, from left to right.
pub fn frontier(n: usize, levels: &[Vec<[u8; 32]>]) -> Vec<[u8; 32]> {
    let size = levels[0].len();
    let mut nodes = Vec::new();
    for (level, hashes) in levels.iter().enumerate().rev() {
        let complete = size / n.pow(u32::try_from(level).unwrap());
        nodes.extend(&hashes[complete / n * n..complete]);
    }
    nodes
}

/// Leaf `index` of the test trees: distinct, reproducible bytes.
pub fn leaf(index: u64) -> [u8; 32] {
    blake3::hash(&index.to_le_bytes()).into()
}

/// The first `count` leaves of the test trees.
pub fn leaves(count: usize) -> Vec<[u8; 32]> {
    (0..count as u64).map(leaf).collect()
}
