//! `duramen restore`: a store from a backup, if the backup has the history that the caller trusts.
//!
//! # Invariant
//!
//! Nothing is made before the backup was compared with the trusted head.

use duramen::inspect::count;
use duramen::{BackupInfo, Config, StoreReader, TreeHead};

use crate::args::RestoreArgs;
use crate::error::{Error, Refusal};
use crate::{hex, output};

/// Copies a backup to where the store is to be, and prints what it holds.
pub(crate) fn run(args: &RestoreArgs) -> Result<(), Error> {
    let backup = StoreReader::open(Config::new(&args.backup))?;
    if let Some(head) = &args.against {
        compare(&backup, args, head)?;
    }
    let info = backup.snapshot_to(&args.dir)?;
    if args.json {
        return output::print_store(&info.head, true);
    }
    output::print_heads(info.head.trees())?;
    let BackupInfo { parts, bytes_linked, bytes_copied, .. } = &info;
    let (parts, linked) = (count(*parts, "part", "parts"), count(*bytes_linked, "byte", "bytes"));
    output::print(&format!("{parts}, {linked} linked, {bytes_copied} copied\n"))
}

/// Refuses a backup that is of another history than the trusted head, or older.
fn compare(backup: &StoreReader, args: &RestoreArgs, trusted: &TreeHead) -> Result<(), Error> {
    let tree = backup.tree(&args.tree)?;
    let (size, wanted) = (tree.size().get(), trusted.size.get());
    if size < wanted {
        let (tree, at_least) = (args.tree.to_string(), true);
        let reason = Refusal::OtherSize { tree, size, expected: wanted, at_least };
        return Err(Error::Refused { reason });
    }
    let found = tree.head_at(wanted)?;
    if found.root != trusted.root {
        let (stated, computed) = (hex::encode(&trusted.root), hex::encode(&found.root));
        return Err(Error::Refused {
            reason: Refusal::OtherHead { size: wanted, stated, computed },
        });
    }
    Ok(())
}
