//! Chains of blocks with reorganisations, killed again and again: three trees, a mark for each block, rewinds to marks and of
//! single trees, checkpoints and merges, beside a model.
//!
//! # Invariants
//!
//! - After each kill the store has what the model had after one of the operations that were under way: not before the last
//!   one that was called durable, and not after the first one that was not answered.
//! - Leaves of another branch are nowhere: not in the trees, not in the index, not at a mark.

mod model;
mod writer;

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use duramen::scrub;
use duramen::{DynAccumulator, Store};
use testkit::random::Random;

use self::model::{ENTRIES, Model, TREES, leaf};
use self::writer::{Task, settings, trees};
use crate::Asked;
use crate::system::Workspace;
use crate::tally::Tally;

/// After so many kills another chain begins.
const KILLS: u64 = 200;
/// A writer that lives longer than this hangs.
const LONGEST: Duration = Duration::from_secs(60);
/// The first word of the arguments of a writer.
pub(crate) const CHILD: &str = "reorgs-writer";

/// Writes as the arguments behind [`CHILD`] say: the directory; the seed of the chain, that of the settings, the first
/// operation and the end; the operations that the store has.
pub(crate) fn child(args: &[&str]) -> Result<()> {
    let [dir, numbers, history] = args else { bail!("a writer has three arguments") };
    let numbers: Vec<u64> = numbers.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let [seed, settings, first, end] = numbers[..] else { bail!("a writer has four numbers") };
    let task = Task { seed, settings, first, end };
    writer::write(Path::new(dir), replay(seed, &parse(history)?)?, task)
}

/// The ranges of operations that a chain has: a kill loses the last ones of a range.
type History = Vec<(u64, u64)>;

fn parse(history: &str) -> Result<History> {
    let range = |range: &str| {
        let (first, end) = range.split_once('-').context("no range")?;
        Ok((first.parse()?, end.parse()?))
    };
    history.split(',').filter(|range| !range.is_empty()).map(range).collect()
}

fn written(history: &History) -> String {
    history.iter().fold(String::new(), |mut text, (first, end)| {
        let _ = write!(text, "{first}-{end},");
        text
    })
}

fn replay(seed: u64, history: &History) -> Result<Model> {
    let mut model = Model::default();
    for number in history.iter().flat_map(|(first, end)| *first..*end) {
        model.apply(&model.operation(seed, number));
    }
    Ok(model)
}

/// Runs chains for `--seconds`, a minute times the scale otherwise.
pub(crate) fn run(asked: &Asked, workspace: &Workspace, tally: &Tally) -> Result<()> {
    let time = Duration::from_secs(asked.seconds.unwrap_or(60 * asked.scale));
    let begun = Instant::now();
    let mut random = Random(asked.seed);
    while begun.elapsed() < time {
        let dir = workspace.dir("reorgs")?;
        let seed = random.number();
        tally.count("chains", 1);
        if let Err(error) = chain(&dir, seed, begun + time, tally) {
            tally.found(format!("the chain with seed {seed}: {error:#}"));
            let left = std::env::temp_dir().join(format!("duramen-reorgs-{seed}"));
            std::fs::rename(&dir, &left)?;
            bail!("the store is left in {}", left.display());
        }
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// One chain: it is written, killed, compared and written on.
fn chain(dir: &Path, seed: u64, until: Instant, tally: &Tally) -> Result<()> {
    let mut random = Random(!seed);
    let (mut model, mut history) = (Model::default(), History::new());
    // Operations whose outcome is not known have their numbers for ever.
    let mut first = 0;
    let store = Store::open(settings(dir, 0)?)?;
    trees(&store)?;
    store.flush()?;
    store.close()?;
    for round in 0..KILLS {
        if Instant::now() >= until {
            break;
        }
        let end = if random.one_in(10) { first + random.below(40) } else { u64::MAX };
        let task = Task { seed, settings: random.number(), first, end };
        let longest = random.pick(&[3_000, 30_000, 200_000]);
        let after = Duration::from_micros(random.below(longest));
        let said = killed(dir, task, &history, after).context("the writer")?;
        tally.count(if said.killed { "kills" } else { "closes" }, 1);
        tally.count("operations", said.accepted - first);

        // What is possible: the model after each operation from the last durable one on.
        let mut possible = model.clone();
        let mut models = Vec::new();
        for number in first..=said.accepted {
            if number >= said.durable {
                models.push((number, possible.clone()));
            }
            possible.apply(&possible.operation(seed, number));
        }
        if said.killed {
            models.push((said.accepted + 1, possible));
        }
        let config = settings(dir, random.number())?;
        if random.one_in(8) {
            let report =
                scrub::run(
                    &config,
                    &scrub::Options::default(),
                    &mut |_| ControlFlow::Continue(()),
                )?;
            ensure!(
                report.findings.is_empty(),
                "round {round}: a scrub found {:?}",
                report.findings
            );
            tally.count("scrubs", 1);
        }
        let store = Store::open(config).context("the store does not open")?;
        let trees = trees(&store)?;
        let fits = |(_, one): &&(u64, Model)| differs(&store, &trees, one).is_ok();
        let Some((number, found)) = models.iter().rev().find(fits) else {
            let why = models.iter().map(|(number, one)| {
                format!("\nas after operation {number}: {:?}", differs(&store, &trees, one).err())
            });
            let (recovery, why) = (store.recovery(), why.collect::<String>());
            bail!("round {round}, operations from {first} on, {said:?}: {recovery}{why}");
        };
        tally.count(
            "operations lost that nobody was told of",
            said.accepted.saturating_sub(*number),
        );
        let dropped = models.iter().map(|(_, one)| one).chain([&model]);
        let dropped: Vec<_> =
            dropped.flat_map(|one| one.trees[0].iter().skip(found.trees[0].len())).collect();
        compare(&store, &trees, found, &dropped, &mut random)
            .with_context(|| format!("round {round}"))?;
        model = found.clone();
        history.push((first, *number));
        first = said.accepted + 2;
        if random.one_in(2) {
            store.close()?;
        }
    }
    Ok(())
}

/// What a writer said before it ended.
#[derive(Debug)]
struct Said {
    accepted: u64,
    durable: u64,
    killed: bool,
}

/// Has a writer write, and kills it so long `after` it began.
fn killed(dir: &Path, task: Task, history: &History, after: Duration) -> Result<Said> {
    let Task { seed, settings, first, end } = task;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(dir)
        .args([format!("{seed},{settings},{first},{end}"), written(history)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("no output")?;
    let killer = std::thread::spawn(move || kill(child, after, end));
    let mut said = Said { accepted: first, durable: first, killed: true };
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Some((what, number)) = line.split_at_checked(1) else { continue };
        // The last line may be cut short. Every operation has one more than the last.
        match number.parse() {
            Ok(number) if number == said.accepted + 1 || number == first => said.accepted = number,
            _ => break,
        }
        if what == "d" {
            said.durable = said.accepted;
        }
    }
    let closed = killer.join().map_err(|_| anyhow::anyhow!("the killer panicked"))??;
    if closed {
        ensure!(said.accepted == end, "it ended at {} of {end}", said.accepted);
        (said.durable, said.killed) = (end, false);
    }
    Ok(said)
}

/// Kills a writer, or waits for its end if it has one. Returns whether it ended by itself.
fn kill(mut child: Child, after: Duration, end: u64) -> Result<bool> {
    let begun = Instant::now();
    let patience = if end == u64::MAX { after } else { LONGEST };
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait()? {
            let output = child.wait_with_output()?;
            ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(&output.stderr));
            return Ok(true);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    ensure!(end == u64::MAX, "it hangs");
    child.kill()?;
    child.wait()?;
    Ok(false)
}

/// What of the leaves and the marks of a model a store does not have, or has otherwise. Roots and proofs are compared later.
fn differs(store: &Store, trees: &[DynAccumulator], model: &Model) -> Result<()> {
    for (at, (tree, size)) in trees.iter().zip(model.sizes()).enumerate() {
        let (name, found) = (TREES[at].0, tree.size().get());
        ensure!(found == size as u64, "{name} has {found} leaves, not {size}");
        let leaves = tree.leaves(0..found)?;
        let expected = model.trees[at].iter().map(|seed| leaf(at, seed));
        let other = leaves.iter().zip(expected).position(|(leaf, expected)| *leaf != expected);
        ensure!(other.is_none(), "{name} has another leaf at {other:?}");
    }
    let marks: Vec<_> = store.marks()?.iter().map(|mark| mark.name.to_string()).collect();
    let expected: Vec<_> = model.marks.iter().map(|(name, _)| name.clone()).collect();
    ensure!(marks == expected, "the marks are {marks:?}, not {expected:?}");
    Ok(())
}

/// Compares roots, proofs, entries, marks and hits of the index. `dropped` are leaves of the first tree in other branches.
fn compare(
    store: &Store,
    trees: &[DynAccumulator],
    model: &Model,
    dropped: &[&model::Seed],
    random: &mut Random,
) -> Result<()> {
    for (at, tree) in trees.iter().enumerate() {
        let (name, arity, oracle) = TREES[at];
        let leaves: Vec<_> = model.trees[at].iter().map(|seed| leaf(at, seed)).collect();
        ensure!(tree.head()?.root == oracle.root(arity, &leaves), "{name}: a wrong root");
        // At a few marks: the root of the moment, and a proof.
        for _ in 0..3_usize.min(model.marks.len()) {
            let which = usize::try_from(random.below(model.marks.len() as u64))?;
            let (mark, sizes) = &model.marks[which];
            let then = store.snapshot_at(mark)?;
            let then = then.tree(name)?.with_context(|| format!("{name} is not at {mark}"))?;
            let leaves = &leaves[..sizes[at]];
            ensure!(then.size().get() == sizes[at] as u64, "{name}: another size at {mark}");
            ensure!(
                then.head()?.root == oracle.root(arity, leaves),
                "{name}: a wrong root at {mark}"
            );
            if !leaves.is_empty() {
                let index = usize::try_from(random.below(leaves.len() as u64))?;
                let siblings = oracle.siblings(arity, leaves, index);
                ensure!(
                    then.prove(index as u64)?.siblings() == siblings,
                    "{name}: a wrong proof at {mark}"
                );
            }
        }
    }
    let entries = &model.trees[ENTRIES];
    for _ in 0..10_usize.min(entries.len()) {
        let index = usize::try_from(random.below(entries.len() as u64))?;
        let entry = trees[ENTRIES].entry(index as u64)?;
        ensure!(
            entry.as_ref() as &[u8] == entries[index].as_slice(),
            "entry {index} is another one"
        );
    }
    let notes = &model.trees[0];
    for _ in 0..10_usize.min(notes.len()) {
        let index = usize::try_from(random.below(notes.len() as u64))?;
        let found = trees[0].find(&leaf(0, &notes[index]))?.map(|index| index.get());
        ensure!(found == Some(index as u64), "leaf {index} is found at {found:?}");
    }
    for seed in dropped.iter().filter(|seed| !notes.contains(seed)).take(20) {
        let found = trees[0].find(&leaf(0, seed))?;
        ensure!(found.is_none(), "a leaf of another branch is found at {found:?}");
    }
    Ok(())
}
