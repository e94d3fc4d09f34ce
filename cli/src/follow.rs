//! Following a log until a signal: what `monitor` and `mirror` have in common.
//!
//! # Invariants
//!
//! - A second history ends the program at once, with status 1 and the evidence kept.
//! - What may pass, such as an old checkpoint of a cache, ends it after the patience of the caller.

use std::ops::Range;
use std::time::{Duration, Instant};

use duramen::TreeHead;
use duramen::tlog::NoteVerifier;
use duramen_log::follow::{
    Advance, FollowError, FollowState, Follower, HttpSource, Sink, StateError, Trust,
};
use serde::Serialize;

use crate::args::FollowArgs;
use crate::error::{Error, Refusal};
use crate::{hex, output, signals, witness_policy};

/// How often it is looked whether a signal came.
const TICK: Duration = Duration::from_millis(50);

/// A checkpoint that was verified.
#[derive(Serialize)]
struct Verified {
    size: u64,
    root: String,
    entries: u64,
}

/// Whether a signal asked the program to end.
pub(crate) fn is_asked() -> bool {
    signals::asked().is_some()
}

/// Where the log is.
pub(crate) fn source(args: &FollowArgs) -> Result<HttpSource, Error> {
    let connections = fetches(args);
    HttpSource::new(&args.url, args.timeout, connections)
        .ok_or_else(|| Error::Usage(format!("{:?} is not a URL of http or https", args.url)))
}

fn fetches(args: &FollowArgs) -> usize {
    usize::try_from(args.fetches).unwrap_or(usize::MAX).clamp(1, 256)
}

/// What is known of the log.
pub(crate) fn state(args: &FollowArgs) -> Result<FollowState, Error> {
    FollowState::open(&args.state).map_err(unusable)
}

/// Whose signatures count.
fn trust(args: &FollowArgs) -> Result<Trust, Error> {
    let policy = args.policy.as_deref().map(witness_policy::read).transpose()?;
    let mut keys = args.vkey.clone();
    if keys.is_empty() {
        let logs = policy.iter().flat_map(duramen::tlog::Policy::logs);
        keys.extend(logs.map(|log| log.key.clone()));
    }
    let named = |key: &duramen::tlog::AnyVerifier| key.name().to_owned();
    let origin = match (&args.origin, keys.first().map(named)) {
        (Some(origin), _) => origin.clone(),
        (None, Some(name)) => name,
        (None, None) => {
            let message = "the policy lists no log: give its key with --vkey";
            return Err(Error::Usage(message.to_owned()));
        }
    };
    if args.vkey.is_empty() {
        // A policy may list other logs as well.
        keys.retain(|key| args.origin.is_some() || key.name() == origin);
    }
    let trust = Trust::keys(origin, keys);
    Ok(match policy {
        Some(policy) => trust.witnessed(policy),
        None => trust,
    })
}

/// Follows the log until a signal, or once, from the minimum index of the log on. `each` is called after every checkpoint of which everything was verified.
pub(crate) fn follow<S: Sink>(
    args: &FollowArgs,
    (source, minimum): (&HttpSource, u64),
    state: FollowState,
    sink: &mut S,
    mut each: impl FnMut(&FollowState, &S) -> Result<(), Error>,
) -> Result<(), Error> {
    let follower = Follower::new(source, trust(args)?, state, fetches(args)).map_err(of)?;
    let mut follower = follower.minimum_index(minimum);
    let (mut trouble, mut left_out) = (Trouble::default(), Vec::new());
    signals::finish_first();
    while !is_asked() {
        match follower.advance(sink) {
            Ok(Advance::Same(head)) => {
                trouble.end();
                if args.once {
                    print(args, head, 0)?;
                }
            }
            Ok(Advance::Verified { head, entries }) => {
                trouble.end();
                let unverified = follower.state().unverified();
                if left_out != unverified {
                    unverified.clone_into(&mut left_out);
                    tell_left_out(&left_out);
                }
                each(follower.state(), sink)?;
                print(args, head, entries)?;
            }
            Ok(_) => return Ok(()),
            Err(error) => {
                let end = args.once || !passes(&error) || trouble.is_over(&error, args.patience);
                if end {
                    return Err(keep(follower.state(), error));
                }
            }
        }
        if args.once {
            break;
        }
        pause(args.interval);
    }
    Ok(())
}

/// Says what was not verified, of a log that is pruned.
fn tell_left_out(ranges: &[Range<u64>]) {
    let ranges: Vec<_> = ranges.iter().map(|range| format!("{range:?}")).collect();
    output::tell(&format!("the log is pruned: not verified are the entries {}", ranges.join(", ")));
}

/// Whether another look may be better.
fn passes(error: &FollowError) -> bool {
    matches!(
        error,
        FollowError::Source(_)
            | FollowError::NotTrusted(_)
            | FollowError::Unproven { .. }
            | FollowError::RolledBack { .. }
    )
}

/// What does not fit, and since when.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    told: String,
}

impl Trouble {
    fn end(&mut self) {
        if self.since.take().is_some() || !self.told.is_empty() {
            output::tell("the log is well again");
        }
        self.told.clear();
    }

    /// Tells of an error, once. Returns whether it lasts for too long.
    fn is_over(&mut self, error: &FollowError, patience: Duration) -> bool {
        let text = error.to_string();
        if text != self.told {
            output::tell(&text);
            self.told = text;
        }
        if matches!(error, FollowError::Source(_)) {
            // A log that cannot be reached shows nothing. It is waited for.
            self.since = None;
            return false;
        }
        self.since.get_or_insert_with(Instant::now).elapsed() >= patience
    }
}

/// Keeps what is to be kept of an error, and makes it one of the program.
fn keep(state: &FollowState, error: FollowError) -> Error {
    let Some(evidence) = error.evidence() else { return of(error) };
    match state.keep(evidence) {
        Ok(dir) => output::tell(&format!("the evidence is in {}", crate::error::name_of(&dir))),
        Err(failed) => {
            output::tell(&unusable(failed).in_one_line());
        }
    }
    of(error)
}

fn of(error: FollowError) -> Error {
    match error {
        FollowError::Source(_) | FollowError::Sink { .. } | FollowError::State(_) => {
            Error::Follow(Box::new(error))
        }
        error => Error::Refused { reason: Refusal::Follow(Box::new(error)) },
    }
}

fn unusable(error: StateError) -> Error {
    Error::Follow(Box::new(error.into()))
}

fn print(args: &FollowArgs, head: TreeHead, entries: u64) -> Result<(), Error> {
    let (size, root) = (head.size.get(), hex::encode(&head.root));
    if !args.json {
        return output::print(&format!("size {size} root {root} entries {entries}\n"));
    }
    let json = output::to_json(&Verified { size, root, entries }, false)?;
    output::print(&format!("{json}\n"))
}

/// Waits, but not once a signal came.
fn pause(time: Duration) {
    let until = Instant::now() + time;
    while !is_asked() && Instant::now() < until {
        std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
    }
}
