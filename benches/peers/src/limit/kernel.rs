//! The hash kernel alone: BLAKE3's multi-input function over buffers that exist already, on all
//! cores, with no tree around it.

use anyhow::{Result, ensure};
use blake3::IncrementCounter;
use blake3::platform::{MAX_SIMD_DEGREE, Platform};
use rayon::prelude::*;

use crate::leaves::Leaf;

const IV: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;

/// How many parents one task hashes.
const TASK: usize = 1024;

/// Buffers for the complete nodes of every level above the leaves.
#[derive(Debug)]
pub struct Levels<const LEN: usize> {
    above: Vec<Vec<Leaf>>,
}

impl<const LEN: usize> Levels<LEN> {
    const ARITY: usize = LEN / 32;

    /// Room for a tree over `leaves`, every page of it touched.
    pub fn for_leaves(leaves: usize) -> Self {
        let sizes = std::iter::successors(Some(leaves / Self::ARITY), |n| Some(n / Self::ARITY));
        let above = sizes.take_while(|n| *n > 0).map(|n| vec![[0xA5; 32]; n]).collect();
        Self { above }
    }

    /// Hashes every complete node and returns the topmost one computed.
    pub fn hash(&mut self, leaves: &[Leaf]) -> Leaf {
        let platform = Platform::detect();
        let mut below = leaves;
        let mut top = [0; 32];
        for level in &mut self.above {
            let children = below.chunks(TASK * Self::ARITY);
            if level.len() > TASK {
                level
                    .par_chunks_mut(TASK)
                    .zip(children.collect::<Vec<_>>())
                    .for_each(|(parents, children)| hash_run::<LEN>(platform, children, parents));
            } else {
                hash_run::<LEN>(platform, below, level);
            }
            top = level[0];
            below = level;
        }
        top
    }
}

fn hash_run<const LEN: usize>(platform: Platform, children: &[Leaf], parents: &mut [Leaf]) {
    let (groups, _) = children.as_flattened().as_chunks::<LEN>();
    for (groups, parents) in groups.chunks(MAX_SIMD_DEGREE).zip(parents.chunks_mut(MAX_SIMD_DEGREE))
    {
        let mut inputs = [&groups[0]; MAX_SIMD_DEGREE];
        for (slot, group) in inputs.iter_mut().zip(groups) {
            *slot = group;
        }
        platform.hash_many(
            &inputs[..parents.len()],
            &IV,
            0,
            IncrementCounter::No,
            0,
            CHUNK_START,
            CHUNK_END | ROOT,
            parents.as_flattened_mut(),
        );
    }
}

/// Fails unless the kernel gives what BLAKE3's public function gives.
pub fn check<const LEN: usize>() -> Result<()> {
    let children = crate::leaves::many(LEN as u64, 100 * LEN as u64 / 32);
    let mut parents = vec![[0; 32]; 100];
    hash_run::<LEN>(Platform::detect(), &children, &mut parents);
    for (group, parent) in children.as_flattened().chunks(LEN).zip(&parents) {
        ensure!(blake3::hash(group) == *parent, "the hash kernel differs from BLAKE3 at {LEN}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gives_what_blake3_gives() {
        check::<64>().unwrap();
        check::<128>().unwrap();
        check::<256>().unwrap();
        check::<512>().unwrap();
    }
}
