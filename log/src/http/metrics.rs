//! The figures of a process in the text form of Prometheus.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use duramen::Store;

use super::figures::{Text, escaped};
use super::site::{Served, Site};
use super::witness::Cosigning;
use crate::witnesses::WitnessState;

/// The figures of the logs of `site` or of a witness, and of their store.
pub(super) fn metrics(site: &Site, store: &Store, cosigning: Option<&Cosigning>) -> Response {
    let mut text = Text::default();
    text.family("duramen_connections", "gauge", "Open connections.");
    text.sample("duramen_connections", "", site.connections());
    for served in site.all() {
        of_log(&mut text, served);
    }
    if let Some(cosigning) = cosigning {
        cosigning.figures(&mut text);
    }
    let stats = store.stats();
    for (name, kind, help, value) in [
        ("leaves", "gauge", "Leaves of all trees.", stats.leaves),
        ("durable_leaves", "gauge", "Leaves that are known to be durable.", stats.durable),
        ("groups_total", "counter", "Groups of the log written.", stats.groups),
        ("syncs_total", "counter", "Syncs of the log.", stats.syncs),
        ("log_bytes_total", "counter", "Bytes written to the log.", stats.wal_bytes_written),
        ("log_segments", "gauge", "Segments of the log.", stats.wal_segments),
        ("unflushed_bytes", "gauge", "Bytes that are not in the log yet.", stats.unflushed_bytes),
        (
            "uncheckpointed_bytes",
            "gauge",
            "Bytes in memory that no part has yet.",
            stats.uncheckpointed_bytes,
        ),
        ("memory_bytes", "gauge", "Memory that the trees take.", stats.memory_bytes),
        ("checkpoints_total", "counter", "Checkpoints of the store.", stats.checkpoints),
        (
            "failed_checkpoints_total",
            "counter",
            "Checkpoints that failed.",
            stats.failed_checkpoints,
        ),
        ("parts", "gauge", "Parts of all trees.", stats.parts),
        ("merges_total", "counter", "Merges of parts.", stats.compactions),
        ("failed_merges_total", "counter", "Merges that failed.", stats.failed_compactions),
        ("stalls_total", "counter", "Inserts that waited for room.", stats.stalls),
        ("refused_total", "counter", "Inserts that were refused.", stats.refused),
    ] {
        let name = format!("duramen_store_{name}");
        text.family(&name, kind, help);
        text.sample(&name, "", value);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text.into_string()).into_response()
}

fn of_log(text: &mut Text, served: &Served) {
    let labels = format!("{{log=\"{}\"}}", escaped(&served.name));
    let counted = &served.counted;
    let published = served.log.published();
    let size = published.as_ref().map_or(0, |published| published.head().size.get());
    let age = published.map_or(0, |published| published.age().as_secs());
    let (waiting, waiting_bytes) = served.log.backlog();
    let damage = served.log.damage().len() as u64;
    let stopped = u64::from(!served.log.is_open());
    for (name, kind, help, value) in [
        ("size", "gauge", "Leaves of the log.", served.log.tree().size().get()),
        ("checkpoint_size", "gauge", "Size of the checkpoint that stands.", size),
        ("checkpoint_age_seconds", "gauge", "Age of the checkpoint that stands.", age),
        ("damage", "gauge", "Places of the store that were found damaged.", damage),
        ("stopped", "gauge", "1 if the log signs and takes nothing any more.", stopped),
        ("waiting_entries", "gauge", "Entries that wait to be inserted.", waiting as u64),
        ("waiting_bytes", "gauge", "Bytes that wait to be inserted.", waiting_bytes as u64),
        ("added_entries_total", "counter", "Entries answered as durable.", counted.entries.get()),
        ("added_bytes_total", "counter", "Bytes of requests that added.", counted.bytes.get()),
        ("refused_total", "counter", "Requests refused for lack of room.", counted.refused.get()),
        ("tiles_total", "counter", "Tiles served.", counted.tiles.get()),
        ("bundles_total", "counter", "Bundles of entries served.", counted.bundles.get()),
        ("proofs_total", "counter", "Proofs served.", counted.proofs.get()),
    ] {
        let name = format!("duramen_log_{name}");
        text.family(&name, kind, help);
        text.sample(&name, &labels, value);
    }
    of_witnesses(text, served);
    let name = "duramen_log_add_seconds";
    text.family(name, "histogram", "Time until what was added was durable.");
    text.latency(name, &format!("log=\"{}\"", escaped(&served.name)), &counted.latency);
}

fn of_witnesses(text: &mut Text, served: &Served) {
    type Value = fn(&WitnessState) -> u64;
    let witnesses = served.log.witnesses();
    let families: [(&str, &str, &str, Value); 3] = [
        ("cosigned_total", "counter", "Checkpoints that a witness cosigned.", |one| one.cosigned),
        ("failed_total", "counter", "How often a witness was asked in vain.", |one| one.failed),
        ("cosigned_size", "gauge", "The size that a witness cosigned last.", |one| one.size),
    ];
    for (name, kind, help, value) in families {
        let name = format!("duramen_log_witness_{name}");
        for witness in &witnesses {
            text.family(&name, kind, help);
            let (log, witness_name) = (escaped(&served.name), escaped(&witness.name));
            let labels = format!("{{log=\"{log}\",witness=\"{witness_name}\"}}");
            text.sample(&name, &labels, value(witness));
        }
    }
}
