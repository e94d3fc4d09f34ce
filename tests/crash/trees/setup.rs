//! The stores of several trees, and how they are opened.

use duramen::testing::faulty::Flaw;
use duramen::testing::sim::SimDisk;
use duramen::{CheckpointPolicy, Config, Error, FlushPolicy, Store};

use crate::setup::{claiming, compaction, place};
use testkit::random::Random;

/// One kind of store. Segments are small, so that the log rolls, recycles and runs out of spares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Whether closing makes a checkpoint.
    pub(crate) on_close: bool,
    /// How many trees may get a part for a few leaves.
    pub(crate) small_parts: usize,
    /// How many parts of a tier are merged, if any are.
    pub(crate) fan_in: Option<u32>,
    pub(crate) segment: u64,
    pub(crate) spare: u64,
    pub(crate) unflushed: u64,
    /// Bytes of leaves from which on a group is written in pieces.
    pub(crate) group: u64,
    /// Manifests whose base is shorter are written whole.
    pub(crate) whole_below: u64,
    /// Whether the store says after a pause that its last group is durable. The pause ends when a workload says so.
    pub(crate) claims: bool,
    /// What is wrong with the engine or its disk, on purpose.
    pub(crate) flaw: Option<Flaw>,
}

impl Setup {
    pub(crate) const PLAIN: Self = Self {
        on_close: false,
        small_parts: 8,
        fan_in: Some(4),
        segment: 16 << 10,
        spare: 64 << 10,
        unflushed: 1 << 20,
        group: 1 << 20,
        whole_below: 0,
        claims: false,
        flaw: None,
    };

    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            on_close: random.one_in(2),
            small_parts: random.pick(&[0, 1, 8]),
            fan_in: random.pick(&[None, Some(2)]),
            segment: random.pick(&[8 << 10, 16 << 10]),
            spare: random.pick(&[0, 32 << 10]),
            unflushed: random.pick(&[900, 1 << 20]),
            group: random.pick(&[320, 1 << 20]),
            claims: random.one_in(2),
            whole_below: random.pick(&[0, 16 << 10]),
            flaw: None,
        }
    }

    pub(crate) fn config(&self, disk: &SimDisk) -> Config {
        let config = Config::new("simulated")
            .file_system(place(disk, self.flaw))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(
                CheckpointPolicy::manual().on_close(self.on_close).small_parts(self.small_parts),
            )
            .compaction_policy(compaction(self.fan_in))
            .wal_segment_bytes(self.segment)
            .unwrap()
            .wal_spare_bytes(self.spare)
            .max_unflushed_bytes(self.unflushed)
            .unwrap()
            .wal_group_bytes(self.group)
            .whole_manifests_below(self.whole_below);
        claiming(config, self.claims)
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> Result<Store, Error> {
        Store::open(self.config(disk))
    }
}
