//! What another crate needs to copy a running store elsewhere, bit by bit: the durable log from some place on, and the
//! state that the manifest in force names.
//!
//! # Invariants
//!
//! - A feed reads groups that are durable, whole, up to a point. So what it returns is what the store has after a
//!   restart.
//! - The segments that a feed has not been told to release keep their contents. So the log can be read however long the
//!   reader takes, and takes room meanwhile.
//! - Nothing here waits for the flusher, and nothing here costs anything without a feed.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::hold::PartsHold;
use super::shared::Engine;
use crate::directory::manifest::Manifest;
use crate::durability::DurabilityToken;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::ids::{SegmentId, Seq, StoreId};
use crate::wal::frame::GroupHeader;
use crate::wal::{Extent, OnwardHold, Position, copy_some};

/// Reads the durable log from where the manifest in force begins it.
pub(crate) struct Feed {
    engine: Arc<Engine>,
    /// `None` once dropped.
    hold: Option<OnwardHold>,
    /// Stretches of earlier runs that were not read yet, oldest first.
    closed: Vec<Extent>,
    /// Where the next group of this run is.
    next: Position,
    /// The sequence number there.
    seq: Seq,
}

impl Feed {
    /// A feed of the log of `engine`.
    pub(crate) fn begin(engine: &Arc<Engine>) -> Self {
        // Under the lock no segment is released.
        let live = engine.keeper.lock();
        let hold = engine.log.hold_segments_onward();
        let log = &live.manifest().log;
        let closed = log.closed.iter().rev().copied().collect();
        Self { engine: Arc::clone(engine), hold: Some(hold), closed, next: log.open, seq: log.seq }
    }

    /// The sequence number up to which everything was returned.
    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    /// The sequence number up to which everything is durable.
    pub(crate) fn durable(&self) -> Seq {
        self.engine.log.durable()
    }

    /// Passes the next groups to `copy`, until it has returned that it is `enough` and they end at a point, or
    /// everything durable was read. Returns the oldest segment that a later call reads.
    pub(crate) fn read(
        &mut self,
        copy: &mut dyn FnMut(&GroupHeader, &[u8]) -> Result<()>,
        enough: &Cell<bool>,
    ) -> Result<SegmentId> {
        let engine = &*self.engine;
        let end = engine.log.point().position;
        while !enough.get() {
            let extent = match self.closed.last() {
                Some(extent) => *extent,
                None => Extent { from: self.next, to: end },
            };
            if extent.from == extent.to {
                match self.closed.pop() {
                    Some(_) => continue,
                    None => break,
                }
            }
            let fs = &*engine.fs;
            let (at, seq) = copy_some(fs, engine.store, extent, self.seq, copy, &|| enough.get())?;
            self.seq = seq;
            match self.closed.last_mut() {
                Some(extent) => extent.from = at,
                None => self.next = at,
            }
        }
        let next = self.closed.last().map_or(self.next, |extent| extent.from);
        Ok(next.segment)
    }

    /// Keeps only `from` and later segments from now on.
    pub(crate) fn release_before(&mut self, from: SegmentId) {
        if let Some(hold) = &mut self.hold {
            hold.move_to(from);
        }
    }

    /// The manifest in force, and a hold on its parts.
    pub(crate) fn state(&self) -> (Manifest, PartsHold) {
        let live = self.engine.keeper.lock();
        (live.manifest().clone(), PartsHold::begin(&self.engine, &live))
    }

    /// The same, if the number of the manifest is above `than`. Returns `None` too, and does not wait, while another thread
    /// has the checkpoint lock.
    pub(crate) fn newer_state(&self, than: Option<u64>) -> Option<(Manifest, PartsHold)> {
        let live = self.engine.keeper.try_lock()?;
        let is_newer = Some(live.manifest().number) > than;
        is_newer.then(|| (live.manifest().clone(), PartsHold::begin(&self.engine, &live)))
    }

    /// A token of what is durable now.
    pub(crate) fn token(&self) -> DurabilityToken {
        self.engine.log.token(self.durable())
    }

    /// The store.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // In a forked child another thread of the parent may hold the lock that the end of a hold takes.
        if self.engine.process().check().is_err() {
            std::mem::forget(self.hold.take());
        }
    }
}

impl Engine {
    /// The identifier of the store.
    pub(crate) fn store_id(&self) -> StoreId {
        self.store
    }

    /// The sequence number up to which everything is durable.
    pub(crate) fn durable_seq(&self) -> Seq {
        self.log.durable()
    }

    /// The path of the store, for messages.
    pub(crate) fn shown_path(&self) -> &Path {
        &self.path
    }

    /// The file system of the store.
    pub(crate) fn file_system(&self) -> &dyn FileSystem {
        &*self.fs
    }
}
