//! A small store of three trees, every bit of which is flipped, and whose files are cut short, taken away and
//! replaced by each other, by older versions of themselves and by those of another store.

use std::panic::{AssertUnwindSafe, catch_unwind};

use duramen::Error;
use duramen::fs::FileName;
use duramen::testing::sim::{CrashChoice, SimDisk};

use super::rig::{Rig, Step, abandon};
use super::setup::Setup;
use super::state::{State, shown};
use crate::check::fingerprint;
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::run::{Run, Seed};
use testkit::words::words;

const SETUP: Setup = Setup { segment: 8 << 10, spare: 0, ..Setup::PLAIN };

/// A store that was closed, with parts of three trees and leaves of two in the log.
struct Subject {
    disk: SimDisk,
    state: State,
    /// What was on the disk before.
    past: Vec<SimDisk>,
}

impl Subject {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new(SETUP);
        // Another id and other keys as well.
        rig.disk.fix_random(seed);
        rig.create().unwrap();
        // Other leaves for another seed.
        drop(rig.model.seeds(usize::try_from(seed % 1000).unwrap()));
        let mut past = Vec::new();
        for step in [
            Step::Insert(0, 5),
            Step::Insert(1, 3),
            Step::Insert(2, 2),
            Step::Mark,
            Step::Flush,
            Step::Checkpoint,
            Step::Erase(1),
            Step::Batch(3),
            Step::Erase(1),
            Step::Mark,
            Step::Seal(1),
            Step::Flush,
            Step::Reopen,
        ] {
            past.push(rig.disk.crash(CrashChoice::NothingKept));
            rig.step(step).unwrap();
        }
        let disk = rig.disk.crash(CrashChoice::NothingKept);
        Self { disk, state: rig.model.now.clone(), past }
    }

    /// Opens a damaged copy. It is refused and left as it was, or what it answers is true.
    fn judge(&self, damaged: &SimDisk, tally: &Tally) -> Outcome {
        tally.count("damaged stores", 1);
        let before = fingerprint(damaged);
        let store = match SETUP.open(damaged) {
            Ok(store) => store,
            Err(error) if is_typed(&error) && fingerprint(damaged) == before => {
                tally.count("refused", 1);
                return Ok(());
            }
            Err(error) => return Err(Finding::new(Kind::Answer, words(&error))),
        };
        let found = match shown(&store) {
            Ok(found) if found == self.state => Ok("answered in full"),
            Ok(found) => Err(Finding::new(Kind::Phantom, format!("{found:?}"))),
            // What cannot be read of one tree leaves the others as they are.
            Err(finding) if finding.kind == Kind::Refused => {
                self.rest(&store).map(|()| "answered in part")
            }
            Err(finding) => Err(finding),
        };
        abandon(damaged, store);
        tally.count(found?, 1);
        Ok(())
    }

    /// Every tree answers truly or with a typed error.
    fn rest(&self, store: &duramen::Store) -> Outcome {
        let answer = |answer: Result<bool, Error>| match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(Finding::new(Kind::WrongRoot, "an answer that is not true")),
            Err(error) if is_typed(&error) => Ok(()),
            Err(error) => Err(Finding::new(Kind::Answer, words(&error))),
        };
        let names = store
            .trees()
            .map(|infos| infos.iter().map(|info| info.name.as_str()).eq(self.state.keys()));
        answer(names)?;
        for (name, tree) in &self.state {
            let size = tree.leaves.len() as u64;
            let handle = match store.existing_tree(name) {
                Ok(handle) => handle,
                Err(error) => {
                    answer(Err(error))?;
                    continue;
                }
            };
            answer(handle.leaves(0..size).map(|leaves| leaves == tree.leaves))?;
            for index in 0..if handle.entry_config().is_some() { size } else { 0 } {
                let leaf = &tree.leaves[usize::try_from(index).unwrap()];
                if tree.erased.contains(&index) {
                    let is_erased = matches!(
                        handle.entry(index),
                        Err(Error::Erased { .. } | Error::Damaged(_))
                    );
                    answer(Ok(is_erased))?;
                    continue;
                }
                answer(handle.entry(index).map(|entry| handle.hasher().leaf(&entry) == *leaf))?;
            }
            answer(
                handle
                    .head()
                    .map(|head| head.root == super::state::root(tree) && head.size.get() == size),
            )?;
            for index in 0..size {
                let expected = super::state::siblings(tree, usize::try_from(index).unwrap());
                answer(handle.prove(index).map(|proof| proof.siblings() == expected))?;
            }
        }
        Ok(())
    }
}

fn is_typed(error: &Error) -> bool {
    matches!(
        error,
        Error::Damaged(_)
            | Error::UnknownFormat { .. }
            | Error::HasherMismatch { .. }
            | Error::ArityMismatch { .. }
            | Error::UnknownHasher { .. }
    )
}

/// What is done to the store.
#[derive(Clone, Debug)]
enum Harm {
    /// Each bit of this many bytes from here on is flipped, and the file is cut to each of these lengths.
    Bytes(FileName, usize),
    Gone(FileName),
    Exchanged(FileName, FileName),
    /// The file has these bytes, which are those of another file, time or store.
    Replaced(FileName, Vec<u8>, String),
}

/// A piece of work.
pub(crate) struct Item {
    pub(crate) seed: Seed,
    harm: Harm,
}

/// How many bytes are one piece of work.
const STEP: usize = 512;
/// The first number of a piece of work.
const BYTES: u64 = 700_000;

/// How many bytes the store has.
pub(crate) fn size(run: Run) -> u64 {
    let disk = Subject::new(run.seed).disk;
    disk.files().iter().map(|file| disk.read(*file).unwrap().len() as u64).sum()
}

/// All that is done to the store.
pub(crate) fn all(run: Run) -> Vec<Item> {
    let subject = Subject::new(run.seed);
    let other = Subject::new(run.seed + 1);
    let files = subject.disk.files();
    let mut harms = Vec::new();
    for file in &files {
        let bytes = subject.disk.read(*file).unwrap();
        harms.extend((0..bytes.len()).step_by(STEP).map(|from| Harm::Bytes(*file, from)));
        harms.push(Harm::Gone(*file));
        let same_kind = files.iter().filter(|other| other.kind == file.kind && *other > file);
        harms.extend(same_kind.map(|other| Harm::Exchanged(*file, *other)));
        let mut replace = |disk: &SimDisk, what: &str| {
            for from in disk.files().into_iter().filter(|from| from.kind == file.kind) {
                let by = disk.read(from).unwrap();
                if by != bytes {
                    harms.push(Harm::Replaced(*file, by, format!("{from} {what}")));
                }
            }
        };
        replace(&subject.disk, "beside it");
        replace(&other.disk, "of another store");
        for (at, past) in subject.past.iter().enumerate() {
            replace(past, &format!("as it was before step {at}"));
        }
    }
    (BYTES..).zip(harms).map(|(number, harm)| Item { seed: run.seed(number), harm }).collect()
}

impl Item {
    /// `every` is 1 for every byte, else how many zeros one is taken from.
    pub(crate) fn work(&self, every: usize, tally: &Tally) -> Outcome {
        let subject = Subject::new(self.seed.run);
        let judge = |what: String, harm: &dyn Fn(&SimDisk)| {
            let damaged = subject.disk.crash(CrashChoice::AllKept);
            harm(&damaged);
            let judged = catch_unwind(AssertUnwindSafe(|| subject.judge(&damaged, tally)));
            let judged = judged.unwrap_or_else(|_| Err(Finding::new(Kind::Answer, "a panic")));
            judged.map_err(|finding| {
                finding.context(format_args!("{what}, three trees, to see it again: {}", self.seed))
            })
        };
        let read = |file: &FileName| subject.disk.read(*file).unwrap();
        match &self.harm {
            Harm::Bytes(file, from) => {
                let bytes = read(file);
                let all = *from..(from + STEP).min(bytes.len());
                for at in all.filter(|at| bytes[*at] != 0 || at % every == 0) {
                    for bit in 0..8 {
                        let mut bytes = bytes.clone();
                        bytes[at] ^= 1 << bit;
                        tally.count("flipped bits", 1);
                        judge(format!("bit {bit} of byte {at} of {file}"), &|disk| {
                            disk.put(*file, &bytes);
                        })?;
                    }
                    tally.count("files cut short", 1);
                    judge(format!("{file} cut to {at} bytes"), &|disk| {
                        disk.put(*file, &bytes[..at]);
                    })?;
                }
                Ok(())
            }
            Harm::Gone(file) => {
                tally.count("files taken away", 1);
                judge(format!("{file} is gone"), &|disk| assert!(disk.erase(*file)))
            }
            Harm::Exchanged(one, two) => {
                tally.count("files exchanged", 1);
                judge(format!("{one} and {two} exchanged"), &|disk| {
                    disk.put(*one, &read(two));
                    disk.put(*two, &read(one));
                })
            }
            Harm::Replaced(file, bytes, what) => {
                tally.count("files replaced", 1);
                judge(format!("{file} replaced by {what}"), &|disk| disk.put(*file, bytes))
            }
        }
    }
}

#[test]
fn no_harm_to_a_store_of_three_trees_goes_unnoticed_and_does_any() {
    let run = Run::of_this_process();
    let tally = Tally::default();
    run.each(&all(run), |item| item.seed, &tally, |item| item.work(211, &tally));
    tally.report(
        "damage to a store of three trees",
        "0 undetected, 0 wrong answers, 0 panics, 0 changes in a store that was refused",
    );
}
