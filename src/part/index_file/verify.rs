//! Compares the index of a part with one that is built again.

use std::io::ErrorKind;

use super::format::{IndexIdentity, table_of};
use super::write::{build, layout_of};
use crate::checksum::block_checksum;
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::{Access, File, FileSystem};
use crate::ids::ByteOffset;
use crate::index::BLOCK;
use crate::merkle::NodeSource;
use crate::part::format::{PART_BLOCK, PartIdentity, PartRef};

/// What is known of an index after every byte of it was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IndexVerdict {
    /// There is no file.
    Missing,
    /// The file has the index of its part.
    Intact,
    /// It has something else.
    Damaged(Box<Damage>),
}

/// Reads the index of the part `identity`, which `reference` names and whose leaves are in `source`, and compares it
/// with the one that its key and these leaves give. Damage includes bytes that the disk does not return. `go_on` is
/// called from time to time, and its error ends the work.
///
/// # Errors
///
/// Whatever `source` or `go_on` fails with, and [`Error::Io`] if the file cannot be opened.
pub(crate) fn verify_index<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    reference: &PartRef,
    source: &S,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<IndexVerdict>
where
    S: NodeSource + ?Sized,
    Error: From<S::Error>,
{
    let name = reference.number.index_file();
    let path = fs.display(name);
    // Opened once: the name may be given to another index at any time.
    let file = match fs.open(name, Access::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(IndexVerdict::Missing),
        opened => opened.map_err(|error| Error::io("open", &path, error))?,
    };
    let damaged = |damage| Ok(IndexVerdict::Damaged(damage));
    let unreadable = |at, error: &std::io::Error| {
        Damage::new(&path, at, Problem::Unreadable { reason: error.to_string() })
    };
    let expected = IndexIdentity::of(identity, reference);
    let layout = layout_of(&expected).map_err(|error| Error::io("lay out", &path, error))?;
    let found = match file.len() {
        Ok(found) => found,
        Err(error) => return damaged(unreadable(0, &error)),
    };
    let mut block = [0; BLOCK];
    if found >= PART_BLOCK
        && let Err(error) = file.read_at(ByteOffset(0), &mut block)
    {
        return damaged(unreadable(0, &error));
    }
    let header = IndexIdentity::parse(&block);
    let key = header.as_ref().map_or([0; 16], |header| header.key);
    let wanted = IndexIdentity { key, ..expected };
    if header.as_ref() != Some(&wanted) {
        let of = format!("of the index of part {}", reference.number);
        return damaged(Damage::field(&path, 0, "header", of, "another"));
    }
    if found != layout.len() {
        let problem = Problem::Truncated { expected: layout.len(), found };
        return damaged(Damage::new(&path, 0, problem));
    }
    let mut compared = Compared { file: &*file, number: 1, first_wrong: None };
    let mut sums = Vec::new();
    build(&wanted, &layout, source, go_on, |block| {
        sums.push(block_checksum(block));
        compared.next(block);
        Ok(())
    })?;
    for block in table_of(&sums) {
        compared.next(&block);
    }
    Ok(match compared.first_wrong {
        None => IndexVerdict::Intact,
        Some((number, Some(error))) => {
            IndexVerdict::Damaged(unreadable(number * PART_BLOCK, &error))
        }
        Some((number, None)) => {
            let at = number * PART_BLOCK;
            let damage = Damage::field(&path, at, "block", "that of the part's leaves", "another");
            IndexVerdict::Damaged(damage)
        }
    })
}

/// The blocks of a file, compared one after the other.
struct Compared<'a> {
    file: &'a dyn File,
    number: u64,
    /// The first block that differs or cannot be read.
    first_wrong: Option<(u64, Option<std::io::Error>)>,
}

impl Compared<'_> {
    fn next(&mut self, wanted: &[u8; BLOCK]) {
        // The rest does not change what is known.
        if self.first_wrong.is_none() {
            let mut block = [0; BLOCK];
            let read = self.file.read_at(ByteOffset(self.number * PART_BLOCK), &mut block);
            if read.is_err() || block != *wanted {
                self.first_wrong = Some((self.number, read.err()));
            }
        }
        self.number += 1;
    }
}
