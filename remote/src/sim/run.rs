//! One schedule: writers and readers, and who of them goes on next.

use std::fmt;
use std::future::Future;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use super::bucket::SimBucket;
use super::content::{Taken, encode};
use super::world::{Request, World};
use crate::error::{Error, Result};
use crate::mutant::Mutant;
use crate::name::Name;
use crate::objects::Reference;
use crate::protocol::{Writer, check, initialise, read, take_over};

/// Steps with failures, at most.
const CHAOS: usize = 1_000;
/// Steps after that, in which everything has to end.
const QUIET: usize = 30_000;
const STORE: [u8; 16] = [7; 16];

/// What many schedules had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) schedules: u64,
    pub(super) acknowledged: u64,
    pub(super) fenced: u64,
    pub(super) collected: u64,
    pub(super) lost_answers: u64,
    requests: u64,
    killed: u64,
    seen: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.acknowledged += other.acknowledged;
        self.fenced += other.fenced;
        self.collected += other.collected;
        self.lost_answers += other.lost_answers;
        self.requests += other.requests;
        self.killed += other.killed;
        self.seen += other.seen;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} schedules, {} requests, {} lost answers, {} writers fenced, {} killed, {} objects collected: of {} leaves \
             that were acknowledged at Remote 0 lost, 0 forks among {} states that were seen, 0 hung",
            self.schedules,
            self.requests,
            self.lost_answers,
            self.fenced,
            self.killed,
            self.collected,
            self.acknowledged,
            self.seen
        )
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Tasks {
    world: Arc<Mutex<World>>,
    tasks: Vec<Option<Task>>,
    /// For each task, the step before which it gets no answer.
    frozen: Vec<usize>,
    /// Stalled tasks that have an answer.
    woken: Vec<usize>,
}

impl Tasks {
    fn spawn<F: Future<Output = ()> + 'static>(&mut self, task: impl FnOnce(SimBucket) -> F) {
        let number = self.tasks.len();
        self.tasks.push(Some(Box::pin(task(SimBucket::new(&self.world, number)))));
        self.frozen.push(0);
        self.poll(number);
    }

    fn poll(&mut self, number: usize) {
        let Some(task) = &mut self.tasks[number] else { return };
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.tasks[number] = None;
        }
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.tasks.len()).filter(|number| self.tasks[*number].is_some()).collect()
    }

    /// Has one request go on. Returns false if there is none that can.
    fn step(&mut self, step: usize) -> bool {
        let told = {
            let mut world = self.world.lock().unwrap();
            // What a frozen task has sent arrives; its answer waits.
            let ready = |frozen: &[usize], request: &Request| {
                let until = frozen[request.task];
                // Every other stall begins before the request has left.
                let stays = until.is_multiple_of(2) && request.wanted;
                until <= step || request.answer.is_none() && !stays
            };
            let candidates: Vec<_> = (0..world.flight.len())
                .filter(|index| ready(&self.frozen, &world.flight[*index]))
                .collect();
            if candidates.is_empty() {
                return false;
            }
            let index = candidates[world.random.below(candidates.len())];
            world.advance(index)
        };
        if let Some(task) = told {
            if self.frozen[task] > step {
                // It gets the answer when it goes on.
                self.woken.push(task);
            } else {
                self.poll(task);
            }
        }
        true
    }

    /// Has tasks go on whose stall is over.
    fn wake(&mut self, step: usize) {
        for task in std::mem::take(&mut self.woken) {
            if self.frozen[task] > step {
                self.woken.push(task);
            } else {
                self.poll(task);
            }
        }
    }

    /// Stalls a task for some steps.
    fn freeze(&mut self, task: usize, until: usize) {
        self.frozen[task] = until;
    }
}

/// Runs the schedule of `seed`, and says what is wrong.
pub(super) fn schedule(
    seed: u64,
    mutant: Option<Mutant>,
    counts: &mut Counts,
) -> std::result::Result<(), String> {
    let world = Arc::new(Mutex::new(World::new(seed, mutant)));
    let mut tasks = Tasks {
        world: Arc::clone(&world),
        tasks: Vec::new(),
        frozen: Vec::new(),
        woken: Vec::new(),
    };
    tasks.spawn(begin);
    let (mut writers, mut readers) = (1, 0);
    let (most_writers, most_readers, chaos) = {
        let random = &mut world.lock().unwrap().random;
        (2 + random.below(3), random.below(3), 100 + random.below(CHAOS - 100))
    };
    for step in 0..chaos {
        tasks.wake(step);
        if !tasks.step(step) && writers == most_writers && tasks.alive().is_empty() {
            break;
        }
        let alive = tasks.alive();
        let action = world.lock().unwrap().random.below(120);
        let chosen = world.lock().unwrap().random.below(alive.len());
        match action {
            0..4 if writers < most_writers => {
                writers += 1;
                tasks.spawn(writer);
            }
            4..6 if readers < most_readers => {
                readers += 1;
                tasks.spawn(reader);
            }
            6..10 if !alive.is_empty() => {
                let length = world.lock().unwrap().random.below(250);
                tasks.freeze(alive[chosen], step + length);
            }
            11..15 => {
                let reading = {
                    let world = world.lock().unwrap();
                    world
                        .flight
                        .iter()
                        .find(|request| request.reads_a_slot())
                        .map(|request| request.task)
                };
                if let Some(task) = reading.filter(|task| tasks.frozen[*task] <= step) {
                    let length = world.lock().unwrap().random.below(600);
                    tasks.freeze(task, step + length);
                }
            }
            10 if !alive.is_empty() => {
                tasks.tasks[alive[chosen]] = None;
                counts.killed += 1;
            }
            _ => {}
        }
    }
    world.lock().unwrap().chaos = false;
    let quiet = |tasks: &mut Tasks| {
        tasks.frozen.fill(0);
        tasks.wake(0);
        for _ in 0..QUIET {
            if !tasks.step(0) {
                return tasks.alive().is_empty();
            }
        }
        false
    };
    let ended = quiet(&mut tasks);
    let before = world.lock().unwrap().seen.len();
    tasks.spawn(last);
    let ended = ended && quiet(&mut tasks);
    let world = world.lock().unwrap();
    *counts += Counts {
        schedules: 1,
        acknowledged: world.acknowledged.len() as u64,
        fenced: world.fenced,
        collected: world.collected,
        lost_answers: world.lost_answers,
        requests: world.requests,
        killed: 0,
        seen: world.seen.len() as u64,
    };
    if let Some(problem) = world.problems.first() {
        return Err(problem.clone());
    }
    if !ended {
        return Err(format!("after {QUIET} steps without failures a task has not ended"));
    }
    let Some(history) = world.seen.get(before) else {
        return Err("the last writer found nothing".to_owned());
    };
    for (index, leaf) in &world.acknowledged {
        if history.get(*index) != Some(leaf) {
            return Err(format!(
                "leaf {leaf} was acknowledged at {index}, and the last writer found {history:?}"
            ));
        }
    }
    for seen in &world.seen {
        if !history.starts_with(seen) {
            return Err(format!("{seen:?} was seen, and the last writer found {history:?}"));
        }
    }
    Ok(())
}

/// Notes an error that ends a task. Returns whether the call is to be made again.
fn again(bucket: &SimBucket, what: &str, error: &Error) -> bool {
    let mut world = bucket.world();
    match error {
        Error::Unreachable { .. } => return true,
        Error::Fenced { epoch, by_epoch } if by_epoch > epoch && world.has_had_epoch(*by_epoch) => {
            world.fenced += 1;
        }
        error => world.problems.push(format!("{what}: {error}")),
    }
    false
}

/// Makes the store, then writes.
async fn begin(bucket: SimBucket) {
    while let Err(error) = initialise(&bucket, STORE).await {
        if !again(&bucket, "initialise", &error) {
            return;
        }
    }
    writer(bucket).await;
}

/// Takes the store over and does some things with it.
async fn writer(bucket: SimBucket) {
    let Some((mut writer, leaves, covered)) = take(&bucket, true).await else { return };
    let actions = 2 + bucket.world().random.below(10);
    let mut own = Own { leaves, covered, parts: 0, acknowledged: writer.committed() };
    for _ in 0..actions {
        let action = bucket.world().random.below(10);
        let done = match action {
            _ if !writer.has_origin() => own.publish(&bucket, &mut writer, false).await,
            0..6 => own.append(&bucket, &mut writer).await,
            6..9 => own.publish(&bucket, &mut writer, false).await,
            _ => repeat!(&bucket, "sweep", writer.sweep()).map(drop),
        };
        if done.is_none() {
            return;
        }
    }
}

/// Makes a call until it succeeds or fails for good.
macro_rules! repeat {
    ($bucket:expr, $what:expr, $call:expr) => {
        loop {
            match $call.await {
                Ok(done) => break Some(done),
                Err(error) if again($bucket, $what, &error) => {}
                Err(_) => break None,
            }
        }
    };
}
use repeat;

/// Takes over. Before there is a store, that fails.
async fn take(bucket: &SimBucket, wait: bool) -> Option<(Writer<SimBucket>, Vec<u32>, usize)> {
    let shared = Arc::new(bucket.clone());
    for _ in 0..50 {
        let mut taken = Taken::default();
        match take_over(Arc::clone(&shared), &mut taken).await {
            Ok(writer) => {
                let mut writer = writer.inline(8);
                let (leaves, covered) = loop {
                    match taken.leaves(bucket).await {
                        Ok(found) => break found,
                        // A later takeover may have collected them.
                        Err(error @ Error::Missing { .. }) => {
                            repeat!(bucket, "look", writer.look())?;
                            again(bucket, "parts", &error);
                            return None;
                        }
                        Err(error) if again(bucket, "parts", &error) => {}
                        Err(_) => return None,
                    }
                };
                bucket.world().seen.push(leaves.clone());
                return Some((writer, leaves, covered));
            }
            Err(Error::NoStore) if wait => {}
            Err(error) if again(bucket, "take over", &error) => {}
            Err(_) => return None,
        }
    }
    None
}

/// What a writer has.
struct Own {
    leaves: Vec<u32>,
    /// How many of them are in parts.
    covered: usize,
    parts: u64,
    acknowledged: u64,
}

impl Own {
    /// Notes what is reported as remote.
    fn note(&mut self, bucket: &SimBucket, writer: &Writer<SimBucket>) {
        let committed = writer.committed();
        let mut world = bucket.world();
        for index in self.acknowledged..committed {
            let index = index as usize;
            world.acknowledged.push((index, self.leaves[index]));
        }
        self.acknowledged = committed;
    }

    async fn append(&mut self, bucket: &SimBucket, writer: &mut Writer<SimBucket>) -> Option<()> {
        let first = self.leaves.len() as u32;
        let count = 1 + bucket.world().random.below(3);
        let new: Vec<u32> = (0..count).map(|_| bucket.world().leaf()).collect();
        self.leaves.extend(&new);
        let body = encode(std::iter::once(first).chain(new));
        if let Err(error) = writer.begin(self.leaves.len() as u64, body) {
            bucket.world().problems.push(format!("begin: {error}"));
            return None;
        }
        self.note(bucket, writer);
        if bucket.world().random.one_in(8) {
            // A manifest meanwhile, which covers less.
            self.publish(bucket, writer, true).await?;
        }
        repeat!(bucket, "append", writer.finish())?;
        self.note(bucket, writer);
        Some(())
    }

    /// Publishes a state, perhaps `meanwhile` a slot is pending.
    async fn publish(
        &mut self,
        bucket: &SimBucket,
        writer: &mut Writer<SimBucket>,
        meanwhile: bool,
    ) -> Option<()> {
        let (mut objects, mut from) = (writer.objects().to_vec(), self.covered);
        if !writer.has_origin() {
            // What a store had before it was shipped.
            let count = bucket.world().random.below(3);
            for _ in 0..count {
                let leaf = bucket.world().leaf();
                self.leaves.push(leaf);
            }
        }
        let jumps = !meanwhile && bucket.world().random.one_in(8);
        if writer.has_origin() && jumps {
            // What a store wrote while it was not shipped.
            let leaf = bucket.world().leaf();
            self.leaves.push(leaf);
        }
        let whole = !writer.has_origin() || jumps;
        let most = if whole { self.leaves.len() } else { writer.committed() as usize };
        let covers = from + bucket.world().random.below(most - from + 1);
        let covers = if whole { most } else { covers };
        if bucket.world().random.one_in(3) {
            // One part instead of all.
            (objects, from) = (Vec::new(), 0);
        }
        if covers > from {
            let bytes = encode(self.leaves[from..covers].iter().copied());
            let part = Reference::to(Name::part(writer.epoch(), self.parts, 0), &bytes);
            self.parts += 1;
            repeat!(bucket, "upload", writer.upload(&part, &bytes))?;
            objects.push(part);
        }
        let body = encode([covers as u32]);
        if let Err(error) = writer.propose(covers as u64, objects, body) {
            bucket.world().problems.push(format!("propose: {error}"));
            return None;
        }
        repeat!(bucket, "publish", writer.publish())?;
        self.covered = covers;
        self.note(bucket, writer);
        repeat!(bucket, "collect", writer.collect()).map(drop)
    }
}

/// Reads what is committed.
async fn reader(bucket: SimBucket) {
    for _ in 0..20 {
        let known = bucket.world().acknowledged.iter().map(|(index, _)| index + 1).max();
        let result: Result<_> = async {
            let (_, taken) = read(&bucket, || Ok(Taken::default())).await?;
            taken.leaves(&bucket).await
        }
        .await;
        match result {
            Ok((leaves, _)) => {
                let mut world = bucket.world();
                if known.is_some_and(|known| leaves.len() < known) {
                    let problem =
                        format!("a reader found {leaves:?}, and {known:?} were acknowledged");
                    world.problems.push(problem);
                }
                return world.seen.push(leaves);
            }
            // Collected meanwhile, or not begun yet.
            Err(Error::Missing { .. } | Error::NoStore) => {}
            Err(error) if again(&bucket, "read", &error) => {}
            Err(_) => return,
        }
    }
}

/// The last writer, and a check and a reader after it.
async fn last(bucket: SimBucket) {
    while let Err(error) = initialise(&bucket, STORE).await {
        if !again(&bucket, "initialise", &error) {
            return;
        }
    }
    let Some((mut writer, ..)) = take(&bucket, false).await else { return };
    repeat!(&bucket, "sweep", writer.sweep());
    // No schedule leaves a bucket in which something is wrong.
    if let Some(checked) = repeat!(&bucket, "check", check(&bucket, Taken::default)) {
        let problems = checked.problems.iter().map(|(_, problem)| format!("check: {problem}"));
        let problems: Vec<_> = problems.collect();
        bucket.world().problems.extend(problems);
    }
    reader(bucket).await;
}
