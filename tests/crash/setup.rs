//! The stores that are tortured, and how they are opened.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::Place;
use duramen::testing::faulty::{Faulty, Flaw};
use duramen::testing::sim::SimDisk;
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    Hasher, Reader, Rfc6962Sha256,
};

use testkit::random::Random;
use testkit::reference::{BLAKE3, Oracle, RFC6962};

/// One kind of store. Segments are small, so that the log rolls, recycles and runs out of spares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) arity: Arity,
    pub(crate) sha: bool,
    pub(crate) segment: u64,
    pub(crate) spare: u64,
    pub(crate) unflushed: u64,
    /// Bytes of leaves from which on a group is written in pieces.
    pub(crate) group: u64,
    /// Whether closing makes a checkpoint.
    pub(crate) on_close: bool,
    /// How many trees may get a part for a few leaves.
    pub(crate) small_parts: usize,
    /// Manifests whose base is shorter are written whole.
    pub(crate) whole_below: u64,
    /// Whether the store says after a pause that its last group is durable. The pause ends when a workload says so.
    pub(crate) claims: bool,
    /// What is wrong with the engine or its disk, on purpose.
    pub(crate) flaw: Option<Flaw>,
    /// How many parts of a tier are merged, if any are.
    pub(crate) fan_in: Option<u32>,
}

impl Setup {
    pub(crate) const PLAIN: Self = Self {
        arity: Arity::Four,
        sha: false,
        segment: 16 << 10,
        spare: 64 << 10,
        unflushed: 1 << 20,
        group: 1 << 20,
        on_close: false,
        small_parts: 8,
        whole_below: 16 << 10,
        claims: false,
        flaw: None,
        fan_in: Some(4),
    };

    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            arity: random.pick(&Arity::ALL),
            sha: random.one_in(2),
            segment: random.pick(&[8 << 10, 12 << 10, 16 << 10]),
            spare: random.pick(&[0, 16 << 10, 64 << 10]),
            unflushed: random.pick(&[640, 1 << 20]),
            group: random.pick(&[96, 1 << 20]),
            on_close: random.one_in(2),
            small_parts: random.pick(&[0, 8, 8]),
            claims: random.one_in(2),
            whole_below: random.pick(&[0, 16 << 10]),
            flaw: None,
            fan_in: random.pick(&[None, Some(2), Some(4)]),
        }
    }

    pub(crate) fn oracle(&self) -> Oracle {
        if self.sha { RFC6962 } else { BLAKE3 }
    }

    pub(crate) fn config(&self, disk: &SimDisk) -> Config {
        let config = Config::new("simulated")
            .file_system(place(disk, self.flaw))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(
                CheckpointPolicy::manual().on_close(self.on_close).small_parts(self.small_parts),
            )
            .wal_segment_bytes(self.segment)
            .unwrap()
            .wal_spare_bytes(self.spare)
            .max_unflushed_bytes(self.unflushed)
            .unwrap()
            .wal_group_bytes(self.group)
            .whole_manifests_below(self.whole_below)
            .compaction_policy(compaction(self.fan_in));
        claiming(config, self.claims)
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> Result<DynAccumulator, Error> {
        self.open_as(self.config(disk))
    }

    pub(crate) fn open_as(&self, config: Config) -> Result<DynAccumulator, Error> {
        DynAccumulator::open(config, self.hasher(), self.arity)
    }

    /// A reader beside the store.
    pub(crate) fn read(&self, disk: &SimDisk) -> Result<Reader, Error> {
        Reader::open(self.config(disk), self.hasher(), self.arity)
    }

    fn hasher(&self) -> Arc<dyn Hasher> {
        if self.sha { Arc::new(Rfc6962Sha256) } else { Arc::new(Blake3) }
    }
}

/// The configuration of a store that says after a pause that its last group is durable, if it `claims`.
pub(crate) fn claiming(config: Config, claims: bool) -> Config {
    // Longer than any test takes.
    if claims { config.claim_idle(Duration::from_secs(24 * 3600)).unwrap() } else { config }
}

/// Merges by `fan_in`, or none.
pub(crate) fn compaction(fan_in: Option<u32>) -> CompactionPolicy {
    fan_in.map_or(CompactionPolicy::Off, |fan_in| CompactionPolicy::tiered(fan_in).unwrap())
}

/// The disk as a store finds it that has this flaw.
pub(crate) fn place(disk: &SimDisk, flaw: Option<Flaw>) -> Arc<dyn Place> {
    match flaw {
        None => Arc::new(disk.clone()),
        Some(flaw) => Arc::new(Faulty::new(disk.clone(), flaw)),
    }
}

/// Ends a store as a kill does: the disk takes nothing more from it.
pub(crate) fn abandon(disk: &SimDisk, store: DynAccumulator) {
    disk.stop_after(0);
    drop(store);
}
