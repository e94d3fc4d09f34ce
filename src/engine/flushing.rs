//! What the flusher needs of the engine.

use std::time::Duration;

use super::background::Job;
use super::gate::Gate;
use super::ingest::Cut;
use super::log::{FlushPoint, Group, LogSource, News, Work};
use super::shared::Engine;
use crate::column::View;
use crate::config::FlushPolicy;
use crate::error::{Error, Result};
#[cfg(duramen_mutants)]
use crate::fs::FileSystem;
use crate::ids::Seq;
use crate::report::RunState;

/// The background hashes a tree once so many of its leaves are unhashed: enough to fill every core.
const HASH_FROM: u64 = 1 << 16;

impl LogSource for Engine {
    #[cfg(duramen_mutants)]
    fn fs(&self) -> &dyn FileSystem {
        &*self.fs
    }

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn begin(&self) {
        self.log.raise_from_here();
    }

    fn next(&self) -> Work {
        self.log.next(match self.settings.flush {
            FlushPolicy::Interval { within } => Some(within),
            FlushPolicy::Manual => None,
        })
    }

    fn durable(&self) -> Seq {
        self.log.durable()
    }

    fn group_bytes(&self) -> u64 {
        self.settings.group_bytes
    }

    fn cut(&self) -> (Cut, bool) {
        self.inflow.cut()
    }

    fn spill_cut(&self) -> Option<(Cut, Cut)> {
        self.inflow.spill_cut(self.settings.spill_bytes())
    }

    fn written(&self, group: &Group<'_>) {
        self.counters.written(group.leaves, group.log_bytes);
        self.inflow.written(group.tally);
        let behind = |view: &View| view.leaves() - view.hashed() >= HASH_FROM;
        let all = group.stretches.iter().zip(group.views);
        let mut behind = all.filter(|(_, view)| behind(view)).peekable();
        if behind.peek().is_none() {
            return;
        }
        self.background.add_unhashed(behind.map(|(stretch, _)| &stretch.tree));
        self.request_job(Job::Hash);
    }

    fn synced(&self, took: Duration) {
        self.counters.synced(took);
    }

    fn flushed(&self, point: FlushPoint, news: News) -> Result<()> {
        if self.log.advance(point, news)? {
            self.space_can_be_freed();
        }
        Ok(())
    }

    fn claim_later(&self) {
        if let Some(pause) = self.settings.claim_idle {
            self.log.claim_in(pause);
        }
    }

    fn report_change(&self) {
        self.log.report_change();
    }

    fn report(&self) {
        self.write_status(RunState::Open);
    }

    fn rolled(&self, left: bool) {
        self.log.rolled(left);
    }

    fn request_segment(&self) {
        self.request_job(Job::PrepareSegment);
    }

    fn checkpoint_if_due(&self) {
        Self::checkpoint_if_due(self);
    }

    fn poison(&self, error: Error) -> Result<()> {
        Self::poison(self, error)
    }
}
