//! The table and the JSON.

use serde_json::{Map, Value, json};

use crate::commonware;
use crate::env::Env;
use crate::machine::Machine;
use crate::measure::{Row, Who, human};

/// Those that have a column only where they were measured.
const OTHERS: [Who; 5] =
    [Who::Sqlite, Who::Rocksdb, Who::StoresApart, Who::OneTree, Who::LeavesAlone];

/// The peers that have a column: rotortree always, another one where it was measured.
fn peers(rows: &[Row]) -> Vec<Who> {
    let mut peers = vec![Who::Rotortree];
    if commonware::ENABLED {
        peers.push(Who::Commonware);
    }
    let measured = |who: &Who| rows.iter().any(|row| !row.samples(*who).is_empty());
    peers.extend(OTHERS.into_iter().filter(measured));
    peers
}

/// Prints one line per row.
pub fn print_table(rows: &[Row]) {
    let peers = peers(rows);
    let mut header = vec!["workload".to_owned(), "metric".to_owned(), "duramen".to_owned()];
    for peer in &peers {
        header.extend([peer.name().to_owned(), "ratio".to_owned()]);
    }
    header.extend(["limit".to_owned(), "of limit".to_owned()]);

    let mut lines = vec![header];
    for row in rows {
        let mut line = vec![
            row.workload.clone(),
            row.metric.name.to_owned(),
            cell(row.median(Who::Duramen), human),
        ];
        for peer in &peers {
            line.push(cell(row.median(*peer), human));
            line.push(cell(row.ratio(*peer), |ratio| format!("{ratio:.2}x")));
        }
        line.push(cell(row.median(Who::Limit), human));
        line.push(cell(row.ratio(Who::Limit), |share| format!("{:.0} %", share * 100.0)));
        lines.push(line);
    }

    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0))
        .collect();
    for (at, line) in lines.iter().enumerate() {
        print_line(line, &widths);
        if at == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            print_line(&rule, &widths);
        }
    }
}

fn print_line(cells: &[String], widths: &[usize]) {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(
            |(column, (cell, width))| {
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            },
        )
        .collect();
    println!("| {} |", padded.join(" | "));
}

fn cell(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// A side's name as a key.
fn key(who: Who) -> String {
    who.name().replace(' ', "_")
}

/// The whole result as JSON.
pub fn to_json(machine: &Machine, env: &Env, rows: &[Row]) -> Value {
    let peers = peers(rows);
    json!({
        "machine": machine.to_json(),
        "settings": { "runs": env.runs, "scale": env.scale },
        "rows": rows.iter().map(|row| row_json(row, &peers)).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row, peers: &[Who]) -> Value {
    let mut out = Map::new();
    out.insert("workload".into(), json!(row.workload));
    out.insert("metric".into(), json!(row.metric.name));
    out.insert("duramen".into(), json!(row.median(Who::Duramen)));
    for peer in peers {
        let ratio = match peer {
            Who::Rotortree => "ratio".to_owned(),
            other => format!("ratio_{}", key(*other)),
        };
        out.insert(key(*peer), json!(row.median(*peer)));
        out.insert(ratio, json!(row.ratio(*peer)));
    }
    out.insert("limit".into(), json!(row.median(Who::Limit)));
    out.insert("of_limit".into(), json!(row.ratio(Who::Limit)));
    let mut samples = Map::new();
    let first = [Who::Duramen, Who::Rotortree, Who::Commonware];
    for who in first.into_iter().chain(OTHERS).chain([Who::Limit]) {
        if !row.samples(who).is_empty() {
            samples.insert(key(who), json!(row.samples(who)));
        }
    }
    out.insert("samples".into(), Value::Object(samples));
    Value::Object(out)
}
