//! The bucket as it is, and the requests that are on their way.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::bucket::Failed;
use crate::mutant::Mutant;
use crate::name::{Folder, Name};
use crate::objects::{Manifest, Object, digest};

/// A generator of numbers that a seed determines.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Get(Name),
    Create(Name, Bytes),
    List(Folder),
    Delete(Name),
    Pause(u32),
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Got(Option<Bytes>),
    Created(Result<(), Failed>),
    Listed(Vec<Name>),
    Deleted,
    /// Whether to try again.
    Paused(bool),
    Failed(Failed),
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) task: usize,
    pub(super) op: Op,
    /// What the bucket has answered.
    pub(super) answer: Option<Answer>,
    /// Whether its sender still waits for an answer.
    pub(super) wanted: bool,
}

impl Request {
    /// Whether its sender waits for a slot: in a takeover, the moment at which a long stall is most dangerous.
    pub(super) fn reads_a_slot(&self) -> bool {
        self.wanted
            && self.answer.is_none()
            && matches!(&self.op, Op::Get(name) if name.slot_number().is_some())
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) chaos: bool,
    pub(super) mutant: Option<Mutant>,
    step: u64,
    objects: BTreeMap<Name, Bytes>,
    /// Objects that were made or deleted lately, which listings may not show yet.
    lately: Vec<(u64, Name)>,
    /// Every epoch and slot as it was made first.
    first: HashMap<Name, Bytes>,
    /// How often a task got an object that was cut off.
    cut_off: HashMap<(usize, Name), u32>,
    pub(super) flight: Vec<Request>,
    pub(super) answers: HashMap<u64, Answer>,
    next_id: u64,
    next_nonce: u64,
    next_leaf: u32,
    /// Leaves that a writer has reported as remote, with their indexes.
    pub(super) acknowledged: Vec<(usize, u32)>,
    /// What writers and readers have found.
    pub(super) seen: Vec<Vec<u32>>,
    pub(super) problems: Vec<String>,
    pub(super) fenced: u64,
    pub(super) collected: u64,
    pub(super) lost_answers: u64,
    pub(super) requests: u64,
}

fn failed(reason: &str) -> Failed {
    Failed { for_good: false, reason: reason.to_owned() }
}

impl World {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        Self {
            random: Random::new(seed),
            chaos: true,
            mutant,
            step: 0,
            objects: BTreeMap::new(),
            lately: Vec::new(),
            first: HashMap::new(),
            cut_off: HashMap::new(),
            flight: Vec::new(),
            answers: HashMap::new(),
            next_id: 0,
            next_nonce: 0,
            next_leaf: 0,
            acknowledged: Vec::new(),
            seen: Vec::new(),
            problems: Vec::new(),
            fenced: 0,
            collected: 0,
            lost_answers: 0,
            requests: 0,
        }
    }

    pub(super) fn nonce(&mut self) -> [u8; 16] {
        self.next_nonce += 1;
        u128::from(self.next_nonce).to_be_bytes()
    }

    /// A leaf that no writer had before.
    pub(super) fn leaf(&mut self) -> u32 {
        self.next_leaf += 1;
        self.next_leaf
    }

    /// Whether this epoch was ever made.
    pub(super) fn has_had_epoch(&self, epoch: u64) -> bool {
        self.first.contains_key(&Name::epoch(epoch))
    }

    pub(super) fn send(&mut self, task: usize, op: Op) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.requests += 1;
        self.flight.push(Request { id, task, op, answer: None, wanted: true });
        id
    }

    /// Has one request go on, that of the flight with this index. Returns the task that has an answer now.
    pub(super) fn advance(&mut self, index: usize) -> Option<usize> {
        self.step += 1;
        let chaos = self.chaos;
        if let Op::Pause(tries) = self.flight[index].op {
            let request = self.flight.swap_remove(index);
            let goes_on = tries < 3 || !chaos && tries < 50;
            return self.tell(&request, Answer::Paused(goes_on));
        }
        if self.flight[index].answer.is_none() {
            if chaos && self.random.one_in(12) {
                // It comes again.
                let Request { task, ref op, .. } = self.flight[index];
                let (op, id) = (op.clone(), u64::MAX);
                self.flight.push(Request { id, task, op, answer: None, wanted: false });
            }
            if chaos && self.flight[index].wanted && self.random.one_in(8) {
                // Its sender gets no answer, and it is still on its way.
                let request = &mut self.flight[index];
                request.wanted = false;
                let (id, task) = (request.id, request.task);
                self.lost_answers += 1;
                self.answers.insert(id, Answer::Failed(failed("time-out")));
                return Some(task);
            }
            if chaos && self.random.one_in(10) {
                let request = self.flight.swap_remove(index);
                let reasons = ["500", "503", "429", "409"];
                let reason = reasons[self.random.below(reasons.len())];
                return self.tell(&request, Answer::Failed(failed(reason)));
            }
            let op = self.flight[index].op.clone();
            let answer = self.apply(op);
            self.flight[index].answer = Some(answer);
            if !self.flight[index].wanted {
                self.flight.swap_remove(index);
                return None;
            }
            if self.random.one_in(3) {
                return None;
            }
        }
        let request = self.flight.swap_remove(index);
        let answer = request.answer.clone()?;
        if chaos && self.random.one_in(10) {
            self.lost_answers += 1;
            return self.tell(&request, Answer::Failed(failed("connection reset")));
        }
        let answer = match answer {
            Answer::Got(Some(bytes)) if chaos && self.cuts_off(&request) => {
                let len = self.random.below(bytes.len());
                Answer::Got(Some(bytes.slice(..len)))
            }
            answer => answer,
        };
        self.tell(&request, answer)
    }

    /// Whether an object is cut off this time. One task does not see that for ever.
    fn cuts_off(&mut self, request: &Request) -> bool {
        let Op::Get(name) = &request.op else { return false };
        let times = self.cut_off.entry((request.task, name.clone())).or_default();
        if *times < 3 && self.random.one_in(20) {
            *times += 1;
            return true;
        }
        false
    }

    fn tell(&mut self, request: &Request, answer: Answer) -> Option<usize> {
        request.wanted.then(|| {
            self.answers.insert(request.id, answer);
            request.task
        })
    }

    fn apply(&mut self, op: Op) -> Answer {
        match op {
            Op::Get(name) => Answer::Got(self.objects.get(&name).cloned()),
            Op::Create(name, bytes) => {
                let ignored = self.mutant == Some(Mutant::ConditionIgnored);
                if self.objects.contains_key(&name) && !ignored {
                    return Answer::Created(Err(failed("412")));
                }
                self.check_manifest(&name, &bytes);
                self.first.entry(name.clone()).or_insert_with(|| bytes.clone());
                self.lately.push((self.step, name.clone()));
                self.objects.insert(name, bytes);
                Answer::Created(Ok(()))
            }
            Op::Delete(name) => {
                if self.objects.remove(&name).is_some() {
                    self.collected += 1;
                    self.lately.push((self.step, name));
                }
                Answer::Deleted
            }
            Op::List(folder) => {
                let inside = |name: &Name| name.as_str().starts_with(folder.prefix());
                let mut names: Vec<_> =
                    self.objects.keys().filter(|name| inside(name)).cloned().collect();
                for (at, name) in std::mem::take(&mut self.lately) {
                    let late = self.step - at < 300;
                    if late && inside(&name) && self.random.one_in(2) {
                        match names.iter().position(|other| *other == name) {
                            Some(there) => drop(names.remove(there)),
                            None => names.push(name.clone()),
                        }
                    }
                    if late {
                        self.lately.push((at, name));
                    }
                }
                Answer::Listed(names)
            }
            Op::Pause(_) => Answer::Paused(true),
        }
    }

    /// A manifest covers slots that are committed, and what it points to is there.
    fn check_manifest(&mut self, name: &Name, bytes: &Bytes) {
        let Ok(manifest) = Manifest::decode(bytes, name, None) else { return };
        if let Some(state) = &manifest.state
            && !self.objects.contains_key(&state.name)
            && !manifest.claim
        {
            self.problems.push(format!("{name} points to {}, which is not there", state.name));
        }
        if manifest.floor > 0 {
            let before = self.first.get(&Name::slot(manifest.floor - 1));
            if before.is_none_or(|slot| digest(slot) != manifest.chain) {
                self.problems.push(format!("{name} covers a slot that is not committed"));
            }
        }
    }
}
