//! Checks everything in a bucket, and says what is wrong with which object.

use std::collections::HashSet;

use bytes::Bytes;
use duramen::ship::{Groups, read_state};

use crate::body;
use crate::error::{Error, Result};
use crate::objects::{Object, Slot, State};
use crate::protocol::{Take, check};
use crate::remote::Remote;

/// What a check of a bucket has found.
///
/// # Examples
///
/// See [`Remote::fsck`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteSurvey {
    /// The identifier of the store.
    pub store: [u8; 16],
    /// The newest epoch: how often a writer has begun. 0 if none has.
    pub epoch: u64,
    /// The number of the manifest in force; `None` if no writer has begun.
    pub manifest: Option<u64>,
    /// The sequence number of the store up to which everything is in the bucket, as far as it could be read; `None` before
    /// anything was shipped.
    pub seq: Option<u64>,
    /// Objects that were read whole.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that nothing needs, by name. They are no problem: the next writer deletes them.
    pub garbage: Vec<String>,
    /// What is wrong. Empty if every object that is needed is there and is what it should be.
    pub findings: Vec<Finding>,
}

/// One problem in a bucket.
///
/// # Examples
///
/// See [`Remote::fsck`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The object that has it.
    pub object: String,
    /// What is wrong.
    pub problem: Error,
}

impl Remote {
    /// Reads every object that the store in the bucket consists of, and compares lengths, checksums, the chain of the slots
    /// and the records in them. Changes nothing there, takes nothing over, and may run beside a writer.
    ///
    /// This reads as many bytes as a restore. Of the manifests before the one in force it looks for holes alone. Whether the
    /// leaves have the roots that they should have is for a restored copy and its scrub.
    ///
    /// # Errors
    ///
    /// [`NoStore`](Error::NoStore) if nothing is here, and what reading the bucket fails with. What is wrong with an object is
    /// in the [`findings`](RemoteSurvey::findings) instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Level, Remote, ShipConfig};
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path))?;
    /// log.insert([7; 32])?;
    /// shipper.flush_to(Level::Remote)?;
    /// let survey = remote.fsck()?;
    /// assert!(survey.findings.is_empty(), "{:?}", survey.findings);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fsck(&self) -> Result<RemoteSurvey> {
        let checked = self.run(check(&*self.client, || Judge))?;
        Ok(RemoteSurvey {
            store: checked.store,
            epoch: checked.epoch,
            manifest: checked.manifest,
            seq: checked.seq,
            objects: checked.objects,
            bytes: checked.bytes,
            garbage: checked.garbage.iter().map(ToString::to_string).collect(),
            findings: checked
                .problems
                .into_iter()
                .map(|(name, problem)| Finding { object: name.to_string(), problem })
                .collect(),
        })
    }
}

/// Compares the contents of states and slots with what the local store would make of them.
#[derive(Debug)]
struct Judge;

impl Take for Judge {
    fn state(&mut self, state: &State, seq: u64) -> Result<()> {
        let damaged = |what: String| Err(Error::Damaged { name: state.name().to_string(), what });
        let (own, parts) = body::decode(state)?;
        let (covers, needed) = match read_state(&own) {
            Ok(read) => read,
            Err(error) => return damaged(error.to_string()),
        };
        if covers.0 < seq {
            return damaged(format!("it has records up to {covers}, and the log begins at {seq}"));
        }
        if let Some(part) = needed.iter().find(|part| !parts.iter().any(|found| found.is(part))) {
            return damaged(format!("it has no objects for its part {}", part.number));
        }
        let needed: HashSet<u64> = needed.iter().map(|part| part.number).collect();
        match parts.iter().find(|part| !needed.contains(&part.number)) {
            Some(part) => {
                damaged(format!("it has objects for part {}, which it lacks", part.number))
            }
            None => Ok(()),
        }
    }

    fn records(&mut self, slot: &Slot, body: Bytes) -> Result<()> {
        let damaged = |what: String| Err(Error::Damaged { name: slot.name().to_string(), what });
        let mut seq = slot.before;
        for group in Groups::new(&body) {
            let group = match group {
                Ok(group) => group,
                Err(at) => return damaged(format!("its records have no group at byte {at}")),
            };
            if group.first.0 != seq {
                return damaged(format!(
                    "a group begins at {} where the one before ends at {seq}",
                    group.first
                ));
            }
            seq = group.last.0;
        }
        if seq != slot.after {
            return damaged(format!("its records end at {seq}, and it says {}", slot.after));
        }
        Ok(())
    }
}
