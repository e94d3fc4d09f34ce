//! The bytes of the status file: what a store that is open says of itself, for other processes. Pure.
//!
//! ```text
//! byte   bytes
//!     0      8  "DURASTAT"
//!     8      4  version, 1
//!    12      4  bytes of the whole state: 4096, and 384 for each tree
//!    16      8  checksum of the whole state, with zeros here
//!    24      8  sequence number
//!    32     16  store id
//!    48      4  process id
//!    52      4  0 open, 1 closed, 2 poisoned
//!    56      8  when the lock was acquired, in seconds since 1970
//!    64      8  when this was written, in nanoseconds since 1970
//!    72      8  age of the oldest leaf that no group has, in nanoseconds; all ones: there is none
//!    80      8  leaves in the last checkpoint
//!    88      8  trees that were used
//!    96      4  trees that follow
//!   100      4  bytes of the error
//!   104    512  the error that poisoned the store, UTF-8
//!   616         the numbers of `Stats`, 8 bytes each, in the order of `report/fields.rs`; then zeros
//!  4096    384  for each tree: 2 bytes length of its name, the name, zeros up to byte 264, the numbers of `TreeStats`
//! ```
//!
//! # Invariant
//!
//! The checksum covers the whole state, so parts of two states are not taken for one. Bytes that no state explains are an
//! error, and never a panic.

use std::time::{Duration, SystemTime};

use crate::checksum::checksum;
use crate::codec::{Decoder, Encoder};
use crate::ids::StoreId;
use crate::merkle::{TreeName, TreeSize};
use crate::report::fields::Fields;
use crate::report::{RunState, Stats, StoreStatus, TreeStats};

pub(super) const MAGIC: &[u8; 8] = b"DURASTAT";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 4096;
const ROW_LEN: usize = 384;
/// Where the numbers of a row begin.
const ROW_NUMBERS: usize = 264;
pub(super) const CHECKSUM_AT: usize = 16;
const ERROR_AT: usize = 104;
const ERROR_LEN: usize = 512;
const NUMBERS_AT: usize = ERROR_AT + ERROR_LEN;
/// How many trees have a row.
pub(crate) const MOST_TREES: usize = 64;
/// The longest state.
pub(super) const LONGEST: usize = HEADER_LEN + MOST_TREES * ROW_LEN;
/// Instead of an age.
const NONE: u64 = u64::MAX;

const _: () = assert!(ROW_NUMBERS >= 2 + TreeName::MAX_LEN);
const _: () = assert!(ROW_NUMBERS + 12 * 8 <= ROW_LEN);

/// The state of a store, to be written.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) store: StoreId,
    pub(crate) pid: u32,
    /// Seconds since 1970.
    pub(crate) opened: u64,
    /// Nanoseconds since 1970.
    pub(crate) written: u64,
    pub(crate) sequence: u64,
    pub(crate) state: RunState,
    pub(crate) oldest_unflushed: Option<Duration>,
    pub(crate) checkpointed: u64,
    pub(crate) stats: Stats,
    pub(crate) used_trees: u64,
    /// At most [`MOST_TREES`].
    pub(crate) trees: Vec<TreeStats>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes each number.
struct Put<'a>(&'a mut Encoder);

impl Fields for Put<'_> {
    fn count(&mut self, field: &mut u64) {
        self.0.u64(*field);
    }

    fn time(&mut self, field: &mut Duration) {
        self.0.u64(nanos(*field));
    }

    fn flag(&mut self, field: &mut bool) {
        self.0.u64(u64::from(*field));
    }
}

/// Sets each field to the next number. `None` once one is missing or is no value of its field.
struct Take<'a, 'b>(Option<&'a mut Decoder<'b>>);

impl Take<'_, '_> {
    fn next(&mut self) -> u64 {
        let next = self.0.as_mut().and_then(|bytes| bytes.u64());
        if next.is_none() {
            self.0 = None;
        }
        next.unwrap_or_default()
    }
}

impl Fields for Take<'_, '_> {
    fn count(&mut self, field: &mut u64) {
        *field = self.next();
    }

    fn time(&mut self, field: &mut Duration) {
        *field = Duration::from_nanos(self.next());
    }

    fn flag(&mut self, field: &mut bool) {
        let next = self.next();
        *field = next == 1;
        if next > 1 {
            self.0 = None;
        }
    }
}

/// The start of a text that has at most so many bytes.
fn start(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

pub(crate) fn encode(mut state: State) -> Vec<u8> {
    let rows = state.trees.len().min(MOST_TREES);
    let len = HEADER_LEN + rows * ROW_LEN;
    let (kind, error) = match &state.state {
        RunState::Open => (0, ""),
        RunState::Closed => (1, ""),
        RunState::Poisoned { error } => (2, start(error, ERROR_LEN)),
    };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut out = Encoder::default();
    out.bytes(MAGIC).u32(VERSION).u32(number(len)).u64(0).u64(state.sequence);
    out.bytes(&state.store.0).u32(state.pid).u32(kind).u64(state.opened).u64(state.written);
    out.u64(state.oldest_unflushed.map_or(NONE, |age| nanos(age).min(NONE - 1)));
    out.u64(state.checkpointed).u64(state.used_trees).u32(number(rows)).u32(number(error.len()));
    out.bytes(error.as_bytes()).pad_to(NUMBERS_AT);
    state.stats.fields(&mut Put(&mut out));
    out.pad_to(HEADER_LEN);
    for (row, tree) in state.trees.iter_mut().take(rows).enumerate() {
        let at = HEADER_LEN + row * ROW_LEN;
        let name = tree.tree.as_str();
        out.u16(u16::try_from(name.len()).unwrap_or(u16::MAX)).bytes(name.as_bytes());
        out.pad_to(at + ROW_NUMBERS);
        tree.fields(&mut Put(&mut out));
        out.pad_to(at + ROW_LEN);
    }
    let sum = checksum(&out.0).to_le_bytes();
    out.0[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&sum);
    out.0
}

/// What is wrong with the bytes of a state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StatusFault {
    Magic,
    Len(u32),
    Checksum {
        stored: u64,
        computed: u64,
    },
    Version(u32),
    /// A field, and the byte at which the block lies that has it.
    Field(&'static str, usize),
}

/// How many bytes the state has that begins with `header`.
fn len_of(header: &[u8]) -> std::result::Result<usize, StatusFault> {
    let mut fields = Decoder(header);
    if fields.bytes(MAGIC.len()) != Some(MAGIC) {
        return Err(StatusFault::Magic);
    }
    let len = fields.u32().and_then(|_| fields.u32()).ok_or(StatusFault::Len(0))?;
    let known = usize::try_from(len).ok().filter(|len| {
        (HEADER_LEN..=LONGEST).contains(len) && (len - HEADER_LEN).is_multiple_of(ROW_LEN)
    });
    known.ok_or(StatusFault::Len(len))
}

/// Reads a state; `running` is left false.
pub(crate) fn decode(bytes: &[u8]) -> std::result::Result<StoreStatus, StatusFault> {
    use StatusFault::Field;
    let len = len_of(bytes)?;
    let state = bytes.get(..len).ok_or(StatusFault::Len(u32::try_from(len).unwrap_or(0)))?;
    let missing = Field("header", 0);
    let (before, rest) = state.split_at_checked(CHECKSUM_AT).ok_or(missing)?;
    let (stored, after) = rest.split_first_chunk::<8>().ok_or(Field("header", 0))?;
    let stored = u64::from_le_bytes(*stored);
    let computed = checksum(&[before, &[0; 8], after].concat());
    if stored != computed {
        return Err(StatusFault::Checksum { stored, computed });
    }
    let mut fields = Decoder(&before[MAGIC.len()..]);
    let version = fields.u32().ok_or(Field("version", 8))?;
    if version != VERSION {
        return Err(StatusFault::Version(version));
    }
    header(after, state).ok_or(Field("state", 0)).and_then(|(mut status, rows)| {
        let all = state[HEADER_LEN..].chunks_exact(ROW_LEN);
        if all.len() != rows {
            return Err(Field("number of trees", 96));
        }
        for (number, bytes) in all.enumerate() {
            let tree = row(bytes).ok_or(Field("tree", HEADER_LEN + number * ROW_LEN))?;
            status.trees.push(tree);
        }
        Ok(status)
    })
}

/// The state but for its trees, and their number. `after` is what comes after the checksum.
fn header(after: &[u8], state: &[u8]) -> Option<(StoreStatus, usize)> {
    let mut fields = Decoder(after);
    let sequence = fields.u64()?;
    let store = StoreId(fields.array()?);
    let (pid, kind) = (fields.u32()?, fields.u32()?);
    let opened = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(fields.u64()?))?;
    let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(fields.u64()?))?;
    let oldest = Some(fields.u64()?).filter(|age| *age != NONE).map(Duration::from_nanos);
    let (checkpointed, used_trees) = (fields.u64()?, fields.u64()?);
    let (rows, error) = (fields.u32()?, fields.u32()?);
    let error = fields.bytes(ERROR_LEN)?.get(..usize::try_from(error).ok()?)?;
    let error = std::str::from_utf8(error).ok()?;
    let state_of = match (kind, error) {
        (0, "") => RunState::Open,
        (1, "") => RunState::Closed,
        (2, error) => RunState::Poisoned { error: error.to_owned() },
        _ => return None,
    };
    let mut stats = Stats::default();
    let mut numbers = Decoder(state.get(NUMBERS_AT..HEADER_LEN)?);
    let mut take = Take(Some(&mut numbers));
    stats.fields(&mut take);
    take.0?;
    let status = StoreStatus {
        store: store.to_string(),
        pid,
        opened,
        written,
        sequence,
        running: false,
        state: state_of,
        oldest_unflushed: oldest,
        checkpointed,
        stats,
        used_trees,
        trees: Vec::new(),
    };
    Some((status, usize::try_from(rows).ok()?))
}

fn row(bytes: &[u8]) -> Option<TreeStats> {
    let mut fields = Decoder(bytes);
    let len = usize::from(fields.u16()?);
    let name = std::str::from_utf8(fields.bytes(len)?).ok()?;
    let mut tree = empty(TreeName::new(name).ok()?);
    let mut numbers = Decoder(bytes.get(ROW_NUMBERS..)?);
    let mut take = Take(Some(&mut numbers));
    tree.fields(&mut take);
    take.0?;
    Some(tree)
}

/// A tree for which nothing was done.
fn empty(tree: TreeName) -> TreeStats {
    TreeStats {
        tree,
        size: TreeSize(0),
        durable_size: TreeSize(0),
        pending: 0,
        checkpointed_size: TreeSize(0),
        checkpoints: 0,
        part_bytes_written: 0,
        parts: 0,
        compactions: 0,
        failed_compactions: 0,
        compaction_bytes_written: 0,
        memory_bytes: 0,
        pinned_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets each field to another number.
    struct Number(u64);

    impl Fields for Number {
        fn count(&mut self, field: &mut u64) {
            self.0 += 1;
            *field = self.0 << 20;
        }

        fn time(&mut self, field: &mut Duration) {
            self.0 += 1;
            *field = Duration::from_nanos(self.0 << 30);
        }

        fn flag(&mut self, field: &mut bool) {
            *field = true;
        }
    }

    fn state(trees: usize, state: RunState) -> State {
        let mut stats = Stats::default();
        stats.fields(&mut Number(7));
        let trees = (0..trees).map(|number| {
            let name = format!("{number}{}", "t".repeat(TreeName::MAX_LEN - 2));
            let mut tree = empty(TreeName::new(name).unwrap());
            tree.fields(&mut Number(1000 + number as u64));
            tree
        });
        State {
            store: StoreId([7; 16]),
            pid: 4242,
            opened: 1_795_687_518,
            written: 1_795_687_518_000_000_123,
            sequence: 17,
            state,
            oldest_unflushed: Some(Duration::from_millis(3)),
            checkpointed: 99,
            stats,
            used_trees: 70,
            trees: trees.collect(),
        }
    }

    fn poisoned() -> RunState {
        RunState::Poisoned { error: "the disk is gone".to_owned() }
    }

    #[test]
    fn a_state_is_read_as_it_was_written_with_every_number_of_it() {
        for (trees, kind, age) in
            [(0, RunState::Open, None), (3, RunState::Closed, Some(Duration::ZERO))]
        {
            let written = State { oldest_unflushed: age, ..state(trees, kind.clone()) };
            let read = decode(&encode(written.clone())).unwrap();
            assert_eq!((read.stats, read.trees), (written.stats, written.trees));
            assert_eq!((read.state, read.oldest_unflushed), (kind, age));
            let at = Duration::from_nanos(written.written);
            assert_eq!(read.written, SystemTime::UNIX_EPOCH + at);
            assert_eq!((read.pid, read.sequence, read.checkpointed), (4242, 17, 99));
        }
        let read = decode(&encode(state(1, poisoned()))).unwrap();
        assert_eq!(read.state, poisoned());
    }

    #[test]
    fn more_trees_and_a_longer_error_than_there_is_room_for_are_cut() {
        let error = "ü".repeat(300);
        let bytes = encode(state(MOST_TREES + 3, RunState::Poisoned { error }));
        assert_eq!(bytes.len(), LONGEST);
        let read = decode(&bytes).unwrap();
        assert_eq!((read.trees.len(), read.used_trees), (MOST_TREES, 70));
        assert_eq!(read.state, RunState::Poisoned { error: "ü".repeat(256) });
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error() {
        let good = encode(state(2, poisoned()));
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad).is_err(), "byte {at}, bit {bit}");
            }
        }
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "cut at {len}");
        }
        let mut longer = good.clone();
        longer.resize(LONGEST, 0xff);
        assert!(decode(&longer).is_ok(), "what stands behind a state does not count");
    }

    /// A checksum can be forged. So no field may be believed because of it.
    #[test]
    fn forged_fields_are_errors_or_values_and_never_a_panic() {
        let good = encode(state(2, poisoned()));
        let mut accepted = 0;
        for at in (8..good.len()).filter(|at| !(16..24).contains(at)) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                bad[CHECKSUM_AT..CHECKSUM_AT + 8].fill(0);
                let len = len_of(&bad).unwrap_or(bad.len()).min(bad.len());
                let sum = checksum(&bad[..len]).to_le_bytes();
                bad[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&sum);
                accepted += u32::from(decode(&bad).is_ok());
            }
        }
        // Most bytes are numbers and padding.
        assert!(accepted > 10_000, "{accepted}");
        let mut later = good;
        later[8] = 2;
        later[CHECKSUM_AT..CHECKSUM_AT + 8].fill(0);
        let sum = checksum(&later).to_le_bytes();
        later[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&sum);
        assert_eq!(decode(&later), Err(StatusFault::Version(2)));
    }

    #[test]
    fn the_bytes_of_a_state_never_change() {
        let bytes = encode(state(2, poisoned()));
        assert_eq!(
            checksum(&bytes),
            5_445_157_511_802_295_097,
            "a changed byte means a new version"
        );
    }
}
