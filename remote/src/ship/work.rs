//! The thread that ships.
//!
//! # Invariants
//!
//! - It is the only one that writes to the bucket, and sends one slot at a time.
//! - The log of the local store keeps what is not in the bucket, and releases it only then.
//! - The note of the directory names a sequence number, durably, before records up to it are sent.
//! - A failure of the bucket never ends it, unless another writer has taken over or the bucket has what no writer wrote. It
//!   never reaches the local store. The thread sends the same slot again.
//! - When it ends, every waiter has its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duramen::Store;
use duramen::ship::{Groups, LogBatch, LogFeed, ShippedPart, StoreState};
use futures_util::future::{Abortable, Aborted};

use super::begin::{Rest, compare};
use super::config::{ShipConfig, ShipPolicy};
use super::shared::{Shared, Work};
use crate::body::{self, CHUNK, RemotePart};
use crate::client::Client;
use crate::collect::Collected;
use crate::error::{Error, Result};
use crate::name::Name;
use crate::note::{Note, NoteDir};
use crate::objects::{Reference, StoreId};
use crate::protocol::{Writer, identity, read, take_over};
use crate::remote::{Remote, same};
use crate::runtime::Runtime;

/// The wait after a call that gave up, before the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// The thread looks no more often than this.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// After so many looks in a row that found no new state, one waits for the checkpoint lock.
const PASSED_OVER: u32 = 50;

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Runtime,
    pub(super) writer: Writer<Client>,
    pub(super) feed: LogFeed,
    id: StoreId,
    pub(super) config: ShipConfig,
    /// The parts of the state in the bucket.
    pub(super) parts: Vec<RemotePart>,
    /// Parts that were uploaded for a state that is not in force yet.
    pub(super) uploaded: Vec<RemotePart>,
    pub(super) rest: Option<Rest>,
    pub(super) needs_state: bool,
    /// The number of the state in the bucket, if this worker has shipped it.
    shipped: Option<u64>,
    /// The number of the state that is proposed.
    proposed: Option<u64>,
    /// How many looks in a row found no new state. The checkpoint lock may have been taken in each of them.
    passed_over: u32,
    /// The directory of the store, which has the note.
    notes: NoteDir,
    note: Note,
    /// A batch that was read and is not in a slot yet.
    unsent: Option<LogBatch>,
    /// The batch that is being sent, if it is a whole one of the feed.
    sending: Option<Option<LogBatch>>,
}

/// Whether what failed may succeed later: a request, also one that the bucket refuses until an operator has mended the
/// credentials, or the note on a disk that is full. The same slot is sent again then.
fn may_pass(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::Refused { .. } | Error::Io { .. })
}

/// Runs a call of the bucket, which ends without an answer once the shipper is abandoned.
fn ask<T: Send>(
    (runtime, shared): (&Runtime, &Shared),
    call: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let call = Abortable::new(call, shared.begin_request());
    runtime.block_on(call).unwrap_or_else(|Aborted| {
        let remote = shared.lock().remote;
        Err(Error::Closed { remote, wanted: remote })
    })
}

/// The groups of `bytes` that end behind `remote`.
fn groups_behind(remote: u64, bytes: &[u8]) -> Result<Bytes> {
    let mut behind = Vec::new();
    for group in Groups::new(bytes) {
        let group = group.map_err(|at| Error::Damaged {
            name: "the log of the store".to_owned(),
            what: format!("it has no group at byte {at} of a batch"),
        })?;
        if group.last.0 > remote {
            behind.extend_from_slice(group.bytes);
        }
    }
    Ok(behind.into())
}

/// Ends the thread for those who wait, also if it panics.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

impl Worker {
    /// Takes the bucket over for `store`, unless the directory has missed something.
    pub(super) fn begin(remote: &Remote, store: &Store, config: ShipConfig) -> Result<Self> {
        let mut feed = LogFeed::begin(store)?;
        let own: StoreId = feed.store()?;
        let client = &remote.client;
        let (found, _) = remote.run(identity(&**client))?.ok_or(Error::NoStore)?;
        same(own, found)?;
        // Before anything is changed in the bucket.
        let (found, seen) = remote.run(read(&**client, || Ok(Collected::default())))?;
        let end = found.cursor.map_or(0, |cursor| cursor.seq);
        let notes = NoteDir::of(feed.directory()?, &config.dir)?;
        if !notes.is_at(&config.dir)? {
            return Err(Error::Io {
                action: "ship",
                path: config.dir,
                reason: "it is not the directory of the store that is open".to_owned(),
            });
        }
        compare(&mut LogFeed::begin(store)?, &seen, end, &notes, own)?;
        drop(seen);
        let mut collected = Collected::default();
        let writer = remote.run(take_over(Arc::clone(client), &mut collected))?;
        let end = writer.committed();
        let start = compare(&mut feed, &collected, end, &notes, own)?;
        let note = Note { epoch: writer.epoch(), sent: end };
        notes.write(own, note)?;
        let shared = Arc::new(Shared::new(feed.flusher()?));
        if collected.state.is_some() {
            shared.change(|state| state.remote = end);
        }
        Ok(Self {
            shared,
            runtime: remote.runtime.clone(),
            writer,
            feed,
            id: own,
            config,
            parts: collected.parts,
            uploaded: Vec::new(),
            rest: start.rest,
            needs_state: start.needs_state,
            shipped: None,
            proposed: None,
            passed_over: 0,
            notes,
            note,
            unsent: None,
            sending: None,
        })
    }

    pub(super) fn run(mut self) {
        let end = End(Arc::clone(&self.shared));
        let interval = match self.config.policy {
            ShipPolicy::Interval(interval) => Some(interval.max(LEAST_INTERVAL)),
            ShipPolicy::Manual => None,
        };
        let mut swept = false;
        loop {
            let work = self.shared.next(interval);
            if self.shared.is_abandoned() {
                break;
            }
            self.shared.begin_turn();
            let result = self.ship().and_then(|()| {
                // What an earlier writer left, once.
                if !swept {
                    let collected = ask((&self.runtime, &self.shared), self.writer.sweep())?;
                    self.shared.took(|state| state.collected += collected);
                    swept = true;
                }
                Ok(())
            });
            match (result, work) {
                (Ok(()), Work::Ship(request)) => {
                    self.shared.end_turn();
                    self.shared.carried_out(request);
                }
                (Ok(()), Work::Stop) => {
                    self.shared.end_turn();
                    break;
                }
                (Err(_), _) if self.shared.is_abandoned() => break,
                (Err(error), Work::Ship(_)) if may_pass(&error) => {
                    tracing::warn!(%error, "cannot ship");
                    self.shared.change(|state| state.last_error = Some(error));
                    self.shared.pause(PAUSE);
                }
                (Err(error), _) => {
                    tracing::error!(%error, "shipping has ended");
                    self.shared.change(|state| state.last_error = Some(error.clone()));
                    self.shared.end(Some(error));
                    break;
                }
            }
        }
        drop(end);
    }

    /// Ships everything that is durable, and the state if there is a new one.
    fn ship(&mut self) -> Result<()> {
        self.ship_log()?;
        self.ship_state()
    }

    /// Ships everything that is durable.
    fn ship_log(&mut self) -> Result<()> {
        if self.needs_state {
            self.ship_origin()?;
        }
        self.finish()?;
        if let Some(last) = self.rest.as_ref().map(|rest| rest.last) {
            self.intend(last)?;
        }
        if let Some(rest) = self.rest.take() {
            self.writer.begin(rest.last, rest.bytes.into())?;
            self.sending = Some(None);
            self.finish()?;
        }
        loop {
            if self.unsent.is_none() {
                self.unsent = self.feed.next(self.config.slot_bytes)?;
            }
            if self.unsent.is_none() {
                return Ok(());
            }
            self.send()?;
        }
    }

    /// Ships the state if there is a new one.
    fn ship_state(&mut self) -> Result<()> {
        if !self.writer.is_proposed() {
            let Some(state) = self.new_state()? else { return Ok(()) };
            if state.covers().0 > self.writer.committed() {
                // It comes with the next turn, once the log is in the bucket.
                return Ok(());
            }
            self.propose(&state)?;
        }
        self.publish()
    }

    /// The state of the store, if it is newer than the one in the bucket. Waits for a checkpoint that is at work only if many
    /// calls before may have found one.
    fn new_state(&mut self) -> Result<Option<StoreState>> {
        if self.passed_over >= PASSED_OVER {
            self.passed_over = 0;
            let state = self.feed.state()?;
            return Ok((Some(state.number()) > self.shipped).then_some(state));
        }
        let newer = self.feed.newer_state(self.shipped)?;
        self.passed_over = if newer.is_some() { 0 } else { self.passed_over + 1 };
        Ok(newer)
    }

    /// Notes that records up to `last` may be in the bucket from now on.
    fn intend(&mut self, last: u64) -> Result<()> {
        if last > self.note.sent {
            let note = Note { sent: last, ..self.note };
            self.notes.write(self.id, note)?;
            self.note = note;
        }
        Ok(())
    }

    /// Sends the batch that was read.
    fn send(&mut self) -> Result<()> {
        let Some(batch) = &self.unsent else { return Ok(()) };
        let remote = self.writer.committed();
        let bytes = if batch.first().0 < remote {
            // The state that was shipped first may cover the beginning.
            groups_behind(remote, batch.bytes())?
        } else {
            Bytes::copy_from_slice(batch.bytes())
        };
        let last = batch.last().0;
        if bytes.is_empty() {
            self.feed.release(batch)?;
            self.unsent = None;
            return Ok(());
        }
        self.intend(last)?;
        self.writer.begin(last, bytes)?;
        self.sending = Some(self.unsent.take());
        self.finish()
    }

    /// Returns once the slot that is being sent is committed.
    fn finish(&mut self) -> Result<()> {
        let Some(batch) = &self.sending else { return Ok(()) };
        let bytes = batch.as_ref().map_or(0, |batch| batch.bytes().len() as u64);
        ask((&self.runtime, &self.shared), self.writer.finish())?;
        let remote = self.writer.committed();
        self.shared.took(|state| {
            state.remote = state.remote.max(remote);
            state.slots += 1;
            state.bytes += bytes;
        });
        if let Some(Some(batch)) = self.sending.take() {
            self.feed.release(&batch)?;
        }
        Ok(())
    }

    /// Ships a state that may cover more than the log in the bucket, which then begins behind it.
    fn ship_origin(&mut self) -> Result<()> {
        if !self.writer.is_proposed() {
            let state = self.feed.state()?;
            self.intend(state.covers().0)?;
            self.propose(&state)?;
        }
        self.publish()?;
        self.needs_state = false;
        Ok(())
    }

    /// Uploads what `state` needs and fixes its manifest.
    fn propose(&mut self, state: &StoreState) -> Result<()> {
        let mut parts = Vec::new();
        for part in state.parts() {
            parts.push(self.upload(state, part)?);
        }
        let (objects, body) = body::encode(state.bytes(), &parts);
        self.writer.propose(state.covers().0, objects, body)?;
        self.uploaded = parts;
        self.proposed = Some(state.number());
        Ok(())
    }

    /// Returns once the manifest that was proposed is in force, and what it replaces is deleted.
    fn publish(&mut self) -> Result<()> {
        ask((&self.runtime, &self.shared), self.writer.publish())?;
        self.shipped = self.proposed;
        self.parts = std::mem::take(&mut self.uploaded);
        let remote = self.writer.committed();
        self.shared.took(|state| {
            state.remote = state.remote.max(remote);
            state.states += 1;
        });
        // The manifest is in force, whether or not this succeeds now.
        let collected = ask((&self.runtime, &self.shared), self.writer.collect())?;
        self.shared.took(|state| state.collected += collected);
        Ok(())
    }

    /// The objects of a part, uploaded unless the bucket has them.
    fn upload(&mut self, state: &StoreState, part: &ShippedPart) -> Result<RemotePart> {
        let known = self.parts.iter().chain(&self.uploaded);
        if let Some(known) = known.into_iter().find(|known| known.is(part)) {
            return Ok(known.clone());
        }
        let mut chunks = Vec::new();
        let mut at = 0;
        while at < part.len {
            let len = usize::try_from(part.len - at).unwrap_or(CHUNK).min(CHUNK);
            let mut bytes = vec![0; len];
            state.read_part(part, at, &mut bytes)?;
            let bytes = Bytes::from(bytes);
            let number = u32::try_from(chunks.len()).map_err(|_| Error::Refused {
                action: "upload",
                name: format!("part {}", part.number),
                reason: format!("it has {} bytes", part.len),
            })?;
            let name = Name::part(self.writer.epoch(), part.number, number);
            let chunk = Reference::to(name, &bytes);
            ask((&self.runtime, &self.shared), self.writer.upload(&chunk, &bytes))?;
            self.shared.took(|state| state.part_bytes += len as u64);
            chunks.push(chunk);
            at += len as u64;
        }
        let ShippedPart { number, len, checksum, .. } = *part;
        let done = RemotePart { number, len, checksum, chunks };
        self.uploaded.push(done.clone());
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use duramen::{Blake3, CheckpointPolicy, Config};
    use object_store::memory::InMemory;

    use super::*;
    use crate::RemoteStatus;

    /// A worker whose thread does not run, so that a test decides what happens between its steps.
    fn worker(dir: &std::path::Path) -> (Remote, Store, Worker) {
        let config = Config::new(dir).checkpoint_policy(CheckpointPolicy::manual());
        let store = Store::open(config).unwrap();
        let remote = Remote::from_object_store(Arc::new(InMemory::new()), "").unwrap();
        remote.init(&store).unwrap();
        let mut worker = Worker::begin(&remote, &store, ShipConfig::new(dir)).unwrap();
        worker.ship().unwrap();
        (remote, store, worker)
    }

    /// Some turns in which nothing is new. One alone may find the checkpoint lock taken.
    fn ship_idle(remote: &Remote, worker: &mut Worker) -> RemoteStatus {
        for _ in 0..20 {
            worker.ship().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        remote.status().unwrap()
    }

    #[test]
    fn the_last_checkpoint_before_a_pause_is_shipped() {
        let dir = tempfile::tempdir().unwrap();
        let (remote, store, mut worker) = worker(dir.path());
        let tree = store.tree::<Blake3, 4>("log").unwrap();
        tree.insert_durable([1; 32]).unwrap();
        worker.ship_log().unwrap();
        // It covers more than the log in the bucket.
        tree.insert_durable([2; 32]).unwrap();
        store.checkpoint().unwrap();
        worker.ship_state().unwrap();
        assert_eq!(remote.status().unwrap().slots_behind_state, 1, "the first leaf");
        let status = ship_idle(&remote, &mut worker);
        assert_eq!(status.slots_behind_state, 0, "{status:?}");
        assert_eq!(status.seq, Some(store.durable_seq().unwrap().0));
    }

    #[test]
    fn what_a_prune_leaves_is_shipped_without_another_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let (remote, store, mut worker) = worker(dir.path());
        let tree = store.tree::<Blake3, 4>("log").unwrap();
        drop(tree.insert_many(&testkit::stores::leaves(2_000, 0)).unwrap());
        store.checkpoint().unwrap();
        let before = ship_idle(&remote, &mut worker);
        let checkpoints = store.stats().checkpoints;
        tree.prune(1_500).unwrap();
        assert_eq!(store.stats().checkpoints, checkpoints);
        let after = ship_idle(&remote, &mut worker);
        assert!(after.manifest > before.manifest, "{after:?}");
        assert!(after.part_bytes < before.part_bytes, "{after:?}");
    }

    #[test]
    fn bytes_of_the_log_that_are_no_group_are_an_error_and_not_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (_, store, mut worker) = worker(dir.path());
        let tree = store.tree::<Blake3, 4>("log").unwrap();
        tree.insert_durable([1; 32]).unwrap();
        let batch = worker.feed.next(1 << 20).unwrap().unwrap();
        let groups: Vec<_> = Groups::new(batch.bytes()).map(|group| group.unwrap()).collect();
        let first = groups[0];
        assert_eq!(groups_behind(first.last.0 - 1, batch.bytes()).unwrap(), batch.bytes());
        let rest = &batch.bytes()[first.bytes.len()..];
        assert_eq!(groups_behind(first.last.0, batch.bytes()).unwrap(), rest);
        let mut ends = Vec::new();
        for group in groups {
            ends.push(ends.last().unwrap_or(&0) + group.bytes.len());
        }
        for cut in 1..batch.bytes().len() {
            let found = groups_behind(0, &batch.bytes()[..cut]);
            assert_eq!(matches!(found, Err(Error::Damaged { .. })), !ends.contains(&cut), "{cut}");
        }
    }
}
