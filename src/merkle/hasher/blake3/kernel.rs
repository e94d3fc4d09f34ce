//! BLAKE3's compression function and its many-input form, called directly.
//!
//! The crate `blake3` keeps both in a doc-hidden module: they carry no promise. So nothing here is
//! used before [`trusted`] has compared it with the public function on this processor, and every
//! function of this file is only reached through the [`Platform`] it returned.
//!
//! # Invariant
//!
//! For inputs of one chunk (at most 1,024 bytes) the functions here equal BLAKE3 in the mode that
//! `key` and `mode` name.

use ::blake3::IncrementCounter;
use ::blake3::platform::Platform;

use crate::merkle::types::{Arity, Hash};

/// The initial chaining value of BLAKE3, which is the key of the unkeyed mode (BLAKE3 paper,
/// section 2.2, table 1).
pub(super) const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
/// The flags of the plain hash mode: none.
pub(super) const PLAIN: u8 = 0;
/// The flag of the second half of the derive-key mode.
pub(super) const DERIVE_KEY_MATERIAL: u8 = 1 << 6;
/// The longest input that is a single chunk.
pub(super) const CHUNK: usize = 1024;

/// The most groups of [`hash_chain`].
pub(super) const CHAIN: usize = LANES - 1;

const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const BLOCK: usize = 64;
const WHOLE_BLOCK: u8 = 64;
const _: () = assert!(WHOLE_BLOCK as usize == BLOCK);
/// How many inputs go to the kernel at once: the lanes of the widest one.
pub(super) const LANES: usize = 16;

/// The kernel of this processor, if it was seen to equal the public function.
///
/// The comparison runs once per process and takes well under a millisecond.
#[cfg(feature = "std")]
#[inline]
pub(super) fn trusted() -> Option<Platform> {
    static TRUSTED: std::sync::OnceLock<Option<Platform>> = std::sync::OnceLock::new();
    *TRUSTED.get_or_init(|| {
        let platform = Platform::detect();
        equals_public(platform).then_some(platform)
    })
}

/// The kernel of this processor, if it was seen to equal the public function.
///
/// The comparison runs once, or a few times if several threads come first together: it is pure, so
/// all of them store the same answer. WebAssembly gets the public function: what is not used here makes a module for a
/// browser 25 kB smaller.
#[cfg(not(feature = "std"))]
#[inline]
pub(super) fn trusted() -> Option<Platform> {
    use core::sync::atomic::{AtomicU8, Ordering};

    if cfg!(target_family = "wasm") {
        return None;
    }

    const UNKNOWN: u8 = 0;
    const EQUAL: u8 = 1;
    const DIFFERENT: u8 = 2;
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

    let platform = Platform::detect();
    // Relaxed: the state guards no other memory.
    let mut state = STATE.load(Ordering::Relaxed);
    if state == UNKNOWN {
        state = if equals_public(platform) { EQUAL } else { DIFFERENT };
        STATE.store(state, Ordering::Relaxed);
    }
    (state == EQUAL).then_some(platform)
}

/// Whether the kernel gives the public function's bytes for every arity, every number of children
/// and for batches that use every lane width.
fn equals_public(platform: Platform) -> bool {
    // One full pass over the widest lanes and one over each narrower power of two.
    const GROUPS: usize = 2 * LANES - 1;
    let mut children = [[0u8; 32]; GROUPS * Arity::MAX];
    for (at, byte) in children.as_flattened_mut().iter_mut().enumerate() {
        let [low, high, ..] = at.wrapping_mul(0x9e37).to_le_bytes();
        *byte = low ^ high;
    }
    // Whole nodes, and the lengths around a block's and a chunk's end.
    const KEYED: u8 = 1 << 4;
    let nodes = (1..=Arity::MAX).map(|count| 32 * count);
    let one_by_one = nodes.chain([0, 1, 31, 63, 65, 127, 129, 1023, CHUNK]).all(|len| {
        let (key, input) = (&children[Arity::MAX], &children.as_flattened()[..len]);
        hash_chunk(platform, &IV, PLAIN, input) == *::blake3::hash(input).as_bytes()
            && hash_chunk(platform, &words(key), KEYED, input)
                == *::blake3::keyed_hash(key, input).as_bytes()
    });
    let many = Arity::ALL.into_iter().all(|arity| {
        let mut parents = [[0u8; 32]; GROUPS];
        let children = &children[..GROUPS * arity.children()];
        hash_groups(platform, arity, children, &mut parents);
        children
            .chunks_exact(arity.children())
            .zip(&parents)
            .all(|(group, parent)| *parent == *::blake3::hash(group.as_flattened()).as_bytes())
    });
    // Up to all lanes, with inputs of different lengths, and of lengths that have as many whole blocks.
    let side_by_side = (1..=LANES).all(|count| {
        let bytes = children.as_flattened();
        let lens = [0, 63, 64, 65, 128, 200, 640, CHUNK];
        lens.into_iter().all(|least| {
            let len = |at: usize| (least + 29 * at * usize::from(count % 2 == 0)).min(CHUNK);
            let inputs: [&[u8]; LANES] = core::array::from_fn(|at| &bytes[at..at + len(at)]);
            let (key, mut hashes) = (&children[Arity::MAX], [[0u8; 32]; LANES]);
            let inputs = &inputs[..count];
            hash_chunks(platform, &words(key), KEYED, inputs, &mut hashes[..count]);
            let expected = inputs.iter().map(|input| *::blake3::keyed_hash(key, input).as_bytes());
            expected.eq(hashes[..count].iter().copied())
        })
    });
    // Chains of every length, with groups of every length in turn.
    let chained = (0..=CHAIN).all(|len| {
        let (node, first) = (&children[0], &children[..len % Arity::MAX]);
        let mut groups = [&children[..1]; CHAIN];
        for (at, group) in groups.iter_mut().enumerate() {
            *group = &children[at..][..1 + (at + len) % (Arity::MAX - 1)];
        }
        let all = [first].into_iter().filter(|first| !first.is_empty());
        let expected = all.chain(groups[..len].iter().copied()).fold(*node, |node, group| {
            let mut input = ::blake3::Hasher::new();
            *input.update(group.as_flattened()).update(&node).finalize().as_bytes()
        });
        hash_chain(platform, first, node, &groups[..len]) == expected
    });
    one_by_one && many && side_by_side && chained
}

/// The 32-byte key or hash as the kernel wants it.
pub(super) const fn words(bytes: &Hash) -> [u32; 8] {
    let mut words = [0; 8];
    let mut at = 0;
    while at < 8 {
        words[at] = u32::from_le_bytes([
            bytes[4 * at],
            bytes[4 * at + 1],
            bytes[4 * at + 2],
            bytes[4 * at + 3],
        ]);
        at += 1;
    }
    words
}

/// The hash of one input of at most [`CHUNK`] bytes.
#[inline]
pub(super) fn hash_chunk(platform: Platform, key: &[u32; 8], mode: u8, input: &[u8]) -> Hash {
    debug_assert!(input.len() <= CHUNK);
    finish_chunk(platform, *key, mode, CHUNK_START, input)
}

/// The hash of a chunk whose first blocks `state` stands for, if any. `input` is the rest of the chunk, and `start` is the
/// flag of its first block.
#[inline(always)]
fn finish_chunk(
    platform: Platform,
    mut state: [u32; 8],
    mode: u8,
    start: u8,
    input: &[u8],
) -> Hash {
    let mut flags = mode | start;
    let (blocks, rest) = input.as_chunks::<BLOCK>();
    // The last block, full or not, carries the end flags: so an input of whole blocks keeps its
    // last one back.
    let (blocks, last_full) = match blocks.split_last() {
        Some((last, before)) if rest.is_empty() => (before, Some(last)),
        _ => (blocks, None),
    };
    for block in blocks {
        platform.compress_in_place(&mut state, block, WHOLE_BLOCK, 0, flags);
        flags = mode;
    }
    flags |= CHUNK_END | ROOT;
    if let Some(block) = last_full {
        platform.compress_in_place(&mut state, block, WHOLE_BLOCK, 0, flags);
    } else {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the rest of a block is under 64 bytes"
        )]
        let len = rest.len() as u8;
        platform.compress_in_place(&mut state, &block, len, 0, flags);
    }
    bytes(&state)
}

/// The hashes of up to [`LANES`] inputs of at most [`CHUNK`] bytes each, as [`hash_chunk`] makes them.
///
/// The blocks that every input has before its last one are compressed side by side.
pub(super) fn hash_chunks(
    platform: Platform,
    key: &[u32; 8],
    mode: u8,
    inputs: &[&[u8]],
    hashes: &mut [Hash],
) {
    let before_last = |input: &&[u8]| input.len().saturating_sub(1) / BLOCK;
    let blocks = inputs.iter().map(before_last).min().unwrap_or(0);
    let firsts = match blocks {
        0 => None,
        1 => hash_firsts::<64>(platform, key, mode, inputs),
        2 => hash_firsts::<128>(platform, key, mode, inputs),
        3 => hash_firsts::<192>(platform, key, mode, inputs),
        4 => hash_firsts::<256>(platform, key, mode, inputs),
        5 => hash_firsts::<320>(platform, key, mode, inputs),
        6 => hash_firsts::<384>(platform, key, mode, inputs),
        7 => hash_firsts::<448>(platform, key, mode, inputs),
        8 => hash_firsts::<512>(platform, key, mode, inputs),
        9 => hash_firsts::<576>(platform, key, mode, inputs),
        10 => hash_firsts::<640>(platform, key, mode, inputs),
        11 => hash_firsts::<704>(platform, key, mode, inputs),
        12 => hash_firsts::<768>(platform, key, mode, inputs),
        13 => hash_firsts::<832>(platform, key, mode, inputs),
        14 => hash_firsts::<896>(platform, key, mode, inputs),
        _ => hash_firsts::<960>(platform, key, mode, inputs),
    };
    let Some((len, values)) = firsts else {
        inputs.iter().zip(hashes).for_each(|(input, hash)| {
            *hash = hash_chunk(platform, key, mode, input);
        });
        return;
    };
    for ((input, value), hash) in inputs.iter().zip(&values).zip(hashes) {
        *hash = finish_chunk(platform, words(value), mode, 0, &input[len..]);
    }
}

/// Compresses the first `BYTES` bytes of each input, which are whole blocks and not all of it. Returns their number, and
/// the chaining values. `None` if an input has fewer bytes.
fn hash_firsts<const BYTES: usize>(
    platform: Platform,
    key: &[u32; 8],
    mode: u8,
    inputs: &[&[u8]],
) -> Option<(usize, [Hash; LANES])> {
    const { assert!(BYTES.is_multiple_of(BLOCK) && BYTES < CHUNK) };
    let mut lanes: [&[u8; BYTES]; LANES] = [inputs.first()?.first_chunk()?; LANES];
    for (lane, input) in lanes.iter_mut().zip(inputs) {
        *lane = input.first_chunk()?;
    }
    let mut values = [[0; 32]; LANES];
    // As in `hash_chain`: one wider pass is faster than several narrow ones.
    let count = inputs.len().next_power_of_two().min(LANES);
    platform.hash_many(
        &lanes[..count],
        key,
        0,
        IncrementCounter::No,
        mode,
        CHUNK_START,
        0,
        values[..count].as_flattened_mut(),
    );
    Some((BYTES, values))
}

/// The chaining value as a hash.
#[inline]
fn bytes(words: &[u32; 8]) -> Hash {
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    hash
}

/// Hashes the nodes of `first`, unless there are none, together with `node` behind them; then the
/// first of up to [`CHAIN`] groups with the result behind it, the second with that result, and so on.
/// Each has 1 to 15 nodes.
///
/// The node so far is in the last block of each input. The first blocks of the inputs that have more
/// are compressed side by side before: only one compression per group waits for the one before.
pub(super) fn hash_chain(
    platform: Platform,
    first: &[Hash],
    node: &Hash,
    groups: &[&[Hash]],
) -> Hash {
    const EMPTY: &[u8; BLOCK] = &[0; BLOCK];
    let groups = &groups[..groups.len().min(CHAIN)];
    let first = (!first.is_empty()).then_some(&first);
    let mut firsts = [EMPTY; LANES];
    let mut ahead = 0;
    for group in first.into_iter().chain(groups) {
        // Without a branch, which would be mispredicted: lengths are random.
        let block = group.as_flattened().first_chunk();
        firsts[ahead] = block.unwrap_or(EMPTY);
        ahead += usize::from(block.is_some());
    }
    let mut values = [[0u8; 32]; LANES];
    // The kernel splits an odd number of inputs into passes of 8, 4, 2 and 1 lanes, which cost the
    // same each: one wider pass is faster.
    let ahead = if ahead > 0 { ahead.next_power_of_two().min(LANES) } else { 0 };
    platform.hash_many(
        &firsts[..ahead],
        &IV,
        0,
        IncrementCounter::No,
        PLAIN,
        CHUNK_START,
        0,
        values[..ahead].as_flattened_mut(),
    );
    let mut values = values.iter();
    let mut node = *node;
    for group in first.into_iter().chain(groups) {
        let (blocks, rest) = group.as_flattened().as_chunks::<BLOCK>();
        let (mut state, mut flags) = (IV, CHUNK_START | CHUNK_END | ROOT);
        if let Some((_, others)) = blocks.split_first() {
            state = values.next().map_or(IV, words);
            flags = CHUNK_END | ROOT;
            for block in others {
                platform.compress_in_place(&mut state, block, WHOLE_BLOCK, 0, PLAIN);
            }
        }
        // Lengths that are known make the copies plain loads and stores.
        let mut last = [0; BLOCK];
        let len = match rest.first_chunk::<32>() {
            Some(odd) => {
                last[..32].copy_from_slice(odd);
                last[32..].copy_from_slice(&node);
                WHOLE_BLOCK
            }
            None => {
                last[..32].copy_from_slice(&node);
                WHOLE_BLOCK / 2
            }
        };
        platform.compress_in_place(&mut state, &last, len, 0, flags);
        node = bytes(&state);
    }
    node
}

/// The parents of complete groups: `children` is `arity.children()` times as long as `parents`.
#[inline]
pub(super) fn hash_groups(
    platform: Platform,
    arity: Arity,
    children: &[Hash],
    parents: &mut [Hash],
) {
    let children = children.as_flattened();
    match arity {
        Arity::Two => hash_inputs::<64>(platform, children, parents),
        Arity::Four => hash_inputs::<128>(platform, children, parents),
        Arity::Eight => hash_inputs::<256>(platform, children, parents),
        Arity::Sixteen => hash_inputs::<512>(platform, children, parents),
    }
}

fn hash_inputs<const BYTES: usize>(platform: Platform, inputs: &[u8], hashes: &mut [Hash]) {
    let (inputs, _) = inputs.as_chunks::<BYTES>();
    for (inputs, hashes) in inputs.chunks(LANES).zip(hashes.chunks_mut(LANES)) {
        let mut lanes = [&inputs[0]; LANES];
        for (lane, input) in lanes.iter_mut().zip(inputs) {
            *lane = input;
        }
        platform.hash_many(
            &lanes[..inputs.len()],
            &IV,
            0,
            IncrementCounter::No,
            PLAIN,
            CHUNK_START,
            CHUNK_END | ROOT,
            hashes.as_flattened_mut(),
        );
    }
}
