//! `duramen backup`.

use duramen::inspect::count;
use duramen::{BackupInfo, Config, StoreReader};
use serde::Serialize;

use crate::args::BackupArgs;
use crate::error::Error;
use crate::output;

#[derive(Serialize)]
struct BackupJson {
    trees: Vec<output::NamedHeadJson>,
    parts: u64,
    bytes_linked: u64,
    bytes_copied: u64,
    bytes_kept: u64,
    seconds: f64,
}

/// Copies a store and prints what the copy holds.
pub(crate) fn run(args: &BackupArgs) -> Result<(), Error> {
    let store = StoreReader::open(Config::new(&args.dir))?;
    let info = match args.incremental {
        true => store.update_backup(&args.target)?,
        false => store.snapshot_to(&args.target)?,
    };
    if args.json {
        return output::print(&format!("{}\n", output::to_json(&json(&info), false)?));
    }
    output::print_heads(info.head.trees())?;
    let BackupInfo { parts, bytes_linked, bytes_copied, bytes_kept, .. } = &info;
    let (parts, linked) = (count(*parts, "part", "parts"), count(*bytes_linked, "byte", "bytes"));
    let kept = match bytes_kept {
        0 => String::new(),
        kept => format!("{kept} kept, "),
    };
    output::print(&format!("{parts}, {linked} linked, {kept}{bytes_copied} copied\n"))
}

fn json(info: &BackupInfo) -> BackupJson {
    BackupJson {
        trees: info.head.trees().iter().map(output::NamedHeadJson::of).collect(),
        parts: info.parts,
        bytes_linked: info.bytes_linked,
        bytes_copied: info.bytes_copied,
        bytes_kept: info.bytes_kept,
        seconds: info.duration.as_secs_f64(),
    }
}
