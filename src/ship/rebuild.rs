//! Makes a directory of the pieces of a store.

use super::batch::Groups;
use super::feed::{ShippedPart, parts_of};
use crate::backup::Target;
use crate::config::Config;
use crate::directory::manifest::Manifest;
use crate::error::{Damage, Error, Problem, Result};
use crate::ids::Seq;

/// Takes the bytes of one part, in order.
///
/// See [`ship`](crate::ship) for an example.
pub struct PartWriter<'a> {
    pub(super) write: &'a mut dyn FnMut(&[u8]) -> Result<()>,
}

impl std::fmt::Debug for PartWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartWriter").finish_non_exhaustive()
    }
}

impl PartWriter<'_> {
    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        (self.write)(bytes)
    }
}

/// What was rebuilt.
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # use duramen::ship::{LogFeed, rebuild};
/// # use duramen::{Config, Error, Store};
/// let store = Store::open(Config::new(dir.path().join("here")))?;
/// let state = LogFeed::begin(&store)?.state()?;
/// let there = Config::new(dir.path().join("there"));
/// let rebuilt = rebuild::<Error>(&there, state.bytes(), &[], |part, to| state.copy_part(part, to))?;
/// assert_eq!(rebuilt.parts, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The sequence number up to which the directory has everything.
    pub seq: Seq,
    /// How many parts were written.
    pub parts: u64,
    /// Bytes of parts and of log that were written.
    pub bytes: u64,
}

/// Makes a store in the directory of `config`, which has to be missing or empty: the `state`, and the groups of
/// `batches` behind it. Groups that the state covers are left out, so that the batches may begin earlier. `part` writes
/// the bytes of a part.
///
/// The directory can be opened once this has returned. After an error or a crash it is empty or refuses to be opened.
///
/// # Errors
///
/// If the state or a batch is damaged or of a version that is not known, if a batch is missing, if a part is not the
/// one that the state names, or if a file cannot be written. Errors of `part` are passed on.
///
/// # Examples
///
/// See [`ship`](crate::ship).
pub fn rebuild<E: From<Error>>(
    config: &Config,
    state: &[u8],
    batches: &[&[u8]],
    mut part: impl FnMut(&ShippedPart, &mut PartWriter<'_>) -> Result<(), E>,
) -> Result<Rebuilt, E> {
    let manifest = Manifest::decode(state).map_err(|fault| damaged("state", 0, &fault))?;
    let groups = groups(&manifest, batches)?;
    let mut target = Target::begin(config)?;
    let mut rebuilt = Rebuilt { seq: manifest.log.seq, parts: 0, bytes: 0 };
    if let Some(last) = groups.last() {
        rebuilt.seq = last.group.last;
    }
    for (tree, reference) in
        manifest.trees.iter().flat_map(|tree| tree.parts.iter().map(move |part| (tree, part)))
    {
        let shipped = ShippedPart {
            number: reference.number.0,
            len: reference.len,
            checksum: reference.checksum,
        };
        target.receive_part(&tree.identity(manifest.store, reference), *reference, |write| {
            part(&shipped, &mut PartWriter { write })
        })?;
        rebuilt.parts += 1;
        rebuilt.bytes += reference.len;
    }
    debug_assert_eq!(rebuilt.parts, parts_of(&manifest).len() as u64);
    rebuilt.bytes += target.receive_log(&manifest, &groups)?;
    Ok(rebuilt)
}

/// The sequence number up to which a `state` has everything, and the parts that it needs.
///
/// # Errors
///
/// If the state is damaged or of a version that is not known.
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::ship::{LogFeed, read_state};
/// use duramen::{Config, Store};
///
/// let store = Store::open(Config::new(dir.path().join("here")))?;
/// let state = LogFeed::begin(&store)?.state()?;
/// assert_eq!(read_state(state.bytes())?, (state.covers(), state.parts().to_vec()));
/// assert!(read_state(&state.bytes()[1..]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_state(state: &[u8]) -> Result<(Seq, Vec<ShippedPart>)> {
    let manifest = Manifest::decode(state).map_err(|fault| damaged("state", 0, &fault))?;
    Ok((manifest.log.seq, parts_of(&manifest)))
}

/// The groups behind the state of `manifest`, without a gap.
fn groups<'a>(manifest: &Manifest, batches: &[&'a [u8]]) -> Result<Vec<super::Parsed<'a>>> {
    let mut seq = manifest.log.seq;
    let mut kept = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        let mut groups = Groups::new(batch);
        while let Some(parsed) = groups.parse() {
            let name = || format!("batch {number}");
            let parsed = parsed.map_err(|at| damaged(&name(), at as u64, &"it is no group"))?;
            if parsed.group.last <= manifest.log.seq {
                continue;
            }
            if parsed.group.first != seq {
                let problem = Problem::Field {
                    field: "sequence number",
                    expected: seq.to_string(),
                    found: parsed.group.first.to_string(),
                };
                return Err(Damage::new(name(), 0, problem).into());
            }
            seq = parsed.group.last;
            kept.push(parsed);
        }
    }
    Ok(kept)
}

fn damaged(name: &str, at: u64, what: &dyn std::fmt::Display) -> Error {
    let problem = Problem::Field {
        field: "format",
        expected: "pieces of a store".to_owned(),
        found: what.to_string(),
    };
    Damage::new(name.to_owned(), at, problem).into()
}
