//! Indexes from arbitrary bytes, for fuzzing.

use std::sync::{Arc, OnceLock};

use crate::config::{CheckpointPolicy, Config, FlushPolicy, ReadMode};
use crate::fs::{FileKind, FileName, FileSystem};
use crate::merkle::{Arity, Blake3, Hash};
use crate::part::{PART_BLOCK_LEN, Part, PartIdentity, PartRef, Scans, fix_index, seal_of};
use crate::testing::sim::SimDisk;

/// Several blocks of records, so that there are fences.
const LEAVES: u64 = 3000;

/// A part and its index.
struct Subject {
    names: [FileName; 2],
    part: Vec<u8>,
    index: Vec<u8>,
}

static SUBJECT: OnceLock<Option<Subject>> = OnceLock::new();

/// Leaf `index`. Every third one is equal to another.
fn leaf(index: u64) -> Hash {
    let mut leaf = [5; 32];
    leaf[..8].copy_from_slice(&(index - index % 3 / 2).to_le_bytes());
    leaf
}

/// How many leaves are equal to leaf `index`: it and its neighbours at most.
fn equal_to(index: u64) -> usize {
    let near = index.saturating_sub(1)..(index + 2).min(LEAVES);
    near.filter(|other| leaf(*other) == leaf(index)).count()
}

fn make() -> Option<Subject> {
    let disk = SimDisk::new();
    let config = Config::new("store")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let tree = crate::DynAccumulator::open(config, Arc::new(Blake3), Arity::Four).ok()?;
    drop(tree.add_index().ok()?);
    tree.insert_many(&(0..LEAVES).map(leaf).collect::<Vec<_>>()).ok()?;
    tree.checkpoint().ok()?;
    tree.close().ok()?;
    let files = disk.files();
    let find = |kind| files.iter().copied().find(|name| name.kind == kind);
    let names = [find(FileKind::Part)?, find(FileKind::Index)?];
    Some(Subject { names, part: disk.read(names[0])?, index: disk.read(names[1])? })
}

/// Changes an intact index by `bytes`: three of them are a position and a mask. Gives it the checksums that fit, and
/// searches it in both modes, which must answer alike and only with leaves that are there. Returns how many of the
/// leaves were not found.
pub(crate) fn search(bytes: &[u8]) -> Option<usize> {
    let subject = SUBJECT.get_or_init(make).as_ref()?;
    let identity = PartIdentity::parse(subject.part.first_chunk()?).ok()?;
    let PartIdentity { number, from, to, .. } = identity;
    let (len, checksum) = (subject.part.len() as u64, seal_of(subject.part.last_chunk()?));
    let reference =
        PartRef { number, from, to, len, checksum, entry_bytes: 0, erased: 0, hidden: 0 };
    let mut index = subject.index.clone();
    let body = index.get_mut(PART_BLOCK_LEN..)?;
    for [low, high, mask] in bytes.as_chunks().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % body.len();
        body[at] ^= mask;
    }
    fix_index(&mut index, LEAVES);
    let disk = SimDisk::new();
    disk.put(subject.names[0], &subject.part);
    disk.put(subject.names[1], &index);
    let disk: Arc<dyn FileSystem> = Arc::new(disk);
    let open = |mode| Part::open(&disk, &identity, reference, mode).ok();
    let (mapped, read) = (open(ReadMode::Mapped)?, open(ReadMode::Pread)?);
    let mut lost = 0;
    let wanted = (0..LEAVES).step_by(61).map(|at| (leaf(at), equal_to(at)));
    for (wanted, there) in wanted.chain([([9; 32], 0)]) {
        let find = |part: &Part| {
            let scans = Scans::new();
            let found = part.find(&wanted, to, usize::MAX, &scans).ok();
            // The checksums fit, so nothing of it is noticed.
            assert_eq!(scans.count(), 0);
            found
        };
        let found = find(&mapped);
        assert_eq!(found, find(&read));
        let found = found.unwrap_or_default();
        assert!(found.is_sorted_by(|one, next| one < next));
        assert!(found.iter().all(|index| *index < LEAVES && leaf(*index) == wanted));
        lost += there - found.len();
    }
    Some(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_not_changed_has_all_leaves_and_a_changed_one_loses_some() {
        assert_eq!(search(&[]), Some(0));
        let mut random = 1_u64;
        let mut lost = 0;
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..300)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    u8::try_from(random >> 56).unwrap_or(0)
                })
                .collect();
            lost += search(&bytes).unwrap_or(0);
        }
        assert!(lost > 0);
    }
}
