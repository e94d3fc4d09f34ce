//! Trees of RFC 6962 and their subtrees by recursion from the definitions, sharing nothing with the library but
//! the types; and keys.

use std::convert::Infallible;

use duramen::merkle::{Level, NodeIndex, NodeSource};
use duramen::tlog::{
    AnyVerifier, Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, MlDsa44Key, NoteVerifier,
    SignedNote,
};
use duramen::{Arity, Hash, Hasher, Rfc6962Sha256, TreeHead, TreeSize};
use sha2::{Digest, Sha256};

pub(crate) const ORIGIN: &str = "example.com/log";
pub(crate) const TIME: u64 = 1_767_225_600;

pub(crate) fn sha256(data: &[u8]) -> Hash {
    Sha256::digest(data).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn leaf(data: &[u8]) -> Hash {
    sha256(&[&[0], data].concat())
}

pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left.as_slice(), right].concat())
}

/// The leaves of the data 0x00, 0x01 and so on.
pub(crate) fn leaves(count: u8) -> Vec<Hash> {
    (0..count).map(|data| leaf(&[data])).collect()
}

fn split(count: usize) -> usize {
    let mut power = 1;
    while power * 2 < count {
        power *= 2;
    }
    power
}

/// The Merkle Tree Hash: RFC 6962, section 2.1.
pub(crate) fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&mth(left), &mth(right))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
pub(crate) fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, beside) = if index < k {
        (path(left, index), mth(right))
    } else {
        (path(right, index - k), mth(left))
    };
    below.push(beside);
    below
}

/// `SUBTREE_PROOF` of the draft, section 4.4.1.
pub(crate) fn subtree_proof(leaves: &[Hash], start: usize, end: usize) -> Vec<Hash> {
    if start == end { Vec::new() } else { subproof(leaves, start, end, true) }
}

fn subproof(leaves: &[Hash], start: usize, end: usize, known: bool) -> Vec<Hash> {
    let n = leaves.len();
    if (start, end) == (0, n) {
        return if known { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(n);
    let (left, right) = leaves.split_at(k);
    let (mut below, beside) = if end <= k {
        (subproof(left, start, end, known), mth(right))
    } else if k <= start {
        (subproof(right, start - k, end - k, known), mth(left))
    } else {
        assert_eq!(start, 0, "an interval that is cut begins with its node");
        (subproof(right, 0, end - k, false), mth(left))
    };
    below.push(beside);
    below
}

/// Verification as the draft has it, step by step with three numbers: section 4.4.3.
pub(crate) fn subtree_verifies(
    n: u64,
    (start, end): (u64, u64),
    proof: &[Hash],
    root: &Hash,
    tree: &Hash,
) -> bool {
    if !is_subtree(start, end) || end > n {
        return false;
    }
    if start == end {
        return proof.is_empty() && *root == sha256(&[]);
    }
    let (mut first, mut second, mut third) = (start, end - 1, n - 1);
    let shift = |numbers: [&mut u64; 3]| numbers.map(|number| *number >>= 1);
    while first != second && (second == third || second & 1 == 1) {
        // Both conditions hold or not for all of the way: equal numbers stay equal.
        shift([&mut first, &mut second, &mut third]);
    }
    let mut rest = proof.iter();
    let base = if first == second { Some(root) } else { rest.next() };
    let Some(base) = base else { return false };
    let (mut part, mut whole) = (*base, *base);
    for hash in rest {
        if third == 0 {
            return false;
        }
        if second & 1 == 1 || second == third {
            if first < second {
                part = node(hash, &part);
            }
            whole = node(hash, &whole);
            while second & 1 == 0 {
                shift([&mut first, &mut second, &mut third]);
            }
        } else {
            whole = node(&whole, hash);
        }
        shift([&mut first, &mut second, &mut third]);
    }
    third == 0 && part == *root && whole == *tree
}

/// Section 4.1 of the draft, by trying every power.
pub(crate) fn is_subtree(start: u64, end: u64) -> bool {
    if start > end {
        return false;
    }
    let mut power = 1_u128;
    while power < u128::from(end - start) {
        power *= 2;
    }
    u128::from(start).is_multiple_of(power)
}

/// All complete nodes of a tree.
pub(crate) struct Tree(Vec<Vec<Hash>>);

impl Tree {
    pub(crate) fn new(leaves: &[Hash]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(last) = levels.last()
            && last.len() > 1
        {
            let parents = last.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect();
            levels.push(parents);
        }
        Self(levels)
    }

    pub(crate) fn leaves(&self) -> &[Hash] {
        &self.0[0]
    }

    pub(crate) fn head(&self, size: usize) -> TreeHead {
        TreeHead { size: TreeSize(size as u64), root: mth(&self.0[0][..size]) }
    }
}

impl NodeSource for Tree {
    type Error = Infallible;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), Infallible> {
        let first = usize::try_from(first.get()).unwrap();
        out.copy_from_slice(&self.0[usize::from(level.0)][first..first + out.len()]);
        Ok(())
    }
}

pub(crate) fn checkpoint(head: TreeHead) -> Checkpoint {
    Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head).unwrap()
}

pub(crate) fn log_key() -> Ed25519Signer {
    Ed25519Signer::from_secret(ORIGIN, &[1; 32]).unwrap()
}

pub(crate) fn log_note(head: TreeHead) -> SignedNote {
    SignedNote::sign(&checkpoint(head).to_string(), &log_key()).unwrap()
}

/// A cosigner of type 0x04.
pub(crate) fn ed25519_witness(number: u8) -> Cosigner<Ed25519Key> {
    let name = format!("witness.example/w{number}");
    Cosigner::new(&name, Ed25519Key::from_secret(&[100 + number; 32])).unwrap()
}

/// A cosigner of type 0x06.
pub(crate) fn mldsa_witness(number: u8) -> Cosigner<MlDsa44Key> {
    let name = format!("witness.example/w{number}");
    Cosigner::new(&name, MlDsa44Key::from_seed(&[100 + number; 32])).unwrap()
}

pub(crate) fn verifier(vkey: &str) -> AnyVerifier {
    vkey.parse().unwrap()
}

/// The keys as [`SignedNote::verify`] takes them.
pub(crate) fn known(keys: &[AnyVerifier]) -> Vec<&dyn NoteVerifier> {
    keys.iter().map(|key| key as &dyn NoteVerifier).collect()
}
