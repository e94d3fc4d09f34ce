//! The bytes a crash may leave, by a model that remembers every value a byte ever had.

use std::collections::BTreeSet;

use duramen::testing::sim::{Fault, FaultError, When};
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u8, usize),
    SetLen(u64),
    Sync,
    FailedSync(u64),
    FailedWrite(u64, u8, usize, u64),
    DropCache,
}

fn step() -> impl Strategy<Value = Step> {
    let write = || (0..2000_u64, 1..=255_u8, 1..1200_usize);
    prop_oneof![
        6 => write().prop_map(|(at, byte, len)| Step::Write(at, byte, len)),
        2 => (0..3000_u64).prop_map(Step::SetLen),
        3 => Just(Step::Sync),
        1 => any::<u64>().prop_map(Step::FailedSync),
        1 => (write(), any::<u64>())
            .prop_map(|((at, byte, len), seed)| Step::FailedWrite(at, byte, len, seed)),
        1 => Just(Step::DropCache),
    ]
}

/// What each byte and the length may be after a crash. Bytes past the end are zeros.
struct Model {
    bytes: Vec<BTreeSet<u8>>,
    len: BTreeSet<u64>,
}

impl Model {
    /// The bytes are what is read now, and certain.
    fn certain(&mut self, now: &[u8]) {
        self.bytes = vec![BTreeSet::from([0]); self.bytes.len()];
        for (possible, byte) in self.bytes.iter_mut().zip(now) {
            *possible = BTreeSet::from([*byte]);
        }
        self.len = BTreeSet::from([now.len() as u64]);
    }

    /// The bytes may become what is read now, and those that differ may be zeroed.
    fn possible(&mut self, now: &[u8]) {
        for (at, possible) in self.bytes.iter_mut().enumerate() {
            let byte = now.get(at).copied().unwrap_or(0);
            if possible.insert(byte) {
                possible.insert(0);
            }
        }
        self.len.insert(now.len() as u64);
    }
}

proptest! {
    #[test]
    fn a_byte_is_left_with_a_value_it_had_since_the_last_sync(
        steps in proptest::collection::vec(step(), 0..15),
        seed in any::<u64>(),
    ) {
        let disk = disk();
        let file = synced(&disk, SEGMENT, b"");
        let mut model = Model { bytes: vec![BTreeSet::from([0]); 4000], len: BTreeSet::from([0]) };
        let mut doubtful = false;
        for step in steps {
            let next = When::operation(disk.operations() + 1);
            let failing = |seed| Fault::new(next, FaultError::EIO).keeping(CrashChoice::Seeded(seed));
            match step {
                Step::Write(at, byte, len) => write(&*file, at, &vec![byte; len]),
                Step::SetLen(len) => file.allocate(len).unwrap(),
                Step::Sync => {
                    file.sync().unwrap();
                    if !doubtful {
                        model.certain(&disk.read(SEGMENT).unwrap());
                    }
                }
                Step::FailedSync(seed) => {
                    disk.inject(failing(seed));
                    file.sync().unwrap_err();
                    doubtful = true;
                }
                Step::FailedWrite(at, byte, len, seed) => {
                    disk.inject(failing(seed));
                    try_write(&*file, at, &vec![byte; len]).unwrap_err();
                }
                Step::DropCache => {
                    let before = disk.read(SEGMENT);
                    file.drop_cache();
                    if !doubtful {
                        prop_assert_eq!(disk.read(SEGMENT), before);
                    }
                }
            }
            model.possible(&disk.read(SEGMENT).unwrap());
        }
        for choice in [CrashChoice::NothingKept, CrashChoice::AllKept, CrashChoice::Seeded(seed)] {
            let left = disk.crash(choice).read(SEGMENT).unwrap();
            prop_assert!(model.len.contains(&(left.len() as u64)));
            for (at, (byte, possible)) in left.iter().zip(&model.bytes).enumerate() {
                // The length may be kept where the bytes are not.
                let possible = possible.contains(byte) || (doubtful && *byte == 0);
                prop_assert!(possible, "{byte} at {at} after {choice:?}");
            }
            if choice == CrashChoice::AllKept && !doubtful {
                prop_assert_eq!(Some(left), disk.read(SEGMENT));
            }
        }
    }
}
