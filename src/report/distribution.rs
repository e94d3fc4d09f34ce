//! Distributions of values: a histogram to which one thread records.

use hdrhistogram::Histogram;

use crate::sync::Mutex;

/// The distribution of values: durations in nanoseconds, or counts. Percentiles have a precision of one
/// percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Distribution {
    /// The number of values.
    pub count: u64,
    /// The exact sum of the values.
    pub sum: u64,
    /// The median.
    pub p50: u64,
    /// The 90th percentile: nine in ten values are at most this.
    pub p90: u64,
    /// The 99th percentile: 99 in 100 values are at most this.
    pub p99: u64,
    /// The 99.9th percentile: 999 in 1000 values are at most this.
    pub p999: u64,
    /// The exact maximum.
    pub max: u64,
}

/// Records values. Recording allocates no memory. It takes a lock that only readers of statistics
/// contend for.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Recorded>);

#[derive(Debug)]
struct Recorded {
    /// `None` if the histogram could not be created, which only an impossible configuration causes.
    histogram: Option<Histogram<u64>>,
    count: u64,
    sum: u64,
    max: u64,
}

/// Larger values count as this one. As nanoseconds it is about twenty minutes.
const LARGEST: u64 = 1 << 40;
const DIGITS: u8 = 2;

impl Default for Recorder {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LARGEST, DIGITS).ok();
        Self(Mutex::new(Recorded { histogram, count: 0, sum: 0, max: 0 }))
    }
}

impl Recorder {
    pub(crate) fn record(&self, value: u64) {
        let mut recorded = self.0.lock();
        recorded.count += 1;
        recorded.sum = recorded.sum.saturating_add(value);
        recorded.max = recorded.max.max(value);
        if let Some(histogram) = &mut recorded.histogram {
            histogram.saturating_record(value);
        }
    }

    pub(crate) fn distribution(&self) -> Distribution {
        let (histogram, mut found) = {
            let Recorded { histogram, count, sum, max } = &*self.0.lock();
            let found = Distribution { count: *count, sum: *sum, max: *max, ..Default::default() };
            // Copies the histogram, so that a recording thread does not wait while the percentiles are
            // computed.
            (histogram.clone(), found)
        };
        if let Some(histogram) = histogram {
            let at = |quantile| histogram.value_at_quantile(quantile).min(found.max);
            [found.p50, found.p90, found.p99, found.p999] = [0.5, 0.9, 0.99, 0.999].map(at);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values_to_one_in_a_hundred() {
        let recorder = Recorder::default();
        assert_eq!(recorder.distribution(), Distribution::default());
        let values: Vec<u64> = (1..=1000).map(|n| n * n * 1000).collect();
        for value in values.iter().rev() {
            recorder.record(*value);
        }
        let found = recorder.distribution();
        assert_eq!((found.count, found.sum), (1000, values.iter().sum()));
        assert_eq!(found.max, values[999]);
        for (rank, percentile) in
            [(500, found.p50), (900, found.p90), (990, found.p99), (999, found.p999)]
        {
            let exact = values[rank - 1];
            assert!(percentile.abs_diff(exact) <= exact / 50, "{rank}: {percentile}, {exact}");
        }
    }

    #[test]
    fn values_beyond_all_measure_are_counted_and_summed() {
        let recorder = Recorder::default();
        recorder.record(0);
        recorder.record(u64::MAX - 1);
        let found = recorder.distribution();
        assert_eq!((found.count, found.sum, found.max), (2, u64::MAX - 1, u64::MAX - 1));
        assert!(found.p99 >= LARGEST);
    }
}
