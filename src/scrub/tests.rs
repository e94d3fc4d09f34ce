//! Damage that no disk causes: wrong nodes under right checksums.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::ages::Ages;
use crate::column::{Columns, Layout, View};
use crate::directory::manifest::TreeEntry;
use crate::error::ReadError;
use crate::ids::ByteOffset;
use crate::ids::PartId;
use crate::ids::{GroupNumber, SegmentId, StoreId, TreeId};
use crate::merkle::TreeSize;
use crate::merkle::{Arity, Blake3, Hash, Level, NodeIndex, NodeSource, root_at};
use crate::part::{PartIdentity, write_part};
use crate::testing::sim::SimDisk;
use crate::tree_spec::TreeSpec;
use crate::wal::{Log, LogKey, Position};

/// A view in which one bit of one node is flipped.
struct Lying {
    view: View,
    node: (Level, u64),
}

impl NodeSource for Lying {
    type Error = ReadError;

    fn read_nodes(
        &self,
        level: Level,
        first: NodeIndex,
        out: &mut [Hash],
    ) -> Result<(), ReadError> {
        self.view.read_nodes(level, first, out)?;
        let at = self.node.1.checked_sub(first.0).and_then(|at| usize::try_from(at).ok());
        if level == self.node.0
            && let Some(node) = at.and_then(|at| out.get_mut(at))
        {
            node[9] ^= 4;
        }
        Ok(())
    }
}

/// A store of 1000 leaves in two parts, written with one wrong node.
fn store(node: (Level, u64)) -> Config {
    let arity = Arity::Four;
    let (columns, mut leaves, mut nodes) = Columns::empty(Layout::new(arity));
    leaves.append(&(0..1000u64).map(|at| Blake3.leaf(&at.to_le_bytes())).collect::<Vec<_>>());
    nodes.hash_to(&Blake3, 1000);
    let view = columns.view();
    let root = root_at(&view, &Blake3, arity, TreeSize(1000)).unwrap();
    let lying = Lying { view, node };
    let disk = SimDisk::new();
    disk.make_dirs().unwrap();
    let store = StoreId([7; 16]);
    let mut parts = Vec::new();
    for (number, from, to) in [(1, 0, 700), (2, 700, 1000)] {
        let number = PartId(number);
        let hasher = "blake3".to_owned();
        let identity =
            PartIdentity { store, tree: TreeId(0), hasher, arity, number, from, to, entries: None };
        parts.push(write_part(&disk, &identity, &lying, None, true).unwrap());
        disk.rename(number.file().tmp(), number.file()).unwrap();
    }
    let open = Position {
        segment: SegmentId(1),
        offset: ByteOffset(0),
        group: GroupNumber(1),
        key: LogKey([0; 16]),
    };
    disk.create(open.segment.file()).unwrap().allocate(8192).unwrap();
    let manifest = Manifest {
        store,
        number: 1,
        checkpoint: [1; 16],
        next_segment: 2,
        next_part: 3,
        log: Log { closed: Vec::new(), open, seq: crate::ids::Seq(1000), clean: true },
        next_tree: 1,
        erased: false,
        marks: crate::mark::Marks::default(),
        trees: vec![Arc::new(TreeEntry {
            spec: TreeSpec::read(TreeId(0), b"main", b"blake3", 4, [0; 8]).unwrap(),
            size: 1000,
            root,
            sealed: false,
            indexed: false,
            base: None,
            parts,
            tail: Box::default(),
            erasures: Arc::default(),
            ages: Ages::default(),
        })],
    };
    manifests::publish(&disk, &manifest, &manifest.files()).unwrap();
    Config::new("lying").file_system(Arc::new(disk))
}

fn repair(config: &Config) -> Report {
    let options = Options::new().repair(true);
    run(config, &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_wrong_node_under_a_right_checksum_is_found_and_rebuilt() {
    for node in [(1, 0), (1, 174), (1, 175), (1, 249), (2, 43), (2, 61), (3, 10), (4, 2)] {
        let node = (Level(node.0), node.1);
        let config = store(node);
        let report = repair(&config);
        let [finding] = &report.findings[..] else { panic!("{node:?}: {report:#?}") };
        let problem = crate::Problem::NotTheHash { level: node.0, index: node.1 };
        assert_eq!(finding.damage.problem, problem);
        assert_eq!(finding.remedy, Remedy::Rebuilt);
        let report = repair(&config);
        assert!(report.findings.is_empty() && report.rebuilt.is_empty(), "{report:#?}");
    }
}

#[test]
fn nothing_is_rebuilt_from_a_wrong_leaf_under_a_right_checksum() {
    for leaf in [0, 500, 700, 999] {
        let config = store((Level::LEAVES, leaf));
        let report = repair(&config);
        assert!(report.findings.iter().any(|finding| finding.element == Element::Root), "{leaf}");
        assert!(report.findings.iter().all(|finding| finding.remedy == Remedy::None), "{leaf}");
        assert!(report.rebuilt.is_empty());
    }
}
