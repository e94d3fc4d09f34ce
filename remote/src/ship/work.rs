//! The thread that ships.
//!
//! # Invariants
//!
//! - It is the only one that writes to the bucket, and sends one slot at a time.
//! - The log of the local store keeps what is not in the bucket, and releases it only then.
//! - A failure of the bucket that may pass never ends it, and never reaches the local store. It tries the same slot again.
//! - When it ends, every waiter has its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duramen::Store;
use duramen::ship::{Groups, LogBatch, LogFeed, ShippedPart, StoreState};

use super::begin::Rest;
use super::config::{ShipConfig, ShipPolicy};
use super::shared::{Shared, Work};
use crate::body::{self, CHUNK, RemotePart};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::name::Name;
use crate::objects::Reference;
use crate::protocol::Writer;
use crate::runtime::Runtime;

/// The wait after a call that gave up, before the next one.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Runtime,
    pub(super) writer: Writer<Client>,
    pub(super) feed: LogFeed,
    pub(super) store: Store,
    pub(super) config: ShipConfig,
    /// The parts of the state in the bucket.
    pub(super) parts: Vec<RemotePart>,
    /// Parts that were uploaded for a state that is not in force yet.
    pub(super) uploaded: Vec<RemotePart>,
    pub(super) rest: Option<Rest>,
    pub(super) needs_state: bool,
    /// How many checkpoints there were when a state was shipped last.
    pub(super) checkpoints: Option<u64>,
    /// The batch that is being sent.
    pub(super) sending: Option<Option<LogBatch>>,
}

/// Ends the thread for those who wait, also if it panics.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

impl Worker {
    pub(super) fn run(mut self) {
        let end = End(Arc::clone(&self.shared));
        let interval = match self.config.policy {
            ShipPolicy::Interval(interval) => Some(interval),
            ShipPolicy::Manual => None,
        };
        let mut swept = false;
        loop {
            let work = self.shared.next(interval);
            let result = self.ship().and_then(|()| {
                if std::mem::replace(&mut swept, true) {
                    return Ok(());
                }
                // What an earlier writer left, once.
                let collected = self.runtime.block_on(self.writer.sweep())?;
                self.shared.change(|state| state.collected += collected);
                Ok(())
            });
            match (result, work) {
                (Ok(()), Work::Ship(request)) => {
                    self.shared.change(|state| state.last_error = None);
                    self.shared.carried_out(request);
                }
                (Ok(()), Work::Stop) => break,
                (Err(error), Work::Ship(_)) if error.is_transient() => {
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
        if self.needs_state {
            self.ship_state(true)?;
        }
        self.finish()?;
        if let Some(rest) = self.rest.take() {
            self.writer.begin(rest.last, rest.bytes.into())?;
            self.sending = Some(None);
            self.finish()?;
        }
        while let Some(batch) = self.feed.next(self.config.slot_bytes)? {
            self.send(batch)?;
        }
        let checkpoints = self.store.stats().checkpoints;
        if self.checkpoints != Some(checkpoints) || self.writer.is_proposed() {
            self.ship_state(false)?;
            self.checkpoints = Some(checkpoints);
        }
        Ok(())
    }

    fn send(&mut self, batch: LogBatch) -> Result<()> {
        let remote = self.writer.committed();
        let bytes = if batch.first().0 < remote {
            // The state that was shipped first may cover the beginning.
            let groups = Groups::new(batch.bytes()).filter_map(std::result::Result::ok);
            let new = groups.filter(|group| group.last.0 > remote);
            new.flat_map(|group| group.bytes).copied().collect()
        } else {
            Bytes::copy_from_slice(batch.bytes())
        };
        if bytes.is_empty() {
            return Ok(self.feed.release(&batch)?);
        }
        self.writer.begin(batch.last().0, bytes)?;
        self.sending = Some(Some(batch));
        self.finish()
    }

    /// Returns once the slot that is being sent is committed.
    fn finish(&mut self) -> Result<()> {
        let Some(batch) = &self.sending else { return Ok(()) };
        let bytes = batch.as_ref().map_or(0, |batch| batch.bytes().len() as u64);
        self.runtime.block_on(self.writer.finish())?;
        let remote = self.writer.committed();
        self.shared.change(|state| {
            state.remote = state.remote.max(remote);
            state.slots += 1;
            state.bytes += bytes;
        });
        if let Some(Some(batch)) = self.sending.take() {
            self.feed.release(&batch)?;
        }
        Ok(())
    }

    /// Ships the state as of the last checkpoint. With `jump` it may cover more than the log in the bucket, which then
    /// begins behind it.
    fn ship_state(&mut self, jump: bool) -> Result<()> {
        if !self.writer.is_proposed() {
            let state = self.feed.state()?;
            let covers = state.covers().0;
            if !jump && covers > self.writer.committed() {
                // It comes with the next turn, once the log is in the bucket.
                return Ok(());
            }
            let mut parts = Vec::new();
            for part in state.parts() {
                parts.push(self.upload(&state, part)?);
            }
            let (objects, body) = body::encode(state.bytes(), &parts);
            self.writer.propose(covers, objects, body)?;
            self.uploaded = parts;
        }
        self.runtime.block_on(self.writer.publish())?;
        self.needs_state = false;
        self.parts = std::mem::take(&mut self.uploaded);
        let remote = self.writer.committed();
        self.shared.change(|state| {
            state.remote = state.remote.max(remote);
            state.states += 1;
        });
        // The manifest is in force, whether or not this succeeds now.
        let collected = self.runtime.block_on(self.writer.collect())?;
        self.shared.change(|state| state.collected += collected);
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
            self.runtime.block_on(self.writer.upload(&chunk, &bytes))?;
            self.shared.change(|state| state.part_bytes += len as u64);
            chunks.push(chunk);
            at += len as u64;
        }
        let ShippedPart { number, len, checksum, .. } = *part;
        let done = RemotePart { number, len, checksum, chunks };
        self.uploaded.push(done.clone());
        Ok(done)
    }
}
