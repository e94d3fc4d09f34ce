//! Writes the index of a part.

use super::format::{FileLayout, IndexIdentity, table_of};
use crate::error::{Damage, Error, Result};
use crate::fs::FileSystem;
use crate::index::{BLOCK, BuildError, Builder, IndexKey};
use crate::merkle::{Hash, Level, NodeIndex, NodeSource};
use crate::part::blocks::{Blocks, Output};

/// Bytes that a pass over the leaves may take at least: 64 MiB. That is enough for five million leaves in two passes.
const MEMORY: usize = 64 << 20;
/// The most bytes that a pass may take.
const MOST_MEMORY: usize = 512 << 20;
/// Passes over the leaves of a large part, unless that takes more than [`MOST_MEMORY`]. With a fixed memory the work
/// would grow with the square of the leaves.
const PASSES: u64 = 16;
/// Bytes that a pass takes for each leaf.
const PER_LEAF: u64 = 12;
/// Leaves read at a time: 1 MiB.
const STEP_LEAVES: u64 = 1 << 15;
/// The bytes of these leaves. A step reads so much at most.
pub(crate) const INDEX_STEP: u64 = STEP_LEAVES * size_of::<Hash>() as u64;
/// Blocks gathered before they are written.
const STEP: usize = 256 << 10;

/// Writes the index of the leaves in `source` under its temporary name, and syncs nothing. The caller renames the
/// file. `hurry` returns whether a caller is waiting. `go_on` is called before each step, and its error ends the work.
///
/// Reads the leaves twice, and once more for every five million, but not more than some 20 times for up to 700 million.
/// Takes 64 MiB of memory, and 512 MiB at most.
pub(crate) fn write_index<S>(
    fs: &dyn FileSystem,
    identity: &IndexIdentity,
    source: &S,
    hurry: &dyn Fn() -> bool,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<()>
where
    S: NodeSource + ?Sized,
    Error: From<S::Error>,
{
    let name = identity.part.index_file().tmp();
    let path = fs.display(name);
    let layout = layout_of(identity).map_err(|error| Error::io("lay out", &path, error))?;
    let file = fs.create(name).map_err(|error| Error::io("create", &path, error))?;
    let mut out = Output { file: &*file, path: &path, at: 0, under_way: None, hurry };
    let reserve = out.file.allocate(layout.len());
    reserve.map_err(|error| Error::io("reserve space in", &path, error))?;
    out.write(&identity.header())?;
    let mut blocks = Blocks { out, sums: Vec::new(), sum: &|_, sum| sum };
    let mut gathered = Vec::with_capacity(STEP);
    build(identity, &layout, source, go_on, |block| {
        gathered.extend_from_slice(block);
        if gathered.len() < STEP {
            return Ok(());
        }
        let written = blocks.write(&gathered);
        gathered.clear();
        written
    })?;
    blocks.write(&gathered)?;
    let Blocks { mut out, sums, .. } = blocks;
    for block in table_of(&sums) {
        out.write(&block)?;
    }
    Ok(())
}

pub(super) fn layout_of(identity: &IndexIdentity) -> std::io::Result<FileLayout> {
    let too_large = || std::io::Error::from(std::io::ErrorKind::FileTooLarge);
    let leaves = identity.to.checked_sub(identity.from).ok_or_else(too_large)?;
    FileLayout::new(leaves).ok_or_else(too_large)
}

/// Builds the indexes of a part's leaves and hands their blocks to `sink`, in the order of the file. `go_on` is called
/// before each step, and its error ends the work.
pub(super) fn build<S>(
    identity: &IndexIdentity,
    layout: &FileLayout,
    source: &S,
    go_on: &dyn Fn() -> Result<()>,
    mut sink: impl FnMut(&[u8; BLOCK]) -> Result<()>,
) -> Result<()>
where
    S: NodeSource + ?Sized,
    Error: From<S::Error>,
{
    let key = IndexKey::new(identity.key);
    let mut leaves: Vec<Hash> = Vec::new();
    for run in layout.runs() {
        let (first, count) = (identity.from + run.before, run.layout.leaves());
        // The layout has no run that is too long.
        let Some(mut builder) = Builder::new(key, count, memory_for(count)) else { continue };
        while !builder.is_done() {
            let mut at = 0;
            while at < count {
                go_on()?;
                let len = (count - at).min(STEP_LEAVES);
                leaves.resize(usize::try_from(len).unwrap_or(0), [0; 32]);
                source.read_nodes(Level::LEAVES, NodeIndex(first + at), &mut leaves)?;
                builder.add(&leaves);
                at += len;
            }
            builder.end_pass(&mut sink).map_err(|fault| failed(identity, fault))?;
        }
    }
    Ok(())
}

/// Bytes of memory that the index of this many leaves takes while it is built.
fn memory_for(leaves: u64) -> usize {
    let wanted = usize::try_from(leaves.saturating_mul(PER_LEAF) / PASSES).unwrap_or(usize::MAX);
    wanted.clamp(MEMORY, MOST_MEMORY)
}

fn failed(identity: &IndexIdentity, fault: BuildError<Error>) -> Error {
    match fault {
        BuildError::Sink(error) => error,
        // A pass read other leaves than the one before it.
        BuildError::Count { .. } | BuildError::Changed => {
            let path = identity.part.file().to_string();
            Damage::field(path.as_ref(), 0, "leaves", "the same in each pass", "others").into()
        }
    }
}
