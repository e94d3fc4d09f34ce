//! `duramen scrub`.

use std::ops::ControlFlow;
use std::time::Duration;

use duramen::inspect::count;
use duramen::scrub::{self, Finding, Options, Report};
use duramen::{Arity, Config, StoreInfo};
use serde::Serialize;

use crate::args::{HasherName, ScrubArgs};
use crate::error::{Error, Refusal, name_of};
use crate::progress::Progress;
use crate::{output, store};

/// How long the hash function alone is measured, before and after.
const MEASURE: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct ScrubJson {
    clean: bool,
    trees: Vec<output::NamedHeadJson>,
    parts: u64,
    leaves: u64,
    entries: u64,
    erased: u64,
    part_bytes: u64,
    seconds: f64,
    leaves_per_second: f64,
    kernel_leaves_per_second: Option<f64>,
    log_groups: u64,
    log_bytes: u64,
    log_leaves: u64,
    log_entries: u64,
    torn: Option<String>,
    findings: Vec<FindingJson>,
    rebuilt: Vec<String>,
    backup: Option<String>,
}

#[derive(Serialize)]
struct FindingJson {
    file: String,
    offset: u64,
    what: String,
    problem: String,
    first_block: Option<u64>,
    last_block: Option<u64>,
    first_leaf: Option<u64>,
    last_leaf: Option<u64>,
    remedy: String,
}

/// Scrubs, reports, and ends with status 1 if damage is left.
pub(crate) fn run(args: &ScrubArgs) -> Result<(), Error> {
    let info = StoreInfo::read(&args.dir)?;
    let options = match args.rate {
        Some(rate) => Options::new().bytes_per_second(rate)?,
        None => Options::new(),
    };
    let options = options.repair(args.repair);
    let options = match &args.from {
        Some(backup) => options.backup(&Config::new(backup))?,
        None => options,
    };
    let before = args.kernel.then(|| kernel(&info));
    let progress = Progress::start(args.progress.progress, None, false);
    let report = store::locked(args.lock, || {
        scrub::run(&Config::new(&args.dir), &options, &mut |now| {
            progress.set(now.done, now.total);
            ControlFlow::Continue(())
        })
    })?;
    progress.end();
    let kernel = before.map(|before| f64::midpoint(before, kernel(&info)));

    if args.json {
        output::print(&format!("{}\n", output::to_json(&json(&report, kernel), false)?))?;
    } else {
        let keeps_entries = info.trees.iter().any(|tree| tree.entries.is_some());
        output::print(&text(&report, kernel, keeps_entries))?;
    }
    if report.is_clean() {
        return Ok(());
    }
    let left = |f: &&Finding| !f.remedy.is_done();
    let left = report.findings.iter().filter(left).count() as u64;
    Err(Error::Refused { reason: Refusal::Damaged { dir: args.dir.clone(), left } })
}

/// What the hash function of the largest tree does alone: most of the work is there.
fn kernel(info: &StoreInfo) -> f64 {
    let largest = info.trees.iter().max_by_key(|tree| tree.size);
    let hasher = largest.and_then(|tree| HasherName::by_id(&tree.hasher));
    let hasher = hasher.unwrap_or(HasherName::Blake3).hasher();
    let arity = largest.map_or(Arity::Four, |tree| tree.arity);
    scrub::kernel_rate(&*hasher, arity, MEASURE)
}

fn text(report: &Report, kernel: Option<f64>, keeps_entries: bool) -> String {
    let mut lines = vec![
        output::heads_text(report.head.trees()).trim_end().to_owned(),
        format!(
            "of the last checkpoint; the log holds {}",
            count(report.log_leaves, "more leaf", "more leaves")
        ),
        format!(
            "verified {} in {}, {}, in {:.3} s",
            count(report.leaves, "leaf", "leaves"),
            count(report.parts, "part", "parts"),
            count(report.part_bytes, "byte", "bytes"),
            report.part_time.as_secs_f64()
        ),
    ];
    if keeps_entries {
        let entries = count(report.entries, "entry", "entries");
        let erased = match report.erased {
            0 => String::new(),
            some => format!(", {} erased", count(some, "entry is", "entries are")),
        };
        lines.push(format!("verified {entries} against the leaves{erased}"));
    }
    if report.leaves > 0 {
        let rate = report.leaves_per_second();
        let beside = kernel.map_or(String::new(), |kernel| {
            let (alone, share) = (kernel / 1e6, 100.0 * rate / kernel);
            format!(", the hash function alone {alone:.1} M leaves/s: {share:.0} %")
        });
        lines.push(format!("rate {:.1} M leaves/s{beside}", rate / 1e6));
    }
    let entries = match report.log_entries {
        0 => String::new(),
        some => format!(", {} verified", count(some, "entry", "entries")),
    };
    lines.push(format!(
        "log {} in {}, {}{entries}",
        count(report.log_leaves, "leaf", "leaves"),
        count(report.log_groups, "group", "groups"),
        count(report.log_bytes, "byte", "bytes")
    ));
    lines.extend(report.torn.iter().map(|torn| format!("a torn write behind the log: {torn}")));
    lines.extend(report.findings.iter().map(|finding| format!("damage: {finding}")));
    lines.extend(rebuilt(report).map(|name| format!("wrote {name}")));
    lines.push(if report.findings.is_empty() { "no damage".to_owned() } else { summary(report) });
    lines.join("\n") + "\n"
}

/// The files that were written, for messages and listings.
fn rebuilt(report: &Report) -> impl Iterator<Item = String> {
    report.rebuilt.iter().map(|name| name_of(name.as_ref()))
}

fn summary(report: &Report) -> String {
    let count = |remedy| report.findings.iter().filter(|f| f.remedy == remedy).count();
    let backup = report.backup.as_ref().map_or(String::new(), |path| {
        let (taken, take) = (count(scrub::Remedy::Taken), count(scrub::Remedy::Take));
        let path = name_of(path);
        format!("{taken} taken from {path}, {take} can be taken from there with --repair, ")
    });
    format!(
        "{} rebuilt, {} can be rebuilt with --repair, {backup}{} cannot be repaired",
        count(scrub::Remedy::Rebuilt),
        count(scrub::Remedy::Rebuild),
        count(scrub::Remedy::None)
    )
}

fn json(report: &Report, kernel: Option<f64>) -> ScrubJson {
    ScrubJson {
        clean: report.is_clean(),
        trees: report.head.trees().iter().map(output::NamedHeadJson::of).collect(),
        parts: report.parts,
        leaves: report.leaves,
        entries: report.entries,
        erased: report.erased,
        part_bytes: report.part_bytes,
        seconds: report.part_time.as_secs_f64(),
        leaves_per_second: report.leaves_per_second(),
        kernel_leaves_per_second: kernel,
        log_groups: report.log_groups,
        log_bytes: report.log_bytes,
        log_leaves: report.log_leaves,
        log_entries: report.log_entries,
        torn: report.torn.clone(),
        findings: report.findings.iter().map(finding).collect(),
        rebuilt: rebuilt(report).collect(),
        backup: report.backup.as_deref().map(name_of),
    }
}

fn finding(finding: &Finding) -> FindingJson {
    let last = |range: &std::ops::Range<u64>| range.end.saturating_sub(1);
    FindingJson {
        file: name_of(&finding.damage.file),
        offset: finding.damage.offset,
        what: finding.element.to_string(),
        problem: finding.damage.to_string(),
        first_block: finding.blocks.as_ref().map(|blocks| blocks.start),
        last_block: finding.blocks.as_ref().map(last),
        first_leaf: finding.leaves.as_ref().map(|leaves| leaves.start),
        last_leaf: finding.leaves.as_ref().map(last),
        remedy: finding.remedy.to_string(),
    }
}
