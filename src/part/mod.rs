//! Part files: one column per level, and the entries of the leaves, written once. [`ReadMode`] decides whether they are mapped or read.

mod base;
mod blocks;
mod bundles;
mod bytes;
mod checked;
mod compress;
mod entries;
mod entry_writer;
mod filter;
mod find;
mod finder;
mod format;
mod handle;
mod held;
mod in_place;
mod index_file;
mod merge;
mod publish;
mod raw;
mod raw_bundles;
mod reader;
mod set;
mod writer;

pub(crate) use base::Base;
pub(crate) use finder::Scans;
pub(crate) use format::BlockFault as HeaderFault;
#[cfg(any(test, feature = "testing"))]
pub(crate) use format::{Footer, PartLayout, seal_of};
pub(crate) use format::{NODES_PER_BLOCK, PART_BLOCK, PART_BLOCK_LEN, PartIdentity, PartRef};
pub(crate) use held::Held;
#[cfg(any(test, feature = "testing"))]
pub(crate) use index_file::fix_index;
pub(crate) use index_file::{INDEX_STEP, IndexVerdict, verify_index};
pub(crate) use merge::Merged;
pub(crate) use publish::Publisher;
pub(crate) use raw::{PartFrame, RawPart, Verdict, read_header};
pub(crate) use raw_bundles::RawBundle;
pub(crate) use reader::Part;
pub(crate) use set::PartSet;
#[cfg(test)]
pub(crate) use writer::write_part;
pub(crate) use writer::{PartEntries, write_part_with};
