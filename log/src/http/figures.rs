//! The text form of Prometheus.

use std::fmt::Write;

use super::counted::{BOUNDS, Latency};

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A value of a label.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Figures as text.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Describes the samples that follow. Several logs have the same families, which are described once.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        if !self.0.contains(&format!("# TYPE {name} ")) {
            let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    /// Adds a value. `labels` stand in braces, or are empty.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// Adds a histogram. `label` is one that all samples have, or empty.
    pub(super) fn latency(&mut self, name: &str, label: &str, latency: &Latency) {
        let mut below = 0;
        let comma = if label.is_empty() { "" } else { "," };
        for (place, bucket) in latency.buckets.iter().enumerate() {
            below += bucket.get();
            let bound =
                BOUNDS.get(place).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound));
            let labels = format!("{{{label}{comma}le=\"{bound}\"}}");
            self.sample(&format!("{name}_bucket"), &labels, below);
        }
        let labels = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        self.sample(&format!("{name}_count"), &labels, below);
        self.sample(&format!("{name}_sum"), &labels, seconds(latency.micros.get()));
    }

    /// All of it.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal() {
        assert_eq!(seconds(1_500), "0.001500");
        assert_eq!(seconds(2_000_001), "2.000001");
    }
}
