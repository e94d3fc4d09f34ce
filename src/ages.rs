//! When a tree had which size, for policies that keep leaves for a time. Pure.
//!
//! # Invariants
//!
//! - At each moment the tree had at least the leaves that stand beside it. So these are at least as old as the moment, by the
//!   system's clock.
//! - Moments and sizes rise. There are a bounded number of them.

use std::time::Duration;

use crate::codec::{Decoder, Encoder};

/// The time that leaves are kept is divided into so many moments.
const STEPS: u32 = 32;

/// The most moments that are read from a file.
const MOST: usize = 1 << 10;

/// Sizes of a tree with the moments at which it had them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::box_collection,
    reason = "one word in each of ten thousand trees, most of which have none"
)]
pub(crate) struct Ages(Option<Box<Vec<Moment>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    /// Milliseconds since 1970.
    at: u64,
    size: u64,
}

impl Ages {
    fn moments(&self) -> &[Moment] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn of(moments: Vec<Moment>) -> Self {
        Self((!moments.is_empty()).then(|| Box::new(moments)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many leaves are known to be at least `age` old `now`, in milliseconds since 1970.
    pub(crate) fn older(&self, now: u64, age: Duration) -> u64 {
        let until = now.checked_sub(millis(age));
        let old =
            self.moments().iter().rfind(|moment| until.is_some_and(|until| moment.at <= until));
        old.map_or(0, |moment| moment.size)
    }

    /// These, and that the tree has `size` leaves `now`. Those that a policy of `age` does not need any more are gone.
    pub(crate) fn noted(&self, now: u64, size: u64, age: Duration) -> Self {
        let mut moments = self.moments().to_vec();
        // A clock that goes back may be wrong now, or have been wrong before: the later time makes no leaf older than it is.
        let at = moments.last().map_or(now, |last| last.at.max(now));
        let step = millis(age / STEPS).max(1);
        // A moment shortly behind the one before says little: this one takes its place.
        if let [.., before, last] = moments[..]
            && last.at.saturating_sub(before.at) < step
        {
            moments.pop();
        }
        if moments.last().is_none_or(|last| last.size < size) {
            moments.push(Moment { at, size });
        }
        let until = now.saturating_sub(millis(age));
        let useless = moments.iter().filter(|moment| moment.at <= until).count().saturating_sub(1);
        Self::of(moments.split_off(useless))
    }

    /// These for a tree that is rewound to `size`.
    pub(crate) fn cut(&self, size: u64) -> Self {
        let mut moments: Vec<Moment> = Vec::new();
        for moment in self.moments() {
            let size = moment.size.min(size);
            if size > moments.last().map_or(0, |last| last.size) {
                moments.push(Moment { size, ..*moment });
            }
        }
        Self::of(moments)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u32(u32::try_from(self.moments().len()).unwrap_or(u32::MAX));
        for Moment { at, size } in self.moments() {
            out.u64(*at).u64(*size);
        }
    }

    /// `None` if the bytes are none, or are not in order.
    pub(crate) fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let count =
            usize::try_from(fields.u32()?).ok().filter(|count| (1..=MOST).contains(count))?;
        let read = |_| Some(Moment { at: fields.u64()?, size: fields.u64()? });
        let moments: Vec<_> = (0..count).map(read).collect::<Option<_>>()?;
        let rising = moments.is_sorted_by(|one, other| one.at <= other.at && one.size < other.size);
        rising.then(|| Self::of(moments))
    }

    /// The most leaves that stand beside a moment.
    pub(crate) fn size(&self) -> u64 {
        self.moments().last().map_or(0, |last| last.size)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_millis(3200);

    /// As it would be with every moment: a list of all sizes with their times.
    fn older(all: &[(u64, u64)], now: u64) -> u64 {
        all.iter().rfind(|(at, _)| at + 3200 <= now).map_or(0, |(_, size)| *size)
    }

    #[test]
    fn leaves_are_old_when_they_are_and_never_before_and_little_later() {
        for pace in [1, 7, 50, 99, 100, 101, 800, 3199, 3200, 3201, 9000] {
            let (mut ages, mut all) = (Ages::default(), Vec::new());
            for step in 1..=500 {
                let now = 1_000_000 + step * pace;
                ages = ages.noted(now, step * 10, AGE);
                all.push((now, step * 10));
                assert!(ages.moments().len() <= 2 * STEPS as usize + 3, "{}", ages.moments().len());
                for later in [0, 1, 40, 3000] {
                    let found = ages.older(now + later, AGE);
                    assert!(found <= older(&all, now + later), "too early at pace {pace}");
                    // Two steps late, and as much as there is between two sizes.
                    let late = (now + later).saturating_sub(200 + pace);
                    assert!(found >= older(&all, late), "too late at pace {pace}");
                }
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_delays_and_does_not_hasten() {
        let ages = Ages::default().noted(50_000, 10, AGE).noted(90_000, 20, AGE);
        let ages = ages.noted(40_000, 30, AGE);
        assert_eq!((ages.older(43_200, AGE), ages.older(53_200, AGE)), (0, 10));
        assert_eq!((ages.older(93_199, AGE), ages.older(93_200, AGE)), (10, 30));
        // A clock that is not set yet, as after a start, and then is.
        let ages = Ages::default().noted(1_000_000, 10, AGE).noted(5, 20, AGE);
        assert_eq!((ages.older(5, AGE), ages.older(0, AGE)), (0, 0));
        let ages = ages.noted(1_000_100, 30, AGE);
        assert_eq!((ages.older(1_003_199, AGE), ages.older(1_003_200, AGE)), (0, 10));
        assert_eq!((ages.older(1_003_299, AGE), ages.older(1_003_300, AGE)), (10, 30));
    }

    #[test]
    fn a_rewind_takes_the_sizes_above_it() {
        let ages = Ages::default().noted(10_000, 10, AGE).noted(11_000, 20, AGE);
        let ages = ages.noted(12_000, 30, AGE);
        let cut = ages.cut(15);
        assert_eq!((cut.older(13_200, AGE), cut.older(14_200, AGE), cut.size()), (10, 15, 15));
        assert!(ages.cut(0).is_empty());
        assert_eq!(ages.cut(30), ages);
    }

    #[test]
    fn what_is_written_is_read_and_what_is_out_of_order_is_not() {
        let ages = Ages::default().noted(10_000, 10, AGE).noted(11_000, 20, AGE);
        let mut out = Encoder::default();
        ages.encode(&mut out);
        assert_eq!(Ages::decode(&mut Decoder(&out.0)), Some(ages));
        for len in 0..out.0.len() {
            assert!(Ages::decode(&mut Decoder(&out.0[..len])).is_none());
        }
        let wrong = |moments: &[(u64, u64)]| {
            let moments =
                moments.iter().map(|(at, size)| Moment { at: *at, size: *size }).collect();
            let mut out = Encoder::default();
            Ages(Some(Box::new(moments))).encode(&mut out);
            Ages::decode(&mut Decoder(&out.0)).is_none()
        };
        assert!(wrong(&[]) && wrong(&[(2, 1), (1, 2)]) && wrong(&[(1, 2), (2, 2)]));
        assert!(!wrong(&[(1, 1), (1, 2)]));
    }
}
