//! The arguments of the commands that erase entries.

use std::ops::Range;
use std::path::PathBuf;

use duramen::TreeName;

use super::LockArgs;
use crate::number::number;

/// `duramen erase`.
#[derive(Debug, clap::Args)]
pub(crate) struct EraseArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The entries: an index, counted from 0, or FIRST-LAST for all from one to another.
    #[arg(
        value_name = "INDEX",
        value_parser = range,
        required_unless_present = "list",
        conflicts_with = "list"
    )]
    pub(crate) ranges: Vec<Range<u64>>,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Why, up to 1,024 bytes. It stays in the store for ever.
    #[arg(long, value_name = "TEXT", required_unless_present = "list", conflicts_with = "list")]
    pub(crate) reason: Option<String>,

    /// Erase them. Without this option the program says what would be erased and changes nothing.
    #[arg(long, conflicts_with = "list")]
    pub(crate) yes: bool,

    /// List all erasures of the tree, oldest first, and change nothing.
    #[arg(long)]
    pub(crate) list: bool,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen compact`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompactArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Merge all parts of each tree into one.
    #[arg(long)]
    pub(crate) full: bool,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads an index, or two of them with a hyphen between.
fn range(text: &str) -> Result<Range<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("{first} comes after {last}"));
    }
    let end = last.checked_add(1).ok_or_else(|| format!("an index is less than {}", u64::MAX))?;
    Ok(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_an_index_or_all_from_one_to_another() {
        assert_eq!(range("0"), Ok(0..1));
        assert_eq!(range("17-17"), Ok(17..18));
        assert_eq!(range("3-250"), Ok(3..251));
        assert_eq!(range("0-18446744073709551614"), Ok(0..u64::MAX));
        for bad in [
            "",
            "-",
            "-1",
            "1-",
            "3-2",
            "1-2-3",
            "01",
            "1..3",
            "1,2",
            "+1",
            "1 - 2",
            "18446744073709551615",
        ] {
            assert!(range(bad).is_err(), "{bad:?}");
        }
    }
}
