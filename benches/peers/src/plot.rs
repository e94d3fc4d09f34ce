//! Pictures of what the tables sum up.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Who;
use crate::trace::{STRETCHES, Trace, latencies};

const SIZE: (u32, u32) = (960, 480);
const OURS: RGBColor = RGBColor(0x1B, 0x7F, 0x4B);
const THEIRS: RGBColor = RGBColor(0xC4, 0x52, 0x1E);
/// Dots of the timeline show the worst call of so long.
const BUCKET: Duration = Duration::from_millis(10);

type Picture<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn color(who: Who) -> RGBColor {
    if who == Who::Duramen { OURS } else { THEIRS }
}

fn picture(file: &Path) -> Result<Picture<'_>> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(drawing)?;
    Ok(area)
}

fn drawing(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// The worst wait for durability in every ten milliseconds of the first run of each side.
pub fn stall_over_time(file: &Path, traces: &[Trace]) -> Result<()> {
    let area = picture(file)?;
    let mut ends = traces.iter().map(|trace| trace.stretches[2].1.as_secs_f64());
    let end = ends.by_ref().fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption("insert_durable while checkpoints run: worst of each 10 ms", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..end, (0.05..2_000.0).log_scale())
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc("seconds of load; a checkpoint of 16 M leaves, then one a second")
        .y_desc("milliseconds")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()
        .map_err(drawing)?;
    for who in [Who::Rotortree, Who::Duramen] {
        let Some(trace) = traces.iter().find(|trace| trace.who == who) else { continue };
        let color = color(who);
        chart
            .draw_series(worst(trace).into_iter().map(|at| Circle::new(at, 2, color.filled())))
            .map_err(drawing)?
            .label(who.name())
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        let (from, to) = trace.stretches[1];
        let y = if who == Who::Duramen { 0.065 } else { 0.085 };
        let line = [(from.as_secs_f64(), y), (to.as_secs_f64(), y)];
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(5)))
            .map_err(drawing)?
            .label(format!("{}: the large checkpoint", who.name()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(5)));
    }
    legend(&mut chart)?;
    area.present().map_err(drawing)
}

fn worst(trace: &Trace) -> Vec<(f64, f64)> {
    let mut worst = std::collections::BTreeMap::<u128, f64>::new();
    for call in &trace.durable {
        let bucket = worst.entry(call.at.as_nanos() / BUCKET.as_nanos()).or_default();
        *bucket = bucket.max(call.took.as_secs_f64() * 1e3);
    }
    let width = BUCKET.as_secs_f64();
    worst.into_iter().map(|(bucket, took)| (bucket as f64 * width, took)).collect()
}

/// The waits for durability by percentile, all runs of a side together.
pub fn stall_percentiles(file: &Path, traces: &[Trace]) -> Result<()> {
    let area = picture(file)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("insert_durable by percentile", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((1.0..100_000.0).log_scale(), (0.05..2_000.0).log_scale())
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .x_label_formatter(&|one_in| format!("{} %", 100.0 - 100.0 / one_in))
        .y_desc("milliseconds")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()
        .map_err(drawing)?;
    for who in [Who::Rotortree, Who::Duramen] {
        for (stretch, name) in STRETCHES.iter().enumerate() {
            let mut took: Vec<u64> = traces
                .iter()
                .filter(|trace| trace.who == who)
                .flat_map(|trace| latencies(&trace.durable, trace.stretches[stretch]))
                .collect();
            took.sort_unstable();
            let style = color(who).mix([0.35, 1.0, 0.65][stretch]);
            let style = style.stroke_width([1, 3, 2][stretch]);
            chart
                .draw_series(LineSeries::new(quantiles(&took), style))
                .map_err(drawing)?
                .label(format!("{}, {name}", who.name()))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
    }
    legend(&mut chart)?;
    area.present().map_err(drawing)
}

/// For one in 1, 1.1, 1.21, ... calls: the milliseconds that all the others stay below.
fn quantiles(sorted: &[u64]) -> Vec<(f64, f64)> {
    std::iter::successors(Some(1.0_f64), |one_in| Some(one_in * 1.1))
        .take_while(|one_in| *one_in <= sorted.len() as f64)
        .filter_map(|one_in| {
            let nanos = crate::measure::percentile(sorted, 1.0 - 1.0 / one_in)?;
            Some((one_in, nanos / 1e6))
        })
        .collect()
}

/// Rate and memory over a long load, a line per run.
pub fn sustained(file: &Path, total: u64, runs: &[(Who, Vec<(f64, f64)>)]) -> Result<()> {
    let area = picture(file)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let rate = |tenth: &(f64, f64)| tenth.0 / 1e6;
    half(&left, "leaves per second, in millions", total, runs, &rate)?;
    half(&right, "megabytes held", total, runs, &|tenth| tenth.1)?;
    area.present().map_err(drawing)
}

fn half(
    area: &Picture<'_>,
    title: &str,
    total: u64,
    runs: &[(Who, Vec<(f64, f64)>)],
    value: &dyn Fn(&(f64, f64)) -> f64,
) -> Result<()> {
    let most = runs.iter().flat_map(|(_, tenths)| tenths).map(value).fold(1.0, f64::max);
    let million = total as f64 / 1e6;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..million, 0.0..most * 1.1)
        .map_err(drawing)?;
    chart.configure_mesh().x_desc("million leaves inserted").draw().map_err(drawing)?;
    for who in [Who::Rotortree, Who::Duramen] {
        let color = color(who);
        for (at, (_, tenths)) in runs.iter().filter(|(side, _)| *side == who).enumerate() {
            let step = million / tenths.len() as f64;
            let points = tenths.iter().enumerate();
            let points = points.map(|(at, tenth)| ((at + 1) as f64 * step, value(tenth)));
            let series = chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))
                .map_err(drawing)?;
            if at == 0 {
                series
                    .label(who.name())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
            }
        }
    }
    legend(&mut chart)
}

fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Result<()>
where
    X: plotters::coord::ranged1d::Ranged<ValueType = f64>
        + plotters::coord::ranged1d::ValueFormatter<f64>,
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>
        + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(drawing)?;
    Ok(())
}
