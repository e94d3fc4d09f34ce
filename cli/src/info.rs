//! `duramen info`: what a store is, from its manifest and the sizes of its files. Reads no log and no part.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use duramen::StoreInfo;
use duramen::inspect::{self, count, utc};
use serde::Serialize;

use crate::args::InfoArgs;
use crate::error::Error;
use crate::output;
use crate::trees::{self, TreeJson};

#[derive(Serialize)]
struct InfoJson {
    store: String,
    /// The trees at the last checkpoint.
    trees: Vec<TreeJson>,
    manifests: FilesJson,
    log: FilesJson,
    parts: FilesJson,
    /// Bytes of all these files on the disk.
    disk_bytes: u64,
    owner: Option<OwnerJson>,
}

/// Files of one directory.
#[derive(Clone, Copy, Default, Serialize)]
struct FilesJson {
    files: u64,
    /// Their lengths.
    bytes: u64,
    /// What they take on the disk: without holes.
    #[serde(skip)]
    disk: u64,
}

/// The process that has the store, by its own account.
#[derive(Serialize)]
struct OwnerJson {
    pid: u32,
    host: String,
    since: String,
}

/// Prints what a store is.
pub(crate) fn run(args: &InfoArgs) -> Result<(), Error> {
    let info = StoreInfo::read(&args.dir)?;
    let owner = inspect::lock_owner(&args.dir);
    let [manifests, log, parts] =
        ["manifest", "wal", "parts"].map(|dir| files(&args.dir.join(dir)));
    if args.json {
        let owner = owner.map(|owner| OwnerJson {
            pid: owner.pid,
            host: owner.host,
            since: utc(owner.since).to_string(),
        });
        let trees = info.trees.iter().map(trees::json).collect();
        let disk_bytes = manifests.disk + log.disk + parts.disk;
        let store = info.store;
        let json = InfoJson { store, trees, manifests, log, parts, disk_bytes, owner };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    let mut text = format!("store {}\n", info.store);
    for tree in &info.trees {
        text += &format!(
            "tree {}, {} of {} at the last checkpoint\n",
            trees::text(tree).trim_end(),
            count(tree.parts, "part", "parts"),
            count(tree.part_bytes, "byte", "bytes"),
        );
    }
    for (name, files) in [("manifests", manifests), ("log", log), ("parts", parts)] {
        let FilesJson { files, bytes, disk } = files;
        let (files, bytes) = (count(files, "file", "files"), count(bytes, "byte", "bytes"));
        text += &format!("{name} {files}, {bytes}, {disk} on the disk\n");
    }
    if let Some(owner) = owner {
        text += &format!("opened in {owner}, which has not closed it\n");
    }
    output::print(&text)
}

/// The files of a directory. Those that come and go meanwhile are left out.
fn files(dir: &Path) -> FilesJson {
    let mut all = FilesJson::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) {
            all.files += 1;
            all.bytes += meta.len();
            all.disk += meta.blocks() * 512;
        }
    }
    all
}
