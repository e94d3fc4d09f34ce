//! `duramen backup`.

use duramen::BackupInfo;
use duramen::inspect::count;
use serde::Serialize;

use crate::args::BackupArgs;
use crate::error::Error;
use crate::{hex, output, store};

#[derive(Serialize)]
struct BackupJson {
    size: u64,
    root: String,
    parts: u64,
    bytes_linked: u64,
    bytes_copied: u64,
    seconds: f64,
}

/// Copies a store and prints what the copy holds.
pub(crate) fn run(args: &BackupArgs) -> Result<(), Error> {
    let info = store::read(&args.dir)?.snapshot_to(&args.target)?;
    if args.json {
        return output::print(&format!("{}\n", output::to_json(&json(&info), false)?));
    }
    output::print_head(&info.head, false)?;
    let BackupInfo { parts, bytes_linked, bytes_copied, .. } = &info;
    let (parts, linked) = (count(*parts, "part", "parts"), count(*bytes_linked, "byte", "bytes"));
    output::print(&format!("{parts}, {linked} linked, {bytes_copied} copied\n"))
}

fn json(info: &BackupInfo) -> BackupJson {
    BackupJson {
        size: info.head.size.get(),
        root: hex::encode(&info.head.root),
        parts: info.parts,
        bytes_linked: info.bytes_linked,
        bytes_copied: info.bytes_copied,
        seconds: info.duration.as_secs_f64(),
    }
}
