//! A status in the text form of Prometheus.

use std::fmt::Write as _;

use super::figures::{Figure, Value, of_store, of_tree, steps};
use super::seen::Seen;

fn family(text: &mut String, name: &str, help: &str) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    // Writing to a text does not fail.
    let _ =
        writeln!(text, "# HELP duramen_store_{name} {help}\n# TYPE duramen_store_{name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: Value) {
    let _ = writeln!(text, "duramen_store_{name}{labels} {}", value.text());
}

/// A value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub(super) fn text(seen: &Seen) -> String {
    let mut out = String::new();
    let own = [
        (
            "up",
            "Whether the process that wrote this has the store open.",
            u64::from(seen.status.running),
        ),
        ("poisoned", "Whether the store takes nothing more.", u64::from(seen.poison().is_some())),
        ("trees", "Trees that were used since the store was opened.", seen.status.used_trees),
    ];
    for (name, help, value) in own {
        family(&mut out, name, help);
        sample(&mut out, name, "", Value::Count(value));
    }
    family(&mut out, "status_age_seconds", "How long ago the store wrote this.");
    sample(&mut out, "status_age_seconds", "", Value::Time(seen.age));
    if let Some((free, all)) = seen.space {
        for (name, help, value) in
            [("disk_free_bytes", "Free space.", free), ("disk_bytes", "Size of the disk.", all)]
        {
            family(&mut out, name, help);
            sample(&mut out, name, "", Value::Count(value));
        }
    }
    for Figure { name, help, value } in of_store(&seen.status) {
        family(&mut out, name, help);
        sample(&mut out, name, "", value);
    }
    let stats = &seen.status.stats;
    family(&mut out, "step_last_seconds", "How long a step took in the last run.");
    // Not `job`: a server sets that one itself.
    for (work, of) in [("checkpoint", &stats.checkpoint_jobs), ("merge", &stats.compaction_jobs)] {
        for (step, last, _) in steps(of) {
            let labels = format!("{{work=\"{work}\",step=\"{step}\"}}");
            sample(&mut out, "step_last_seconds", &labels, Value::Time(last));
        }
    }
    let trees = seen.status.trees.iter().map(|tree| (escaped(tree.tree.as_str()), of_tree(tree)));
    let trees: Vec<_> = trees.collect();
    let families = trees.first().map_or(0, |(_, figures)| figures.len());
    for at in 0..families {
        for (row, (tree, figures)) in trees.iter().enumerate() {
            let Figure { name, help, value } = &figures[at];
            if row == 0 {
                family(&mut out, name, help);
            }
            sample(&mut out, name, &format!("{{tree=\"{tree}\"}}"), *value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_line() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
