//! One step after the other: a checkpoint is fetched, judged, and everything that is new in it verified.

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use duramen::tlog::tiles::{Bundles, LogPath};
use duramen::tlog::{AnyVerifier, Checkpoint, NoteVerifier, Policy, SignedNote, TlogError};
use duramen::{TreeHead, TreeSize};

use super::evidence::Evidence;
use super::fetch::{Source, SourceError, fetch_all};
use super::state::{FollowState, StateError};
use super::tree::{self, TileError, TileTree};

/// Bundles that are fetched together. Each may have 16 MiB.
const TOGETHER: usize = 16;
/// After how long the progress is kept.
const KEPT_AFTER: Duration = Duration::from_secs(5);

/// Which checkpoints are trusted.
#[derive(Clone, Debug)]
pub struct Trust {
    origin: String,
    keys: Vec<AnyVerifier>,
    policy: Option<Policy>,
}

impl Trust {
    /// Checkpoints of the log `origin` that any of `keys` signed.
    #[must_use]
    pub fn keys(origin: impl Into<String>, keys: Vec<AnyVerifier>) -> Self {
        Self { origin: origin.into(), keys, policy: None }
    }

    /// Also cosigned, by the quorum of `policy`.
    #[must_use]
    pub fn witnessed(self, policy: Policy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    fn verify(&self, note: &SignedNote) -> Result<Checkpoint, TlogError> {
        let keys: Vec<_> = self.keys.iter().map(|key| key as &dyn NoteVerifier).collect();
        match &self.policy {
            Some(policy) => Ok(policy.verify_log(note, &keys, &self.origin)?.checkpoint),
            None => note.verify_checkpoint(&keys, &self.origin),
        }
    }
}

/// Takes what was verified.
pub trait Sink {
    /// How many entries it has. The first call of [`take`](Self::take) begins there.
    fn size(&self) -> u64;

    /// Whether the entries that it has are the first ones of a tree with this root at their number.
    ///
    /// # Errors
    ///
    /// [`FollowError::Sink`] with the reason.
    fn fits(&self, root: &[u8; 32]) -> Result<(), FollowError>;

    /// Takes entries, the first one at the index of its size. They are those of the log. Breaks if no more are wanted.
    ///
    /// # Errors
    ///
    /// [`FollowError::Sink`] with the reason.
    fn take(&mut self, entries: &[&[u8]]) -> Result<ControlFlow<()>, FollowError>;

    /// Goes on at `index` although it has fewer entries: the log publishes none below. By default that is an error.
    ///
    /// # Errors
    ///
    /// [`FollowError::Sink`] with the reason.
    fn begin_at(&mut self, index: u64) -> Result<(), FollowError> {
        let size = self.size();
        let reason = format!(
            "every entry from {size} on is needed, and the log publishes none below {index}"
        );
        Err(FollowError::Sink { reason, source: None })
    }

    /// Makes what was taken durable. Called before the progress is kept.
    ///
    /// # Errors
    ///
    /// [`FollowError::Sink`] with the reason.
    fn keep(&mut self) -> Result<(), FollowError>;
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advance {
    /// The log has the checkpoint that was known.
    Same(TreeHead),
    /// A new checkpoint, of which everything is verified.
    Verified {
        /// Its head.
        head: TreeHead,
        /// How many entries were verified in this step.
        entries: u64,
    },
    /// The sink wanted no more. What was verified is kept.
    Stopped,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The checkpoint, a tile or a bundle cannot be had at the moment.
    #[error(transparent)]
    Source(#[from] SourceError),

    /// The checkpoint is not one that is trusted. Nothing follows for the log: its server may deliver anything.
    #[error("the checkpoint is not trusted: {0}")]
    NotTrusted(#[source] TlogError),

    /// What the server delivers is not what the checkpoint is about.
    #[error("the checkpoint of size {} cannot be verified: {error}", size_of(.evidence))]
    Unproven {
        /// What is wrong.
        #[source]
        error: TileError,
        /// The checkpoint.
        evidence: Box<Evidence>,
    },

    /// The checkpoint is an older one of the same history. A cache may deliver it for a while.
    #[error("{}", .evidence.what)]
    RolledBack {
        /// Both checkpoints.
        evidence: Box<Evidence>,
    },

    /// The log signed two histories.
    #[error("{}", .evidence.what)]
    Forked {
        /// Both checkpoints, and the tiles that prove it.
        evidence: Box<Evidence>,
    },

    /// The log is pruned beyond the checkpoint that was accepted before, so nothing shows whether it goes on from there.
    #[error(
        "the log is pruned to index {minimum}, and was verified up to size {known}: without the tiles between them nothing shows that it is the same history; begin anew with another state"
    )]
    Pruned {
        /// The size of the checkpoint that was accepted before.
        known: u64,
        /// The minimum index of the log.
        minimum: u64,
    },

    /// The log has fewer leaves than the minimum index that was given.
    #[error("the log has {size} leaves, and is to be followed from index {minimum}")]
    BelowMinimum {
        /// The size of its checkpoint.
        size: u64,
        /// The minimum index.
        minimum: u64,
    },

    /// What takes the entries failed.
    #[error("{reason}")]
    Sink {
        /// The reason.
        reason: String,
        /// The error of its store.
        source: Option<Box<duramen::Error>>,
    },

    /// The state cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Follows a log. See the module for what it verifies.
///
/// ```no_run
/// use std::time::Duration;
/// use duramen::tlog::{AnyVerifier, NoteVerifier};
/// use duramen_log::follow::{Advance, Counter, FollowState, Follower, HttpSource, Trust};
///
/// let text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
/// let key: AnyVerifier = text.parse()?;
/// let trust = Trust::keys(key.name().to_owned(), vec![key]);
/// let log = HttpSource::new("https://example.com/foo", Duration::from_secs(30), 8).ok_or("no URL")?;
/// let state = FollowState::open("state")?;
/// let mut counter = Counter::new(state.verified(), || false);
/// let mut follower = Follower::new(&log, trust, state, 8)?;
/// if let Advance::Verified { head, entries } = follower.advance(&mut counter)? {
///     println!("{} leaves, {entries} of them new and verified", head.size);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Follower<'a> {
    source: &'a dyn Source,
    trust: Trust,
    state: FollowState,
    /// Resources that are fetched at a time.
    fetches: usize,
    /// The log publishes nothing below this index.
    minimum: u64,
}

impl<'a> Follower<'a> {
    /// Follows the log that `source` delivers, from where `state` is.
    ///
    /// # Errors
    ///
    /// [`FollowError::NotTrusted`] if the checkpoint in the state is of another log.
    pub fn new(
        source: &'a dyn Source,
        trust: Trust,
        state: FollowState,
        fetches: usize,
    ) -> Result<Self, FollowError> {
        // By its keys alone: the policy may ask for more by now.
        if let Some(note) = state.accepted() {
            let keys: Vec<_> = trust.keys.iter().map(|key| key as &dyn NoteVerifier).collect();
            note.verify_checkpoint(&keys, &trust.origin).map_err(FollowError::NotTrusted)?;
        }
        Ok(Self { source, trust, state, fetches: fetches.max(1), minimum: 0 })
    }

    /// Follows a log that is pruned: it publishes nothing below this index (C2SP `tlog-tiles`, Pruning). Entries below it that
    /// were not verified before are left out, and the state says which.
    #[must_use]
    pub fn minimum_index(self, index: u64) -> Self {
        Self { minimum: index, ..self }
    }

    /// What is known.
    #[must_use]
    pub fn state(&self) -> &FollowState {
        &self.state
    }

    /// Fetches the checkpoint, and verifies everything that is new in it, from the entry that `sink` wants next.
    ///
    /// # Errors
    ///
    /// [`FollowError`]. What was accepted before stands.
    pub fn advance(&mut self, sink: &mut dyn Sink) -> Result<Advance, FollowError> {
        let served = self.source.fetch(LogPath::Checkpoint)?;
        let served = String::from_utf8_lossy(&served);
        let served: SignedNote = served.parse().map_err(FollowError::NotTrusted)?;
        let head = self.trust.verify(&served).map_err(FollowError::NotTrusted)?.head();
        let known = self.state.accepted().map(|note| (note.clone(), head_of(note)));
        match &known {
            Some((note, last)) if last.size > head.size => {
                return Err(self.older(note, *last, &served, head));
            }
            Some((note, last)) if last.size == head.size && last.root != head.root => {
                let what = format!(
                    "the log signed two roots of size {}: {} and {}",
                    head.size,
                    const_hex::encode(last.root),
                    const_hex::encode(head.root)
                );
                return Err(forked(what, note.clone(), served, Vec::new()));
            }
            Some((_, last)) if *last == head && sink.size() >= head.size.get() => {
                return Ok(Advance::Same(head));
            }
            _ => {}
        }
        let unproven = |error: TileError| match error {
            // It may be delivered the next time.
            TileError::Source(error @ SourceError::Failed { .. }) => FollowError::Source(error),
            error => FollowError::Unproven {
                evidence: Box::new(Evidence {
                    kind: "unproven",
                    what: error.to_string(),
                    known: known.as_ref().map(|(note, _)| note.clone()),
                    served: served.clone(),
                    tiles: Vec::new(),
                }),
                error,
            },
        };
        let (minimum, size) = (self.minimum, head.size.get());
        if minimum > size {
            return Err(FollowError::BelowMinimum { size, minimum });
        }
        let mut tree = TileTree::open(self.source, head).map_err(unproven)?;
        if let Some((note, last)) = &known
            && *last != head
        {
            let root = tree.root_at(last.size).map_err(|error| match error {
                TileError::Source(SourceError::Missing { .. }) if last.size.get() < minimum => {
                    FollowError::Pruned { known: last.size.get(), minimum }
                }
                error => unproven(error),
            })?;
            if root != last.root {
                return Err(two_histories(note, *last, root, &served, head, &tree));
            }
        }
        if sink.size() < minimum {
            let left_out = sink.size()..minimum;
            sink.begin_at(minimum)?;
            self.state.leave_out(left_out)?;
        }
        // It is an honest continuation, so it is what the next one is compared with.
        let first = sink.size();
        if first > head.size.get() {
            let reason = format!("there are {first} entries, and the log has {}", head.size);
            return Err(FollowError::Sink { reason, source: None });
        }
        sink.fits(&tree.root_at(TreeSize(first)).map_err(unproven)?)?;
        self.state.set(&served, first)?;
        self.entries(&served, head, &mut tree, sink, &unproven)
    }

    /// Verifies the entries up to `head` and hands them on.
    fn entries(
        &mut self,
        served: &SignedNote,
        head: TreeHead,
        tree: &mut TileTree<'_>,
        sink: &mut dyn Sink,
        unproven: &dyn Fn(TileError) -> FollowError,
    ) -> Result<Advance, FollowError> {
        let (first, size) = (sink.size(), head.size.get());
        let mut kept = Instant::now();
        let mut bundles = Bundles::between(first, size);
        loop {
            let paths: Vec<_> = bundles.by_ref().take(TOGETHER).collect();
            if paths.is_empty() {
                break;
            }
            let wanted: Vec<_> = paths
                .iter()
                .flat_map(|path| [LogPath::Tile(path.leaves()), LogPath::Entries(*path)])
                // That of the right edge is known.
                .filter(|path| !matches!(path, LogPath::Tile(tile) if !tile.width().is_full()))
                .collect();
            let mut fetched = fetch_all(self.source, &wanted, self.fetches).into_iter();
            let none = || SourceError::Failed {
                path: "a bundle".to_owned(),
                reason: "it was not fetched".to_owned(),
            };
            let mut next = || fetched.next().unwrap_or_else(|| Err(none()));
            for path in paths {
                let leaves = match path.width().is_full() {
                    true => tree.leaves(path.index(), next()),
                    false => tree.hashes(0, path.index()),
                };
                let leaves = leaves.map_err(unproven)?;
                let bytes = tree::bundle(self.source, path, next());
                let bytes = bytes.map_err(TileError::from).map_err(unproven)?;
                let entries = tree::entries(path, &leaves, &bytes).map_err(unproven)?;
                // The sink has the first ones of the first bundle.
                let begins = path.start_index().unwrap_or(0);
                let behind = usize::try_from(sink.size().saturating_sub(begins));
                let new = entries.get(behind.unwrap_or(usize::MAX)..).unwrap_or_default();
                if sink.take(new)?.is_break() {
                    sink.keep()?;
                    self.state.set(served, sink.size())?;
                    return Ok(Advance::Stopped);
                }
            }
            if kept.elapsed() >= KEPT_AFTER && sink.size() < size {
                sink.keep()?;
                self.state.set(served, sink.size())?;
                kept = Instant::now();
            }
        }
        sink.keep()?;
        sink.fits(&head.root)?;
        self.state.set(served, size)?;
        Ok(Advance::Verified { head, entries: size.saturating_sub(first) })
    }

    /// The log shows an older checkpoint: whether it is of the same history.
    fn older(
        &self,
        known: &SignedNote,
        last: TreeHead,
        served: &SignedNote,
        head: TreeHead,
    ) -> FollowError {
        let judged = TileTree::open(self.source, last)
            .and_then(|mut tree| Ok((tree.root_at(head.size)?, tree)));
        let what = format!("the log shows size {} after size {}", head.size, last.size);
        let rolled_back = |what: String, tiles| FollowError::RolledBack {
            evidence: Box::new(Evidence {
                kind: "rollback",
                what,
                known: Some(known.clone()),
                served: served.clone(),
                tiles,
            }),
        };
        match judged {
            Ok((root, tree)) if root != head.root => {
                two_histories(served, head, root, known, last, &tree).swapped()
            }
            Ok((_, tree)) => rolled_back(what, tree.verified()),
            // It shows neither tree. That it went back is all that is known.
            Err(error) => rolled_back(
                format!("{what}, and its tiles cannot be verified: {error}"),
                Vec::new(),
            ),
        }
    }
}

impl fmt::Debug for Follower<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("source", &self.source).finish_non_exhaustive()
    }
}

impl FollowError {
    /// What is to be kept of it.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Unproven { evidence, .. }
            | Self::RolledBack { evidence }
            | Self::Forked { evidence } => Some(evidence),
            _ => None,
        }
    }

    /// The same with the known and the served checkpoint exchanged.
    fn swapped(mut self) -> Self {
        if let Self::Forked { evidence } = &mut self
            && let Some(known) = evidence.known.as_mut()
        {
            std::mem::swap(known, &mut evidence.served);
        }
        self
    }
}

/// `small` has another root than the tree of `large` had at its size.
fn two_histories(
    small: &SignedNote,
    at: TreeHead,
    root: [u8; 32],
    large: &SignedNote,
    head: TreeHead,
    tree: &TileTree<'_>,
) -> FollowError {
    let what = format!(
        "the log signed two histories: at size {} it signed the root {}, and the tree of size {} that it signed had the root {}",
        at.size,
        const_hex::encode(at.root),
        head.size,
        const_hex::encode(root)
    );
    forked(what, small.clone(), large.clone(), tree.verified())
}

fn forked(
    what: String,
    known: SignedNote,
    served: SignedNote,
    tiles: Vec<(String, Vec<u8>)>,
) -> FollowError {
    let evidence = Evidence { kind: "fork", what, known: Some(known), served, tiles };
    FollowError::Forked { evidence: Box::new(evidence) }
}

fn head_of(note: &SignedNote) -> TreeHead {
    let checkpoint = note.unverified_text().parse::<Checkpoint>();
    // The state has checkpoints alone.
    checkpoint.map_or(TreeHead { size: TreeSize(0), root: [0; 32] }, |read| read.head())
}

fn size_of(evidence: &Evidence) -> TreeSize {
    head_of(&evidence.served).size
}
