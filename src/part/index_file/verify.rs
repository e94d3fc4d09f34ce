//! Compares the index of a part with one that is built again.

use super::format::{IndexIdentity, table_of};
use super::read::IndexFile;
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
/// with the one that its key and these leaves give.
///
/// # Errors
///
/// Whatever `source` fails with, and [`Error::Io`] if the file cannot be read.
pub(crate) fn verify_index<S>(
    fs: &dyn FileSystem,
    identity: &PartIdentity,
    reference: &PartRef,
    source: &S,
) -> Result<IndexVerdict>
where
    S: NodeSource + ?Sized,
    Error: From<S::Error>,
{
    let name = reference.number.index_file();
    let path = fs.display(name);
    let header = match IndexFile::header(fs, name) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(IndexVerdict::Missing);
        }
        header => header?,
    };
    let expected = IndexIdentity::of(identity, reference);
    let key = header.as_ref().map_or([0; 16], |header| header.key);
    let wanted = IndexIdentity { key, ..expected };
    if header.as_ref() != Some(&wanted) {
        let of = format!("of the index of part {}", reference.number);
        return Ok(IndexVerdict::Damaged(Damage::field(&path, 0, "header", of, "another")));
    }
    let layout = layout_of(&wanted).map_err(|error| Error::io("lay out", &path, error))?;
    let file = fs.open(name, Access::Read).map_err(|error| Error::io("open", &path, error))?;
    let found = file.len().map_err(|error| Error::io("measure", &path, error))?;
    if found != layout.len() {
        let problem = Problem::Truncated { expected: layout.len(), found };
        return Ok(IndexVerdict::Damaged(Damage::new(&path, 0, problem)));
    }
    let mut compared = Compared { file: &*file, number: 1, first_wrong: None };
    let mut sums = Vec::new();
    build(&wanted, &layout, source, |block| {
        sums.push(block_checksum(block));
        compared.next(block).map_err(|error| Error::io("read", &path, error))
    })?;
    for block in table_of(&sums) {
        compared.next(&block).map_err(|error| Error::io("read", &path, error))?;
    }
    Ok(match compared.first_wrong {
        None => IndexVerdict::Intact,
        Some(number) => {
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
    first_wrong: Option<u64>,
}

impl Compared<'_> {
    fn next(&mut self, wanted: &[u8; BLOCK]) -> std::io::Result<()> {
        let mut block = [0; BLOCK];
        self.file.read_at(ByteOffset(self.number * PART_BLOCK), &mut block)?;
        if block != *wanted {
            self.first_wrong.get_or_insert(self.number);
        }
        self.number += 1;
        Ok(())
    }
}
