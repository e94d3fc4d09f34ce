//! duramen beside its peers: the same work, in the same run, on the same disk.
//!
//! Every workload runs each side in turn, several times over (A B C, A B C, ...), and reports the
//! medians, so that a slow minute of the machine hits all sides. Only the ratios within one run mean
//! anything; figures of different runs do not compare.
//!
//! `ratio` is above 1 when duramen is better, whatever the metric's direction. `limit` is what the
//! device or the hash kernel reaches in the same run when it does nothing else, and `of_limit` the
//! share of it that duramen reaches.

mod child;
mod commonware;
mod entries;
mod env;
mod leaves;
mod limit;
mod logs;
mod machine;
mod measure;
mod plot;
mod report;
mod sides;
mod trace;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::env::Env;

/// Compares duramen with its peers and prints a table.
#[derive(Parser, Debug)]
struct Args {
    /// Run only this workload; may be given several times. Default: all of them.
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,

    /// Run only this side, as the table names it; may be given several times. Default: all of them.
    #[arg(long, value_name = "NAME")]
    side: Vec<String>,

    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// How often each side runs; the medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Multiplies all sizes and durations, 0 < F <= 1: small for a quick smoke run.
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    scale: f64,

    /// Where the stores are made, and removed after each run. It should be on the disk of interest.
    #[arg(long, default_value = "target/peers-data")]
    dir: PathBuf,

    /// List the workloads and stop.
    #[arg(long)]
    list: bool,

    /// Draw the plots of the workloads that have some into this directory.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,

    /// Measures one side of a workload in this process; what some workloads start.
    #[arg(long, hide = true, num_args = 1.., value_names = ["WORKLOAD", "SIDE", "ARGUMENT"])]
    child: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.scale > 0.0 && args.scale <= 1.0, "--scale must be above 0 and at most 1");
    if args.list {
        for workload in workloads::ALL {
            println!("{:<24} {}", workload.name, workload.about);
        }
        return Ok(());
    }
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot create {}", args.dir.display()))?;
    let dir = args.dir.canonicalize()?;
    if !args.child.is_empty() {
        return workloads::answer(&args.child, &dir);
    }
    let chosen = workloads::choose(&args.workload)?;
    let env = Env { dir, runs: args.runs, scale: args.scale, plots: args.plots, sides: args.side };
    let machine = machine::describe(&env);
    machine.print();
    let mut rows = Vec::new();
    for workload in chosen {
        eprintln!("{}: {}", workload.name, workload.about);
        let measured =
            (workload.run)(&env, workload.name).with_context(|| workload.name.to_owned())?;
        rows.extend(measured);
    }
    println!();
    report::print_table(&rows);
    if let Some(file) = &args.json {
        let json = report::to_json(&machine, &env, &rows);
        std::fs::write(file, format!("{json:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("\nwritten to {}", file.display());
    }
    Ok(())
}
