//! Gathers the cosignatures of one checkpoint after the other, from the threads that ask.
//!
//! # Invariants
//!
//! - A round is decided once: when enough have cosigned, when that cannot happen any more, or when its time is over.
//! - A new checkpoint begins a round without cosignatures. The same one goes on with those that it has.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use duramen::tlog::{NoteVerifier, Policy, SignedNote};
use duramen::{Snapshot, TreeHead, TreeSize};

use super::WitnessState;
use super::ask::{self, Ask, AskError, Wanted};
use crate::error::LogError;

/// Called with a checkpoint that was published, and has one more cosignature now.
pub(crate) type OnLate = Box<dyn Fn(SignedNote, TreeHead) + Send + Sync>;

/// How long a witness that failed is left alone, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A checkpoint that is being cosigned.
pub(super) struct Round {
    note: SignedNote,
    head: TreeHead,
    snapshot: Snapshot,
    until: Instant,
    /// Of each witness of the policy.
    outcomes: Vec<Outcome>,
    /// Whether the publisher has the note, and later cosignatures are to be reported.
    decided: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Waiting,
    Cosigned,
    Failed,
}

impl Round {
    pub(super) fn new(
        note: SignedNote,
        head: TreeHead,
        snapshot: Snapshot,
        until: Instant,
    ) -> Self {
        Self { note, head, snapshot, until, outcomes: Vec::new(), decided: false }
    }
}

struct State {
    /// Counts rounds. A thread asks once in each.
    number: u64,
    round: Option<Round>,
    states: Vec<WitnessState>,
    ending: bool,
}

/// What the threads and the publisher share.
pub(crate) struct Gathering {
    policy: Policy,
    state: Mutex<State>,
    changed: Condvar,
    late: OnLate,
}

impl Gathering {
    /// Starts the threads. A witness without a way to ask it never cosigns.
    pub(super) fn start(
        policy: Policy,
        asks: Vec<Option<Arc<dyn Ask>>>,
        late: OnLate,
    ) -> std::io::Result<Arc<Self>> {
        let named = |witness: &duramen::tlog::PolicyWitness| WitnessState {
            name: String::from_utf8_lossy(&witness.name).into_owned(),
            ..WitnessState::default()
        };
        let states = policy.witnesses().iter().map(named).collect();
        let state = Mutex::new(State { number: 0, round: None, states, ending: false });
        let gathering = Arc::new(Self { policy, state, changed: Condvar::new(), late });
        for (place, ask) in asks.into_iter().enumerate() {
            let Some(ask) = ask else { continue };
            let shared = Arc::clone(&gathering);
            let started = std::thread::Builder::new()
                .name("log-witness".to_owned())
                .spawn(move || shared.ask_until_the_end(place, &*ask));
            if let Err(error) = started {
                gathering.end();
                return Err(error);
            }
        }
        Ok(gathering)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the threads, once what they ask is answered.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.changed.notify_all();
    }

    pub(super) fn states(&self) -> Vec<WitnessState> {
        self.lock().states.clone()
    }

    /// Has the witnesses cosign, and returns the checkpoint once enough have.
    pub(super) fn gather(&self, mut new: Round) -> Result<SignedNote, LogError> {
        let mut state = self.lock();
        let witnesses = self.policy.witnesses();
        new.outcomes = witnesses.iter().map(|_| Outcome::Waiting).collect();
        match state.round.take() {
            Some(old) if old.note.unverified_text() == new.note.unverified_text() => {
                new.note = old.note;
                for (place, outcome) in old.outcomes.iter().enumerate() {
                    if *outcome == Outcome::Cosigned {
                        new.outcomes[place] = Outcome::Cosigned;
                    }
                }
            }
            _ => {}
        }
        for (outcome, witness) in new.outcomes.iter_mut().zip(witnesses) {
            if witness.url.is_none() {
                *outcome = Outcome::Failed;
            }
        }
        let until = new.until;
        state.number += 1;
        state.round = Some(new);
        self.changed.notify_all();
        loop {
            let Some(round) = &mut state.round else { return Err(LogError::Closing) };
            let cosigned: Vec<_> =
                round.outcomes.iter().map(|outcome| *outcome == Outcome::Cosigned).collect();
            if self.policy.is_reached(&cosigned) {
                round.decided = true;
                return Ok(round.note.clone());
            }
            let hoped: Vec<_> =
                round.outcomes.iter().map(|outcome| *outcome != Outcome::Failed).collect();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.policy.is_reached(&hoped) {
                let size = round.head.size.get();
                let cosigned = cosigned.iter().filter(|cosigned| **cosigned).count();
                return Err(self.too_few(size, cosigned, &state));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn too_few(&self, size: u64, cosigned: usize, state: &State) -> LogError {
        let failed = |state: &WitnessState| {
            state.failure.as_ref().map(|failure| format!("{}: {failure}", state.name))
        };
        let reasons: Vec<_> = state.states.iter().filter_map(failed).collect();
        let witnesses = self.policy.witnesses().len();
        LogError::NotWitnessed { size, cosigned, witnesses, reasons: reasons.join("; ") }
    }

    /// The thread of the witness at `place`.
    fn ask_until_the_end(&self, place: usize, ask: &dyn Ask) {
        let (mut done, mut known) = (0, TreeSize(0));
        let mut pause = PAUSES.0;
        let mut alone_until = None;
        while let Some((number, round)) = self.next(place, done) {
            done = number;
            if alone_until.is_some_and(|until| Instant::now() < until) {
                self.failed(place, number, None);
                continue;
            }
            let Round { note, head, snapshot, until, .. } = &round;
            let wanted = Wanted { note, head: *head, snapshot, until: *until };
            match ask::cosignatures(ask, &wanted, &mut known) {
                Ok(signatures) => match self.cosigned(place, &round, &signatures) {
                    Ok(()) => {
                        (pause, alone_until) = (PAUSES.0, None);
                        continue;
                    }
                    Err(reason) => self.failed(place, number, Some((reason, false))),
                },
                Err(error) => self.failed(place, number, Some((of(&error), error.is_grave()))),
            }
            alone_until = Some(Instant::now() + pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits for a round after round `done` in which the witness at `place` is asked. `None` at the end.
    fn next(&self, place: usize, done: u64) -> Option<(u64, Round)> {
        let mut state = self.lock();
        loop {
            if state.ending {
                return None;
            }
            let number = state.number;
            if let Some(round) = state.round.as_ref().filter(|_| number > done)
                && round.outcomes.get(place) == Some(&Outcome::Waiting)
            {
                let (note, snapshot) = (round.note.clone(), round.snapshot.clone());
                return Some((number, Round::new(note, round.head, snapshot, round.until)));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Verifies what a witness answered and adds it to the checkpoint, if that is still the one that is asked for.
    fn cosigned(
        &self,
        place: usize,
        asked: &Round,
        signatures: &[duramen::tlog::NoteSignature],
    ) -> Result<(), String> {
        let Some(witness) = self.policy.witnesses().get(place) else { return Ok(()) };
        let keys = [&witness.key as &dyn NoteVerifier];
        // Verified before the lock is taken.
        let mut checked = asked.note.clone();
        checked.add_cosignatures(signatures, &keys).map_err(|error| error.to_string())?;
        let mut state = self.lock();
        let seen = &mut state.states[place];
        if seen.failure.take().is_some() {
            tracing::info!(witness = %seen.name, "a witness cosigns again");
        }
        (seen.cosigned, seen.size) = (seen.cosigned + 1, asked.head.size.get());
        let same =
            |round: &&mut Round| round.note.unverified_text() == asked.note.unverified_text();
        let Some(round) = state.round.as_mut().filter(same) else { return Ok(()) };
        let added = round.note.add_cosignatures(signatures, &keys);
        added.map_err(|error| error.to_string())?;
        round.outcomes[place] = Outcome::Cosigned;
        let late = round.decided.then(|| (round.note.clone(), round.head));
        drop(state);
        self.changed.notify_all();
        if let Some((note, head)) = late {
            (self.late)(note, head);
        }
        Ok(())
    }

    /// Notes that the witness at `place` did not cosign in a round, and why, if it was asked.
    fn failed(&self, place: usize, number: u64, why: Option<(String, bool)>) {
        let mut state = self.lock();
        if let Some((reason, grave)) = why {
            let seen = &mut state.states[place];
            seen.failed += 1;
            // Once, and again when it says something else.
            if seen.failure.as_ref() != Some(&reason) {
                match grave {
                    true => tracing::error!(witness = %seen.name, %reason, "a witness refuses"),
                    false => tracing::warn!(witness = %seen.name, %reason, "a witness fails"),
                }
            }
            seen.failure = Some(reason);
        }
        let current = state.number == number;
        if let Some(round) = state.round.as_mut().filter(|_| current) {
            round.outcomes[place] = Outcome::Failed;
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn of(error: &AskError) -> String {
    error.to_string()
}
