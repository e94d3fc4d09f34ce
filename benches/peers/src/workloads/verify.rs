//! Verification of inclusion proofs against a trusted head.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use duramen::{Arity, Blake3, LeafIndex};
use rotortree::{Blake3Hasher, LeanIMT, NaryProof};

use crate::env::Env;
use crate::leaves::{self, Random};
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides::{self, ARITY, ROTOR_DEPTH};

const PROOFS: u64 = 2_000;
const ROUNDS: u64 = 50;

/// Times verification of proofs for random leaves. The limit does nothing but the hashing that
/// such a verification contains.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let leaves = leaves::many(7, env.scaled(1 << 20, 1));
    let dir = env.fresh_dir()?;
    let store = sides::duramen(dir.path(), None)?;
    store.insert_many(&leaves)?;
    let head = store.head()?;
    let snapshot = store.snapshot();
    let mut tree = LeanIMT::<Blake3Hasher, ARITY, ROTOR_DEPTH>::new(Blake3Hasher);
    let root = tree.insert_many(&leaves)?;
    ensure!(root == head.root, "the sides disagree about the root");

    let mut random = Random::new(8);
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..PROOFS {
        let index = random.below(leaves.len() as u64);
        ours.push((LeafIndex(index), leaves[index as usize], snapshot.prove(index)?));
        let proof = tree.snapshot().generate_proof(index);
        theirs.push(proof?);
    }
    let rounds = env.scaled(ROUNDS, 1);

    let duramen = side(Who::Duramen, || {
        time(rounds, &ours, |(index, leaf, proof)| {
            black_box(proof).verify(&Blake3, Arity::of::<ARITY>(), &head, *index, leaf)?;
            Ok(())
        })
    });
    let rotortree = side(Who::Rotortree, || {
        time(rounds, &theirs, |proof| {
            let verified = black_box(proof).verify_against(&Blake3Hasher, root);
            ensure!(verified.is_ok_and(|yes| yes), "rotortree refuses its own proof");
            Ok(())
        })
    });
    let limit = side(Who::Limit, || {
        time(rounds, &theirs, |proof| {
            black_box(bare_hashing(black_box(proof)));
            Ok(())
        })
    });
    let rows = interleave(env, name, &[less("nanoseconds")], vec![duramen, rotortree, limit])?;
    store.close()?;
    Ok(rows)
}

/// One hash per level over as many bytes as the proof's level has, each fed into the next.
fn bare_hashing(proof: &NaryProof<ARITY, ROTOR_DEPTH>) -> [u8; 32] {
    let mut children = [[0xA5; 32]; ARITY];
    for level in &proof.levels[..proof.level_count] {
        if level.sibling_count > 0 {
            let group = &children[..=usize::from(level.sibling_count)];
            children[0] = *blake3::hash(group.as_flattened()).as_bytes();
        }
    }
    children[0]
}

/// Nanoseconds per proof over several rounds.
fn time<P>(rounds: u64, proofs: &[P], verify: impl Fn(&P) -> Result<()>) -> Result<Sample> {
    let start = Instant::now();
    for _ in 0..rounds {
        for proof in proofs {
            verify(proof)?;
        }
    }
    Ok(vec![Some(start.elapsed().as_nanos() as f64 / (rounds * proofs.len() as u64) as f64)])
}
