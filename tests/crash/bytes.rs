//! Small stores, every bit of which is flipped, whose files are cut at every length, taken away, and
//! replaced by each other, by older versions of themselves and by those of another store.
//!
//! The smallest store has a log only and takes less than 16 KiB. A store with a part takes more: parts
//! begin every column at a multiple of 4 KiB.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::SimDisk;

use crate::damage::{End, Subject, is_last_segment};
use crate::findings::{Finding, Kind, Outcome, Tally};
use crate::rig::Step;
use crate::run::{Run, Seed};
use crate::setup::Setup;

/// A store by how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recipe {
    end: End,
    /// Whether it has a checkpoint, so that its leaves lie in a part and in the log.
    parts: bool,
}

const RECIPES: [Recipe; 4] = [
    Recipe { end: End::Closed, parts: false },
    Recipe { end: End::Killed, parts: false },
    Recipe { end: End::Closed, parts: true },
    Recipe { end: End::Killed, parts: true },
];

impl Recipe {
    fn make(self, seed: u64) -> Subject {
        let large = Setup { segment: 16 << 10, spare: 0, ..Setup::PLAIN };
        let small = Setup { segment: 8 << 10, ..large };
        match self {
            Self { parts: false, end: End::Closed } => Subject::after(small, seed, self.end, &[]),
            Self { parts: false, end } => {
                Subject::after(large, seed, end, &[Step::Batch(3), Step::Flush])
            }
            Self { parts: true, end } => {
                let steps = [Step::Batch(21), Step::Checkpoint, Step::Batch(3), Step::Flush];
                Subject::after(large, seed, end, &steps)
            }
        }
    }
}

/// What is done to a store.
#[derive(Clone, Debug)]
enum Harm {
    /// Each bit of these bytes is flipped.
    Flip(FileName, Range<usize>),
    /// The file is cut to each of these lengths.
    Cut(FileName, Range<usize>),
    Gone(FileName),
    Exchanged(FileName, FileName),
    /// The file has these bytes, which are those of another file, time or store.
    Replaced(FileName, Vec<u8>, String),
}

/// A piece of work.
struct Item {
    seed: Seed,
    recipe: Recipe,
    harm: Harm,
}

/// How many bytes or lengths are one piece of work.
const STEP: usize = 64;

fn items(run: Run) -> Vec<Item> {
    let mut items = Vec::new();
    for recipe in RECIPES {
        for harm in harms(recipe, run.seed) {
            let number = BYTES + items.len() as u64;
            items.push(Item { seed: run.seed(number), recipe, harm });
        }
    }
    items
}

/// The first number of a piece of work.
const BYTES: u64 = 300_000;

fn harms(recipe: Recipe, seed: u64) -> Vec<Harm> {
    let subject = recipe.make(seed);
    let other = recipe.make(seed + 1);
    let files = subject.disk.files();
    let mut harms = Vec::new();
    for file in &files {
        let bytes = subject.disk.read(*file).unwrap();
        let pieces =
            |end: usize| (0..end).step_by(STEP).map(move |from| from..(from + STEP).min(end));
        harms.extend(pieces(bytes.len()).map(|range| Harm::Flip(*file, range)));
        harms.extend(pieces(bytes.len()).map(|range| Harm::Cut(*file, range)));
        harms.push(Harm::Gone(*file));
        let same_kind = files.iter().filter(|other| other.kind == file.kind && *other > file);
        harms.extend(same_kind.map(|other| Harm::Exchanged(*file, *other)));
        // After an unclean stop an older state of the end of the log is one without what came later.
        if recipe.end == End::Killed && is_last_segment(&subject.disk, *file) {
            continue;
        }
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
    harms
}

impl Item {
    /// `every` is 1 for every byte, else how many zeros one is taken from.
    fn work(&self, every: usize, tally: &Tally) -> Outcome {
        let subject = self.recipe.make(self.seed.run);
        let judge = |what: fmt::Arguments<'_>, harm: &dyn Fn(&SimDisk)| {
            let damaged = subject.copy();
            harm(&damaged);
            let judged = catch_unwind(AssertUnwindSafe(|| subject.judge(&damaged, tally)));
            let judged = judged.unwrap_or_else(|_| Err(Finding::new(Kind::Answer, "a panic")));
            judged.map_err(|finding| {
                let place = format!("{what}, {:?}, to see it again: {}", self.recipe, self.seed);
                finding.context(place)
            })
        };
        let read = |file: &FileName| subject.disk.read(*file).unwrap();
        match &self.harm {
            Harm::Flip(file, range) => {
                let bytes = read(file);
                let picked = range.clone().filter(|at| bytes[*at] != 0 || at % every == 0);
                for (at, bit) in picked.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << bit;
                    tally.count("flipped bits", 1);
                    judge(format_args!("bit {bit} of byte {at} of {file}"), &|disk| {
                        disk.put(*file, &bytes);
                    })?;
                }
                Ok(())
            }
            Harm::Cut(file, range) => {
                let bytes = read(file);
                for len in range.clone().filter(|len| bytes[*len] != 0 || len % every == 0) {
                    tally.count("files cut short", 1);
                    judge(format_args!("{file} cut to {len} bytes"), &|disk| {
                        disk.put(*file, &bytes[..len]);
                    })?;
                }
                Ok(())
            }
            Harm::Gone(file) => {
                tally.count("files taken away", 1);
                judge(format_args!("{file} is gone"), &|disk| assert!(disk.erase(*file)))
            }
            Harm::Exchanged(one, two) => {
                tally.count("files exchanged", 1);
                judge(format_args!("{one} and {two} exchanged"), &|disk| {
                    disk.put(*one, &read(two));
                    disk.put(*two, &read(one));
                })
            }
            Harm::Replaced(file, bytes, what) => {
                tally.count("files replaced", 1);
                judge(format_args!("{file} replaced by {what}"), &|disk| disk.put(*file, bytes))
            }
        }
    }
}

const ZEROS: &str =
    "0 undetected, 0 wrong answers, 0 panics, 0 changes in a store that was refused";

fn run(run: Run, every: usize, name: &str) {
    let tally = Tally::default();
    for recipe in RECIPES {
        let disk = recipe.make(run.seed).disk;
        let bytes: usize = disk.files().iter().map(|file| disk.read(*file).unwrap().len()).sum();
        eprintln!("{recipe:?}: {} files, {bytes} bytes", disk.files().len());
        if !recipe.parts {
            assert!(bytes <= 17 << 10, "{bytes} bytes are not small");
        }
        tally.count("bytes", bytes as u64);
    }
    run.each(&items(run), |item| item.seed, &tally, |item| item.work(every, &tally));
    run.write_down(&tally);
    tally.report(name, ZEROS);
}

#[test]
fn no_harm_to_a_small_store_goes_unnoticed_and_does_any() {
    run(Run::of_this_process(), 97, "damage to small stores");
}

/// After an unclean stop a blank or recycled segment at the end of the log looks like its end. If the
/// segment that belongs there is found under another name, it is not.
#[test]
fn segments_that_were_exchanged_after_an_unclean_stop_are_noticed_or_harmless() {
    let tally = Tally::default();
    let setup = Setup { segment: 12 << 10, spare: 64 << 10, ..Setup::PLAIN };
    for (before, after) in (2..9).flat_map(|before| (1..5).map(move |after| (before, after))) {
        let mut steps = vec![Step::InsertDurable; before];
        steps.push(Step::Checkpoint);
        steps.extend(vec![Step::InsertDurable; after]);
        let subject = Subject::after(setup, 1, End::Killed, &steps);
        let segments = subject.disk.files();
        let segments: Vec<_> =
            segments.iter().filter(|file| file.kind == FileKind::Segment).collect();
        for (at, one) in segments.iter().enumerate() {
            for two in &segments[at + 1..] {
                tally.count("exchanges", 1);
                let damaged = subject.copy();
                damaged.put(**one, &subject.disk.read(**two).unwrap());
                damaged.put(**two, &subject.disk.read(**one).unwrap());
                tally.note(subject.judge(&damaged, &tally).map_err(|finding| {
                    let steps = format!("{before}, a checkpoint, {after}");
                    finding.context(format_args!("{one} and {two} exchanged, {steps}"))
                }));
            }
        }
    }
    tally.report("exchanged segments", "0 leaves lost");
}

#[test]
#[ignore = "takes long; cargo xtask crash --full"]
fn no_bit_of_a_small_store_changes_unnoticed_and_does_any_harm() {
    run(Run::of_this_process().full(), 1, "every bit of small stores");
}
