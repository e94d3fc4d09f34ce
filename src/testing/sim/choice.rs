//! What a power cut leaves of the changes that were not synced.

use super::image::{SECTOR, Sector};
use std::sync::Arc;

/// The number of the operation that made a change; later changes have higher ones.
pub(super) type Stamp = u64;

/// Takes out the states made before `before`.
pub(super) fn take_before<T>(unsynced: &mut Vec<(Stamp, T)>, before: Stamp) -> Vec<(Stamp, T)> {
    let later = unsynced.split_off(unsynced.partition_point(|(stamp, _)| *stamp < before));
    std::mem::replace(unsynced, later)
}

/// Which unsynced changes survive a power cut, or a call that fails.
///
/// The same choice on the same disk always gives the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashChoice {
    /// None: the disk has what was synced and nothing else.
    NothingKept,
    /// All of them, as if the power had lasted a little longer.
    AllKept,
    /// A subset that follows from the number. Each sector, each length and each name is decided for
    /// itself. A sector is old, new, or anything it was in between; or torn, with the start of one
    /// and the end of the other; or its changed bytes are zeros. Bytes that no unsynced write changed
    /// are never touched. Some numbers keep almost everything, some almost nothing, and some cut the
    /// changes in the order in which they were made.
    Seeded(u64),
}

/// Draws the choices one after the other.
#[derive(Debug)]
pub(super) struct Chooser {
    mode: Mode,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Nothing,
    All,
    /// Changes up to this stamp are kept, later ones are lost.
    InOrder(Stamp),
    /// Each change for itself.
    Each(Mood),
}

/// Out of 32, how often the newest and the oldest state are taken. What is left goes to states in
/// between, torn and zeroed ones.
#[derive(Clone, Copy, Debug)]
struct Mood {
    newest: u64,
    oldest: u64,
}

const MOODS: [Mood; 4] = [
    Mood { newest: 12, oldest: 12 },
    Mood { newest: 16, oldest: 16 },
    Mood { newest: 29, oldest: 1 },
    Mood { newest: 1, oldest: 29 },
];

impl Chooser {
    /// `stamps` returns those of the changes that are not synced.
    pub(super) fn new<I: Iterator<Item = Stamp>>(
        choice: CrashChoice,
        stamps: impl Fn() -> I,
    ) -> Self {
        let mut random = Random(match choice {
            CrashChoice::Seeded(seed) => seed,
            CrashChoice::NothingKept | CrashChoice::AllKept => 0,
        });
        let mode = match choice {
            CrashChoice::NothingKept => Mode::Nothing,
            CrashChoice::AllKept => Mode::All,
            CrashChoice::Seeded(_) => match stamps().next() {
                Some(first) if random.below(6) == 0 => {
                    let widen =
                        |(low, high): (Stamp, Stamp), stamp| (low.min(stamp), high.max(stamp));
                    let (oldest, newest) = stamps().fold((first, first), widen);
                    let span = newest.saturating_sub(oldest) + 2;
                    Mode::InOrder((oldest + random.below(span)).saturating_sub(1))
                }
                _ => Mode::Each(MOODS[0]),
            },
        };
        let mut chooser = Self { mode, random };
        chooser.next_group();
        chooser
    }

    /// Changes the mood: the changes that follow belong together, as those of one file do.
    pub(super) fn next_group(&mut self) {
        if let Mode::Each(mood) = &mut self.mode {
            *mood = MOODS[self.random.index(MOODS.len())];
        }
    }

    /// Whether one change happens.
    pub(super) fn coin(&mut self) -> bool {
        match self.mode {
            Mode::Nothing => false,
            Mode::All => true,
            Mode::InOrder(_) | Mode::Each(_) => self.random.below(2) == 0,
        }
    }

    /// Which of the `unsynced` states is left, oldest first; `None` for the one before them all.
    pub(super) fn state<T>(&mut self, unsynced: &[(Stamp, T)]) -> Option<usize> {
        let newest = unsynced.len().checked_sub(1)?;
        match self.mode {
            Mode::Nothing => None,
            Mode::All => Some(newest),
            Mode::InOrder(cut) => unsynced.iter().rposition(|(stamp, _)| *stamp <= cut),
            Mode::Each(mood) => {
                let roll = self.random.below(mood.newest + mood.oldest + 2);
                if roll < mood.newest {
                    Some(newest)
                } else if roll < mood.newest + mood.oldest {
                    None
                } else {
                    self.random.index(unsynced.len() + 1).checked_sub(1)
                }
            }
        }
    }

    /// What is left of a sector that was `synced` and has been changed since.
    pub(super) fn sector(&mut self, synced: &Sector, unsynced: &[(Stamp, Sector)]) -> Sector {
        if unsynced.is_empty() {
            return synced.clone();
        }
        if let Mode::Each(mood) = self.mode {
            let roll = self.random.below(32);
            if roll >= mood.newest + mood.oldest {
                return self.damaged(synced, unsynced);
            }
        }
        self.state(unsynced).map_or(synced, |index| &unsynced[index].1).clone()
    }

    fn damaged(&mut self, synced: &Sector, unsynced: &[(Stamp, Sector)]) -> Sector {
        if self.random.below(3) == 0 {
            let mut bytes = **synced;
            for (at, byte) in bytes.iter_mut().enumerate() {
                if unsynced.iter().any(|(_, sector)| sector[at] != synced[at]) {
                    *byte = 0;
                }
            }
            return Arc::new(bytes);
        }
        let new = self.random.index(unsynced.len());
        let old = if new == 0 { synced } else { &unsynced[new - 1].1 };
        let tear = self.random.index(SECTOR);
        let mut bytes = **old;
        bytes[..tear].copy_from_slice(&unsynced[new].1[..tear]);
        Arc::new(bytes)
    }
}

/// splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is small: the bias does not matter.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the result is below a usize")]
    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}
