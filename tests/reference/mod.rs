//! A tree too slow to be wrong: recursion straight from the definition, sharing nothing with the
//! library but the hash functions of one node.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

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
}

/// The siblings of node `index` of the lowest of `levels` and of its ancestors.
pub fn siblings(n: usize, levels: &[Vec<[u8; 32]>], index: usize) -> Vec<[u8; 32]> {
    let Some((level, above)) = levels.split_first() else { return Vec::new() };
    let group = index / n * n..level.len().min(index / n * n + n);
    let mut found: Vec<_> = group.filter(|i| *i != index).map(|i| level[i]).collect();
    found.extend(siblings(n, above, index / n));
    found
}

/// Leaf `index` of the test trees: distinct, reproducible bytes.
pub fn leaf(index: u64) -> [u8; 32] {
    blake3::hash(&index.to_le_bytes()).into()
}

/// The first `count` leaves of the test trees.
pub fn leaves(count: usize) -> Vec<[u8; 32]> {
    (0..count as u64).map(leaf).collect()
}
