//! Inserts leaves that a tree does not have yet.
//!
//! # Invariants
//!
//! - Whether a tree has a leaf is decided under the insertion lock, against every leaf that was accepted, durable or
//!   not. So two callers with equal leaves get one index.
//! - No file is read under the lock. The parts are searched before. If under the lock the parts end elsewhere, or many
//!   leaves came meanwhile, the search begins again.
//! - A refused request inserts nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::addition::Addition;
use super::insert::{Intake, LARGE_FROM, hash_large};
use crate::durability::DurabilityToken;
use crate::engine::Tree;
use crate::engine::shared::Engine;
use crate::error::Result;
use crate::ids::Seq;
use crate::merkle::Hash;

/// Leaves for one tree. Those of `unique` are inserted only if the tree has none equal.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) tree: &'a Arc<Tree>,
    pub(crate) leaves: &'a [Hash],
    /// As in an [`Addition`].
    pub(crate) entries: &'a [&'a [u8]],
    /// For each leaf.
    pub(crate) unique: &'a [bool],
}

/// Where a leaf of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    New(u64),
    /// The tree had it. Whether it was durable then.
    Existing(u64, bool),
}

/// What a request came to.
pub(crate) struct Settled {
    /// The indexes of the leaves that were inserted.
    pub(crate) range: Range<u64>,
    /// For each leaf of the request.
    pub(crate) found: Vec<Found>,
}

/// What was found in the parts of a tree before the lock was taken.
struct Looked {
    /// How many leaves these parts have.
    end: u64,
    /// For each leaf of the request, the first equal one in the parts.
    first: Vec<Option<u64>>,
}

/// What a request inserts.
struct Chosen<'a> {
    settled: Settled,
    leaves: Vec<Hash>,
    entries: Vec<&'a [u8]>,
}

impl Request<'_> {
    fn addition(&self) -> Addition<'_> {
        Addition { tree: self.tree, leaves: self.leaves, entries: self.entries }
    }

    /// Searches the parts.
    fn look(&self) -> Result<Looked> {
        let parts = self.tree.reach(self.tree.columns.leaves())?;
        let end = parts.end();
        let search = |(leaf, unique): (&Hash, &bool)| match unique {
            true => parts.find(leaf, end),
            false => Ok(None),
        };
        let first = self.leaves.iter().zip(self.unique).map(search).collect::<Result<_, _>>()?;
        Ok(Looked { end, first })
    }
}

impl<'a> Request<'a> {
    /// Decides about each leaf, under the insertion lock. The tree has `size` leaves. `None` if the search has to begin
    /// again.
    fn choose(&self, looked: &Looked, size: u64) -> Result<Option<Chosen<'a>>> {
        let recent = self.tree.find_all_recent(self.leaves, self.unique, size, looked.end)?;
        let Some(recent) = recent else { return Ok(None) };
        let durable = self.tree.durable().get();
        let mut next = size;
        let mut own: HashMap<&Hash, u64> = HashMap::with_capacity(self.leaves.len());
        let mut chosen = Chosen {
            settled: Settled { range: size..size, found: Vec::with_capacity(self.leaves.len()) },
            leaves: Vec::with_capacity(self.leaves.len()),
            entries: Vec::with_capacity(self.entries.len()),
        };
        for (at, leaf) in self.leaves.iter().enumerate() {
            let known =
                || looked.first.get(at).copied().flatten().or(recent.get(at).copied().flatten());
            let unique = self.unique.get(at).copied().unwrap_or(false);
            let there = if unique { known().or_else(|| own.get(leaf).copied()) } else { None };
            chosen.settled.found.push(match there {
                Some(index) => Found::Existing(index, index < durable),
                None => {
                    own.entry(leaf).or_insert(next);
                    chosen.leaves.push(*leaf);
                    chosen.entries.extend(self.entries.get(at));
                    next += 1;
                    Found::New(next - 1)
                }
            });
        }
        chosen.settled.range.end = next;
        Ok(Some(chosen))
    }
}

impl Engine {
    /// Inserts what the trees do not have of `requests`, at one moment. Each tree has one request. Returns what each came
    /// to, and the number with which all of it is durable, the leaves that were there included.
    pub(crate) fn insert_unique(
        &self,
        requests: &[Request<'_>],
        how: Intake,
    ) -> Result<(Vec<Settled>, Seq)> {
        self.process.check()?;
        for request in requests {
            request.addition().check()?;
            if request.unique.contains(&true) {
                request.tree.check_indexed()?;
            }
        }
        let large =
            requests.iter().map(|request| request.addition().bytes()).sum::<u64>() >= LARGE_FROM;
        let node_bytes = |request: &Request<'_>| request.addition().node_bytes();
        let bytes = || requests.iter().map(node_bytes).fold(0, u64::saturating_add);
        loop {
            let look = |request: &Request<'_>| {
                request.unique.contains(&true).then(|| request.look()).transpose()
            };
            let looked = requests.iter().map(look).collect::<Result<Vec<_>>>()?;
            let mut ingest = self.enter(how, large, bytes)?;
            let mut chosen = Vec::with_capacity(requests.len());
            for (request, looked) in requests.iter().zip(&looked) {
                let size = ingest.check_tree(request.tree)?;
                let one = match looked {
                    Some(looked) => request.choose(looked, size)?,
                    None => Some(request.all(size)),
                };
                chosen.extend(one);
            }
            if chosen.len() < requests.len() {
                continue;
            }
            let additions = requests.iter().zip(&chosen).map(|(request, chosen)| Addition {
                tree: request.tree,
                leaves: &chosen.leaves,
                entries: &chosen.entries,
            });
            let additions: Vec<_> =
                additions.filter(|addition| !addition.leaves.is_empty()).collect();
            let seq = if additions.is_empty() {
                ingest.accepted().seq
            } else {
                if large {
                    ingest = self.append_large(ingest, &additions)?;
                } else {
                    for addition in &additions {
                        ingest.append(addition)?;
                    }
                }
                self.leave(ingest, how)
            };
            additions.iter().for_each(|addition| hash_large(addition.tree, addition.leaves.len()));
            drop(additions);
            return Ok((chosen.into_iter().map(|chosen| chosen.settled).collect(), seq));
        }
    }

    /// Resolves once the leaf `found` is durable. `seq` is what [`insert_unique`](Self::insert_unique) returned.
    pub(crate) fn token_of(&self, found: Found, seq: Seq) -> DurabilityToken {
        match found {
            Found::Existing(_, true) => self.token(Seq(0)),
            Found::New(_) | Found::Existing(_, false) => self.token(seq),
        }
    }
}

impl<'a> Request<'a> {
    /// Inserts all leaves, none of which has to be unique.
    fn all(&self, size: u64) -> Chosen<'a> {
        let range = size..size + self.leaves.len() as u64;
        let found = range.clone().map(Found::New).collect();
        let settled = Settled { range, found };
        Chosen { settled, leaves: self.leaves.to_vec(), entries: self.entries.to_vec() }
    }
}
