//! Files that are damaged, gone, or not the ones they should be. Whatever is done to them, the store
//! reports it or answers as if nothing had happened.

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::{CrashChoice, FaultError, SimDisk};
use duramen::{DynAccumulator, Error};

use crate::check::fingerprint;
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::model::Model;
use crate::rig::{Rig, Step};
use crate::scale;
use crate::setup::{Setup, abandon};
use testkit::reference;
use testkit::words::words;

/// A store to be damaged.
pub(crate) struct Subject {
    setup: Setup,
    pub(crate) disk: SimDisk,
    model: Model,
    /// The least size that must be there when nothing is reported. After an unclean stop damage in
    /// the last group cannot be distinguished from a write that a crash tore.
    least: u64,
    /// Whether the report names that group if it is missing: it cannot if nothing of it is left.
    told: bool,
    /// What was on the disk before the last steps.
    pub(crate) past: Vec<SimDisk>,
}

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Killed,
}

impl Subject {
    /// A store with several parts and segments, recycled ones among them, of which the log goes
    /// through some.
    fn new(seed: u64, end: End) -> Self {
        Self::on(Setup::PLAIN, seed, end)
    }

    fn on(plain: Setup, seed: u64, end: End) -> Self {
        use Step::{Batch, Checkpoint, Flush, InsertDurable, Kill, Reopen};
        let setup = Setup { segment: 12 << 10, spare: 12 << 10, ..plain };
        let past = [InsertDurable, Batch(6), Checkpoint, InsertDurable, Batch(130), Checkpoint];
        let kill = [InsertDurable, Kill, InsertDurable, InsertDurable, InsertDurable];
        let close = [Batch(3), Flush, Reopen, InsertDurable, Batch(2), Flush];
        Self::after(setup, seed, end, &[&past[..], &kill, &close].concat())
    }

    /// What these steps and one more durable insert leave.
    pub(crate) fn after(setup: Setup, seed: u64, end: End, steps: &[Step]) -> Self {
        let mut rig = Rig::new(setup, seed);
        rig.create().unwrap();
        let mut past = Vec::new();
        for step in steps {
            past.push(rig.disk.crash(CrashChoice::NothingKept));
            rig.step(*step).unwrap();
        }
        past.push(rig.disk.crash(CrashChoice::NothingKept));
        let before = rig.model.size();
        rig.step(Step::InsertDurable).unwrap();
        if end == End::Closed {
            rig.step(Step::Reopen).unwrap();
        }
        let disk = rig.disk.crash(CrashChoice::NothingKept);
        let Rig { setup, ref model, .. } = rig;
        let mut copy = Model::new(setup.oracle(), setup.arity.children(), seed);
        copy.clone_points(model);
        let least = if end == End::Closed { copy.size() } else { before };
        Self { setup, disk, model: copy, least, told: true, past }
    }

    pub(crate) fn copy(&self) -> SimDisk {
        self.disk.crash(CrashChoice::AllKept)
    }

    /// Opens a damaged copy. It is refused and left as it was, or it answers truly where it answers.
    pub(crate) fn judge(&self, damaged: &SimDisk, tally: &Tally) -> Outcome {
        tally.count("damaged stores", 1);
        let before = fingerprint(damaged);
        match self.setup.open(damaged) {
            Ok(store) => {
                let found = self.is_true(&store, tally);
                abandon(damaged, store);
                found
            }
            Err(
                Error::Damaged(_)
                | Error::UnknownFormat { .. }
                | Error::HasherMismatch { .. }
                | Error::ArityMismatch { .. },
            ) if fingerprint(damaged) == before => {
                tally.count("refused", 1);
                Ok(())
            }
            Err(error) => Err(Finding::new(Kind::Answer, words(&error))),
        }
    }

    fn is_true(&self, store: &impl AsRef<DynAccumulator>, tally: &Tally) -> Outcome {
        let store = store.as_ref();
        let size = store.size().get();
        if size < self.least || size > self.model.size() {
            let text = format!("{size} leaves of {}, {}", self.model.size(), store.recovery());
            return Err(Finding::new(Kind::Lost, text));
        }
        if self.told && size < self.model.size() && store.recovery().torn.is_none() {
            return Err(Finding::new(Kind::Lost, "the end of the log, without a word"));
        }
        let mut refused = false;
        let mut answer = |wrong: Kind, answer: Result<bool, Error>| match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(Finding::new(wrong, "an answer that is not true")),
            Err(Error::Damaged(_)) => {
                refused = true;
                Ok(())
            }
            Err(error) => Err(Finding::new(Kind::Answer, words(&error))),
        };
        answer(Kind::WrongRoot, store.head().map(|head| head.root == self.model.root(size)))?;
        let levels = self.model.levels(size);
        for index in 0..size {
            let at = usize::try_from(index).unwrap();
            let leaf = store.leaf(index).map(|leaf| leaf == self.model.leaves[at]);
            answer(Kind::Phantom, leaf)?;
            let expected = reference::siblings(self.model.arity, &levels, at);
            let proof = store.prove(index).map(|proof| proof.siblings() == expected);
            answer(Kind::WrongProof, proof)?;
        }
        let answered = match refused {
            true => "answered in part",
            false if size < self.model.size() => "answered without the last group",
            false => "answered in full",
        };
        tally.count(answered, 1);
        Ok(())
    }
}

/// Whether blocks of zeros where something was written are noticed, in a store with a flaw.
pub(crate) fn lost_blocks(setup: Setup, tally: &Tally) -> Outcome {
    let small = Subject::on(setup, 6, End::Killed);
    // Here the log has not left the segment in which something is lost.
    let large = Setup { segment: 64 << 10, spare: 64 << 10, ..setup };
    let large = Subject::after(large, 6, End::Killed, &[Step::InsertDurable; 6]);
    for subject in [small, large] {
        lose_each_block(&Subject { told: false, ..subject }, tally)?;
    }
    Ok(())
}

fn lose_each_block(subject: &Subject, tally: &Tally) -> Outcome {
    for file in subject.disk.files() {
        let bytes = subject.disk.read(file).unwrap();
        for at in (0..bytes.len()).step_by(4096) {
            let mut bytes = bytes.clone();
            let end = bytes.len().min(at + 4096);
            bytes[at..end].fill(0);
            let damaged = subject.copy();
            damaged.put(file, &bytes);
            subject.judge(&damaged, tally)?;
        }
    }
    Ok(())
}

fn report(tally: &Tally, name: &str) {
    tally.report(name, "0 wrong answers, 0 leaves lost, 0 changes in a store that was refused");
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_or_harmless() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject::new(1, end);
        subject.judge(&subject.copy(), &tally).unwrap();
        for file in subject.disk.files() {
            let bytes = subject.disk.read(file).unwrap();
            tally.count("bytes", bytes.len() as u64);
            for at in 0..bytes.len() {
                // Most bytes are zeros between what counts.
                if scale() == 1 && bytes[at] == 0 && at % 37 != 0 {
                    continue;
                }
                let bits = if scale() == 1 { at % 8..at % 8 + 1 } else { 0..8 };
                for bit in bits {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << bit;
                    let damaged = subject.copy();
                    damaged.put(file, &bytes);
                    tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                        finding.context(format_args!("bit {bit} of byte {at} of {file}, {end:?}"))
                    }));
                }
            }
        }
    }
    report(&tally, "flipped bits");
}

#[test]
fn a_write_that_got_lost_is_noticed_or_harmless() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject { told: false, ..Subject::new(6, end) };
        for file in subject.disk.files() {
            let bytes = subject.disk.read(file).unwrap();
            for len in [512, 4096] {
                for at in (0..bytes.len()).step_by(len) {
                    let mut bytes = bytes.clone();
                    let end_at = bytes.len().min(at + len);
                    bytes[at..end_at].fill(0);
                    let damaged = subject.copy();
                    damaged.put(file, &bytes);
                    tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                        finding.context(format_args!("{len} zeros at {at} of {file}, {end:?}"))
                    }));
                }
            }
        }
    }
    report(&tally, "lost writes");
}

#[test]
fn a_file_cut_short_anywhere_is_noticed_or_harmless() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject::new(2, end);
        for file in subject.disk.files() {
            let bytes = subject.disk.read(file).unwrap();
            let step = if scale() == 1 { 61 } else { 1 };
            let lengths = (0..bytes.len()).filter(|len| len % step == 0 || len % 512 < 2);
            for len in lengths {
                let damaged = subject.copy();
                damaged.put(file, &bytes[..len]);
                tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                    finding.context(format_args!("{file} cut to {len} bytes, {end:?}"))
                }));
            }
        }
    }
    report(&tally, "files cut short");
}

#[test]
fn a_file_that_is_gone_or_grown_is_noticed_or_harmless() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject::new(3, end);
        for file in subject.disk.files() {
            let damaged = subject.copy();
            damaged.erase(file);
            tally.note(
                subject
                    .judge(&damaged, &tally)
                    .map_err(|finding| finding.context(format_args!("{file} is gone, {end:?}"))),
            );
            for more in [1, 4096, 8192] {
                for byte in [0, 0xff] {
                    let mut bytes = subject.disk.read(file).unwrap();
                    bytes.resize(bytes.len() + more, byte);
                    let damaged = subject.copy();
                    damaged.put(file, &bytes);
                    tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                        finding.context(format_args!("{more} bytes behind {file}, {end:?}"))
                    }));
                }
            }
        }
    }
    report(&tally, "files gone or grown");
}

#[test]
fn a_file_in_the_place_of_another_is_noticed_or_harmless() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject::new(4, end);
        let other = Subject::new(5, end);
        let files = subject.disk.files();
        for file in &files {
            for from in files.iter().filter(|from| from.kind == file.kind && *from != file) {
                // Both ways, and one copied over the other.
                let damaged = subject.copy();
                damaged.put(*file, &subject.disk.read(*from).unwrap());
                if !is_last_segment(&subject.disk, *file) || end == End::Closed {
                    tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                        finding.context(format_args!("{from} copied to {file}, {end:?}"))
                    }));
                }
                let damaged = subject.copy();
                damaged.put(*file, &subject.disk.read(*from).unwrap());
                damaged.put(*from, &subject.disk.read(*file).unwrap());
                tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                    finding.context(format_args!("{from} and {file} exchanged, {end:?}"))
                }));
            }
            for from in other.disk.files().iter().filter(|from| from.kind == file.kind) {
                let damaged = subject.copy();
                damaged.put(*file, &other.disk.read(*from).unwrap());
                tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                    finding.context(format_args!("{from} of another store as {file}, {end:?}"))
                }));
            }
        }
        for from in other.disk.files() {
            for number in [from.number, 0, 40, FileName::LAST_NUMBER - 1, FileName::LAST_NUMBER] {
                let to = FileName { number, ..from };
                if files.contains(&to) {
                    continue;
                }
                let damaged = subject.copy();
                damaged.put(to, &other.disk.read(from).unwrap());
                tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                    finding.context(format_args!("{from} of another store added as {to}, {end:?}"))
                }));
            }
        }
    }
    report(&tally, "files in the place of others");
}

/// A read that fails says nothing of what is there: it is neither damage nor the end of the log.
#[test]
fn a_read_that_fails_is_an_error_of_its_own_and_changes_nothing() {
    let tally = Tally::default();
    for end in [End::Closed, End::Killed] {
        let subject = Subject::new(9, end);
        for file in subject.disk.files() {
            let len = subject.disk.read(file).unwrap().len() as u64;
            for at in (0..len).step_by(512) {
                let disk = subject.copy();
                disk.fail_reads(file, at..at + 512, FaultError::EIO);
                let before = fingerprint(&disk);
                let context = |finding: Finding| {
                    finding.context(format_args!("byte {at} of {file} is not read, {end:?}"))
                };
                tally.count("bad sectors", 1);
                match subject.setup.open(&disk) {
                    Ok(store) => {
                        let found = if store.size().get() == subject.model.size() {
                            subject.is_true(&store, &tally)
                        } else {
                            Err(Finding::new(Kind::Lost, store.recovery()))
                        };
                        tally.note(found.map_err(context));
                        abandon(&disk, store);
                    }
                    Err(Error::Io { .. }) if fingerprint(&disk) == before => {
                        tally.count("refused", 1);
                        disk.clear_faults();
                        tally.note(subject.judge(&disk, &tally).map_err(context));
                    }
                    Err(error) => {
                        let finding = Finding::new(Kind::Answer, words(&error));
                        tally.note(Err(context(finding)));
                    }
                }
            }
        }
    }
    report(&tally, "failing reads");
}

/// A manifest of an empty store, put over that of another store which happens to have a blank segment
/// of the same number, must not make an empty store of it.
#[test]
fn the_manifest_of_an_empty_store_does_not_empty_another_one() {
    let setup = Setup::PLAIN;
    let newest = |rig: &Rig| {
        let files = rig.disk.files();
        files.into_iter().filter(|file| file.kind == FileKind::Manifest).max().unwrap()
    };
    let mut rig = Rig::new(setup, 2);
    rig.create().unwrap();
    for step in [Step::InsertDurable, Step::Checkpoint, Step::Kill, Step::Reopen] {
        rig.step(step).unwrap();
    }
    let mut empty = Rig::new(setup, 1);
    empty.create().unwrap();
    while newest(&empty).number + 1 < newest(&rig).number {
        empty.step(Step::Kill).unwrap();
    }
    empty.step(Step::Reopen).unwrap();
    let (from, to) = (newest(&empty), newest(&rig));
    assert_eq!(from, to, "the manifest would be refused for its number");
    for keep_older in [true, false] {
        let damaged = rig.disk.crash(CrashChoice::NothingKept);
        damaged.put(to, &empty.disk.read(from).unwrap());
        if !keep_older {
            for file in damaged.files() {
                if file.kind == FileKind::Manifest && file != to {
                    damaged.erase(file);
                }
            }
        }
        let before = fingerprint(&damaged);
        let answer = setup.open(&damaged).map(|store| store.size());
        assert!(matches!(answer, Err(Error::Damaged(_))), "{answer:?}");
        assert_eq!(fingerprint(&damaged), before);
    }
}

/// A manifest may be intact and still name another root than its parts have.
#[test]
fn a_root_that_the_parts_do_not_have_is_refused() {
    let subject = Subject::new(10, End::Closed);
    let files = subject.disk.files();
    let newest = files.into_iter().filter(|file| file.kind == FileKind::Manifest).max().unwrap();
    let checkpointed = {
        let disk = subject.copy();
        let store = subject.setup.open(&disk).unwrap();
        store.recovery().checkpointed
    };
    let root = subject.model.root(checkpointed);
    let mut bytes = subject.disk.read(newest).unwrap();
    let at = bytes.windows(32).position(|window| window == root).unwrap();
    bytes[at] ^= 1;
    let end = bytes.len() - 8;
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    let damaged = subject.copy();
    damaged.put(newest, &bytes);
    let error = subject.setup.open(&damaged).map(|store| store.size()).unwrap_err();
    assert!(error.to_string().contains("wrong root"), "{error}");
}

/// Files of another store that are added under numbers of their own are neither used nor removed.
#[test]
fn files_of_another_store_are_not_cleared_away() {
    let subject = Subject::new(7, End::Closed);
    let other = Subject::new(8, End::Closed);
    for from in other.disk.files() {
        let bytes = other.disk.read(from).unwrap();
        if bytes.starts_with(&[0]) {
            continue;
        }
        for number in [0, 40] {
            let damaged = subject.copy();
            damaged.put(FileName { number, ..from }, &bytes);
            let before = fingerprint(&damaged);
            let answer = subject.setup.open(&damaged).map(|store| store.size());
            assert!(matches!(answer, Err(Error::Damaged(_))), "{from} as {number}: {answer:?}");
            assert_eq!(fingerprint(&damaged), before);
        }
    }
}

/// The last segment that has groups. After an unclean stop an older state of it looks as if what came
/// later had not been written.
pub(crate) fn is_last_segment(disk: &SimDisk, file: FileName) -> bool {
    let used = |file: &FileName| disk.read(*file).is_some_and(|bytes| bytes[0] != 0);
    let segments = disk.files().into_iter().filter(|file| file.kind == FileKind::Segment);
    segments.filter(used).max_by_key(|file| file.number) == Some(file)
}
