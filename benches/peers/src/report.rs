//! The table and the JSON.

use serde_json::{Map, Value, json};

use crate::commonware;
use crate::env::Env;
use crate::machine::Machine;
use crate::measure::{Row, Who, human};

const PEERS: &[Who] =
    if commonware::ENABLED { &[Who::Rotortree, Who::Commonware] } else { &[Who::Rotortree] };

/// Prints one line per row.
pub fn print_table(rows: &[Row]) {
    let mut header = vec!["workload".to_owned(), "metric".to_owned(), "duramen".to_owned()];
    for peer in PEERS {
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
        for peer in PEERS {
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

/// The whole result as JSON.
pub fn to_json(machine: &Machine, env: &Env, rows: &[Row]) -> Value {
    json!({
        "machine": machine.to_json(),
        "settings": { "runs": env.runs, "scale": env.scale },
        "rows": rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let mut out = Map::new();
    out.insert("workload".into(), json!(row.workload));
    out.insert("metric".into(), json!(row.metric.name));
    out.insert("duramen".into(), json!(row.median(Who::Duramen)));
    for peer in PEERS {
        let ratio = match peer {
            Who::Rotortree => "ratio".to_owned(),
            other => format!("ratio_{}", other.name()),
        };
        out.insert(peer.name().into(), json!(row.median(*peer)));
        out.insert(ratio, json!(row.ratio(*peer)));
    }
    out.insert("limit".into(), json!(row.median(Who::Limit)));
    out.insert("of_limit".into(), json!(row.ratio(Who::Limit)));
    let mut samples = Map::new();
    for who in [Who::Duramen, Who::Rotortree, Who::Commonware, Who::Limit] {
        if !row.samples(who).is_empty() {
            samples.insert(who.name().into(), json!(row.samples(who)));
        }
    }
    out.insert("samples".into(), Value::Object(samples));
    Value::Object(out)
}
