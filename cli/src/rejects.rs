//! The file that bad records go to, so that the input goes on behind them.
//!
//! # Invariant
//!
//! When [`Rejects::finish`] has returned without an error, every bad record is in the file and durable, byte for byte,
//! each with a separator behind it, and so is the name of the file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use duramen::inspect::count;

use crate::ended::{Bad, InputError};
use crate::error::{Error, name_of};
use crate::output;

/// Where bad records go.
pub(crate) struct Rejects {
    out: BufWriter<File>,
    /// The directory of the file. `None` for what is no file, such as a pipe.
    directory: Option<File>,
    name: String,
    /// The byte behind each record, if there is one.
    separator: Option<u8>,
    pub(crate) records: u64,
    first: Option<InputError>,
}

impl Rejects {
    /// Bad records go behind what is in the file, which is made if it is missing.
    pub(crate) fn open(path: &Path, separator: Option<u8>) -> Result<Self, Error> {
        let name = name_of(path);
        let (file, directory) = output::append_to(path)?;
        let out = BufWriter::new(file);
        Ok(Self { out, directory, name, separator, records: 0, first: None })
    }

    /// Keeps a bad record, or more of one.
    pub(crate) fn take(&mut self, bad: Bad) -> Result<(), Error> {
        if let Some(error) = bad.error {
            self.records += 1;
            self.first.get_or_insert(error);
        }
        let separator = self.separator.filter(|_| bad.ended);
        let written = self.out.write_all(&bad.bytes);
        written.and_then(|()| self.out.write_all(separator.as_slice())).map_err(|e| self.fail(e))
    }

    /// Makes the file durable.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let synced = self.out.flush().and_then(|()| match self.out.get_ref().sync_all() {
            // A pipe or a device.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        });
        // It may have been made here, or by a process that did not come to sync its name.
        let synced = synced.and_then(|()| self.directory.as_ref().map_or(Ok(()), File::sync_all));
        synced.map_err(|error| self.fail(error))
    }

    /// How many records are there, and what was wrong with the first.
    pub(crate) fn in_words(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let (records, are) = (
            count(self.records, "bad record", "bad records"),
            if self.records == 1 { "is" } else { "are" },
        );
        Some(format!("{records} {are} in {}; the first: {first}", self.name))
    }

    fn fail(&self, source: io::Error) -> Error {
        Error::Write { name: self.name.clone(), source }
    }
}
