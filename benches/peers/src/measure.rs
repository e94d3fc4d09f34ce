//! Interleaved runs and their medians.

use anyhow::Result;

use crate::env::Env;

/// Which direction of a metric is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A rate: more is better.
    More,
    /// A time or a size: less is better.
    Less,
}

/// What a workload measures.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with the unit in it.
    pub name: &'static str,
    /// Which direction is the better one.
    pub better: Better,
}

/// A metric of which more is better.
pub const fn more(name: &'static str) -> Metric {
    Metric { name, better: Better::More }
}

/// A metric of which less is better.
pub const fn less(name: &'static str) -> Metric {
    Metric { name, better: Better::Less }
}

/// The store that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// duramen.
    Duramen,
    /// rotortree.
    Rotortree,
    /// commonware-storage.
    Commonware,
    /// duramen, with each tree in a store of its own.
    StoresApart,
    /// duramen, with the leaves of all trees in one.
    OneTree,
    /// SQLite, and a tree in memory.
    Sqlite,
    /// RocksDB, and a tree in memory.
    Rocksdb,
    /// duramen, without entries.
    LeavesAlone,
    /// The bare device, memory or hash kernel.
    Limit,
}

impl Who {
    /// The name as the report has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duramen => "duramen",
            Self::Rotortree => "rotortree",
            Self::Commonware => "commonware",
            Self::StoresApart => "stores apart",
            Self::OneTree => "one tree",
            Self::Sqlite => "sqlite",
            Self::Rocksdb => "rocksdb",
            Self::LeavesAlone => "leaves alone",
            Self::Limit => "limit",
        }
    }
}

/// One value per metric of the workload, in its order; `None` where the side has no such value.
pub type Sample = Vec<Option<f64>>;

/// One side of a comparison.
pub struct Side<'a> {
    who: Who,
    run: Box<dyn FnMut() -> Result<Sample> + 'a>,
}

/// The side `who`, measured by calling `run`.
pub fn side<'a>(who: Who, run: impl FnMut() -> Result<Sample> + 'a) -> Side<'a> {
    Side { who, run: Box::new(run) }
}

/// What one metric of one workload came to.
#[derive(Debug)]
pub struct Row {
    /// The workload's name.
    pub workload: String,
    /// The metric.
    pub metric: Metric,
    /// All samples, by side.
    samples: Vec<(Who, Vec<f64>)>,
}

impl Row {
    /// The samples of one side, in the order they were taken.
    pub fn samples(&self, who: Who) -> &[f64] {
        self.samples.iter().find(|(w, _)| *w == who).map_or(&[], |(_, values)| values)
    }

    /// The median of one side.
    pub fn median(&self, who: Who) -> Option<f64> {
        median(self.samples(who))
    }

    /// How many times better duramen is than `other`: above 1 is better. No number says how much
    /// better nothing is than something.
    pub fn ratio(&self, other: Who) -> Option<f64> {
        let (ours, theirs) = (self.median(Who::Duramen)?, self.median(other)?);
        let ratio = match self.metric.better {
            Better::More => ours / theirs,
            Better::Less => theirs / ours,
        };
        Some(ratio).filter(|ratio| ratio.is_finite())
    }
}

/// Runs all sides in turn, as often as the settings say, each on a settled disk.
pub fn interleave(
    env: &Env,
    workload: &str,
    metrics: &[Metric],
    mut sides: Vec<Side<'_>>,
) -> Result<Vec<Row>> {
    sides.retain(|side| {
        env.sides.is_empty() || env.sides.iter().any(|name| name == side.who.name())
    });
    let mut rows: Vec<Row> = metrics
        .iter()
        .map(|metric| Row {
            workload: workload.to_owned(),
            metric: *metric,
            samples: sides.iter().map(|side| (side.who, Vec::new())).collect(),
        })
        .collect();
    for run in 1..=env.runs {
        for (at, side) in sides.iter_mut().enumerate() {
            env.settle()?;
            let sample = (side.run)()?;
            eprintln!("  run {run} {:<12} {}", side.who.name(), shown(metrics, &sample));
            for (row, value) in rows.iter_mut().zip(sample) {
                row.samples[at].1.extend(value);
            }
        }
    }
    Ok(rows)
}

fn shown(metrics: &[Metric], sample: &Sample) -> String {
    let values: Vec<String> = metrics
        .iter()
        .zip(sample)
        .filter_map(|(metric, value)| {
            value.map(|value| format!("{} {}", human(value), metric.name))
        })
        .collect();
    values.join(", ")
}

/// A number with three or four significant digits and a decimal multiple.
pub fn human(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.2} G", value / 1e9),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mid = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[mid]),
        _ => Some(f64::midpoint(sorted[mid - 1], sorted[mid])),
    }
}

/// The value below which the share `p` of `sorted` lies.
pub fn percentile(sorted: &[u64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * p).round() as usize] as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(better: Better, ours: &[f64], theirs: &[f64]) -> Row {
        Row {
            workload: "test".into(),
            metric: Metric { name: "test", better },
            samples: vec![(Who::Duramen, ours.to_vec()), (Who::Rotortree, theirs.to_vec())],
        }
    }

    #[test]
    fn a_ratio_above_one_means_duramen_is_better_in_both_directions() {
        let rate = row(Better::More, &[30.0, 10.0, 20.0], &[5.0]);
        assert_eq!(rate.ratio(Who::Rotortree), Some(4.0));
        let cost = row(Better::Less, &[2.0, 4.0], &[6.0]);
        assert_eq!(cost.ratio(Who::Rotortree), Some(2.0));
        assert_eq!(cost.ratio(Who::Limit), None);
        assert_eq!(row(Better::Less, &[0.0], &[98.0]).ratio(Who::Rotortree), None);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[7], 0.99), Some(7.0));
        let hundred: Vec<u64> = (0..=100).collect();
        assert_eq!(percentile(&hundred, 0.99), Some(99.0));
    }
}
