//! The status file, to be written by the store that is open and to be read by others.
//!
//! # Invariants
//!
//! - It is a hint. Nothing that a store does depends on it, and no failure here is one of the store.
//! - A state is written by one call, and its checksum covers all of it. A reader that finds parts of two states reads
//!   again.
//! - A file whose first bytes are not those of a status is never written to: it is not the store's.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::status::{CHECKSUM_AT, HEADER_LEN, LONGEST, MAGIC, StatusFault, VERSION, decode};
use crate::error::{Damage, Error, FormatFeature, Problem, Result};
use crate::fs::{Access, File, FileSystem};
use crate::ids::ByteOffset;
use crate::report::StoreStatus;

/// Opens the status file to be written, with room for every state.
pub(crate) fn create(fs: &dyn FileSystem) -> io::Result<Arc<dyn File>> {
    let file = fs.status_file(Access::ReadWrite)?;
    let len = file.len()?;
    let mut magic = [0; MAGIC.len()];
    if len > 0 {
        let wrong = || io::Error::new(ErrorKind::InvalidData, "it is another program's file");
        file.read_at(ByteOffset(0), &mut magic).map_err(|_| wrong())?;
        // Room that a store made which then wrote nothing is zeros.
        if magic != *MAGIC && magic != [0; MAGIC.len()] {
            return Err(wrong());
        }
    }
    if len != LONGEST as u64 {
        file.allocate(LONGEST as u64)?;
    }
    Ok(file)
}

/// Writes a state over the one before.
pub(crate) fn write(file: &dyn File, bytes: &[u8]) -> io::Result<()> {
    file.write_at(ByteOffset(0), &mut [IoSlice::new(bytes)])
}

/// How often a state that is being written is read again, and the pause before that.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// The state that stands in the status file of a store, if there is one. `path` is that of the store.
pub(crate) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<StoreStatus>> {
    let path = path.join("STATUS");
    let file = match fs.status_file(Access::Read) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    let mut tries = 0;
    loop {
        let bytes = bytes_of(&*file).map_err(|error| Error::io("read", &path, error))?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        tries += 1;
        match decode(&bytes) {
            Ok(status) => return Ok(Some(status)),
            Err(StatusFault::Checksum { .. }) if tries < TRIES => std::thread::sleep(PAUSE),
            Err(fault) => return Err(damaged(&path, &fault)),
        }
    }
}

/// As many bytes of the file as a state can have.
pub(crate) fn bytes_of(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(LONGEST)];
    file.read_at(ByteOffset(0), &mut bytes)?;
    Ok(bytes)
}

fn damaged(path: &Path, fault: &StatusFault) -> Error {
    let damage = match *fault {
        StatusFault::Magic => Damage::field(path, 0, "magic", "DURASTAT", "another"),
        StatusFault::Len(len) => {
            let longest = format!("{HEADER_LEN} to {LONGEST}");
            Damage::field(path, 12, "length", longest, len)
        }
        StatusFault::Checksum { stored, computed } => {
            Damage::new(path, CHECKSUM_AT as u64, Problem::Checksum { stored, computed })
        }
        StatusFault::Field(field, at) => {
            Damage::field(path, at as u64, field, "one that a store writes", "another")
        }
        StatusFault::Version(found) => {
            let (feature, supported) = (FormatFeature::Version, VERSION);
            return Error::UnknownFormat { path: path.to_owned(), feature, found, supported };
        }
    };
    damage.into()
}

#[cfg(test)]
mod tests {
    use super::super::status::{State, encode};
    use super::*;
    use crate::fs::{OsPlace, Place};
    use crate::ids::StoreId;
    use crate::report::{RunState, Stats};

    /// A state all of whose figures follow from one number.
    fn state(sequence: u64) -> Vec<u8> {
        let stats = Stats { leaves: sequence, ..Stats::default() };
        encode(State {
            store: StoreId([1; 16]),
            pid: 1,
            opened: sequence,
            written: sequence,
            sequence,
            state: RunState::Poisoned { error: sequence.to_string() },
            oldest_unflushed: None,
            checkpointed: sequence,
            stats,
            used_trees: sequence,
            trees: Vec::new(),
        })
    }

    #[test]
    fn a_reader_beside_a_writer_sees_whole_states_alone() {
        let dir = tempfile::tempdir().unwrap();
        let fs = OsPlace::new(dir.path()).make().unwrap();
        let file = create(&*fs).unwrap();
        assert_eq!(read(&*fs, dir.path()).unwrap(), None);
        write(&*file, &state(1)).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| (2..3000).for_each(|at| write(&*file, &state(at)).unwrap()));
            let mut last = 1;
            while last < 2999 {
                let status = read(&*fs, dir.path()).unwrap().unwrap();
                let figures = [status.stats.leaves, status.checkpointed, status.used_trees];
                assert_eq!(figures, [status.sequence; 3]);
                let error = status.sequence.to_string();
                assert_eq!(status.state, RunState::Poisoned { error });
                assert!(status.sequence >= last);
                last = status.sequence;
            }
        });
    }
}
